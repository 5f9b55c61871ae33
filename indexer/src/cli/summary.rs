//! What a person can check after the demo: blocks, events by kind, collections, owners, sales.

use decoders::block::ChainId;
use queries::collections::Collection;
use queries::sales::Sale;
use queries::summary::{self, Summary, TokenOwners, Totals};
use queries::tokens::Holding;
use sinks::store::Store;

use super::output::Writer;
use crate::error::{Exit, Failure};

/// Lines of each list.
const ROWS: i64 = 5;

/// Prints the summary of `chain`.
pub(super) async fn print(writer: Writer, store: &Store, chain: ChainId) -> Result<(), Failure> {
    let summary = summary::read(&store.pool, chain, ROWS).await;
    let summary =
        summary.map_err(|error| Failure::new(Exit::Database, format!("failed to read the summary: {error}")))?;
    totals(writer, chain, &summary.totals)?;
    let facts = sinks::facts::counts(&store.pool, chain).await;
    let facts = facts.map_err(|error| Failure::new(Exit::Database, format!("failed to count the facts: {error}")))?;
    writer.line(format_args!("stored: {facts}"))?;
    collections(writer, &summary)?;
    owners(writer, &summary)?;
    sales(writer, &summary)
}

fn totals(writer: Writer, chain: ChainId, totals: &Totals) -> Result<(), Failure> {
    let number = |block: Option<i64>| block.map_or_else(|| "-".to_owned(), |block| block.to_string());
    let (first, last) = (number(totals.first_block), number(totals.last_block));
    writer.line(format_args!(
        "\n{} blocks ({first} to {last}) of {chain}",
        totals.blocks
    ))?;
    writer.line(format_args!(
        "{} mints, {} transfers, {} burns, {} sales, {} refused logs; {} live tokens in {} collections",
        totals.mints,
        totals.transfers,
        totals.burns,
        totals.sales,
        totals.faults,
        totals.token_count,
        totals.collection_count
    ))
}

fn collections(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    let row = |collection: &Collection| {
        let counts = [
            collection.items,
            collection.owners,
            collection.mints,
            collection.transfers,
            collection.burns,
        ];
        let names = [collection.contract.clone(), collection.standard.clone()];
        names.into_iter().chain(counts.map(|count| count.to_string())).collect()
    };
    writer.line("\nbusiest collections")?;
    let header = ["contract", "standard", "items", "owners", "mints", "transfers", "burns"];
    writer.table(&header, summary.collections.iter().map(row).collect())
}

fn owners(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    let holding = |token: &TokenOwners, holding: &Holding| {
        vec![
            token.contract.clone(),
            token.token.clone(),
            holding.owner.clone(),
            holding.quantity.clone(),
        ]
    };
    let rows = summary
        .tokens
        .iter()
        .flat_map(|token| token.owners.iter().map(move |owner| holding(token, owner)));
    writer.line("\nowners of a few tokens")?;
    writer.table(&["contract", "token", "owner", "quantity"], rows.collect())
}

fn sales(writer: Writer, summary: &Summary) -> Result<(), Failure> {
    if summary.latest_sales.is_empty() {
        return Ok(());
    }
    let unknown = || "-".to_owned();
    let row = |sale: &Sale| {
        // In whole units where they are known, else in the smallest.
        let price = match (&sale.price, &sale.price_raw) {
            (Some(price), _) | (None, Some(price)) => price.clone(),
            (None, None) => unknown(),
        };
        vec![
            sale.marketplace.clone().unwrap_or_else(unknown),
            sale.contract.clone(),
            sale.token.clone().unwrap_or_else(unknown),
            sale.seller.clone(),
            sale.buyer.clone(),
            price,
            sale.currency_symbol.clone().unwrap_or_else(|| sale.currency.clone()),
        ]
    };
    writer.line("\nnewest sales")?;
    let header = ["market", "contract", "token", "seller", "buyer", "price", "currency"];
    writer.table(&header, summary.latest_sales.iter().map(row).collect())
}
