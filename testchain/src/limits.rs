//! What providers refuse to answer, in the words they refuse it with.

use std::ops::RangeInclusive;

use clap::ValueEnum;

use crate::refusal::Refusal;

/// What an endpoint refuses because it asks for too much. The default refuses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Whose words and codes a refusal of `eth_getLogs` uses.
    pub wording: Wording,
    /// Most blocks one `eth_getLogs` may span.
    pub block_range: Option<u64>,
    /// Most logs one `eth_getLogs` may return.
    pub results: Option<usize>,
    /// Most bytes one `eth_getLogs` may return.
    pub response_bytes: Option<usize>,
    /// Most bytes of a request; more is HTTP 413.
    pub body_bytes: Option<usize>,
    /// Most calls in a batch; one takes single calls only.
    pub batch: Option<usize>,
    /// How a longer batch is refused.
    pub batch_refusal: BatchRefusal,
    /// Most addresses in the filter of one `eth_getLogs`.
    pub addresses: Option<usize>,
    /// Most topics at one position of the filter of one `eth_getLogs`.
    pub topics: Option<usize>,
}

/// What servers do with a batch of more calls than they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BatchRefusal {
    /// One error for the batch, in words a machine can read.
    #[default]
    Stated,
    /// One error for the batch, "Invalid Request".
    InvalidRequest,
    /// HTTP 400 with a JSON-RPC parse error: the server expected an object.
    ParseError,
    /// HTTP 500 with a JSON-RPC error.
    ServerError,
    /// HTTP 400 and plain text.
    BadRequest,
    /// HTTP 413 and plain text.
    TooLarge,
    /// HTTP 429 and plain text.
    TooManyRequests,
    /// Answers to the calls within the limit, an error without a specific text for each of the others.
    PerCall,
    /// Answers to the calls within the limit, and nothing of the others.
    Cut,
    /// The answer to the first call, as if it had been asked alone.
    FirstAlone,
    /// An empty array.
    Empty,
}

impl BatchRefusal {
    /// Every way, for tests that try them all.
    pub fn all() -> &'static [BatchRefusal] {
        Self::value_variants()
    }

    /// The status and the body that refuse the whole batch; `None` where some of its calls are answered.
    pub(crate) fn whole(self) -> Option<(u16, WholeRefusal)> {
        let json = |status, code, words: &'static str| Some((status, WholeRefusal::Json(Refusal::new(code, words))));
        let text = |status, words| Some((status, WholeRefusal::Text(words)));
        match self {
            Self::Stated => json(200, -32600, "batch too large"),
            Self::InvalidRequest => json(200, -32600, "Invalid Request"),
            Self::ParseError => json(400, -32700, "json: cannot unmarshal array into Go value"),
            Self::ServerError => json(500, -32700, "unmarshaling request: json: cannot unmarshal array"),
            Self::BadRequest => text(400, "Bad Request"),
            Self::TooLarge => text(413, "request entity too large"),
            Self::TooManyRequests => text(429, "too many requests"),
            Self::Empty => text(200, "[]"),
            Self::PerCall | Self::Cut | Self::FirstAlone => None,
        }
    }
}

/// The body of an answer that refuses a whole batch.
#[derive(Clone, Debug)]
pub(crate) enum WholeRefusal {
    Json(Refusal),
    Text(&'static str),
}

/// Providers differ in how they phrase the same thing; these are their words, codes included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wording {
    /// Infura, geth with limits: -32005 with a suggested range.
    #[default]
    Infura,
    /// Alchemy: -32602 and one long sentence.
    Alchemy,
    /// Ankr: -32602 "block range is too wide".
    Ankr,
    /// QuickNode: -32614 and the range it grants.
    QuickNode,
    /// reth: -32602, "retry with the range".
    Reth,
    /// Cloudflare: -32047.
    Cloudflare,
    /// BNB chain nodes: -32000 "exceed maximum block range".
    Bsc,
    /// Tenderly: -32602 "invalid params", the reason hidden in `data`.
    Tenderly,
    /// Nothing a machine could read: -32000 "query timeout exceeded".
    Timeout,
}

impl Wording {
    /// Every wording, for tests that try them all.
    pub const ALL: [Wording; 9] = [
        Wording::Infura,
        Wording::Alchemy,
        Wording::Ankr,
        Wording::QuickNode,
        Wording::Reth,
        Wording::Cloudflare,
        Wording::Bsc,
        Wording::Tenderly,
        Wording::Timeout,
    ];

    /// The refusal of a query over `asked` blocks where `granted` are allowed.
    pub(crate) fn too_wide(self, asked: u64, granted: u64) -> Refusal {
        match self {
            Self::Infura => Refusal::new(-32602, format!("range {asked} exceeds limit of {granted}")),
            Self::Alchemy => Refusal::new(
                -32600,
                format!(
                    "You can make eth_getLogs requests with up to a {granted} block range. Based on your parameters, this block range should work"
                ),
            ),
            Self::Ankr => Refusal::new(-32602, "block range is too wide"),
            Self::QuickNode => Refusal::new(
                -32614,
                format!("eth_getLogs is limited to a {} range", thousands(granted)),
            ),
            Self::Reth => Refusal::new(-32602, format!("query exceeds max block range {granted}")),
            Self::Cloudflare => Refusal::new(
                -32047,
                format!("Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {granted}"),
            ),
            Self::Bsc => Refusal::new(-32000, format!("exceed maximum block range: {granted}")),
            Self::Tenderly => Refusal::new(-32602, "invalid params").with_data(format!(
                "{{\"payload\":\"range {asked} is bigger than range limit {granted}\"}}"
            )),
            Self::Timeout => Refusal::new(-32000, "query timeout exceeded"),
        }
    }

    /// The refusal of a filter with more than `granted` addresses.
    pub(crate) fn too_many_addresses(self, granted: usize) -> Refusal {
        match self {
            Self::Infura => Refusal::new(-32000, "exceed max addresses or topics per search position"),
            Self::Alchemy => Refusal::new(
                -32602,
                format!("address list is too long, at most {granted} are allowed"),
            ),
            Self::Ankr => Refusal::new(-32602, "too many addresses"),
            Self::QuickNode => Refusal::new(-32602, format!("eth_getLogs is limited to {granted} addresses")),
            Self::Reth => Refusal::new(-32602, "Invalid params"),
            Self::Cloudflare => Refusal::new(-32005, "limit exceeded"),
            Self::Bsc => Refusal::new(-32000, format!("number of addresses exceeds maximum of {granted}")),
            Self::Tenderly => Refusal::new(-32602, "invalid params").with_data("\"filter is too complex\"".to_owned()),
            Self::Timeout => Refusal::new(-32000, "query timeout exceeded"),
        }
    }

    /// The refusal of a filter with more than `granted` topics at one position.
    pub(crate) fn too_many_topics(self, granted: usize) -> Refusal {
        match self {
            Self::Ankr => Refusal::new(-32602, "too many topics"),
            Self::Alchemy | Self::QuickNode => {
                Refusal::new(-32602, format!("at most {granted} topics per position are allowed"))
            }
            Self::Bsc => Refusal::new(-32000, format!("number of topics exceeds maximum of {granted}")),
            other => other.too_many_addresses(granted),
        }
    }

    /// The refusal of a query with more than `granted` logs; the logs of `fitting` would have been few enough.
    pub(crate) fn too_many(self, granted: usize, fitting: &RangeInclusive<u64>) -> Refusal {
        let (from, to) = (fitting.start(), fitting.end());
        match self {
            Self::Infura => Refusal::new(
                -32005,
                format!("query returned more than {granted} results. Try with this block range [{from:#X}, {to:#X}]."),
            )
            .with_data(format!(
                "{{\"from\":\"{from:#x}\",\"limit\":{granted},\"to\":\"{to:#x}\"}}"
            )),
            Self::Alchemy => Refusal::new(-32602, alchemy(from, to)),
            Self::Ankr | Self::QuickNode | Self::Cloudflare => {
                Refusal::new(-32005, format!("query returned more than {granted} results"))
            }
            Self::Reth => Refusal::new(
                -32602,
                format!("query exceeds max results {granted}, retry with the range {from}-{to}"),
            ),
            Self::Bsc => Refusal::new(-32000, format!("query returned more than {granted} results")),
            Self::Tenderly => Refusal::new(-32602, "invalid params")
                .with_data(format!("{{\"payload\":\"response exceeds {granted} logs\"}}")),
            Self::Timeout => Refusal::new(-32000, "query timeout exceeded"),
        }
    }

    /// The refusal of an answer beyond `granted` bytes; the logs of `fitting` would have been few enough.
    pub(crate) fn too_large(self, granted: usize, fitting: &RangeInclusive<u64>) -> Refusal {
        let (from, to) = (fitting.start(), fitting.end());
        match self {
            Self::Alchemy => Refusal::new(-32602, alchemy(from, to)),
            Self::Reth => Refusal::new(-32008, format!("Response is too big: Exceeded max limit of {granted}")),
            Self::Timeout => Refusal::new(-32000, "query timeout exceeded"),
            _ => Refusal::new(-32000, format!("response size should not greater than {granted} bytes")),
        }
    }
}

fn alchemy(from: &u64, to: &u64) -> String {
    format!(
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, \
         or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size \
         limit, this block range should work: [{from:#x}, {to:#x}]"
    )
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [5, 800, 10_000, 1_234_567].map(thousands),
            ["5", "800", "10,000", "1,234,567"]
        );
    }
}
