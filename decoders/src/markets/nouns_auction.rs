//! Auction houses of Nouns and of those who took over its code (decoding specification, section 9; `NounsAuctionHouse.sol` of
//! nounsDAO/nouns-monorepo, `Auction.sol` of BuilderOSS/nouns-protocol, which indexes nothing).
//!
//! One token is up for bids at a time, and settling its auction makes the house deliver it before it emits the settlement. Houses
//! that are not listed are known by that alone: anybody can do as they do, so what they sell is flagged as unproven. Only the
//! listed ones state what they sell before they deliver it, so only their bids are offers.

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Order, OrderKind, Side, flag};
use crate::log_reader::{DecodeError, Reader, Word, uint};
use crate::trade::orders::{Key, LogOutcome, filled, order, part};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

/// The houses whose tokens are known.
const HOUSES: &[(u64, Address)] = &[
    // Nouns.
    (chains::ETHEREUM, address!("830bd73e4184cef73443c15111a1df14e495c706")),
    // Lil Nouns.
    (chains::ETHEREUM, address!("55e0f7a3bb39a28bd7bcc458e04b3cf00ad3219e")),
];
/// Their tokens, in the same order.
const TOKENS: [Address; 2] = [
    address!("9c8ff314c9bc7f6e59a9d9225fb22946427edc03"),
    address!("4b10701bfd7bfedc47d50562b76b436fbb5bdb3b"),
];

/// `AuctionSettled(uint256,address,uint256)`: one topic more where the token is indexed.
const AUCTION_SETTLED: B256 = b256!("c9f72b276a388619c6d185d146697036241880c36654b1a3ffdad07c24038d99");
/// `AuctionBid(uint256,address,uint256,bool)`.
const AUCTION_BID: B256 = b256!("1159164c56f277e6fc99c11731bd380e0347deb969b75523398734c252706ea3");

/// Houses on every chain.
pub(crate) const DECODER: Decoder = Decoder {
    name: "nouns_auction",
    claims: &[
        Claim::any(AUCTION_SETTLED, 2).with_envelope(),
        Claim::any(AUCTION_SETTLED, 1).with_envelope(),
        Claim::of(HOUSES, AUCTION_BID, 2),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    for log in transaction.claimed() {
        let token = token_of(transaction, log);
        match (log.topic0(), token) {
            (Some(&AUCTION_BID), Some(token)) => events.emit(log, bid(log, token)),
            _ => events.emit(log, settled(log, token, &transfers)),
        }
    }
}

/// The token contract of a listed house.
fn token_of(transaction: &Transaction<'_>, log: &Log) -> Option<Address> {
    let house = (transaction.chain.0, log.address);
    let place = HOUSES.iter().position(|listed| *listed == house)?;
    Some(TOKENS[place])
}

fn market(log: &Log) -> Market {
    Market {
        name: "nouns_auction",
        version: if log.topics.len() == 1 { "builder" } else { "" },
    }
}

/// The bid on a token: the next one takes its place.
fn bid_on(log: &Log, token: U256) -> Key {
    Key::natural(log, OrderKind::Offer, &[part(token)])
}

fn bid(log: &Log, contract: Address) -> Result<(Order, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [bidder, value, _extended] = reader.head()?;
    let (token, bidder) = (reader.topic_uint(1), reader.address(bidder));
    let line = LineItem::of(contract, token, U256::ONE);
    let offer = Order {
        price: Some(uint(value)),
        ..order(market(log), log, OrderKind::Offer, bid_on(log, token), bidder, line)
    };
    Ok((offer, reader.warning()))
}

/// The end of an auction. Without a bid nothing is sold; without a token handed over an unlisted house sold nothing either.
fn settled(
    log: &Log,
    listed: Option<Address>,
    transfers: &TransferIndex,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let (token, [winner, amount]): (U256, &[Word; 2]) = if log.topics.len() == 2 {
        (reader.topic_uint(1), reader.head()?)
    } else {
        let [token, rest @ ..] = reader.head::<3>()?;
        (uint(token), rest)
    };
    let (winner, amount) = (reader.address(winner), uint(amount));
    if winner.is_zero() || amount.is_zero() {
        return Ok((LogOutcome::default(), reader.warning()));
    }
    // Before the log, because the house delivers and then emits.
    let mut handed = transfers.movements(0..log.log_index).iter().rev();
    let handed = handed.find(|moved| (moved.token, moved.from, moved.to) == (token, log.address, winner));
    let Some(contract) = listed.or(handed.map(|moved| moved.contract)) else {
        return Ok((LogOutcome::default(), reader.warning()));
    };
    let line = LineItem::of(contract, token, U256::ONE).between(log.address, winner);
    let mut trade = Trade::of(market(log), Side::Auction, line, amount);
    trade.flags.push(flag::PRIMARY);
    let outcome = match listed {
        Some(_) => LogOutcome::from(trade).and(filled(market(log), log, bid_on(log, token))),
        None => {
            trade.flags.push(flag::UNPROVEN);
            LogOutcome::from(trade)
        }
    };
    Ok((outcome, reader.warning()))
}
