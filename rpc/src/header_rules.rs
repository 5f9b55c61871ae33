//! Whether a header that does not recompute is a lie or a chain with rules of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use super::settings::HeaderHash;
use super::wire::Unread;
use super::wire::header::{Seal, SealedHeader};

/// What is known of a chain's header rule.
///
/// Chains move towards Ethereum's rule (Arbitrum's Nitro, Optimism's Bedrock, Gnosis' merge), so from the lowest header
/// that recomputes on, every header has to, unless it has fields this program does not know.
pub(super) struct Rules {
    mode: HeaderHash,
    /// The lowest height whose header recomputed; the maximum while there is none.
    proven_from: AtomicU64,
    /// The greatest height taken without proof because every endpoint agreed.
    opaque_to: AtomicU64,
}

impl Rules {
    pub(super) fn new(mode: HeaderHash) -> Self {
        let (proven_from, opaque_to) = match mode {
            HeaderHash::Ethereum => (0, 0),
            HeaderHash::Opaque => (u64::MAX, u64::MAX),
            HeaderHash::Auto => (u64::MAX, 0),
        };
        Rules {
            mode,
            proven_from: AtomicU64::new(proven_from),
            opaque_to: AtomicU64::new(opaque_to),
        }
    }

    /// Whether anything above `chained` can be proven as far as is known.
    pub(super) fn opaque(&self) -> bool {
        self.proven_from.load(Ordering::Relaxed) == u64::MAX && self.opaque_to.load(Ordering::Relaxed) != 0
    }

    /// Whether the header's content is proven. `agreed`: every endpoint has been asked and serves it like this.
    ///
    /// Fails when it is a lie, or cannot be accepted before every endpoint has been asked.
    pub(super) fn check(&self, header: &SealedHeader, agreed: bool) -> Result<bool, Unread> {
        let number = header.block.number;
        let below_proof = number < self.proven_from.load(Ordering::Relaxed);
        let reason = match &header.header_rules {
            Seal::Proven => {
                if self.mode == HeaderHash::Auto {
                    self.proven_from.fetch_min(number, Ordering::Relaxed);
                }
                return Ok(self.mode != HeaderHash::Opaque);
            }
            // Headers above one that recomputes follow the same rule, so a mismatch there is a lie. Below, a chain may have had
            // another rule.
            Seal::Mismatch if !below_proof => {
                return Err(Unread::Lie(format!("the hash of header {number} does not recompute")));
            }
            Seal::Mismatch => "it does not recompute",
            Seal::Incomplete(reason) => reason,
        };
        if self.mode != HeaderHash::Ethereum {
            // Known already from a higher header that every endpoint serves like this.
            if below_proof && number <= self.opaque_to.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if agreed {
                self.accept(number, below_proof);
                return Ok(false);
            }
        }
        Err(Unread::Unprovable(format!(
            "the hash of header {number} cannot be recomputed: {reason}"
        )))
    }

    fn accept(&self, number: u64, below_proof: bool) {
        if below_proof {
            // With no header ever proven the whole chain is taken to be opaque, until one is.
            let known = self.proven_from.load(Ordering::Relaxed) != u64::MAX;
            self.opaque_to
                .fetch_max(if known { number } else { u64::MAX }, Ordering::Relaxed);
        }
    }

    /// Whether a failed [`Rules::check`] may succeed once every endpoint has been asked.
    pub(super) fn may_agree(&self) -> bool {
        self.mode == HeaderHash::Auto
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, Bloom};
    use decoders::block::Block;

    fn header(number: u64, header_rules: Seal) -> SealedHeader {
        SealedHeader {
            block: Block {
                number,
                hash: B256::ZERO,
                time: 0,
            },
            parent_hash: B256::ZERO,
            bloom: Box::new(Bloom::ZERO),
            receipts_root: B256::ZERO,
            transactions: None,
            base_fee: Some(7),
            header_rules,
        }
    }

    fn incomplete() -> Seal {
        Seal::Incomplete("mixHash is missing".to_owned())
    }

    #[test]
    fn ethereum_believes_nothing_unproven() {
        let rules = Rules::new(HeaderHash::Ethereum);
        assert_eq!(rules.check(&header(5, Seal::Proven), false), Ok(true));
        assert!(matches!(
            rules.check(&header(5, Seal::Mismatch), true),
            Err(Unread::Lie(_))
        ));
        assert!(matches!(
            rules.check(&header(5, incomplete()), true),
            Err(Unread::Unprovable(_))
        ));
    }

    #[test]
    fn opaque_chains_prove_nothing_but_what_recomputes() {
        let rules = Rules::new(HeaderHash::Opaque);
        assert_eq!(rules.check(&header(5, Seal::Mismatch), false), Ok(false));
        assert!(rules.opaque());
    }

    #[test]
    fn auto_finds_an_opaque_chain_by_agreement() {
        let rules = Rules::new(HeaderHash::Auto);
        assert!(matches!(
            rules.check(&header(5, Seal::Mismatch), false),
            Err(Unread::Unprovable(_))
        ));
        assert_eq!(rules.check(&header(5, Seal::Mismatch), true), Ok(false));
        assert!(rules.opaque());
        assert_eq!(rules.check(&header(6, Seal::Mismatch), false), Ok(false));
    }

    #[test]
    fn auto_holds_a_chain_to_what_it_once_proved() {
        let rules = Rules::new(HeaderHash::Auto);
        assert_eq!(rules.check(&header(100, Seal::Proven), false), Ok(true));
        assert!(matches!(
            rules.check(&header(101, Seal::Mismatch), true),
            Err(Unread::Lie(_))
        ));
        // Before the first proof another rule may have held, and a new fork may bring new fields.
        assert!(matches!(
            rules.check(&header(99, Seal::Mismatch), false),
            Err(Unread::Unprovable(_))
        ));
        assert_eq!(rules.check(&header(99, Seal::Mismatch), true), Ok(false));
        assert_eq!(rules.check(&header(98, Seal::Mismatch), false), Ok(false));
        assert!(matches!(
            rules.check(&header(101, incomplete()), false),
            Err(Unread::Unprovable(_))
        ));
        assert_eq!(rules.check(&header(101, incomplete()), true), Ok(false));
        assert!(!rules.opaque());
    }
}
