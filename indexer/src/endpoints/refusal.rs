//! What a provider means by its error: the one place that reads error texts.
//!
//! Providers agree on nothing here. -32005 means "too many results" at one and "too many requests" at the next, some
//! put limits in prose, some in `data`, some only in the HTTP status.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::wire::{RpcError, quantity};

/// Only the head of an error text is looked at: the endpoint writes it and may write megabytes.
const LONGEST: usize = 1_000;
/// A number above this in an error text is a height or a byte count, not a range.
const WIDEST: u64 = 10_000_000;

/// What an endpoint refused, as far as the caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many blocks, logs, bytes or seconds: ask for less, at once.
    TooMuch(Option<Hint>),
    /// Too many calls in one batch.
    BatchTooLarge,
    /// Too many requests: wait, or ask elsewhere.
    RateLimited(Option<Duration>),
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
    /// An answer that cannot be checked.
    Unprovable,
    /// Serves another chain.
    WrongChain,
    /// Anything else.
    Failed,
}

/// What the endpoint would accept instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// A fixed limit: so many blocks per request.
    Limit(u64),
    /// For this request: so many blocks.
    Try(u64),
}

/// Reads a JSON-RPC error that answered `method`, with the HTTP status it came under.
pub(super) fn classify(method: &str, error: &RpcError, status: u16) -> Refusal {
    let text: String = [&error.message, " ", &error.data]
        .iter()
        .flat_map(|part| part.chars())
        .take(LONGEST)
        .flat_map(char::to_lowercase)
        .collect();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    // Methods whose answers grow with what is asked.
    let bulky = matches!(method, "eth_getLogs" | "eth_getBlockReceipts");

    if error.code == -32601 || says(UNSUPPORTED) && !says(&["batch"]) {
        Refusal::Unsupported
    } else if says(ABSENT) {
        Refusal::Absent
    } else if says(DENIED) || matches!(status, 401..=403) {
        Refusal::Denied
    } else if says(RATE) {
        Refusal::RateLimited(retry_in(&text))
    } else if says(&["batch"]) && says(BATCH) {
        Refusal::BatchTooLarge
    } else if says(PRUNED) || error.code == 4444 {
        Refusal::Pruned
    } else if bulky && (says(TOO_MUCH) || error.code == -32005 || status == 413) {
        Refusal::TooMuch(hint(&text))
    } else if says(&["too large", "too big"]) || status == 413 {
        Refusal::TooMuch(None)
    } else if status == 429 || error.code == -32005 {
        Refusal::RateLimited(None)
    } else if says(&["timeout", "timed out", "deadline exceeded"]) {
        Refusal::Timeout
    } else if status >= 500 {
        Refusal::Unavailable
    } else {
        Refusal::Failed
    }
}

/// Reads an HTTP status that came without a JSON-RPC error.
pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Refusal {
    match status {
        413 => Refusal::TooMuch(None),
        429 => Refusal::RateLimited(retry_after),
        401..=403 => Refusal::Denied,
        408 | 504 | 524 => Refusal::Timeout,
        503 => retry_after.map_or(Refusal::Unavailable, |wait| Refusal::RateLimited(Some(wait))),
        500.. => Refusal::Unavailable,
        _ => Refusal::Failed,
    }
}

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

    fn meant(method: &str, code: i64, message: &str, status: u16) -> Refusal {
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

    /// Code, HTTP status, text as providers send it, meaning as an answer to `eth_getLogs`.
    fn log_errors() -> Vec<(i64, u16, &'static str, Refusal)> {
        let limit = |n| Refusal::TooMuch(Some(Hint::Limit(n)));
        let attempt = |n| Refusal::TooMuch(Some(Hint::Try(n)));
        let split = Refusal::TooMuch(None);
        vec![
            // Alchemy
            (
                -32602,
                400,
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0x1000000, 0x10003e7]",
                attempt(1000),
            ),
            (
                -32600,
                400,
                "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range should work: [0x1180fca, 0x1180fd3]. Upgrade to PAYG for expanded block range.",
                attempt(10),
            ),
            (
                -32000,
                400,
                "Query timeout exceeded. Consider reducing your block range. Based on your parameters and the response size limit, this block range should work: [0x5223c98, 0x5223e80]",
                attempt(489),
            ),
            (
                429,
                429,
                "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message.",
                Refusal::RateLimited(None),
            ),
            (
                429,
                429,
                "Monthly capacity limit exceeded. Visit https://dashboard.alchemy.com/settings/billing to upgrade your scaling policy for continued service.",
                Refusal::Denied,
            ),
            // Infura
            (
                -32005,
                200,
                "query returned more than 10000 results. Try with this block range [0x128B46F, 0x128BAC8].",
                attempt(1626),
            ),
            (-32005, 200, "query returned more than 10000 results", split),
            (
                -32005,
                429,
                "project ID request rate exceeded",
                Refusal::RateLimited(None),
            ),
            (
                -32005,
                429,
                "daily request count exceeded, request rate limited",
                Refusal::Denied,
            ),
            (-32005, 200, "query timeout exceeded", split),
            // QuickNode
            (-32614, 413, "eth_getLogs is limited to a 10,000 range", limit(10_000)),
            (
                -32602,
                413,
                "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range",
                limit(10_000),
            ),
            (
                -32007,
                429,
                "50/second request limit reached - reduce calls per second or upgrade your account at quicknode.com",
                Refusal::RateLimited(None),
            ),
            // Ankr
            (-32600, 400, "block range is too wide", split),
            (
                -32000,
                429,
                "Too many requests, reason: call rate limit exhausted, retry in 10s",
                Refusal::RateLimited(Some(Duration::from_secs(10))),
            ),
            (
                -32000,
                403,
                "Unauthorized: You must authenticate your request with an API key.",
                Refusal::Denied,
            ),
            (-32602, 200, "maximum [from, to] blocks distance: 500", limit(500)),
            // Cloudflare
            (
                -32047,
                200,
                "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800",
                limit(800),
            ),
            (-32046, 200, "Cannot fulfill request", Refusal::Failed),
            // BSC nodes
            (-32005, 200, "limit exceeded", split),
            (-32000, 200, "exceed maximum block range: 5000", limit(5_000)),
            (
                -32005,
                200,
                "method eth_getLogs in batch triggered rate limit",
                Refusal::RateLimited(None),
            ),
            // Erigon
            (-32000, 200, "query block range exceeds server limit", split),
            (-32000, 200, "logs response limit exceeded", split),
            // Nethermind
            (
                -32005,
                200,
                "Too many logs requested. Max logs per response is 20000.",
                split,
            ),
            (
                -32016,
                200,
                "eth_getLogs request was canceled due to enabled timeout.",
                split,
            ),
            (
                -32001,
                200,
                "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.",
                Refusal::Absent,
            ),
            // geth
            (
                -32602,
                200,
                "block range extends beyond current head block",
                Refusal::Absent,
            ),
            (-32000, 200, "unknown block", Refusal::Absent),
            (-32000, 200, "header not found", Refusal::Absent),
            (4444, 200, "pruned history unavailable", Refusal::Pruned),
            (-32003, 200, "response too large", split),
            (-32002, 200, "request timed out", split),
            // reth, anvil
            (-32602, 200, "query exceeds max block range 100000", limit(100_000)),
            (
                -32602,
                200,
                "query exceeds max results 20000, retry with the range 100-200",
                attempt(101),
            ),
            (-32008, 200, "Response is too big", split),
            (-32601, 200, "Method not found", Refusal::Unsupported),
            // others
            (
                -32000,
                200,
                "requested too many blocks from 100 to 5000, maximum is set to 2048",
                limit(2_048),
            ),
            (
                -32000,
                200,
                "Maximum allowed number of requested blocks is 3500",
                limit(3_500),
            ),
            (-32000, 200, "eth_getLogs is limited to 1024 block range", limit(1_024)),
            (
                -32000,
                200,
                "response size should not greater than 10000000 bytes",
                split,
            ),
            (-32020, 200, "backend response too large", split),
            (-32000, 200, "Block range is too large", split),
            (-32000, 200, "logs matched by query exceeds limit of 10000", split),
            (
                -32000,
                200,
                "the block range exceeds the range allowed for your plan (5000 > 3000)",
                limit(3_000),
            ),
            (
                -32000,
                403,
                "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#evm-range-limits",
                Refusal::Denied,
            ),
            (
                -32000,
                200,
                "please limit the query to at most 1,000 blocks",
                limit(1_000),
            ),
            (-32701, 200, "exceed maximum block range: 50,000", limit(50_000)),
            (-32000, 200, "block range greater than 500 max", limit(500)),
            (
                -32000,
                200,
                "eth_getLogs range is too large, max is 10k blocks",
                limit(10_000),
            ),
            (-32000, 200, "query must be smaller than size 1024", split),
            (-32000, 200, "block range is too wide (maximum 1024)", limit(1_024)),
            (
                35,
                200,
                "ranges over 10000 blocks are not supported on freetier",
                limit(10_000),
            ),
            (-32602, 200, "range 300 exceeds limit of 40", limit(40)),
            (
                -32602,
                200,
                "invalid params {\"payload\":\"range 300 is bigger than range limit 40\"}",
                limit(40),
            ),
            (
                -32602,
                200,
                "invalid params {\"payload\":\"response exceeds 150 logs\"}",
                split,
            ),
            (-32603, 500, "internal error", Refusal::Unavailable),
            (0, 200, "", Refusal::Failed),
        ]
    }

    #[test]
    fn provider_errors_mean_what_they_mean() {
        for (code, status, text, expected) in log_errors() {
            assert_eq!(
                meant("eth_getLogs", code, text, status),
                expected,
                "{code} {status} {text}"
            );
        }
    }

    #[test]
    fn the_same_code_means_another_thing_for_another_method() {
        assert_eq!(
            meant("eth_getLogs", -32005, "limit exceeded", 200),
            Refusal::TooMuch(None)
        );
        assert_eq!(
            meant("eth_blockNumber", -32005, "limit exceeded", 200),
            Refusal::RateLimited(None)
        );
        assert_eq!(
            meant("eth_getBlockByNumber", -32000, "request timed out", 200),
            Refusal::Timeout
        );
        assert_eq!(
            meant(
                "eth_getBlockReceipts",
                -32601,
                "the method eth_getBlockReceipts does not exist/is not available",
                200
            ),
            Refusal::Unsupported
        );
        assert_eq!(
            meant("eth_getBlockByNumber", -32600, "batch too large", 200),
            Refusal::BatchTooLarge
        );
        assert_eq!(
            meant(
                "eth_getBlockByNumber",
                -32010,
                "The batch request was too large Exceeded max limit of 50",
                200
            ),
            Refusal::BatchTooLarge
        );
        assert_eq!(
            meant(
                "eth_getBlockByNumber",
                -32005,
                "Batch requests are not supported by this server",
                200
            ),
            Refusal::BatchTooLarge
        );
    }

    #[test]
    fn bare_statuses_are_understood() {
        let wait = Some(Duration::from_secs(3));
        assert_eq!(of_status(429, wait), Refusal::RateLimited(wait));
        assert_eq!(of_status(503, wait), Refusal::RateLimited(wait));
        assert_eq!(of_status(413, None), Refusal::TooMuch(None));
        assert_eq!(of_status(502, None), Refusal::Unavailable);
        assert_eq!(of_status(504, None), Refusal::Timeout);
        assert_eq!(of_status(401, None), Refusal::Denied);
        assert_eq!(of_status(404, None), Refusal::Failed);
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
