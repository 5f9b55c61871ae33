//! What a simulated chain promises: commitments that hold, the same chain from the same seed, valid traffic, true books.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use alloy_rlp::{BufMut, Encodable};
use proptest::prelude::*;
use testchain::block::{Block, Header, Log, Receipt};
use testchain::ledger::{Finality, Ledger};
use testchain::simulation::{Flaw, Layout, Settings, Simulation, Standard, Step, Token, Transfer, schedule};

fn chain(seed: u64, blocks: u64) -> (Simulation, Vec<Block>) {
    let mut simulation = Simulation::new(Settings::small(seed));
    let blocks = simulation.blocks(blocks);
    (simulation, blocks)
}

fn header(block: &Block) -> &alloy_consensus::Header {
    let Header::Typed(header) = &block.header else {
        unreachable!("simulated headers are typed")
    };
    header
}

fn logs(block: &Block) -> impl Iterator<Item = &Log> {
    block.receipts.iter().flat_map(|receipt| &receipt.logs)
}

#[test]
fn header_hashes_recompute_and_parents_link() {
    let (_, blocks) = chain(1, 60);
    assert_eq!(blocks[0].parent_hash, B256::ZERO);
    for (height, block) in blocks.iter().enumerate() {
        let header = header(block);
        assert_eq!(keccak256(alloy_rlp::encode(header)), block.hash);
        assert_eq!(
            (header.number, header.parent_hash, header.timestamp, header.logs_bloom),
            (block.number, block.parent_hash, block.timestamp, block.logs_bloom)
        );
        assert_eq!(block.number, height as u64);
    }
    assert!(
        blocks
            .windows(2)
            .all(|pair| pair[1].parent_hash == pair[0].hash && pair[1].timestamp > pair[0].timestamp)
    );
}

/// The receipt by EIP-2718 and the Yellow Paper, written out by hand.
fn encode_receipt(receipt: &Receipt) -> Vec<u8> {
    let encode_log = |log: &Log| {
        list(&[
            encoded(&log.address),
            list(&log.topics.iter().map(encoded).collect::<Vec<_>>()),
            encoded(&log.data),
        ])
    };
    let mut bloom = Bloom::ZERO;
    for log in &receipt.logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    let fields = [
        encoded(&receipt.success),
        encoded(&receipt.cumulative_gas_used),
        encoded(&bloom),
        list(&receipt.logs.iter().map(encode_log).collect::<Vec<_>>()),
    ];
    let mut bytes = if receipt.tx_type == 0 {
        Vec::new()
    } else {
        vec![receipt.tx_type]
    };
    bytes.extend(list(&fields));
    bytes
}

fn encoded(value: &impl Encodable) -> Vec<u8> {
    alloy_rlp::encode(value)
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let payload = items.concat();
    let mut bytes = Vec::new();
    alloy_rlp::Header {
        list: true,
        payload_length: payload.len(),
    }
    .encode(&mut bytes);
    bytes.put_slice(&payload);
    bytes
}

/// A Merkle Patricia trie by the Yellow Paper's recursion, as plain as it gets.
fn trie_root(pairs: &[(Vec<u8>, Vec<u8>)]) -> B256 {
    if pairs.is_empty() {
        return keccak256([0x80]);
    }
    let nibbles = |key: &Vec<u8>| key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect::<Vec<u8>>();
    let mut pairs: Vec<(Vec<u8>, &[u8])> = pairs
        .iter()
        .map(|(key, value)| (nibbles(key), value.as_slice()))
        .collect();
    pairs.sort();
    keccak256(trie_node(&pairs, 0))
}

fn trie_node(pairs: &[(Vec<u8>, &[u8])], depth: usize) -> Vec<u8> {
    if let [(key, value)] = pairs {
        return list(&[
            encoded(&Bytes::from(hex_prefix(&key[depth..], true))),
            encoded(&Bytes::copy_from_slice(value)),
        ]);
    }
    let (first, last) = (&pairs[0].0, &pairs[pairs.len() - 1].0);
    let shared = first[depth..]
        .iter()
        .zip(&last[depth..])
        .take_while(|(a, b)| a == b)
        .count();
    if shared > 0 {
        let path = Bytes::from(hex_prefix(&first[depth..depth + shared], false));
        return list(&[encoded(&path), trie_reference(pairs, depth + shared)]);
    }
    let ends_here = pairs.iter().find(|(key, _)| key.len() == depth);
    let mut children: Vec<Vec<u8>> = (0..16u8)
        .map(|nibble| {
            let below: Vec<_> = pairs
                .iter()
                .filter(|(key, _)| key.get(depth) == Some(&nibble))
                .cloned()
                .collect();
            if below.is_empty() {
                vec![0x80]
            } else {
                trie_reference(&below, depth + 1)
            }
        })
        .collect();
    children.push(ends_here.map_or(vec![0x80], |(_, value)| encoded(&Bytes::copy_from_slice(value))));
    list(&children)
}

fn trie_reference(pairs: &[(Vec<u8>, &[u8])], depth: usize) -> Vec<u8> {
    let node = trie_node(pairs, depth);
    if node.len() < 32 {
        node
    } else {
        encoded(&keccak256(node))
    }
}

fn hex_prefix(nibbles: &[u8], leaf: bool) -> Vec<u8> {
    let flag = if leaf { 2 } else { 0 };
    let mut padded = if nibbles.len() % 2 == 1 {
        vec![flag + 1]
    } else {
        vec![flag, 0]
    };
    padded.extend(nibbles);
    padded.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn receipts_roots_recompute_from_the_receipts() {
    let mut dense = Simulation::new(Settings {
        logs_per_block: 700,
        ..Settings::small(2)
    });
    let mut market = Simulation::new(Settings::market(2));
    let (_, blocks) = chain(2, 60);
    for block in blocks.iter().chain(&dense.blocks(3)).chain(&market.blocks(30)) {
        let pairs: Vec<_> = (0u64..)
            .zip(&block.receipts)
            .map(|(index, receipt)| (encoded(&index), encode_receipt(receipt)))
            .collect();
        assert_eq!(trie_root(&pairs), header(block).receipts_root, "block {}", block.number);
    }
}

#[test]
fn blooms_hold_every_log_and_say_no_to_most_else() {
    let (_, blocks) = chain(3, 60);
    let stranger = Address::repeat_byte(0xee);
    for block in &blocks {
        assert!(logs(block).all(|log| block.logs_bloom.contains_raw_log(log.address, &log.topics)));
        let mut bloom = Bloom::ZERO;
        logs(block).for_each(|log| bloom.accrue_raw_log(log.address, &log.topics));
        assert_eq!(bloom, block.logs_bloom);
    }
    assert!(
        blocks
            .iter()
            .filter(|block| block.logs_bloom.contains_raw_log(stranger, &[]))
            .count()
            < 5
    );
}

#[test]
fn blocks_are_in_good_order() {
    let (_, blocks) = chain(4, 200);
    let mut hashes = BTreeSet::new();
    for block in &blocks {
        assert_eq!(block.transactions.len(), block.receipts.len());
        assert!(
            logs(block)
                .enumerate()
                .all(|(index, log)| log.log_index == index as u32 && log.topics.len() <= 4)
        );
        assert!(
            block
                .receipts
                .iter()
                .all(|receipt| receipt.success || receipt.logs.is_empty())
        );
        assert!(
            block
                .receipts
                .is_sorted_by(|a, b| a.cumulative_gas_used < b.cumulative_gas_used)
        );
        assert!(
            block
                .transactions
                .iter()
                .all(|transaction| hashes.insert(transaction.hash))
        );
    }
    let receipts = || blocks.iter().flat_map(|block| &block.receipts);
    assert!(
        receipts().any(|receipt| receipt.logs.len() > 3),
        "transactions with several logs"
    );
    assert!(receipts().any(|receipt| !receipt.success), "failed transactions");
    assert!(
        blocks.iter().skip(1).any(|block| logs(block).count() == 0),
        "blocks without logs"
    );
}

#[test]
fn equal_settings_make_equal_chains() {
    let hashes = |settings: Settings| Simulation::new(settings).blocks(30).last().unwrap().hash;
    assert_eq!(hashes(Settings::small(5)), hashes(Settings::small(5)));
    assert_ne!(hashes(Settings::small(5)), hashes(Settings::small(6)));
    assert_ne!(
        hashes(Settings::small(5)),
        hashes(Settings {
            chain_id: 137,
            ..Settings::small(5)
        })
    );
}

#[test]
fn a_fork_equals_its_origin_up_to_the_ancestor_and_differs_above() {
    let (mut origin, blocks) = chain(7, 40);
    for branch in 1..7 {
        let mut fork = origin.fork(25, branch).unwrap();
        assert_eq!(fork.height(), Some(25));
        assert_eq!(fork.hash(25), Some(blocks[25].hash));
        assert_eq!(fork.books().at(25), origin.books().at(25));
        let continued = fork.blocks(15);
        assert_eq!(continued[0].parent_hash, blocks[25].hash);
        assert!(
            continued
                .iter()
                .zip(&blocks[26..])
                .all(|(ours, theirs)| ours.hash != theirs.hash)
        );
    }
    assert!(origin.fork(40, 1).is_none());
    assert_eq!(origin.next_block().parent_hash, blocks[39].hash);
}

#[test]
fn a_fork_may_include_the_transactions_it_left_behind_again() {
    let (origin, blocks) = chain(8, 40);
    let again = |branch: u64| {
        let continued = origin.fork(20, branch).unwrap().blocks(5);
        let same = |(ours, theirs): &(&Block, &Block)| {
            ours.transactions
                .iter()
                .map(|t| t.hash)
                .eq(theirs.transactions.iter().map(|t| t.hash))
        };
        continued.iter().zip(&blocks[21..]).take_while(same).count()
    };
    assert_eq!([again(3), again(4), again(5)], [0, 1, 2]);
}

#[test]
fn a_fork_of_a_fork_below_its_ancestor_is_the_origin_there() {
    let (origin, blocks) = chain(9, 40);
    let mut fork = origin.fork(30, 5).unwrap();
    fork.blocks(20);
    let mut deeper = fork.fork(10, 3).unwrap();
    let mut direct = origin.fork(10, 3).unwrap();
    assert_eq!(deeper.hash(10), Some(blocks[10].hash));
    assert_eq!(
        deeper.blocks(9).last().unwrap().hash,
        direct.blocks(9).last().unwrap().hash
    );
}

/// Replays items as a contract would run them, and fails where a contract would revert.
#[derive(Default)]
struct Contracts {
    owners: HashMap<Token, Address>,
    balances: HashMap<(Token, Address), U256>,
}

impl Contracts {
    fn run(&mut self, transfer: &Transfer) {
        let token = Token {
            contract: transfer.contract,
            id: transfer.token,
        };
        assert!(!(transfer.is_mint() && transfer.is_burn()));
        if transfer.layout.standard() == Standard::Erc1155 {
            if !transfer.is_mint() {
                let balance = self.balances.entry((token, transfer.from)).or_default();
                assert!(*balance >= transfer.quantity, "sends more than held: {transfer:?}");
                *balance -= transfer.quantity;
            }
            *self.balances.entry((token, transfer.to)).or_default() += transfer.quantity;
        } else {
            let owner = self.owners.insert(token, transfer.to).unwrap_or_default();
            assert_eq!(owner, transfer.from, "sends what is not owned: {transfer:?}");
        }
    }
}

fn replay(simulation: &Simulation) {
    let mut contracts = Contracts::default();
    simulation
        .books()
        .transfers()
        .for_each(|transfer| contracts.run(&transfer));
    let holdings = simulation.books().at(u64::MAX);
    contracts.owners.retain(|_, owner| *owner != Address::ZERO);
    contracts
        .balances
        .retain(|(_, holder), quantity| *holder != Address::ZERO && !quantity.is_zero());
    assert_eq!(holdings.owners().collect::<HashMap<_, _>>(), contracts.owners);
    assert_eq!(
        holdings
            .balances()
            .map(|(token, holder, n)| ((token, holder), n))
            .collect::<HashMap<_, _>>(),
        contracts.balances
    );
    for (token, supply) in holdings.supply() {
        let held: U256 = holdings
            .balances()
            .filter(|(held, ..)| *held == token)
            .map(|(.., quantity)| quantity)
            .sum();
        assert_eq!(held, supply);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn traffic_is_valid_through_any_reorgs(seed in any::<u64>(), life in any::<u64>(), trades in 0..6_u32) {
        let mut simulation = Simulation::new(Settings {
            trades_per_block: trades,
            ..Settings::small(seed)
        });
        let ledger = Ledger::new(1, Vec::new(), Finality::default());
        for step in schedule(life, 12, 20) {
            simulation.play(step, &ledger);
            let head = ledger.head().unwrap();
            prop_assert_eq!((simulation.height(), simulation.hash(head.number)), (Some(head.number), Some(head.hash)));
        }
        let canonical = ledger.range(0, u64::MAX);
        prop_assert!(canonical.windows(2).all(|pair| pair[1].parent_hash == pair[0].hash));
        replay(&simulation);
    }
}

type Movement = (u64, u32, Address, Address, Address, U256, U256);

/// What the log at `index` states by its layout, read here and nowhere else: events and entries have to agree.
fn read(block: &Block, logs: &[&Log], index: usize) -> Vec<Movement> {
    let log = logs[index];
    let topics = &log.topics;
    let party = |index: usize| Address::from_word(topics[index]);
    let word = |index: usize| U256::from_be_slice(&log.data[32 * index..32 * (index + 1)]);
    let worded = |index: usize| Address::from_word(word(index).into());
    let item = |from, to, token, quantity| (block.number, log.log_index, log.address, from, to, token, quantity);
    let one = |from, to, token| vec![item(from, to, token, U256::ONE)];
    let (kitties, voxels) = (
        log.address.to_string().starts_with("0x06012c8c"),
        log.address.to_string().starts_with("0x79986aF1"),
    );
    match alloy_primitives::hex::encode(&topics[0][..4]).as_str() {
        "ddf252ad" if topics.len() == 4 => one(party(1), party(2), topics[3].into()),
        "ddf252ad" if kitties && topics.len() == 1 => one(worded(0), worded(1), word(2)),
        "ddf252ad" if voxels && topics.len() == 3 => one(party(1), party(2), word(0)),
        "8a0e37b7" => one(Address::ZERO, party(1), word(0)),
        "05af636b" => one(party(1), party(2), word(0)),
        "58e5d5a5" if party(3) == Address::ZERO => {
            let count = logs[index - 1];
            assert_eq!(
                (count.address, count.topics.len(), count.topics[1]),
                (log.address, 3, topics[2])
            );
            one(party(2), Address::from_word(count.topics[2]), topics[1].into())
        }
        "58e5d5a5" => one(party(2), party(3), topics[1].into()),
        "c3d58168" => vec![item(party(2), party(3), word(0), word(1))],
        "4a39dc06" => {
            let count = word(2).to::<usize>();
            assert_eq!(
                (word(0), word(1), log.data.len()),
                (U256::from(64), U256::from(96 + 32 * count), 128 + 64 * count)
            );
            (0..count)
                .map(|i| item(party(2), party(3), word(3 + i), word(4 + count + i)))
                .collect()
        }
        "deaa91b6" => {
            let first: u64 = U256::from_be_bytes(topics[1].0).to();
            (first..=word(0).to())
                .flat_map(|token| one(party(2), party(3), U256::from(token)))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_books_say_what_the_logs_say() {
    let (simulation, blocks) = chain(10, 300);
    let books = simulation.books();
    let refused: BTreeSet<(u64, u32)> = books.malformed().iter().map(|log| (log.block, log.log_index)).collect();
    let mut read_back = Vec::new();
    for block in &blocks {
        let logs: Vec<&Log> = logs(block).collect();
        let accepted = (0..logs.len()).filter(|index| !refused.contains(&(block.number, *index as u32)));
        read_back.extend(accepted.flat_map(|index| read(block, &logs, index)));
    }
    let entered = books
        .transfers()
        .map(|t| (t.block, t.log_index, t.contract, t.from, t.to, t.token, t.quantity));
    assert_eq!(read_back, entered.collect::<Vec<_>>());
}

#[test]
fn the_smallest_settings_still_make_a_chain() {
    let none = Settings {
        owners: 0,
        circle: 0,
        erc721_contracts: 0,
        erc1155_contracts: 0,
        erc20_contracts: 0,
        ..Settings::small(15)
    };
    let mut simulation = Simulation::new(Settings {
        batch_items: 0..=0,
        range_tokens: 0..=0,
        ..none
    });
    simulation.blocks(50);
    replay(&simulation);
    let mut silent = Simulation::new(Settings {
        logs_per_block: 0,
        ..Settings::small(15)
    });
    assert_eq!(silent.blocks(10).iter().flat_map(logs).count(), 0);
}

#[test]
fn every_layout_flaw_and_oddity_turns_up() {
    let (simulation, _) = chain(11, 400);
    let books = simulation.books();
    let layouts: BTreeSet<Layout> = books.transfers().map(|transfer| transfer.layout).collect();
    assert_eq!(layouts.len(), 9);
    let flaws: BTreeSet<Flaw> = books.malformed().iter().map(|log| log.flaw).collect();
    assert_eq!(flaws.len(), 6);
    assert!(books.transfers().any(|t| t.from == t.to), "self-transfers");
    assert!(books.transfers().any(|t| t.quantity.is_zero()), "zero quantities");
    assert!(
        books.transfers().any(|t| t.quantity > U256::from(u64::MAX)),
        "large quantities"
    );
    assert!(
        books.transfers().any(|t| t.token > U256::from(u128::MAX)),
        "large token numbers"
    );
    let mut seen = BTreeMap::<_, BTreeSet<U256>>::new();
    assert!(
        books
            .transfers()
            .any(|t| !seen.entry((t.block, t.log_index)).or_default().insert(t.token)),
        "repeated ids"
    );
    let mut burned = BTreeSet::new();
    let mut revived = false;
    for transfer in books.transfers().filter(|t| t.layout == Layout::Erc721) {
        let token = (transfer.contract, transfer.token);
        revived |= transfer.is_mint() && burned.contains(&token);
        burned.extend(transfer.is_burn().then_some(token));
    }
    assert!(revived, "burned tokens minted again");
    assert!(books.at(400).burned().len() > 0);
}

#[test]
fn chains_other_than_ethereum_have_no_legacy_contracts() {
    let mut simulation = Simulation::new(Settings {
        chain_id: 137,
        ..Settings::small(12)
    });
    simulation.blocks(100);
    let standard = [
        Layout::Erc721,
        Layout::Erc2309,
        Layout::Erc1155Single,
        Layout::Erc1155Batch,
    ];
    assert!(
        simulation
            .books()
            .transfers()
            .all(|transfer| standard.contains(&transfer.layout))
    );
}

#[test]
fn books_at_a_height_are_the_books_of_the_shorter_chain() {
    let (long, _) = chain(13, 80);
    let (short, _) = chain(13, 41);
    assert_eq!(long.books().at(40), short.books().at(40));
    assert_eq!(
        long.books().transfers_in(20..=30).len(),
        long.books()
            .transfers()
            .filter(|t| (20..=30).contains(&t.block))
            .count()
    );
    let tally = long.books().at(u64::MAX).tally().clone();
    assert_eq!(tally.items, long.books().transfers().len() as u64);
    assert_eq!(tally.items_by_layout.values().sum::<u64>(), tally.items);
}

#[test]
fn a_chain_may_start_anywhere() {
    let mut simulation = Simulation::new(Settings {
        start_block: 19_000_000,
        ..Settings::small(14)
    });
    let blocks = simulation.blocks(10);
    assert_eq!((blocks[0].number, simulation.height()), (19_000_000, Some(19_000_009)));
    assert_ne!(blocks[0].parent_hash, B256::ZERO);
    assert!(simulation.fork(19_000_000, 1).is_some() && simulation.fork(18_999_999, 1).is_none());
}

#[test]
fn schedules_hold_growth_and_reorgs_shallow_and_deep() {
    let steps = schedule(1, 200, 30);
    assert_eq!(steps, schedule(1, 200, 30));
    assert!(matches!(steps[0], Step::Advance { .. }));
    let depths: Vec<u64> = steps
        .iter()
        .filter_map(|step| {
            if let Step::Reorg { depth, .. } = step {
                Some(*depth)
            } else {
                None
            }
        })
        .collect();
    assert!(depths.contains(&1) && depths.iter().any(|depth| *depth > 20) && depths.iter().all(|depth| *depth <= 30));
}

/// The chains that figures are made from: a change of what they emit makes the figures worthless.
#[test]
fn chains_without_markets_emit_what_they_always_did() {
    let digest = |settings: Settings, blocks| {
        let blocks = Simulation::new(settings).blocks(blocks);
        let roots = blocks.iter().map(|block| header(block).receipts_root);
        keccak256(roots.collect::<Vec<_>>().concat()).to_string()
    };
    assert_eq!(
        digest(Settings::benchmark(1), 40),
        "0xe2da33865c7aaf4e5afd2d6336bdccad1b7f5680e788319c2335e61e4a0ebebd"
    );
    assert_eq!(
        digest(Settings::small(1), 120),
        "0x22bbf9ae19ef7ffbad57cefb8d0afb76bdc7287400935e711d037dade12e688b"
    );
    assert_eq!(
        digest(Settings::demo(1), 60),
        "0x2e44d971f42047d3f30d445d75b9f03b226d807fb2138c1f8cb2fc988d97d4ac"
    );
}
