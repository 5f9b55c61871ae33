//! What a commit refuses, and what it leaves to publish.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::world::{CHAIN, SEAPORT, SOURCES, WYVERN, World, wanted};
use alloy_primitives::{Address, B256};
use decoders::block::{BlockRef, ChainId, Proof};
use decoders::fact::{ClosingReason, Facts, Reach};
use decoders::failure::Class;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sinks::commit::{Applied, Move, apply, rewind};
use sinks::digest::digest;
use sinks::error::SinkError;
use sinks::progress::checkpoint::{self, Observation};
use sinks::progress::coverage::{self, Covered, Wanted};
use sinks::progress::lease::{acquire, release, renew};
use sinks::publisher::tail::{Filter, from_outbox};
use sinks::store::Store;
use testkit::database::with_store;

const TTL: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_head_move_from_elsewhere_changes_nothing() {
    with_store(1, |store| async move {
        let world = World::new(1, 12);
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        apply(
            &store,
            &world.facts(0..=4),
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap();
        let before = digest(&store, CHAIN).await.unwrap();

        let elsewhere = BlockRef {
            number: 4,
            hash: B256::repeat_byte(9),
        };
        let facts = world.facts(5..=9);
        let refused = apply(
            &store,
            &facts,
            Move::Head {
                from: Some(elsewhere),
                lease: &lease,
            },
        )
        .await
        .unwrap_err();
        assert!(matches!(refused, SinkError::CheckpointMoved { .. }), "{refused}");
        assert_eq!(refused.class(), Class::Reorg);
        let again = apply(
            &store,
            &world.facts(0..=4),
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap_err();
        assert_eq!(again.class(), Class::Reorg, "a chain begins once");
        let rewound = rewind(
            &store,
            CHAIN,
            BlockRef { number: 9, ..elsewhere },
            world.block(2),
            &lease,
        )
        .await
        .unwrap_err();
        assert_eq!(rewound.class(), Class::Reorg);
        assert_eq!(digest(&store, CHAIN).await.unwrap(), before);

        apply(
            &store,
            &facts,
            Move::Head {
                from: Some(world.block(4)),
                lease: &lease,
            },
        )
        .await
        .unwrap();
        assert_eq!(
            checkpoint::read(&store, CHAIN).await.unwrap().unwrap().block,
            world.block(9)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_writes_no_head() {
    with_store(1, |store| async move {
        let world = World::new(2, 8);
        let first = acquire(&store, CHAIN, "first", Duration::ZERO).await.unwrap().unwrap();
        let step = Move::Head {
            from: None,
            lease: &first,
        };
        apply(&store, &world.facts(0..=2), step).await.unwrap();
        let second = acquire(&store, CHAIN, "second", TTL)
            .await
            .unwrap()
            .expect("the first lease ran out");
        assert!(second.token > first.token);
        assert_eq!(acquire(&store, CHAIN, "third", TTL).await.unwrap(), None);

        let from = Some(world.block(2));
        let refused = apply(&store, &world.facts(3..=3), Move::Head { from, lease: &first })
            .await
            .unwrap_err();
        assert!(matches!(refused, SinkError::LeaseLost { .. }), "{refused}");
        assert_eq!(refused.class(), Class::Fatal);
        let refused = rewind(&store, CHAIN, world.block(2), world.block(1), &first)
            .await
            .unwrap_err();
        assert!(matches!(refused, SinkError::LeaseLost { .. }), "{refused}");
        assert!(matches!(
            renew(&store, &first, TTL).await.unwrap_err(),
            SinkError::LeaseLost { .. }
        ));

        apply(&store, &world.facts(3..=3), Move::Head { from, lease: &second })
            .await
            .unwrap();
        renew(&store, &second, TTL).await.unwrap();
        release(&store, &first).await.unwrap();
        assert_eq!(
            acquire(&store, CHAIN, "third", TTL).await.unwrap(),
            None,
            "the first had nothing to release"
        );
        release(&store, &second).await.unwrap();
        let third = acquire(&store, CHAIN, "third", TTL)
            .await
            .unwrap()
            .expect("the second gave it up");
        assert!(third.token > second.token);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_announcement_is_owed_per_fact() {
    with_store(1, |store| async move {
        let world = World::new(3, 30);
        let facts = world.facts(0..=29);
        for _ in 0..2 {
            apply(&store, &facts, Move::Backfill { branch: 0 }).await.unwrap();
        }
        let pending: Vec<(uuid::Uuid, String, i64, bool)> = sqlx::query_as(
            "select fact_id, kind, catalog_service.block_of(fact_id), body is null from indexer_service.outbox where chain_id = 'eip155:1' order by seq",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        let queue = |id, kind: &str, number: u64| (id, kind.to_owned(), number.cast_signed(), true);
        let moved = facts.transfers.iter().map(|fact| {
            let id = fact.id(CHAIN, world.block(fact.block_number).hash);
            queue(id, fact.kind().as_str(), fact.block_number)
        });
        let sold = facts.sales.iter().map(|fact| {
            let id = fact.id(CHAIN, world.block(fact.block_number).hash);
            queue(id, "sale", fact.block_number)
        });
        let opened = facts.orders.iter().map(|fact| {
            let id = fact.id(CHAIN, world.block(fact.block_number).hash);
            queue(id, fact.kind.as_str(), fact.block_number)
        });
        let ended = facts.closings.iter().filter(|fact| fact.reason != ClosingReason::Filled);
        let ended = ended.map(|fact| {
            let id = fact.id(CHAIN, world.block(fact.block_number).hash);
            queue(id, "cancel", fact.block_number)
        });
        let mut expected: Vec<(uuid::Uuid, String, i64, bool)> = moved.chain(sold).chain(opened).chain(ended).collect();
        expected.sort_unstable();
        assert_eq!(pending, expected, "in chain order, kinds mixed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_tell_of_every_kind_in_chain_order_and_are_taken_back_in_reverse() {
    with_store(1, |store| async move {
        let world = World::new(12, 30);
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        let (facts, undone) = (world.facts(0..=29), world.facts(1..=29));
        let step = Move::Head {
            from: None,
            lease: &lease,
        };
        apply(&store, &facts, step).await.unwrap();
        let messages = pending_messages(&store).await;
        let ids: Vec<String> = world.ids(&facts).iter().map(ToString::to_string).collect();
        assert_eq!(
            messages
                .iter()
                .map(|body| body["id"].as_str().unwrap())
                .collect::<Vec<_>>(),
            ids
        );
        let sold: Vec<&Value> = messages.iter().filter(|body| body["kind"] == "sale").collect();
        assert_eq!(sold.len(), facts.sales.len());
        for (body, fact) in sold.into_iter().zip(&facts.sales) {
            assert_eq!(body["seller"], format!("{:#x}", fact.seller));
            assert_eq!(body["price"], json!(fact.price.map(|price| price.to_string())));
            assert_eq!(body["fees"].as_array().unwrap().len(), fact.fees.len());
            assert_eq!(body["bundle"].is_null(), fact.bundle_size == 1);
        }

        rewind(&store, CHAIN, world.block(29), world.block(0), &lease)
            .await
            .unwrap();
        let left = pending_messages(&store).await;
        let retractions = left.iter().filter(|body| body["kind"] == "retraction");
        let retracted: Vec<&str> = retractions
            .map(|body| body["retracts"]["id"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = world.ids(&undone).iter().rev().map(ToString::to_string).collect();
        assert_eq!(retracted, expected);
        let own: BTreeSet<&str> = left.iter().map(|body| body["id"].as_str().unwrap()).collect();
        assert_eq!(
            own.len(),
            left.len(),
            "two facts of one log have retractions of their own"
        );
        assert_eq!(left.len(), ids.len(), "what was undone is not published");
    })
    .await;
}

/// The bodies of every pending message, in order.
async fn pending_messages(store: &Store) -> Vec<Value> {
    let seen: Vec<_> = from_outbox(store.clone(), 0, Filter::default(), None)
        .try_collect()
        .await
        .unwrap();
    seen.iter()
        .map(|seen| serde_json::from_slice(&seen.body).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retraction_carries_the_fact() {
    with_store(1, |store| async move {
        let world = World::new(4, 30);
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        apply(
            &store,
            &world.facts(0..=29),
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap();
        let facts = world.facts(1..=29);
        rewind(&store, CHAIN, world.block(29), world.block(0), &lease)
            .await
            .unwrap();
        let bodies: Vec<serde_json::Value> =
            sqlx::query_scalar("select body from indexer_service.outbox where kind = 'retraction' order by seq desc")
                .fetch_all(&store.pool)
                .await
                .unwrap();
        let of_kind = |kinds: &[&str]| -> Vec<&Value> {
            let stated = |body: &&Value| kinds.contains(&body["kind"].as_str().unwrap());
            bodies.iter().filter(stated).collect()
        };
        assert_orders_are_queued(&of_kind(&["listing", "offer"]), &of_kind(&["cancel"]), &facts, &world);
        let (sold, moved) = (of_kind(&["sale"]), of_kind(&["transfer", "mint", "burn"]));
        assert_eq!((moved.len(), sold.len()), (facts.transfers.len(), facts.sales.len()));
        for (body, fact) in sold.iter().zip(&facts.sales) {
            let block = world.block(fact.block_number);
            assert_eq!(body["fact_id"], fact.id(CHAIN, block.hash).to_string());
            assert_eq!(body["contract"], format!("{:#x}", fact.contract));
            assert_eq!(body["token_number"], json!(fact.token.map(|token| token.to_string())));
            assert_eq!(body["marketplace"], fact.marketplace);
            assert_eq!(body["price_raw"], json!(fact.price.map(|price| price.to_string())));
            let amounts: Vec<String> = fact.fees.iter().map(|fee| fee.amount.to_string()).collect();
            assert_eq!(body["fee_amounts"], json!(amounts));
            assert_eq!(body["bundle_id"], json!(fact.bundle_id(CHAIN, block.hash)));
            assert_eq!(body["block_hash"], block.hash.to_string());
        }
        for (body, fact) in moved.iter().zip(&facts.transfers) {
            let block = world.block(fact.block_number);
            assert_eq!(body["fact_id"], fact.id(CHAIN, block.hash).to_string());
            assert_eq!(body["kind"], fact.kind().as_str());
            assert_eq!(body["contract"], format!("{:#x}", fact.contract));
            assert_eq!(body["token_id"], fact.token.to_string());
            assert_eq!(body["from"], format!("{:#x}", fact.from));
            assert_eq!(body["to"], format!("{:#x}", fact.to));
            assert_eq!(body["quantity"], fact.quantity.to_string());
            assert_eq!(body["standard"], fact.standard.as_str());
            assert_eq!(body["tx_hash"], format!("{:#x}", fact.tx_hash));
            assert_eq!(body["log_index"], fact.log_index);
            assert_eq!(body["item"], fact.item);
            assert_eq!(body["block_number"], fact.block_number);
            assert_eq!(body["block_hash"], block.hash.to_string());
        }
    })
    .await;
}

fn assert_orders_are_queued(opened: &[&Value], canceled: &[&Value], facts: &Facts, world: &World) {
    assert_eq!(opened.len(), facts.orders.len());
    for (body, fact) in opened.iter().zip(&facts.orders) {
        let block = world.block(fact.block_number);
        assert_eq!(body["fact_id"], fact.id(CHAIN, block.hash).to_string());
        assert_eq!(body["kind"], fact.kind.as_str());
        assert_eq!(body["order_key"], fact.key.to_string());
        assert_eq!(body["token_number"], json!(fact.token.map(|token| token.to_string())));
        assert_eq!(body["price_raw"], json!(fact.price.map(|price| price.to_string())));
        assert_eq!(body["nonce"], json!(fact.nonce.map(|nonce| nonce.to_string())));
        assert_eq!(body["marketplace"], fact.marketplace);
        assert_eq!(body["block_hash"], block.hash.to_string());
    }
    let ended = facts
        .closings
        .iter()
        .filter(|fact| fact.reason != ClosingReason::Filled);
    let ended: Vec<_> = ended.collect();
    assert_eq!(canceled.len(), ended.len());
    for (body, fact) in canceled.iter().zip(ended) {
        let id = fact.id(CHAIN, world.block(fact.block_number).hash);
        assert_eq!(body["fact_id"], id.to_string());
        let (key, maker) = match fact.reach {
            Reach::Key(key) => (Some(key), None),
            Reach::Maker { maker, .. } => (None, Some(maker)),
        };
        assert_eq!(body["order_key"], json!(key.map(|key| key.to_string())));
        assert_eq!(body["maker"], json!(maker.map(|maker| format!("{maker:#x}"))));
        assert_eq!(body["market"], format!("{:#x}", fact.market));
        assert_eq!(body["reason"], fact.reason.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_says_what_is_missing_and_how_the_rest_was_proven() {
    with_store(1, |store| async move {
        let world = World::new(5, 30);
        apply(&store, &world.facts(5..=9), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let mut strong = world.facts_of(8..=14, &["erc721"]);
        strong.proof = Proof::Receipts;
        apply(&store, &strong, Move::Backfill { branch: 0 }).await.unwrap();
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(&SOURCES), 0..=20)
                .await
                .unwrap(),
            [0..=4, 10..=20]
        );
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(&["erc721"]), 0..=20)
                .await
                .unwrap(),
            [0..=4, 15..=20]
        );
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(&["erc721"]), 6..=12)
                .await
                .unwrap(),
            []
        );
        assert_eq!(
            coverage::missing(&store, ChainId(5), &wanted(&["erc721"]), 6..=12)
                .await
                .unwrap(),
            [6..=12]
        );
        coverage::add(&store, CHAIN, "archive", Proof::Chained, 0..=3)
            .await
            .unwrap();
        coverage::add(&store, CHAIN, "archive", Proof::Bloom, 2..=5)
            .await
            .unwrap();

        let covered = |source: &str, proof: &str, range| Covered {
            source: source.into(),
            proof: proof.into(),
            range,
        };
        let read: Vec<Covered> = coverage::read(&store, CHAIN).await.unwrap();
        assert_eq!(
            read,
            [
                covered("archive", "chained", 0..=3),
                covered("archive", "bloom", 4..=5),
                covered("cryptopunks", "bloom", 5..=9),
                covered("erc1155", "bloom", 5..=9),
                covered("erc2309", "bloom", 5..=9),
                covered("erc721", "bloom", 5..=9),
                covered("erc721", "receipts", 10..=14),
                covered("seaport", "bloom", 5..=9),
                covered("wyvern", "bloom", 5..=9),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_fee_is_kept_in_the_gas_policy_of_the_chain_whose_lease_is_held() {
    with_store(1, |store| async move {
        let chains = "insert into chain_registry_service.chains (caip2, chain_numeric, name) values ($1, 1, 'One'), ('eip155:10', 10, 'Ten')";
        sqlx::query(chains).bind(CHAIN.to_string()).execute(&store.pool).await.unwrap();
        let policies = "insert into chain_registry_service.chain_gas_policy (chain_id, max_fee_gwei)
            select id, 100 from chain_registry_service.chains";
        sqlx::query(policies).execute(&store.pool).await.unwrap();
        let fees = async || -> Vec<Option<String>> {
            let read = "select p.last_observed_base_fee_gwei::text from chain_registry_service.chain_gas_policy p
                join chain_registry_service.chains c on c.id = p.chain_id order by c.caip2 = $1 desc";
            sqlx::query_scalar(read).bind(CHAIN.to_string()).fetch_all(&store.pool).await.unwrap()
        };
        let seen = |base_fee| Observation {
            head: 9,
            safe: None,
            finalized: None,
            base_fee,
        };
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        checkpoint::observe(&store, &lease, &seen(Some(1_500_000_007))).await.unwrap();
        assert_eq!(fees().await, [Some("1.500000007".to_owned()), None], "exactly, and of this chain alone");
        checkpoint::observe(&store, &lease, &seen(None)).await.unwrap();
        assert_eq!(fees().await[0].as_deref(), Some("1.500000007"), "a block without one leaves it");
        let lost = sinks::progress::lease::Lease {
            token: lease.token - 1,
            ..lease
        };
        checkpoint::observe(&store, &lost, &seen(Some(1))).await.unwrap_err();
        assert_eq!(fees().await[0].as_deref(), Some("1.500000007"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_observed_before_and_after_the_first_block() {
    with_store(1, |store| async move {
        assert_eq!(checkpoint::observed(&store, CHAIN).await.unwrap(), None);
        let seen = Observation {
            head: 9,
            safe: None,
            finalized: None,
            base_fee: None,
        };
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        checkpoint::observe(&store, &lease, &seen).await.unwrap();
        assert_eq!(checkpoint::observed(&store, CHAIN).await.unwrap(), Some(seen));
        assert_eq!(checkpoint::read(&store, CHAIN).await.unwrap(), None);

        let world = World::new(6, 10);
        apply(
            &store,
            &world.facts(0..=9),
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap();
        let seen = Observation {
            head: 10,
            safe: Some(8),
            finalized: Some(7),
            base_fee: None,
        };
        checkpoint::observe(&store, &lease, &seen).await.unwrap();
        let checkpoint = checkpoint::read(&store, CHAIN).await.unwrap().unwrap();
        assert_eq!((checkpoint.block, checkpoint.head), (world.block(9), Some(10)));
        assert_eq!((checkpoint.safe, checkpoint.finalized), (Some(8), Some(7)));
        let kept: Vec<u64> = checkpoint::kept(&store, CHAIN)
            .await
            .unwrap()
            .iter()
            .map(|block| block.number)
            .collect();
        assert_eq!(kept, [9, 8, 7], "nothing undoes what is below the finalized block");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_jump_and_what_it_leaves_out_stays_a_gap() {
    with_store(1, |store| async move {
        let world = World::new(11, 30);
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        let step = Move::Head {
            from: None,
            lease: &lease,
        };
        apply(&store, &world.facts(0..=4), step).await.unwrap();
        let from = Some(world.block(4));
        apply(&store, &world.facts(20..=24), Move::Head { from, lease: &lease })
            .await
            .unwrap();
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(&SOURCES), 0..=24)
                .await
                .unwrap(),
            [5..=19]
        );
        assert_eq!(
            checkpoint::read(&store, CHAIN).await.unwrap().unwrap().block,
            world.block(24)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_span_is_refused_whole() {
    with_store(1, |store| async move {
        let world = World::new(7, 30);
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        let mut twice = world.facts(0..=29);
        twice.transfers.push(twice.transfers[0].clone());
        let mut stranger = world.facts(0..=29);
        stranger.transfers[0].source = "unheard_of";
        let mut outside = world.facts(0..=29);
        outside.transfers[0].block_number = 77;
        let mut beyond = world.facts(0..=29);
        beyond.transfers[0].log_index = u32::MAX;
        for broken in [twice, stranger, outside, beyond] {
            let refused = apply(&store, &broken, Move::Backfill { branch: 0 }).await.unwrap_err();
            assert!(matches!(refused, SinkError::Inconsistent { .. }), "{refused}");
            assert_eq!(refused.class(), Class::Fatal);
        }
        let mut holes = world.facts(0..=29);
        holes.blocks.remove(7);
        holes.transfers.retain(|fact| fact.block_number != 7);
        let refused = apply(
            &store,
            &holes,
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap_err();
        assert!(matches!(refused, SinkError::Inconsistent { .. }), "{refused}");
        let overlap = Move::Head {
            from: Some(world.block(5)),
            lease: &lease,
        };
        let refused = apply(&store, &world.facts(5..=6), overlap).await.unwrap_err();
        assert!(matches!(refused, SinkError::Inconsistent { .. }), "{refused}");
        assert!(digest(&store, CHAIN).await.unwrap().iter().all(|table| table.rows == 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_backfill_may_go_without_indexes_until_someone_needs_them() {
    with_store(1, |store| async move {
        let indexed = async || {
            let name = "catalog_service.transfer_facts_eip155_1_token";
            let built: bool = sqlx::query_scalar("select to_regclass($1) is not null")
                .bind(name)
                .fetch_one(&store.pool)
                .await
                .unwrap();
            built
        };
        let world = World::new(9, 30);
        assert!(store.defer_indexes(CHAIN).await.unwrap());
        assert!(!indexed().await);
        apply(&store, &world.facts(0..=9), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        assert!(
            store.defer_indexes(CHAIN).await.unwrap(),
            "a load that was cut short goes on"
        );
        store.build_indexes(CHAIN).await.unwrap();
        assert!(indexed().await);
        assert!(!store.defer_indexes(CHAIN).await.unwrap());
        assert!(indexed().await, "a refusal changes nothing");

        // A rewind builds them itself.
        sqlx::query("drop index catalog_service.transfer_facts_eip155_1_token")
            .execute(&store.pool)
            .await
            .unwrap();
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        apply(
            &store,
            &world.facts(10..=29),
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap();
        rewind(&store, CHAIN, world.block(29), world.block(12), &lease)
            .await
            .unwrap();
        assert!(indexed().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_do_not_touch_each_other() {
    with_store(1, |store| async move {
        let world = World::new(8, 20);
        let other = ChainId(11_297_108_109);
        let mut elsewhere = world.facts(0..=19);
        elsewhere.chain = other;
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        apply(
            &store,
            &world.facts(0..=19),
            Move::Head {
                from: None,
                lease: &lease,
            },
        )
        .await
        .unwrap();
        let applied = apply(&store, &elsewhere, Move::Backfill { branch: 0 }).await.unwrap();
        assert_eq!(applied, Applied { skipped: 0, ..applied });
        let before = digest(&store, other).await.unwrap();
        rewind(&store, CHAIN, world.block(19), world.block(0), &lease)
            .await
            .unwrap();
        assert_eq!(digest(&store, other).await.unwrap(), before);
        assert_eq!(before[0].rows, elsewhere.transfers.len() as u64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_registered_later_is_a_gap_of_its_own() {
    with_store(1, |store| async move {
        let world = World::new(9, 20);
        let mut contracts: Vec<_> = world.facts(0..=19).transfers.iter().map(|fact| fact.contract).collect();
        contracts.sort_unstable();
        contracts.dedup();
        let only = |contracts: &[Address]| {
            let mut facts = world.facts(0..=19);
            facts.transfers.retain(|fact| contracts.contains(&fact.contract));
            let of = |contract: &Address| contracts.contains(contract);
            facts.sales.retain(|fact| of(&fact.market) || of(&fact.contract));
            facts.orders.retain(|fact| contracts.contains(&fact.market));
            facts.closings.retain(|fact| contracts.contains(&fact.market));
            facts.faults.retain(|fault| contracts.contains(&fault.contract));
            facts.contracts = contracts.to_vec();
            facts
        };
        let of = |contract: &Address, from| Wanted {
            source: format!("{contract:#x}"),
            from,
        };
        let first = only(&[contracts[0], SEAPORT]);
        let both = only(&[contracts[0], contracts[1], SEAPORT, WYVERN]);

        apply(&store, &first, Move::Backfill { branch: 0 }).await.unwrap();
        let later = [of(&contracts[0], 0), of(&contracts[1], 7)];
        assert_eq!(
            coverage::missing(&store, CHAIN, &later, 0..=19).await.unwrap(),
            [7..=19]
        );

        let applied = apply(&store, &both, Move::Backfill { branch: 0 }).await.unwrap();
        let stated = first.transfers.len() + first.sales.len() + first.orders.len() + first.closings.len();
        assert_eq!(applied.skipped, stated as u64);
        assert_eq!(coverage::missing(&store, CHAIN, &later, 0..=19).await.unwrap(), []);
        with_store(1, |clean| async move {
            apply(&clean, &both, Move::Backfill { branch: 0 }).await.unwrap();
            assert_eq!(
                digest(&store, CHAIN).await.unwrap(),
                digest(&clean, CHAIN).await.unwrap()
            );
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_was_read_before_a_rewind_is_refused() {
    with_store(1, |store| async move {
        let world = World::new(3, 12);
        let lease = acquire(&store, CHAIN, "here", TTL).await.unwrap().unwrap();
        let head = Move::Head {
            from: None,
            lease: &lease,
        };
        apply(&store, &world.facts(9..=11), head).await.unwrap();
        let branch = checkpoint::branch(&store, CHAIN).await.unwrap();
        rewind(&store, CHAIN, world.block(11), world.block(9), &lease)
            .await
            .unwrap();

        let before = digest(&store, CHAIN).await.unwrap();
        let refused = apply(&store, &world.facts(0..=4), Move::Backfill { branch })
            .await
            .unwrap_err();
        assert_eq!(refused.class(), Class::Transient);
        assert_eq!(digest(&store, CHAIN).await.unwrap(), before);

        let branch = checkpoint::branch(&store, CHAIN).await.unwrap();
        apply(&store, &world.facts(0..=4), Move::Backfill { branch })
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_of_before_observed_changes_nothing() {
    with_store(1, |store| async move {
        let seen = |head, finalized| Observation {
            head,
            safe: None,
            finalized: Some(finalized),
            base_fee: None,
        };
        let before = acquire(&store, CHAIN, "before", Duration::ZERO).await.unwrap().unwrap();
        let now = acquire(&store, CHAIN, "now", TTL).await.unwrap().unwrap();
        checkpoint::observe(&store, &now, &seen(20, 10)).await.unwrap();
        let late = checkpoint::observe(&store, &before, &seen(20, 20)).await.unwrap_err();
        assert!(matches!(late, SinkError::LeaseLost { .. }), "{late}");
        assert_eq!(checkpoint::observed(&store, CHAIN).await.unwrap(), Some(seen(20, 10)));
    })
    .await;
}
