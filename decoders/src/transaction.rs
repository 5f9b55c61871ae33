//! One transaction as a decoder sees it: its own logs marked, every other log beside them.

use alloy_primitives::{Address, B256};
use rustc_hash::FxHashMap;

use crate::block::{Answers, ChainId, Envelope, Log};
use crate::chains;
use crate::roster::Roster;

/// A set of decoders, one bit each, in the order of the list of decoders.
pub(crate) type DecoderSet = u64;

/// The logs of one transaction, in order.
///
/// A decoder walks the logs it claims with [`claimed`](Transaction::claimed) and may look at any other log of the
/// transaction: the payment and the movement behind a sale, the count behind a punk, the mint behind a range.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// The chain.
    pub chain: ChainId,
    /// Every log of the transaction that the span holds, in log order.
    pub logs: &'a [Log],
    /// The logs of the same block before them.
    pub earlier: &'a [Log],
    /// Sender, called contract and calldata, where the caller has them.
    pub envelope: Option<&'a Envelope>,
    /// What contracts answered, looked up by [`Events::ask`](crate::events::Events).
    pub(crate) answers: &'a Answers,
    /// Who claims each of `logs`.
    pub(crate) claims: &'a [DecoderSet],
    /// The decoder that is looking.
    pub(crate) decoder: DecoderSet,
    /// What all decoders know of contracts.
    pub(crate) roster: &'a Roster,
}

impl<'a> Transaction<'a> {
    /// The logs the calling decoder claims, in order.
    pub fn claimed(&self) -> impl Iterator<Item = &'a Log> + use<'a> {
        let decoder = self.decoder;
        self.logs
            .iter()
            .zip(self.claims)
            .filter(move |(_, claims)| *claims & decoder != 0)
            .map(|(log, _)| log)
    }

    /// The sender, where known.
    pub fn sender(&self) -> Option<Address> {
        self.envelope.map(|envelope| envelope.from)
    }

    /// The one of `contracts` that stands on this chain.
    pub fn here(&self, contracts: &[(u64, Address)]) -> Option<Address> {
        let mut contracts = contracts.iter();
        let (_, contract) = contracts.find(|(chain, _)| [self.chain.0, chains::EVERY].contains(chain))?;
        Some(*contract)
    }

    /// The logs of the transaction before `log`, in order.
    pub fn before(&self, log: &Log) -> &'a [Log] {
        &self.logs[..self.logs.partition_point(|other| other.log_index < log.log_index)]
    }

    /// The logs of the transaction after `log`, in order.
    pub fn after(&self, log: &Log) -> &'a [Log] {
        &self.logs[self.logs.partition_point(|other| other.log_index <= log.log_index)..]
    }

    /// The logs of the block before `log`, the nearest first.
    pub fn back_from(&self, log: &Log) -> impl Iterator<Item = &'a Log> + use<'a> {
        self.before(log).iter().rev().chain(self.earlier.iter().rev())
    }
}

/// The last log of each contract about each of some things, in the block up to the given log. Every log is read once, however
/// often one is looked for.
#[derive(Debug)]
pub(crate) struct Latest<'a> {
    /// What a log is about, if it counts.
    about: fn(&Log) -> Option<B256>,
    logs: FxHashMap<(Address, B256), &'a Log>,
    /// How many logs of the block were read.
    read: usize,
}

impl<'a> Latest<'a> {
    /// Nothing read yet.
    pub(crate) fn new(about: fn(&Log) -> Option<B256>) -> Self {
        Latest {
            about,
            logs: FxHashMap::default(),
            read: 0,
        }
    }

    /// The last log about `thing` in the block of `transaction` before `log`, by the same contract. To be asked log by log.
    pub(crate) fn before(&mut self, transaction: &Transaction<'a>, log: &Log, thing: &B256) -> Option<&'a Log> {
        let earlier = transaction.earlier.iter().chain(transaction.before(log));
        for other in earlier.skip(self.read) {
            self.read += 1;
            if let Some(thing) = (self.about)(other) {
                self.logs.insert((other.address, thing), other);
            }
        }
        self.logs.get(&(log.address, *thing)).copied()
    }
}
