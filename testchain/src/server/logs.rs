//! `eth_getLogs`: the filter, the limits, the answer.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bloom, BloomInput};
use serde::Deserialize;

use super::request::BlockId;
use super::view::View;
use crate::block::{Block, Log};
use crate::encode::{self, Place};
use crate::faults::Settings;
use crate::refusal::Refusal;

/// The filter object of `eth_getLogs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogQuery {
    from_block: Option<BlockId>,
    to_block: Option<BlockId>,
    block_hash: Option<B256>,
    address: Option<OneOrMany<Address>>,
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Beyond this many values a bloom holds one of them by chance anyway.
const BLOOMS: usize = 64;

/// What a log must be; an empty list matches anything.
struct Filter {
    addresses: Wanted<Address>,
    topics: Vec<Wanted<B256>>,
}

/// The values one field may have, sorted, with what each sets in a bloom.
struct Wanted<T> {
    values: Vec<T>,
    blooms: Vec<Bloom>,
}

impl<T: AsRef<[u8]> + Copy + Ord> Wanted<T> {
    fn new(values: Option<&OneOrMany<T>>) -> Self {
        let mut values = values.map_or(&[][..], OneOrMany::as_slice).to_vec();
        values.sort_unstable();
        let filtering = values.iter().filter(|_| values.len() <= BLOOMS);
        let blooms = filtering
            .map(|value| Bloom::from(BloomInput::Raw(value.as_ref())))
            .collect();
        Self { values, blooms }
    }

    fn allows(&self, value: &T) -> bool {
        self.values.is_empty() || self.values.binary_search(value).is_ok()
    }

    fn may_be_in(&self, bloom: &Bloom) -> bool {
        self.blooms.is_empty() || self.blooms.iter().any(|wanted| bloom.contains(wanted))
    }
}

impl Filter {
    fn new(query: &LogQuery, settings: &Settings) -> Self {
        let mut positions = query.topics.as_deref().unwrap_or_default();
        while settings.cut_positions
            && let [front @ .., None] = positions
        {
            positions = front;
        }
        Self {
            addresses: Wanted::new(query.address.as_ref()),
            topics: positions
                .iter()
                .map(|position| Wanted::new(position.as_ref()))
                .collect(),
        }
    }

    fn may_match(&self, block: &Block) -> bool {
        self.addresses.may_be_in(&block.logs_bloom)
            && self.topics.iter().all(|topic| topic.may_be_in(&block.logs_bloom))
    }

    fn matches(&self, log: &Log) -> bool {
        log.topics.len() >= self.topics.len()
            && self
                .topics
                .iter()
                .zip(&log.topics)
                .all(|(wanted, topic)| wanted.allows(topic))
            && self.addresses.allows(&log.address)
    }
}

/// Appends the array of matching logs and returns how many there are.
pub(crate) fn answer(
    view: &View,
    settings: &Settings,
    lies: bool,
    query: &LogQuery,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let blocks = blocks(view, settings, query)?;
    // Refused before anything is searched, as providers do: a client that asks for too much should see it at once.
    within_limits(settings, query)?;
    if lies && view.happens_empty(settings) {
        out.extend_from_slice(b"[]");
        return Ok(0);
    }
    let filter = Filter::new(query, settings);
    let mut writer = Writer {
        start: out.len(),
        out,
        sent: 0,
        settings,
    };
    writer.out.push(b'[');
    for block in &blocks {
        // Blooms of odd chains may not cover their logs; only a bloom the simulator made is relied upon.
        if block.header.is_typed() && !filter.may_match(block) {
            continue;
        }
        let block = view.with_log_faults(block.clone(), settings, lies);
        writer.write(&block, &filter);
        // After each block, so that the limit on an answer is met where a provider would meet it, and the hint names a block that
        // fits.
        if let Some(refusal) = writer.refusal(&blocks, block.number.saturating_sub(1)) {
            return Err(refusal);
        }
    }
    writer.out.push(b']');
    Ok(writer.sent)
}

fn within_limits(settings: &Settings, query: &LogQuery) -> Result<(), Refusal> {
    let limits = &settings.limits;
    let addresses = query.address.as_ref().map_or(0, |address| address.as_slice().len());
    if let Some(granted) = limits.addresses.filter(|granted| addresses > *granted) {
        return Err(limits.wording.too_many_addresses(granted));
    }
    let positions = query.topics.iter().flatten().flatten();
    let topics = positions.map(|topics| topics.as_slice().len()).max().unwrap_or(0);
    match limits.topics.filter(|granted| topics > *granted) {
        Some(granted) => Err(limits.wording.too_many_topics(granted)),
        None => Ok(()),
    }
}

fn blocks(view: &View, settings: &Settings, query: &LogQuery) -> Result<Vec<Arc<Block>>, Refusal> {
    if let Some(hash) = query.block_hash {
        if query.from_block.is_some() || query.to_block.is_some() {
            return Err(Refusal::invalid_argument(
                0,
                "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
            ));
        }
        let block = view
            .by_hash(&hash, settings)
            .ok_or_else(|| Refusal::new(-32000, "unknown block"))?;
        return Ok(vec![block]);
    }
    let range = range(view, settings, query)?;
    let asked = range.end() - range.start() + 1;
    if let Some(granted) = settings.limits.block_range.filter(|granted| asked > *granted) {
        return Err(settings.limits.wording.too_wide(asked, granted));
    }
    Ok(view.range(range, settings))
}

/// The heights asked for; an end above the head is taken as it is, so that limits see it.
fn range(view: &View, settings: &Settings, query: &LogQuery) -> Result<RangeInclusive<u64>, Refusal> {
    let height = |id: Option<BlockId>| match id.unwrap_or(BlockId::Latest) {
        BlockId::Number(number) => Ok(number),
        BlockId::Hash(_) => Err(Refusal::invalid_argument(0, "a range is given by numbers or tags")),
        tag => view
            .tagged(tag, settings)
            .map(|block| block.number)
            .ok_or_else(|| Refusal::new(-32000, "unknown block")),
    };
    let (from, to) = (height(query.from_block)?, height(query.to_block)?);
    if from > to {
        return Err(Refusal::new(-32000, "invalid block range params"));
    }
    Ok(from..=to)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    sent: usize,
    settings: &'a Settings,
}

impl Writer<'_> {
    fn write(&mut self, block: &Block, filter: &Filter) {
        let mut place = Place::new(block, !self.settings.omit_log_timestamps);
        let beside = block.transactions.iter().zip(&block.receipts);
        let present = beside.filter(|(_, receipt)| !receipt.is_absent());
        for (index, (transaction, receipt)) in present.enumerate() {
            let mut entered = false;
            for log in receipt.logs.iter().filter(|log| filter.matches(log)) {
                if !entered {
                    place.enter(index, &transaction.hash);
                    entered = true;
                }
                if self.sent > 0 {
                    self.out.push(b',');
                }
                encode::log(self.out, log, &place);
                self.sent += 1;
            }
        }
    }

    /// The refusal once too much was written; blocks up to height `fitting` were few enough.
    fn refusal(&self, blocks: &[Arc<Block>], fitting: u64) -> Option<Refusal> {
        let limits = &self.settings.limits;
        // Every provider answers a single block whatever its size.
        let from = match blocks {
            [first, _, ..] => first.number,
            _ => return None,
        };
        if let Some(granted) = limits.results.filter(|granted| self.sent > *granted) {
            return Some(limits.wording.too_many(granted, &(from..=fitting.max(from))));
        }
        let written = self.out.len() - self.start;
        let granted = limits.response_bytes.filter(|granted| written > *granted)?;
        Some(limits.wording.too_large(granted, &(from..=fitting.max(from))))
    }
}
