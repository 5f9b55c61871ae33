//! Known facts of a small market: three tokens of which one is burned, and one token that two accounts hold parts of.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Block, ChainId, Context, Proof, Span};
use decoders::fact::{Facts, Fault, Fees, PriceAllocation, Sale, Side, Standard, Transfer, reason};
use sinks::commit::{self, Move};
use sinks::store::Store;

pub(crate) const CHAIN: ChainId = ChainId(1);
/// A contract whose tokens have one owner.
pub(crate) const SINGLE: Address = Address::repeat_byte(0x11);
/// A contract whose tokens are held in parts.
pub(crate) const MULTI: Address = Address::repeat_byte(0x22);
const ALICE: Address = Address::repeat_byte(0xaa);
const BOB: Address = Address::repeat_byte(0xbb);

/// Applies the facts of `blocks`.
pub(crate) async fn index(store: &Store, blocks: RangeInclusive<u64>) {
    let step = Move::Backfill { branch: 0 };
    commit::apply(store, &market(blocks), step).await.unwrap();
}

/// What happens in `blocks`. The story ends at block 109; a transfer of the first token is in every block from 120 on.
fn market(blocks: RangeInclusive<u64>) -> Facts {
    let block = |number| Block {
        number,
        hash: B256::from(U256::from(number)),
        time: 1_700_000_000 + number,
    };
    let span = Span {
        chain: CHAIN,
        range: blocks.clone(),
        parent_hash: None,
        blocks: blocks.clone().map(block).collect(),
        logs: Vec::new(),
        proof: Proof::Bloom,
        context: Context::default(),
    };
    let zero = Address::ZERO;
    let mut transfers = vec![
        single(100, 1, zero, ALICE),
        single(101, 2, zero, ALICE),
        single(102, 3, zero, ALICE),
        single(103, 3, ALICE, zero),
        single(104, 1, ALICE, BOB),
        single(105, 2, ALICE, BOB),
        multi(106, 10, zero, ALICE),
        multi(107, 4, ALICE, BOB),
    ];
    transfers.extend((120..=130).map(|number| single(number, 1, BOB, BOB)));
    let within = |number: u64| blocks.contains(&number);
    transfers.retain(|transfer| within(transfer.block_number));
    let mut sales = vec![sale(104, 1), sale(105, 2)];
    sales.retain(|sale| within(sale.block_number));
    let mut faults = vec![
        fault(108, SINGLE, reason::DATA_TOO_SHORT),
        fault(109, MULTI, reason::ABI_UNKNOWN),
    ];
    faults.retain(|fault| within(fault.block_number));
    Facts {
        sources: vec!["erc721", "seaport"],
        transfers,
        sales,
        faults,
        ..Facts::of(&span)
    }
}

fn single(block_number: u64, token: u64, from: Address, to: Address) -> Transfer {
    Transfer {
        source: "erc721",
        block_number,
        log_index: 0,
        item: 0,
        tx_hash: B256::repeat_byte(1),
        contract: SINGLE,
        token: U256::from(token),
        from,
        to,
        quantity: U256::ONE,
        standard: Standard::Erc721,
    }
}

fn multi(block_number: u64, quantity: u64, from: Address, to: Address) -> Transfer {
    Transfer {
        contract: MULTI,
        quantity: U256::from(quantity),
        standard: Standard::Erc1155,
        ..single(block_number, 7, from, to)
    }
}

fn sale(block_number: u64, token: u64) -> Sale {
    Sale {
        source: "seaport",
        block_number,
        log_index: 1,
        item: 0,
        tx_hash: B256::repeat_byte(1),
        marketplace: "seaport",
        version: "1.5",
        market: Address::repeat_byte(0x5e),
        contract: SINGLE,
        token: Some(U256::from(token)),
        standard: Standard::Erc721,
        quantity: U256::ONE,
        seller: ALICE,
        buyer: BOB,
        taker_raw: BOB,
        aggregator: None,
        maker: ALICE,
        side: Side::Listing,
        currency: Address::ZERO,
        price: Some(U256::from(1_500_000_000_000_000_000_u64)),
        fees: Fees::default(),
        seller_net: None,
        order_hash: None,
        bundle_first: 0,
        bundle_size: 1,
        allocation: PriceAllocation::Exact,
        flags: Default::default(),
    }
}

fn fault(block_number: u64, contract: Address, reason: &'static str) -> Fault {
    Fault {
        source: "erc721",
        block_number,
        log_index: 0,
        tx_hash: B256::repeat_byte(1),
        contract,
        topic0: None,
        reason,
    }
}
