//! What a chain's tables hold, printed for a person to check.

use api::summary::{self, Summary};
use decoders::block::ChainId;
use sqlx::PgPool;

use super::output::Writer;
use crate::error::{Exit, Failure};

/// Lines of each list.
const ROWS: i64 = 5;

/// Prints the summary of `chain`.
pub(super) async fn print(writer: Writer, pool: &PgPool, chain: ChainId) -> Result<(), Failure> {
    let read = summary::read(pool, chain, ROWS).await;
    let summary = read.map_err(|error| Failure::new(Exit::Database, error.to_string()))?;
    totals(writer, &summary)?;
    collections(writer, &summary)?;
    owners(writer, &summary)?;
    latest(writer, &summary)
}

fn totals(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    let (first, last) = (summary.first_block.unwrap_or(0), summary.last_block.unwrap_or(0));
    let events = summary.mints + summary.transfers + summary.burns;
    writer.line(format_args!(
        "\n{}: {} blocks, from {first} to {last}",
        summary.chain, summary.blocks
    ))?;
    writer.line(format_args!(
        "{events} events: {} mints, {} transfers, {} burns; {} logs refused",
        summary.mints, summary.transfers, summary.burns, summary.faults
    ))?;
    writer.line(format_args!(
        "{} collections, {} tokens",
        summary.collection_count, summary.token_count
    ))
}

fn collections(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    let rows = summary.collections.iter().map(|collection| {
        vec![
            collection.name.clone().unwrap_or_else(|| collection.contract.clone()),
            collection.standard.clone(),
            collection.items.to_string(),
            collection.owners.to_string(),
            collection.mints.to_string(),
            collection.transfers.to_string(),
            collection.burns.to_string(),
        ]
    });
    writer.line("\nbusiest collections")?;
    writer.table(
        &[
            "collection",
            "standard",
            "items",
            "owners",
            "mints",
            "transfers",
            "burns",
        ],
        rows.collect(),
    )
}

fn owners(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    let rows = summary.tokens.iter().flat_map(|token| {
        token.owners.iter().map(|holding| {
            vec![
                token.contract.clone(),
                shortened(&token.token),
                holding.owner.clone(),
                holding.quantity.clone(),
            ]
        })
    });
    writer.line("\nowners of the token that moved last of each")?;
    writer.table(&["contract", "token", "owner", "quantity"], rows.collect())
}

fn latest(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    let rows = summary.latest.iter().map(|transfer| {
        vec![
            transfer.block_number.to_string(),
            transfer.kind.clone(),
            shortened(&transfer.token),
            transfer.from.clone(),
            transfer.to.clone(),
            transfer.quantity.clone(),
        ]
    });
    writer.line("\nlatest transfers")?;
    writer.table(&["block", "kind", "token", "from", "to", "quantity"], rows.collect())
}

/// A token number that fits a column; some have 78 digits.
fn shortened(number: &str) -> String {
    if number.len() <= 20 {
        number.to_owned()
    } else {
        format!("{}…{}", &number[..8], &number[number.len() - 8..])
    }
}
