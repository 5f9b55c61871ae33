//! What was sold and what stood for sale: the generator's own account of the markets, kept while it trades.

use alloy_primitives::{Address, B256, U256};

use super::transfers::Standard;

/// Where a log stands in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Height of the block.
    pub block: u64,
    /// Index of the log within its block.
    pub log_index: u32,
}

/// A market of the simulated chain; all of them are Ethereum's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Market {
    /// Seaport 1.5.
    Seaport,
    /// Blur v2.
    Blur,
    /// Foundation.
    Foundation,
    /// The market within the contract of the punks.
    CryptoPunks,
    /// X2Y2.
    X2y2,
}

/// Which side found the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The seller had offered a token, the buyer took it.
    Listing,
    /// The buyer had offered money, the seller took it.
    Offer,
}

/// What a part of a price was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// To the market.
    Marketplace,
    /// To the creator.
    Royalty,
}

/// A part of a price that did not go to the seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fee {
    /// Who got it; zero where the market's log keeps silent about it.
    pub recipient: Address,
    /// How much, in the smallest unit of the currency.
    pub amount: U256,
    /// What for.
    pub cause: Cause,
}

/// One token, or one quantity of one, sold. Each token of a bundle is a sale of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// The market's log.
    pub position: Position,
    /// Index among the sales of that log.
    pub item: u32,
    /// Where.
    pub market: Market,
    /// Which side found the other.
    pub side: Side,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract.
    pub token: U256,
    /// Token standard.
    pub standard: Standard,
    /// Units sold.
    pub quantity: U256,
    /// The person who sold.
    pub seller: Address,
    /// The person who bought.
    pub buyer: Address,
    /// The one of both whose order it was.
    pub maker: Address,
    /// The contract that bought in the buyer's name.
    pub router: Option<Address>,
    /// Zero for the native currency, else the ERC-20 contract.
    pub currency: Address,
    /// What the buyer paid, fees included; absent for a bid on a punk that no one had entered.
    pub price: Option<U256>,
    /// What the seller did not get of it, sorted.
    pub fees: Vec<Fee>,
    /// The market's hash of the maker's order.
    pub order_hash: Option<B256>,
    /// How many tokens were sold for one price together.
    pub bundle_size: u32,
}

/// A listing or an offer that the chain shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The log that opened it, which names it: no log opens two.
    pub position: Position,
    /// Where.
    pub market: Market,
    /// [`Side::Listing`] gives tokens, [`Side::Offer`] gives money.
    pub side: Side,
    /// The market's hash of it.
    pub hash: Option<B256>,
    /// Who made it.
    pub maker: Address,
    /// Token contract.
    pub contract: Address,
    /// Token number; absent where any token of the contract will do.
    pub token: Option<U256>,
    /// Token standard.
    pub standard: Standard,
    /// Units offered or asked for.
    pub quantity: U256,
    /// Zero for the native currency, else the ERC-20 contract.
    pub currency: Address,
    /// What the whole quantity costs.
    pub price: U256,
    /// From when on it can be taken, seconds since the Unix epoch.
    pub starts_at: Option<u64>,
    /// When it expires.
    pub expires_at: Option<u64>,
    /// The only one who may take it.
    pub taker: Option<Address>,
    /// Whether the market holds the token meanwhile.
    pub escrowed: bool,
}

/// Why an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Taken, in whole or in part.
    Filled,
    /// Taken back by its maker.
    Canceled,
    /// Another order took its place.
    Replaced,
    /// Ended by the market because of what else happened, perhaps without a word.
    Invalidated,
}

/// The end of an order, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The log that ended it.
    pub position: Position,
    /// The log that had opened it.
    pub order: Position,
    /// Why.
    pub reason: Reason,
    /// Units taken; absent where it ends whole.
    pub quantity: Option<U256>,
}

/// Sales, orders and their ends, each in chain order.
#[derive(Clone, Debug, Default)]
pub(super) struct Trades {
    pub(super) sales: Vec<Sale>,
    pub(super) orders: Vec<Order>,
    pub(super) endings: Vec<Ending>,
}

impl Market {
    /// The name the market goes by.
    pub fn name(self) -> &'static str {
        match self {
            Market::Seaport => "seaport",
            Market::Blur => "blur",
            Market::Foundation => "foundation",
            Market::CryptoPunks => "cryptopunks",
            Market::X2y2 => "x2y2",
        }
    }
}

impl Sale {
    /// What the seller got; absent with the price.
    pub fn seller_net(&self) -> Option<U256> {
        let fees: U256 = self.fees.iter().map(|fee| fee.amount).sum();
        self.price.map(|price| price - fees)
    }
}

impl Trades {
    pub(super) fn extend(&mut self, more: Trades) {
        self.sales.extend(more.sales);
        self.orders.extend(more.orders);
        self.endings.extend(more.endings);
    }

    /// What of it happened up to `height`.
    pub(super) fn upto(&self, height: u64) -> Self {
        let sales = self.sales.partition_point(|sale| sale.position.block <= height);
        let orders = self.orders.partition_point(|order| order.position.block <= height);
        let endings = self.endings.partition_point(|ending| ending.position.block <= height);
        Trades {
            sales: self.sales[..sales].to_vec(),
            orders: self.orders[..orders].to_vec(),
            endings: self.endings[..endings].to_vec(),
        }
    }
}
