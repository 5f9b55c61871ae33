//! The layouts of the logs the simulated contracts emit, ABI-encoded.

use alloy_primitives::{Address, B256, Bytes, Log, U256, b256};

const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
const APPROVAL: B256 = b256!("8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925");
const APPROVAL_FOR_ALL: B256 = b256!("17307eab39ab6107e8899845ad3d59bd9653f200f220920489ca2b5937696c31");
const TRANSFER_SINGLE: B256 = b256!("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62");
const TRANSFER_BATCH: B256 = b256!("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb");
const CONSECUTIVE_TRANSFER: B256 = b256!("deaa91b6123d068f5821d0fb0678463d1a8a6079fe8af5de3ce5e896dcf9133d");
const PUNK_ASSIGN: B256 = b256!("8a0e37b73a0d9c82e205d4d1a3ff3d0b57ce5f4d7bccf6bac03336dc101cb7ba");
const PUNK_TRANSFER: B256 = b256!("05af636b70da6819000c49f85b21fa82081c632069bb626f30932034099107d8");
const PUNK_BOUGHT: B256 = b256!("58e5d5a525e3b40bc15abaa38b5882678db1ee68befd2f60bafe3a7fd06db9e3");
const PUNK_NO_LONGER_FOR_SALE: B256 = b256!("b0e0a660b4e50f26f0b7ce75c24655fc76cc66e3334a54ff410277229fa10bd4");

/// Sender and recipient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parties {
    pub(super) from: Address,
    pub(super) to: Address,
}

/// ERC-721 `Transfer`.
pub(super) fn erc721_transfer(contract: Address, parties: Parties, token: U256) -> Log {
    log(
        contract,
        [TRANSFER, parties.from.into_word(), parties.to.into_word(), token.into()],
        [],
    )
}

/// `Transfer` with the token or amount as data: ERC-20, Cryptovoxels, the ownership count of CryptoPunks.
pub(super) fn erc20_transfer(contract: Address, parties: Parties, amount: U256) -> Log {
    log(
        contract,
        [TRANSFER, parties.from.into_word(), parties.to.into_word()],
        [amount],
    )
}

/// `Transfer` with nothing indexed: CryptoKitties.
pub(super) fn unindexed_transfer(contract: Address, parties: Parties, token: U256) -> Log {
    log(contract, [TRANSFER], [word(parties.from), word(parties.to), token])
}

/// ERC-2309 `ConsecutiveTransfer`, both ends included.
pub(super) fn consecutive_transfer(contract: Address, parties: Parties, first: U256, last: U256) -> Log {
    log(
        contract,
        [
            CONSECUTIVE_TRANSFER,
            first.into(),
            parties.from.into_word(),
            parties.to.into_word(),
        ],
        [last],
    )
}

/// ERC-1155 `TransferSingle` by the sender himself.
pub(super) fn transfer_single(contract: Address, parties: Parties, token: U256, quantity: U256) -> Log {
    log(contract, operated(TRANSFER_SINGLE, parties), [token, quantity])
}

/// ERC-1155 `TransferSingle` of a token and a quantity by somebody who was allowed to.
pub(super) fn transfer_single_by(contract: Address, operator: Address, parties: Parties, what: [U256; 2]) -> Log {
    let topics = [
        TRANSFER_SINGLE,
        operator.into_word(),
        parties.from.into_word(),
        parties.to.into_word(),
    ];
    log(contract, topics, what)
}

/// ERC-1155 `TransferBatch` by the sender himself.
pub(super) fn transfer_batch(contract: Address, parties: Parties, tokens: &[U256], quantities: &[U256]) -> Log {
    let second = U256::from(32 * (3 + tokens.len()));
    let head = [U256::from(64), second, U256::from(tokens.len())];
    let between = [U256::from(quantities.len())];
    let words = head.iter().chain(tokens).chain(&between).chain(quantities).copied();
    log(contract, operated(TRANSFER_BATCH, parties), words)
}

/// A `TransferBatch` whose arrays would start far behind the end of its data.
pub(super) fn transfer_batch_outside(contract: Address, parties: Parties) -> Log {
    log(
        contract,
        operated(TRANSFER_BATCH, parties),
        [U256::from(1 << 20), U256::MAX, U256::from(1), U256::from(1)],
    )
}

/// A `TransferSingle` that ends after its token number.
pub(super) fn transfer_single_cut(contract: Address, parties: Parties, token: U256) -> Log {
    log(contract, operated(TRANSFER_SINGLE, parties), [token])
}

/// ERC-721 `Approval`; of no one when `parties.to` is zero.
pub(super) fn erc721_approval(contract: Address, parties: Parties, token: U256) -> Log {
    log(
        contract,
        [APPROVAL, parties.from.into_word(), parties.to.into_word(), token.into()],
        [],
    )
}

/// ERC-20 `Approval`.
pub(super) fn erc20_approval(contract: Address, parties: Parties, amount: U256) -> Log {
    log(
        contract,
        [APPROVAL, parties.from.into_word(), parties.to.into_word()],
        [amount],
    )
}

/// `ApprovalForAll` of ERC-721 and ERC-1155.
pub(super) fn approval_for_all(contract: Address, parties: Parties, approved: bool) -> Log {
    let approved = U256::from(u8::from(approved));
    log(
        contract,
        [APPROVAL_FOR_ALL, parties.from.into_word(), parties.to.into_word()],
        [approved],
    )
}

/// CryptoPunks `Assign`.
pub(super) fn punk_assign(contract: Address, to: Address, punk: U256) -> Log {
    log(contract, [PUNK_ASSIGN, to.into_word()], [punk])
}

/// CryptoPunks `PunkTransfer`.
pub(super) fn punk_transfer(contract: Address, parties: Parties, punk: U256) -> Log {
    log(
        contract,
        [PUNK_TRANSFER, parties.from.into_word(), parties.to.into_word()],
        [punk],
    )
}

/// CryptoPunks `PunkBought`; an accepted bid states zero for the value and the buyer.
pub(super) fn punk_bought(contract: Address, parties: Parties, punk: U256, value: U256) -> Log {
    log(
        contract,
        [
            PUNK_BOUGHT,
            punk.into(),
            parties.from.into_word(),
            parties.to.into_word(),
        ],
        [value],
    )
}

/// CryptoPunks `PunkNoLongerForSale`, which comes before the `PunkBought` of a taken listing.
pub(super) fn punk_no_longer_for_sale(contract: Address, punk: U256) -> Log {
    log(contract, [PUNK_NO_LONGER_FOR_SALE, punk.into()], [])
}

/// The operator of an ERC-1155 transfer is its sender, or its receiver when it is a mint.
fn operated(event: B256, parties: Parties) -> [B256; 4] {
    let operator = if parties.from == Address::ZERO {
        parties.to
    } else {
        parties.from
    };
    [
        event,
        operator.into_word(),
        parties.from.into_word(),
        parties.to.into_word(),
    ]
}

/// An address as a word.
pub(super) fn word(address: Address) -> U256 {
    address.into_word().into()
}

/// A log of whole words.
pub(super) fn log(contract: Address, topics: impl Into<Vec<B256>>, words: impl IntoIterator<Item = U256>) -> Log {
    let data: Vec<[u8; 32]> = words.into_iter().map(|word| word.to_be_bytes()).collect();
    Log::new_unchecked(
        contract,
        topics.into(),
        Bytes::from(data.into_flattened().into_boxed_slice()),
    )
}
