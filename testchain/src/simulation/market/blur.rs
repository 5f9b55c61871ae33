//! What people do at Blur v2: asks taken one or several at a time, bids taken one at a time, logged in three or four packed
//! words where they fit (the verified source of the contract).

use alloy_primitives::{Address, B256, Log, U256, address, b256, keccak256};
use rand::Rng;

use super::super::events::{Parties, log, word};
use super::super::orders::lot::Lot;
use super::super::orders::price::Price;
use super::super::roster::Owner;
use super::super::script::Call;
use super::super::stage::Stage;
use super::super::trades::{Cause, Market, Side};
use super::bookkeeping::sale;
use super::lots::pay;
use super::prices::odd_price;

const BLUR: Address = address!("b2ecfe4e4d61f8790bbb9de2d1259b9e2410cea5");
/// Ether deposited for bids.
const POOL: Address = address!("0000000000a39bb272e79075ade125fd351887ac");

const EXECUTION: B256 = b256!("f2f66294df6fae7ac681cbe2f6d91c6904485929679dce263e8f6539b7d5c559");
const PACKED: B256 = b256!("1d5e12b51dee5e4d34434576c3fb99714a85f57b0fd546ada4b0bddd736d12b2");
const PACKED_TAKER_FEE: B256 = b256!("0fcf17fac114131b10f37b183c6a60f905911e52802caeeb3e6ea210398b81ab");
const PACKED_MAKER_FEE: B256 = b256!("7dc5c0699ac8dd5250cbe368a2fc3b4a2daadb120ad07f6cccea29f83482686e");

/// `takeAsk`.
const TAKE_ASK: [u8; 4] = [0x39, 0x25, 0xc3, 0xc3];
/// `takeBid`.
const TAKE_BID: [u8; 4] = [0x70, 0x34, 0xd1, 0x20];

/// Asks taken at once, at most.
const SWEPT: usize = 4;

/// One order taken.
struct Execution {
    lot: Lot,
    side: Side,
    /// The other side.
    taker: Owner,
    maker: Owner,
    gross: U256,
    /// Basis points for a creator, or none.
    royalty: u64,
    creator: Address,
    hash: B256,
    listing_index: u32,
}

/// Somebody takes asks: all tokens move before any of them is logged.
pub(super) fn take_asks(stage: &mut Stage<'_>) -> Option<Call> {
    let first = Lot::single(stage)?;
    let buyer = first.buyer(stage)?;
    let mut lots = vec![first];
    for _ in 0..stage.below(SWEPT as u32) {
        let more = Lot::single(stage).filter(|lot| lot.holder != buyer && !lots.contains(lot));
        lots.extend(more);
    }
    let mut executions = Vec::new();
    for lot in lots {
        executions.push(Execution::draw(stage, lot, Side::Listing, buyer));
        lot.send(stage, buyer);
    }
    let value = executions.iter().map(|execution| execution.gross).sum();
    let input = [&TAKE_ASK[..], executions[0].hash.as_slice()].concat().into();
    for execution in executions {
        execution.emit(stage);
    }
    Some(Call {
        from: buyer,
        to: BLUR,
        value,
        input,
    })
}

/// Somebody takes a bid, which is paid out of the pool.
pub(super) fn take_bid(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::single(stage)?;
    let bidder = lot.buyer(stage)?;
    let execution = Execution::draw(stage, lot, Side::Offer, bidder);
    let price = execution.price();
    lot.send(stage, bidder);
    let [from, seller] = [bidder, lot.holder].map(|owner| stage.roster.address(owner));
    for fee in &price.fees {
        let parties = Parties {
            from,
            to: fee.recipient,
        };
        pay(stage, POOL, parties, fee.amount);
    }
    pay(stage, POOL, Parties { from, to: seller }, price.net);
    let input = [&TAKE_BID[..], execution.hash.as_slice()].concat().into();
    execution.emit(stage);
    Some(Call {
        from: lot.holder,
        to: BLUR,
        value: U256::ZERO,
        input,
    })
}

impl Execution {
    /// An order of a lot's holder's, or one of `other`'s for it.
    fn draw(stage: &mut Stage<'_>, lot: Lot, side: Side, other: Owner) -> Self {
        let (maker, taker) = match side {
            Side::Listing => (lot.holder, other),
            Side::Offer => (other, lot.holder),
        };
        Execution {
            lot,
            side,
            taker,
            maker,
            gross: odd_price(stage),
            royalty: if lot.contract.is_multiple_of(3) {
                0
            } else {
                50 * (1 + u64::from(stage.below(10)))
            },
            creator: stage.roster.creator(lot.contract, 0),
            hash: keccak256(stage.dice.next_u64().to_be_bytes()),
            listing_index: stage.below(4),
        }
    }

    fn price(&self) -> Price {
        let currency = match self.side {
            Side::Listing => Address::ZERO,
            Side::Offer => POOL,
        };
        let price = Price::plain(currency, self.gross);
        if self.royalty == 0 {
            return price;
        }
        price.less(self.creator, self.royalty, Cause::Royalty)
    }

    fn emit(&self, stage: &mut Stage<'_>) {
        let buyer = match self.side {
            Side::Listing => self.taker,
            Side::Offer => self.maker,
        };
        let mut sale = sale(stage, Market::Blur, self.side, &self.lot, buyer).at(&self.price());
        sale.order_hash = Some(self.hash);
        stage.sell(sale);
        let (contract, token) = (
            stage.roster.contract(self.lot.contract),
            stage.roster.token(self.lot.contract, self.lot.serial),
        );
        let maker = stage.roster.address(self.maker);
        stage.emit(if token < U256::ONE << 88 {
            self.packed(contract, token, maker)
        } else {
            self.unpacked(contract, token, maker)
        });
    }

    fn order_type(&self) -> U256 {
        U256::from(u8::from(self.side == Side::Offer))
    }

    fn packed(&self, contract: Address, token: U256, maker: Address) -> Log {
        let words = [
            self.hash.into(),
            token << 168 | U256::from(self.listing_index) << 160 | word(maker),
            self.order_type() << 248 | self.gross << 160 | word(contract),
        ];
        if self.royalty == 0 {
            return log(BLUR, [PACKED], words);
        }
        // A maker of asks agreed to a royalty; a taker of a bid is charged their own.
        let event = match self.side {
            Side::Listing => PACKED_MAKER_FEE,
            Side::Offer => PACKED_TAKER_FEE,
        };
        let fee = U256::from(self.royalty) << 160 | word(self.creator);
        log(BLUR, [event], words.into_iter().chain([fee]))
    }

    /// A token number of more than 88 bits does not fit.
    fn unpacked(&self, contract: Address, token: U256, maker: Address) -> Log {
        let none = [U256::ZERO; 2];
        let fee = if self.royalty == 0 {
            none
        } else {
            [word(self.creator), U256::from(self.royalty)]
        };
        let (maker_fee, taker_fee) = match self.side {
            Side::Listing => (fee, none),
            Side::Offer => (none, fee),
        };
        let what = [word(maker), token, U256::ONE, word(contract), U256::ZERO];
        let order = [self.hash.into(), U256::from(self.listing_index), self.gross];
        let words = [&what[..], &order, &maker_fee, &none, &taker_fee, &[self.order_type()]].concat();
        log(BLUR, [EXECUTION], words)
    }
}
