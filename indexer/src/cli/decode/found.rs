//! A transaction to decode.

use alloy_primitives::B256;
use decoders::block::Span;

/// Where a transaction was found: its block, with every log it has.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) span: Span,
    pub(super) tx_hash: B256,
}
