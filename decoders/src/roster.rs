//! What decoders know of contracts beside the logs they claim.

use alloy_primitives::Address;
use rustc_hash::FxHashSet;

use crate::block::{ChainId, Envelope};
use crate::chains;

/// A call that a contract is asked to make, as its own calldata spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerCall {
    /// The contract to be called.
    pub target: Address,
    /// With which calldata.
    pub input: Vec<u8>,
}

/// The contracts that decoders know, whichever names them.
#[derive(Debug)]
pub(crate) struct Roster {
    /// Markets, tokens and factories, by chain.
    pub(crate) listed: FxHashSet<(u64, Address)>,
    /// Those that trade for others.
    pub(crate) routers: FxHashSet<Address>,
    /// Those that hold tokens in their own right.
    pub(crate) holders: FxHashSet<Address>,
    /// The decoders, by name, whose transfers are those of ranges.
    pub(crate) ranges: Vec<&'static str>,
    /// How calldata is read that spells a call to another contract.
    pub(crate) inner_calls: Vec<fn(&Envelope) -> Option<InnerCall>>,
}

impl Roster {
    /// Whether a decoder names `contract` on `chain`: a market, a token, a factory.
    pub(crate) fn lists(&self, chain: ChainId, contract: Address) -> bool {
        self.listed.contains(&(chain.0, contract)) || self.listed.contains(&(chains::EVERY, contract))
    }

    /// Whether `contract` is known to trade for others.
    pub(crate) fn is_router(&self, contract: &Address) -> bool {
        self.routers.contains(contract)
    }

    /// Whether `contract` is known to hold tokens in its own right.
    pub(crate) fn is_holder(&self, contract: &Address) -> bool {
        self.holders.contains(contract)
    }

    /// Whether the decoder named `source` emits the tokens of ranges.
    pub(crate) fn emits_ranges(&self, source: &str) -> bool {
        self.ranges.contains(&source)
    }

    /// The call to a token that the calldata spells, by any protocol that reads it.
    pub(crate) fn inner_call(&self, envelope: &Envelope) -> Option<InnerCall> {
        self.inner_calls.iter().find_map(|read| read(envelope))
    }
}
