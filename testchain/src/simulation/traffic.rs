//! Draws what a block emits: transactions, each with several logs.

use rand::RngExt;

use super::dice::Dice;
use super::roster::Roster;
use super::script::Script;
use super::settings::Settings;
use super::stage::Stage;
use super::world::World;
use super::{market, multi_owner, noise, single_owner};

/// Most actions in one transaction.
const ACTIONS: u32 = 6;

/// One thing that can happen.
type Act = fn(&mut Stage<'_>);

/// The traffic of the block at `height`, after which the world is as the block leaves it.
pub(super) fn draw(settings: &Settings, roster: &Roster, world: &mut World, height: u64, dice: Dice) -> Script {
    let mut stage = Stage::new(settings, roster, world, height, dice);
    let target = if height == 0 { 0 } else { target(&mut stage) };
    let is_empty = height == 0 || target == 0 && settings.logs_per_block > 0;
    play(&mut stage, target, if is_empty { 0 } else { settings.trades_per_block });
    stage.into_script()
}

/// How many logs the block gets.
fn target(stage: &mut Stage<'_>) -> u32 {
    let empty = stage.settings.empty_percent.min(99);
    if stage.dice.random_range(0..100) < empty {
        return 0;
    }
    let mean = stage.settings.logs_per_block * 100 / (100 - empty);
    stage.dice.random_range(mean / 2..=2 * mean - mean / 2)
}

/// Fills the block with `target` logs of traffic, and trades among them, `mean` on average.
fn play(stage: &mut Stage<'_>, mut target: u32, mean: u32) {
    let mut trades = if mean == 0 {
        0
    } else {
        stage.dice.random_range(0..=2 * mean)
    };
    while stage.logs() < target || trades > 0 {
        if trades > 0 && (stage.logs() >= target || stage.dice.random_bool(0.5)) {
            trades -= 1;
            let before = stage.logs();
            market::trade(stage);
            target += stage.logs() - before;
        } else {
            transaction(stage, target);
        }
    }
}

fn transaction(stage: &mut Stage<'_>, target: u32) {
    if stage.dice.random_ratio(1, 16) {
        let payee = stage.owner();
        let success = stage.dice.random_ratio(2, 3);
        stage.close_silent(stage.roster.address(payee), success);
    }
    for _ in 0..stage.dice.random_range(1..=ACTIONS) {
        if stage.logs() < target {
            act(stage);
        }
    }
    stage.close();
}

/// Lets one thing happen, by the weights of the mix.
fn act(stage: &mut Stage<'_>) {
    let mix = &stage.settings.mix;
    let acts: [(u32, Act); 9] = [
        (mix.erc721, single_owner::erc721),
        (mix.erc721_legacy, single_owner::legacy),
        (mix.cryptopunks, single_owner::punk),
        (mix.erc2309, single_owner::range),
        (mix.erc1155_single, multi_owner::single),
        (mix.erc1155_batch, multi_owner::batch),
        (mix.erc20, noise::erc20),
        (mix.approval, noise::approval),
        (mix.hostile, noise::hostile),
    ];
    let total: u32 = acts.iter().map(|(weight, _)| weight).sum();
    let mut roll = stage.dice.random_range(0..total.max(1));
    for (weight, act) in acts {
        match roll.checked_sub(weight) {
            Some(rest) => roll = rest,
            None => return act(stage),
        }
    }
    single_owner::erc721(stage);
}
