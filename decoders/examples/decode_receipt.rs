//! The decoders as a library: what one transaction did, from its receipt as any node answers it.
//!
//! `cargo run -p decoders --example decode_receipt -- eip155:31337 decoders/examples/sale.receipt.json decoders/examples/sale.transaction.json`
//!
//! The files hold the results of `eth_getTransactionReceipt` and `eth_getTransactionByHash`, such as `cast receipt --json` and
//! `cast tx --json` print. Without the transaction a sale is decoded as far as its logs show; of a buyer behind a router they may
//! show the router alone.

use std::error::Error;
use std::io::Write;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use decoders::block::{Block, ChainId, Context, Envelope, Log, Proof, Span};
use decoders::{decode, wants};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_number: U64,
    block_hash: B256,
    transaction_hash: B256,
    transaction_index: U64,
    logs: Vec<ReceiptLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    log_index: U64,
}

#[derive(Deserialize)]
struct Transaction {
    from: Address,
    to: Option<Address>,
    value: U256,
    input: Bytes,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chain, receipt, transaction) = match arguments.as_slice() {
        [chain, receipt] => (chain, receipt, None),
        [chain, receipt, transaction] => (chain, receipt, Some(transaction)),
        _ => return Err("usage: decode_receipt CHAIN RECEIPT.json [TRANSACTION.json]".into()),
    };
    let mut span = span(chain.parse()?, read(receipt)?)?;
    // Which transactions decoding looks into: those that may hold a sale.
    for tx_hash in wants(&span).envelopes {
        if let Some(transaction) = transaction {
            span.context.envelopes.insert(tx_hash, envelope(read(transaction)?));
        }
    }
    print(&span)
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T, Box<dyn Error>> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

/// A span of one block that holds one transaction. A receipt does not name the time, and decoding does not need it.
fn span(chain: ChainId, receipt: Receipt) -> Result<Span, Box<dyn Error>> {
    let number = receipt.block_number.to();
    let tx_index = u32::try_from(receipt.transaction_index.to::<u64>())?;
    let logs = receipt.logs.into_iter().map(|log| {
        Ok(Log {
            block_number: number,
            log_index: u32::try_from(log.log_index.to::<u64>())?,
            tx_index,
            tx_hash: receipt.transaction_hash,
            address: log.address,
            topics: log.topics.into(),
            data: log.data,
        })
    });
    Ok(Span {
        chain,
        range: number..=number,
        parent_hash: None,
        blocks: vec![Block {
            number,
            hash: receipt.block_hash,
            time: 0,
        }],
        logs: logs.collect::<Result<_, Box<dyn Error>>>()?,
        proof: Proof::Chained,
        context: Context::default(),
    })
}

fn envelope(transaction: Transaction) -> Envelope {
    Envelope {
        from: transaction.from,
        to: transaction.to,
        value: transaction.value,
        input: transaction.input,
    }
}

fn print(span: &Span) -> Result<(), Box<dyn Error>> {
    let facts = decode(span);
    let mut out = std::io::stdout().lock();
    for moved in &facts.transfers {
        let (kind, standard) = (moved.kind().as_str(), moved.standard.as_str());
        writeln!(
            out,
            "{kind} of {} {standard} {:#x} {}",
            moved.quantity, moved.contract, moved.token
        )?;
        writeln!(out, "  from {:#x} to {:#x}", moved.from, moved.to)?;
    }
    for sale in &facts.sales {
        let token = sale
            .token
            .map_or_else(|| "unknown".to_owned(), |token| token.to_string());
        writeln!(
            out,
            "sale of {} {:#x} {token} on {}",
            sale.quantity, sale.contract, sale.marketplace
        )?;
        writeln!(out, "  seller {:#x} buyer {:#x}", sale.seller, sale.buyer)?;
        if let Some(price) = sale.price {
            writeln!(out, "  price {price} of currency {:#x}", sale.currency)?;
        }
        for fee in &sale.fees {
            writeln!(
                out,
                "  {} fee {} to {:#x}",
                fee.kind.as_str(),
                fee.amount,
                fee.recipient
            )?;
        }
        if !sale.flags.is_empty() {
            writeln!(out, "  flags {}", sale.flags.join(", "))?;
        }
    }
    for fault in &facts.faults {
        writeln!(out, "fault at log {}: {}", fault.log_index, fault.reason)?;
    }
    Ok(())
}
