//! Collections and tokens.

use crate::asked::Api;
use crate::rows::{MANY, ONE, fill, register};
use testkit::database::with_store;

#[tokio::test]
async fn collections_come_by_events_and_tokens_with_their_owners() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        let api = Api::over(&store.pool);
        let empty = api.ok("/v1/collections?chain=eip155:5").await;
        assert_eq!(
            empty["collections"],
            serde_json::json!([]),
            "a chain with nothing yet is known"
        );
        let collections = api.ok("/v1/collections?chain=eip155:1&limit=1").await;
        let first = &collections["collections"][0];
        assert_eq!(collections["collections"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&first["name"], &first["items"], &first["owners"], &first["mints"]),
            (&"Ones".into(), &2.into(), &1.into(), &3.into())
        );
        let all = api.ok("/v1/collections").await;
        assert_eq!(
            (&all["collections"][1]["items"], &all["collections"][1]["owners"]),
            (&1.into(), &2.into())
        );

        let token = api.ok(&format!("/v1/tokens/eip155:1/{MANY}/7")).await;
        let holdings = serde_json::json!([
            { "owner": format!("0x{}", "cc".repeat(20)), "quantity": "6" },
            { "owner": format!("0x{}", "bb".repeat(20)), "quantity": "4" },
        ]);
        assert_eq!(
            (&token["owners"], &token["standard"], &token["burned"]),
            (&holdings, &"erc1155".into(), &false.into())
        );
        let burned = api.ok(&format!("/v1/tokens/eip155:1/{ONE}/3")).await;
        assert_eq!(
            (&burned["burned"], &burned["owners"]),
            (&true.into(), &serde_json::json!([]))
        );
    })
    .await;
}
