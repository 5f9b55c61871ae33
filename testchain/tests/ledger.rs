//! What a ledger promises the server: one canonical chain, every branch by hash, heads announced as they change.

#![cfg(test)]

use std::sync::Arc;

use testchain::block::Block;
use testchain::ledger::{BlockHead, Finality, Ledger};
use testchain::simulation::{Settings, Simulation};

const FINALITY: Finality = Finality {
    safe_depth: 3,
    finalized_depth: 6,
};

fn simulated(blocks: u64) -> (Simulation, Ledger) {
    let mut simulation = Simulation::new(Settings::small(1));
    let ledger = Ledger::new(1, simulation.blocks(blocks), FINALITY);
    (simulation, ledger)
}

fn number(block: Option<Arc<Block>>) -> Option<u64> {
    block.map(|block| block.number)
}

#[test]
fn blocks_are_found_by_number_hash_and_range() {
    let (simulation, ledger) = simulated(20);
    for height in 0..20 {
        let block = ledger.by_number(height).unwrap();
        assert_eq!(Some(block.hash), simulation.hash(height));
        assert_eq!(number(ledger.by_hash(&block.hash)), Some(height));
    }
    let heights = |from, to| {
        ledger
            .range(from, to)
            .iter()
            .map(|block| block.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(heights(5, 7), [5, 6, 7]);
    assert_eq!(heights(18, 90), [18, 19]);
    assert_eq!(heights(7, 5), [0; 0]);
    assert!(ledger.by_number(20).is_none());
}

#[test]
fn transactions_are_found_with_their_place() {
    let (_, ledger) = simulated(20);
    for block in ledger.range(0, 19) {
        for (index, transaction) in block.transactions.iter().enumerate() {
            let (found, at) = ledger.transaction(&transaction.hash).unwrap();
            assert_eq!((found.hash, at), (block.hash, index));
        }
    }
}

#[test]
fn safe_and_finalized_trail_the_head() {
    let (mut simulation, ledger) = simulated(5);
    assert_eq!(
        [number(ledger.head()), number(ledger.safe()), number(ledger.finalized())],
        [Some(4), Some(1), None]
    );
    ledger.extend(simulation.blocks(5));
    assert_eq!(
        [number(ledger.head()), number(ledger.safe()), number(ledger.finalized())],
        [Some(9), Some(6), Some(3)]
    );
}

#[test]
fn a_reorg_replaces_the_top_and_forgets_nothing() {
    let (simulation, ledger) = simulated(20);
    let shared = ledger.clone();
    let old = ledger.range(13, 19);
    let mut fork = simulation.fork(12, 3).unwrap();
    ledger.reorg(12, fork.blocks(4));
    assert_eq!(number(shared.head()), Some(16));
    assert!((13..=16).all(|height| shared.by_number(height).unwrap().hash == fork.hash(height).unwrap()));
    for block in &old {
        assert!(shared.by_hash(&block.hash).is_some() && !shared.is_canonical(&block.hash));
        assert!(
            block
                .transactions
                .iter()
                .all(|transaction| shared.transaction(&transaction.hash).is_none())
        );
    }
    assert!(shared.is_canonical(&shared.by_number(12).unwrap().hash));
}

#[test]
fn a_transaction_in_two_branches_is_found_in_the_canonical_one() {
    let (simulation, ledger) = simulated(20);
    let old = ledger.by_number(13).unwrap();
    let mut fork = simulation.fork(12, 5).unwrap();
    ledger.reorg(12, fork.blocks(4));
    for transaction in &old.transactions {
        let (block, _) = ledger.transaction(&transaction.hash).unwrap();
        assert_eq!((block.number, Some(block.hash)), (13, fork.hash(13)));
    }
    assert_ne!(fork.hash(13), Some(old.hash));
}

#[test]
fn scattered_blocks_are_served_too() {
    let blocks = Simulation::new(Settings::small(1)).blocks(40);
    let scattered: Vec<Block> = [30, 7, 12].map(|height: usize| blocks[height].clone()).into();
    let ledger = Ledger::new(1, scattered, FINALITY);
    assert_eq!(number(ledger.first()), Some(7));
    assert_eq!(number(ledger.head()), Some(30));
    assert_eq!(number(ledger.safe()), Some(12));
    assert_eq!(
        [8, 12, 30].map(|height| number(ledger.by_number(height))),
        [None, Some(12), Some(30)]
    );
    assert_eq!(ledger.range(8, 100).len(), 2);
}

#[test]
fn extending_below_the_head_replaces_what_stands_there() {
    let (simulation, ledger) = simulated(10);
    let mut fork = simulation.fork(0, 3).unwrap();
    ledger.extend(fork.blocks(2));
    assert_eq!(number(ledger.head()), Some(2));
    let other = Simulation::new(Settings::small(2)).next_block();
    ledger.extend(vec![other]);
    assert_eq!((number(ledger.first()), number(ledger.head())), (Some(0), Some(0)));
}

#[tokio::test]
async fn watchers_see_the_newest_head() {
    let ledger = Ledger::new(1, Vec::new(), FINALITY);
    let mut heads = ledger.watch_head();
    assert_eq!(*heads.borrow_and_update(), BlockHead::default());
    let mut simulation = Simulation::new(Settings::small(1));
    ledger.extend(simulation.blocks(3));
    heads.changed().await.unwrap();
    assert_eq!(
        *heads.borrow_and_update(),
        BlockHead {
            number: 2,
            hash: simulation.hash(2).unwrap()
        }
    );
    ledger.extend(Vec::new());
    assert!(!heads.has_changed().unwrap());
    let mut fork = simulation.fork(1, 1).unwrap();
    ledger.reorg(1, fork.blocks(1));
    assert!(heads.has_changed().unwrap());
}
