//! One `OrderFulfilled` of Seaport, and the trade it makes alone or with others.

use alloy_primitives::{Address, B256, U256, address};
use rustc_hash::FxHashSet;

use crate::block::Log;
use crate::chains;
use crate::fact::{Closing, FeeKind, Fees, PriceAllocation, Side, Standard, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, uint, words};
use crate::trade::orders::{Key, filled, filled_by};
use crate::trade::{Flags, LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

pub(crate) const V1_1: Address = address!("00000000006c3852cbef3e08e8df289169ede581");
pub(crate) const V1_2: Address = address!("00000000000006c7676171937c444f6bde3d6282");
pub(crate) const V1_3: Address = address!("0000000000000ad24e80fd803c6ac37206a45f15");
pub(crate) const V1_4: Address = address!("00000000000001ad428e4906ae43d8f9852d0dd6");
pub(crate) const V1_5: Address = address!("00000000000000adc04c56bf30ac9d3c0aaf14dc");
pub(crate) const V1_6: Address = address!("0000000000000068f116a894984e2db1123eb395");

/// The adapter that stands for OpenSea's shared storefront in orders, and the storefront itself.
const ADAPTER: Address = address!("a604060890923ff400e8c6f5290461a83aedacec");
const STOREFRONT: Address = address!("495f947276749ce646f68ac8c248420045cb7b5e");

/// Who gets OpenSea's fees.
const OPENSEA: &[Address] = &[
    address!("0000a26b00c1f0df003000390027140000faa719"),
    address!("8de9c5a032463c561423387a9648c5c7bcc5bc90"),
    address!("5b3256965e7c3cf26e11fcaf296dfc8807c01073"),
];

words! {
    /// `SpentItem`. Every other kind of item starts like it: what `OrderParameters` hold with `identifier_or_criteria` and
    /// `start_amount` in its last two places.
    pub(crate) struct ItemWords { item_type, token, identifier, amount }
}

/// Something an order gives or asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderItem {
    /// 0 native, 1 ERC-20, 2 ERC-721, 3 ERC-1155, 4 and 5 the latter by criteria.
    pub(crate) kind: u8,
    pub(crate) contract: Address,
    pub(crate) token: U256,
    pub(crate) amount: U256,
    /// Who gets it; the filler's choice for what is offered.
    pub(crate) recipient: Address,
}

impl OrderItem {
    pub(crate) fn read(
        transaction: &Transaction<'_>,
        reader: &mut Reader<'_>,
        words: ItemWords<'_>,
    ) -> Result<Self, DecodeError> {
        let kind = u8::try_from(uint(words.item_type)).ok().filter(|kind| *kind <= 5);
        let contract = reader.address(words.token);
        Ok(OrderItem {
            kind: kind.ok_or(DecodeError(reason::UNKNOWN_VARIANT))?,
            contract: if contract == ADAPTER && transaction.chain.0 == chains::ETHEREUM {
                STOREFRONT
            } else {
                contract
            },
            token: uint(words.identifier),
            amount: uint(words.amount),
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

    pub(crate) fn is_same_token(&self, other: &OrderItem) -> bool {
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
pub(crate) struct FilledOrder<'a> {
    pub(crate) log: &'a Log,
    pub(crate) hash: B256,
    pub(crate) offerer: Address,
    pub(crate) recipient: Address,
    pub(crate) offer: Vec<OrderItem>,
    pub(crate) consideration: Vec<OrderItem>,
}

impl<'a> FilledOrder<'a> {
    pub(crate) fn read(
        transaction: &Transaction<'_>,
        log: &'a Log,
    ) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let [hash, recipient, offer_at, consideration_at] = reader.head()?;
        let mut offer = Vec::new();
        for words in reader.records::<4>(Tuple::ROOT, offer_at)? {
            offer.push(OrderItem::read(transaction, &mut reader, ItemWords::of(words))?);
        }
        let mut consideration = Vec::new();
        for [item @ .., recipient] in reader.records::<5>(Tuple::ROOT, consideration_at)? {
            let item = OrderItem::read(transaction, &mut reader, ItemWords::of(item))?;
            let recipient = reader.address(recipient);
            consideration.push(OrderItem { recipient, ..item });
        }
        let order = FilledOrder {
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
    pub(crate) fn fill(&self) -> Closing {
        let key = Key::hash(self.hash);
        let side = if self.offer.iter().any(|item| !item.is_payment()) {
            &self.offer
        } else {
            &self.consideration
        };
        match FilledOrder::tokens(side)
            .map(|item| item.amount)
            .reduce(U256::saturating_add)
        {
            Some(units) => filled_by(market(self.log), self.log, key, units),
            None => filled(market(self.log), self.log, key),
        }
    }

    pub(crate) fn gives_payment(&self) -> bool {
        self.offer.iter().any(OrderItem::is_payment)
    }

    /// Whether it gives tokens and asks for others.
    pub(crate) fn is_swap(&self) -> bool {
        let given: FxHashSet<_> = FilledOrder::tokens(&self.offer).map(OrderItem::token).collect();
        !given.is_empty() && FilledOrder::tokens(&self.consideration).any(|wanted| !given.contains(&wanted.token()))
    }

    pub(crate) fn tokens(items: &[OrderItem]) -> impl Iterator<Item = &OrderItem> {
        items.iter().filter(|item| !item.is_payment())
    }

    pub(crate) fn payments(items: &[OrderItem]) -> impl Iterator<Item = &OrderItem> {
        items.iter().filter(|item| item.is_payment())
    }
}

/// The trade of `lines` for what was `given`, of which `shares` state who got what; none if it is not a sale in one currency.
pub(crate) fn trade<'a>(
    maker: &FilledOrder<'a>,
    side: Side,
    lines: Vec<LineItem>,
    given: &[&OrderItem],
    shares: &[&OrderItem],
) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let (Some(first), Some(line)) = (given.first(), lines.first()) else {
        return Ok(None);
    };
    let currency = first.currency();
    // In more than one currency the parts cannot be added to a price.
    if given
        .iter()
        .chain(shares)
        .any(|item| item.currency() != currency || item.kind != first.kind)
    {
        return Ok(None);
    }
    // What was given and what was shared out differ when the caller keeps the rest, or adds to it.
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
    // A listing may pay out to another account of the seller: the first payment to no known fee wallet is then taken for the
    // proceeds.
    let may_be_redirected = !to_sellers && side == Side::Listing;
    let is_proceeds =
        |item: &OrderItem| may_be_redirected && !OPENSEA.contains(&item.recipient) && !is_buyer(item.recipient);
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
