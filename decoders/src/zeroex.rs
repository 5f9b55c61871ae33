//! 0x v4 NFT orders (decoding specification, section 4.13; 0x `IERC721OrdersFeature` and `IERC1155OrdersFeature`).
//!
//! The amount leaves out the order's fees, which the buyer pays on top and no log tells. Orders have no hash.

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::abi::{Reader, Refusal, uint};
use crate::block::Log;
use crate::deal::{Deal, Line, Market};
use crate::events::Events;
use crate::fact::{Side, Standard, flag, reason};
use crate::registry::{Claim, Decoder};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (1, address!("def1c0ded9bec7f1a1670819833240f027b25eff")),
    (137, address!("def1c0ded9bec7f1a1670819833240f027b25eff")),
    (42161, address!("def1c0ded9bec7f1a1670819833240f027b25eff")),
    (10, address!("def1abe32c034e558cdd535791643c58a13acc10")),
];
const MARKET: Market = Market {
    name: "zeroex",
    version: "v4",
};
/// Stands for the native currency.
const NATIVE: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");

/// `ERC721OrderFilled(uint8,address,address,uint256,address,uint256,address,uint256,address)`.
const ERC721_ORDER_FILLED: B256 = b256!("50273fa02273cceea9cf085b42de5c8af60624140168bd71357db833535877af");
/// `ERC1155OrderFilled(uint8,address,address,uint256,address,uint256,address,uint256,uint128,address)`.
const ERC1155_ORDER_FILLED: B256 = b256!("20cca81b0e269b265b3229d6b537da91ef475ca0ef55caed7dd30731700ba98d");

/// The exchange on four chains.
pub(crate) const DECODER: Decoder = Decoder {
    name: "zeroex",
    claims: &[
        Claim::of(CONTRACTS, ERC721_ORDER_FILLED, 1),
        Claim::of(CONTRACTS, ERC1155_ORDER_FILLED, 1),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    for log in transaction.claimed() {
        let verdict = filled(log).map(|(deal, doubt)| {
            events.deal(log, deal);
            doubt
        });
        events.settle(log, verdict);
    }
}

fn filled(log: &Log) -> Result<(Deal, Option<&'static str>), Refusal> {
    let mut reader = Reader::new(log);
    let [direction, maker, taker, _nonce, paid_in, amount, contract, token, _] = reader.head()?;
    let (standard, quantity) = if log.topic0() == Some(&ERC1155_ORDER_FILLED) {
        let [.., quantity, _matcher] = reader.head::<10>()?;
        (Standard::Erc1155, uint(quantity))
    } else {
        (Standard::Erc721, U256::ONE)
    };
    let (maker, taker) = (reader.address(maker), reader.address(taker));
    let (side, seller, buyer) = match u8::try_from(uint(direction)) {
        Ok(0) => (Side::Listing, maker, taker),
        Ok(1) => (Side::Offer, taker, maker),
        _ => return Err(Refusal(reason::UNKNOWN_VARIANT)),
    };
    let line = Line {
        standard,
        ..Line::of(reader.address(contract), uint(token), quantity).between(seller, buyer)
    };
    let mut deal = Deal {
        currency: currency(reader.address(paid_in)),
        ..Deal::of(MARKET, side, line, uint(amount))
    };
    deal.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    Ok((deal, reader.doubt()))
}

/// What an order is paid in: zero for the native currency.
pub(crate) fn currency(contract: Address) -> Address {
    if contract == NATIVE { Address::ZERO } else { contract }
}
