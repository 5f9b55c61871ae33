//! The expected final state: who holds what once a list of transfers has happened.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};

use super::transfers::{Layout, Standard, Transfer};

/// A token by contract and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract.
    pub id: U256,
}

/// Counts of what was folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transfer items.
    pub items: u64,
    /// Items from no one.
    pub mints: u64,
    /// Items to no one.
    pub burns: u64,
    /// Items by the form of their log.
    pub items_by_layout: BTreeMap<Layout, u64>,
    /// Logs with at least one item, by their form.
    pub logs_by_layout: BTreeMap<Layout, u64>,
}

/// Who holds what. Folded from transfers in chain order; a list that starts in the middle gives what the list states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    owners: BTreeMap<Token, Address>,
    burned: BTreeSet<Token>,
    balances: BTreeMap<(Token, Address), U256>,
    supply: BTreeMap<Token, U256>,
    tally: Tally,
}

impl Holdings {
    /// Live tokens with one owner each (ERC-721 and CryptoPunks), ascending.
    pub fn owners(&self) -> impl ExactSizeIterator<Item = (Token, Address)> + '_ {
        self.owners.iter().map(|(token, owner)| (*token, *owner))
    }

    /// The owner of a live token with one owner.
    pub fn owner(&self, token: &Token) -> Option<Address> {
        self.owners.get(token).copied()
    }

    /// Tokens with one owner each that are burned now, ascending.
    pub fn burned(&self) -> impl ExactSizeIterator<Item = Token> + '_ {
        self.burned.iter().copied()
    }

    /// ERC-1155 balances above zero by token and holder, ascending.
    pub fn balances(&self) -> impl ExactSizeIterator<Item = (Token, Address, U256)> + '_ {
        self.balances
            .iter()
            .map(|((token, holder), quantity)| (*token, *holder, *quantity))
    }

    /// The ERC-1155 balance of a holder, zero when there is none.
    pub fn balance(&self, token: Token, holder: Address) -> U256 {
        self.balances.get(&(token, holder)).copied().unwrap_or_default()
    }

    /// Mints less burns of every ERC-1155 token ever minted, ascending; zero once all of it is burned.
    pub fn supply(&self) -> impl ExactSizeIterator<Item = (Token, U256)> + '_ {
        self.supply.iter().map(|(token, quantity)| (*token, *quantity))
    }

    /// Tokens ever minted, burned ones among them.
    pub fn token_count(&self) -> usize {
        self.owners.len() + self.burned.len() + self.supply.len()
    }

    /// Counts of what was folded.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets one more transfer happen.
    pub fn apply(&mut self, transfer: &Transfer) {
        self.tally.count(transfer);
        let token = Token {
            contract: transfer.contract,
            id: transfer.token,
        };
        match transfer.layout.standard() {
            Standard::Erc1155 => self.shift(token, transfer),
            Standard::Erc721 | Standard::CryptoPunks => self.hand_over(token, transfer),
        }
    }

    fn hand_over(&mut self, token: Token, transfer: &Transfer) {
        if transfer.is_burn() {
            self.owners.remove(&token);
            self.burned.insert(token);
        } else {
            self.owners.insert(token, transfer.to);
            self.burned.remove(&token);
        }
    }

    fn shift(&mut self, token: Token, transfer: &Transfer) {
        if transfer.quantity.is_zero() {
            return;
        }
        match transfer.is_mint() {
            true => *self.supply.entry(token).or_default() += transfer.quantity,
            false => self.debit(token, transfer),
        }
        match transfer.is_burn() {
            true => *self.supply.entry(token).or_default() -= transfer.quantity,
            false => *self.balances.entry((token, transfer.to)).or_default() += transfer.quantity,
        }
    }

    fn debit(&mut self, token: Token, transfer: &Transfer) {
        let balance = self.balances.entry((token, transfer.from)).or_default();
        *balance -= transfer.quantity;
        if balance.is_zero() {
            self.balances.remove(&(token, transfer.from));
        }
    }
}

impl Tally {
    fn count(&mut self, transfer: &Transfer) {
        self.items += 1;
        self.mints += u64::from(transfer.is_mint());
        self.burns += u64::from(transfer.is_burn());
        *self.items_by_layout.entry(transfer.layout).or_default() += 1;
        *self.logs_by_layout.entry(transfer.layout).or_default() += u64::from(transfer.item == 0);
    }
}

impl FromIterator<Transfer> for Holdings {
    fn from_iter<I: IntoIterator<Item = Transfer>>(transfers: I) -> Self {
        let mut holdings = Holdings::default();
        for transfer in transfers {
            holdings.apply(&transfer);
        }
        holdings
    }
}
