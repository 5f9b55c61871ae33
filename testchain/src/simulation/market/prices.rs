//! What things cost, and who gets it.

use alloy_primitives::{Address, U256, address};

use super::super::roster::ContractIndex;
use super::super::trades::{Cause, Fee};
use super::super::traffic::Stage;

/// Who gets OpenSea's fees.
const OPENSEA: Address = address!("0000a26b00c1f0df003000390027140000faa719");

/// Ten millionths of an ether: every share of it in basis points is whole.
const UNIT: u64 = 10_000_000_000_000;

/// A price and its parts.
#[derive(Clone, Debug)]
pub(super) struct Price {
    pub(super) currency: Address,
    /// What the seller gets.
    pub(super) net: U256,
    pub(super) fees: Vec<Fee>,
}

impl Price {
    /// What is charged to the buyer.
    pub(super) fn total(&self) -> U256 {
        let fees: U256 = self.fees.iter().map(|fee| fee.amount).sum();
        self.net + fees
    }

    /// A price of which only the seller gets anything.
    pub(super) fn plain(currency: Address, net: U256) -> Self {
        Price {
            currency,
            net,
            fees: Vec::new(),
        }
    }

    /// The price with a part of `basis_points` taken out for somebody.
    pub(super) fn less(mut self, recipient: Address, basis_points: u64, cause: Cause) -> Self {
        let amount = self.total() * U256::from(basis_points) / U256::from(10_000);
        self.net -= amount;
        self.fees.push(Fee {
            recipient,
            amount,
            cause,
        });
        self
    }

    /// A price with OpenSea's fee and the creators' royalties, as collections have them: none, one or two creators.
    pub(super) fn with_fees(stage: &mut Stage<'_>, currency: Address, contract: ContractIndex, total: U256) -> Self {
        let mut price = Price::plain(currency, total);
        if stage.permille() < 800 {
            price = price.less(OPENSEA, 250, Cause::Marketplace);
        }
        for creator in 0..contract % 3 {
            let recipient = stage.roster.creator(contract, creator);
            price = price.less(recipient, 500 - 200 * u64::from(creator), Cause::Royalty);
        }
        price
    }

    /// What `part` of `whole` units cost.
    pub(super) fn scaled(&self, part: u128, whole: u128) -> Self {
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
    pub(super) fn split(&self, count: usize) -> Vec<Self> {
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

/// What one unit costs, in whole hundredths of a finney, so that every share of every part is whole too.
pub(super) fn unit_price(stage: &mut Stage<'_>) -> U256 {
    U256::from(UNIT) * U256::from(1 + stage.below(20_000))
}

/// A price no one would think of.
pub(super) fn odd_price(stage: &mut Stage<'_>) -> U256 {
    unit_price(stage) + U256::from(stage.below(10_000))
}
