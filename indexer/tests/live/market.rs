//! A market on a live node: contracts of the committed recording, traffic by chance, and what the node reports of every token.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::sol;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::Value;
use testchain::simulation::Token;
use testkit::tables::{Quantity, Tables};

use crate::harness::{Dice, dice};
use crate::node::{Node, transaction};
use crate::recording;

sol! {
    interface Meadow {
        function mint(address to) external;
        function burn(uint256 id) external;
        function transferFrom(address from, address to, uint256 id) external;
        function ownerOf(uint256 id) external view returns (address);
    }
    interface Strata {
        function mint(address to, uint256 quantity) external;
    }
    interface Relics {
        function mint(address to, uint256 id, uint256 amount, bytes data) external;
        function mintBatch(address to, uint256[] ids, uint256[] amounts, bytes data) external;
        function burn(address from, uint256 id, uint256 amount) external;
        function burnBatch(address from, uint256[] ids, uint256[] amounts) external;
        function safeTransferFrom(address from, address to, uint256 id, uint256 amount, bytes data) external;
        function safeBatchTransferFrom(address from, address to, uint256[] ids, uint256[] amounts, bytes data) external;
        function balanceOfBatch(address[] owners, uint256[] ids) external view returns (uint256[] memory);
    }
}

/// Token ids of the ERC-1155 contract.
const EDITIONS: u64 = 8;
/// Tokens the ERC-2309 contract mints when it is created, from id zero on.
const GENESIS_TOKENS: u64 = 500;
/// Those of them that move.
const GENESIS_MOVING: u64 = 30;
/// Blocks of traffic made with one look at who holds what. What such a block takes may have been moved in one before it, and reverts.
const GLANCE_BLOCKS: u64 = 4;

/// The market.
pub(crate) struct Market<'a> {
    node: &'a Node,
    dice: Dice,
    /// ERC-721, one token per mint, ids from zero on.
    meadow: Address,
    /// ERC-721, several tokens per mint, ids from one on.
    strata: Address,
    /// ERC-721 minted in ranges when it was created.
    genesis: Address,
    /// ERC-1155.
    relics: Address,
    /// Mints ever sent to `meadow` and tokens ever asked of `strata`: no id is higher, whatever a reorg undid.
    sent: (u64, u64),
}

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Owners of tokens with one owner.
    pub(crate) owners: BTreeMap<Token, Address>,
    /// Balances above zero of tokens with many.
    pub(crate) balances: BTreeMap<(Token, Address), U256>,
}

impl Holdings {
    /// What the tables hold.
    pub(crate) fn of(tables: &Tables) -> Holdings {
        Holdings {
            owners: tables.owners.clone(),
            balances: numbers(&tables.balances),
        }
    }

    /// Both kinds in the form of the view `token_balances`.
    pub(crate) fn merged(&self) -> BTreeMap<(Token, Address), U256> {
        let single = self.owners.iter().map(|(token, owner)| ((*token, *owner), U256::ONE));
        single.chain(self.balances.clone()).collect()
    }

    /// Units of every token with many owners.
    pub(crate) fn supply(&self) -> BTreeMap<Token, U256> {
        let mut supply = BTreeMap::new();
        for ((token, _), quantity) in &self.balances {
            *supply.entry(*token).or_insert(U256::ZERO) += *quantity;
        }
        supply
    }
}

/// Quantities as numbers, which none of them may be below zero for.
pub(crate) fn numbers<K: Clone + Ord>(quantities: &BTreeMap<K, Quantity>) -> BTreeMap<K, U256> {
    let number = |quantity: &Quantity| U256::from_str_radix(quantity, 10).unwrap();
    quantities
        .iter()
        .map(|(key, quantity)| (key.clone(), number(quantity)))
        .collect()
}

impl<'a> Market<'a> {
    /// Deploys the contracts.
    pub(crate) async fn open(node: &'a Node, seed: u64) -> Market<'a> {
        let creations = recording::creations(&["Meadow", "Strata", "Genesis", "Relics"]);
        let mut contracts = Vec::new();
        for creation in &creations {
            contracts.push(node.deploy(node.accounts[0], creation).await);
        }
        let [meadow, strata, genesis, relics] = contracts[..] else {
            unreachable!("four contracts were asked for")
        };
        Market {
            node,
            dice: dice(seed),
            meadow,
            strata,
            genesis,
            relics,
            sent: (0, 0),
        }
    }

    /// Mines `blocks` blocks of chance traffic, some of them empty.
    pub(crate) async fn play(&mut self, blocks: u64) {
        let mut held = Holdings::default();
        for block in 0..blocks {
            if block % GLANCE_BLOCKS == 0 {
                held = self.holdings(GENESIS_MOVING).await;
            }
            for request in self.traffic(&held, 5) {
                self.node.send(&request).await;
            }
            self.node.mine().await;
        }
    }

    /// Mines a block with one mint in it.
    pub(crate) async fn mint(&mut self) {
        let request = self.mint_one();
        self.node.send(&request).await;
        self.node.mine().await;
    }

    /// Replaces the highest `depth` blocks; `busy` puts other transactions into the new ones, else they are empty.
    pub(crate) async fn reorganise(&mut self, depth: u64, busy: bool) {
        let mut transactions = Vec::new();
        if busy {
            let held = self.holdings(GENESIS_MOVING).await;
            for request in self.traffic(&held, 2 * usize::try_from(depth).unwrap() + 2) {
                transactions.push((request, self.dice.random_range(0..depth)));
            }
        }
        // Nonces follow the order in which anvil sees the transactions, and blocks take them in the order of nonces.
        transactions.sort_by_key(|(_, block)| *block);
        self.node.reorganise(depth, &transactions).await;
    }

    /// Up to `most` transactions that are possible when this is `held`: of two that move one token the second reverts.
    fn traffic(&mut self, held: &Holdings, most: usize) -> Vec<Value> {
        let count = self.dice.random_range(0..=most);
        (0..count).map(|_| self.request(held)).collect()
    }

    fn request(&mut self, held: &Holdings) -> Value {
        match self.dice.random_range(0..10) {
            0 | 1 => self.mint_one(),
            2 => self.mint_many(),
            3 => self.mint_editions(),
            4..=6 => self.move_token(held),
            _ => self.move_editions(held),
        }
    }

    fn anyone(&mut self) -> Address {
        *self.node.accounts.choose(&mut self.dice).unwrap()
    }

    fn minter(&self) -> Address {
        self.node.accounts[0]
    }

    fn mint_one(&mut self) -> Value {
        self.sent.0 += 1;
        let to = self.anyone();
        transaction(self.minter(), self.meadow, &Meadow::mintCall { to })
    }

    fn mint_many(&mut self) -> Value {
        let (to, quantity) = (self.anyone(), self.dice.random_range(1..5));
        self.sent.1 += quantity;
        transaction(
            to,
            self.strata,
            &Strata::mintCall {
                to,
                quantity: U256::from(quantity),
            },
        )
    }

    fn mint_editions(&mut self) -> Value {
        let (to, count) = (self.anyone(), self.dice.random_range(1..4));
        // The same id may stand in a batch twice.
        let ids: Vec<U256> = (0..count)
            .map(|_| U256::from(self.dice.random_range(1..=EDITIONS)))
            .collect();
        let amounts: Vec<U256> = ids.iter().map(|_| U256::from(self.dice.random_range(1..100))).collect();
        let (from, data) = (self.minter(), Bytes::new());
        match count {
            1 => transaction(
                from,
                self.relics,
                &Relics::mintCall {
                    to,
                    id: ids[0],
                    amount: amounts[0],
                    data,
                },
            ),
            _ => transaction(from, self.relics, &Relics::mintBatchCall { to, ids, amounts, data }),
        }
    }

    fn move_token(&mut self, held: &Holdings) -> Value {
        let tokens: Vec<(&Token, &Address)> = held.owners.iter().collect();
        let (token, from) = **tokens.choose(&mut self.dice).as_ref().unwrap();
        if self.dice.random_range(0..4) == 0 {
            return transaction(*from, token.contract, &Meadow::burnCall { id: token.id });
        }
        let to = self.anyone();
        transaction(
            *from,
            token.contract,
            &Meadow::transferFromCall {
                from: *from,
                to,
                id: token.id,
            },
        )
    }

    fn move_editions(&mut self, held: &Holdings) -> Value {
        let from = self.anyone();
        let mine = held.balances.iter().filter(|((_, owner), _)| *owner == from);
        let mine: Vec<(U256, U256)> = mine.map(|((token, _), quantity)| (token.id, *quantity)).collect();
        let Some((id, quantity)) = mine.choose(&mut self.dice).copied() else {
            return self.mint_editions();
        };
        // All of it now and then, so that balances and supplies come to zero.
        let amount = if self.dice.random_range(0..3) == 0 {
            quantity
        } else {
            U256::ONE
        };
        let (to, data) = (self.anyone(), Bytes::new());
        let (ids, amounts) = mine.iter().map(|(id, _)| (*id, U256::ONE)).unzip();
        match self.dice.random_range(0..6) {
            0 => transaction(from, self.relics, &Relics::burnCall { from, id, amount }),
            1 => transaction(from, self.relics, &Relics::burnBatchCall { from, ids, amounts }),
            2 | 3 => transaction(
                from,
                self.relics,
                &Relics::safeBatchTransferFromCall {
                    from,
                    to,
                    ids,
                    amounts,
                    data,
                },
            ),
            _ => transaction(
                from,
                self.relics,
                &Relics::safeTransferFromCall {
                    from,
                    to,
                    id,
                    amount,
                    data,
                },
            ),
        }
    }

    /// What the node itself reports of every token that can exist.
    pub(crate) async fn everything(&self) -> Holdings {
        self.holdings(GENESIS_TOKENS).await
    }

    /// The same, of the first tokens of Genesis only.
    async fn holdings(&self, genesis: u64) -> Holdings {
        let range = |contract: Address, ids: std::ops::Range<u64>| {
            ids.map(move |id| Token {
                contract,
                id: U256::from(id),
            })
        };
        let tokens: Vec<Token> = range(self.meadow, 0..self.sent.0)
            .chain(range(self.strata, 1..self.sent.1 + 1))
            .chain(range(self.genesis, 0..genesis))
            .collect();
        let calls = tokens
            .iter()
            .map(|token| (token.contract, Meadow::ownerOfCall { id: token.id }));
        let owners = self.node.views(calls).await;
        let owners = tokens
            .into_iter()
            .zip(owners)
            .filter_map(|(token, owner)| Some((token, owner?)))
            .collect();
        Holdings {
            owners,
            balances: self.balances().await,
        }
    }

    async fn balances(&self) -> BTreeMap<(Token, Address), U256> {
        let pairs: Vec<(Address, u64)> = self
            .node
            .accounts
            .iter()
            .flat_map(|owner| (1..=EDITIONS).map(|id| (*owner, id)))
            .collect();
        let (owners, ids) = pairs.iter().map(|(owner, id)| (*owner, U256::from(*id))).unzip();
        let answer = self
            .node
            .views([(self.relics, Relics::balanceOfBatchCall { owners, ids })])
            .await
            .remove(0)
            .unwrap();
        let token = |id: u64| Token {
            contract: self.relics,
            id: U256::from(id),
        };
        let held = pairs
            .into_iter()
            .zip(answer)
            .filter(|(_, quantity)| !quantity.is_zero());
        held.map(|((owner, id), quantity)| ((token(id), owner), quantity))
            .collect()
    }
}
