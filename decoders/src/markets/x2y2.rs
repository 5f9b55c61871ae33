//! X2Y2 (decoding specification, section 4.5).
//!
//! `EvInventory` reports everything that can happen to an order; three of its operations are sales. The tokens stand ABI-encoded
//! in `item.data`, one layout per delegate.

use alloy_primitives::{Address, B256, U256, address, b256};
use smallvec::SmallVec;

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, Side, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, share, uint};
use crate::trade::orders::{Key, LogOutcome, canceled, filled};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("74312363e45dcaba76c59ec49a7aa8a65a67eed3"))];
const PLATFORM: Address = address!("d823c605807cc5e6bd6fc0d7e4eea50d3e2d66cd");
const MARKET: Market = Market {
    name: "x2y2",
    version: "v1",
};

/// `EvInventory(bytes32,address,address,uint256,uint256,uint256,uint256,uint256,address,bytes,(uint256,bytes),(uint8,...))`.
const EV_INVENTORY: B256 = b256!("3cbb63f144840e5b1b0a38a7c19211d2e89de4d7c5faf8b2d3c1776c302d1d33");
/// `EvCancel(bytes32)`.
const EV_CANCEL: B256 = b256!("5b0b06d07e20243724d90e17a20034972f339eb28bd1c9437a71999bd15a1e7a");

const COMPLETE_SELL_OFFER: U256 = U256::from_limbs([1, 0, 0, 0]);
const COMPLETE_BUY_OFFER: U256 = U256::from_limbs([2, 0, 0, 0]);
const COMPLETE_AUCTION: U256 = U256::from_limbs([5, 0, 0, 0]);
/// Fees are parts of a million.
const WHOLE: u64 = 1_000_000;

/// The exchange on Ethereum.
pub(crate) const DECODER: Decoder = Decoder {
    name: "x2y2",
    claims: &[
        Claim::of(CONTRACTS, EV_INVENTORY, 2).with_envelope(),
        Claim::of(CONTRACTS, EV_CANCEL, 2),
    ],
    routers: &[address!("56dd5bbede9bfdb10a2845c4d70d4a2950163044")],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&EV_CANCEL) => {
                let closing = canceled(MARKET, log, Key::hash(log.topics[1]));
                events.emit(log, Ok((closing, Reader::new(log).warning())));
            }
            _ => events.emit(log, inventory(log, &transfers)),
        }
    }
}

fn inventory(log: &Log, transfers: &TransferIndex) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [
        maker,
        taker,
        _,
        _,
        _,
        delegate,
        _,
        currency,
        mask_at,
        item_at,
        detail_at,
    ] = reader.head::<11>()?;
    let (maker, taker) = (reader.address(maker), reader.address(taker));
    let item = reader.tuple(Tuple::ROOT, item_at)?;
    let [least, pairs_at] = reader.words(item)?;
    let pairs = reader.bytes(item, pairs_at)?;
    let detail = reader.tuple(Tuple::ROOT, detail_at)?;
    let [op, _, _, paid, _, _, replacement_at, _, _, _, fees_at] = reader.words(detail)?;
    let mask = reader.bytes(Tuple::ROOT, mask_at)?;
    let replacement = reader.bytes(detail, replacement_at)?;
    let fees = reader.records::<2>(detail, fees_at)?;
    // The contract takes what the detail states, and sees to it that this is no less than the item asks.
    let (side, price) = match uint(op) {
        COMPLETE_SELL_OFFER => (Side::Listing, uint(paid).max(uint(least))),
        COMPLETE_BUY_OFFER => (Side::Offer, uint(paid).max(uint(least))),
        COMPLETE_AUCTION => (Side::Auction, uint(paid)),
        // A cancellation has a log of its own besides.
        _ => return Ok((LogOutcome::default(), reader.warning())),
    };
    let (seller, buyer) = if side == Side::Offer {
        (taker, maker)
    } else {
        (maker, taker)
    };
    let has_amounts = uint(delegate) == U256::from(2);
    let mut lines = lines(pairs, has_amounts)?;
    if !mask.is_empty() && !lines.iter().all(|line| moved(transfers, line).is_some()) {
        lines = self::lines(&replaced(pairs, mask, replacement), has_amounts)?;
    }
    for line in &mut lines {
        // Anybody may close an auction: the winner is the one the token went to.
        let winner = moved(transfers, line).filter(|to| side == Side::Auction && !to.is_zero());
        *line = line.between(seller, winner.unwrap_or(buyer));
    }
    let Some(line) = lines.first() else {
        return Err(DecodeError(reason::DATA_TOO_SHORT));
    };
    let mut trade = Trade {
        order_hash: Some(B256::from(log.topics[1])),
        currency: reader.address(currency),
        ..Trade::of(MARKET, side, *line, price)
    };
    for [rate, recipient] in fees {
        let recipient = reader.address(recipient);
        trade.fee(recipient, share(price, uint(rate), WHOLE)?, kind_of(recipient));
    }
    if side == Side::Auction {
        trade.flags.push(flag::UNCONFIRMED);
    }
    trade.lines = lines;
    let outcome = LogOutcome::from(trade).and(filled(MARKET, log, Key::hash(log.topics[1])));
    Ok((outcome, reader.warning()))
}

/// What `recipient` gets a share of the price for.
fn kind_of(recipient: Address) -> FeeKind {
    if recipient == PLATFORM {
        FeeKind::Marketplace
    } else {
        FeeKind::Royalty
    }
}

/// The tokens of `(address token, uint256 tokenId)[]`, or of the same with amounts.
fn lines(data: &[u8], has_amounts: bool) -> Result<SmallVec<[LineItem; 1]>, DecodeError> {
    let mut reader = Reader::over(data);
    let [pairs_at] = reader.words(Tuple::ROOT)?;
    let mut lines = SmallVec::new();
    if has_amounts {
        for [contract, token, quantity] in reader.records::<3>(Tuple::ROOT, pairs_at)? {
            lines.push(LineItem::of(reader.address(contract), uint(token), uint(quantity)));
        }
    } else {
        for [contract, token] in reader.records::<2>(Tuple::ROOT, pairs_at)? {
            lines.push(LineItem::of(reader.address(contract), uint(token), U256::ONE));
        }
    }
    Ok(lines)
}

/// Who got the token of `line` last.
fn moved(transfers: &TransferIndex, line: &LineItem) -> Option<Address> {
    let token = line.token.unwrap_or_default();
    let (_, last) = transfers.transfers_of(line.contract, token).next_back()?;
    Some(last.to)
}

/// `data` with the bits that `mask` names taken from `replacement`, as collection offers are completed.
fn replaced(data: &[u8], mask: &[u8], replacement: &[u8]) -> Vec<u8> {
    let masked = mask.iter().zip(replacement).map(Some).chain(std::iter::repeat(None));
    let bytes = data.iter().zip(masked).map(|(byte, masked)| match masked {
        Some((mask, replacement)) => byte & !mask | replacement & mask,
        None => *byte,
    });
    bytes.collect()
}
