//! Traffic an NFT indexer must distinguish from NFT events: ERC-20 transfers, approvals, and logs that are malformed.

use alloy_primitives::{Address, U256};
use rand::{Rng, RngExt};

use super::events::{self, Parties};
use super::roster::Owner;
use super::stage::Stage;
use super::transfers::Flaw;

/// An ERC-20 `Transfer`, now and then of nothing, now and then by a contract that indexes no argument.
pub(super) fn erc20(stage: &mut Stage<'_>) {
    let contract = coin(stage);
    let parties = strangers(stage);
    let amount = if stage.dice.random_ratio(1, 40) {
        U256::ZERO
    } else {
        U256::from(stage.dice.next_u64())
    };
    let log = if stage.dice.random_ratio(1, 50) {
        events::unindexed_transfer(contract, parties, amount)
    } else {
        events::erc20_transfer(contract, parties, amount)
    };
    stage.emit(log);
}

/// An approval of one ERC-721 token, of all tokens of a contract, or of an ERC-20 amount.
pub(super) fn approval(stage: &mut Stage<'_>) {
    let parties = strangers(stage);
    let log = match stage.permille() {
        0..500 => {
            let contract = stage.contract(&stage.roster.erc721.clone());
            let live = stage.world.collection(contract).live(&mut stage.dice);
            live.map(|(serial, owner)| {
                let parties = Parties {
                    from: stage.roster.address(owner),
                    to: parties.to,
                };
                let token = stage.roster.token(contract, serial);
                events::erc721_approval(stage.roster.contract(contract), parties, token)
            })
        }
        500..700 => {
            let contract = stage.contract(&stage.roster.erc1155.clone());
            let approved = stage.dice.random_bool(0.8);
            Some(events::approval_for_all(
                stage.roster.contract(contract),
                parties,
                approved,
            ))
        }
        _ => None,
    };
    let log = log.unwrap_or_else(|| events::erc20_approval(coin(stage), parties, U256::MAX));
    stage.emit(log);
}

/// A log with the topics of an NFT event that no decoder may accept.
pub(super) fn hostile(stage: &mut Stage<'_>) {
    let rogue = stage.roster.rogue;
    let parties = strangers(stage);
    let zero = Parties {
        from: Address::ZERO,
        to: Address::ZERO,
    };
    let token = U256::from(stage.dice.next_u32());
    let two = [token, token + U256::ONE];
    let (flaw, log) = match stage.dice.random_range(0..7) {
        0 => (Flaw::DataTooShort, events::transfer_single_cut(rogue, parties, token)),
        1 => (
            Flaw::LengthsDiffer,
            events::transfer_batch(rogue, parties, &two, &two[..1]),
        ),
        2 => (Flaw::OffsetOutside, events::transfer_batch_outside(rogue, parties)),
        3 => (Flaw::ZeroToZero, events::erc721_transfer(rogue, zero, token)),
        4 => (Flaw::ZeroToZero, events::transfer_single(rogue, zero, token, U256::ONE)),
        5 => (
            Flaw::RangeReversed,
            events::consecutive_transfer(rogue, parties, two[1], two[0]),
        ),
        _ => (
            Flaw::RangeAbsurd,
            events::consecutive_transfer(rogue, parties, token, U256::MAX),
        ),
    };
    stage.misspeak(flaw, log);
}

fn coin(stage: &mut Stage<'_>) -> Address {
    let coins = &stage.roster.erc20;
    coins[stage.dice.random_range(0..coins.len())]
}

fn strangers(stage: &mut Stage<'_>) -> Parties {
    let [from, to]: [Owner; 2] = [stage.owner(), stage.owner()];
    Parties {
        from: stage.roster.address(from),
        to: stage.roster.address(to),
    }
}
