//! Which chains there are to ask about.

use decoders::block::ChainId;
use sqlx::PgExecutor;

use crate::error::ApiError;

/// Chains named where another was asked for.
const SHOWN: usize = 10;

/// Refuses a chain that there is nothing to say of. Asked only where an answer is empty, so that full ones cost no more for it.
///
/// A chain that was removed from the registry keeps its facts, so what was indexed once is known.
pub(crate) async fn check(executor: impl PgExecutor<'_>, chain: ChainId) -> Result<(), ApiError> {
    let names: Vec<String> = sqlx::query_scalar(KNOWN).fetch_all(executor).await?;
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

const KNOWN: &str = "select k.name from (
        select caip2::text as name from chain_registry_service.chains
        union
        select chain_id::text from indexer_service.indexer_checkpoints
        union
        select distinct chain_id::text from indexer_service.indexer_coverage
    ) k
    order by length(k.name), k.name";
