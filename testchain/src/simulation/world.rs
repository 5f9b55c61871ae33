//! Who owns what right now: just enough state to draw valid traffic quickly.

use rand::RngExt;

use super::dice::Dice;
use super::orders::order_book::OrderBook;
use super::roster::{CONTRACTS, ContractIndex, NO_OWNER, Owner, Roster, Serial};
use super::script::Move;

/// How often chance is tried before a draw settles for a mint.
const TRIES: usize = 8;

/// The state of every NFT contract and of every market.
#[derive(Clone, Debug)]
pub(super) struct World {
    collections: Vec<Collection>,
    multitokens: Vec<Multitoken>,
    pub(super) order_book: OrderBook,
}

/// A contract whose tokens have one owner each.
#[derive(Clone, Debug, Default)]
pub(super) struct Collection {
    /// By serial; [`NO_OWNER`] owns what was burned.
    owners: Vec<Owner>,
    burned: Vec<Serial>,
}

/// A contract whose tokens are held in quantities by the members of its circle.
#[derive(Clone, Debug)]
pub(super) struct Multitoken {
    serials: Serial,
    /// By member.
    portfolios: Vec<Vec<Holding>>,
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    serial: Serial,
    /// Never zero.
    quantity: u128,
}

impl World {
    pub(super) fn new(roster: &Roster) -> Self {
        let multitoken = Multitoken {
            serials: 0,
            portfolios: vec![Vec::new(); roster.circle as usize],
        };
        World {
            collections: vec![Collection::default(); roster.erc1155.start as usize],
            multitokens: vec![multitoken; roster.erc1155.len()],
            order_book: OrderBook::default(),
        }
    }

    pub(super) fn collection(&mut self, contract: ContractIndex) -> &mut Collection {
        &mut self.collections[contract as usize]
    }

    /// ERC-1155 contracts stand behind all others in the roster.
    pub(super) fn multitoken(&mut self, contract: ContractIndex) -> &mut Multitoken {
        let index = contract as usize - self.collections.len();
        &mut self.multitokens[index]
    }

    /// Lets a token that exists change owners. What a contract holds of an ERC-1155 token for a moment, no one may draw.
    pub(super) fn hand_over(&mut self, roster: &Roster, part: &Move) {
        if (part.contract as usize) < self.collections.len() {
            return self.collection(part.contract).send(part.serial, part.to);
        }
        let (from, to) = (
            roster.membership(part.contract, part.from),
            roster.membership(part.contract, part.to),
        );
        let tokens = self.multitoken(part.contract);
        if let Some(from) = from {
            tokens.remove(from, part.serial, part.quantity);
        }
        if let Some(to) = to {
            tokens.give(to, part.serial, part.quantity);
        }
    }
}

impl Collection {
    /// A token never seen before.
    pub(super) fn mint(&mut self, to: Owner) -> Serial {
        self.owners.push(to);
        self.owners.len() as Serial - 1
    }

    /// The token burned last comes to life again, as most contracts allow.
    pub(super) fn revive(&mut self, to: Owner) -> Option<Serial> {
        let serial = self.burned.pop()?;
        self.owners[serial as usize] = to;
        Some(serial)
    }

    /// Some live token held by a person, and its owner.
    pub(super) fn live(&self, dice: &mut Dice) -> Option<(Serial, Owner)> {
        (0..TRIES).find_map(|_| {
            let serial = dice.random_range(0..self.owners.len().max(1));
            self.owners
                .get(serial)
                .filter(|owner| **owner < CONTRACTS)
                .map(|owner| (serial as Serial, *owner))
        })
    }

    /// Who owns a token; no one once it is burned.
    pub(super) fn owner(&self, serial: Serial) -> Option<Owner> {
        self.owners
            .get(serial as usize)
            .copied()
            .filter(|owner| *owner != NO_OWNER)
    }

    /// The tokens somebody owns, ascending.
    pub(super) fn tokens_of(&self, owner: Owner) -> Vec<Serial> {
        let owned = self.owners.iter().zip(0..).filter(|(other, _)| **other == owner);
        owned.map(|(_, serial)| serial).collect()
    }

    /// Passes a live token on, or burns it.
    pub(super) fn send(&mut self, serial: Serial, to: Owner) {
        self.owners[serial as usize] = to;
        if to == NO_OWNER {
            self.burned.push(serial);
        }
    }
}

impl Multitoken {
    /// The serial the next new token will have, which is also how many there are.
    pub(super) fn serials(&self) -> Serial {
        self.serials
    }

    /// Some member.
    pub(super) fn member(&self, dice: &mut Dice) -> u32 {
        dice.random_range(0..self.portfolios.len()) as u32
    }

    /// Some member who holds something.
    pub(super) fn holder(&self, dice: &mut Dice) -> Option<u32> {
        (0..TRIES)
            .map(|_| self.member(dice))
            .find(|member| !self.portfolios[*member as usize].is_empty())
    }

    /// Some member who holds some of a token.
    pub(super) fn holder_of(&self, serial: Serial, dice: &mut Dice) -> Option<u32> {
        let first = self.member(dice);
        let members = self.portfolios.len() as u32;
        (0..members)
            .map(|step| (first + step) % members)
            .find(|member| self.held(*member, serial) > 0)
    }

    /// A token never seen before.
    pub(super) fn mint_new(&mut self, to: u32, quantity: u128) -> Serial {
        let serial = self.serials;
        self.serials += 1;
        self.give(to, serial, quantity);
        serial
    }

    pub(super) fn give(&mut self, to: u32, serial: Serial, quantity: u128) {
        let portfolio = &mut self.portfolios[to as usize];
        match portfolio.iter_mut().find(|holding| holding.serial == serial) {
            Some(holding) => holding.quantity += quantity,
            None if quantity > 0 => portfolio.push(Holding { serial, quantity }),
            None => {}
        }
    }

    /// Something the member holds, and how much of it.
    pub(super) fn holding(&self, member: u32, dice: &mut Dice) -> Option<(Serial, u128)> {
        let portfolio = &self.portfolios[member as usize];
        let slot = dice.random_range(0..portfolio.len().max(1));
        portfolio.get(slot).map(|holding| (holding.serial, holding.quantity))
    }

    /// How much of a token the member holds.
    pub(super) fn held(&self, member: u32, serial: Serial) -> u128 {
        let mut portfolio = self.portfolios[member as usize].iter();
        portfolio
            .find(|holding| holding.serial == serial)
            .map_or(0, |holding| holding.quantity)
    }

    /// Takes away what the member is known to hold.
    fn remove(&mut self, from: u32, serial: Serial, quantity: u128) {
        let portfolio = &mut self.portfolios[from as usize];
        if let Some(holding) = portfolio.iter_mut().find(|holding| holding.serial == serial) {
            holding.quantity -= quantity;
        }
        portfolio.retain(|holding| holding.quantity > 0);
    }

    /// Takes some or all of something the member holds; `None` once they hold nothing.
    pub(super) fn take(&mut self, from: u32, dice: &mut Dice) -> Option<(Serial, u128)> {
        let portfolio = &mut self.portfolios[from as usize];
        if portfolio.is_empty() {
            return None;
        }
        let slot = dice.random_range(0..portfolio.len());
        let holding = &mut portfolio[slot];
        let serial = holding.serial;
        let quantity = if dice.random_bool(0.5) {
            holding.quantity
        } else {
            dice.random_range(1..=holding.quantity)
        };
        holding.quantity -= quantity;
        if holding.quantity == 0 {
            portfolio.swap_remove(slot);
        }
        Some((serial, quantity))
    }
}
