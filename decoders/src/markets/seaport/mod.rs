//! Seaport 1.1 to 1.6 (decoding specification, section 4.1; contracts `ProjectOpenSea/seaport`).
//!
//! `OrderFulfilled` emits one order as it was filled: what its offerer gave and what had to be given for it. Orders filled
//! against each other form a group ([`seaport_groups`](crate::markets::seaport::groups)).
//!
//! Orders are signed, not sent: only those that somebody validated stand on the chain
//! ([`seaport_orders`](crate::markets::seaport::orders)). They are known by their hash, and a raised counter ends all of an
//! offerer's at that contract.

mod groups;
mod orders;

use std::iter;

use alloy_primitives::{Address, B256, U256, address, b256};
use rustc_hash::FxHashSet;

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Fees, Nonces, PriceAllocation, Side, Standard, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, Word, uint};
use crate::markets::seaport::groups::{Groups, Wanted, parts, solve};
use crate::markets::seaport::orders::{validated, validated_unseen};
use crate::trade::orders::{Key, canceled, filled, filled_by, revoked};
use crate::trade::{Flags, LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

pub(crate) const V1_1: Address = address!("00000000006c3852cbef3e08e8df289169ede581");
const V1_2: Address = address!("00000000000006c7676171937c444f6bde3d6282");
const V1_3: Address = address!("0000000000000ad24e80fd803c6ac37206a45f15");
const V1_4: Address = address!("00000000000001ad428e4906ae43d8f9852d0dd6");
const V1_5: Address = address!("00000000000000adc04c56bf30ac9d3c0aaf14dc");
const V1_6: Address = address!("0000000000000068f116a894984e2db1123eb395");

/// Created by a factory under addresses that follow from their code, so that they are Seaport on every chain.
const CONTRACTS: &[(u64, Address)] = &[
    (chains::EVERY, V1_1),
    (chains::EVERY, V1_2),
    (chains::EVERY, V1_3),
    (chains::EVERY, V1_4),
    (chains::EVERY, V1_5),
    (chains::EVERY, V1_6),
];

/// The adapter that stands for OpenSea's shared storefront in orders, and the storefront itself.
const ADAPTER: Address = address!("a604060890923ff400e8c6f5290461a83aedacec");
const STOREFRONT: Address = address!("495f947276749ce646f68ac8c248420045cb7b5e");

/// Who gets OpenSea's fees.
const OPENSEA: &[Address] = &[
    address!("0000a26b00c1f0df003000390027140000faa719"),
    address!("8de9c5a032463c561423387a9648c5c7bcc5bc90"),
    address!("5b3256965e7c3cf26e11fcaf296dfc8807c01073"),
];

/// `OrderFulfilled(bytes32,address,address,address,(uint8,address,uint256,uint256)[],(uint8,address,uint256,uint256,address)[])`.
const ORDER_FULFILLED: B256 = b256!("9d9af8e38d66c62e2c12f0225249fd9d721c54b83f48d9352c97c6cacdcb6f31");
/// `OrdersMatched(bytes32[])`.
const ORDERS_MATCHED: B256 = b256!("4b9f2d36e1b4c93de62cc077b00b1a91d84b6c31b4a14e012718dcca230689e7");

/// `OrderValidated(bytes32,(address,address,(uint8,address,uint256,uint256,uint256)[],(uint8,address,uint256,uint256,uint256,address)[],uint8,uint256,uint256,bytes32,uint256,bytes32,uint256))`.
const ORDER_VALIDATED: B256 = b256!("f280791efe782edcf06ce15c8f4dff17601db3b88eb3805a0db7d77faf757f04");
/// `OrderValidated(bytes32,address,address)`, of 1.1, which states no terms.
const ORDER_VALIDATED_UNSEEN: B256 = b256!("fde361574a066b44b3b5fe98a87108b7565e327327954c4faeea56a4e6491a0a");
/// `OrderCancelled(bytes32,address,address)`.
const ORDER_CANCELLED: B256 = b256!("6bacc01dbe442496068f7d234edd811f1a5f833243e0aec824f86ab861f3c90d");
/// `CounterIncremented(uint256,address)`.
const COUNTER_INCREMENTED: B256 = b256!("721c20121297512b72821b97f5326877ea8ecf4bb9948fea5bfcb6453074d37f");

/// All versions: their events are alike. Who called distinguishes the maker of a matched pair from its taker, and the calldata
/// what 1.1 does not emit of a validated order.
pub(crate) const DECODER: Decoder = Decoder {
    name: "seaport",
    claims: &[
        Claim::of(CONTRACTS, ORDER_FULFILLED, 3).with_envelope(),
        Claim::of(CONTRACTS, ORDERS_MATCHED, 1).with_envelope(),
        Claim::of(CONTRACTS, ORDER_VALIDATED, 1),
        Claim::of(CONTRACTS, ORDER_VALIDATED_UNSEEN, 3).with_envelope(),
        Claim::of(CONTRACTS, ORDER_CANCELLED, 3),
        Claim::of(CONTRACTS, COUNTER_INCREMENTED, 2),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let mut groups = Groups::default();
    let mut unseen: Vec<&Log> = Vec::new();
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&ORDERS_MATCHED) => events.settle(log, groups.matched(log)),
            Some(&ORDER_VALIDATED) => events.emit(log, validated(transaction, log)),
            Some(&ORDER_VALIDATED_UNSEEN) => unseen.push(log),
            Some(&ORDER_CANCELLED | &COUNTER_INCREMENTED) => events.emit(log, taken_back(log)),
            _ => {
                let decoded = Order::read(transaction, log).map(|(order, warning)| {
                    let fill = order.fill();
                    groups.push(order);
                    (fill, warning)
                });
                events.emit(log, decoded);
            }
        }
    }
    validated_unseen(transaction, &unseen, events);
    let (alone, groups) = groups.finish();
    for order in &alone {
        let decoded = single(order).map(|trade| trade.into_iter().collect());
        emit_all(decoded, order.log, events);
    }
    for group in &groups {
        for part in parts(group) {
            emit_all(solve(transaction, &part), part[0].log, events);
        }
    }
}

fn emit_all(decoded: Result<Vec<(&Log, Trade)>, DecodeError>, log: &Log, events: &mut Events) {
    match decoded {
        Ok(trades) => trades.into_iter().for_each(|(log, trade)| events.trade(log, trade)),
        Err(error) => events.settle(log, Err(error)),
    }
}

/// The end of one order, or of all orders of an offerer: what the offerer's counter is now does not matter.
fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [word] = reader.head()?;
    let offerer = reader.topic_address(1);
    let closing = if log.topic0() == Some(&ORDER_CANCELLED) {
        canceled(market(log), log, Key::hash(B256::from(*word)))
    } else {
        revoked(market(log), log, offerer, Nonces::All)
    };
    Ok((closing, reader.warning()))
}

/// Something an order gives or asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// 0 native, 1 ERC-20, 2 ERC-721, 3 ERC-1155, 4 and 5 the latter by criteria.
    pub(crate) kind: u8,
    pub(crate) contract: Address,
    pub(crate) token: U256,
    pub(crate) amount: U256,
    /// Who gets it; the filler's choice for what is offered.
    pub(crate) recipient: Address,
}

impl Item {
    pub(crate) fn read(
        transaction: &Transaction<'_>,
        reader: &mut Reader<'_>,
        words: &[Word; 4],
    ) -> Result<Self, DecodeError> {
        let kind = u8::try_from(uint(&words[0])).ok().filter(|kind| *kind <= 5);
        let contract = reader.address(&words[1]);
        Ok(Item {
            kind: kind.ok_or(DecodeError(reason::UNKNOWN_VARIANT))?,
            contract: if contract == ADAPTER && transaction.chain.0 == chains::ETHEREUM {
                STOREFRONT
            } else {
                contract
            },
            token: uint(&words[2]),
            amount: uint(&words[3]),
            recipient: Address::ZERO,
        })
    }

    pub(crate) fn is_payment(&self) -> bool {
        self.kind < 2
    }

    /// What a payment is in.
    pub(crate) fn currency(&self) -> Address {
        if self.kind == 0 { Address::ZERO } else { self.contract }
    }

    pub(crate) fn is_same_token(&self, other: &Item) -> bool {
        !self.is_payment() && !other.is_payment() && self.contract == other.contract && self.token == other.token
    }

    /// Contract and number of a token.
    pub(crate) fn token(&self) -> (Address, U256) {
        (self.contract, self.token)
    }

    pub(crate) fn line(&self, seller: Address, buyer: Address) -> LineItem {
        let standard = if matches!(self.kind, 2 | 4) {
            Standard::Erc721
        } else {
            Standard::Erc1155
        };
        LineItem {
            standard,
            ..LineItem::of(self.contract, self.token, self.amount).between(seller, buyer)
        }
    }
}

/// One `OrderFulfilled`.
pub(crate) struct Order<'a> {
    pub(crate) log: &'a Log,
    pub(crate) hash: B256,
    pub(crate) offerer: Address,
    pub(crate) recipient: Address,
    pub(crate) offer: Vec<Item>,
    pub(crate) consideration: Vec<Item>,
}

impl<'a> Order<'a> {
    fn read(transaction: &Transaction<'_>, log: &'a Log) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let [hash, recipient, offer_at, consideration_at] = reader.head()?;
        let mut offer = Vec::new();
        for words in reader.records::<4>(Tuple::ROOT, offer_at)? {
            offer.push(Item::read(transaction, &mut reader, words)?);
        }
        let mut consideration = Vec::new();
        for [item @ .., recipient] in reader.records::<5>(Tuple::ROOT, consideration_at)? {
            let item = Item::read(transaction, &mut reader, item)?;
            let recipient = reader.address(recipient);
            consideration.push(Item { recipient, ..item });
        }
        let order = Order {
            log,
            hash: B256::from(*hash),
            offerer: reader.topic_address(1),
            recipient: reader.address(recipient),
            offer,
            consideration,
        };
        Ok((order, reader.warning()))
    }

    /// The end of what was filled of the order: as many units of its tokens as moved.
    fn fill(&self) -> Closing {
        let key = Key::hash(self.hash);
        let side = if self.offer.iter().any(|item| !item.is_payment()) {
            &self.offer
        } else {
            &self.consideration
        };
        match Order::tokens(side).map(|item| item.amount).reduce(U256::saturating_add) {
            Some(units) => filled_by(market(self.log), self.log, key, units),
            None => filled(market(self.log), self.log, key),
        }
    }

    pub(crate) fn gives_payment(&self) -> bool {
        self.offer.iter().any(Item::is_payment)
    }

    /// Whether it gives tokens and asks for others.
    pub(crate) fn is_swap(&self) -> bool {
        let given: FxHashSet<_> = Order::tokens(&self.offer).map(Item::token).collect();
        !given.is_empty() && Order::tokens(&self.consideration).any(|wanted| !given.contains(&wanted.token()))
    }

    pub(crate) fn tokens(items: &[Item]) -> impl Iterator<Item = &Item> {
        items.iter().filter(|item| !item.is_payment())
    }

    pub(crate) fn payments(items: &[Item]) -> impl Iterator<Item = &Item> {
        items.iter().filter(|item| item.is_payment())
    }
}

/// An order filled on its own, if it was a sale.
fn single<'a>(order: &Order<'a>) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let gives_tokens = Order::tokens(&order.offer).next().is_some();
    match (gives_tokens, order.gives_payment()) {
        (true, false) => listing(order),
        (false, true) => offer(order),
        _ => Ok(None),
    }
}

fn listing<'a>(order: &Order<'a>) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let mut returned = Wanted::by(iter::once(order));
    let lines: Vec<LineItem> = Order::tokens(&order.offer)
        .map(|item| {
            let private = returned.take(item, order.log);
            item.line(order.offerer, private.map_or(order.recipient, |item| item.recipient))
        })
        .collect();
    if !returned.is_empty() {
        return Ok(None);
    }
    let paid: Vec<&Item> = Order::payments(&order.consideration).collect();
    trade(order, Side::Listing, lines, &paid, &paid)
}

fn offer<'a>(order: &Order<'a>) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let lines = Order::tokens(&order.consideration)
        .map(|item| item.line(order.recipient, item.recipient))
        .collect();
    let given: Vec<&Item> = order.offer.iter().collect();
    let fees: Vec<&Item> = Order::payments(&order.consideration).collect();
    trade(order, Side::Offer, lines, &given, &fees)
}

/// The trade of `lines` for what was `given`, of which `shares` state who got what; none if it is not a sale in one currency.
pub(crate) fn trade<'a>(
    maker: &Order<'a>,
    side: Side,
    lines: Vec<LineItem>,
    given: &[&Item],
    shares: &[&Item],
) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let (Some(first), Some(line)) = (given.first(), lines.first()) else {
        return Ok(None);
    };
    let currency = first.currency();
    if given
        .iter()
        .chain(shares)
        .any(|item| item.currency() != currency || item.kind != first.kind)
    {
        return Ok(None);
    }
    let price = sum_of(given.iter().map(|item| item.amount))?.max(sum_of(shares.iter().map(|item| item.amount))?);
    let is_seller = sellers(&lines);
    let mut trade = Trade {
        market: market(maker.log),
        side,
        order_hash: Some(maker.hash),
        maker: maker.offerer,
        currency,
        price: Some(price),
        fees: Fees::new(),
        allocation: PriceAllocation::Exact,
        flags: Flags::new(),
        ..Trade::of(market(maker.log), side, *line, price)
    };
    let to_sellers = shares.iter().any(|item| is_seller(item.recipient));
    let is_buyer = |address| lines.iter().any(|line| line.buyer == address);
    let may_be_redirected = !to_sellers && side == Side::Listing;
    let is_proceeds =
        |item: &Item| may_be_redirected && !OPENSEA.contains(&item.recipient) && !is_buyer(item.recipient);
    let proceeds = shares.iter().position(|item| is_proceeds(item));
    for (index, item) in shares.iter().enumerate() {
        if proceeds == Some(index) {
            trade.flags.push(flag::PROCEEDS_REDIRECTED);
        } else if !is_seller(item.recipient) {
            trade.fee(item.recipient, item.amount, kind_of(item.recipient));
        }
    }
    trade.lines = lines.into();
    Ok(Some((maker.log, trade)))
}

/// Records who sells any of `lines`.
pub(crate) fn sellers(lines: &[LineItem]) -> impl Fn(Address) -> bool + use<> {
    let mut sellers: Vec<Address> = lines.iter().map(|line| line.seller).collect();
    sellers.sort_unstable();
    sellers.dedup();
    move |address| sellers.binary_search(&address).is_ok()
}

fn kind_of(recipient: Address) -> FeeKind {
    if OPENSEA.contains(&recipient) {
        FeeKind::Marketplace
    } else {
        FeeKind::Royalty
    }
}

pub(crate) fn market(log: &Log) -> Market {
    let version = match log.address {
        V1_1 => "1.1",
        V1_2 => "1.2",
        V1_3 => "1.3",
        V1_4 => "1.4",
        V1_5 => "1.5",
        _ => "1.6",
    };
    Market {
        name: "seaport",
        version,
    }
}
