//! The read-only API over tables with known rows.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use api::{Limits, Readers};
use decoders::block::{Block, ChainId, Context, Proof, Span};
use decoders::fact::{Closing, ClosingReason, Facts, Nonces, Order, OrderKind, Reach, Standard};
use decoders::id::{collection_id, token_id};
use indexer::database::{self, Database};
use indexer::health::{Health, server};
use indexer::registry;
use serde_json::Value;
use sinks::commit::{self, Move};
use sqlx::PgPool;
use testkit::database::Database as Scratch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::postgres;

const CHAIN: ChainId = ChainId(1);
const ONE: Address = Address::repeat_byte(0x11);
const MANY: Address = Address::repeat_byte(0x22);

/// Two collections: three single-owner tokens of which one is burned, and one token that two people hold parts of.
async fn fill(pool: &PgPool) {
    let statements = [
        "insert into indexer_service.indexer_checkpoints values
             ('eip155:1', 200, '0x' || repeat('ab', 32), now(), 210, 205, 190, now())",
        "insert into indexer_service.indexer_coverage (chain_id, source, proof, covered) values
             ('eip155:1', 'erc721', 'bloom', '{[100,150)}'), ('eip155:1', 'erc721', 'receipts', '{[160,201)}'),
             ('eip155:1', 'erc1155', 'bloom', '{[100,201)}')",
        "insert into catalog_service.collection_counters values
             ('eip155:1', '0x' || repeat('11', 20), 5, 3, 1), ('eip155:1', '0x' || repeat('22', 20), 1, 1, 0)",
        "select catalog_service.ensure_chain('eip155:1')",
        "insert into indexer_service.outbox (chain_id, block_number, kind, fact_id) values ('eip155:1', 200, 'mint', gen_random_uuid())",
        "insert into indexer_service.outbox_totals (chain_id, written) values ('eip155:1', 1)",
    ];
    for statement in statements {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    for (address, standard) in [(ONE, "erc721"), (MANY, "erc1155")] {
        sqlx::query(
            "insert into catalog_service.collections (id, slug, chain_id, contract_address, collection_type, first_position)
             values ($1, $2, 'eip155:1', $2, $3, $4)",
        )
        .bind(collection_id(CHAIN, &address))
        .bind(format!("{address:#x}"))
        .bind(standard)
        .bind(Uuid::from_u128(1))
        .execute(pool)
        .await
        .unwrap();
    }
    for (address, number, owner) in [
        (ONE, 1, Some("aa")),
        (ONE, 2, Some("aa")),
        (ONE, 3, None),
        (MANY, 7, None),
    ] {
        sqlx::query(
            "insert into catalog_service.tokens
                 (id, collection_id, chain_id, contract_address, token_number, token_standard, owner_address, owner_position, minted_at, supply)
             values ($1, $2, 'eip155:1', $3, $4, $5, '0x' || repeat($6, 20), $7, now(), $8)",
        )
        .bind(token_id(CHAIN, &address, &U256::from(number)))
        .bind(collection_id(CHAIN, &address))
        .bind(format!("{address:#x}"))
        .bind(number.to_string())
        .bind(if address == ONE { "erc721" } else { "erc1155" })
        .bind(owner)
        .bind((address == ONE).then(|| Uuid::from_u128(number as u128)))
        .bind(if address == ONE { 0 } else { 10 })
        .execute(pool)
        .await
        .unwrap();
    }
    for (owner, quantity) in [("bb", 4), ("cc", 6), ("dd", 0)] {
        sqlx::query("insert into catalog_service.erc1155_balances values ($1, '0x' || repeat($2, 20), $3)")
            .bind(token_id(CHAIN, &MANY, &U256::from(7)))
            .bind(owner)
            .bind(quantity)
            .execute(pool)
            .await
            .unwrap();
    }
    for number in 0..5u128 {
        sqlx::query(
            "insert into catalog_service.ownership_transfers values
                 ('eip155:1', $1, $2, $3, $4, '0x' || repeat('00', 20), '0x' || repeat('aa', 20), 1, 'erc721', 'mint',
                  '0x' || repeat('01', 32), $5, '0x' || repeat('02', 32), now(), 0, 0)",
        )
        .bind(Uuid::from_u128(number))
        .bind(format!("{ONE:#x}"))
        .bind((number % 2 + 1).to_string())
        .bind(token_id(CHAIN, &ONE, &U256::from(number % 2 + 1)))
        .bind(100 + number as i64)
        .execute(pool)
        .await
        .unwrap();
    }
}

struct Served {
    base: String,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(pool: PgPool) -> Self {
        let limits = Limits {
            requests: 64,
            running: 4,
            time: Duration::from_secs(60),
        };
        Served::within(limits, pool).await
    }

    /// Serves what `pool` reads, within `limits`.
    async fn within(limits: Limits, pool: PgPool) -> Self {
        let listener = server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let readers = Readers::new(pool, limits);
        let health = Health::new().reading(readers.board());
        let router = server::router(&health, Some(api::router(readers)));
        Served {
            base,
            cancel: cancel.clone(),
            task: tokio::spawn(server::serve(listener, router, cancel)),
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}{path}", self.base)).await.unwrap();
        let code = answer.status().as_u16();
        (code, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn ok(&self, path: &str) -> Value {
        let (code, value) = self.get(path).await;
        assert_eq!(code, 200, "{path}: {value}");
        value
    }
}

const FILE: &str = "[[chains]]\ncaip2 = \"eip155:1\"\nname = \"Ethereum\"\nnative_symbol = \"ETH\"\nstart_block = 90\n\
    contracts = [{ name = \"Ones\", address = \"0x1111111111111111111111111111111111111111\", standard = \"erc721\" }]\n\
    [[chains]]\ncaip2 = \"eip155:5\"\nname = \"Empty\"\nnative_symbol = \"E\"\nenabled = false";

/// The database of `test` with the chains of the file and what was transferred on them.
async fn filled(test: &Scratch) -> Database {
    let mut config = postgres::config(test);
    config.chains = indexer::config::Config::parse(FILE, "test").unwrap().chains;
    let database = database::open(&config).await.unwrap();
    registry::seed(&database.store, &config).await.unwrap();
    fill(&database.store.pool).await;
    database
}

#[tokio::test]
async fn the_api_answers_from_the_tables_and_refuses_what_it_cannot_read() {
    let test = Scratch::empty(1).await;
    let database = filled(&test).await;
    fill_sales(&database.store.pool).await;
    let served = Served::start(database.store.pool.clone()).await;

    status(&served).await;
    catalog(&served).await;
    transfers(&served).await;
    sales(&served).await;
    bad_input(&served).await;
    summary(&database.store.pool).await;

    // A database that is gone is an answer, too; where the chains stood is still known.
    let before = served.ok("/v1/status").await;
    database.store.pool.close().await;
    let (code, body) = served.get("/v1/transfers?chain=eip155:1").await;
    assert_eq!(code, 503, "{body}");
    let mut after = served.ok("/v1/status").await;
    // For a moment what was just read is still good enough.
    while after.get("stale").is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = served.ok("/v1/status").await;
    }
    assert!(
        after["stale"].as_str().is_some_and(|why| why.contains("database")),
        "{after}"
    );
    assert_eq!(after["chains"].take(), before["chains"], "what was read last");
    assert_eq!(after["as_of"], before["as_of"]);
    served.cancel.cancel();
    served.task.await.unwrap();
    database.close().await;
}

async fn status(served: &Served) {
    let status = served.ok("/v1/status").await;
    let chain = &status["chains"][0];
    assert_eq!(
        (&chain["head"], &chain["lag_blocks"], &chain["finalized"]),
        (&210.into(), &10.into(), &190.into())
    );
    assert_eq!(
        (&chain["checkpoint"]["number"], &chain["outbox"]),
        (&200.into(), &1.into())
    );
    let erc721 = &chain["coverage"]["erc721"];
    assert_eq!(
        (&erc721["covered_blocks"], &erc721["missing_blocks"]),
        (&91.into(), &20.into())
    );
    assert_eq!(
        erc721["gaps"],
        serde_json::json!([{ "from": 90, "to": 99 }, { "from": 150, "to": 159 }])
    );
    assert_eq!(
        chain["coverage"]["erc1155"]["gaps"],
        serde_json::json!([{ "from": 90, "to": 99 }])
    );
    let empty = &status["chains"][1];
    assert_eq!(
        (&empty["checkpoint"], &empty["coverage"]),
        (&Value::Null, &serde_json::json!({}))
    );
}

async fn catalog(served: &Served) {
    let collections = served.ok("/v1/collections?chain=eip155:1&limit=1").await;
    let first = &collections["collections"][0];
    assert_eq!(collections["collections"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&first["name"], &first["items"], &first["owners"], &first["mints"]),
        (&"Ones".into(), &2.into(), &1.into(), &3.into())
    );
    let all = served.ok("/v1/collections").await;
    assert_eq!(
        (&all["collections"][1]["items"], &all["collections"][1]["owners"]),
        (&1.into(), &2.into())
    );

    let token = served.ok(&format!("/v1/tokens/eip155:1/{MANY}/7")).await;
    let holdings = serde_json::json!([
        { "owner": format!("0x{}", "cc".repeat(20)), "quantity": "6" },
        { "owner": format!("0x{}", "bb".repeat(20)), "quantity": "4" },
    ]);
    assert_eq!(
        (&token["owners"], &token["standard"], &token["burned"]),
        (&holdings, &"erc1155".into(), &false.into())
    );
    let burned = served.ok(&format!("/v1/tokens/eip155:1/{ONE}/3")).await;
    assert_eq!(
        (&burned["burned"], &burned["owners"]),
        (&true.into(), &serde_json::json!([]))
    );
}

async fn transfers(served: &Served) {
    let mut seen = Vec::new();
    let mut path = "/v1/transfers?chain=eip155:1&limit=2".to_owned();
    loop {
        let page = served.ok(&path).await;
        seen.extend(
            page["transfers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t["block_number"].as_i64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/transfers?chain=eip155:1&limit=2&before={next}");
    }
    assert_eq!(seen, [104, 103, 102, 101, 100], "newest first, each once");
    let of_token = served
        .ok(&format!("/v1/transfers?chain=eip155:1&contract={ONE}&token=2"))
        .await;
    assert_eq!(of_token["transfers"].as_array().unwrap().len(), 2);
    assert_eq!(
        served.ok("/v1/transfers?chain=eip155:5").await["transfers"],
        serde_json::json!([])
    );
}

async fn sales(served: &Served) {
    let numbers = async |path: &str| {
        let page = served.ok(path).await;
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
    let sales = served.ok("/v1/sales?chain=eip155:1").await;
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

    let collections = served.ok("/v1/collections?chain=eip155:1&limit=1").await;
    let first = &collections["collections"][0];
    assert_eq!(
        (&first["sales"], &first["volume"], &first["floor"]),
        (&3.into(), &"4.5".into(), &Value::Null)
    );
    assert_eq!(
        (&first["last_sale"]["price"], &first["last_sale"]["quantity"]),
        (&"1.5".into(), &"1".into())
    );
    let token = served.ok(&format!("/v1/tokens/eip155:1/{ONE}/1")).await;
    assert_eq!(
        (
            &token["sales"],
            &token["volume"],
            &token["last_sale"]["currency_symbol"]
        ),
        (&2.into(), &"3".into(), &"ETH".into())
    );
    let unsold = served.ok(&format!("/v1/tokens/eip155:1/{MANY}/7")).await;
    assert_eq!(
        (&unsold["sales"], &unsold["volume"], &unsold["last_sale"]),
        (&0.into(), &"0".into(), &Value::Null)
    );
}

/// Sales in blocks 101 to 104: one alone, one alone of another token, part of a bundle, one of which nothing is known.
async fn fill_sales(pool: &PgPool) {
    let [one, two] = [1, 2].map(|number| token_id(CHAIN, &ONE, &U256::from(number)));
    sqlx::query("insert into catalog_service.marketplaces values ($1, 'seaport')")
        .bind(Uuid::from_u128(9))
        .execute(pool)
        .await
        .unwrap();
    for (block, token, number, bundle) in [
        (101, Some(one), Some("1"), 1),
        (102, Some(two), Some("2"), 1),
        (103, Some(one), Some("1"), 2),
        (104, None, None, 1),
    ] {
        sqlx::query(
            "insert into catalog_service.sale_facts
                 (chain_id, id, contract, token_number, token, standard, quantity, marketplace_id, version, side, seller, buyer,
                  maker, taker_raw, currency_address, price_raw, price_allocation, fee_recipients, fee_amounts, fee_kinds,
                  bundle_id, bundle_size, flags, tx_hash, block_number, block_hash, block_time, log_index, item)
             values ('eip155:1', $1, $2, $3, $4, 'erc721', 1, $5, '', 'listing', '0x' || repeat('bb', 20), '0x' || repeat('cc', 20),
                     '0x' || repeat('bb', 20), '0x' || repeat('cc', 20), '0x' || repeat('00', 20),
                     case when $4 is null then null else 1500000000000000000 end, 'exact', array['0x' || repeat('22', 20)],
                     array[7], array['royalty'], case when $6 > 1 then $1 end, $6, '{}',
                     '0x' || repeat('01', 32), $7, '0x' || repeat('02', 32), now(), 0, 0)",
        )
        .bind(Uuid::from_u128(block as u128))
        .bind(if token.is_some() { format!("{ONE:#x}") } else { format!("{:#x}", Address::ZERO) })
        .bind(number)
        .bind(token)
        .bind(Uuid::from_u128(9))
        .bind(bundle)
        .bind(block as i64)
        .execute(pool)
        .await
        .unwrap();
    }
    for (token, sales, last) in [(one, 2, 101), (two, 1, 102)] {
        sqlx::query(
            "insert into catalog_service.token_sales values
                 ('eip155:1', $1, '0x' || repeat('00', 20), $2, $2 * 1500000000000000000::numeric, $3)",
        )
        .bind(token)
        .bind(sales)
        .bind(Uuid::from_u128(last))
        .execute(pool)
        .await
        .unwrap();
    }
    sqlx::query(
        "insert into catalog_service.collection_sales values
             ('eip155:1', '0x' || repeat('11', 20), '0x' || repeat('00', 20), 3, 4500000000000000000)",
    )
    .execute(pool)
    .await
    .unwrap();
}

async fn bad_input(served: &Served) {
    for (path, code, part) in [
        ("/v1/transfers".to_owned(), 400, "chain is missing"),
        ("/v1/transfers?chain=1".to_owned(), 400, "eip155:1"),
        ("/v1/transfers?chain=eip155:1&limit=0".to_owned(), 400, "1 to 100"),
        ("/v1/transfers?chain=eip155:1&limit=x".to_owned(), 400, "limit"),
        ("/v1/transfers?chain=eip155:1&befor=x".to_owned(), 400, "befor"),
        ("/v1/transfers?chain=eip155:1&before=x".to_owned(), 400, "not an id"),
        (
            format!("/v1/transfers?chain=eip155:1&contract={ONE}"),
            400,
            "go together",
        ),
        (
            "/v1/transfers?chain=eip155:1&contract=0x1&token=1".to_owned(),
            400,
            "40 hexadecimal digits",
        ),
        ("/v1/sales".to_owned(), 400, "chain is missing"),
        ("/v1/sales?chain=eip155:1&token=1".to_owned(), 400, "contract and token"),
        (
            "/v1/sales?chain=eip155:1&account=0x1".to_owned(),
            400,
            "40 hexadecimal digits",
        ),
        (format!("/v1/tokens/eip155:1/{ONE}/0x1"), 400, "decimal"),
        (format!("/v1/tokens/1/{ONE}/1"), 400, "eip155:1"),
        (format!("/v1/tokens/eip155:1/{ONE}/99"), 404, "token 99"),
        ("/v1/collections?chain=x".to_owned(), 400, "eip155:1"),
        ("/v1/nothing".to_owned(), 404, "path"),
    ] {
        let (got, body) = served.get(&path).await;
        assert_eq!(got, code, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().contains(part), "{path}: {body}");
    }
}

async fn summary(pool: &PgPool) {
    let summary = api::summary::read(pool, CHAIN, 3).await.unwrap();
    assert_eq!(
        (summary.blocks, summary.first_block, summary.last_block),
        (101, Some(100), Some(200))
    );
    assert_eq!((summary.mints, summary.transfers, summary.burns), (4, 6, 1));
    assert_eq!(summary.sales, 3);
    assert_eq!(
        (summary.collection_count, summary.token_count, summary.faults),
        (2, 3, 0)
    );
    assert_eq!(summary.collections.iter().map(|c| c.items).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(
        summary
            .tokens
            .iter()
            .map(|t| (t.token.as_str(), t.owners.len()))
            .collect::<Vec<_>>(),
        [("2", 1), ("7", 2)]
    );
    assert_eq!(summary.latest.len(), 3);
    let empty = api::summary::read(pool, ChainId(5), 3).await.unwrap();
    assert_eq!((empty.blocks, empty.first_block), (0, None));
}

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
    let test = Scratch::empty(1).await;
    let database = filled(&test).await;
    let step = Move::Backfill { branch: 0 };
    commit::apply(&database.store, &orders(), step).await.unwrap();
    let served = Served::start(database.store.pool.clone()).await;

    states(&served).await;
    filters(&served).await;
    pages(&served).await;
    order_fields(&served).await;
    bad_orders(&served).await;

    served.cancel.cancel();
    served.task.await.unwrap();
    database.close().await;
}

/// The blocks of the orders on a page, and where the next one begins.
async fn page(served: &Served, path: &str) -> (Vec<i64>, Option<String>) {
    let page = served.ok(path).await;
    let orders = page["listings"].as_array().or(page["offers"].as_array()).unwrap();
    let blocks = orders.iter().map(|order| order["block_number"].as_i64().unwrap());
    (blocks.collect(), page["next"].as_str().map(str::to_owned))
}

async fn states(served: &Served) {
    for (state, listings, offers) in [
        ("", &[306, 301][..], &[311, 310][..]),
        ("&state=active", &[306, 301], &[311, 310]),
        ("&state=expired", &[302], &[]),
        ("&state=invalid", &[303], &[]),
        ("&state=filled", &[308], &[]),
        ("&state=canceled", &[304], &[312]),
        ("&state=all", &[308, 306, 304, 303, 302, 301], &[312, 311, 310]),
    ] {
        let listed = page(served, &format!("/v1/listings?chain=eip155:1{state}")).await;
        assert_eq!(listed.0, listings, "listings{state}");
        let offered = page(served, &format!("/v1/offers?chain=eip155:1{state}")).await;
        assert_eq!(offered.0, offers, "offers{state}");
    }
}

async fn filters(served: &Served) {
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
        assert_eq!(page(served, &format!("/v1/{path}")).await.0, expected, "{path}");
    }
}

async fn pages(served: &Served) {
    for (what, limit, expected) in [
        ("listings", 2, vec![308, 306, 304, 303, 302, 301]),
        ("listings", 4, vec![308, 306, 304, 303, 302, 301]),
        ("offers", 1, vec![312, 311, 310]),
    ] {
        let mut seen = Vec::new();
        let first = format!("/v1/{what}?chain=eip155:1&state=all&limit={limit}");
        let mut path = first.clone();
        loop {
            let (blocks, next) = page(served, &path).await;
            assert!(blocks.len() <= limit, "{path}");
            seen.extend(blocks);
            let Some(next) = next else { break };
            path = format!("{first}&before={next}");
        }
        assert_eq!(seen, expected, "newest first, each once: {what} by {limit}");
    }
}

async fn order_fields(served: &Served) {
    let fields = |order: &Value, names: &[&str]| {
        let named = names.iter().map(|name| ((*name).to_owned(), order[*name].clone()));
        named.collect::<BTreeMap<_, _>>()
    };
    let expect = |order: &Value, expected: Value| {
        let expected: BTreeMap<String, Value> = serde_json::from_value(expected).unwrap();
        let names: Vec<&str> = expected.keys().map(String::as_str).collect();
        assert_eq!(fields(order, &names), expected);
    };
    let listings = served.ok("/v1/listings?chain=eip155:1&state=all").await;
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
    let offers = served.ok("/v1/offers?chain=eip155:1").await;
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

async fn bad_orders(served: &Served) {
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
            let (code, body) = served.get(&format!("/v1/{what}{query}")).await;
            assert_eq!(code, 400, "{what}{query}: {body}");
            assert!(body["error"].as_str().unwrap().contains(part), "{what}{query}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_and_beyond_the_time_a_request_is_told_to_come_back() {
    let test = Scratch::empty(1).await;
    let database = filled(&test).await;
    let pool = &database.store.pool;
    let limits = Limits {
        requests: 1,
        running: 1,
        time: Duration::from_secs(600),
    };
    let patient = Served::within(limits, pool.clone()).await;
    let time = Duration::from_millis(200);
    let hasty = Served::within(Limits { time, ..limits }, pool.clone()).await;
    let (path, told) = ("/v1/collections", "come back later");
    let mut lock = pool.begin().await.unwrap();
    let table = "lock table catalog_service.collection_counters in access exclusive mode";
    sqlx::query(table).execute(&mut *lock).await.unwrap();

    let first = reqwest::get(format!("{}{path}", patient.base));
    let others = async {
        waits_for_lock(pool).await;
        let second = reqwest::get(format!("{}{path}", patient.base)).await.unwrap();
        assert_eq!(
            (second.status().as_u16(), second.headers()["retry-after"].as_bytes()),
            (503, &b"1"[..]),
            "{told}"
        );
        let late = reqwest::get(format!("{}{path}", hasty.base)).await.unwrap();
        assert_eq!(
            (late.status().as_u16(), late.headers()["retry-after"].as_bytes()),
            (503, &b"1"[..]),
            "{told}"
        );
        patient.ok("/v1/status").await;
        lock.rollback().await.unwrap();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(
        first.unwrap().status().as_u16(),
        200,
        "the one that was let in is answered"
    );
    patient.ok(path).await;
    for served in [patient, hasty] {
        served.cancel.cancel();
        served.task.await.unwrap();
    }
    database.close().await;
}

/// Waits until a statement of this database waits for a lock.
async fn waits_for_lock(pool: &PgPool) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
