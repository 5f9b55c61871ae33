//! Clock auctions: the price goes from one to another with time, and the first to pay it gets the token (decoding specification,
//! section 9; `ClockAuction.sol` of CryptoKitties, which indexes nothing, and `AxieClockAuction.sol` of
//! axieinfinity/public-smart-contracts).
//!
//! The house holds the token and emits its price and who won it, and the last time also whose it was. A listed house is asked for
//! the seller, as it knew the seller after the block before, and for its cut, which no function changes. Others took over its
//! code: they are known by the token that they deliver to the winner, and because anybody can do so, what they sell is flagged as
//! unproven. Rights to breed are auctioned in the same way by a house of their own, and are no tokens.

use alloy_primitives::{Address, B256, U256, address, b256, hex};

use crate::block::{Call, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, Order, OrderKind, Side, flag};
use crate::log_reader::{self, DecodeError, Reader, share, uint};
use crate::trade::orders::{Key, LogOutcome, canceled, filled, order, part};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::{Latest, Transaction};

const KITTIES: &[(u64, Address)] = &[(chains::ETHEREUM, address!("b1690c08e213a35ed9bab7b318de14420fb57d8c"))];
const KITTY: Address = address!("06012c8cf97bead5deae237070f9587f8e7a266d");
const SIRING: Address = address!("c7af99fe5513eb6710e6d5f44f9989da40f27f26");
const AXIES: &[(u64, Address)] = &[(chains::ETHEREUM, address!("f4985070ce32b6b1994329df787d1acc9a2dd9e2"))];

/// `AuctionCreated(uint256,uint256,uint256,uint256)`.
const CREATED: B256 = b256!("a9c8dfcda5664a5a124c713e386da27de87432d5b668e79458501eb296389ba7");
/// `AuctionSuccessful(uint256,uint256,address)`.
const SUCCESSFUL: B256 = b256!("4fcc30d90a842164dd58501ab874a101a3749c3d4747139cefe7c876f4ccebd2");
/// `AuctionCancelled(uint256)`.
const CANCELLED: B256 = b256!("2809c7e17bf978fbc7194c0a694b638c4215e9140cacc6c38ca36010b45697df");
/// `AuctionCreated(address,uint256,uint256,uint256,uint256,address)`.
const CREATED_OF: B256 = b256!("ebc6e332a2c695c53d77b2922a18bcf3ab024549f5f2bfa67e0875ec29d59d46");
/// `AuctionSuccessful(address,uint256,uint256,address)`.
const SUCCESSFUL_OF: B256 = b256!("6c00bb44a64da29b6a73920d50ff280237d277bda3e1f3cdf4e24392e6839efe");
/// `AuctionCancelled(address,uint256)`.
const CANCELLED_OF: B256 = b256!("018b64b6242d32aa550e95d78985b938d71af5b3f10827b0683f55da16393048");

/// `getAuction(uint256)`, and of a house of several tokens `getAuction(address,uint256)`: the seller first.
const GET_AUCTION: [u8; 4] = hex!("78bd7935");
const GET_AUCTION_OF: [u8; 4] = hex!("762a66a2");
/// `ownerCut()`, in basis points.
const OWNER_CUT: [u8; 4] = hex!("83b5ff8b");
const WHOLE: u64 = 10_000;

/// The houses on Ethereum, and those like them anywhere.
pub(crate) const DECODER: Decoder = Decoder {
    name: "clock_auction",
    claims: &[
        Claim::any(SUCCESSFUL, 1).with_envelope(),
        Claim::any(SUCCESSFUL_OF, 3).with_envelope(),
        Claim::of(KITTIES, SUCCESSFUL, 1).asking().with_envelope(),
        Claim::of(AXIES, SUCCESSFUL_OF, 3).asking().with_envelope(),
        Claim::of(KITTIES, CREATED, 1),
        Claim::of(KITTIES, CANCELLED, 1),
        Claim::of(AXIES, CREATED_OF, 3),
        Claim::of(AXIES, CANCELLED_OF, 3),
    ],
    factories: &[&[(chains::ETHEREUM, SIRING)]],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut changes = Latest::new(token_of_change);
    for log in transaction.claimed().filter(|log| log.address != SIRING) {
        let decoded = match log.topic0() {
            Some(&CREATED | &CREATED_OF) => created(log, &transfers),
            Some(&CANCELLED | &CANCELLED_OF) => taken_back(log),
            _ => successful(transaction, log, &transfers, &mut changes, events),
        };
        events.emit(log, decoded);
    }
}

/// What a log is about: a token of a contract that its house names or is known to sell.
struct Lot {
    contract: Option<Address>,
    token: U256,
}

impl Lot {
    fn line(&self, contract: Address) -> LineItem {
        LineItem::of(contract, self.token, U256::ONE)
    }

    fn key(&self, log: &Log) -> Key {
        let contract = self.contract.filter(|_| log.topics.len() == 3);
        let parts: Vec<B256> = contract.map(|contract| contract.into_word()).into_iter().collect();
        let parts: Vec<B256> = parts.into_iter().chain([part(self.token)]).collect();
        Key::natural(log, OrderKind::Listing, &parts)
    }
}

fn is_kitties(log: &Log) -> bool {
    log.address == KITTIES[0].1 && log.topics.len() == 1
}

fn market(log: &Log) -> Market {
    Market {
        name: if log.topics.len() == 1 {
            "cryptokitties_auction"
        } else {
            "axie_auction"
        },
        version: "",
    }
}

/// What the logs of one contract that create, end or cancel an auction are about: the hash of contract and token, or the token.
fn token_of_change(log: &Log) -> Option<B256> {
    match (log.topic0()?, log.topics.len()) {
        (&CREATED | &SUCCESSFUL | &CANCELLED, 1) => log.data.first_chunk().map(|word: &[u8; 32]| B256::from(*word)),
        (&CREATED_OF | &SUCCESSFUL_OF | &CANCELLED_OF, 3) => Some(log.topics[2]),
        _ => None,
    }
}

fn created(log: &Log, transfers: &TransferIndex) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let (lot, price, seller) = if log.topics.len() == 1 {
        let [token, price, _end, _duration] = reader.head()?;
        let token = uint(token);
        let mut moved = transfers.transfers_of_token_in(KITTY, token, 0..log.log_index);
        let escrowed = moved.rfind(|moved| moved.to == log.address);
        let contract = Some(KITTY);
        (Lot { contract, token }, price, escrowed.map(|moved| moved.from))
    } else {
        let [price, _end, _duration, seller] = reader.head()?;
        let contract = Some(reader.topic_address(1));
        let token = reader.topic_uint(2);
        (Lot { contract, token }, price, Some(reader.address(seller)))
    };
    // Whose it is only the movement into the house shows; without it nothing is listed.
    let listing = seller.zip(lot.contract).map(|(seller, contract)| Order {
        price: Some(uint(price)),
        escrowed: true,
        ..order(
            market(log),
            log,
            OrderKind::Listing,
            lot.key(log),
            seller,
            lot.line(contract),
        )
    });
    Ok((listing.into(), reader.warning()))
}

fn taken_back(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let lot = if log.topics.len() == 1 {
        let [token] = reader.head()?;
        Lot {
            contract: Some(KITTY),
            token: uint(token),
        }
    } else {
        Lot {
            contract: Some(reader.topic_address(1)),
            token: reader.topic_uint(2),
        }
    };
    Ok((canceled(market(log), log, lot.key(log)).into(), reader.warning()))
}

fn successful<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    transfers: &TransferIndex,
    changes: &mut Latest<'a>,
    events: &mut Events,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let (lot, price, winner) = if log.topics.len() == 1 {
        let [token, price, winner] = reader.head()?;
        let contract = is_kitties(log).then_some(KITTY);
        (
            Lot {
                contract,
                token: uint(token),
            },
            price,
            winner,
        )
    } else {
        let [price, winner] = reader.head()?;
        let contract = Some(reader.topic_address(1));
        (
            Lot {
                contract,
                token: reader.topic_uint(2),
            },
            price,
            winner,
        )
    };
    let (price, winner) = (uint(price), reader.address(winner));
    // Houses that share the code are matched anywhere, so what they emit is proven only where the house is known.
    let is_listed = KITTIES
        .iter()
        .chain(AXIES)
        .any(|listed| *listed == (transaction.chain.0, log.address));
    // An unlisted house is trusted only as far as it handed the token to the winner.
    let handed = transfers.movements(0..u32::MAX).iter().find(|moved| {
        let is_lot = moved.token == lot.token && lot.contract.is_none_or(|contract| contract == moved.contract);
        is_lot && (moved.from, moved.to) == (log.address, winner)
    });
    let Some(contract) = lot
        .contract
        .filter(|_| is_listed)
        .or(handed.map(|moved| moved.contract))
    else {
        return Ok((LogOutcome::default(), reader.warning()));
    };
    let mut trade = Trade::of(
        market(log),
        Side::Auction,
        lot.line(contract).between(Address::ZERO, winner),
        price,
    );
    if is_listed {
        let seller = seller(transaction, log, &lot, changes, events);
        settle(transaction, log, &mut trade, seller, events)?;
        let filled = filled(market(log), log, lot.key(log));
        return Ok((LogOutcome::from(trade).and(filled), reader.warning()));
    }
    trade
        .flags
        .extend([flag::UNPROVEN, flag::SELLER_UNKNOWN, flag::FEES_UNKNOWN]);
    Ok((trade.into(), reader.warning()))
}

/// Fills in who sold, and what the house kept.
fn settle(
    transaction: &Transaction<'_>,
    log: &Log,
    trade: &mut Trade,
    seller: Result<Option<Address>, DecodeError>,
    events: &mut Events,
) -> Result<(), DecodeError> {
    let cut = events.view(transaction, log.address, OWNER_CUT);
    // An error is an answer that no endpoint gave and may still come; an empty one is the house's own.
    if seller.is_err() || cut.is_err() {
        trade.flags.push(flag::NO_ANSWER);
    }
    match seller.ok().flatten() {
        Some(seller) => {
            trade.lines[0].seller = seller;
            trade.maker = seller;
        }
        None => trade.flags.push(flag::SELLER_UNKNOWN),
    }
    match cut.ok().flatten() {
        Some(cut) => {
            let kept = share(trade.price.unwrap_or_default(), uint(cut), WHOLE)?;
            trade.fee(log.address, kept, FeeKind::Marketplace);
        }
        None => trade.flags.push(flag::FEES_UNKNOWN),
    }
    Ok(())
}

/// Whose auction `log` ended: as a log of the block before it states, else as the house knew it after the block before.
fn seller<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    lot: &Lot,
    changes: &mut Latest<'a>,
    events: &mut Events,
) -> Result<Option<Address>, DecodeError> {
    if let Some(change) = changes.before(transaction, log, &part(lot.token)) {
        // Kitties do not emit whose they are, and the house of before knew another auction.
        if change.topic0() != Some(&CREATED_OF) || change.topics[1] != log.topics[1] {
            return Ok(None);
        }
        let [_, _, _, seller] = Reader::new(change).head::<4>()?;
        return Ok(Some(log_reader::address(seller)));
    }
    let call = if log.topics.len() == 1 {
        Call::of(log.address, GET_AUCTION, &[part(lot.token)])
    } else {
        Call::of(log.address, GET_AUCTION_OF, &[log.topics[1], log.topics[2]])
    };
    let answer = events.ask::<1>(transaction, call.before_block(log.block_number))?;
    Ok(answer
        .map(|[seller]| log_reader::address(seller))
        .filter(|seller| !seller.is_zero()))
}
