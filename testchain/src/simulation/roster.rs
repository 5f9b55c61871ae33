//! Who and what exists on a simulated chain from the first block on: accounts, contracts and their token numbers.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, keccak256};

use super::settings::Settings;
use super::transfers::Layout;

/// An account by its place in the roster.
pub(super) type Owner = u32;
/// An NFT contract by its place in the roster.
pub(super) type ContractIndex = u32;
/// A token by the order in which its contract first minted it.
pub(super) type Serial = u32;

/// The zero address: where mints come from and burns go.
pub(super) const NO_OWNER: Owner = u32::MAX;
/// The market contract of Foundation, which holds what it sells.
pub(super) const FOUNDATION: Owner = u32::MAX - 1;
/// A contract that buys in other people's name and passes on what it bought.
pub(super) const ROUTER: Owner = u32::MAX - 2;
/// Owners from here on are no people: they neither draw nor are drawn.
pub(super) const CONTRACTS: Owner = u32::MAX - 2;

const CRYPTOKITTIES: Address = address!("06012c8cf97bead5deae237070f9587f8e7a266d");
const CRYPTOVOXELS: Address = address!("79986af15539de2db9a5086382daeda917a9cf0c");
/// Wrapped ether.
pub(super) const WETH: Address = address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2");
pub(super) const CRYPTOPUNKS: Address = address!("b47e3cd837ddf8e4c57f05d70ab865de6e193bbb");
const FOUNDATION_MARKET: Address = address!("cda72070e455bb31c7690a170224ce43623d0b6f");

/// Accounts that get royalties.
const CREATORS: u32 = 31;

/// Accounts and contracts. NFT contracts stand in one list: ERC-721, legacy, CryptoPunks, ERC-1155.
#[derive(Debug)]
pub(super) struct Roster {
    owners: Vec<Address>,
    contracts: Vec<Contract>,
    pub(super) erc721: Range<ContractIndex>,
    pub(super) legacy: Range<ContractIndex>,
    pub(super) punks: Option<ContractIndex>,
    pub(super) erc1155: Range<ContractIndex>,
    pub(super) erc20: Vec<Address>,
    /// Emits malformed logs and nothing else.
    pub(super) rogue: Address,
    pub(super) circle: u32,
    router: Address,
    creators: Vec<Address>,
}

#[derive(Clone, Copy, Debug)]
struct Contract {
    address: Address,
    /// The layout of its plain transfer.
    layout: Layout,
    numbering: Numbering,
}

/// How a contract numbers its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbering {
    /// Upwards from the first.
    From(u64),
    /// By a hash, as names and off-chain catalogues do.
    Hashed,
}

impl Roster {
    pub(super) fn new(settings: &Settings) -> Self {
        let owners = settings.owners.max(2);
        let erc721 = (0..settings.erc721_contracts.max(1)).map(|index| Contract::erc721(settings, index));
        let mut contracts: Vec<Contract> = erc721.collect();
        let legacy_from = contracts.len() as u32;
        if settings.chain_id == 1 {
            contracts.extend(Contract::LEGACY);
        }
        let legacy = legacy_from..contracts.len() as u32;
        let punks = (settings.chain_id == 1).then_some(legacy.end);
        contracts.extend(punks.map(|_| Contract::PUNKS));
        let erc1155_from = contracts.len() as u32;
        contracts.extend((0..settings.erc1155_contracts.max(1)).map(|index| Contract::erc1155(settings, index)));
        Roster {
            owners: (0..owners).map(|index| named(settings, "owner", index)).collect(),
            erc721: 0..legacy_from,
            legacy,
            punks,
            erc1155: erc1155_from..contracts.len() as u32,
            contracts,
            erc20: (0..settings.erc20_contracts.max(1))
                .map(|index| named(settings, "erc20", index))
                .collect(),
            rogue: named(settings, "rogue", 0),
            circle: settings.circle.clamp(1, owners),
            router: named(settings, "router", 0),
            creators: (0..CREATORS).map(|index| named(settings, "creator", index)).collect(),
        }
    }

    pub(super) fn owners(&self) -> u32 {
        self.owners.len() as u32
    }

    /// Whether the account draws and is drawn.
    pub(super) fn is_person(&self, owner: Owner) -> bool {
        owner < self.owners()
    }

    pub(super) fn address(&self, owner: Owner) -> Address {
        match owner {
            NO_OWNER => Address::ZERO,
            FOUNDATION => FOUNDATION_MARKET,
            ROUTER => self.router,
            person => self.owners[person as usize],
        }
    }

    pub(super) fn contract(&self, contract: ContractIndex) -> Address {
        self.contracts[contract as usize].address
    }

    pub(super) fn layout(&self, contract: ContractIndex) -> Layout {
        self.contracts[contract as usize].layout
    }

    /// Whether neighbouring serials have neighbouring token numbers.
    pub(super) fn is_consecutive(&self, contract: ContractIndex) -> bool {
        self.contracts[contract as usize].numbering != Numbering::Hashed
    }

    pub(super) fn token(&self, contract: ContractIndex, serial: Serial) -> U256 {
        let contract = &self.contracts[contract as usize];
        match contract.numbering {
            Numbering::From(first) => U256::from(first + u64::from(serial)),
            Numbering::Hashed => keccak256([contract.address.as_slice(), &serial.to_be_bytes()].concat()).into(),
        }
    }

    /// The account that is the `member`th of a contract's circle.
    pub(super) fn member(&self, contract: ContractIndex, member: u32) -> Owner {
        (contract * 37 + member) % self.owners()
    }

    /// Which member of a contract's circle the account is, if any.
    pub(super) fn membership(&self, contract: ContractIndex, owner: Owner) -> Option<u32> {
        let first = self.member(contract, 0);
        let member = (owner.checked_add(self.owners())? - first) % self.owners();
        (owner < self.owners() && member < self.circle).then_some(member)
    }

    /// The `index`th creator of a contract's tokens.
    pub(super) fn creator(&self, contract: ContractIndex, index: u32) -> Address {
        self.creators[((contract * 2 + index) % CREATORS) as usize]
    }
}

impl Contract {
    const LEGACY: [Contract; 2] = [
        Contract {
            address: CRYPTOKITTIES,
            layout: Layout::Erc721Unindexed,
            numbering: Numbering::From(1),
        },
        Contract {
            address: CRYPTOVOXELS,
            layout: Layout::Erc721Erc20Like,
            numbering: Numbering::From(1),
        },
    ];
    const PUNKS: Contract = Contract {
        address: CRYPTOPUNKS,
        layout: Layout::PunkTransfer,
        numbering: Numbering::From(0),
    };

    fn erc721(settings: &Settings, index: u32) -> Self {
        let numbering = if index % 5 == 4 {
            Numbering::Hashed
        } else {
            Numbering::From(u64::from(index % 2))
        };
        Contract {
            address: named(settings, "erc721", index),
            layout: Layout::Erc721,
            numbering,
        }
    }

    fn erc1155(settings: &Settings, index: u32) -> Self {
        let numbering = if index % 3 == 1 {
            Numbering::Hashed
        } else {
            Numbering::From(u64::from(index % 2))
        };
        Contract {
            address: named(settings, "erc1155", index),
            layout: Layout::Erc1155Single,
            numbering,
        }
    }
}

fn named(settings: &Settings, role: &str, index: u32) -> Address {
    let name = format!("{}/{}/{role}/{index}", settings.chain_id, settings.seed);
    let hash: B256 = keccak256(name);
    Address::from_word(hash)
}
