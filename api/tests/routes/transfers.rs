//! What moved.

use crate::asked::Api;
use crate::rows::{ONE, fill, register};
use testkit::database::with_store;

#[tokio::test]
async fn transfers_come_newest_first_page_by_page() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        let api = Api::over(&store.pool);
        let mut seen = Vec::new();
        let mut path = "/v1/transfers?chain=eip155:1&limit=2".to_owned();
        loop {
            let page = api.ok(&path).await;
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
        let of_token = api
            .ok(&format!("/v1/transfers?chain=eip155:1&contract={ONE}&token=2"))
            .await;
        assert_eq!(of_token["transfers"].as_array().unwrap().len(), 2);
        assert_eq!(
            api.ok("/v1/transfers?chain=eip155:5").await["transfers"],
            serde_json::json!([])
        );
    })
    .await;
}
