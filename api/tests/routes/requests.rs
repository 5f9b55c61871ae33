//! Requests that cannot be answered.

use crate::asked::Api;
use crate::rows::{ONE, fill, fill_sales, register};
use testkit::database::with_store;

#[tokio::test]
async fn a_wrong_request_is_told_what_is_expected() {
    with_store(2, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        fill_sales(&store.pool).await;
        let api = Api::over(&store.pool);
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
            (format!("/v1/tokens/eip155:7/{ONE}/99"), 404, "eip155:1, eip155:5 are"),
            (
                "/v1/collections?chain=eip155:7".to_owned(),
                404,
                "eip155:1, eip155:5 are",
            ),
            ("/v1/transfers?chain=eip155:7".to_owned(), 404, "chain eip155:7"),
            (
                format!("/v1/transfers?chain=eip155:7&contract={ONE}&token=1"),
                404,
                "/v1/status",
            ),
            ("/v1/sales?chain=eip155:7".to_owned(), 404, "chain eip155:7"),
            ("/v1/listings?chain=eip155:7".to_owned(), 404, "chain eip155:7"),
            (
                format!("/v1/offers?chain=eip155:7&account={ONE}"),
                404,
                "chain eip155:7",
            ),
            ("/v1/collections?chain=x".to_owned(), 400, "eip155:1"),
            ("/v1/nothing".to_owned(), 404, "path"),
        ] {
            let (got, body) = api.get(&path).await;
            assert_eq!(got, code, "{path}: {body}");
            assert!(body["error"].as_str().unwrap().contains(part), "{path}: {body}");
        }
    })
    .await;
}
