//! Lists that are read page by page.

use alloy_primitives::U256;
use decoders::fact::reason;
use decoders::id::token_id;
use queries::faults::{self, FaultFilter};
use queries::page::{Cursor, Keyed, Page, PageRequest};
use queries::{Subject, sales, transfers};
use sinks::store::Store;

use crate::facts::{CHAIN, MULTI, SINGLE, index};
use testkit::database::with_store;

/// What a client sends for the page behind `page`: the cursor travels as text.
fn behind<Row: Keyed<Key: std::fmt::Display + std::str::FromStr>>(
    page: &Page<Row>,
    limit: i64,
) -> PageRequest<Row::Key> {
    let shown = page.next.as_ref().map(Cursor::to_string);
    PageRequest {
        after: shown.map(|text| text.parse().unwrap()),
        limit,
    }
}

#[tokio::test]
async fn what_is_written_between_two_pages_shifts_no_row() {
    with_store(1, |store| async move {
        index(&store, 100..=109).await;
        let first = transfers::page(&store.pool, CHAIN, None, &PageRequest::first(3))
            .await
            .unwrap();
        // Newer blocks, as a follower applies them meanwhile.
        index(&store, 120..=121).await;
        let mut seen: Vec<i64> = first.rows.iter().map(|row| row.block_number).collect();
        let mut request = behind(&first, 3);
        while request.after.is_some() {
            let page = transfers::page(&store.pool, CHAIN, None, &request).await.unwrap();
            seen.extend(page.rows.iter().map(|row| row.block_number));
            request = behind(&page, 3);
        }
        assert_eq!(seen, [107, 106, 105, 104, 103, 102, 101, 100]);
    })
    .await;
}

#[tokio::test]
async fn a_page_holds_what_it_is_asked_for_and_nothing_else() {
    with_store(1, |store| async move {
        index(&store, 100..=109).await;
        let token = token_id(CHAIN, &SINGLE, &U256::from(3));
        let of_token = transfers::page(&store.pool, CHAIN, Some(token), &PageRequest::first(100))
            .await
            .unwrap();
        let kinds: Vec<&str> = of_token.rows.iter().map(|row| row.kind.as_str()).collect();
        assert_eq!((kinds, of_token.next), (vec!["burn", "mint"], None));

        assert_eq!(sold(&store, Subject::Chain).await, [105, 104]);
        assert_eq!(sold(&store, Subject::Collection(SINGLE)).await, [105, 104]);
        assert!(sold(&store, Subject::Collection(MULTI)).await.is_empty());
        let token = Subject::Token {
            contract: SINGLE,
            number: U256::ONE,
        };
        assert_eq!(sold(&store, token).await, [104]);
        assert!(sold(&store, Subject::Account(MULTI)).await.is_empty());
    })
    .await;
}

/// Blocks of the sales of `subject`.
async fn sold(store: &Store, subject: Subject) -> Vec<i64> {
    let page = sales::page(&store.pool, CHAIN, subject, &PageRequest::first(100)).await;
    page.unwrap().rows.iter().map(|sale| sale.block_number).collect()
}

#[tokio::test]
async fn faults_come_by_position_and_by_what_they_are_asked_for() {
    with_store(1, |store| async move {
        index(&store, 100..=109).await;
        let any = FaultFilter::default();
        let first = faults::page(&store.pool, &any, &PageRequest::first(1)).await.unwrap();
        let second = faults::page(&store.pool, &any, &behind(&first, 1)).await.unwrap();
        let third = faults::page(&store.pool, &any, &behind(&second, 1)).await.unwrap();
        let blocks = [&first, &second, &third].map(|page| page.rows.first().map(|fault| fault.block_number));
        assert_eq!((blocks, third.next), ([Some(108), Some(109), None], None));
        for (which, block) in [
            (
                FaultFilter {
                    reason: Some(reason::ABI_UNKNOWN.to_owned()),
                    ..FaultFilter::default()
                },
                Some(109),
            ),
            (
                FaultFilter {
                    contract: Some(SINGLE),
                    chain: Some(CHAIN),
                    ..FaultFilter::default()
                },
                Some(108),
            ),
            (
                FaultFilter {
                    since: Some("2100-01-01T00:00:00Z".parse().unwrap()),
                    ..FaultFilter::default()
                },
                None,
            ),
        ] {
            let found = faults::page(&store.pool, &which, &PageRequest::first(9)).await.unwrap();
            assert_eq!(found.rows.first().map(|fault| fault.block_number), block, "{which:?}");
        }
    })
    .await;
}
