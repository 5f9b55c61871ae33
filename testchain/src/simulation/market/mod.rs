//! The markets: every seller owns what is sold, and every log is one the real contract would have written.
//!
//! What was sold, for how much and to which buyer is entered in the books when it is decided, before a log states it.

mod blur;
mod bookkeeping;
mod foundation;
mod lots;
mod prices;
mod punks;
mod seaport;
mod settlement;
mod signing;
mod x2y2;

use super::script::Call;
use super::stage::Stage;

pub(super) use punks::{hand_over as hand_over_punk, sell_unlisted as sell_punk_unlisted};

/// Acts tried before a trade is given up for want of anything to trade.
const TRIES: usize = 6;

/// Something that happens at a market in a transaction of its own; nothing is emitted where nothing fits.
type Act = fn(&mut Stage<'_>) -> Option<Call>;

/// Relative weights of what happens.
const ACTS: [(u32, Act); 24] = [
    (150, seaport::take_listing),
    (80, seaport::take_offer),
    (40, seaport::sell_bundle),
    (50, seaport::match_orders),
    (25, seaport::sell_privately),
    (50, seaport::sweep),
    (10, seaport::swap),
    (10, seaport::give),
    (110, seaport::validate),
    (90, seaport::take_validated),
    (30, seaport::cancel),
    (10, seaport::raise_counter),
    (90, blur::take_asks),
    (50, blur::take_bid),
    (45, foundation::set_price),
    (35, foundation::buy),
    (12, foundation::cancel_price),
    (35, foundation::make_offer),
    (30, foundation::accept_offer),
    (30, punks::offer),
    (30, punks::buy),
    (30, punks::bid),
    (35, punks::settle_bid),
    (40, x2y2::take),
];

/// Lets one trade happen, by weight.
pub(super) fn trade(stage: &mut Stage<'_>) {
    let total: u32 = ACTS.iter().map(|(weight, _)| weight).sum();
    for _ in 0..TRIES {
        let mut roll = stage.below(total);
        let act = ACTS.iter().find(|(weight, _)| match roll.checked_sub(*weight) {
            Some(rest) => {
                roll = rest;
                false
            }
            None => true,
        });
        if let Some(call) = act.and_then(|(_, act)| act(stage)) {
            return stage.close_call(call);
        }
    }
}
