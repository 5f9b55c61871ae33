//! How much the logs of one transaction or block may make of themselves.

use crate::id::MAX_ITEM;

/// How many facts the logs of one transaction may make beyond one each: the tokens of ranges (ERC-2309) and batches, the items of
/// bundles with their fees, the orders that one log opens or ends. A log that would need more is a fault.
///
/// A range of any length costs its sender one cheap log and us one row per token. Libraries mint at most 5,000 tokens by one range
/// (ERC721A, OpenZeppelin's ERC721Consecutive), the largest collections hold some ten thousand, and a contract that keeps balances
/// stores about as many changes in a whole block.
pub const MAX_EXTRA_FACTS_PER_TRANSACTION: usize = 20_000;

/// The same for one block, so that many cheap transactions do not multiply what one may ask for. It is counted per block, not per
/// span, so that the same block always decodes to the same facts.
pub const MAX_EXTRA_FACTS_PER_BLOCK: usize = 2 * MAX_EXTRA_FACTS_PER_TRANSACTION;

const _: () = assert!(
    MAX_EXTRA_FACTS_PER_TRANSACTION <= MAX_ITEM as usize,
    "a position numbers every fact of a log"
);

/// How many questions the logs of one block may put to contracts, each counted once; what is asked after that stays unanswered.
///
/// Pools and vaults are known by asking, and anybody can emit what they emit: one cheap log is at least one call of ours. It is
/// counted per block, not per span, so that the same block always asks the same.
pub const MAX_QUESTIONS_PER_BLOCK: usize = 4_096;
