//! A price, and who gets which part of it.

use alloy_primitives::{Address, U256};

use super::super::trades::{Cause, Fee};

/// A price and its parts.
#[derive(Clone, Debug)]
pub(crate) struct Price {
    pub(crate) currency: Address,
    /// What the seller gets.
    pub(crate) net: U256,
    pub(crate) fees: Vec<Fee>,
}

impl Price {
    /// What is charged to the buyer.
    pub(crate) fn total(&self) -> U256 {
        let fees: U256 = self.fees.iter().map(|fee| fee.amount).sum();
        self.net + fees
    }

    /// A price of which only the seller gets anything.
    pub(crate) fn plain(currency: Address, net: U256) -> Self {
        Price {
            currency,
            net,
            fees: Vec::new(),
        }
    }

    /// The price with a part of `basis_points` taken out for somebody.
    pub(crate) fn less(mut self, recipient: Address, basis_points: u64, cause: Cause) -> Self {
        let amount = self.total() * U256::from(basis_points) / U256::from(10_000);
        self.net -= amount;
        self.fees.push(Fee {
            recipient,
            amount,
            cause,
        });
        self
    }

    /// What `part` of `whole` units cost.
    pub(crate) fn scaled(&self, part: u128, whole: u128) -> Self {
        let scale = |amount: U256| amount * U256::from(part) / U256::from(whole);
        Price {
            currency: self.currency,
            net: scale(self.net),
            fees: self
                .fees
                .iter()
                .map(|fee| Fee {
                    amount: scale(fee.amount),
                    ..*fee
                })
                .collect(),
        }
    }

    /// The parts of `count` equal parts; the last one holds the remainders.
    pub(crate) fn split(&self, count: usize) -> Vec<Self> {
        let whole = U256::from(count);
        let total = self.total();
        let part = |amount: U256, index: usize| {
            let rest = if index + 1 == count { amount % whole } else { U256::ZERO };
            amount / whole + rest
        };
        (0..count)
            .map(|index| {
                let fees: Vec<Fee> = self
                    .fees
                    .iter()
                    .map(|fee| Fee {
                        amount: part(fee.amount, index),
                        ..*fee
                    })
                    .collect();
                let taken: U256 = fees.iter().map(|fee| fee.amount).sum();
                Price {
                    currency: self.currency,
                    net: part(total, index) - taken,
                    fees,
                }
            })
            .collect()
    }
}
