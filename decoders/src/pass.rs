//! Which decoder looks at which log, and the one pass that asks them.
//!
//! It knows decoders by their claims only; which there are stands in [`crate::protocols`].

use std::ops::BitOr;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256};
use rustc_hash::FxHashMap;

use crate::block::{Call, ChainId, Context, Log, Span};
use crate::chains;
use crate::decoder::Decoder;
use crate::events::Events;
use crate::fact::{Facts, reason};
use crate::id::{MAX_BLOCK, MAX_LOG_INDEX};
use crate::log_reader::DecodeError;
use crate::protocols::{DECODERS, ROUTERS};
use crate::roster::Roster;
use crate::transaction::{DecoderSet, Transaction};

/// Stands in a decoder set for: the transaction's envelope is wanted.
const ENVELOPE: DecoderSet = 1 << (DecoderSet::BITS - 1);
/// Stands in a decoder set for: decoding the transaction may ask contracts.
const ASKING: DecoderSet = 1 << (DecoderSet::BITS - 2);
/// Stands in a decoder set for: the log is of interest anywhere, and not beside a sale alone.
const SOUGHT: DecoderSet = 1 << (DecoderSet::BITS - 3);
/// What stands in a decoder set for no decoder.
const FLAGS: DecoderSet = ENVELOPE | ASKING | SOUGHT;

/// Decodes a whole span, with every decoder there is.
///
/// Logs that no decoder claims are passed over; logs that are not what they claim become faults. The span's context should hold
/// what [`wants`] names; a sale for which it does not is decoded as far as the logs show and states so in its flags.
pub fn decode(span: &Span) -> Facts {
    let mut pieces = decode_pieces(span, usize::MAX);
    pieces.next().expect("a span is at least one piece")
}

/// Decodes a span piece by piece, each a span of its own of as many blocks as make `most` facts: it ends with the block that
/// reaches them. What one block may make is bounded by its own logs ([`MAX_EXTRA_FACTS_PER_BLOCK`]), so no more is in memory at
/// once, whatever the logs hold. Together the pieces are what [`decode`] returns.
///
/// [`MAX_EXTRA_FACTS_PER_BLOCK`]: crate::budget::MAX_EXTRA_FACTS_PER_BLOCK
pub fn decode_pieces(span: &Span, most: usize) -> impl Iterator<Item = Facts> {
    let mut rest = Some((*span.range.start(), span.logs.as_slice()));
    std::iter::from_fn(move || {
        let (first, logs) = rest.take()?;
        let (events, undecoded) = decode_blocks(span.chain, logs, &span.context, most);
        // A piece ends with a block that made facts; blocks without logs behind it belong to the next, and the last piece takes
        // the rest.
        let last = match (logs.len() - undecoded.len(), undecoded) {
            (_, []) => *span.range.end(),
            (decoded, _) => logs[decoded - 1].block_number,
        };
        if !undecoded.is_empty() {
            rest = Some((last + 1, undecoded));
        }
        let facts = Facts {
            sources: sources().to_vec(),
            ..Facts::within(span, first..=last)
        };
        Some(facts.with(events.into_facts()))
    })
}

/// What decoding a span would like to know beside its logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Transactions whose envelope adds something, in chain order.
    pub envelopes: Vec<B256>,
    /// Questions to contracts, sorted and each once.
    pub calls: Vec<Call>,
}

impl Wants {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.envelopes.is_empty() && self.calls.is_empty()
    }
}

/// How often what a span [`wants`] is asked for: an answer may raise another question, but not without end.
pub const ROUNDS: usize = 4;

/// What decoding `span` wants and its context misses: what is worth fetching before [`decode`]. An answer may raise another
/// question, so ask until nothing is wanted that was not asked before, in [`ROUNDS`] rounds at most.
///
/// Every log is looked up once. Only transactions with a claim that asks are decoded, and what they decode to is dropped.
pub fn wants(span: &Span) -> Wants {
    let mut wants = Wants::default();
    let mut asking = Events::default();
    let mut claims = Vec::new();
    for transaction in transactions(&span.logs) {
        let tx_hash = transaction.logs[0].tx_hash;
        let claiming = transaction.claiming(span.chain);
        if claiming & ENVELOPE != 0 && !span.context.envelopes.contains_key(&tx_hash) {
            wants.envelopes.push(tx_hash);
        }
        if claiming & ASKING != 0 {
            // Decoded to be asked, not for its facts: only the decoder knows which question the answer before leads to.
            transaction.decode(span.chain, &span.context, &mut claims, &mut asking);
            asking.drop_facts();
        }
    }
    wants.calls = asking.into_unanswered();
    wants
}

/// Decodes logs ordered by block number and log index.
///
/// A span may be cut anywhere between two blocks and its pieces decoded apart, at the same time if need be: what they decode to,
/// put behind each other, is what the whole decodes to.
pub fn decode_logs(chain: ChainId, logs: &[Log], context: &Context) -> Events {
    decode_blocks(chain, logs, context, usize::MAX).0
}

/// Decodes `logs` block by block until there are `most` facts, and gives the logs that are left.
fn decode_blocks<'a>(chain: ChainId, logs: &'a [Log], context: &Context, most: usize) -> (Events, &'a [Log]) {
    let mut events = Events::default();
    let mut claims = Vec::new();
    let mut decoded = 0;
    for block in logs.chunk_by(|one, next| one.block_number == next.block_number) {
        for transaction in transactions(block) {
            transaction.decode(chain, context, &mut claims, &mut events);
        }
        decoded += block.len();
        // Between blocks alone: a block is committed whole.
        if events.facts().count() >= most {
            break;
        }
    }
    (events, &logs[decoded..])
}

/// The logs of one transaction, and those of its block before them.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    earlier: &'a [Log],
    logs: &'a [Log],
}

/// The transactions of `logs`, in order.
fn transactions(logs: &[Log]) -> impl Iterator<Item = Stretch<'_>> {
    let blocks = logs.chunk_by(|one, next| one.block_number == next.block_number);
    blocks.flat_map(|block| {
        let transactions = block.chunk_by(|one, next| one.tx_hash == next.tx_hash);
        transactions.scan(0, move |start, logs| {
            let earlier = &block[..*start];
            *start += logs.len();
            Some(Stretch { earlier, logs })
        })
    })
}

impl Stretch<'_> {
    /// Who claims any of the logs.
    fn claiming(self, chain: ChainId) -> DecoderSet {
        let claims = self.logs.iter().map(|log| DISPATCH.claims_on(chain, log));
        claims.fold(0, DecoderSet::bitor)
    }

    /// Decodes the logs into `events`; `claims` lends its memory.
    fn decode(self, chain: ChainId, context: &Context, claims: &mut Vec<DecoderSet>, events: &mut Events) {
        claims.clear();
        claims.extend(self.logs.iter().map(|log| DISPATCH.claims_on(chain, log)));
        let claiming = claims.iter().copied().fold(0, DecoderSet::bitor);
        if claiming == 0 {
            return;
        }
        let transaction = Transaction {
            chain,
            logs: self.logs,
            earlier: self.earlier,
            envelope: context.envelopes.get(&self.logs[0].tx_hash),
            answers: &context.answers,
            claims,
            decoder: claiming & !FLAGS,
            roster: &DISPATCH.roster,
        };
        events.open_transaction(self.logs[0].block_number);
        decode_transaction(transaction, events);
        events.close_transaction(&transaction);
    }
}

/// Gives every decoder of the set `transaction.decoder` its turn. Logs whose place no id can hold stand last; they are faults, and
/// the transaction is read as if it ended before them.
fn decode_transaction(transaction: Transaction<'_>, events: &mut Events) {
    let placed = transaction.logs.partition_point(has_position);
    let (logs, behind) = transaction.logs.split_at(placed);
    let (claims, claims_behind) = transaction.claims.split_at(placed);
    let mut waiting = transaction.decoder;
    // From the lowest bit up, which is the order of the list: tokens stand before markets, which look for what was moved.
    while waiting != 0 {
        let index = waiting.trailing_zeros();
        waiting &= waiting - 1;
        let decoder = &DECODERS[index as usize];
        let part = |logs, claims| Transaction {
            logs,
            claims,
            decoder: 1 << index,
            ..transaction
        };
        events.turn(decoder.name);
        if !logs.is_empty() {
            (decoder.decode)(&part(logs, claims), events);
        }
        part(behind, claims_behind)
            .claimed()
            .for_each(|log| events.settle(log, Err(DecodeError(reason::POSITION_OUT_OF_RANGE))));
    }
}

/// Whether an id can hold the log's position. No chain comes near the limits; an endpoint can report anything.
fn has_position(log: &Log) -> bool {
    log.block_number <= MAX_BLOCK && log.log_index <= MAX_LOG_INDEX
}

/// The names of the decoders that claim `log`.
pub(crate) fn claimants(chain: ChainId, log: &Log) -> Vec<&'static str> {
    let claims = DISPATCH.claims_on(chain, log);
    let decoders = DECODERS.iter().enumerate();
    decoders
        .filter(|(index, _)| claims & 1 << index != 0)
        .map(|(_, decoder)| decoder.name)
        .collect()
}

/// What all decoders know of contracts.
pub(crate) fn known() -> &'static Roster {
    &DISPATCH.roster
}

/// Whether some decoder claims `log`.
pub fn is_claimed(chain: ChainId, log: &Log) -> bool {
    DISPATCH.claims_on(chain, log) != 0
}

/// Whether `log` may be a sale: what stands in its transaction is then read with it, whatever it is.
pub fn may_be_sale(chain: ChainId, log: &Log) -> bool {
    const SALE: DecoderSet = ENVELOPE | SOUGHT;
    // A claim wants the envelope for every log that may be a sale; what is read beside sales alone is none.
    DISPATCH.claims_on(chain, log) & SALE == SALE
}

/// An event signature hash that decoders share with events of no interest, distinguished by their number of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedTopic {
    /// The hash.
    pub topic: B256,
    /// The number of topics, the hash included, that a log has at least which is of interest anywhere.
    pub topic_count: usize,
    /// The contracts whose logs are of interest with fewer topics too.
    pub contracts: Vec<Address>,
}

impl SharedTopic {
    /// Whether a log of `contract` with these topics has the hash and is of interest beside sales alone.
    pub fn is_beside(&self, contract: &Address, topics: &[B256]) -> bool {
        topics.first() == Some(&self.topic) && topics.len() < self.topic_count && !self.contracts.contains(contract)
    }
}

/// The shared hashes on `chain`, sorted.
pub fn shared_topics(chain: ChainId) -> Vec<SharedTopic> {
    let claims = || DECODERS.iter().flat_map(|decoder| decoder.claims);
    let mut topics: Vec<B256> = claims()
        .filter(|claim| claim.beside)
        .map(|claim| claim.topic0)
        .collect();
    topics.sort_unstable();
    topics.dedup();
    let shared = topics.into_iter().filter_map(|topic| {
        let sought = || claims().filter(move |claim| claim.topic0 == topic && !claim.beside);
        let anywhere = sought().filter(|claim| claim.addresses.is_none());
        let topic_count = anywhere.map(|claim| claim.topic_count).min()?;
        let fewer = sought().filter(|claim| claim.topic_count < topic_count);
        let listed = fewer.filter_map(|claim| claim.addresses).flatten();
        let here = listed.filter(|(of, _)| [chain.0, chains::EVERY].contains(of));
        Some(SharedTopic {
            topic,
            topic_count: topic_count.into(),
            contracts: here.map(|(_, contract)| *contract).collect(),
        })
    });
    shared.collect()
}

/// Every event signature hash that a decoder claims, sorted: what endpoints are asked for.
pub fn topics() -> Vec<B256> {
    let mut topics: Vec<B256> = DISPATCH.slots.keys().copied().collect();
    topics.sort_unstable();
    topics
}

/// The names of the decoders, sorted: the coverage sources of what [`decode`] returns.
pub fn sources() -> &'static [&'static str] {
    &DISPATCH.sources
}

/// The contracts that trade for many in their own name, whichever protocol they are of.
pub fn intermediaries() -> impl Iterator<Item = &'static Address> {
    DECODERS.iter().flat_map(|decoder| decoder.intermediaries)
}

static DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(DECODERS));

/// The claims of all decoders, laid out for one lookup per log.
struct Dispatch {
    /// By signature hash, then by topic count less one.
    slots: FxHashMap<B256, [Slot; 4]>,
    sources: Vec<&'static str>,
    roster: Roster,
}

/// Who claims one signature at one topic count.
#[derive(Default)]
struct Slot {
    anywhere: DecoderSet,
    /// Claims on single contracts, sorted by chain and address.
    at: Vec<((u64, Address), DecoderSet)>,
}

impl Dispatch {
    fn new(decoders: &[Decoder]) -> Self {
        let mut slots: FxHashMap<B256, [Slot; 4]> = FxHashMap::default();
        for (index, decoder) in decoders.iter().enumerate() {
            for claim in decoder.claims {
                let slot = &mut slots.entry(claim.topic0).or_default()[usize::from(claim.topic_count) - 1];
                let envelope = if claim.needs_envelope { ENVELOPE } else { 0 };
                let asking = if claim.asks { ASKING } else { 0 };
                let sought = if claim.beside { 0 } else { SOUGHT };
                slot.add(1 << index | envelope | asking | sought, claim.addresses);
            }
        }
        let mut sources: Vec<&'static str> = decoders.iter().map(|decoder| decoder.name).collect();
        sources.sort_unstable();
        let roster = roster(decoders);
        Dispatch { slots, sources, roster }
    }

    fn claims_on(&self, chain: ChainId, log: &Log) -> DecoderSet {
        let slot = log
            .topic0()
            .and_then(|topic0| self.slots.get(topic0)?.get(log.topics.len() - 1));
        slot.map_or(0, |slot| slot.claims_at(chain, &log.address))
    }
}

impl Slot {
    fn add(&mut self, decoder: DecoderSet, addresses: Option<&[(u64, Address)]>) {
        let Some(addresses) = addresses else {
            self.anywhere |= decoder;
            return;
        };
        for address in addresses {
            match self.at.binary_search_by_key(address, |(at, _)| *at) {
                Ok(index) => self.at[index].1 |= decoder,
                Err(index) => self.at.insert(index, (*address, decoder)),
            }
        }
    }

    fn claims_at(&self, chain: ChainId, address: &Address) -> DecoderSet {
        let at = |chain| self.at.binary_search_by_key(&(chain, *address), |(at, _)| *at);
        // A claim on a single contract replaces the claim on any: that contract is read by its own rules alone.
        match at(chain.0).or_else(|_| at(chains::EVERY)) {
            Ok(index) => self.at[index].1,
            Err(_) => self.anywhere,
        }
    }
}

/// What `decoders` know together.
fn roster(decoders: &[Decoder]) -> Roster {
    let claimed = decoders.iter().flat_map(|decoder| decoder.claims);
    let claimed = claimed.filter_map(|claim| claim.addresses);
    let factories = decoders.iter().flat_map(|decoder| decoder.factories.iter().copied());
    let routers = decoders.iter().flat_map(|decoder| decoder.routers);
    Roster {
        listed: claimed.chain(factories).flatten().copied().collect(),
        routers: routers.chain(ROUTERS).copied().collect(),
        holders: decoders.iter().flat_map(|decoder| decoder.holders).copied().collect(),
        ranges: decoders
            .iter()
            .filter(|decoder| decoder.ranges)
            .map(|decoder| decoder.name)
            .collect(),
        inner_calls: decoders.iter().filter_map(|decoder| decoder.inner_call).collect(),
    }
}
