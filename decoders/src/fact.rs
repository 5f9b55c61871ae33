//! Event words: what a chain can emit, one record per position.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U256, keccak256};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::block::{Block, ChainId, Proof, Span};
use crate::id::{Position, RecordKind};

/// Token standard as decoded from the event layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// ERC-721 and the single-owner contracts before it that share its meaning.
    Erc721,
    /// ERC-1155.
    Erc1155,
    /// CryptoPunks.
    CryptoPunks,
}

impl Standard {
    /// The name kept in `tokens.token_standard`.
    pub fn as_str(self) -> &'static str {
        match self {
            Standard::Erc721 => "erc721",
            Standard::Erc1155 => "erc1155",
            Standard::CryptoPunks => "cryptopunks",
        }
    }

    /// Whether a token has one owner; otherwise owners hold quantities.
    pub fn single_owner(self) -> bool {
        !matches!(self, Standard::Erc1155)
    }
}

/// Whether a transfer creates, destroys or moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferKind {
    /// From the zero address.
    Mint,
    /// To the zero address.
    Burn,
    /// Between two addresses.
    Transfer,
}

impl TransferKind {
    /// The name used in tables, messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            TransferKind::Mint => "mint",
            TransferKind::Burn => "burn",
            TransferKind::Transfer => "transfer",
        }
    }
}

/// One token, or one quantity of one token, transferred at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Decoder that saw it: the coverage source, such as `erc721`.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index within the batch or range; zero otherwise.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract.
    pub token: U256,
    /// Previous owner; zero for a mint.
    pub from: Address,
    /// New owner; zero for a burn.
    pub to: Address,
    /// Units moved: one for single-owner standards, possibly zero for ERC-1155.
    pub quantity: U256,
    /// Token standard.
    pub standard: Standard,
    /// Mint, burn or transfer.
    pub kind: TransferKind,
}

impl Transfer {
    /// The fact's id, given the block it stands in.
    pub fn id(&self, chain: ChainId, block_hash: B256) -> Uuid {
        let (block_number, log_index, item) = (self.block_number, self.log_index, self.item);
        Position {
            chain,
            block_number,
            block_hash,
            log_index,
            item,
            kind: RecordKind::Transfer,
        }
        .id()
    }
}

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
    /// The fact's id, given the block it stands in.
    pub fn id(&self, chain: ChainId, block_hash: B256) -> Uuid {
        self.id_at(self.item, chain, block_hash)
    }

    /// The id that the sales of one bundle share: that of its first sale. Absent for a single sale.
    pub fn bundle_id(&self, chain: ChainId, block_hash: B256) -> Option<Uuid> {
        (self.bundle_size > 1).then(|| self.id_at(self.bundle_first, chain, block_hash))
    }

    fn id_at(&self, item: u32, chain: ChainId, block_hash: B256) -> Uuid {
        let (block_number, log_index) = (self.block_number, self.log_index);
        Position {
            chain,
            block_number,
            block_hash,
            log_index,
            item,
            kind: RecordKind::Sale,
        }
        .id()
    }

    /// The price of one unit, rounded down; absent with the price.
    pub fn unit_price(&self) -> Option<U256> {
        self.price?.checked_div(self.quantity)
    }
}

/// Which side of a trade an order takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderKind {
    /// The maker gives tokens: a row of `listings`.
    Listing,
    /// The maker gives money: a row of `offers`.
    Offer,
}

impl OrderKind {
    /// The name used in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderKind::Listing => "listing",
            OrderKind::Offer => "offer",
        }
    }
}

/// A listing or an offer that the chain shows, at the position of the log that opens it (decoding specification, section 5).
///
/// It stays open until a [`Closing`] above it reaches it, or another order with its key replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Decoder that saw it: the coverage source, such as `seaport`.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index among the orders of that log.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Listing or offer.
    pub kind: OrderKind,
    /// Name of the market, such as `seaport`.
    pub marketplace: &'static str,
    /// Version of its contracts, such as `1.5`; empty where there is but one.
    pub version: &'static str,
    /// The market's contract: a closing of all orders of a maker reaches those of the same contract.
    pub market: Address,
    /// What the market knows the order by: its hash, or [`order_key`] of what stands for one.
    pub key: B256,
    /// Whether `key` is the market's own hash of the order.
    pub hashed: bool,
    /// Who made it.
    pub maker: Address,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract; absent where any token of the contract, or any of several, will do.
    pub token: Option<U256>,
    /// Token standard.
    pub standard: Standard,
    /// Units offered or asked for.
    pub quantity: U256,
    /// What is to be paid in: zero for the native currency, else the ERC-20 contract.
    pub currency: Address,
    /// What the whole quantity costs, in the smallest unit of the currency; absent where it is not emitted. Where it changes
    /// with time, what it costs at first.
    pub price: Option<U256>,
    /// When it can be taken, seconds since the Unix epoch; absent for at once.
    pub starts_at: Option<u64>,
    /// When it ends on its own; absent for never.
    pub expires_at: Option<u64>,
    /// The only one who may take it.
    pub taker: Option<Address>,
    /// The maker's nonce or counter it lives under, where the market emits it.
    pub nonce: Option<U256>,
    /// Whether the market holds the token meanwhile, so that it is not the maker who owns it.
    pub escrowed: bool,
    /// Whether it is won by bids.
    pub auction: bool,
}

impl Order {
    /// The fact's id, given the block it stands in.
    pub fn id(&self, chain: ChainId, block_hash: B256) -> Uuid {
        let (block_number, log_index, item) = (self.block_number, self.log_index, self.item);
        Position {
            chain,
            block_number,
            block_hash,
            log_index,
            item,
            kind: RecordKind::Order,
        }
        .id()
    }
}

/// The key of an order that its market gives no hash: of the market's contract, the kind, and what the market knows it by.
pub fn order_key(market: Address, kind: OrderKind, parts: &[B256]) -> B256 {
    let mut named = Vec::with_capacity(32 * (parts.len() + 1));
    named.extend_from_slice(market.as_slice());
    named.extend_from_slice(kind.as_str().as_bytes());
    parts.iter().for_each(|part| named.extend_from_slice(part.as_slice()));
    keccak256(named)
}

/// Why orders ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClosingReason {
    /// Taken, in whole or in part.
    Filled,
    /// Taken back by the maker.
    Canceled,
    /// Ended by the market.
    Invalidated,
}

impl ClosingReason {
    /// The name kept in tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ClosingReason::Filled => "filled",
            ClosingReason::Canceled => "canceled",
            ClosingReason::Invalidated => "invalidated",
        }
    }
}

/// Which orders a closing reaches: those opened below it, at the same market contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The order with this key.
    Key(B256),
    /// Orders of this maker.
    Maker {
        /// The maker.
        maker: Address,
        /// Which of the maker's orders.
        nonces: Nonces,
    },
}

/// Which orders of a maker, by nonce. An order whose nonce is not known is reached by [`Nonces::All`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonces {
    /// All.
    All,
    /// Those with a lower nonce.
    Below(U256),
    /// Those with this nonce.
    Exactly(U256),
}

/// The end of an order, of a part of it, or of all orders of a maker, at the position of the log that records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Decoder that saw it.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index among the closings of that log.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Name of the market.
    pub marketplace: &'static str,
    /// The market's contract.
    pub market: Address,
    /// Which orders end.
    pub reach: Reach,
    /// Why.
    pub reason: ClosingReason,
    /// Units taken, for a fill that may leave some; absent where the order ends whole.
    pub quantity: Option<U256>,
}

impl Closing {
    /// The fact's id, given the block it stands in.
    pub fn id(&self, chain: ChainId, block_hash: B256) -> Uuid {
        let (block_number, log_index, item) = (self.block_number, self.log_index, self.item);
        Position {
            chain,
            block_number,
            block_hash,
            log_index,
            item,
            kind: RecordKind::Closing,
        }
        .id()
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

/// A log that claims to be something it is not: malformed, hostile or absurd. Recorded, never fatal; at most one per log
/// and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Decoder that found it.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Emitting contract.
    pub contract: Address,
    /// Event signature hash, absent for anonymous events.
    pub topic0: Option<B256>,
    /// One of [`reason`]: some refuse the log, others are warnings about a log that was accepted.
    pub reason: &'static str,
}

/// The fixed set of fault reasons, as tables, metrics and docs/PROTOCOLS.md name them.
pub mod reason {
    /// Refused: the data ends before what the event must hold, or points outside itself.
    pub const DATA_TOO_SHORT: &str = "data_too_short";
    /// Refused: the data is not whole 32-byte words.
    pub const DATA_NOT_WORDS: &str = "data_not_words";
    /// Refused: the event has another number of topics than its standard gives it.
    pub const TOPIC_COUNT: &str = "topic_count";
    /// Refused: from the zero address to the zero address.
    pub const ZERO_TO_ZERO: &str = "zero_to_zero";
    /// Refused: a batch with more ids than quantities, or fewer.
    pub const BATCH_LENGTH_MISMATCH: &str = "batch_length_mismatch";
    /// Refused: a range whose last id is below its first.
    pub const RANGE_BACKWARDS: &str = "range_backwards";
    /// Refused: a range of more ids than a whole transaction may create.
    pub const RANGE_TOO_LONG: &str = "range_too_long";
    /// Refused: a range, batch or bundle beyond what all of one transaction, or all of one block, may make.
    pub const OVER_BUDGET: &str = "over_budget";
    /// Refused: a punk was transferred, and no log of the transaction names the receiver.
    pub const PUNK_BUYER_UNKNOWN: &str = "punk_buyer_unknown";
    /// Refused: what the emitting contract is would have to be asked of it, and the answer was not available. Decoding again with
    /// the answer mends it.
    pub const CONTRACT_UNKNOWN: &str = "contract_unknown";
    /// Refused: a block number or log index beyond what an id can hold.
    pub const POSITION_OUT_OF_RANGE: &str = "position_out_of_range";
    /// Refused: amounts whose sum or product no chain could hold.
    pub const AMOUNT_OVERFLOW: &str = "amount_overflow";
    /// Refused: an enumeration with a value its contract does not know.
    pub const UNKNOWN_VARIANT: &str = "unknown_variant";
    /// Refused: a followed contract emitted an event that its ABI does not have.
    pub const EVENT_UNKNOWN: &str = "event_unknown";
    /// Refused: a followed contract runs the code of another one, whose ABI is not in the registry.
    pub const ABI_UNKNOWN: &str = "abi_unknown";
    /// Refused: more data than the archive can hold in decoded form, or offsets that make more of it than it is.
    pub const TOO_LARGE: &str = "too_large";
    /// Warning: the log is decoded as far as logs allow; what its contract answers when asked was not available. Decoding again
    /// with the answer shows more.
    pub const UNANSWERED: &str = "unanswered";
    /// Warning: an address word with something in its high twelve bytes.
    pub const DIRTY_ADDRESS: &str = "dirty_address";
    /// Warning: a word with something in the bits that its type does not have.
    pub const DIRTY_VALUE: &str = "dirty_value";
    /// Warning: more data than the event needs.
    pub const TRAILING_DATA: &str = "trailing_data";

    /// Whether a log with this fault was accepted all the same.
    pub fn is_warning(reason: &str) -> bool {
        matches!(reason, UNANSWERED | DIRTY_ADDRESS | DIRTY_VALUE | TRAILING_DATA)
    }
}

/// Everything one span decoded to: the only thing sinks are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The chain.
    pub chain: ChainId,
    /// Lowest and highest height of the span.
    pub range: RangeInclusive<u64>,
    /// Hash of the block below the lowest; absent where the span was read from the archive.
    pub parent_hash: Option<B256>,
    /// The span's blocks in ascending order; every block a fact names is among them.
    pub blocks: Vec<Block>,
    /// What was proven of the span.
    pub proof: Proof,
    /// Decoders whose logs were looked at, and `archive` where the raw events are kept; sorted.
    pub sources: Vec<&'static str>,
    /// Contracts the span was read for; empty when it was read for all. Coverage is then kept per contract.
    pub contracts: Vec<Address>,
    /// Transfers in chain order.
    pub transfers: Vec<Transfer>,
    /// Sales in chain order.
    pub sales: Vec<Sale>,
    /// Listings and offers in chain order.
    pub orders: Vec<Order>,
    /// Ends of orders in chain order.
    pub closings: Vec<Closing>,
    /// Logs refused, in chain order.
    pub faults: Vec<Fault>,
}

impl Facts {
    /// How many facts and faults there are.
    pub fn count(&self) -> usize {
        self.transfers.len() + self.sales.len() + self.orders.len() + self.closings.len() + self.faults.len()
    }

    /// No facts yet, over the blocks of `span`.
    pub fn of(span: &Span) -> Self {
        Facts::within(span, span.range.clone())
    }

    /// No facts yet, over the blocks of `span` in `range`, which lies within it.
    pub fn within(span: &Span, range: RangeInclusive<u64>) -> Self {
        let at = |number| span.blocks.partition_point(|block| block.number < number);
        let blocks = &span.blocks[at(*range.start())..];
        let held = blocks.partition_point(|block| block.number <= *range.end());
        Facts {
            chain: span.chain,
            parent_hash: if range.start() == span.range.start() {
                span.parent_hash
            } else {
                span.block(range.start() - 1).map(|below| below.hash)
            },
            range,
            blocks: blocks[..held].to_vec(),
            proof: span.proof,
            sources: Vec::new(),
            contracts: Vec::new(),
            transfers: Vec::new(),
            sales: Vec::new(),
            orders: Vec::new(),
            closings: Vec::new(),
            faults: Vec::new(),
        }
    }
}
