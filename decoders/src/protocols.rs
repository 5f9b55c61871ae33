//! The list of decoders.
//!
//! A protocol is one file with one [`Decoder`], one line in [`DECODERS`] and one folder of fixtures; nothing else knows its
//! name. Decoders of movements stand first, so that a decoder of sales finds the movements of its transaction.

use alloy_primitives::{Address, address};

use crate::decoder::Decoder;
use crate::markets::{
    baazaar, benddao, blend, blur, clock_auction, cryptopunks_market, element, foundation, looksrare, manifold, nftx,
    nouns_auction, payment_processor, rarible, seaport, sudoswap, superrare, treasure, wyvern, x2y2, zeroex, zora,
};
use crate::tokens::{cryptopunks, erc721, erc721_legacy, erc1155, erc2309};
use crate::transaction::DecoderSet;

/// Every decoder there is, in the order they take turns over a transaction: first those of movements, then those of
/// sales.
pub const DECODERS: &[Decoder] = &[
    erc721::DECODER,
    erc721_legacy::DECODER,
    erc1155::DECODER,
    erc2309::DECODER,
    cryptopunks::DECODER,
    cryptopunks_market::DECODER,
    seaport::DECODER,
    wyvern::DECODER,
    looksrare::DECODER,
    x2y2::DECODER,
    blur::DECODER,
    blend::DECODER,
    foundation::DECODER,
    zora::DECODER,
    superrare::DECODER,
    rarible::DECODER,
    element::DECODER,
    zeroex::DECODER,
    payment_processor::DECODER,
    treasure::DECODER,
    sudoswap::DECODER,
    nftx::DECODER,
    manifold::DECODER,
    benddao::DECODER,
    nouns_auction::DECODER,
    clock_auction::DECODER,
    baazaar::DECODER,
];

const _: () = assert!(
    DECODERS.len() < DecoderSet::BITS as usize - 2,
    "a decoder set has one bit per decoder, and three to spare"
);

/// Routers of protocols that emit nothing of their own.
pub(crate) const ROUTERS: &[Address] = &[
    // Gem.
    address!("83c8f28c26bf6aaca652df1dbbe0e1b56f8baba2"),
    address!("0000000035634b55f3d99b071b5a354f48e10bef"),
    address!("00000000a50bb64b4bbeceb18715748dface08af"),
    // Genie.
    address!("2af4b707e1dce8fc345f38cfeeaa2421e54976d5"),
    address!("0a267cf51ef038fc00e71801f5a524aec06e4f07"),
    // Uniswap.
    address!("ef1c6e67703c7bd7107eed8303fbe6ec2554bf6b"),
    // Nameless, in blocks of 2023.
    address!("ef0b56692f78a44cf4034b07f80204757c31bcc9"),
];
