//! What contracts answer: the ledger knows blocks only, so the state behind `eth_call` and `eth_getCode` is given by its user.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use rustc_hash::FxHashMap;

use crate::block::Block;
use crate::encode;
use crate::refusal::Refusal;

/// One `eth_call`.
#[derive(Clone, Debug)]
pub struct Call {
    /// The contract called.
    pub to: Address,
    /// Calldata.
    pub input: Bytes,
    /// The block after which the call is made.
    pub block: Arc<Block>,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// Text behind "execution reverted".
    pub reason: Option<String>,
    /// ABI-encoded revert data.
    pub data: Bytes,
}

impl Revert {
    /// A revert without reason or data.
    pub const BARE: Revert = Revert {
        reason: None,
        data: Bytes::new(),
    };

    pub(crate) fn into_refusal(self) -> Refusal {
        let message = match self.reason {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        let mut data = Vec::new();
        encode::data(&mut data, &self.data);
        let data = String::from_utf8(data).expect("hex digits are valid text");
        Refusal::new(3, message).with_data(data)
    }
}

/// Answers what only a contract's state can answer.
pub trait State: Send + Sync {
    /// The return data of a call; every call reverts unless this is implemented.
    ///
    /// # Errors
    /// When the contract would revert.
    fn call(&self, call: &Call) -> Result<Bytes, Revert> {
        let _ = call;
        Err(Revert::BARE)
    }

    /// The code at `address` after `block`; empty unless this is implemented.
    fn code(&self, address: Address, block: &Block) -> Bytes {
        let _ = (address, block);
        Bytes::new()
    }
}

/// A state in which every call reverts and no address has code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stateless;

impl State for Stateless {}

/// A state of fixed answers, the same at every block.
#[derive(Clone, Debug, Default)]
pub struct Canned {
    /// Return data by contract and calldata.
    pub calls: FxHashMap<(Address, Bytes), Bytes>,
    /// Code by address.
    pub code: FxHashMap<Address, Bytes>,
}

impl State for Canned {
    fn call(&self, call: &Call) -> Result<Bytes, Revert> {
        self.calls
            .get(&(call.to, call.input.clone()))
            .cloned()
            .ok_or(Revert::BARE)
    }

    fn code(&self, address: Address, _: &Block) -> Bytes {
        self.code.get(&address).cloned().unwrap_or_default()
    }
}

/// A closure answers calls; no address has code.
impl<F: Fn(&Call) -> Result<Bytes, Revert> + Send + Sync> State for F {
    fn call(&self, call: &Call) -> Result<Bytes, Revert> {
        self(call)
    }
}
