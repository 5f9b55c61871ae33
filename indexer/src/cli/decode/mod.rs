//! `indexer decode`: what decoders see in one transaction, and why.

mod file;
mod found;
mod report;

use std::path::PathBuf;

use alloy_primitives::B256;
use clap::Args;
use decoders::block::{ChainId, Proof};

use super::arguments::EndpointUrlParser;
use super::context::Context;
use crate::config::EndpointUrl;
use crate::daemon::assembly;
use crate::error::{Error, Exit, Failure};
use crate::pipeline;
use found::Found;
use rpc::{Filter, Pool, PoolOptions};

pub(super) const EXAMPLES: &str = "\
The tool for when a number looks wrong: every log of a transaction with the decoder that claims it,
the transfers, sales, listings, offers and faults they make of it, and for every part of a sale
where it can be seen. Nothing is written and no database is needed.

The transaction comes from the endpoints that the configuration names for the chain, from --rpc, or
from a file: the answer of eth_getTransactionReceipt, {\"transaction\": …, \"receipt\": …}, or
{\"chainId\": …, \"block\": …, \"receipts\": […]} with --tx naming one of the block's. A file may be
gzipped. A receipt alone has no transaction's sender and calldata, which some sales want.

Examples:
  indexer decode --tx 0x3e6c…a1 --chain eip155:1 --rpc https://eth.example.org
  indexer decode --receipt receipt.json --chain eip155:1
  indexer decode --receipt 1-14000000.json.gz --tx 0x3e6c…a1 --json | jq .sales";

/// Arguments of `indexer decode`.
#[derive(Clone, Debug, Args)]
pub struct DecodeArgs {
    /// The transaction; with --receipt, which one of a block's
    #[arg(long, value_name = "HASH", required_unless_present = "receipt")]
    pub tx: Option<B256>,
    /// The chain; a file may name it
    #[arg(long, value_name = "CAIP2", required_unless_present = "receipt")]
    pub chain: Option<ChainId>,
    /// Read from this endpoint instead of the configuration's (repeatable)
    #[arg(long = "rpc", value_name = "URL", value_parser = EndpointUrlParser)]
    pub endpoints: Vec<EndpointUrl>,
    /// Read the transaction from this file
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub async fn execute(args: &DecodeArgs, context: &Context) -> Result<(), Failure> {
    let found = match (&args.receipt, args.tx, args.chain) {
        (Some(path), tx, chain) => {
            let mut found = file::read(path, tx, chain)?;
            if !args.endpoints.is_empty() {
                let pool = connect(args, found.span.chain, context).await?;
                complete(&pool, &mut found).await?;
            }
            found
        }
        (None, Some(tx), Some(chain)) => fetch(args, tx, chain, context).await?,
        (None, _, _) => {
            let message = "name a transaction with --tx and --chain, or a file with --receipt";
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    let facts = decoders::decode(&found.span);
    let report = report::Report::of(&found.span, &facts, found.tx_hash);
    if args.json {
        context.writer.json(&report.json())
    } else {
        report.print(context.writer)
    }
}

/// Reads the whole block of the transaction, checked as any other block is: a decoder may look at what came before.
async fn fetch(args: &DecodeArgs, tx_hash: B256, chain: ChainId, context: &Context) -> Result<Found, Failure> {
    let pool = connect(args, chain, context).await?;
    let block = pool.block_of(tx_hash).await.map_err(Error::from)?;
    let Some(block) = block else {
        let message =
            format!("no endpoint of {chain} knows a mined transaction {tx_hash}: check the hash and the chain");
        return Err(Failure::new(Exit::Endpoint, message));
    };
    let span = pool.block_span(block, &Filter::default(), Proof::Receipts).await;
    let mut found = Found {
        span: span.map_err(Error::from)?,
        tx_hash,
    };
    complete(&pool, &mut found).await?;
    Ok(found)
}

async fn connect(args: &DecodeArgs, chain: ChainId, context: &Context) -> Result<Pool, Failure> {
    let configured = context
        .config
        .chains
        .iter()
        .find(|configured| configured.caip2 == chain);
    let endpoints = if args.endpoints.is_empty() {
        let listed = configured.map(|configured| configured.endpoints.iter().map(|endpoint| endpoint.url.clone()));
        listed.into_iter().flatten().collect()
    } else {
        args.endpoints.clone()
    };
    if endpoints.is_empty() {
        let message = format!("the configuration names no endpoint of {chain}: give one with --rpc URL");
        return Err(Failure::new(Exit::Endpoint, message));
    }
    let settings = assembly::listed(&endpoints)?;
    let pool = Pool::connect(chain, settings, PoolOptions::of(chain), context.cancel.clone());
    Ok(pool.await.map_err(Error::from)?)
}

/// Adds what the transaction's decoding wants beside its logs, and the transaction itself in any case.
async fn complete(pool: &Pool, found: &mut Found) -> Result<(), Failure> {
    let whole = found.span.logs.clone();
    // Of the other transactions of the block nothing is wanted.
    found.span.logs.retain(|log| log.tx_hash == found.tx_hash);
    let completed = pipeline::complete(pool, &mut found.span).await;
    found.span.logs = whole;
    completed?;
    if !found.span.context.envelopes.contains_key(&found.tx_hash) {
        let own = pool.envelopes(&[found.tx_hash]).await.map_err(Error::from)?;
        found.span.context.envelopes.extend(own);
    }
    Ok(())
}
