//! Traffic of ERC-1155 tokens: single and batch mints, transfers and burns.

use alloy_primitives::U256;
use rand::RngExt;

use super::events;
use super::roster::{ContractIndex, NO_OWNER, Owner, Serial};
use super::script::Move;
use super::stage::Stage;
use super::transfers::Layout;

/// Burns, of a thousand logs.
const BURNS: u32 = 40;
/// Transfers to oneself, of a thousand transfers.
const SELF_TRANSFERS: u32 = 30;
/// Items that move nothing, of a thousand transferred.
const ZEROS: u32 = 20;
/// Minted items that are more of a token that exists, of a thousand.
const REISSUES: u32 = 200;
/// Batches without an item, of a thousand.
const EMPTY_BATCHES: u32 = 5;

/// What a log does with all its items, among members of the contract's circle.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Mint { to: u32 },
    Burn { from: u32 },
    Send { from: u32, to: u32 },
}

/// A `TransferSingle`.
pub(super) fn single(stage: &mut Stage<'_>) {
    let contract = stage.contract(&stage.roster.erc1155.clone());
    let direction = direction(stage, contract, stage.settings.births.erc1155_single);
    let part = item(stage, contract, direction).expect("an owner found to hold something has an item to send");
    let (address, parties, token) = (
        stage.roster.contract(contract),
        stage.parties(&part),
        stage.token(&part),
    );
    let log = events::transfer_single(address, parties, token, U256::from(part.quantity));
    stage.emit_moves(Layout::Erc1155Single, log, &[part]);
}

/// A `TransferBatch`; a token may stand in it twice.
pub(super) fn batch(stage: &mut Stage<'_>) {
    let contract = stage.contract(&stage.roster.erc1155.clone());
    let direction = direction(stage, contract, stage.settings.births.erc1155_batch);
    let items = match stage.permille() {
        0..EMPTY_BATCHES => 0,
        _ => stage.dice.random_range(stage.settings.batch_items.clone()),
    };
    let parts: Vec<Move> = (0..items).map_while(|_| item(stage, contract, direction)).collect();
    let tokens: Vec<U256> = parts.iter().map(|part| stage.token(part)).collect();
    let quantities: Vec<U256> = parts.iter().map(|part| U256::from(part.quantity)).collect();
    let parties = stage.parties(&direction.part(stage, contract, 0, 0));
    let log = events::transfer_batch(stage.roster.contract(contract), parties, &tokens, &quantities);
    stage.emit_moves(Layout::Erc1155Batch, log, &parts);
}

/// Only who holds something sends or burns; where none is found, something is minted.
fn direction(stage: &mut Stage<'_>, contract: ContractIndex, births: u32) -> Direction {
    let roll = stage.permille();
    let tokens = stage.world.multitoken(contract);
    let to = tokens.member(&mut stage.dice);
    match tokens.holder(&mut stage.dice).filter(|_| roll >= births) {
        None => Direction::Mint { to },
        Some(from) if roll - births < BURNS => Direction::Burn { from },
        Some(from) if stage.permille() < SELF_TRANSFERS => Direction::Send { from, to: from },
        Some(from) => Direction::Send { from, to },
    }
}

/// One item in this direction, which happens at once; `None` when the sender has nothing left.
fn item(stage: &mut Stage<'_>, contract: ContractIndex, direction: Direction) -> Option<Move> {
    let roll = stage.permille();
    let quantity = issue(stage);
    let tokens = stage.world.multitoken(contract);
    let (serial, quantity) = match direction {
        Direction::Mint { to } if roll < REISSUES && tokens.serials() > 0 => {
            let serial = stage.dice.random_range(0..tokens.serials());
            tokens.give(to, serial, quantity);
            (serial, quantity)
        }
        Direction::Mint { to } => (tokens.mint_new(to, quantity), quantity),
        Direction::Burn { from } => tokens.take(from, &mut stage.dice)?,
        // The serial behind the last is a token that does not exist: moving nothing of it is legal too.
        Direction::Send { .. } if roll < ZEROS => (stage.dice.random_range(0..=tokens.serials()), 0),
        Direction::Send { from, to } => {
            let (serial, quantity) = tokens.take(from, &mut stage.dice)?;
            tokens.give(to, serial, quantity);
            (serial, quantity)
        }
    };
    Some(direction.part(stage, contract, serial, quantity))
}

/// How much of a token is minted: one, some, or an amount with eighteen decimals.
fn issue(stage: &mut Stage<'_>) -> u128 {
    let some = stage.dice.random_range(1..=1_000_u128);
    match stage.permille() {
        0..400 => 1,
        400..950 => some,
        _ => some * 1_000_000_000_000_000_000,
    }
}

impl Direction {
    fn part(self, stage: &Stage<'_>, contract: ContractIndex, serial: Serial, quantity: u128) -> Move {
        let owner = |member: u32| -> Owner { stage.roster.member(contract, member) };
        let (from, to) = match self {
            Direction::Mint { to } => (NO_OWNER, owner(to)),
            Direction::Burn { from } => (owner(from), NO_OWNER),
            Direction::Send { from, to } => (owner(from), owner(to)),
        };
        Move {
            contract,
            serial,
            from,
            to,
            quantity,
        }
    }
}
