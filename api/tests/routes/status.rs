//! Where every chain stands.

use std::time::Duration;

use serde_json::Value;

use crate::asked::Api;
use crate::rows::{fill, register};
use testkit::database::with_store;

#[tokio::test]
async fn the_status_names_every_chain_with_its_gaps() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        let api = Api::over(&store.pool);
        let status = api.ok("/v1/status").await;
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
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_an_answer_and_where_chains_stood_is_still_known() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        let api = Api::over(&store.pool);
        let before = api.ok("/v1/status").await;
        store.pool.close().await;
        let answer = api.ask("/v1/transfers?chain=eip155:1").await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["retry-after"].as_bytes()),
            (503, &b"5"[..])
        );
        let mut after = api.ok("/v1/status").await;
        // For a moment what was just read is still good enough.
        while after.get("stale").is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            after = api.ok("/v1/status").await;
        }
        assert!(
            after["stale"].as_str().is_some_and(|why| why.contains("database")),
            "{after}"
        );
        assert_eq!(after["chains"].take(), before["chains"], "what was read last");
        assert_eq!(after["as_of"], before["as_of"]);
    })
    .await;
}
