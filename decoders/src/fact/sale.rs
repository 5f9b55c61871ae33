//! Sales, with their fees.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};
use smallvec::SmallVec;
use uuid::Uuid;

use super::kind::{Fact, FactKind, Place};
use super::standard::Standard;
use crate::block::ChainId;
use crate::id::RecordKind;

/// How buyer and seller met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// A maker offered tokens, the buyer took them.
    Listing,
    /// A maker offered money, the seller took it.
    Offer,
    /// The highest bid of an auction.
    Auction,
    /// Offered to one buyer only.
    Private,
    /// A pool sold.
    AmmBuy,
    /// A pool bought.
    AmmSell,
    /// Sold by creating it.
    Mint,
}

impl Side {
    /// The name kept in `sales.side`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Listing => "listing",
            Side::Offer => "offer",
            Side::Auction => "auction",
            Side::Private => "private",
            Side::AmmBuy => "amm_buy",
            Side::AmmSell => "amm_sell",
            Side::Mint => "mint",
        }
    }
}

/// How the price of one sale was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceAllocation {
    /// The log states it.
    Exact,
    /// An equal part of what several lines cost together; the last line holds the remainder.
    SplitEqual,
    /// Read off the payments of the transaction.
    Inferred,
    /// Nothing available states it.
    Unknown,
}

impl PriceAllocation {
    /// The name kept in `sales.price_allocation`.
    pub fn as_str(self) -> &'static str {
        match self {
            PriceAllocation::Exact => "exact",
            PriceAllocation::SplitEqual => "split_equal",
            PriceAllocation::Inferred => "inferred",
            PriceAllocation::Unknown => "unknown",
        }
    }
}

/// What a part of a price was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeeKind {
    /// To the marketplace.
    Marketplace,
    /// To the creator.
    Royalty,
    /// To the party that arranged the trade.
    Tip,
    /// To somebody else: a lender whose debt the price repaid, a caller who kept the spread.
    Other,
}

impl FeeKind {
    /// The name kept in `sale_fees.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            FeeKind::Marketplace => "marketplace",
            FeeKind::Royalty => "royalty",
            FeeKind::Tip => "tip",
            FeeKind::Other => "other",
        }
    }
}

/// A part of a price that did not go to the seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Who got it; zero where the log states the amount but not the receiver.
    pub recipient: Address,
    /// How much, in the smallest unit of the sale's currency.
    pub amount: U256,
    /// What for.
    pub kind: FeeKind,
}

/// The fees of one sale.
pub type Fees = SmallVec<[Fee; 2]>;

/// One token, or one quantity of one token, sold at one position. Parts of a bundle are sales of their own.
///
/// The law: where a price is known, it is the sum of the fees and of what the seller kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Decoder that saw it: the coverage source, such as `seaport`.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index among the sales of that log.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Name of the market, such as `seaport`.
    pub marketplace: &'static str,
    /// Version of its contracts, such as `1.5`; empty where there is but one.
    pub version: &'static str,
    /// The market's contract, which emitted the log.
    pub market: Address,
    /// Token contract; zero where `token` is absent.
    pub contract: Address,
    /// Token number within the contract; absent where nothing available states what was sold.
    pub token: Option<U256>,
    /// Token standard, taken from the movement of the token where there is one.
    pub standard: Standard,
    /// Units sold; one for single-owner standards.
    pub quantity: U256,
    /// The person who sold, behind routers (decoding specification, section 2.1).
    pub seller: Address,
    /// The person who bought, behind routers.
    pub buyer: Address,
    /// The taker as the log names it, perhaps a router.
    pub taker_raw: Address,
    /// The router between taker and market, where one is known.
    pub aggregator: Option<Address>,
    /// Who had made the offer or listing.
    pub maker: Address,
    /// How buyer and seller met.
    pub side: Side,
    /// What was paid in: zero for the native currency, else the ERC-20 contract.
    pub currency: Address,
    /// What the whole quantity cost the buyer, fees included, gas not, in the smallest unit of the currency; absent
    /// where nothing available states it.
    pub price: Option<U256>,
    /// The parts of the price that did not go to the seller, as far as they are known.
    pub fees: Fees,
    /// The price less the fees; absent with the price.
    pub seller_net: Option<U256>,
    /// The maker's order, where the market names orders.
    pub order_hash: Option<B256>,
    /// Item of the first sale of the same bundle, at the same log; its id is the bundle's.
    pub bundle_first: u32,
    /// How many sales the bundle holds; one for a single sale.
    pub bundle_size: u32,
    /// How the price was determined.
    pub allocation: PriceAllocation,
    /// What is to be known before this sale is trusted: each one of [`flag`], sorted.
    pub flags: SmallVec<[&'static str; 2]>,
}

impl Sale {
    /// The id that the sales of one bundle share: that of its first sale. Absent for a single sale.
    pub fn bundle_id(&self, chain: ChainId, block_hash: B256) -> Option<Uuid> {
        let first = Place {
            item: self.bundle_first,
            ..self.place()
        };
        (self.bundle_size > 1).then(|| first.id(Self::RECORD, chain, block_hash))
    }

    /// The price of one unit, rounded down; absent with the price.
    pub fn unit_price(&self) -> Option<U256> {
        self.price?.checked_div(self.quantity)
    }
}

/// What may be reported about a sale, as tables and docs/PROTOCOLS.md name it.
pub mod flag {
    /// No movement of the token in the transaction belongs to the sale.
    pub const NO_TRANSFER: &str = "no_transfer";
    /// Fees were taken out of the price, and nothing available states how much; `seller_net` still holds them.
    pub const FEES_UNKNOWN: &str = "fees_unknown";
    /// The buyer may have paid fees on top of the price that the log does not show.
    pub const FEES_ON_TOP_UNKNOWN: &str = "fees_on_top_unknown";
    /// The fees the log states exceed the price; none are accepted.
    pub const FEES_EXCEED_PRICE: &str = "fees_exceed_price";
    /// Nothing available states which token was sold.
    pub const TOKEN_UNKNOWN: &str = "token_unknown";
    /// Nothing available states who bought; the buyer is zero.
    pub const BUYER_UNKNOWN: &str = "buyer_unknown";
    /// Nothing available states who sold; the seller is zero.
    pub const SELLER_UNKNOWN: &str = "seller_unknown";
    /// The price is that of the buyer's live bid, which nothing available states.
    pub const PRICE_OF_BID: &str = "price_of_bid";
    /// The price is what the pool's curve asked at that moment, which nothing available states.
    pub const PRICE_OF_POOL: &str = "price_of_pool";
    /// The price is what the seller got; what fees took out of it before is not emitted.
    pub const NET_ONLY: &str = "net_only";
    /// The transaction's sender and calldata would have shown more and were not available.
    pub const NO_ENVELOPE: &str = "no_envelope";
    /// What contracts answer when asked would have shown more and was not available.
    pub const NO_ANSWER: &str = "no_answer";
    /// Anybody may have emitted the log: who vouches for contracts of this market could not be asked. The sale counts in no
    /// volume and is never a last sale.
    pub const UNPROVEN: &str = "unproven";
    /// The first sale of the token by its creator.
    pub const PRIMARY: &str = "primary";
    /// Nothing was paid to the seller's own address: the first payment to a stranger is taken for the proceeds.
    pub const PROCEEDS_REDIRECTED: &str = "proceeds_redirected";
    /// The reading of this form of the event is confirmed by source text only, by no log.
    pub const UNCONFIRMED: &str = "unconfirmed";
}

/// What a sale is called.
const SALE: &str = "sale";

impl Fact for Sale {
    fn place(&self) -> Place {
        Place {
            source: self.source,
            contracts: [self.market, self.contract],
            block_number: self.block_number,
            log_index: self.log_index,
            item: self.item,
            tx_hash: self.tx_hash,
        }
    }

    fn name(&self) -> Option<&'static str> {
        Some(SALE)
    }

    fn marketplace(&self) -> Option<&'static str> {
        Some(self.marketplace)
    }

    fn currency(&self) -> Option<Address> {
        Some(self.currency)
    }

    fn json(&self) -> Value {
        let fees = self.fees.iter();
        let fees = fees.map(
            |fee| json!({"recipient": fee.recipient, "amount": fee.amount.to_string(), "kind": fee.kind.as_str()}),
        );
        json!({
            "log_index": self.log_index, "item": self.item, "decoder": self.source, "marketplace": self.marketplace,
            "version": self.version, "side": self.side.as_str(), "contract": self.contract,
            "token": self.token.map(|token| token.to_string()), "standard": self.standard.as_str(),
            "quantity": self.quantity.to_string(), "seller": self.seller, "buyer": self.buyer, "maker": self.maker,
            "taker_raw": self.taker_raw, "aggregator": self.aggregator, "currency": self.currency,
            "price": self.price.map(|price| price.to_string()),
            "seller_net": self.seller_net.map(|net| net.to_string()), "fees": fees.collect::<Value>(),
            "price_allocation": self.allocation.as_str(), "bundle_size": self.bundle_size, "order_hash": self.order_hash,
            "flags": self.flags.to_vec(),
        })
    }
}

impl FactKind for Sale {
    const RECORD: RecordKind = RecordKind::fact(2);

    const TITLE: &'static str = "sales";

    const NAMES: &'static [&'static str] = &[SALE];

    fn item_mut(&mut self) -> &mut u32 {
        &mut self.item
    }

    /// Sales are numbered as they are appended, and those of a rejected log taken back then: bundles name the item of their first sale.
    fn close(facts: &mut Vec<Self>, first: usize, _: &dyn Fn(&Place) -> bool) {
        facts[first..].sort_by_key(|sale| (sale.log_index, sale.item));
    }
}
