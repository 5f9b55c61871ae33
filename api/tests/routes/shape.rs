//! Answers letter for letter: clients may rely on names, their order and what is absent.

use crate::asked::Api;
use crate::rows::{fill, fill_sales, register};
use testkit::database::with_store;

#[tokio::test]
async fn every_answer_is_written_the_same_to_the_letter() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        fill_sales(&store.pool).await;
        let api = Api::over(&store.pool);
        for (path, expected) in [
            (
                "/v1/transfers?chain=eip155:1&limit=1",
                "{\"transfers\":[{\"id\":\"00000006-8000-8000-8000-000000000000\",\"chain\":\"eip155:1\",\"kind\":\"mint\",\
                \"contract\":\"0x1111111111111111111111111111111111111111\",\"token\":\"1\",\"standard\":\"erc721\",\
                \"from\":\"0x0000000000000000000000000000000000000000\",\
                \"to\":\"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"quantity\":\"1\",\"block_number\":104,\
                \"block_time\":\"2024-01-01T00:00:00Z\",\
                \"tx_hash\":\"0x0101010101010101010101010101010101010101010101010101010101010101\",\"log_index\":0}],\
                \"next\":\"00000006-8000-8000-8000-000000000000\"}",
            ),
            (
                "/v1/sales?chain=eip155:1&limit=1&before=00000006-8000-8000-8000-000000000000",
                "{\"sales\":[{\"id\":\"00000006-7000-8000-8000-000000000000\",\"chain\":\"eip155:1\",\
                \"marketplace\":\"seaport\",\"side\":\"listing\",\
                \"contract\":\"0x1111111111111111111111111111111111111111\",\"token\":\"1\",\"standard\":\"erc721\",\
                \"quantity\":\"1\",\"seller\":\"0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",\
                \"buyer\":\"0xcccccccccccccccccccccccccccccccccccccccc\",\
                \"currency\":\"0x0000000000000000000000000000000000000000\",\"currency_symbol\":\"ETH\",\
                \"price_raw\":\"1500000000000000000\",\"price\":\"1.5\",\
                \"fees\":[{\"recipient\":\"0x2222222222222222222222222222222222222222\",\"amount_raw\":\"7\",\
                \"kind\":\"royalty\"}],\"seller_net_raw\":null,\"bundle\":{\"id\":\"00000006-7000-8000-8000-000000000000\",\
                \"size\":2},\"flags\":[],\"wash_flags\":[],\"order_hash\":null,\"block_number\":103,\
                \"block_time\":\"2024-01-01T00:00:00Z\",\
                \"tx_hash\":\"0x0101010101010101010101010101010101010101010101010101010101010101\",\"log_index\":0,\
                \"item\":0}],\"next\":\"00000006-7000-8000-8000-000000000000\"}",
            ),
            (
                "/v1/collections?chain=eip155:1&limit=1",
                "{\"collections\":[{\"chain\":\"eip155:1\",\"contract\":\"0x1111111111111111111111111111111111111111\",\
                \"name\":\"Ones\",\"standard\":\"erc721\",\"items\":2,\"owners\":1,\"mints\":3,\"transfers\":5,\"burns\":1,\
                \"sales\":3,\"volume\":\"4.5\",\"floor\":null,\"last_sale\":{\"quantity\":\"1\",\"price\":\"1.5\",\
                \"currency_symbol\":\"ETH\",\"at\":\"2024-01-01T00:00:00Z\"}}]}",
            ),
            (
                "/v1/tokens/eip155:1/0x1111111111111111111111111111111111111111/1",
                "{\"chain\":\"eip155:1\",\"contract\":\"0x1111111111111111111111111111111111111111\",\"token\":\"1\",\
                \"standard\":\"erc721\",\"name\":null,\"image_url\":null,\"burned\":false,\
                \"minted_at\":\"2024-01-01T00:00:00Z\",\"sales\":2,\"volume\":\"3\",\"last_sale\":{\"quantity\":\"1\",\
                \"price\":\"1.5\",\"currency_symbol\":\"ETH\",\"at\":\"2024-01-01T00:00:00Z\"},\
                \"owners\":[{\"owner\":\"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"quantity\":\"1\"}]}",
            ),
            (
                "/v1/listings?chain=eip155:1",
                "{\"listings\":[],\"next\":null}",
            ),
        ] {
            assert_eq!(api.text(path).await, (200, expected.to_owned()), "{path}");
        }
        let (_, status) = api.text("/v1/status").await;
        assert!(status.starts_with("{\"as_of\":\""), "{status}");
        for part in [
            "\"chains\":[{\"chain\":\"eip155:1\",\"name\":\"Ethereum\",\"enabled\":true,\"start_block\":90,\
                \"checkpoint\":{\"number\":200,\
                \"hash\":\"0xabababababababababababababababababababababababababababababababab\",\"time\":null,\
                \"updated_at\":\"2024-01-01T00:00:00Z\"},\"head\":210,\"safe\":205,\"finalized\":190,\"lag_blocks\":10,\
                \"observed_at\":\"2024-01-01T00:00:00Z\",\"held_until\":null,\"outbox\":1,\"outbox_expired\":0,\
                \"coverage\":{",
            "\"erc1155\":{\"covered_blocks\":101,\"missing_blocks\":10,\"gaps\":[{\"from\":90,\"to\":99}]}",
        ] {
            assert!(status.contains(part), "{part} in {status}");
        }
    })
    .await;
}
