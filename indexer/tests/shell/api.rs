//! The read-only API over tables with known rows.

use alloy_primitives::{Address, U256};
use decoders::block::ChainId;
use decoders::id::{collection_id, token_id};
use indexer::health::{Health, server};
use indexer::{database, registry};
use serde_json::Value;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::postgres::TestDatabase;

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
    task: tokio::task::JoinHandle<Result<(), indexer::error::Failure>>,
}

impl Served {
    async fn start(pool: PgPool) -> Self {
        let listener = server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let router = server::router(&Health::new(), Some(api::router(pool)));
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

#[tokio::test]
async fn the_api_answers_from_the_tables_and_refuses_what_it_cannot_read() {
    let test = TestDatabase::create().await;
    let mut config = test.config();
    config.chains = indexer::config::Config::parse(FILE, "test").unwrap().chains;
    let database = database::open(&config).await.unwrap();
    registry::seed(&database.store, &config).await.unwrap();
    fill(&database.store.pool).await;
    let served = Served::start(database.store.pool.clone()).await;

    status(&served).await;
    catalog(&served).await;
    transfers(&served).await;
    bad_input(&served).await;
    summary(&database.store.pool).await;

    // A database that is gone is an answer, too.
    database.store.pool.close().await;
    let (code, body) = served.get("/v1/status").await;
    assert_eq!(code, 503, "{body}");
    served.cancel.cancel();
    served.task.await.unwrap().unwrap();
    database.close().await.unwrap();
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
