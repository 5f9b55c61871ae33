//! BendDAO's exchange, which took over LooksRare v1's code and events (decoding specification, sections 4.3 and 9;
//! BendDAO/bend-exchange-protocol).

use alloy_primitives::{Address, address};

use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::markets::looksrare::{CANCEL_ALL, CANCEL_MULTIPLE, ROYALTY_PAYMENT, TAKER_ASK, TAKER_BID, decode_as};

const CONTRACTS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("7e832ec8ad6f66e6c9ece63acd94516dd7fc537a"))];

/// The exchange on Ethereum.
pub(crate) const DECODER: Decoder = Decoder {
    name: "benddao",
    claims: &[
        Claim::of(CONTRACTS, TAKER_BID, 4).with_envelope(),
        Claim::of(CONTRACTS, TAKER_ASK, 4).with_envelope(),
        Claim::of(CONTRACTS, ROYALTY_PAYMENT, 4),
        Claim::of(CONTRACTS, CANCEL_ALL, 2),
        Claim::of(CONTRACTS, CANCEL_MULTIPLE, 2),
    ],
    decode: |transaction, events| decode_as("benddao", transaction, events),
    ..Decoder::NONE
};
