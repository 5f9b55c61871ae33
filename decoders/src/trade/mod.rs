//! What markets share: a trade and its line items, orders and their ends, a transaction's movements and payments, and who is
//! behind it.
//!
//! A trade is one payment for one or more tokens, split into sales that add up to it exactly.

pub(crate) mod attribution;
pub(crate) mod orders;
pub(crate) mod transfer_index;

use std::ops::Range;

use alloy_primitives::{Address, B256, U256};
use smallvec::{SmallVec, smallvec};

use crate::block::Log;
use crate::budget::MAX_EXTRA_FACTS_PER_TRANSACTION;
use crate::fact::{Fee, FeeKind, Fees, PriceAllocation, Sale, Side, Standard, flag};
use crate::log_reader::{DecodeError, sum};
use crate::trade::transfer_index::{Payment, TransferIndex};

/// A market as sales name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Market {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// How many parts the fees of one trade may be split into: each is a row, and a log holds as many lines and fees as it likes. Fewer
/// than a transaction may make facts of, so that fees alone never refuse a sale.
const MAX_FEE_PARTS: usize = MAX_EXTRA_FACTS_PER_TRANSACTION / 2;

/// Flags of a trade.
pub(crate) type Flags = SmallVec<[&'static str; 2]>;

/// What one log, or one group of logs, sold for one price. Parties are those the log names.
#[derive(Clone, Debug)]
pub(crate) struct Trade {
    pub(crate) market: Market,
    pub(crate) side: Side,
    pub(crate) order_hash: Option<B256>,
    pub(crate) maker: Address,
    /// The taker as the log names it, where the lines name the person behind it.
    pub(crate) taker_raw: Option<Address>,
    pub(crate) currency: Address,
    /// What all lines cost together, fees included.
    pub(crate) price: Option<U256>,
    pub(crate) fees: Fees,
    pub(crate) lines: SmallVec<[LineItem; 1]>,
    /// How the price of the whole was determined.
    pub(crate) allocation: PriceAllocation,
    pub(crate) flags: Flags,
}

/// One token of a trade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineItem {
    pub(crate) contract: Address,
    pub(crate) token: Option<U256>,
    pub(crate) standard: Standard,
    pub(crate) quantity: U256,
    pub(crate) seller: Address,
    pub(crate) buyer: Address,
}

impl LineItem {
    /// One ERC-721 token, or `quantity` of a token that then is an ERC-1155 one unless it moves otherwise.
    pub(crate) fn of(contract: Address, token: U256, quantity: U256) -> Self {
        LineItem {
            contract,
            token: Some(token),
            standard: if quantity == U256::ONE {
                Standard::Erc721
            } else {
                Standard::Erc1155
            },
            quantity,
            seller: Address::ZERO,
            buyer: Address::ZERO,
        }
    }

    /// The same line between `seller` and `buyer`.
    pub(crate) fn between(self, seller: Address, buyer: Address) -> Self {
        LineItem { seller, buyer, ..self }
    }
}

impl Trade {
    /// A trade of one line in which the maker's side is the one `side` names, at a price the log states.
    pub(crate) fn of(market: Market, side: Side, line: LineItem, price: U256) -> Self {
        Trade {
            market,
            side,
            order_hash: None,
            maker: if side == Side::Offer { line.buyer } else { line.seller },
            taker_raw: None,
            currency: Address::ZERO,
            price: Some(price),
            fees: Fees::new(),
            lines: smallvec![line],
            allocation: PriceAllocation::Exact,
            flags: Flags::new(),
        }
    }

    /// Adds a part of the price, one fee per receiver and kind. What goes to who sells the first line is no fee, whatever it is for:
    /// royalties are what others get (decoding specification, section 3).
    pub(crate) fn fee(&mut self, recipient: Address, amount: U256, kind: FeeKind) {
        let seller = self.lines.first().map(|line| line.seller);
        if seller == Some(recipient) && !recipient.is_zero() {
            return;
        }
        let known = self
            .fees
            .iter_mut()
            .find(|fee| fee.recipient == recipient && fee.kind == kind);
        match known.and_then(|fee| Some((fee.amount.checked_add(amount)?, fee))) {
            Some((together, fee)) => fee.amount = together,
            None if amount.is_zero() => {}
            None => self.fees.push(Fee {
                recipient,
                amount,
                kind,
            }),
        }
    }

    /// Records the fees of one line by the payments of `window` in the trade's ERC-20, if they make up the price; `kind` decides
    /// what each was for, by its place among them. What was paid in native currency nothing shows.
    pub(crate) fn fees_of_payments(
        &mut self,
        transfers: &TransferIndex,
        window: Range<u32>,
        kind: impl Fn(usize, &Payment) -> FeeKind,
    ) {
        let seller = self.lines.first().map_or(Address::ZERO, |line| line.seller);
        let price = self.price.unwrap_or_default();
        let Some(shares) = transfers.shares(window, self.currency, price, seller) else {
            self.flags.push(flag::FEES_UNKNOWN);
            return;
        };
        for (place, share) in shares.iter().enumerate() {
            self.fee(share.to, share.amount, kind(place, share));
        }
    }

    /// Whether nothing was paid: then nothing was sold.
    pub(crate) fn is_free(&self) -> bool {
        self.price == Some(U256::ZERO)
    }

    /// The sales of the trade, numbered from `first`, its fees having been checked.
    pub(crate) fn into_sales(self, source: &'static str, log: &Log, first: u32) -> Vec<Sale> {
        let prices = self.price.map(|price| split(price, self.lines.len()));
        let fees = split_fees(&self.fees, prices.as_deref().unwrap_or_default(), self.lines.len());
        let lines = self.lines.iter().zip(fees);
        let sales = (first..).zip(lines).enumerate().map(|(index, (item, (line, fees)))| {
            let price = prices.as_ref().map(|prices| prices[index]);
            Sale {
                item,
                bundle_first: first,
                price,
                seller_net: price.map(|price| price - total(&fees)),
                fees,
                ..self.sale(source, log, line)
            }
        });
        sales.collect()
    }

    /// The sale of `line` without its part of the price.
    fn sale(&self, source: &'static str, log: &Log, line: &LineItem) -> Sale {
        // Where the log names no taker it is the party that is not the maker.
        let taker = if self.maker == line.buyer && self.maker != line.seller {
            line.seller
        } else {
            line.buyer
        };
        let bundled = self.lines.len() > 1 && self.price.is_some();
        Sale {
            source,
            block_number: log.block_number,
            log_index: log.log_index,
            item: 0,
            tx_hash: log.tx_hash,
            marketplace: self.market.name,
            version: self.market.version,
            market: log.address,
            contract: line.contract,
            token: line.token,
            standard: line.standard,
            quantity: line.quantity,
            seller: line.seller,
            buyer: line.buyer,
            taker_raw: self.taker_raw.unwrap_or(taker),
            aggregator: None,
            maker: self.maker,
            side: self.side,
            currency: self.currency,
            price: None,
            fees: Fees::new(),
            seller_net: None,
            order_hash: self.order_hash,
            bundle_first: 0,
            bundle_size: u32::try_from(self.lines.len()).expect("a log has fewer lines than bytes"),
            allocation: if bundled {
                PriceAllocation::SplitEqual
            } else {
                self.allocation
            },
            flags: self.flags.clone(),
        }
    }

    /// Fees that exceed the price, or whose price is unknown, are nothing to compute with; neither are more than anybody reads.
    pub(crate) fn check_fees(&mut self) {
        if self.fees.len() * self.lines.len() > MAX_FEE_PARTS {
            self.fees.clear();
            self.flags.push(flag::FEES_UNKNOWN);
        }
        let total = self
            .fees
            .iter()
            .try_fold(U256::ZERO, |total, fee| total.checked_add(fee.amount));
        match (self.price, total) {
            (Some(price), Some(total)) if total <= price => {}
            (None, _) => self.fees.clear(),
            _ => {
                self.fees.clear();
                self.flags.push(flag::FEES_EXCEED_PRICE);
            }
        }
    }
}

/// Takes what parties of `sale` paid themselves out of its fees: what the seller got is proceeds, and what came back to the buyer is a
/// rebate, neither price nor fee (decoding specification, section 9). To be asked once the parties behind routers are known. Whether
/// anything was paid: a part of a few units' bundle may cost nothing and is sold all the same.
pub(crate) fn leave_out_own_shares(sale: &mut Sale) -> bool {
    let Some(price) = sale.price else { return true };
    let (seller, buyer) = (sale.seller, sale.buyer);
    let mut rebate = U256::ZERO;
    sale.fees.retain(|fee| {
        let is_own = !fee.recipient.is_zero() && [seller, buyer].contains(&fee.recipient);
        if is_own && fee.recipient != seller {
            rebate += fee.amount;
        }
        !is_own
    });
    // Fees never exceed the price, so neither does a part of them.
    let price = price - rebate;
    sale.price = Some(price);
    sale.seller_net = Some(price - total(&sale.fees));
    rebate.is_zero() || !price.is_zero()
}

/// The total of fees that are known to add up.
pub(crate) fn total(fees: &[Fee]) -> U256 {
    fees.iter().fold(U256::ZERO, |total, fee| total + fee.amount)
}

/// The sum of amounts.
///
/// # Errors
/// Refuses amounts no chain could hold.
pub(crate) fn sum_of(amounts: impl IntoIterator<Item = U256>) -> Result<U256, DecodeError> {
    amounts.into_iter().try_fold(U256::ZERO, sum)
}

/// The rule of the decoding specification, section 0.3: `parts` equal parts, rounded down, the last with the remainder.
fn split(whole: U256, parts: usize) -> Vec<U256> {
    let count = U256::from(parts.max(1));
    let part = whole / count;
    let mut split = vec![part; parts];
    if let Some(last) = split.last_mut() {
        *last += whole % count;
    }
    split
}

/// Each fee split as the price is, one list per line.
///
/// Remainders of several fees may exceed the last line's price when amounts are a few units: what is over moves to lines
/// before it that have room, so that no seller nets less than nothing.
fn split_fees(fees: &[Fee], prices: &[U256], lines: usize) -> Vec<Fees> {
    let mut split_fees = vec![Fees::new(); lines];
    for fee in fees {
        for (line, amount) in split_fees.iter_mut().zip(split(fee.amount, lines)) {
            line.push(Fee { amount, ..*fee });
        }
    }
    let Some((last, before)) = split_fees.split_last_mut() else {
        return split_fees;
    };
    let Some((last_price, prices_before)) = prices.split_last() else {
        return split_fees;
    };
    // Each remainder goes to the last item, as the price's does, and several of them may add up to more than its price.
    let mut over = total(last).saturating_sub(*last_price);
    for (line, price) in before.iter_mut().zip(prices_before) {
        let mut room = *price - total(line);
        for (to, from) in line.iter_mut().zip(last.iter_mut()) {
            let moved = over.min(room).min(from.amount);
            to.amount += moved;
            from.amount -= moved;
            room -= moved;
            over -= moved;
        }
    }
    for line in &mut split_fees {
        // A share that came to nothing is no fee of that item.
        line.retain(|fee| !fee.amount.is_zero());
    }
    split_fees
}
