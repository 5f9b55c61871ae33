//! What one chain's tables hold, short enough for a person to check.

use decoders::block::ChainId;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::collections::{self, Collection};
use crate::error::QueryError;
use crate::sales::{self, Sale};
use crate::snapshot;
use crate::tokens::{self, Holding};

/// Owners shown of one token.
const SHOWN_OWNERS: i64 = 5;

/// One chain in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Counts.
    pub totals: Totals,
    /// The busiest collections.
    pub collections: Vec<Collection>,
    /// A few tokens and their owners: of the busiest collections, those that moved last.
    pub tokens: Vec<TokenOwners>,
    /// The newest sales.
    pub latest_sales: Vec<Sale>,
}

/// How much there is of each thing on one chain.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Totals {
    /// Blocks applied, by any decoder.
    pub blocks: i64,
    /// Height of the lowest of them.
    pub first_block: Option<i64>,
    /// Height of the highest of them.
    pub last_block: Option<i64>,
    /// Mints of tokens.
    pub mints: i64,
    /// Transfers that are neither mints nor burns.
    pub transfers: i64,
    /// Burns of tokens.
    pub burns: i64,
    /// Sales of tokens that are known.
    pub sales: i64,
    /// Logs that a decoder rejected or warned of.
    pub faults: i64,
    /// Contracts with tokens.
    pub collection_count: i64,
    /// Tokens that are not burned.
    pub token_count: i64,
}

/// A token and who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwners {
    /// Token contract.
    pub contract: String,
    /// Token number, decimal.
    pub token: String,
    /// Token standard: `erc721`, `erc1155`, …
    pub standard: String,
    /// Owners, the largest first, at most five.
    pub owners: Vec<Holding>,
}

/// Reads the summary of `chain` with at most `rows` rows of each list, as of one moment. It scans the chain's tokens: not for every
/// request.
pub async fn read(pool: &PgPool, chain: ChainId, rows: i64) -> Result<Summary, QueryError> {
    let chain = chain.to_string();
    let mut snapshot = snapshot::begin(pool).await?;
    let totals = sqlx::query_as(TOTALS).bind(&chain).fetch_one(&mut *snapshot).await?;
    let collections = collections::busiest_of(&mut *snapshot, Some(&chain), rows).await?;
    let tokens = sampled_tokens(&mut snapshot, &collections).await?;
    let latest_sales = sales::newest(&mut *snapshot, &chain, rows).await?;
    snapshot.commit().await?;
    Ok(Summary {
        totals,
        collections,
        tokens,
        latest_sales,
    })
}

/// The token of a collection that moved last.
#[derive(FromRow)]
struct Sample {
    id: Uuid,
    token_number: String,
    token_standard: String,
}

/// The token that moved last of each of `collections`, and who owns it.
async fn sampled_tokens(
    connection: &mut PgConnection,
    collections: &[Collection],
) -> Result<Vec<TokenOwners>, sqlx::Error> {
    let mut tokens = Vec::new();
    for collection in collections {
        let found = sqlx::query_as(SAMPLE)
            .bind(&collection.chain)
            .bind(&collection.contract);
        let Some(sample): Option<Sample> = found.fetch_optional(&mut *connection).await? else {
            continue;
        };
        tokens.push(TokenOwners {
            contract: collection.contract.clone(),
            token: sample.token_number,
            standard: sample.token_standard,
            owners: tokens::owners(&mut *connection, sample.id, SHOWN_OWNERS).await?,
        });
    }
    Ok(tokens)
}

// Blocks that are in the archive alone were not decoded, so they are not counted.
const TOTALS: &str = "
    with covered as (
        select coalesce(range_agg(covered), '{}'::int8multirange) as covered
        from indexer_service.indexer_coverage where chain_id = $1 and source <> 'archive'
    ), counted as (
        select coalesce(sum(mints), 0)::bigint as mints, coalesce(sum(transfers), 0)::bigint as transfers,
               coalesce(sum(burns), 0)::bigint as burns
        from catalog_service.collection_counters where chain_id = $1
    )
    select (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(v.covered) r) as blocks,
           lower(v.covered) as first_block, upper(v.covered) - 1 as last_block,
           n.mints, n.transfers, n.burns,
           (select coalesce(sum(sales), 0)::bigint from catalog_service.collection_sales where chain_id = $1) as sales,
           (select count(*) from indexer_service.decode_faults where chain_id = $1) as faults,
           (select count(*) from catalog_service.collections where chain_id = $1) as collection_count,
           (select count(*) from catalog_service.tokens where chain_id = $1 and not burned) as token_count
    from covered v, counted n";

const SAMPLE: &str = "
    select t.id, t.token_number, t.token_standard
    from catalog_service.tokens t
    join catalog_service.collections c on c.id = t.collection_id
    where c.chain_id = $1 and c.contract_address = $2 and not t.burned
    order by t.owner_position desc nulls last, t.minted_at desc nulls last, t.token_number
    limit 1";
