//! What people do at X2Y2: listings bought and offers accepted, each logged by what the seller got and by the order as it was
//! filled.

use alloy_primitives::{Address, B256, U256, address, b256, keccak256};
use rand::Rng;

use super::super::events::{Parties, log, word};
use super::super::orders::lot::Lot;
use super::super::orders::price::Price;
use super::super::roster::Owner;
use super::super::roster::WETH;
use super::super::script::Call;
use super::super::stage::Stage;
use super::super::trades::{Cause, Market, Side};
use super::bookkeeping::sale;
use super::lots::pay;
use super::prices::odd_price;

const EXCHANGE: Address = address!("74312363e45dcaba76c59ec49a7aa8a65a67eed3");
/// Who gets the market's fee.
const PLATFORM: Address = address!("d823c605807cc5e6bd6fc0d7e4eea50d3e2d66cd");
/// Who moves tokens with single owners for it, and who the others.
const DELEGATES: [Address; 2] = [
    address!("f849de01b080adc3a814fabe1e2087475cf2e354"),
    address!("024ac22acdb367a3ae52a3d94ac6649fdc1f0779"),
];

const EV_INVENTORY: B256 = b256!("3cbb63f144840e5b1b0a38a7c19211d2e89de4d7c5faf8b2d3c1776c302d1d33");
const EV_PROFIT: B256 = b256!("e2c49856b032c255ae7e325d18109bc4e22a2804e2e49a017ec0f59f19cd447b");

/// Of `run`.
const RUN: [u8; 4] = [0x35, 0x7a, 0x15, 0x0b];

/// The market's fee, in basis points; the log states parts of a million.
const FEE: u64 = 50;

/// Somebody takes a listing or an offer.
pub(super) fn take(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::any(stage)?;
    let buyer = lot.buyer(stage)?;
    let (side, currency) = if stage.permille() < 700 {
        (Side::Listing, Address::ZERO)
    } else {
        (Side::Offer, WETH)
    };
    let (price, royalty) = price(stage, &lot, currency);
    let hash = keccak256(stage.dice.next_u64().to_be_bytes());
    let delegate = DELEGATES[usize::from(lot.is_multi(stage))];
    let [from, seller] = [buyer, lot.holder].map(|owner| stage.roster.address(owner));
    // Wrapped ether is collected first and handed out by the market.
    pay(stage, currency, Parties { from, to: EXCHANGE }, price.total());
    lot.send_by(stage, buyer, delegate);
    let market = |to: Address| Parties { from: EXCHANGE, to };
    for fee in &price.fees {
        pay(stage, currency, market(fee.recipient), fee.amount);
    }
    pay(stage, currency, market(seller), price.net);
    let profit = [hash.into(), word(currency), word(seller), price.net];
    stage.emit(log(EXCHANGE, [EV_PROFIT], profit));
    let mut sale = sale(stage, Market::X2y2, side, &lot, buyer).at(&price);
    sale.order_hash = Some(hash);
    stage.sell(sale);
    let words = inventory(stage, (&lot, side, buyer), &price, (hash, royalty));
    stage.emit(log(EXCHANGE, [EV_INVENTORY, hash], words));
    let (caller, value) = match side {
        Side::Listing => (buyer, price.total()),
        Side::Offer => (lot.holder, U256::ZERO),
    };
    Some(Call {
        from: caller,
        to: EXCHANGE,
        value,
        input: [&RUN[..], hash.as_slice()].concat().into(),
    })
}

/// A price with the market's fee and, of most collections, a creator's; the latter's basis points too.
fn price(stage: &mut Stage<'_>, lot: &Lot, currency: Address) -> (Price, u64) {
    let royalty = 250 * u64::from(lot.contract % 3);
    let total = odd_price(stage);
    let price = Price::plain(currency, total).less(PLATFORM, FEE, Cause::Marketplace);
    if royalty == 0 {
        return (price, 0);
    }
    let creator = stage.roster.creator(lot.contract, 0);
    (price.less(creator, royalty, Cause::Royalty), royalty)
}

/// The data of `EvInventory`.
fn inventory(
    stage: &Stage<'_>,
    (lot, side, buyer): (&Lot, Side, Owner),
    price: &Price,
    (hash, royalty): (B256, u64),
) -> Vec<U256> {
    let [seller, buyer] = [lot.holder, buyer].map(|owner| word(stage.roster.address(owner)));
    let (parties, op, intent) = match side {
        Side::Listing => ([seller, buyer], 1, 1),
        Side::Offer => ([buyer, seller], 2, 3),
    };
    let is_multi = lot.is_multi(stage);
    let tokens = [
        word(stage.roster.contract(lot.contract)),
        stage.roster.token(lot.contract, lot.serial),
        U256::from(lot.quantity),
    ];
    let tokens = &tokens[..2 + usize::from(is_multi)];
    let pairs = [&numbers([32, 1]), tokens].concat();
    let item = [&[price.total()], &numbers([64, 32 * pairs.len() as u64])[..], &pairs].concat();
    let rates = [FEE, royalty].map(|rate| U256::from(rate * 100));
    let fees = price.fees.iter().zip(rates);
    let fees: Vec<U256> = fees.flat_map(|(fee, rate)| [rate, word(fee.recipient)]).collect();
    let detail = [
        &numbers([op, 0, 0])[..],
        &[price.total(), hash.into(), word(DELEGATES[usize::from(is_multi)])],
        &numbers([352, 0, 0, 0, 384, 0, price.fees.len() as u64]),
        &fees,
    ]
    .concat();
    let deadline = U256::from(stage.time() + 600);
    let head = [
        &parties[..],
        &numbers([0, 0, intent, 1 + u64::from(is_multi)]),
        &[deadline, word(price.currency)],
        &numbers([352, 384, 384 + 32 * item.len() as u64]),
    ]
    .concat();
    // No mask: the offer names its token.
    [&head[..], &[U256::ZERO], &item, &detail].concat()
}

fn numbers<const N: usize>(numbers: [u64; N]) -> [U256; N] {
    numbers.map(U256::from)
}
