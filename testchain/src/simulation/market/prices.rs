//! What things cost, and who gets it.

use alloy_primitives::{Address, U256, address};

use super::super::orders::price::Price;
use super::super::roster::ContractIndex;
use super::super::stage::Stage;
use super::super::trades::Cause;

/// Who gets OpenSea's fees.
const OPENSEA: Address = address!("0000a26b00c1f0df003000390027140000faa719");

/// Ten millionths of an ether: every share of it in basis points is whole.
const UNIT: u64 = 10_000_000_000_000;

impl Price {
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
}

/// What one unit costs, in whole hundredths of a finney, so that every share of every part is whole too.
pub(super) fn unit_price(stage: &mut Stage<'_>) -> U256 {
    U256::from(UNIT) * U256::from(1 + stage.below(20_000))
}

/// A price no one would think of.
pub(super) fn odd_price(stage: &mut Stage<'_>) -> U256 {
    unit_price(stage) + U256::from(stage.below(10_000))
}
