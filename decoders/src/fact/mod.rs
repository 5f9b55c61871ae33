//! Event words: what a chain can emit, one record per position.
//!
//! A kind of fact is a file here and a line in the list below; what has to know all kinds walks it.

mod closing;
mod fault;
mod kind;
mod order;
mod sale;
mod standard;
mod transfer;

use std::fmt::{Display, Formatter};
use std::ops::{AddAssign, RangeInclusive};

use alloy_primitives::{Address, B256};
use uuid::Uuid;

use crate::block::{Block, ChainId, Proof, Span};
use crate::id::RecordKind;

pub use self::closing::*;
pub use self::fault::*;
pub use self::kind::{Fact, FactKind, Place};
pub use self::order::*;
pub use self::sale::*;
pub use self::standard::Standard;
pub use self::transfer::*;

/// A kind that is in the list.
pub trait Listed: FactKind {
    /// The facts of this kind.
    fn list_mut(decoded: &mut DecodedFacts) -> &mut Vec<Self>;
}

/// A kind, for those who walk all of them.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name of its list, such as `transfers`.
    pub list: &'static str,
    /// [`FactKind::TITLE`].
    pub title: &'static str,
    /// [`FactKind::NAMES`].
    pub names: &'static [&'static str],
    /// [`FactKind::RECORD`].
    pub record: RecordKind,
}

impl Kind {
    const fn of<F: Listed>(list: &'static str) -> Self {
        Kind {
            list,
            title: F::TITLE,
            names: F::NAMES,
            record: F::RECORD,
        }
    }
}

/// Makes of the list of kinds what holds facts of each of them.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $list:ident: $Fact:ident,)*) => {
        /// Everything one span decoded to: the only thing sinks are given.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Facts {
            /// The chain.
            pub chain: ChainId,
            /// Lowest and highest height of the span.
            pub range: RangeInclusive<u64>,
            /// Hash of the block below the lowest; absent where the span was read from the archive.
            pub parent_hash: Option<B256>,
            /// The span's blocks in ascending order; every block a fact names is among them.
            pub blocks: Vec<Block>,
            /// What was proven of the span.
            pub proof: Proof,
            /// Decoders whose logs were looked at, and `archive` where the raw events are kept; sorted.
            pub sources: Vec<&'static str>,
            /// Contracts the span was read for; empty when it was read for all. Coverage is then kept per contract.
            pub contracts: Vec<Address>,
            $($(#[doc = $doc])* pub $list: Vec<$Fact>,)*
            /// Logs rejected, in chain order.
            pub faults: Vec<Fault>,
        }

        /// What logs decoded to, each list in chain order.
        #[derive(Debug, Default, PartialEq, Eq)]
        pub struct DecodedFacts {
            $($(#[doc = $doc])* pub $list: Vec<$Fact>,)*
            /// Logs rejected, in chain order.
            pub faults: Vec<Fault>,
        }

        /// Something for each kind of fact.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct PerKind<T> {
            $($(#[doc = $doc])* pub $list: T,)*
        }

        /// Every kind of fact, in the order in which they are written.
        pub const KINDS: [Kind; [$(stringify!($list)),*].len()] = [$(Kind::of::<$Fact>(stringify!($list))),*];

        $(
            impl Listed for $Fact {
                fn list_mut(decoded: &mut DecodedFacts) -> &mut Vec<Self> {
                    &mut decoded.$list
                }
            }

            impl $Fact {
                /// The fact's id, given the block it stands in.
                pub fn id(&self, chain: ChainId, block_hash: B256) -> Uuid {
                    self.place().id(Self::RECORD, chain, block_hash)
                }
            }
        )*

        impl Facts {
            /// How many facts there are of each kind.
            pub fn counts(&self) -> PerKind<u64> {
                PerKind { $($list: self.$list.len() as u64,)* }
            }

            /// The facts of every kind, kind by kind.
            pub fn iter(&self) -> impl Iterator<Item = &dyn Fact> {
                std::iter::empty()$(.chain(self.$list.iter().map(|fact| fact as &dyn Fact)))*
            }

            /// The facts of each kind.
            pub fn by_kind(&self) -> impl Iterator<Item = (&'static Kind, Vec<&dyn Fact>)> {
                let lists = [$(self.$list.iter().map(|fact| fact as &dyn Fact).collect()),*];
                KINDS.iter().zip(lists)
            }

            /// Leaves the facts for which `is_kept` is true.
            pub fn retain(&mut self, is_kept: impl Fn(&dyn Fact) -> bool) {
                $(self.$list.retain(|fact| is_kept(fact));)*
            }

            /// Puts the facts of a later span behind those of this one.
            pub fn append(&mut self, mut later: Facts) {
                $(self.$list.append(&mut later.$list);)*
                self.faults.append(&mut later.faults);
            }

            /// The same span with what it decoded to.
            #[must_use]
            pub fn with(self, decoded: DecodedFacts) -> Self {
                Facts { $($list: decoded.$list,)* faults: decoded.faults, ..self }
            }

            /// No facts and no blocks yet of `range`.
            pub fn new(chain: ChainId, range: RangeInclusive<u64>, proof: Proof) -> Self {
                Facts {
                    chain,
                    range,
                    parent_hash: None,
                    blocks: Vec::new(),
                    proof,
                    sources: Vec::new(),
                    contracts: Vec::new(),
                    $($list: Vec::new(),)*
                    faults: Vec::new(),
                }
            }
        }

        impl DecodedFacts {
            /// How many facts there are of each kind.
            pub fn counts(&self) -> PerKind<usize> {
                PerKind { $($list: self.$list.len(),)* }
            }

            /// How many facts and faults there are: what a span is split by.
            pub fn count(&self) -> usize {
                0 $(+ self.$list.len())* + self.faults.len()
            }

            /// Ends a transaction whose facts begin at `first`: see [`FactKind::close`].
            pub(crate) fn close(&mut self, first: &PerKind<usize>, is_rejected: &dyn Fn(&Place) -> bool) {
                $($Fact::close(&mut self.$list, first.$list, is_rejected);)*
            }
        }

        impl<T> PerKind<T> {
            /// Each kind with what there is for it.
            pub fn iter(&self) -> impl Iterator<Item = (&'static Kind, &T)> {
                KINDS.iter().zip([$(&self.$list),*])
            }

            /// What there is for each kind, borrowed.
            pub fn each_ref(&self) -> PerKind<&T> {
                PerKind { $($list: &self.$list,)* }
            }

            /// Something else for each kind, made of what there is.
            pub fn map<U>(self, make: impl Fn(T) -> U) -> PerKind<U> {
                PerKind { $($list: make(self.$list),)* }
            }

            /// Each kind with what there is for it.
            pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static Kind, &mut T)> {
                KINDS.iter().zip([$(&mut self.$list),*])
            }
        }
    };
}

// THE list of kinds. Its order is that of messages and reports.
kinds! {
    /// Transfers, mints and burns.
    transfers: Transfer,
    /// Sales.
    sales: Sale,
    /// Listings and offers.
    orders: Order,
    /// Ends of orders.
    closings: Closing,
}

impl Facts {
    /// How many facts and faults there are.
    pub fn count(&self) -> usize {
        self.counts().total() as usize + self.faults.len()
    }

    /// No facts yet, over the blocks of `span`.
    pub fn of(span: &Span) -> Self {
        Facts::within(span, span.range.clone())
    }

    /// No facts yet, over the blocks of `span` in `range`, which lies within it.
    pub fn within(span: &Span, range: RangeInclusive<u64>) -> Self {
        let at = |number| span.blocks.partition_point(|block| block.number < number);
        let blocks = &span.blocks[at(*range.start())..];
        let held = blocks.partition_point(|block| block.number <= *range.end());
        let parent_hash = if range.start() == span.range.start() {
            span.parent_hash
        } else {
            span.block(range.start() - 1).map(|below| below.hash)
        };
        Facts {
            parent_hash,
            blocks: blocks[..held].to_vec(),
            ..Facts::new(span.chain, range, span.proof)
        }
    }
}

impl PerKind<u64> {
    /// Facts of every kind together.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

impl AddAssign for PerKind<u64> {
    fn add_assign(&mut self, more: Self) {
        let more = more.iter().map(|(_, count)| *count).collect::<Vec<_>>();
        self.iter_mut().zip(more).for_each(|((_, count), more)| *count += more);
    }
}

impl Display for PerKind<u64> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (index, (kind, count)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {}", kind.title)?;
        }
        Ok(())
    }
}
