//! Element (decoding specification, section 4.13).
//!
//! The older layout leaves out the fees, which the buyer paid on top; the newer one lists them, inside the amount. What of them goes
//! to the seller, who then is the creator, is the seller's. As at 0x, from which the contract descends, two matched orders are
//! one sale.

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Nonces, Side, Standard, flag};
use crate::log_reader::{DecodeError, Reader, Tuple, Word, uint, words};
use crate::markets::zeroex::{ERC721_CANCELLED, ERC1155_CANCELLED, counterpart, currency, trade_of};
use crate::trade::orders::{Key, LogOutcome, filled, filled_by, revoked};
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("20f780a973856b93f63670377900c1d2a50a77c4")),
    (chains::POLYGON, address!("eaf5453b329eb38be159a872a6ce91c9a8fb0260")),
    (chains::ARBITRUM, address!("18cd9270dbdca86d470cfb3be1b156241fffa9de")),
    (chains::BASE, address!("a39a5f160a1952ddf38781bd76e402b0006912a9")),
    (chains::OPTIMISM, address!("2317d8b224328644759319dffa2a5da77c72e0e9")),
];
/// Receive the market's fee; other receivers are taken for creators.
const FEE_WALLETS: [Address; 2] = [
    // Named by the market's published orders, and by the available calldata.
    address!("00ca62445b06a9adc1879a44485b4efdcb7b75f3"),
    // Taken for the market's where its share is listed (example 29 of the decoding specification); nothing else confirms it.
    address!("482b2150889bfc8cad0548ebb006cfd643647b69"),
];

/// `ERC721SellOrderFilled(address,address,address,uint256,address,uint256,bytes32)`.
const OLD_SELL_721: B256 = b256!("8a0f8e04e7a35efabdc150b7d106308198a4f965a5d11badf768c5b8b273ac94");
/// `ERC721BuyOrderFilled`, of the same types.
const OLD_BUY_721: B256 = b256!("a24193d56ccdf64ce1df60c80ca683da965a1da3363efa67c14abf62b2d7d493");
/// `ERC1155SellOrderFilled(address,address,address,uint256,address,uint256,uint128,bytes32)`.
const OLD_SELL_1155: B256 = b256!("3ae452568bed7ccafe4345f10048675bae78660c7ea37eb5112b572648d4f116");
/// `ERC1155BuyOrderFilled`, of the same types.
const OLD_BUY_1155: B256 = b256!("020486beb4ea38db8dc504078b03c4f758de372097584b434a8b8f53583eecac");
/// `ERC721SellOrderFilled(bytes32,address,address,uint256,address,uint256,(address,uint256)[],address,uint256)`.
const SELL_721: B256 = b256!("9c248aa1a265aa616f707b979d57f4529bb63a4fc34dc7fc61fdddc18410f74e");
/// `ERC721BuyOrderFilled`, of the same types.
const BUY_721: B256 = b256!("d90a5c60975c6ff8eafcf02088e7b50ae5d9e156a79206ba553df1c4fb4594c2");
/// `ERC1155SellOrderFilled(bytes32,address,address,uint256,address,uint256,(address,uint256)[],address,uint256,uint128)`.
const SELL_1155: B256 = b256!("fcde121a3f6a9b14a3ce266d61fc00940de86c4d8c1d733fe62d503ae5d99ff9");
/// `ERC1155BuyOrderFilled`, of the same types.
const BUY_1155: B256 = b256!("105616901449a64554ca9246a5bbcaca973b40b3c0055e5070c6fa191618d9f3");
/// `HashNonceIncremented(address,uint256)`.
const HASH_NONCE_INCREMENTED: B256 = b256!("4cf3e8a83c6bf8a510613208458629675b4ae99b8029e3ab6cb6a86e5f01fd31");

words! {
    /// What [`OLD_SELL_721`] and [`OLD_BUY_721`] state.
    struct OldFilled721 { maker, taker, erc20_token, erc20_token_amount, erc721_token, erc721_token_id, order_hash }

    /// What [`OLD_SELL_1155`] and [`OLD_BUY_1155`] state.
    struct OldFilled1155 {
        maker, taker, erc20_token, erc20_fill_amount, erc1155_token, erc1155_token_id, erc1155_fill_amount, order_hash,
    }

    /// What [`SELL_721`] and [`BUY_721`] state; [`SELL_1155`] and [`BUY_1155`] state one word more, `erc1155_fill_amount`.
    struct Filled { order_hash, maker, taker, nonce, erc20_token, erc20_amount, fees_at, nft, nft_id }
}

/// Both layouts on all chains.
pub(crate) const DECODER: Decoder = Decoder {
    name: "element",
    claims: &[
        Claim::of(CONTRACTS, OLD_SELL_721, 1).with_envelope(),
        Claim::of(CONTRACTS, OLD_BUY_721, 1).with_envelope(),
        Claim::of(CONTRACTS, OLD_SELL_1155, 1).with_envelope(),
        Claim::of(CONTRACTS, OLD_BUY_1155, 1).with_envelope(),
        Claim::of(CONTRACTS, SELL_721, 1).with_envelope(),
        Claim::of(CONTRACTS, BUY_721, 1).with_envelope(),
        Claim::of(CONTRACTS, SELL_1155, 1).with_envelope(),
        Claim::of(CONTRACTS, BUY_1155, 1).with_envelope(),
        Claim::of(CONTRACTS, ERC721_CANCELLED, 1),
        Claim::of(CONTRACTS, ERC1155_CANCELLED, 1),
        Claim::of(CONTRACTS, HASH_NONCE_INCREMENTED, 1),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let logs: Vec<&Log> = transaction.claimed().collect();
    for (index, log) in logs.iter().enumerate() {
        if is_fill(log) {
            events.emit(log, sold(&logs, index));
        } else {
            events.emit(log, taken_back(log));
        }
    }
}

fn is_fill(log: &Log) -> bool {
    !matches!(
        log.topic0(),
        Some(&ERC721_CANCELLED | &ERC1155_CANCELLED | &HASH_NONCE_INCREMENTED)
    )
}

/// A fill, and what it sold. Who matched two orders is not emitted.
fn sold(logs: &[&Log], index: usize) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let (trade, closing, warning) = read(logs[index])?;
    let other = counterpart(logs, index, &trade, |other| {
        let (other, _, _) = read(other).ok().filter(|_| is_fill(other))?;
        (other.market.version == trade.market.version).then_some(other)
    });
    Ok((
        LogOutcome::from(trade_of(trade, other, Address::ZERO)).and(closing),
        warning,
    ))
}

fn read(log: &Log) -> Result<(Trade, Closing, Option<&'static str>), DecodeError> {
    match log.topic0() {
        Some(&OLD_SELL_721 | &OLD_BUY_721 | &OLD_SELL_1155 | &OLD_BUY_1155) => older(log),
        _ => newer(log),
    }
}

fn market(version: &'static str) -> Market {
    Market {
        name: "element",
        version,
    }
}

/// The end of the orders under one nonce, or, where the nonce of all hashes is raised, of all.
fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [maker, nonce] = reader.head()?;
    let nonces = if log.topic0() == Some(&HASH_NONCE_INCREMENTED) {
        Nonces::All
    } else {
        Nonces::Exactly(uint(nonce))
    };
    let maker = reader.address(maker);
    Ok((revoked(market("v2"), log, maker, nonces), reader.warning()))
}

/// The words all layouts share.
struct Fill<'a> {
    version: &'static str,
    hash: &'a Word,
    maker: &'a Word,
    taker: &'a Word,
    currency: &'a Word,
    amount: &'a Word,
    contract: &'a Word,
    token: &'a Word,
    /// Absent for ERC-721.
    quantity: Option<&'a Word>,
}

impl Fill<'_> {
    fn trade(&self, reader: &mut Reader<'_>, log: &Log) -> Trade {
        let (maker, taker) = (reader.address(self.maker), reader.address(self.taker));
        let is_bid = matches!(log.topic0(), Some(&OLD_BUY_721 | &OLD_BUY_1155 | &BUY_721 | &BUY_1155));
        let (side, seller, buyer) = if is_bid {
            (Side::Offer, taker, maker)
        } else {
            (Side::Listing, maker, taker)
        };
        let line = LineItem {
            standard: self.quantity.map_or(Standard::Erc721, |_| Standard::Erc1155),
            ..LineItem::of(
                reader.address(self.contract),
                uint(self.token),
                self.quantity.map_or(U256::ONE, uint),
            )
            .between(seller, buyer)
        };
        Trade {
            order_hash: Some(B256::from(*self.hash)),
            currency: currency(reader.address(self.currency)),
            ..Trade::of(market(self.version), side, line, uint(self.amount))
        }
    }

    fn closing(&self, log: &Log) -> Closing {
        let (market, key) = (market(self.version), Key::hash(B256::from(*self.hash)));
        match self.quantity {
            Some(quantity) => filled_by(market, log, key, uint(quantity)),
            None => filled(market, log, key),
        }
    }
}

fn older(log: &Log) -> Result<(Trade, Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let fill = if matches!(log.topic0(), Some(&OLD_SELL_1155 | &OLD_BUY_1155)) {
        let filled = OldFilled1155::of(reader.head()?);
        Fill {
            version: "v1",
            hash: filled.order_hash,
            maker: filled.maker,
            taker: filled.taker,
            currency: filled.erc20_token,
            amount: filled.erc20_fill_amount,
            contract: filled.erc1155_token,
            token: filled.erc1155_token_id,
            quantity: Some(filled.erc1155_fill_amount),
        }
    } else {
        let filled = OldFilled721::of(reader.head()?);
        Fill {
            version: "v1",
            hash: filled.order_hash,
            maker: filled.maker,
            taker: filled.taker,
            currency: filled.erc20_token,
            amount: filled.erc20_token_amount,
            contract: filled.erc721_token,
            token: filled.erc721_token_id,
            quantity: None,
        }
    };
    let mut trade = fill.trade(&mut reader, log);
    trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    Ok((trade, fill.closing(log), reader.warning()))
}

fn newer(log: &Log) -> Result<(Trade, Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let filled = Filled::of(reader.head()?);
    let mut fill = Fill {
        version: "v2",
        hash: filled.order_hash,
        maker: filled.maker,
        taker: filled.taker,
        currency: filled.erc20_token,
        amount: filled.erc20_amount,
        contract: filled.nft,
        token: filled.nft_id,
        quantity: None,
    };
    if matches!(log.topic0(), Some(&SELL_1155 | &BUY_1155)) {
        let [.., quantity] = reader.head::<10>()?;
        fill.quantity = Some(quantity);
    }
    let mut trade = fill.trade(&mut reader, log);
    for [recipient, amount] in reader.records(Tuple::ROOT, filled.fees_at)? {
        let recipient = reader.address(recipient);
        let kind = if FEE_WALLETS.contains(&recipient) {
            FeeKind::Marketplace
        } else {
            FeeKind::Royalty
        };
        trade.fee(recipient, uint(amount), kind);
    }
    Ok((trade, fill.closing(log), reader.warning()))
}
