//! Marketplaces: one file or folder each.

pub(crate) mod baazaar;
pub(crate) mod benddao;
pub(crate) mod blend;
pub(crate) mod blur;
pub(crate) mod clock_auction;
pub(crate) mod cryptopunks_market;
pub(crate) mod element;
pub(crate) mod foundation;
pub(crate) mod looksrare;
pub(crate) mod manifold;
pub(crate) mod nftx;
pub(crate) mod nouns_auction;
pub(crate) mod payment_processor;
pub(crate) mod rarible;
pub(crate) mod seaport;
pub(crate) mod sudoswap;
pub(crate) mod superrare;
pub(crate) mod treasure;
pub(crate) mod wyvern;
pub(crate) mod x2y2;
pub(crate) mod zeroex;
pub(crate) mod zora;
