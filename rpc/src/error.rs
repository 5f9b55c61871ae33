//! What a pool can fail with.

use std::fmt;
use std::ops::RangeInclusive;

use alloy_primitives::B256;
use decoders::block::ChainId;
use decoders::failure::Class;

/// The block or blocks a request was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A block by hash.
    Hash(B256),
    /// A block by height.
    Number(u64),
    /// A range of heights.
    Range(RangeInclusive<u64>),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Hash(hash) => write!(f, "block {hash}"),
            Wanted::Number(number) => write!(f, "block {number}"),
            Wanted::Range(range) => write!(f, "blocks {}..={}", range.start(), range.end()),
        }
    }
}

/// Why the pool could not answer. Names endpoints by scheme and host only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Every endpoint that answered serves another chain.
    #[error("no endpoint serves {chain}: {found}; correct its endpoints in the registry or with --rpc")]
    WrongChain {
        /// The chain wanted.
        chain: ChainId,
        /// What each endpoint answered.
        found: String,
    },
    /// The chain has no endpoint at all.
    #[error("{chain} has no endpoint; add one with `indexer registry` or --rpc")]
    NoEndpoints {
        /// The chain wanted.
        chain: ChainId,
    },
    /// A client could not be built, or a URL is of no known scheme.
    #[error("endpoint {endpoint} cannot be used: {reason}")]
    Unusable {
        /// The endpoint, redacted.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// No endpoint answered, after every retry.
    #[error("no endpoint of {chain} answered for {wanted}: {causes}")]
    Unreachable {
        /// The chain.
        chain: ChainId,
        /// What was asked.
        wanted: String,
        /// What each endpoint answered last.
        causes: String,
    },
    /// The endpoints do not have the block: not there yet, or dropped by a reorg.
    #[error("{wanted} is not on the {chain} its endpoints serve")]
    NotFound {
        /// The chain.
        chain: ChainId,
        /// The block.
        wanted: Wanted,
    },
    /// Every endpoint's answer failed a check.
    #[error("no endpoint of {chain} gave {wanted} in a form that can be verified: {reason}")]
    Unproven {
        /// The chain.
        chain: ChainId,
        /// What was asked.
        wanted: String,
        /// Which check failed, per endpoint.
        reason: String,
    },
    /// A range that ends before it starts.
    #[error("block range {start}..={end} is backwards")]
    BadRange {
        /// First height asked for.
        start: u64,
        /// Last height asked for.
        end: u64,
    },
    /// The pool was asked to stop.
    #[error("reading the chain was cancelled")]
    Cancelled,
}

impl EndpointError {
    /// What the caller should do. A block missing by hash was dropped by a reorg; one missing by height may yet come.
    pub fn class(&self) -> Class {
        match self {
            EndpointError::WrongChain { .. }
            | EndpointError::NoEndpoints { .. }
            | EndpointError::Unusable { .. }
            | EndpointError::BadRange { .. } => Class::Fatal,
            EndpointError::Unreachable { .. } | EndpointError::Unproven { .. } => Class::Transient,
            EndpointError::NotFound {
                wanted: Wanted::Hash(_),
                ..
            } => Class::Reorg,
            EndpointError::NotFound { .. } => Class::Transient,
            EndpointError::Cancelled => Class::Cancelled,
        }
    }
}
