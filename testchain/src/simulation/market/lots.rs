//! What is for sale: drawn from what somebody holds, and handed on log by log.

use alloy_primitives::{Address, U256, address};

use super::super::events::{self, Parties};
use super::super::orders::lot::Lot;
use super::super::roster::{ContractIndex, Owner};
use super::super::script::Move;
use super::super::stage::Stage;
use super::super::transfers::{Layout, Standard};

/// OpenSea's conduit, which moves tokens and money for those who allowed it to.
const CONDUIT: Address = address!("1e0049783f008a0085193e00003d00cd54003c71");

/// Most units of an ERC-1155 token in one order.
const UNITS: u128 = 40;

impl Lot {
    /// An ERC-721 token that a person holds.
    pub(super) fn single(stage: &mut Stage<'_>) -> Option<Self> {
        let contract = stage.contract(&stage.roster.erc721.clone());
        Lot::of_collection(stage, contract)
    }

    /// A token of `contract`, which is one with single owners.
    pub(super) fn of_collection(stage: &mut Stage<'_>, contract: ContractIndex) -> Option<Self> {
        let (serial, holder) = stage.world.collection(contract).live(&mut stage.dice)?;
        Some(Lot {
            contract,
            serial,
            quantity: 1,
            holder,
        })
    }

    /// Some units of an ERC-1155 token that a person holds.
    pub(super) fn units(stage: &mut Stage<'_>) -> Option<Self> {
        let contract = stage.contract(&stage.roster.erc1155.clone());
        let tokens = stage.world.multitoken(contract);
        let member = tokens.holder(&mut stage.dice)?;
        let (serial, held) = tokens.holding(member, &mut stage.dice)?;
        let quantity = 1 + u128::from(stage.below(held.min(UNITS) as u32));
        Some(Lot {
            contract,
            serial,
            quantity,
            holder: stage.roster.member(contract, member),
        })
    }

    /// As much of the same ERC-1155 token held by somebody who has some.
    pub(super) fn elsewhere(self, stage: &mut Stage<'_>) -> Option<Self> {
        let member = stage
            .world
            .multitoken(self.contract)
            .holder_of(self.serial, &mut stage.dice)?;
        let holder = stage.roster.member(self.contract, member);
        Some(Lot { holder, ..self })
    }

    /// The same token with one owner held by its present owner.
    pub(super) fn at_home(self, stage: &mut Stage<'_>) -> Option<Self> {
        let holder = stage.world.collection(self.contract).owner(self.serial)?;
        Some(Lot { holder, ..self })
    }

    /// Either of both.
    pub(super) fn any(stage: &mut Stage<'_>) -> Option<Self> {
        if stage.permille() < 650 {
            Lot::single(stage)
        } else {
            Lot::units(stage)
        }
    }

    pub(super) fn standard(&self, stage: &Stage<'_>) -> Standard {
        stage.roster.layout(self.contract).standard()
    }

    pub(super) fn is_multi(&self, stage: &Stage<'_>) -> bool {
        self.standard(stage) == Standard::Erc1155
    }

    /// Somebody else who may hold it.
    pub(super) fn buyer(&self, stage: &mut Stage<'_>) -> Option<Owner> {
        let buyer = if self.is_multi(stage) {
            let member = stage.world.multitoken(self.contract).member(&mut stage.dice);
            stage.roster.member(self.contract, member)
        } else {
            stage.owner()
        };
        (buyer != self.holder).then_some(buyer)
    }

    /// Whether `owner` may hold it: people of the contract's circle, if it is an ERC-1155 one.
    pub(super) fn suits(&self, stage: &Stage<'_>, owner: Owner) -> bool {
        !self.is_multi(stage) || stage.roster.membership(self.contract, owner).is_some()
    }

    /// How much of the token its holder has.
    pub(super) fn held(&self, stage: &mut Stage<'_>) -> u128 {
        if !self.is_multi(stage) {
            let owner = stage.world.collection(self.contract).owner(self.serial);
            return u128::from(owner == Some(self.holder));
        }
        let member = stage.roster.membership(self.contract, self.holder);
        let tokens = stage.world.multitoken(self.contract);
        member.map_or(0, |member| tokens.held(member, self.serial))
    }

    /// Transfers it to `to`, through the conduit; the lot with its new holder.
    pub(super) fn send(self, stage: &mut Stage<'_>, to: Owner) -> Lot {
        self.send_by(stage, to, CONDUIT)
    }

    /// Transfers it to `to` through `operator`.
    pub(super) fn send_by(self, stage: &mut Stage<'_>, to: Owner, operator: Address) -> Lot {
        let part = Move {
            contract: self.contract,
            serial: self.serial,
            from: self.holder,
            to,
            quantity: self.quantity,
        };
        stage.world.hand_over(stage.roster, &part);
        let (address, parties, token) = (
            stage.roster.contract(self.contract),
            stage.parties(&part),
            stage.token(&part),
        );
        if self.is_multi(stage) {
            let log = events::transfer_single_by(address, operator, parties, [token, U256::from(self.quantity)]);
            stage.emit_moves(Layout::Erc1155Single, log, &[part]);
        } else {
            self.disapprove(stage, parties.from);
            stage.emit_moves(
                Layout::Erc721,
                events::erc721_transfer(address, parties, token),
                &[part],
            );
        }
        Lot { holder: to, ..self }
    }

    /// Contracts written before 2023 clear the approval of a token with a log when it moves.
    fn disapprove(&self, stage: &mut Stage<'_>, owner: Address) {
        if self.contract.is_multiple_of(2) {
            let zero = Parties {
                from: owner,
                to: Address::ZERO,
            };
            let token = stage.roster.token(self.contract, self.serial);
            stage.emit(events::erc721_approval(
                stage.roster.contract(self.contract),
                zero,
                token,
            ));
        }
    }
}

/// A payment in an ERC-20 currency; native currency moves without a log.
pub(super) fn pay(stage: &mut Stage<'_>, currency: Address, parties: Parties, amount: U256) {
    if !currency.is_zero() && !amount.is_zero() {
        stage.emit(events::erc20_transfer(currency, parties, amount));
    }
}
