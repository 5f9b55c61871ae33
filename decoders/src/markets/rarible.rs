//! Rarible v1 and v2 (decoding specification, section 4.9; `rarible/protocol-contracts`).
//!
//! v1 sells some of an order: the price is the order's, in proportion. v2 once emitted who gave what; the newer event states two
//! amounts: calldata shows which of them is the price, or else the movement of the token.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, OrderKind, PriceAllocation, Side, Standard, flag, reason};
use crate::log_reader::{self, DecodeError, Reader, Tuple, Word, uint, words};
use crate::trade::orders::{Key, LogOutcome, canceled, filled_by, part};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

const V1: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("cd4ec7b66fbc029c116ba9ffb3e59351c20b5b06")),
    (chains::ETHEREUM, address!("09eab21c40743b2364b94345419138ef80f39e30")),
];
const V2: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("9757f2d2b135150bbeb65308d4a91804107cd8d6")),
    (chains::POLYGON, address!("12b3897a36fdb436dde2788c06eff0ffd997066e")),
];

/// `Buy(address,uint256,uint256,address,address,uint256,uint256,address,uint256,uint256)`.
const BUY: B256 = b256!("dddcdb07e460849cf04a4445b7af9faf01b7f5c7ba75deaf969ac5ed830312c3");
/// `Match(bytes32,bytes32,address,address,uint256,uint256,(bytes4,bytes),(bytes4,bytes))`.
const MATCH_WITH_ASSETS: B256 = b256!("268820db288a211986b26a8fda86b1e0046281b21206936bb0e61c67b5c79ef4");
/// `Match(bytes32,bytes32,uint256,uint256)`.
const MATCH: B256 = b256!("956cd63ee4cdcd81fda5f0ec7c6c36dceda99e1b412f4a650a5d26055dc3c450");
/// v1 `Cancel(address,uint256,address,address,uint256,uint256)`.
const CANCEL_FIRST: B256 = b256!("bfe0e802e586c99960de1a111c80f598b281996d65080d74dbe29986f55b274a");
/// `Cancel(bytes32,address,(bytes4,bytes),(bytes4,bytes))`.
const CANCEL_WITH_ASSETS: B256 = b256!("bbdc98cb2835f4f846e6a63700d0498b4674f0e8858fd50c6379314227afa04e");
/// `Cancel(bytes32)`.
const CANCEL: B256 = b256!("e8d9861dbc9c663ed3accd261bbe2fe01e0d3d9e5f51fa38523b265c7757a93a");

/// `Transfer(((bytes4,bytes),uint256),address,address,bytes4,bytes4)`, one per leg, before the match.
const LEG: B256 = b256!("cae9d16f553e92058883de29cb3135dbc0c1e31fd7eace79fef1d80577fe482e");

words! {
    /// What [`BUY`] states.
    struct Buy { sell_value, owner, buy_token, buy_token_id, buy_value, buyer, amount, salt }

    /// What [`MATCH_WITH_ASSETS`] states.
    struct MatchWithAssets {
        left_hash, right_hash, left_maker, right_maker, new_left_fill, new_right_fill, left_asset_at, right_asset_at,
    }

    /// What [`LEG`] states.
    struct Transfer { asset_at, from, to, transfer_direction, transfer_type }

    /// What a direct purchase or a direct acceptance of a bid starts with in calldata. An order of a match starts with its maker too.
    struct DirectOrder { maker, nft_amount, nft_asset_class, nft_data_at, payment_amount, payment_token }
}

const ROYALTY: [u8; 4] = [0xb3, 0xc5, 0xc6, 0x97];
const PAYOUT: [u8; 4] = [0xa1, 0x0b, 0xb5, 0xb2];

const DIRECT_PURCHASE: [u8; 4] = [0x0d, 0x5f, 0x7d, 0x35];
const DIRECT_ACCEPT_BID: [u8; 4] = [0x67, 0xd4, 0x9a, 0x3b];
const MATCH_ORDERS: [u8; 4] = [0xe9, 0x9a, 0x3f, 0x80];

/// Both versions. Sender and calldata show which of two matched orders was made first.
pub(crate) const DECODER: Decoder = Decoder {
    name: "rarible",
    claims: &[
        Claim::of(V1, BUY, 3).with_envelope(),
        Claim::of(V2, MATCH_WITH_ASSETS, 1).with_envelope(),
        Claim::of(V2, MATCH, 1).with_envelope(),
        Claim::of(V2, LEG, 1),
        Claim::of(V1, CANCEL_FIRST, 3),
        Claim::of(V2, CANCEL_WITH_ASSETS, 1),
        Claim::of(V2, CANCEL, 1),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut legs: Vec<Leg> = Vec::new();
    let mut since = 0;
    for log in transaction.claimed() {
        let decoded = match log.topic0() {
            Some(&LEG) => {
                let verdict = Leg::read(log).map(|(leg, warning)| {
                    legs.extend(leg);
                    warning
                });
                events.settle(log, verdict);
                continue;
            }
            Some(&CANCEL_FIRST | &CANCEL_WITH_ASSETS | &CANCEL) => {
                events.emit(log, taken_back(log));
                continue;
            }
            Some(&BUY) => first_version(log, &transfers),
            Some(&MATCH_WITH_ASSETS) => with_assets(transaction, log),
            _ => without_assets(transaction, log, &transfers, since..log.log_index),
        };
        since = log.log_index + 1;
        let decoded = decoded.map(|(mut outcome, warning)| {
            for trade in &mut outcome.trades {
                share_out(trade, &legs);
                if transaction.envelope.is_none() && log.topic0() != Some(&BUY) {
                    trade.flags.push(flag::NO_ENVELOPE);
                }
            }
            (outcome, warning)
        });
        // Legs are emitted before the match they belong to.
        legs.clear();
        events.emit(log, decoded);
    }
}

/// What stands for the hash of an order of v1: whose it is, what for what, and its salt.
fn first_key(log: &Log, owner: Address, [gives, wants]: [(Address, U256); 2], salt: &Word) -> Key {
    Key::natural(
        log,
        OrderKind::Listing,
        &[
            owner.into_word(),
            gives.0.into_word(),
            part(gives.1),
            wants.0.into_word(),
            part(wants.1),
            B256::from(*salt),
        ],
    )
}

fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    if log.topic0() == Some(&CANCEL_FIRST) {
        let [owner, contract, token, salt] = reader.head()?;
        let gives = (reader.topic_address(1), reader.topic_uint(2));
        let wants = (reader.address(contract), uint(token));
        let key = first_key(log, reader.address(owner), [gives, wants], salt);
        return Ok((canceled(market("v1"), log, key), reader.warning()));
    }
    let [hash] = reader.words(Tuple::ROOT)?;
    if log.topic0() == Some(&CANCEL_WITH_ASSETS) {
        let [_, _maker, assets @ ..] = reader.head::<4>()?;
        for at in assets {
            let asset = reader.tuple(Tuple::ROOT, at)?;
            let [_class, data_at] = reader.words(asset)?;
            reader.bytes(asset, data_at)?;
        }
    } else {
        reader.head::<1>()?;
    }
    Ok((
        canceled(market("v2"), log, Key::hash(B256::from(*hash))),
        reader.warning(),
    ))
}

/// The sale of `trade` and the fill of both orders.
fn matched(log: &Log, trade: Trade, hashes: [&Word; 2]) -> LogOutcome {
    let quantity = Some(trade.lines[0].quantity);
    LogOutcome::from(trade).and_both(market("v2"), log, hashes, quantity)
}

/// One leg of a match in money, as older deployments of v2 emit it.
struct Leg {
    currency: Address,
    amount: U256,
    to: Address,
    purpose: [u8; 4],
}

impl Leg {
    fn read(log: &Log) -> Result<(Option<Self>, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let transfer = Transfer::of(reader.head()?);
        let asset = reader.tuple(Tuple::ROOT, transfer.asset_at)?;
        let [kind_at, amount] = reader.words(asset)?;
        let leg = match Asset::read(&mut reader, asset, kind_at)? {
            Asset::Money(currency) => Some(Leg {
                currency,
                amount: uint(amount),
                to: reader.address(transfer.to),
                purpose: purpose_of(transfer.transfer_type),
            }),
            Asset::Token(..) => None,
        };
        Ok((leg, reader.warning()))
    }
}

/// What a leg is for: the first four bytes of `word`.
fn purpose_of(word: &Word) -> [u8; 4] {
    [word[0], word[1], word[2], word[3]]
}

/// Records the parts of the price by the legs of the match, where there are any.
///
/// Payouts and royalties come out of the price; of the market's legs only what they leave does, the rest the buyer paid on
/// top.
fn share_out(trade: &mut Trade, legs: &[Leg]) {
    let currency = trade.currency;
    let legs = || legs.iter().filter(|leg| leg.currency == currency);
    let of = |purposes: &[[u8; 4]]| {
        sum_of(
            legs()
                .filter(|leg| purposes.contains(&leg.purpose))
                .map(|leg| leg.amount),
        )
    };
    let (all, inside) = (sum_of(legs().map(|leg| leg.amount)), of(&[PAYOUT, ROYALTY]));
    let (Some(price), Ok(all), Ok(inside)) = (trade.price, all, inside) else {
        return trade.flags.extend([flag::FEES_UNKNOWN, flag::FEES_ON_TOP_UNKNOWN]);
    };
    // Legs that cannot be this price's are not used at all: a part of them would be as wrong.
    if all < price || inside > price || price.is_zero() {
        return trade.flags.extend([flag::FEES_UNKNOWN, flag::FEES_ON_TOP_UNKNOWN]);
    }
    for leg in legs() {
        match leg.purpose {
            ROYALTY => trade.fee(leg.to, leg.amount, FeeKind::Royalty),
            PAYOUT => trade.fee(leg.to, leg.amount, FeeKind::Other),
            _ => {}
        }
    }
    let market = legs().find(|leg| leg.purpose != ROYALTY && leg.purpose != PAYOUT);
    let receiver = market.map_or(Address::ZERO, |leg| leg.to);
    trade.fee(receiver, price - inside, FeeKind::Marketplace);
    if all > price {
        trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    }
}

fn market(version: &'static str) -> Market {
    Market {
        name: "rarible",
        version,
    }
}

fn first_version(log: &Log, transfers: &TransferIndex) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let buy = Buy::of(reader.head()?);
    let (sell_contract, sell_token) = (reader.topic_address(1), reader.topic_uint(2));
    let (buy_contract, buy_token) = (reader.address(buy.buy_token), uint(buy.buy_token_id));
    let (owner, taker, amount) = (reader.address(buy.owner), reader.address(buy.buyer), uint(buy.amount));
    let in_return = uint(buy.buy_value).checked_mul(amount);
    let in_return = in_return.and_then(|product| product.checked_div(uint(buy.sell_value)));
    let in_return = in_return.ok_or(DecodeError(reason::AMOUNT_OVERFLOW))?;
    let assets = [(sell_contract, sell_token), (buy_contract, buy_token)];
    let key = first_key(log, owner, assets, buy.salt);
    let [sold, bought] = assets.map(|(contract, token)| transfers.transfers_of(contract, token).next().is_some());
    if sold && bought {
        // Tokens for tokens.
        return Ok((filled_by(market("v1"), log, key, amount).into(), reader.warning()));
    }
    let trade = if bought || sell_contract.is_zero() {
        let line = LineItem::of(buy_contract, buy_token, in_return).between(taker, owner);
        Trade {
            currency: sell_contract,
            ..Trade::of(market("v1"), Side::Offer, line, amount)
        }
    } else {
        let line = LineItem::of(sell_contract, sell_token, amount).between(owner, taker);
        Trade {
            currency: buy_contract,
            ..Trade::of(market("v1"), Side::Listing, line, in_return)
        }
    };
    let fill = filled_by(market("v1"), log, key, trade.lines[0].quantity);
    Ok((LogOutcome::from(trade).and(fill), reader.warning()))
}

/// What one order gives.
enum Asset {
    Money(Address),
    Token(Address, U256, Standard),
}

impl Asset {
    fn read(reader: &mut Reader<'_>, within: Tuple, at: &Word) -> Result<Self, DecodeError> {
        let asset = reader.tuple(within, at)?;
        let [class, data_at] = reader.words(asset)?;
        let mut data = Reader::over(reader.bytes(asset, data_at)?);
        let mut token = |standard| {
            let [contract, token] = data.words(Tuple::ROOT)?;
            Ok(Asset::Token(data.address(contract), uint(token), standard))
        };
        match class[..4] {
            // ETH
            [0xaa, 0xae, 0xbe, 0xba] => Ok(Asset::Money(Address::ZERO)),
            // ERC20
            [0x8a, 0xe8, 0x5d, 0x84] => {
                let [contract] = data.words(Tuple::ROOT)?;
                Ok(Asset::Money(data.address(contract)))
            }
            // ERC721
            [0x73, 0xad, 0x21, 0x46] => token(Standard::Erc721),
            // ERC1155
            [0x97, 0x3b, 0xb6, 0x40] => token(Standard::Erc1155),
            // CRYPTO_PUNKS
            [0x3e, 0x6b, 0x89, 0xd4] => token(Standard::CryptoPunks),
            // ERC721_LAZY
            [0xd8, 0xf9, 0x60, 0xc1] => lazy(&mut data, Standard::Erc721),
            // ERC1155_LAZY
            [0x1c, 0xdf, 0xaa, 0x40] => lazy(&mut data, Standard::Erc1155),
            _ => Err(DecodeError(reason::UNKNOWN_VARIANT)),
        }
    }
}

/// A token that is created on sale: `(address token, (uint256 tokenId, ...))`.
fn lazy(data: &mut Reader<'_>, standard: Standard) -> Result<Asset, DecodeError> {
    let [contract, mint_at] = data.words(Tuple::ROOT)?;
    let mint = data.tuple(Tuple::ROOT, mint_at)?;
    let [token] = data.words(mint)?;
    Ok(Asset::Token(data.address(contract), uint(token), standard))
}

fn with_assets(transaction: &Transaction<'_>, log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let stated = MatchWithAssets::of(reader.head()?);
    let (left_hash, right_hash) = (stated.left_hash, stated.right_hash);
    let (left, right) = (reader.address(stated.left_maker), reader.address(stated.right_maker));
    // Each fill is what that maker received.
    let (left_fill, right_fill) = (uint(stated.new_left_fill), uint(stated.new_right_fill));
    let assets = (
        Asset::read(&mut reader, Tuple::ROOT, stated.left_asset_at)?,
        Asset::read(&mut reader, Tuple::ROOT, stated.right_asset_at)?,
    );
    let (line, currency, price, left_sells) = match assets {
        (Asset::Token(contract, token, standard), Asset::Money(currency)) => {
            let line = LineItem::of(contract, token, right_fill).between(left, right);
            (LineItem { standard, ..line }, currency, left_fill, true)
        }
        (Asset::Money(currency), Asset::Token(contract, token, standard)) => {
            let line = LineItem::of(contract, token, left_fill).between(right, left);
            (LineItem { standard, ..line }, currency, right_fill, false)
        }
        // Tokens for tokens, of which each order counts those it gives.
        (Asset::Token(..), Asset::Token(..)) => {
            let gave = |hash: &Word, quantity| filled_by(market("v2"), log, Key::hash(B256::from(*hash)), quantity);
            let fill = LogOutcome::from(gave(left_hash, right_fill));
            return Ok((fill.and(gave(right_hash, left_fill)), reader.warning()));
        }
        _ => return Ok((LogOutcome::default(), reader.warning())),
    };
    let left_took = transaction.sender() == Some(left);
    let side = if left_sells == left_took {
        Side::Offer
    } else {
        Side::Listing
    };
    let trade = Trade {
        order_hash: Some(B256::from(if left_took { *right_hash } else { *left_hash })),
        currency,
        ..Trade::of(market("v2"), side, line, price)
    };
    Ok((matched(log, trade, [left_hash, right_hash]), reader.warning()))
}

/// What the transaction asked the exchange for, where it called the exchange itself.
#[derive(Default)]
struct Asked<'a> {
    selector: [u8; 4],
    /// The order in the first place.
    order: Option<DirectOrder<'a>>,
}

impl<'a> Asked<'a> {
    fn of(transaction: &Transaction<'a>, log: &Log) -> Self {
        let envelope = transaction.envelope.filter(|envelope| envelope.to == Some(log.address));
        let call = envelope.and_then(|envelope| envelope.input.split_first_chunk::<4>());
        call.map_or_else(Asked::default, |(selector, arguments)| Asked {
            selector: *selector,
            order: first_order(arguments),
        })
    }

    /// The side of the order that a direct call takes. Its fills are the price and the quantity, in this order.
    fn direct(&self) -> Option<Side> {
        match self.selector {
            DIRECT_PURCHASE => Some(Side::Listing),
            DIRECT_ACCEPT_BID => Some(Side::Offer),
            _ => None,
        }
    }

    /// The maker of the left order, if two orders are matched.
    fn left_maker(&self) -> Option<Address> {
        let order = self.order.filter(|_| self.selector == MATCH_ORDERS);
        order.map(|order| log_reader::address(order.maker))
    }
}

fn first_order(arguments: &[u8]) -> Option<DirectOrder<'_>> {
    let mut reader = Reader::over(arguments);
    let [at] = reader.words(Tuple::ROOT).ok()?;
    let order = reader.tuple(Tuple::ROOT, at).ok()?;
    reader.words(order).ok().map(DirectOrder::of)
}

/// A match that names nothing but amounts: its token is the one that moved since the match before.
fn without_assets(
    transaction: &Transaction<'_>,
    log: &Log,
    transfers: &TransferIndex,
    window: Range<u32>,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [left_hash, right_hash, left_fill, right_fill] = reader.head()?;
    let (left_fill, right_fill) = (uint(left_fill), uint(right_fill));
    let asked = Asked::of(transaction, log);
    let direct = asked.direct();
    let mut moves = transfers.movements(window.clone()).iter().rev();
    let is_left = |quantity| direct.is_none() && quantity == left_fill;
    // The log has two amounts and neither token nor price: what moved shows which amount is the tokens'.
    let Some(moved) = moves.find(|moved| is_left(moved.quantity) || moved.quantity == right_fill) else {
        return Ok((LogOutcome::default(), reader.warning()));
    };
    let sender = transaction.sender();
    let side = direct.unwrap_or(if sender == Some(moved.from) {
        Side::Offer
    } else {
        Side::Listing
    });
    let left_took = sender.is_some() && sender == asked.left_maker();
    let hash = if direct == Some(Side::Offer) || left_took {
        right_hash
    } else {
        left_hash
    };
    // With two equal amounts either could be the price, so none is claimed.
    let (price, allocation) = match direct {
        Some(_) => (Some(left_fill), PriceAllocation::Exact),
        None if left_fill == right_fill => (None, PriceAllocation::Unknown),
        None if is_left(moved.quantity) => (Some(right_fill), PriceAllocation::Inferred),
        None => (Some(left_fill), PriceAllocation::Inferred),
    };
    let paid_in = asked.order.filter(|_| direct.is_some());
    let mut payments = transfers.payments(window).iter();
    let currency = match paid_in {
        Some(order) => log_reader::address(order.payment_token),
        None => payments
            .find(|payment| payment.from == moved.to)
            .map_or(Address::ZERO, |payment| payment.currency),
    };
    let line = LineItem::of(moved.contract, moved.token, moved.quantity).between(moved.from, moved.to);
    let trade = Trade {
        order_hash: Some(B256::from(*hash)),
        currency,
        price,
        allocation,
        ..Trade::of(market("v2"), side, line, U256::ZERO)
    };
    Ok((matched(log, trade, [left_hash, right_hash]), reader.warning()))
}
