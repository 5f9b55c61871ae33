//! Chains that nothing is known of.

use decoders::block::ChainId;
use queries::{Readers, chains};

use crate::error::ApiError;

/// Chains named where another was asked for.
const SHOWN: usize = 10;

/// Rejects a chain that there is nothing to state of. Asked only where an answer is empty, so that full ones cost no more for it.
pub(crate) async fn check(readers: &Readers, chain: ChainId) -> Result<(), ApiError> {
    let names = chains::known(readers.pool()).await?;
    if names.contains(&chain.to_string()) {
        return Ok(());
    }
    let known = match names.get(..SHOWN) {
        _ if names.is_empty() => "none is".to_owned(),
        Some(first) if names.len() > SHOWN => format!("{}, … are", first.join(", ")),
        _ => format!("{} are", names.join(", ")),
    };
    Err(ApiError::UnknownChain { chain, known })
}
