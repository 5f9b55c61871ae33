//! What is listed and offered, in every state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Block, Context, Proof, Span};
use decoders::fact::{Closing, ClosingReason, Facts, Nonces, Order, OrderKind, Reach, Standard};
use serde_json::Value;
use sinks::commit::{self, Move};

use crate::asked::Api;
use crate::rows::{CHAIN, MANY, ONE, fill, register};
use testkit::database::with_store;

const OWNER: Address = Address::repeat_byte(0xaa);
const HOLDER: Address = Address::repeat_byte(0xcc);
const BIDDER: Address = Address::repeat_byte(0xee);
const MARKET: Address = Address::repeat_byte(0x5e);

/// An order of the owner's for the first token, in a block of its own.
fn order(block: u64, kind: OrderKind) -> Order {
    Order {
        source: "seaport",
        block_number: block,
        log_index: 3,
        item: 0,
        tx_hash: B256::repeat_byte(1),
        kind,
        marketplace: "seaport",
        version: "1.5",
        market: MARKET,
        key: B256::from(U256::from(block)),
        hashed: true,
        maker: OWNER,
        contract: ONE,
        token: Some(U256::ONE),
        standard: Standard::Erc721,
        quantity: U256::ONE,
        currency: Address::ZERO,
        price: Some(U256::from(2_500_000_000_000_000_000_u64)),
        starts_at: None,
        expires_at: None,
        taker: None,
        nonce: None,
        escrowed: false,
        auction: false,
    }
}

/// The end of what `reach` returns.
fn closing(block: u64, reach: Reach, reason: ClosingReason, quantity: Option<u64>) -> Closing {
    Closing {
        source: "seaport",
        block_number: block,
        log_index: 3,
        item: 0,
        tx_hash: B256::repeat_byte(1),
        marketplace: "seaport",
        market: MARKET,
        reach,
        reason,
        quantity: quantity.map(U256::from),
    }
}

/// Listings in every state, and offers, in blocks 301 to 313.
fn orders() -> Facts {
    let blocks = (300..=320).map(|number| Block {
        number,
        hash: B256::from(U256::from(number)),
        time: 1_700_000_000 + number,
    });
    let span = Span {
        chain: CHAIN,
        range: 300..=320,
        parent_hash: None,
        blocks: blocks.collect(),
        logs: Vec::new(),
        proof: Proof::Bloom,
        context: Context::default(),
    };
    let (listing, offer) = (OrderKind::Listing, OrderKind::Offer);
    let second = Some(U256::from(2));
    let key = |block: u64| Reach::Key(U256::from(block).into());
    let of_maker = Reach::Maker {
        maker: BIDDER,
        nonces: Nonces::Below(U256::from(5)),
    };
    Facts {
        sources: vec!["seaport"],
        orders: vec![
            order(301, listing),
            Order {
                token: second,
                expires_at: Some(1_700_000_400),
                ..order(302, listing)
            },
            Order {
                token: second,
                maker: BIDDER,
                ..order(303, listing)
            },
            order(304, listing),
            Order {
                contract: MANY,
                token: Some(U256::from(7)),
                standard: Standard::Erc1155,
                quantity: U256::from(6),
                maker: HOLDER,
                starts_at: Some(4_000_000_000),
                auction: true,
                hashed: false,
                ..order(306, listing)
            },
            Order {
                token: second,
                ..order(308, listing)
            },
            Order {
                token: None,
                maker: BIDDER,
                expires_at: Some(4_000_000_000),
                ..order(310, offer)
            },
            Order {
                maker: BIDDER,
                taker: Some(OWNER),
                currency: MANY,
                ..order(311, offer)
            },
            Order {
                maker: BIDDER,
                nonce: Some(U256::from(4)),
                ..order(312, offer)
            },
        ],
        closings: vec![
            closing(305, key(304), ClosingReason::Canceled, None),
            closing(307, key(306), ClosingReason::Filled, Some(2)),
            closing(309, key(308), ClosingReason::Filled, None),
            closing(313, of_maker, ClosingReason::Canceled, None),
        ],
        ..Facts::of(&span)
    }
}

#[tokio::test]
async fn listings_and_offers_are_served_by_what_they_are_for_and_by_how_they_stand() {
    with_store(4, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        let step = Move::Backfill { branch: 0 };
        commit::apply(&store, &orders(), step).await.unwrap();
        let api = Api::over(&store.pool);

        states(&api).await;
        filters(&api).await;
        pages(&api).await;
        order_fields(&api).await;
        order_text(&api).await;
        bad_orders(&api).await;
    })
    .await;
}

/// The blocks of the orders on a page, and where the next one begins.
async fn page(api: &Api, path: &str) -> (Vec<i64>, Option<String>) {
    let page = api.ok(path).await;
    let orders = page["listings"].as_array().or(page["offers"].as_array()).unwrap();
    let blocks = orders.iter().map(|order| order["block_number"].as_i64().unwrap());
    (blocks.collect(), page["next"].as_str().map(str::to_owned))
}

async fn states(api: &Api) {
    for (state, listings, offers) in [
        ("", &[306, 301][..], &[311, 310][..]),
        ("&state=active", &[306, 301], &[311, 310]),
        ("&state=expired", &[302], &[]),
        ("&state=invalid", &[303], &[]),
        ("&state=filled", &[308], &[]),
        ("&state=canceled", &[304], &[312]),
        ("&state=all", &[308, 306, 304, 303, 302, 301], &[312, 311, 310]),
    ] {
        let listed = page(api, &format!("/v1/listings?chain=eip155:1{state}")).await;
        assert_eq!(listed.0, listings, "listings{state}");
        let offered = page(api, &format!("/v1/offers?chain=eip155:1{state}")).await;
        assert_eq!(offered.0, offers, "offers{state}");
    }
}

async fn filters(api: &Api) {
    for (path, expected) in [
        (format!("listings?chain=eip155:1&contract={ONE}"), vec![301]),
        (format!("listings?chain=eip155:1&contract={MANY}"), vec![306]),
        (
            format!("listings?chain=eip155:1&contract={ONE}&token=2&state=all"),
            vec![308, 303, 302],
        ),
        (format!("listings?chain=eip155:1&contract={ONE}&token=2"), vec![]),
        (format!("listings?chain=eip155:1&account={HOLDER}"), vec![306]),
        (
            format!("listings?chain=eip155:1&account={OWNER}&state=filled"),
            vec![308],
        ),
        (format!("offers?chain=eip155:1&contract={ONE}"), vec![311, 310]),
        // One for any token is of the collection alone.
        (format!("offers?chain=eip155:1&contract={ONE}&token=1"), vec![311]),
        (
            format!("offers?chain=eip155:1&account={BIDDER}&state=all"),
            vec![312, 311, 310],
        ),
        (format!("offers?chain=eip155:1&account={OWNER}"), vec![]),
        ("listings?chain=eip155:5".to_owned(), vec![]),
    ] {
        assert_eq!(page(api, &format!("/v1/{path}")).await.0, expected, "{path}");
    }
}

async fn pages(api: &Api) {
    for (what, limit, expected) in [
        ("listings", 2, vec![308, 306, 304, 303, 302, 301]),
        ("listings", 4, vec![308, 306, 304, 303, 302, 301]),
        ("offers", 1, vec![312, 311, 310]),
    ] {
        let mut seen = Vec::new();
        let first = format!("/v1/{what}?chain=eip155:1&state=all&limit={limit}");
        let mut path = first.clone();
        loop {
            let (blocks, next) = page(api, &path).await;
            assert!(blocks.len() <= limit, "{path}");
            seen.extend(blocks);
            let Some(next) = next else { break };
            path = format!("{first}&before={next}");
        }
        assert_eq!(seen, expected, "newest first, each once: {what} by {limit}");
    }
}

async fn order_fields(api: &Api) {
    let fields = |order: &Value, names: &[&str]| {
        let named = names.iter().map(|name| ((*name).to_owned(), order[*name].clone()));
        named.collect::<BTreeMap<_, _>>()
    };
    let expect = |order: &Value, expected: Value| {
        let expected: BTreeMap<String, Value> = serde_json::from_value(expected).unwrap();
        let names: Vec<&str> = expected.keys().map(String::as_str).collect();
        assert_eq!(fields(order, &names), expected);
    };
    let listings = api.ok("/v1/listings?chain=eip155:1&state=all").await;
    let by_block = |block: i64| {
        let mut listings = listings["listings"].as_array().unwrap().iter();
        listings.find(|listing| listing["block_number"] == block).unwrap()
    };
    expect(
        by_block(301),
        serde_json::json!({
            "chain": "eip155:1", "marketplace": "seaport", "market": format!("{MARKET:#x}"), "token": "1", "standard": "erc721",
            "quantity": "1", "remaining": "1", "maker": format!("{OWNER:#x}"), "taker": null, "price": "2.5",
            "price_raw": "2500000000000000000", "currency_symbol": "ETH", "state": "active", "is_active": true,
            "closed_reason": null, "starts_at": null, "expires_at": null, "auction": false, "escrowed": false, "log_index": 3,
            "order_hash": format!("{:#x}", B256::from(U256::from(301))),
        }),
    );
    // Active and not begun; partly taken; known by a key that is not the market's hash.
    expect(
        by_block(306),
        serde_json::json!({
            "contract": format!("{MANY:#x}"), "standard": "erc1155", "quantity": "6", "remaining": "4", "state": "active",
            "is_active": false, "starts_at": "2096-10-02T07:06:40Z", "auction": true, "order_hash": null,
            "order_key": format!("{:#x}", B256::from(U256::from(306))),
        }),
    );
    for (block, state, reason) in [
        (302, "expired", Value::Null),
        (303, "invalid", Value::Null),
        (304, "canceled", "canceled".into()),
        (308, "filled", "filled".into()),
    ] {
        expect(
            by_block(block),
            serde_json::json!({ "state": state, "is_active": false, "closed_reason": reason }),
        );
    }
    let offers = api.ok("/v1/offers?chain=eip155:1").await;
    expect(
        &offers["offers"][0],
        serde_json::json!({
            "taker": format!("{OWNER:#x}"), "currency": format!("{MANY:#x}"), "currency_symbol": null, "price": null,
            "price_raw": "2500000000000000000",
        }),
    );
    expect(
        &offers["offers"][1],
        serde_json::json!({ "token": null, "state": "active", "expires_at": "2096-10-02T07:06:40Z" }),
    );
}

/// The page of the one that is filled, letter for letter.
async fn order_text(api: &Api) {
    let filled = Order {
        token: Some(U256::from(2)),
        ..order(308, OrderKind::Listing)
    };
    let id = filled.id(CHAIN, B256::from(U256::from(308)));
    let key = B256::from(U256::from(308));
    let (none, hash) = (Address::ZERO, B256::repeat_byte(1));
    let expected = format!(
        "{{\"listings\":[{{\"id\":\"{id}\",\"chain\":\"eip155:1\",\"marketplace\":\"seaport\",\"market\":\"{MARKET:#x}\",\
         \"order_key\":\"{key}\",\"order_hash\":\"{key}\",\"contract\":\"{ONE:#x}\",\"token\":\"2\",\"standard\":\"erc721\",\
         \"quantity\":\"1\",\"remaining\":\"0\",\"maker\":\"{OWNER:#x}\",\"taker\":null,\"currency\":\"{none}\",\
         \"currency_symbol\":\"ETH\",\"price_raw\":\"2500000000000000000\",\"price\":\"2.5\",\"state\":\"filled\",\
         \"is_active\":false,\"closed_reason\":\"filled\",\"starts_at\":null,\"expires_at\":null,\"auction\":false,\
         \"escrowed\":false,\"block_number\":308,\"block_time\":\"2023-11-14T22:18:28Z\",\"tx_hash\":\"{hash}\",\
         \"log_index\":3,\"item\":0}}],\"next\":\"{id}\"}}"
    );
    let path = "/v1/listings?chain=eip155:1&state=filled&limit=1";
    assert_eq!(api.text(path).await, (200, expected));
}

async fn bad_orders(api: &Api) {
    for what in ["listings", "offers"] {
        for (query, part) in [
            (String::new(), "chain is missing"),
            ("?chain=1".to_owned(), "eip155:1"),
            ("?chain=eip155:1&state=open".to_owned(), "canceled"),
            ("?chain=eip155:1&limit=101".to_owned(), "1 to 100"),
            ("?chain=eip155:1&before=x".to_owned(), "not an id"),
            ("?chain=eip155:1&seller=x".to_owned(), "seller"),
            ("?chain=eip155:1&token=1".to_owned(), "contract and token"),
            (format!("?chain=eip155:1&contract={ONE}&token=0x1"), "decimal"),
            (format!("?chain=eip155:1&contract={ONE}&account={OWNER}"), "or account"),
            ("?chain=eip155:1&contract=0x1".to_owned(), "40 hexadecimal digits"),
            ("?chain=eip155:1&account=0x1".to_owned(), "40 hexadecimal digits"),
        ] {
            let (code, body) = api.get(&format!("/v1/{what}{query}")).await;
            assert_eq!(code, 400, "{what}{query}: {body}");
            assert!(body["error"].as_str().unwrap().contains(part), "{what}{query}: {body}");
        }
    }
}
