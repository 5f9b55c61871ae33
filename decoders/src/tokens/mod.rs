//! Token standards, and tokens older than them: one file each.

pub(crate) mod cryptopunks;
pub(crate) mod erc1155;
pub(crate) mod erc2309;
pub(crate) mod erc721;
pub(crate) mod erc721_legacy;
