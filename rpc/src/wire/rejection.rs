//! What a provider means by its error: the one place that reads error texts.
//!
//! Providers agree on nothing here. -32005 means "too many results" at one and "too many requests" at the next, some
//! put limits in prose, some in `data`, some only in the HTTP status.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{RpcError, quantity};

/// Only the head of an error text is looked at: the endpoint writes it and may write megabytes.
const LONGEST: usize = 1_000;
/// A number above this in an error text is a height or a byte count, not a range.
const WIDEST: u64 = 10_000_000;

/// What an endpoint refused, as far as the caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Too many blocks, logs, bytes or seconds: ask for less, at once.
    TooMuch(Option<Hint>),
    /// Too many calls in one batch.
    BatchTooLarge,
    /// Too many values at some position of a filter: ask for fewer of them.
    FilterTooLarge(FilterPosition),
    /// Too many requests: wait, or ask elsewhere.
    RateLimited(Option<Duration>),
    /// The contract called refused; every endpoint would report so.
    Reverted,
    /// Does not know the method.
    Unsupported,
    /// Does not have the block, or not yet.
    Absent,
    /// No longer has the block.
    Pruned,
    /// Does not serve this caller: key, plan or quota.
    Denied,
    /// Did not answer in time.
    Timeout,
    /// Could not be reached, or its server failed.
    Unavailable,
    /// Answered something that is not JSON-RPC.
    Malformed,
    /// An answer that contradicts itself or what is proven.
    Lie,
    /// An answer about another block than the one asked for by its hash.
    Elsewhere,
    /// An answer that cannot be checked.
    Unprovable,
    /// Serves another chain.
    WrongChain,
    /// Anything else.
    Failed,
}

impl Rejection {
    /// Whether asking again would bring the same answer: it is the reader's to understand.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Rejection::Reverted | Rejection::Absent | Rejection::Pruned | Rejection::Unsupported
        )
    }
}

/// Where a filter holds too many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterPosition {
    Addresses,
    Topics,
    /// It does not state it.
    Any,
}

/// What the endpoint would accept instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A fixed limit: so many blocks per request.
    Limit(u64),
    /// For this request: so many blocks.
    Try(u64),
}

/// Reads a JSON-RPC error that answered `method`, with the HTTP status it came under.
pub(crate) fn classify(method: &str, error: &RpcError, status: u16) -> Rejection {
    let text: String = [&error.message, " ", &error.data]
        .iter()
        .flat_map(|part| part.chars())
        .take(LONGEST)
        .flat_map(char::to_lowercase)
        .collect();
    let mentions = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    // Methods whose answers grow with what is asked.
    let bulky = matches!(method, "eth_getLogs" | "eth_getBlockReceipts");

    if method == "eth_call" && (error.code == 3 || mentions(REVERTED)) {
        Rejection::Reverted
    } else if error.code == -32601 || mentions(UNSUPPORTED) && !mentions(&["batch"]) {
        Rejection::Unsupported
    } else if mentions(ABSENT) {
        Rejection::Absent
    } else if mentions(DENIED) {
        Rejection::Denied
    } else if mentions(RATE) {
        Rejection::RateLimited(retry_in(&text))
    } else if mentions(&["batch"]) && mentions(BATCH) {
        Rejection::BatchTooLarge
    } else if mentions(PRUNED) || error.code == 4444 {
        Rejection::Pruned
    } else if let Some(position) = (method == "eth_getLogs").then(|| filter_position(&text)).flatten() {
        Rejection::FilterTooLarge(position)
    } else if bulky && (mentions(TOO_MUCH) || error.code == -32005 || status == 413) {
        Rejection::TooMuch(hint(&text))
    } else if matches!(status, 401..=403) {
        Rejection::Denied
    } else if mentions(&["too large", "too big"]) || status == 413 {
        Rejection::TooMuch(None)
    } else if status == 429 || error.code == -32005 {
        Rejection::RateLimited(None)
    } else if mentions(&["timeout", "timed out", "deadline exceeded"]) {
        Rejection::Timeout
    } else if status >= 500 {
        Rejection::Unavailable
    } else {
        Rejection::Failed
    }
}

/// Reads an HTTP status that came without a JSON-RPC error.
pub(crate) fn of_status(status: u16, retry_after: Option<Duration>) -> Rejection {
    match status {
        413 => Rejection::TooMuch(None),
        429 => Rejection::RateLimited(retry_after),
        401..=403 => Rejection::Denied,
        408 | 504 | 524 => Rejection::Timeout,
        503 => retry_after.map_or(Rejection::Unavailable, |wait| Rejection::RateLimited(Some(wait))),
        500.. => Rejection::Unavailable,
        _ => Rejection::Failed,
    }
}

/// What nodes report when a call ends without a result: by the contract's own word, or because its code cannot go on.
const REVERTED: &[&str] = &[
    "revert",
    "invalid opcode",
    "opcode 0x",
    "bad instruction",
    "out of gas",
    "outofgas",
    "stack underflow",
    "stack overflow",
    "stackunderflow",
    "invalid jump",
    "bad jump",
    "return data out of bounds",
    "gas uint64 overflow",
    "write protection",
    "vm execution error",
];

const UNSUPPORTED: &[&str] = &[
    "method not found",
    "method not supported",
    "unsupported method",
    "method is not available",
    "does not exist/is not available",
    "method is not whitelisted",
    "method not allowed",
    "method is disabled",
    "not support the method",
    "unknown method",
];

const ABSENT: &[&str] = &[
    "beyond current head",
    "beyond head",
    "unknown block",
    "header not found",
    "block not found",
    "could not find block",
    "block does not exist",
    "cannot be found",
    "after last accepted block",
    "in the future",
    "not yet available",
    "greater than latest block",
    "invalid block range params",
    "header for hash not found",
    "resource not found",
];

const DENIED: &[&str] = &[
    "monthly capacity",
    "monthly quota",
    "unauthorized",
    "api key",
    "apikey",
    "invalid project id",
    "project id does not have access",
    "access denied",
    "forbidden",
    "must be authenticated",
    "payment required",
    "insufficient credits",
    "account is suspended",
];

const RATE: &[&str] = &[
    "rate limit",
    "rate-limit",
    "ratelimit",
    "request rate exceeded",
    "request count exceeded",
    "request limit reached",
    "requests per",
    "per second",
    "per minute",
    "too many requests",
    "compute units",
    "call rate",
    "throttl",
    "requests limited",
    "request limit exceeded",
    "quota exceeded",
    "slow down",
];

const BATCH: &[&str] = &[
    "too large",
    "too big",
    "limit",
    "too many",
    "not supported",
    "maximum",
    "exceed",
    "not allowed",
    "disabled",
];

const PRUNED: &[&str] = &[
    "pruned",
    "missing trie node",
    "history unavailable",
    "history is not available",
    "archive node",
    "historical state",
    "state is not available",
    "state not available",
    "state already discarded",
    "no state available",
    "required historical",
    "old data not available",
    "distance to target block exceeds",
];

const TOO_MUCH: &[&str] = &[
    "range",
    "more than",
    "too many",
    "max results",
    "exceeds max",
    "response exceeds",
    "bigger than",
    "exceeds limit",
    "exceeds the limit",
    "limit exceeded",
    "limited to",
    "limit the query",
    "limit is",
    "response size",
    "response too large",
    "response too big",
    "response is too big",
    "too large",
    "too big",
    "blocks distance",
    "must be smaller than",
    "number of requested blocks",
    "maximum allowed",
    "no backend is currently healthy",
    "timeout",
    "timed out",
    "deadline exceeded",
    "cancelled",
    "canceled",
    "resource limit",
    "out of memory",
];

/// The position of a filter that a refusal is about; `None` where it may be about blocks or logs.
fn filter_position(text: &str) -> Option<FilterPosition> {
    let mentions = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let (addresses, topics) = (mentions(&["address"]), mentions(&["topic"]));
    if !mentions(FILTER_TOO_LARGE) || mentions(&["range", "block", "results"]) {
        return None;
    }
    match (addresses, topics) {
        (true, false) => Some(FilterPosition::Addresses),
        (false, true) => Some(FilterPosition::Topics),
        (true, true) => Some(FilterPosition::Any),
        (false, false) => mentions(&["filter"]).then_some(FilterPosition::Any),
    }
}

const FILTER_TOO_LARGE: &[&str] = &[
    "exceed",
    "too many",
    "too long",
    "too large",
    "too big",
    "too complex",
    "max",
    "limit",
    "at most",
    "up to",
    "no more than",
    "more than",
    "number of",
];

/// Words that make a following number a limit.
const LIMITING: &[&str] = &[
    "max",
    "maximum",
    "limited",
    "limit",
    "up",
    "most",
    "than",
    "exceeds",
    "exceeding",
    "size",
    "is",
    "within",
    "over",
];
/// Words that make the number before them something other than blocks.
const NOT_BLOCKS: &[&str] = &[
    "results",
    "result",
    "logs",
    "log",
    "bytes",
    "mb",
    "kb",
    "gb",
    "records",
    "events",
    "topics",
    "addresses",
    "ms",
    "s",
    "seconds",
];

/// The range a text suggests or the limit it states.
fn hint(text: &str) -> Option<Hint> {
    if let Some(range) = bracketed(text).or_else(|| dashed(text)) {
        return Some(Hint::Try(range.end().checked_sub(*range.start())?.saturating_add(1)));
    }
    if !text.contains("block") && !text.contains("range") {
        return None;
    }
    if let Some(allowed) = text
        .split_once(" > ")
        .and_then(|(_, rest)| number(rest.split(')').next()?))
    {
        return Some(Hint::Limit(allowed));
    }
    stated(text).map(Hint::Limit)
}

/// `[0x10, 0x20]`, as Alchemy, Infura and zkSync suggest.
fn bracketed(text: &str) -> Option<RangeInclusive<u64>> {
    let (from, to) = text
        .split('[')
        .skip(1)
        .find_map(|rest| rest.split(']').next()?.split_once(','))?;
    Some(quantity(from.trim())?..=quantity(to.trim())?)
}

/// `range 100-200`, as reth suggests.
fn dashed(text: &str) -> Option<RangeInclusive<u64>> {
    let rest = text.split("with the range ").nth(1)?;
    let (from, to) = rest.split_whitespace().next()?.split_once('-')?;
    Some(from.parse().ok()?..=to.trim_end_matches(['.', ',']).parse().ok()?)
}

/// A number of blocks stated as the limit.
fn stated(text: &str) -> Option<u64> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || "():;\"{}".contains(c))
        .filter(|w| !w.is_empty())
        .collect();
    words.iter().enumerate().find_map(|(at, word)| {
        let blocks = number(word).filter(|n| (1..=WIDEST).contains(n))?;
        let before = &words[at.saturating_sub(5)..at];
        let limiting = before.iter().any(|word| LIMITING.contains(word));
        let after = words.get(at + 1).map_or("", |word| word.trim_end_matches(['.', ',']));
        (limiting && !NOT_BLOCKS.contains(&after)).then_some(blocks)
    })
}

/// `10,000`, `2k`, `1024.`
fn number(word: &str) -> Option<u64> {
    let word = word.trim().trim_end_matches(['.', ',']);
    let (digits, unit) = word.strip_suffix('k').map_or((word, 1), |digits| (digits, 1_000));
    let grouped = digits.replace([',', '_'], "");
    if grouped.is_empty() || !grouped.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    grouped.parse::<u64>().ok()?.checked_mul(unit)
}

/// `retry in 10s`, `"backoff_seconds":30`.
fn retry_in(text: &str) -> Option<Duration> {
    if let Some(rest) = text.split("\"backoff_seconds\":").nth(1) {
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        return digits.parse().ok().map(Duration::from_secs);
    }
    let rest = text
        .split("retry in ")
        .nth(1)
        .or_else(|| text.split("try again in ").nth(1))?;
    let word = rest.split_whitespace().next()?.trim_end_matches(['.', ',']);
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let amount: u64 = digits.parse().ok()?;
    Some(match &word[digits.len()..] {
        "ms" => Duration::from_millis(amount),
        "m" => Duration::from_secs(amount.saturating_mul(60)),
        _ => Duration::from_secs(amount),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meant(method: &str, code: i64, message: &str, status: u16) -> Rejection {
        classify(
            method,
            &RpcError {
                code,
                message: message.to_owned(),
                data: String::new(),
            },
            status,
        )
    }

    /// The meaning named in `provider_errors.tsv`.
    fn meaning(text: &str) -> Rejection {
        let (name, number) = text
            .split_once(' ')
            .map_or((text, None), |(name, n)| (name, Some(n.parse().unwrap())));
        match (name, number) {
            ("limit", Some(blocks)) => Rejection::TooMuch(Some(Hint::Limit(blocks))),
            ("try", Some(blocks)) => Rejection::TooMuch(Some(Hint::Try(blocks))),
            ("split", None) => Rejection::TooMuch(None),
            ("rate", seconds) => Rejection::RateLimited(seconds.map(Duration::from_secs)),
            ("absent", None) => Rejection::Absent,
            ("pruned", None) => Rejection::Pruned,
            ("reverted", None) => Rejection::Reverted,
            ("denied", None) => Rejection::Denied,
            ("unsupported", None) => Rejection::Unsupported,
            ("unavailable", None) => Rejection::Unavailable,
            ("failed", None) => Rejection::Failed,
            _ => panic!("no such meaning: {text}"),
        }
    }

    fn assert_meanings(method: &str, table: &str) {
        for row in table.lines().filter(|line| !line.starts_with('#')) {
            let [code, status, means, text] = row.splitn(4, '\t').collect::<Vec<_>>().try_into().unwrap();
            let rejection = meant(method, code.parse().unwrap(), text, status.parse().unwrap());
            assert_eq!(rejection, meaning(means), "{row}");
        }
    }

    #[test]
    fn provider_errors_mean_what_they_mean() {
        assert_meanings("eth_getLogs", include_str!("provider_errors.tsv"));
    }

    #[test]
    fn errors_of_contract_calls_mean_what_they_mean() {
        assert_meanings("eth_call", include_str!("call_errors.tsv"));
    }

    #[test]
    fn the_same_code_means_another_thing_for_another_method() {
        assert_eq!(
            meant("eth_getLogs", -32005, "limit exceeded", 200),
            Rejection::TooMuch(None)
        );
        assert_eq!(
            meant("eth_blockNumber", -32005, "limit exceeded", 200),
            Rejection::RateLimited(None)
        );
        assert_eq!(
            meant("eth_getBlockByNumber", -32000, "request timed out", 200),
            Rejection::Timeout
        );
        assert_eq!(
            meant(
                "eth_getBlockReceipts",
                -32601,
                "the method eth_getBlockReceipts does not exist/is not available",
                200
            ),
            Rejection::Unsupported
        );
        assert_eq!(
            meant("eth_getBlockByNumber", -32600, "batch too large", 200),
            Rejection::BatchTooLarge
        );
        assert_eq!(
            meant(
                "eth_getBlockByNumber",
                -32010,
                "The batch request was too large Exceeded max limit of 50",
                200
            ),
            Rejection::BatchTooLarge
        );
        assert_eq!(
            meant(
                "eth_getBlockByNumber",
                -32005,
                "Batch requests are not supported by this server",
                200
            ),
            Rejection::BatchTooLarge
        );
    }

    #[test]
    fn bare_statuses_are_understood() {
        let wait = Some(Duration::from_secs(3));
        assert_eq!(of_status(429, wait), Rejection::RateLimited(wait));
        assert_eq!(of_status(503, wait), Rejection::RateLimited(wait));
        assert_eq!(of_status(413, None), Rejection::TooMuch(None));
        assert_eq!(of_status(502, None), Rejection::Unavailable);
        assert_eq!(of_status(504, None), Rejection::Timeout);
        assert_eq!(of_status(401, None), Rejection::Denied);
        assert_eq!(of_status(404, None), Rejection::Failed);
    }

    proptest! {
        #[test]
        fn any_text_is_classified_without_panic(code in any::<i64>(), status in any::<u16>(), text in "\\PC*", data in "[\\[\\]x0-9a-f, k>().-]*") {
            classify("eth_getLogs", &RpcError { code, message: text, data }, status);
        }

        #[test]
        fn a_hint_is_never_zero_blocks(text in "(max|limit|block|range|up to|[0-9]{1,20}|k|\\[0x[0-9a-f]{1,18}, 0x[0-9a-f]{1,18}\\]| |with the range [0-9]{1,22}-[0-9]{1,22}){0,12}") {
            match hint(&text) {
                Some(Hint::Limit(n) | Hint::Try(n)) => prop_assert!(n > 0),
                None => {}
            }
        }
    }
}
