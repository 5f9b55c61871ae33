//! What was sold, newest first.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use decoders::id::token_id;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, PgPool, Row};
use uuid::Uuid;

use crate::error::QueryError;
use crate::page::{Keyed, Page, PageRequest};
use crate::subject::Subject;

/// One token, or one quantity of one token, that was sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sale {
    /// The fact's id, which is also its place in chain order and its message id.
    pub id: Uuid,
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// Name of the market.
    pub marketplace: Option<String>,
    /// Which side found the other: `listing`, `offer`, …
    pub side: String,
    /// Token contract; zero where the token is not known.
    pub contract: String,
    /// Token number, decimal; absent where it is not known.
    pub token: Option<String>,
    /// Token standard: `erc721`, `erc1155`, …
    pub standard: String,
    /// Units sold, decimal.
    pub quantity: String,
    /// Who sold.
    pub seller: String,
    /// Who bought.
    pub buyer: String,
    /// The ERC-20 contract paid in; zero for the chain's own currency.
    pub currency: String,
    /// Its symbol, where it is known.
    pub currency_symbol: Option<String>,
    /// What the whole quantity cost, in the currency's smallest unit, decimal; absent where it is not known.
    pub price_raw: Option<String>,
    /// The same in whole units, where the currency's decimals are known.
    pub price: Option<String>,
    /// The parts of the price that others than the seller got.
    pub fees: Vec<Fee>,
    /// What the seller kept, in the currency's smallest unit, decimal.
    pub seller_net_raw: Option<String>,
    /// What was sold together in one price; absent for a single sale.
    pub bundle: Option<Bundle>,
    /// What is to be known before the sale is trusted (docs/PROTOCOLS.md).
    pub flags: Vec<String>,
    /// Why the trade looks made up (docs/PROTOCOLS.md).
    pub wash_flags: Vec<String>,
    /// The maker's order, where the market names orders.
    pub order_hash: Option<String>,
    /// Height of the block.
    pub block_number: i64,
    /// Time of the block.
    pub block_time: DateTime<Utc>,
    /// Transaction that emitted the log.
    pub tx_hash: String,
    /// Index of the log within its block.
    pub log_index: i32,
    /// Index among the sales of the log.
    pub item: i32,
}

/// A part of a price that somebody other than the seller got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fee {
    /// Who got it; zero where that is not known.
    pub recipient: String,
    /// How much, in the currency's smallest unit, decimal.
    pub amount_raw: String,
    /// What for.
    pub kind: String,
}

/// What several sales have in common that were sold for one price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// The id they share.
    pub id: Uuid,
    /// How many they are.
    pub size: i32,
}

impl Keyed for Sale {
    type Key = Uuid;

    fn key(&self) -> Uuid {
        self.id
    }
}

/// Sales on `chain` by what they are looked up by, newest first.
pub async fn page(
    pool: &PgPool,
    chain: ChainId,
    subject: Subject,
    page: &PageRequest,
) -> Result<Page<Sale>, QueryError> {
    let name = chain.to_string();
    let rows = match subject {
        Subject::Chain => sqlx::query_as(OF_CHAIN).bind(name),
        Subject::Collection(contract) => sqlx::query_as(OF_COLLECTION).bind(name).bind(format!("{contract:#x}")),
        Subject::Token { contract, number } => sqlx::query_as(OF_TOKEN)
            .bind(name)
            .bind(token_id(chain, &contract, &number)),
        Subject::Account(account) => sqlx::query_as(OF_ACCOUNT).bind(name).bind(format!("{account:#x}")),
    };
    let rows = rows.bind(page.below()).bind(page.limit).fetch_all(pool).await?;
    Ok(Page::of(rows, page.limit))
}

/// The newest sales of `chain`, at most `limit`.
pub(crate) async fn newest(executor: impl PgExecutor<'_>, chain: &str, limit: i64) -> Result<Vec<Sale>, sqlx::Error> {
    let rows = sqlx::query_as(OF_CHAIN).bind(chain).bind(Uuid::max()).bind(limit);
    rows.fetch_all(executor).await
}

const OF_CHAIN: &str = "select *, price_native::text as price, price_raw::text as raw, seller_net_raw::text as net,
           quantity::text as units, fee_amounts::text[] as amounts
    from catalog_service.sales
    where chain_id = $1 and id < $2
    order by id desc
    limit $3";

const OF_COLLECTION: &str =
    "select *, price_native::text as price, price_raw::text as raw, seller_net_raw::text as net,
           quantity::text as units, fee_amounts::text[] as amounts
    from catalog_service.sales
    where chain_id = $1 and contract = $2 and id < $3
    order by id desc
    limit $4";

const OF_TOKEN: &str = "select *, price_native::text as price, price_raw::text as raw, seller_net_raw::text as net,
           quantity::text as units, fee_amounts::text[] as amounts
    from catalog_service.sales
    where chain_id = $1 and token_id = $2 and id < $3
    order by id desc
    limit $4";

// The page is chosen from both sides first, each off the end of its index.
// A sale to oneself is found from both sides, which is why the union is not `union all`.
const OF_ACCOUNT: &str = "with page as materialized (
        (select id from catalog_service.sales
         where chain_id = $1 and seller = $2 and id < $3 order by id desc limit $4)
        union
        (select id from catalog_service.sales
         where chain_id = $1 and buyer = $2 and id < $3 order by id desc limit $4)
        order by id desc limit $4
    )
    select s.*, s.price_native::text as price, s.price_raw::text as raw, s.seller_net_raw::text as net,
           s.quantity::text as units, s.fee_amounts::text[] as amounts
    from page p
    join catalog_service.sales s on s.chain_id = $1 and s.id = p.id
    order by s.id desc";

impl FromRow<'_, PgRow> for Sale {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let bundle: Option<Uuid> = row.try_get("bundle_id")?;
        let size = row.try_get("bundle_size")?;
        Ok(Sale {
            id: row.try_get("id")?,
            chain: row.try_get("chain_id")?,
            marketplace: row.try_get("marketplace")?,
            side: row.try_get("side")?,
            contract: row.try_get("contract")?,
            token: row.try_get("token_number")?,
            standard: row.try_get("standard")?,
            quantity: row.try_get("units")?,
            seller: row.try_get("seller")?,
            buyer: row.try_get("buyer")?,
            currency: row.try_get("currency_address")?,
            currency_symbol: row.try_get("currency_symbol")?,
            price_raw: row.try_get("raw")?,
            price: row.try_get("price")?,
            fees: fees_of(row)?,
            seller_net_raw: row.try_get("net")?,
            bundle: bundle.map(|id| Bundle { id, size }),
            flags: row.try_get("flags")?,
            wash_flags: row.try_get("wash_flags")?,
            order_hash: row.try_get("order_hash")?,
            block_number: row.try_get("block_number")?,
            block_time: row.try_get("block_time")?,
            tx_hash: row.try_get("tx_hash")?,
            log_index: row.try_get("log_index")?,
            item: row.try_get("item")?,
        })
    }
}

fn fees_of(row: &PgRow) -> Result<Vec<Fee>, sqlx::Error> {
    let recipients: Vec<String> = row.try_get("fee_recipients")?;
    let amounts: Vec<String> = row.try_get("amounts")?;
    let kinds: Vec<String> = row.try_get("fee_kinds")?;
    let fees = recipients.into_iter().zip(amounts).zip(kinds);
    Ok(fees
        .map(|((recipient, amount_raw), kind)| Fee {
            recipient,
            amount_raw,
            kind,
        })
        .collect())
}
