//! Traffic of tokens with one owner each: ERC-721, its forerunners, ERC-2309 ranges and CryptoPunks.

use alloy_primitives::{Address, Log, U256};
use rand::RngExt;

use super::events::{self, Parties};
use super::market;
use super::roster::{ContractIndex, NO_OWNER};
use super::script::Move;
use super::stage::Stage;
use super::transfers::Layout;

/// Burns, of a thousand transfers.
const BURNS: u32 = 15;
/// Transfers to oneself, of a thousand.
const SELF_TRANSFERS: u32 = 10;
/// Mints of a token that was burned before, of a thousand mints.
const REVIVALS: u32 = 30;

/// A mint, transfer or burn of an ERC-721 token.
pub(super) fn erc721(stage: &mut Stage<'_>) {
    let contract = stage.contract(&stage.roster.erc721.clone());
    transfer(stage, contract);
}

/// The same in a contract of before the standard.
pub(super) fn legacy(stage: &mut Stage<'_>) {
    if stage.roster.legacy.is_empty() {
        return erc721(stage);
    }
    let contract = stage.contract(&stage.roster.legacy.clone());
    transfer(stage, contract);
}

fn transfer(stage: &mut Stage<'_>, contract: ContractIndex) {
    let part = draw(stage, contract, BURNS);
    let (address, parties, token) = (
        stage.roster.contract(contract),
        stage.parties(&part),
        stage.token(&part),
    );
    let layout = stage.roster.layout(contract);
    let log = match layout {
        Layout::Erc721Unindexed => events::unindexed_transfer(address, parties, token),
        Layout::Erc721Erc20Like => events::erc20_transfer(address, parties, token),
        _ => events::erc721_transfer(address, parties, token),
    };
    stage.emit_moves(layout, log, &[part]);
}

/// An ERC-2309 mint of neighbouring tokens to one owner.
pub(super) fn range(stage: &mut Stage<'_>) {
    let contract = stage.contract(&stage.roster.erc721.clone());
    if !stage.roster.is_consecutive(contract) {
        return transfer(stage, contract);
    }
    let to = stage.owner();
    let tokens = stage.dice.random_range(stage.settings.range_tokens.clone()).max(1);
    let collection = stage.world.collection(contract);
    let parts: Vec<Move> = (0..tokens)
        .map(|_| Move {
            contract,
            serial: collection.mint(to),
            from: NO_OWNER,
            to,
            quantity: 1,
        })
        .collect();
    let (first, last) = (stage.token(&parts[0]), stage.token(&parts[parts.len() - 1]));
    let log = events::consecutive_transfer(stage.roster.contract(contract), stage.parties(&parts[0]), first, last);
    stage.emit_moves(Layout::Erc2309, log, &parts);
}

/// An assignment, transfer or sale of a punk, with the ownership count the contract logs beside it.
pub(super) fn punk(stage: &mut Stage<'_>) {
    let Some(contract) = stage.roster.punks else {
        return erc721(stage);
    };
    // What is sold does not move again in its transaction: the one it moved to would be the buyer.
    if stage.logged(stage.roster.contract(contract)) {
        return erc721(stage);
    }
    let part = draw(stage, contract, 0);
    if stage.settings.trades_per_block > 0 && part.from != NO_OWNER {
        return market::hand_over_punk(stage, &part);
    }
    let (address, parties, punk) = (
        stage.roster.contract(contract),
        stage.parties(&part),
        stage.token(&part),
    );
    if part.from == NO_OWNER {
        return stage.emit_moves(
            Layout::PunkAssign,
            events::punk_assign(address, parties.to, punk),
            &[part],
        );
    }
    stage.emit(events::erc20_transfer(address, parties, U256::ONE));
    let (layout, log) = match stage.permille() {
        0..300 => {
            let price = U256::from(stage.dice.random_range(1..=u64::MAX));
            stage.emit(events::punk_no_longer_for_sale(address, punk));
            market::sell_punk_unlisted(stage, &part, Some(price));
            (Layout::PunkBought, events::punk_bought(address, parties, punk, price))
        }
        300..400 => {
            market::sell_punk_unlisted(stage, &part, None);
            (Layout::PunkBought, accepted_bid(address, parties, punk))
        }
        _ => (Layout::PunkTransfer, events::punk_transfer(address, parties, punk)),
    };
    stage.emit_moves(layout, log, &[part]);
}

/// The contract forgets the bid before it logs it, so that value and buyer are zero.
fn accepted_bid(contract: Address, parties: Parties, punk: U256) -> Log {
    events::punk_bought(
        contract,
        Parties {
            to: Address::ZERO,
            ..parties
        },
        punk,
        U256::ZERO,
    )
}

fn draw(stage: &mut Stage<'_>, contract: ContractIndex, burns: u32) -> Move {
    let births = stage.settings.births.single_owner;
    let roll = stage.permille();
    let live = stage.world.collection(contract).live(&mut stage.dice);
    let Some((serial, from)) = live.filter(|_| roll >= births) else {
        return mint(stage, contract);
    };
    let to = match roll - births {
        chance if chance < burns => NO_OWNER,
        chance if chance < burns + SELF_TRANSFERS => from,
        _ => stage.owner(),
    };
    stage.world.collection(contract).send(serial, to);
    Move {
        contract,
        serial,
        from,
        to,
        quantity: 1,
    }
}

fn mint(stage: &mut Stage<'_>, contract: ContractIndex) -> Move {
    let to = stage.owner();
    let revives = stage.permille() < REVIVALS;
    let collection = stage.world.collection(contract);
    let revived = if revives { collection.revive(to) } else { None };
    let serial = revived.unwrap_or_else(|| collection.mint(to));
    Move {
        contract,
        serial,
        from: NO_OWNER,
        to,
        quantity: 1,
    }
}
