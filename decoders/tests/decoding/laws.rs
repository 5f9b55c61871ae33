//! What holds for any logs: no panic, chain order, one fact per position, the same whatever the cut, the standard's own
//! encoding read back.

use alloy_primitives::{Address, B256, Bytes, Log as Encoded, U256, keccak256};
use alloy_sol_types::{SolEvent, sol};
use decoders::block::{Answer, Call, ChainId, Log, Span};
use decoders::budget::{MAX_EXTRA_FACTS_PER_BLOCK, MAX_EXTRA_FACTS_PER_TRANSACTION, MAX_QUESTIONS_PER_BLOCK};
use decoders::decoder::{Claim, Decoder};
use decoders::fact::{Facts, flag, reason};
use decoders::pass::{decode, decode_logs, decode_pieces, sources, wants};
use decoders::protocols::DECODERS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::logs;
use crate::sound::{assert_adds_up, assert_in_chain_order, assert_orders_are_sound, assert_refused_logs_say_nothing};

sol! {
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event TransferSingle(address indexed operator, address indexed from, address indexed to, uint256 id, uint256 value);
    event TransferBatch(address indexed operator, address indexed from, address indexed to, uint256[] ids, uint256[] values);
    event ConsecutiveTransfer(uint256 indexed fromTokenId, uint256 toTokenId, address indexed fromAddress, address indexed toAddress);
}

const ZERO: Address = Address::ZERO;

fn log(address: Address, topics: &[B256], data: Bytes) -> Log {
    Log {
        block_number: 1,
        log_index: 0,
        tx_index: 0,
        tx_hash: B256::ZERO,
        address,
        topics: topics.iter().copied().collect(),
        data,
    }
}

/// `logs` in a row of blocks and transactions, `shape` naming after which log a transaction or a block ends.
fn in_chain_order(mut logs: Vec<Log>, shape: &[u8]) -> Vec<Log> {
    let (mut block, mut tx, mut index) = (1, 0, 0);
    for (log, turn) in logs.iter_mut().zip(shape.iter().cycle()) {
        match turn % 4 {
            0 => (block, tx, index) = (block + 1, 0, 0),
            1 => tx += 1,
            _ => {}
        }
        (log.block_number, log.tx_index, log.log_index) = (block, tx, index);
        log.tx_hash = keccak256([block, u64::from(tx)].map(u64::to_be_bytes).concat());
        index += 1;
    }
    logs
}

/// Words of the kinds that decide something: small numbers, addresses, clean and dirty, offsets, limits, noise.
pub(crate) fn word() -> impl Strategy<Value = B256> {
    prop_oneof![
        4 => (0u64..300).prop_map(|small| B256::from(U256::from(small))),
        2 => Just(B256::ZERO),
        2 => (0u64..20).prop_map(|words| B256::from(U256::from(words * 32))),
        1 => Just(B256::from(U256::MAX)),
        1 => any::<[u8; 20]>().prop_map(|address| Address::from(address).into_word()),
        1 => any::<[u8; 32]>().prop_map(B256::from),
    ]
}

fn data() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => vec(word(), 0..24).prop_map(|words| words.iter().flat_map(|word| word.0).collect()),
        1 => vec(any::<u8>(), 0..200).prop_map(Bytes::from),
    ]
}

/// A contract some decoder names, or one that none does.
fn contract() -> impl Strategy<Value = Address> {
    let claims = DECODERS.iter().flat_map(|decoder| decoder.claims);
    let named: Vec<Address> = claims
        .flat_map(|claim| claim.addresses.unwrap_or_default())
        .map(|(_, address)| *address)
        .collect();
    prop_oneof![select(named), (1u8..4).prop_map(Address::repeat_byte)]
}

/// A log as some decoder claims it, its words anything; now and then with another contract or number of topics.
fn near_log() -> impl Strategy<Value = Log> {
    let claims: Vec<Claim> = DECODERS.iter().flat_map(|decoder| decoder.claims).copied().collect();
    let odd = (
        prop::option::weighted(0.1, contract()),
        prop::option::weighted(0.1, 0usize..4),
    );
    (
        select(claims),
        any::<prop::sample::Index>(),
        odd,
        vec(word(), 3),
        data(),
    )
        .prop_map(|(claim, index, (other, count), words, data)| {
            let claimed = claim
                .addresses
                .map(|addresses| addresses[index.index(addresses.len())].1);
            let address = other.or(claimed).unwrap_or(Address::repeat_byte(1));
            let count = count.unwrap_or(usize::from(claim.topic_count) - 1);
            let topics: Vec<B256> = std::iter::once(claim.topic0).chain(words).take(count + 1).collect();
            log(address, &topics, data)
        })
}

/// A log of nothing in particular.
fn far_log() -> impl Strategy<Value = Log> {
    (contract(), vec(word(), 0..7), data()).prop_map(|(address, topics, data)| log(address, &topics, data))
}

fn some_logs() -> impl Strategy<Value = Vec<Log>> {
    let one = prop_oneof![9 => near_log(), 1 => far_log()];
    (vec(one, 0..40), vec(any::<u8>(), 1..40)).prop_map(|(logs, shape)| in_chain_order(logs, &shape))
}

/// What a contract may answer: nothing, yes, an address, anything.
pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    let repeated = |word: B256, count| Answer::Returned(Bytes::from(word.0.repeat(count)));
    prop_oneof![
        1 => Just(Answer::Reverted),
        1 => vec(any::<u8>(), 0..70).prop_map(|bytes| Answer::Returned(bytes.into())),
        4 => Just(repeated(B256::with_last_byte(1), 1)),
        4 => (1u8..4).prop_map(move |byte| repeated(Address::repeat_byte(byte).into_word(), 1)),
        4 => vec(word(), 0..40).prop_map(|words| Answer::Returned(words.iter().flat_map(|word| word.0).collect())),
    ]
}

/// Answers every question of `span`, round by round, until none is left.
///
/// # Panics
/// When a question is asked twice, or more rounds are asked for than the pipeline answers.
pub(crate) fn answer_all(span: &mut Span, answers: &[Answer]) {
    for round in 0.. {
        let mut asked = wants(span).calls;
        // What was answered without being an answer stays open.
        asked.retain(|call| !span.context.answers.contains_key(call));
        assert!(
            asked.is_sorted_by(|one, next| one < next),
            "questions are sorted, each once"
        );
        if asked.is_empty() {
            return;
        }
        assert!(
            round < decoders::ROUNDS,
            "an answer raises another question too often: {asked:?}"
        );
        for (call, answer) in asked.into_iter().zip(answers.iter().cycle().skip(round * 7)) {
            assert_eq!(span.context.answers.insert(call, answer.clone()), None, "asked again");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_logs_decode_to_ordered_facts(logs in some_logs()) {
        let span = logs::span(1, logs);
        let facts = decode(&span);
        assert_in_chain_order(&facts);
        assert_refused_logs_say_nothing(&facts);
        assert_orders_are_sound(&facts, &span.logs);
        facts.sales.iter().for_each(assert_adds_up);
        for transfer in &facts.transfers {
            let log = span.logs.iter().find(|log| {
                (log.block_number, log.log_index) == (transfer.block_number, transfer.log_index)
            });
            let log = log.expect("a fact stands at a log of the span");
            prop_assert_eq!((log.tx_hash, log.address), (transfer.tx_hash, transfer.contract));
            prop_assert!(!(transfer.from == ZERO && transfer.to == ZERO));
        }
    }

    #[test]
    fn whatever_contracts_answer_the_laws_hold(logs in some_logs(), answers in vec(answer(), 1..20)) {
        let mut span = logs::span(1, logs);
        answer_all(&mut span, &answers);
        let facts = decode(&span);
        assert_in_chain_order(&facts);
        assert_refused_logs_say_nothing(&facts);
        assert_orders_are_sound(&facts, &span.logs);
        facts.sales.iter().for_each(assert_adds_up);
    }

    #[test]
    fn a_span_cut_between_blocks_says_the_same(logs in some_logs(), answers in vec(answer(), 1..20)) {
        let mut span = logs::span(1, logs.clone());
        answer_all(&mut span, &answers);
        let decoded = |logs| Facts::of(&span).with(decode_logs(ChainId(1), logs, &span.context).into_facts());
        let whole = decoded(&logs);
        let mut pieces = Facts::of(&span);
        for block in logs.chunk_by(|one, next| one.block_number == next.block_number) {
            pieces.append(decoded(block));
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn the_pieces_of_a_span_are_the_span(logs in some_logs(), answers in vec(answer(), 1..20), most in 0usize..60) {
        let mut span = logs::span(1, logs);
        answer_all(&mut span, &answers);
        let whole = decode(&span);
        let mut joined = Facts::within(&span, span.range.clone());
        joined.sources.clone_from(&whole.sources);
        let mut next = *span.range.start();
        for piece in decode_pieces(&span, most) {
            prop_assert_eq!(*piece.range.start(), next);
            next = piece.range.end() + 1;
            prop_assert!(piece.blocks.iter().all(|block| piece.range.contains(&block.number)));
            let below_last = |block: u64| block < *piece.range.end();
            let before = piece.iter().filter(|fact| below_last(fact.place().block_number)).count()
                + piece.faults.iter().filter(|fault| below_last(fault.block_number)).count();
            let facts = (piece.counts(), piece.faults.len());
            prop_assert!(before < most.max(1) || before == 0, "only its last block passes the bound: {facts:?}");
            joined.append(piece);
        }
        prop_assert_eq!(next, span.range.end() + 1);
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn what_the_standards_encode_is_read_back(
        parties in any::<[[u8; 20]; 3]>(), ids in vec(any::<[u8; 32]>(), 1..20), quantity in any::<[u8; 32]>(), length in 0u64..50,
    ) {
        let [operator, from, to] = parties.map(Address::from);
        prop_assume!(from != ZERO || to != ZERO);
        let ids: Vec<U256> = ids.into_iter().map(U256::from_be_bytes).collect();
        let (id, quantity) = (ids[0] >> 1, U256::from_be_bytes(quantity));
        let quantities: Vec<U256> = (0..ids.len()).map(|index| quantity >> index).collect();

        let events = [
            Transfer { from, to, tokenId: id }.encode_log_data(),
            TransferSingle { operator, from, to, id, value: quantity }.encode_log_data(),
            TransferBatch { operator, from, to, ids: ids.clone(), values: quantities.clone() }.encode_log_data(),
            ConsecutiveTransfer { fromTokenId: id, toTokenId: id + U256::from(length), fromAddress: from, toAddress: to }
                .encode_log_data(),
        ];
        let contract = Address::repeat_byte(7);
        let logs = events.map(|data| Encoded { address: contract, data }).map(|event| {
            log(event.address, event.data.topics(), event.data.data.clone())
        });
        // One transaction each, so that a single mint does not stand for one of the range.
        let facts = decode(&logs::span(1, in_chain_order(logs.to_vec(), &[1])));
        prop_assert_eq!(&facts.faults, &[]);
        let mut expected = vec![(0, 0, id, U256::ONE), (1, 0, id, quantity)];
        expected.extend((0..).zip(&ids).zip(&quantities).map(|((item, id), quantity)| (2, item, *id, *quantity)));
        expected.extend((0..=length).map(|item| (3, u32::try_from(item).unwrap(), id + U256::from(item), U256::ONE)));
        let found: Vec<_> =
            facts.transfers.iter().map(|fact| (fact.log_index, fact.item, fact.token, fact.quantity)).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(facts.transfers.iter().all(|fact| (fact.contract, fact.from, fact.to) == (contract, from, to)));
    }
}

/// The log of a contract, at no position yet.
fn emitted(event: &impl SolEvent) -> Log {
    let event = event.encode_log_data();
    log(Address::repeat_byte(9), event.topics(), event.data.clone())
}

/// A range of `length` new tokens.
fn range(first: u64, length: u64) -> Log {
    emitted(&ConsecutiveTransfer {
        fromTokenId: U256::from(first),
        toTokenId: U256::from(first + length - 1),
        fromAddress: ZERO,
        toAddress: Address::repeat_byte(1),
    })
}

fn reasons(facts: &Facts) -> Vec<&'static str> {
    facts.faults.iter().map(|fault| fault.reason).collect()
}

const IN_TRANSACTION: u64 = MAX_EXTRA_FACTS_PER_TRANSACTION as u64;
const IN_BLOCK: u64 = MAX_EXTRA_FACTS_PER_BLOCK as u64;

/// Ten thousand tokens by ranges of the 5,000 that libraries allow, twice; and single transfers, which need no budget.
#[test]
fn no_honest_mint_reaches_the_budget() {
    let mint = [0, 5_000, 10_000, 15_000].map(|first| range(first, 5_000));
    let single = |nth: u64| {
        emitted(&Transfer {
            from: ZERO,
            to: Address::repeat_byte(1),
            tokenId: U256::from(nth),
        })
    };
    // All in one transaction.
    let logs = mint.into_iter().chain((20_000..20_000 + 3 * IN_BLOCK).map(single));
    let facts = decode(&logs::span(1, in_chain_order(logs.collect(), &[2])));
    assert_eq!(reasons(&facts), [] as [&str; 0]);
    assert_eq!(facts.transfers.len() as u64, 20_000 + 3 * IN_BLOCK);
}

#[test]
fn a_transaction_and_a_block_of_endless_ranges_are_bounded() {
    // In one transaction: two ranges fill the budget, further ones are faults, and one token costs nothing.
    let half = IN_TRANSACTION / 2 + 1;
    let logs = [
        range(0, half),
        range(half, half),
        range(0, 2),
        range(0, 1),
        range(0, half),
    ];
    let facts = decode(&logs::span(1, in_chain_order(logs.to_vec(), &[2])));
    assert_eq!(facts.transfers.len() as u64, 2 * half + 1);
    assert_eq!(reasons(&facts), [reason::OVER_BUDGET; 2]);

    // In one block: as many transactions as fill its budget, however many there are.
    let whole = IN_TRANSACTION + 1;
    let allowed = IN_BLOCK / IN_TRANSACTION;
    let greedy = (0..allowed + 5).map(|nth| range(nth * whole, whole));
    let mut logs = in_chain_order(greedy.collect(), &[1]);
    let mut next_block = range(0, whole);
    next_block.block_number = logs[0].block_number + 1;
    logs.push(next_block);
    let facts = decode(&logs::span(1, logs));
    assert_eq!(
        facts.transfers.len() as u64,
        (allowed + 1) * whole,
        "the next block has a budget of its own"
    );
    assert_eq!(reasons(&facts), [reason::OVER_BUDGET; 5]);

    // No single range takes more.
    let facts = decode(&logs::span(1, vec![range(0, whole + 1)]));
    assert_eq!(
        (facts.transfers.len(), reasons(&facts)),
        (0, vec![reason::RANGE_TOO_LONG])
    );
}

#[test]
fn batches_and_bundles_have_the_same_budget() {
    let batch = |length: u64| {
        let ids: Vec<U256> = (0..length).map(U256::from).collect();
        emitted(&TransferBatch {
            operator: Address::repeat_byte(1),
            from: ZERO,
            to: Address::repeat_byte(1),
            values: ids.clone(),
            ids,
        })
    };
    let whole = IN_TRANSACTION + 1;
    let facts = decode(&logs::span(
        1,
        in_chain_order(vec![batch(whole), batch(2), batch(1), batch(0)], &[2]),
    ));
    assert_eq!(facts.transfers.len() as u64, whole + 1);
    assert_eq!(reasons(&facts), [reason::OVER_BUDGET]);

    // Payment Processor's sweep: every position is a trade of its own, and a log is refused with all of them.
    let sweep = |length: u64| {
        let word = |number: u64| B256::from(U256::from(number));
        let array = |value: u64| std::iter::once(word(length)).chain((0..length).map(move |_| word(value)));
        let at = |nth: u64| word(32 * (5 + nth * (length + 1)));
        let head = [word(1), at(0), at(1), at(2), at(3)];
        let data = head
            .into_iter()
            .chain(array(0))
            .chain(array(7))
            .chain(array(8))
            .chain(array(100));
        let topics = [
            keccak256("SweepCollectionERC721(address,address,address,address,bool[],address[],uint256[],uint256[])"),
            word(1),
            word(2),
            word(3),
        ];
        let data: Vec<u8> = data.flat_map(|word| word.0).collect();
        (topics, data)
    };
    let market = DECODERS
        .iter()
        .find(|decoder| decoder.name == "payment_processor")
        .unwrap();
    let claim = market
        .claims
        .iter()
        .find(|claim| claim.topic0 == sweep(0).0[0])
        .unwrap();
    let (chain, market) = claim.addresses.unwrap()[0];
    let swept = |length| {
        let (topics, data) = sweep(length);
        log(market, &topics, data.into())
    };
    let logs = in_chain_order(vec![swept(3), swept(whole), swept(IN_TRANSACTION)], &[2]);
    let facts = decode(&logs::span(chain.max(1), logs));
    assert_refused_logs_say_nothing(&facts);
    assert_eq!(facts.sales.len(), 3);
    assert_eq!(reasons(&facts), [reason::OVER_BUDGET; 2]);
}

#[test]
fn a_block_of_endless_questions_is_bounded() {
    let traded = keccak256("SwapNFTOutPair()");
    let trade = |nth: usize| log(Address::from_word(U256::from(nth + 1).into()), &[traded], Bytes::new());
    let mut logs = in_chain_order((0..MAX_QUESTIONS_PER_BLOCK + 5).map(trade).collect(), &[1]);
    let mut next_block = trade(0);
    next_block.block_number = logs[0].block_number + 1;
    logs.push(next_block);
    // The same contract asks the same, once.
    logs.push(Log {
        log_index: 1,
        ..logs[logs.len() - 1].clone()
    });

    let mut span = logs::span(1, logs);
    assert_eq!(wants(&span).calls.len(), MAX_QUESTIONS_PER_BLOCK);
    answer_all(&mut span, &[Answer::Reverted]);
    let faults = decode(&span).faults;
    assert_eq!(
        faults.iter().map(|fault| fault.reason).collect::<Vec<_>>(),
        [reason::CONTRACT_UNKNOWN; 5],
        "the next block has its own allowance"
    );
}

/// Where no contract answers, trades are decoded as far as logs show them; but a sender that uses the questions up gains nothing.
#[test]
fn what_is_asked_no_more_is_not_believed() {
    let contract = |nth: usize| Address::from_word(U256::from(nth + 1).into());
    let moved = |nth: usize| Transfer {
        from: contract(nth),
        to: Address::repeat_byte(1),
        tokenId: U256::ONE,
    };
    let trades = (0..MAX_QUESTIONS_PER_BLOCK + 5).flat_map(|nth| {
        let moved = moved(nth).encode_log_data();
        let traded = log(contract(nth), &[keccak256("SwapNFTOutPair()")], Bytes::new());
        [log(Address::repeat_byte(9), moved.topics(), moved.data.clone()), traded]
    });
    let facts = decode(&logs::span(1, in_chain_order(trades.collect(), &[1, 2])));
    assert_eq!(facts.sales.len(), MAX_QUESTIONS_PER_BLOCK - 1);
    assert!(facts.sales.iter().all(|sale| sale.flags.contains(&flag::UNPROVEN)));
    let refused = facts
        .faults
        .iter()
        .filter(|fault| fault.reason == reason::CONTRACT_UNKNOWN);
    assert_eq!(refused.count(), 6);
}

#[test]
fn nothing_is_asked_for_logs_that_need_no_answer() {
    let asking = |claim: &&Claim| claim.asks;
    let claims = DECODERS.iter().flat_map(|decoder| decoder.claims);
    let quiet = claims.filter(|claim| !asking(claim)).map(|claim| {
        let address = claim
            .addresses
            .map_or(Address::repeat_byte(1), |addresses| addresses[0].1);
        let topics = [&[claim.topic0][..], &[B256::with_last_byte(1); 3]].concat();
        log(address, &topics[..usize::from(claim.topic_count)], vec![0; 320].into())
    });
    let span = logs::span(1, in_chain_order(quiet.collect(), &[1]));
    assert_eq!(wants(&span).calls, Vec::<Call>::new());
}

#[test]
fn a_position_beyond_an_id_is_a_fault() {
    let event = Transfer {
        from: ZERO,
        to: Address::repeat_byte(1),
        tokenId: U256::ONE,
    }
    .encode_log_data();
    let good = log(Address::repeat_byte(9), event.topics(), event.data.clone());
    let high_block = Log {
        block_number: decoders::id::MAX_BLOCK + 1,
        ..good.clone()
    };
    let high_index = Log {
        log_index: decoders::id::MAX_LOG_INDEX + 1,
        ..good.clone()
    };
    for bad in [high_block, high_index] {
        let facts = decode(&logs::span(1, vec![bad]));
        assert_eq!(facts.transfers, []);
        assert_eq!(
            facts.faults.iter().map(|fault| fault.reason).collect::<Vec<_>>(),
            [reason::POSITION_OUT_OF_RANGE]
        );
    }
    // The other logs of its transaction are decoded all the same.
    let behind = Log {
        log_index: decoders::id::MAX_LOG_INDEX + 1,
        ..good.clone()
    };
    let facts = decode(&logs::span(1, vec![good.clone(), behind]));
    assert_eq!((facts.transfers.len(), facts.faults.len()), (1, 1));
    let last = Log {
        block_number: decoders::id::MAX_BLOCK,
        log_index: decoders::id::MAX_LOG_INDEX,
        ..good
    };
    assert_eq!(decode(&logs::span(1, vec![last])).transfers.len(), 1);
}

#[test]
fn claims_name_what_they_claim() {
    for decoder in DECODERS {
        for claim in decoder.claims {
            assert!(
                (1..=4).contains(&claim.topic_count),
                "{}: a claim is on one to four topics",
                decoder.name
            );
            assert_ne!(
                claim.addresses.map(<[_]>::len),
                Some(0),
                "{}: a claim on no contract at all",
                decoder.name
            );
        }
    }
    let names: Vec<&str> = DECODERS.iter().map(|Decoder { name, .. }| *name).collect();
    assert!(
        sources().is_sorted_by(|one, next| one < next),
        "sources are sorted and unique"
    );
    assert!(names.iter().all(|name| sources().contains(name)));
}
