//! What a protocol is to the pass over a transaction's logs: the logs it wants, what it makes of them, and the contracts it knows.

use alloy_primitives::{Address, B256};

use crate::block::Envelope;
#[cfg(doc)]
use crate::chains;
use crate::events::Events;
use crate::roster::InnerCall;
use crate::transaction::Transaction;

/// One protocol: which logs it wants and what it makes of them.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Name of the protocol: the coverage source and the folder of fixtures.
    pub name: &'static str,
    /// The logs it wants to see.
    pub claims: &'static [Claim],
    /// Contracts it knows beside those whose logs it claims: the factories that vouch for others.
    pub factories: &'static [&'static [(u64, Address)]],
    /// Contracts that trade for others, known by the name of the protocol that runs them. A router that none lists is still found
    /// where the token passes through it.
    pub routers: &'static [Address],
    /// Contracts that hold tokens in their own right: no owner is looked for behind them.
    pub holders: &'static [Address],
    /// Contracts that buy and sell for many in their own name: that one of them trades a token again and again shows nothing of anybody.
    pub intermediaries: &'static [Address],
    /// Whether its transfers are the tokens of ranges, created together: no one sells in that transaction, and a range may hold a hundred
    /// thousand tokens, so sales do not look for theirs among them.
    pub ranges: bool,
    /// Finds the call to a token that the calldata of the protocol's own contracts spells.
    pub inner_call: Option<fn(&Envelope) -> Option<InnerCall>>,
    /// Appends what the transaction's claimed logs decode to. Called only when there are some.
    pub decode: fn(&Transaction<'_>, &mut Events),
}

/// Logs a decoder wants: the same signature hash means different things at different topic counts, so both are named.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Event signature hash.
    pub topic0: B256,
    /// Number of topics, the signature hash included: one to four.
    pub topic_count: u8,
    /// The contracts that count, per EIP-155 chain number or on [`chains::EVERY`]; `None` for any. A claim that names a contract takes its logs
    /// from the claims that name none.
    pub addresses: Option<&'static [(u64, Address)]>,
    /// Whether decoding these logs shows more with the transaction's sender and calldata available. So it is for every log that
    /// may be a sale: who was called names the router, whatever else the transaction holds.
    pub needs_envelope: bool,
    /// Whether decoding these logs asks contracts.
    pub asks: bool,
    /// Whether these logs are of no interest by themselves: they are read where they stand in the transaction of a sale, and nowhere
    /// else. So it is with what ERC-20 transfers look like, which are many times as many as all the others.
    pub beside: bool,
}

impl Decoder {
    /// A decoder that makes nothing of anything, to begin from.
    pub const NONE: Decoder = Decoder {
        name: "",
        claims: &[],
        factories: &[],
        routers: &[],
        holders: &[],
        intermediaries: &[],
        ranges: false,
        inner_call: None,
        decode: |_, _| {},
    };
}

impl Claim {
    /// A claim on any contract's logs.
    pub const fn any(topic0: B256, topic_count: u8) -> Self {
        Claim {
            topic0,
            topic_count,
            addresses: None,
            needs_envelope: false,
            asks: false,
            beside: false,
        }
    }

    /// A claim on the logs of some contracts.
    pub const fn of(addresses: &'static [(u64, Address)], topic0: B256, topic_count: u8) -> Self {
        Claim {
            topic0,
            topic_count,
            addresses: Some(addresses),
            needs_envelope: false,
            asks: false,
            beside: false,
        }
    }

    /// The same claim, wanting the transaction's envelope.
    pub const fn with_envelope(self) -> Self {
        Claim {
            needs_envelope: true,
            ..self
        }
    }

    /// The same claim, asking contracts.
    pub const fn asking(self) -> Self {
        Claim { asks: true, ..self }
    }

    /// The same claim, on logs that are read beside a sale alone.
    pub const fn beside(self) -> Self {
        Claim { beside: true, ..self }
    }
}
