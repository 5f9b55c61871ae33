//! What a summary counts and samples.

use decoders::block::ChainId;
use queries::summary;

use crate::facts::{CHAIN, MULTI, SINGLE, index};
use testkit::database::with_store;

#[tokio::test]
async fn a_summary_counts_what_was_applied_and_samples_what_moved_last() {
    with_store(1, |store| async move {
        index(&store, 100..=109).await;
        index(&store, 115..=119).await;

        let summary = summary::read(&store.pool, CHAIN, 3).await.unwrap();
        let totals = &summary.totals;
        assert_eq!(
            (totals.blocks, totals.first_block, totals.last_block),
            (15, Some(100), Some(119))
        );
        assert_eq!((totals.mints, totals.transfers, totals.burns), (4, 3, 1));
        assert_eq!((totals.sales, totals.faults), (2, 2));
        assert_eq!((totals.collection_count, totals.token_count), (2, 3));
        let collections = summary.collections.iter();
        assert_eq!(
            collections
                .map(|one| (one.contract.clone(), one.items, one.owners))
                .collect::<Vec<_>>(),
            [(format!("{SINGLE:#x}"), 2, 1), (format!("{MULTI:#x}"), 1, 2)]
        );
        let tokens = summary.tokens.iter();
        assert_eq!(
            tokens
                .map(|one| (one.token.as_str(), one.owners.len()))
                .collect::<Vec<_>>(),
            [("2", 1), ("7", 2)]
        );
        let largest = &summary.tokens[1].owners[0];
        assert_eq!(
            (largest.owner.as_str(), largest.quantity.as_str()),
            (&*format!("0x{}", "aa".repeat(20)), "6")
        );
        let sold = summary.latest_sales.iter().map(|sale| sale.block_number);
        assert_eq!(sold.collect::<Vec<_>>(), [105, 104]);

        let short = summary::read(&store.pool, CHAIN, 1).await.unwrap();
        assert_eq!(
            (short.collections.len(), short.tokens.len(), short.latest_sales.len()),
            (1, 1, 1)
        );
        let empty = summary::read(&store.pool, ChainId(5), 3).await.unwrap();
        assert_eq!((empty.totals.blocks, empty.totals.first_block), (0, None));
        assert!(empty.collections.is_empty() && empty.tokens.is_empty());
    })
    .await;
}
