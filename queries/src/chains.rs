//! Which chains there are to ask about.

use sqlx::PgPool;

use crate::error::QueryError;

/// CAIP-2 names of the chains of the registry and of those whose history was indexed once: a chain that was removed keeps its facts.
/// In the order of their numbers.
pub async fn known(pool: &PgPool) -> Result<Vec<String>, QueryError> {
    Ok(sqlx::query_scalar(KNOWN).fetch_all(pool).await?)
}

// A chain that left the registry keeps its tables. By length first, so that eip155:9 comes before eip155:10.
const KNOWN: &str = "select k.name from (
        select caip2::text as name from chain_registry_service.chains
        union
        select chain_id::text from indexer_service.indexer_checkpoints
        union
        select distinct chain_id::text from indexer_service.indexer_coverage
    ) k
    order by length(k.name), k.name";
