//! The API as a process serves it: through its own readers, beside health and metrics.

use indexer::config::Config;
use indexer::database;
use indexer::health::{Health, server};
use indexer::registry;
use serde_json::Value;
use testkit::database::Database as Scratch;
use tokio_util::sync::CancellationToken;

use crate::postgres;

const FILE: &str = "[[chains]]\ncaip2 = \"eip155:1\"\nname = \"Ethereum\"\nnative_symbol = \"ETH\"\nstart_block = 90";

#[tokio::test]
async fn one_server_answers_the_api_beside_health_and_metrics() {
    let scratch = Scratch::new().await;
    let mut config = postgres::config(&scratch);
    config.chains = Config::parse(FILE, "test").unwrap().chains;
    let database = database::open(&config).await.unwrap();
    registry::seed(&database.store, &config).await.unwrap();

    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let readers = database.readers(&config.api);
    let health = Health::new().reading(readers.board());
    let router = server::router(&health, Some(api::router(readers)));
    let cancel = CancellationToken::new();
    let served = tokio::spawn(server::serve(listener, router, cancel.clone()));
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };

    let (code, status) = get("/v1/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let chain = &status["chains"][0];
    assert_eq!(
        (code, &chain["chain"], &chain["start_block"]),
        (200, &"eip155:1".into(), &90.into())
    );
    assert_eq!(get("/v1/collections").await, (200, "{\"collections\":[]}".to_owned()));
    assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get("/metrics").await.0, 200);
    let (code, body) = get("/v1/nothing").await;
    assert_eq!((code, body.as_str()), (404, "{\"error\":\"this path is not known\"}"));

    cancel.cancel();
    served.await.unwrap();
    database.close().await;
}
