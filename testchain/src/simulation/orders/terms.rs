//! What a maker signs at Seaport 1.5: its hash by EIP-712, and the logs that state it (contracts `ProjectOpenSea/seaport`).

use alloy_primitives::{Address, B256, Log, U256, address, b256, keccak256};

use super::super::events::{log, word};

/// Seaport 1.5 at its canonical address.
pub(crate) const SEAPORT: Address = address!("00000000000000adc04c56bf30ac9d3c0aaf14dc");

const ORDER_FULFILLED: B256 = b256!("9d9af8e38d66c62e2c12f0225249fd9d721c54b83f48d9352c97c6cacdcb6f31");
const ORDERS_MATCHED: B256 = b256!("4b9f2d36e1b4c93de62cc077b00b1a91d84b6c31b4a14e012718dcca230689e7");
const ORDER_VALIDATED: B256 = b256!("f280791efe782edcf06ce15c8f4dff17601db3b88eb3805a0db7d77faf757f04");
const ORDER_CANCELLED: B256 = b256!("6bacc01dbe442496068f7d234edd811f1a5f833243e0aec824f86ab861f3c90d");
const COUNTER_INCREMENTED: B256 = b256!("721c20121297512b72821b97f5326877ea8ecf4bb9948fea5bfcb6453074d37f");

const OFFER_ITEM: &str =
    "OfferItem(uint8 itemType,address token,uint256 identifierOrCriteria,uint256 startAmount,uint256 endAmount)";
const CONSIDERATION_ITEM: &str = "ConsiderationItem(uint8 itemType,address token,uint256 identifierOrCriteria,\
     uint256 startAmount,uint256 endAmount,address recipient)";
const ORDER_COMPONENTS: &str = "OrderComponents(address offerer,address zone,OfferItem[] offer,\
     ConsiderationItem[] consideration,uint8 orderType,uint256 startTime,uint256 endTime,bytes32 zoneHash,uint256 salt,\
     bytes32 conduitKey,uint256 counter)";

/// Of OpenSea's conduit.
const CONDUIT_KEY: B256 = b256!("0000007b02230091a7ed01230072f7006a004d60a8d4e71d599b8104250f0000");

/// What kind of thing an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Native = 0,
    Erc20 = 1,
    Erc721 = 2,
    Erc1155 = 3,
    /// Any token of a contract, as an offer on a collection states.
    AnyErc721 = 4,
}

/// Something to give or to get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) contract: Address,
    pub(crate) token: U256,
    pub(crate) amount: U256,
    /// The amount at the end of the order's time, if it changes until then.
    pub(crate) at_last: U256,
    /// Who gets what is asked for; of no meaning for what is given.
    pub(crate) recipient: Address,
}

/// What a maker signs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) offerer: Address,
    pub(crate) offer: Vec<Item>,
    pub(crate) consideration: Vec<Item>,
    /// 0 filled whole by anybody, 1 in parts.
    pub(crate) order_type: u8,
    pub(crate) starts_at: u64,
    pub(crate) ends_at: u64,
    pub(crate) salt: u64,
}

/// How much of an order was filled, and the filler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    /// The account the event names.
    pub(crate) recipient: Address,
    pub(crate) part: u128,
    pub(crate) whole: u128,
    /// The token that stands for any token.
    pub(crate) chosen: U256,
    /// Seconds since the Unix epoch.
    pub(crate) time: u64,
}

impl Item {
    /// A payment; native where `currency` is zero.
    pub(crate) fn payment(currency: Address, amount: U256, recipient: Address) -> Self {
        Item {
            kind: if currency.is_zero() { Kind::Native } else { Kind::Erc20 },
            contract: currency,
            token: U256::ZERO,
            amount,
            at_last: amount,
            recipient,
        }
    }

    /// As it was filled: criteria resolved, the amount scaled and of this moment.
    fn filled(&self, terms: &Terms, fill: &Fill) -> Self {
        let is_any = self.kind == Kind::AnyErc721;
        let scale = |amount: U256| amount * U256::from(fill.part) / U256::from(fill.whole);
        Item {
            kind: if is_any { Kind::Erc721 } else { self.kind },
            token: if is_any { fill.chosen } else { self.token },
            amount: terms.fallen(scale(self.amount), scale(self.at_last), fill.time),
            ..*self
        }
    }

    fn what(&self) -> [U256; 3] {
        [U256::from(self.kind as u8), word(self.contract), self.token]
    }

    /// The words of an item of an order.
    fn offered(&self) -> Vec<U256> {
        [&self.what()[..], &[self.amount, self.at_last]].concat()
    }

    fn asked(&self) -> Vec<U256> {
        [&self.offered()[..], &[word(self.recipient)]].concat()
    }

    /// The words of an item that was given.
    fn spent(&self) -> Vec<U256> {
        [&self.what()[..], &[self.amount]].concat()
    }

    fn received(&self) -> Vec<U256> {
        [&self.spent()[..], &[word(self.recipient)]].concat()
    }
}

impl Terms {
    /// The hash of the order, which is valid as long as its maker's counter is `counter`.
    pub(crate) fn hash(&self, counter: U256) -> B256 {
        let items = |kind: &str, items: Vec<Vec<U256>>| {
            let hashes: Vec<B256> = items
                .iter()
                .map(|words| hash_of([&[keccak256(kind).into()], &words[..]].concat()))
                .collect();
            keccak256(hashes.concat()).into()
        };
        let order_type: U256 = keccak256([ORDER_COMPONENTS, CONSIDERATION_ITEM, OFFER_ITEM].concat()).into();
        hash_of([
            order_type,
            word(self.offerer),
            U256::ZERO,
            items(OFFER_ITEM, self.offer.iter().map(Item::offered).collect()),
            items(CONSIDERATION_ITEM, self.consideration.iter().map(Item::asked).collect()),
            U256::from(self.order_type),
            U256::from(self.starts_at),
            U256::from(self.ends_at),
            U256::ZERO,
            U256::from(self.salt),
            CONDUIT_KEY.into(),
            counter,
        ])
    }

    /// What is asked for at `time` where an amount changes from `first` to `last` until the order ends, rounded up.
    pub(crate) fn fallen(&self, first: U256, last: U256, time: u64) -> U256 {
        if first == last {
            return first;
        }
        let [elapsed, left, whole] = [
            time - self.starts_at,
            self.ends_at - time,
            self.ends_at - self.starts_at,
        ]
        .map(U256::from);
        (first * left + last * elapsed).div_ceil(whole)
    }

    /// `OrderValidated`: the terms in full.
    pub(crate) fn validated(&self, hash: B256) -> Log {
        let offer: Vec<U256> = self.offer.iter().flat_map(Item::offered).collect();
        let consideration: Vec<U256> = self.consideration.iter().flat_map(Item::asked).collect();
        let consideration_at = 32 * (12 + offer.len());
        let words = [
            hash.into(),
            U256::from(64),
            word(self.offerer),
            U256::ZERO,
            U256::from(352),
            U256::from(consideration_at),
            U256::from(self.order_type),
            U256::from(self.starts_at),
            U256::from(self.ends_at),
            U256::ZERO,
            U256::from(self.salt),
            CONDUIT_KEY.into(),
            U256::from(self.consideration.len()),
        ];
        let arrays = [
            array(self.offer.len(), offer),
            array(self.consideration.len(), consideration),
        ];
        log(SEAPORT, [ORDER_VALIDATED], words.into_iter().chain(arrays.concat()))
    }

    /// `OrderFulfilled`: what changed owners.
    pub(crate) fn fulfilled(&self, hash: B256, fill: &Fill) -> Log {
        let offer = self
            .offer
            .iter()
            .flat_map(|item| item.filled(self, fill).spent())
            .collect();
        let consideration: Vec<U256> = self
            .consideration
            .iter()
            .flat_map(|item| item.filled(self, fill).received())
            .collect();
        let offer = array(self.offer.len(), offer);
        let head = [
            hash.into(),
            word(fill.recipient),
            U256::from(128),
            U256::from(128 + 32 * offer.len()),
        ];
        let words = head.into_iter().chain(offer);
        let topics = [ORDER_FULFILLED, self.offerer.into_word(), B256::ZERO];
        log(
            SEAPORT,
            topics,
            words.chain(array(self.consideration.len(), consideration)),
        )
    }
}

/// `OrdersMatched`.
pub(crate) fn orders_matched(hashes: &[B256]) -> Log {
    let hashes = hashes
        .iter()
        .map(|hash| U256::from_be_bytes(hash.0))
        .collect::<Vec<_>>();
    let words = array(hashes.len(), hashes);
    log(SEAPORT, [ORDERS_MATCHED], [U256::from(32)].into_iter().chain(words))
}

/// `OrderCancelled`.
pub(crate) fn order_cancelled(hash: B256, offerer: Address) -> Log {
    log(
        SEAPORT,
        [ORDER_CANCELLED, offerer.into_word(), B256::ZERO],
        [hash.into()],
    )
}

/// `CounterIncremented`.
pub(crate) fn counter_incremented(counter: U256, offerer: Address) -> Log {
    log(SEAPORT, [COUNTER_INCREMENTED, offerer.into_word()], [counter])
}

fn array(length: usize, words: Vec<U256>) -> Vec<U256> {
    [vec![U256::from(length)], words].concat()
}

fn hash_of(words: impl AsRef<[U256]>) -> B256 {
    let bytes: Vec<u8> = words
        .as_ref()
        .iter()
        .flat_map(|word| word.to_be_bytes::<32>())
        .collect();
    keccak256(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type hashes that stand in the contract's constants.
    #[test]
    fn types_hash_to_the_constants_of_the_contract() {
        let order = [ORDER_COMPONENTS, CONSIDERATION_ITEM, OFFER_ITEM].concat();
        for (text, hash) in [
            (
                OFFER_ITEM,
                b256!("a66999307ad1bb4fde44d13a5d710bd7718e0c87c1eef68a571629fbf5b93d02"),
            ),
            (
                CONSIDERATION_ITEM,
                b256!("42d81c6929ffdc4eb27a0808e40e82516ad42296c166065de7f812492304ff6e"),
            ),
            (
                &order,
                b256!("fa445660b7e21515a59617fcd68910b487aa5808b8abda3d78bc85df364b2c2f"),
            ),
        ] {
            assert_eq!(keccak256(text), hash);
        }
    }
}
