//! What one chain's tables hold, short enough for a person to check.

use decoders::block::ChainId;
use serde::Serialize;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::catalog;
pub use crate::catalog::{Collection, Holding, LastSale};
use crate::error::ApiError;
pub use crate::sales::Sale;
pub use crate::transfers::Transfer;

/// One chain in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// CAIP-2 name.
    pub chain: String,
    /// Blocks applied.
    pub blocks: i64,
    /// Lowest and highest of them.
    pub first_block: Option<i64>,
    /// Lowest and highest of them.
    pub last_block: Option<i64>,
    /// Events of each kind.
    pub mints: i64,
    /// Events of each kind.
    pub transfers: i64,
    /// Events of each kind.
    pub burns: i64,
    /// Sales of tokens that are known.
    pub sales: i64,
    /// Logs refused by a decoder.
    pub faults: i64,
    /// Contracts with tokens.
    pub collection_count: i64,
    /// Tokens that are not burned.
    pub token_count: i64,
    /// The busiest collections.
    pub collections: Vec<Collection>,
    /// A few tokens and their owners, those that moved last of the busiest collections.
    pub tokens: Vec<TokenOwners>,
    /// The newest transfers.
    pub latest: Vec<Transfer>,
    /// The newest sales.
    pub latest_sales: Vec<Sale>,
}

/// A token and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenOwners {
    /// Token contract.
    pub contract: String,
    /// Token number, decimal.
    pub token: String,
    /// Standard.
    pub standard: String,
    /// Owners, the largest first.
    pub owners: Vec<Holding>,
}

/// Reads the summary of `chain` with at most `rows` lines of each list. It scans the chain's tokens: not for every request.
pub async fn read(pool: &PgPool, chain: ChainId, rows: i64) -> Result<Summary, ApiError> {
    let chain = chain.to_string();
    let mut transaction = pool.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let totals = sqlx::query(TOTALS).bind(&chain).fetch_one(&mut *transaction).await?;
    let collections = catalog::busiest(&mut *transaction, Some(&chain), rows).await?;
    let tokens = sampled_tokens(&mut transaction, &collections).await?;
    let latest = crate::transfers::newest(&mut *transaction, &chain, Uuid::max(), rows).await?;
    let latest_sales = crate::sales::newest(&mut *transaction, &chain, rows).await?;
    transaction.commit().await?;
    Ok(Summary {
        chain,
        blocks: totals.try_get("blocks")?,
        first_block: totals.try_get("first_block")?,
        last_block: totals.try_get("last_block")?,
        mints: totals.try_get("mints")?,
        transfers: totals.try_get("transfers")?,
        burns: totals.try_get("burns")?,
        sales: totals.try_get("sales")?,
        faults: totals.try_get("faults")?,
        collection_count: totals.try_get("collection_count")?,
        token_count: totals.try_get("token_count")?,
        collections,
        tokens,
        latest,
        latest_sales,
    })
}

/// The token that moved last of each of `collections`, with at most five owners.
async fn sampled_tokens(
    connection: &mut PgConnection,
    collections: &[Collection],
) -> Result<Vec<TokenOwners>, sqlx::Error> {
    let mut tokens = Vec::new();
    for collection in collections {
        let found = sqlx::query(SAMPLE).bind(&collection.chain).bind(&collection.contract);
        let Some(row) = found.fetch_optional(&mut *connection).await? else {
            continue;
        };
        tokens.push(TokenOwners {
            contract: collection.contract.clone(),
            token: row.try_get("token_number")?,
            standard: row.try_get("token_standard")?,
            owners: catalog::owners(&mut *connection, row.try_get("id")?, 5).await?,
        });
    }
    Ok(tokens)
}

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
