//! What was sold.

use serde_json::Value;

use crate::asked::Api;
use crate::rows::{MANY, ONE, fill, fill_sales, register};
use testkit::database::with_store;

#[tokio::test]
async fn sales_are_served_by_what_they_are_of_with_every_part_of_the_price() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        fill_sales(&store.pool).await;
        let api = Api::over(&store.pool);
        let numbers = async |path: &str| {
            let page = api.ok(path).await;
            let sales = page["sales"].as_array().unwrap();
            let numbers: Vec<i64> = sales
                .iter()
                .map(|sale| sale["block_number"].as_i64().unwrap())
                .collect();
            (numbers, page["next"].as_str().map(str::to_owned))
        };
        let (first, next) = numbers("/v1/sales?chain=eip155:1&limit=3").await;
        let (rest, end) = numbers(&format!("/v1/sales?chain=eip155:1&limit=3&before={}", next.unwrap())).await;
        assert_eq!(
            (first, rest, end),
            (vec![104, 103, 102], vec![101], None),
            "newest first, each once"
        );
        let seller = format!("0x{}", "bb".repeat(20));
        for (path, expected) in [
            (format!("contract={ONE}"), vec![103, 102, 101]),
            (format!("contract={ONE}&token=1"), vec![103, 101]),
            (format!("account={seller}"), vec![104, 103, 102, 101]),
            (format!("account={MANY}"), vec![]),
        ] {
            assert_eq!(
                numbers(&format!("/v1/sales?chain=eip155:1&{path}")).await.0,
                expected,
                "{path}"
            );
        }
        let sales = api.ok("/v1/sales?chain=eip155:1").await;
        let odd = &sales["sales"][0];
        assert_eq!(
            (&odd["token"], &odd["price_raw"], &odd["price"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        let part = &sales["sales"][1];
        assert_eq!(
            (
                &part["price"],
                &part["currency_symbol"],
                &part["marketplace"],
                &part["bundle"]["size"]
            ),
            (&"1.5".into(), &"ETH".into(), &"seaport".into(), &2.into())
        );
        assert_eq!(
            part["fees"],
            serde_json::json!([{ "recipient": format!("{MANY:#x}"), "amount_raw": "7", "kind": "royalty" }])
        );
    })
    .await;
}

#[tokio::test]
async fn collections_and_tokens_sum_up_their_sales() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        fill_sales(&store.pool).await;
        let api = Api::over(&store.pool);
        let collections = api.ok("/v1/collections?chain=eip155:1&limit=1").await;
        let first = &collections["collections"][0];
        assert_eq!(
            (&first["sales"], &first["volume"], &first["floor"]),
            (&3.into(), &"4.5".into(), &Value::Null)
        );
        assert_eq!(
            (&first["last_sale"]["price"], &first["last_sale"]["quantity"]),
            (&"1.5".into(), &"1".into())
        );
        let token = api.ok(&format!("/v1/tokens/eip155:1/{ONE}/1")).await;
        assert_eq!(
            (
                &token["sales"],
                &token["volume"],
                &token["last_sale"]["currency_symbol"]
            ),
            (&2.into(), &"3".into(), &"ETH".into())
        );
        let unsold = api.ok(&format!("/v1/tokens/eip155:1/{MANY}/7")).await;
        assert_eq!(
            (&unsold["sales"], &unsold["volume"], &unsold["last_sale"]),
            (&0.into(), &"0".into(), &Value::Null)
        );
    })
    .await;
}
