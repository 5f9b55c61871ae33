//! What is printed of a transaction, for people and as JSON.

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Call, Envelope, Span};
use decoders::explain::{self, Explanation};
use decoders::fact::{Closing, Facts, Nonces, Order, Reach, Sale, Transfer};
use serde_json::{Value, json};

use crate::cli::output::Writer;
use crate::error::Failure;

/// One transaction as decoders see it.
pub(super) struct Report<'a> {
    span: &'a Span,
    tx_hash: B256,
    transfers: Vec<&'a Transfer>,
    sales: Vec<&'a Sale>,
    orders: Vec<&'a Order>,
    closings: Vec<&'a Closing>,
    faults: Vec<Vec<String>>,
    explanation: Explanation,
    /// Questions to contracts that were not asked.
    unasked: Vec<Call>,
}

impl<'a> Report<'a> {
    pub(super) fn of(span: &'a Span, facts: &'a Facts, tx_hash: B256) -> Self {
        let faults = facts.faults.iter().filter(|fault| fault.tx_hash == tx_hash);
        let mut own = span.clone();
        own.logs.retain(|log| log.tx_hash == tx_hash);
        Report {
            span,
            tx_hash,
            transfers: facts.transfers.iter().filter(|fact| fact.tx_hash == tx_hash).collect(),
            sales: facts.sales.iter().filter(|fact| fact.tx_hash == tx_hash).collect(),
            orders: facts.orders.iter().filter(|fact| fact.tx_hash == tx_hash).collect(),
            closings: facts.closings.iter().filter(|fact| fact.tx_hash == tx_hash).collect(),
            faults: faults
                .map(|fault| {
                    vec![
                        fault.log_index.to_string(),
                        fault.source.to_owned(),
                        fault.reason.to_owned(),
                    ]
                })
                .collect(),
            explanation: explain::explain(span, facts, tx_hash),
            unasked: decoders::wants(&own).calls,
        }
    }

    fn envelope(&self) -> Option<&Envelope> {
        self.span.context.envelopes.get(&self.tx_hash)
    }

    pub(super) fn print(&self, writer: Writer) -> Result<(), Failure> {
        let (block, chain) = (self.span.range.start(), self.span.chain);
        writer.line(format_args!("transaction {} in block {block} of {chain}", self.tx_hash))?;
        match self.envelope() {
            Some(Envelope { from, to, value, input }) => writer.line(format_args!(
                "from {} to {}, value {value}, {} bytes of calldata",
                hex(*from),
                to.map_or_else(|| "a new contract".to_owned(), hex),
                input.len()
            ))?,
            None => writer.line("its sender and calldata are not at hand")?,
        }
        if !self.unasked.is_empty() {
            let count = self.unasked.len();
            writer.line(format_args!(
                "{count} questions to contracts were not answered: with --rpc they are asked"
            ))?;
        }
        let logs = self.explanation.logs.iter();
        let rows = logs.map(|seen| {
            let event = seen.event.unwrap_or("-").to_owned();
            let decoders = if seen.decoders.is_empty() {
                "-".to_owned()
            } else {
                seen.decoders.join(", ")
            };
            vec![seen.log_index.to_string(), hex(seen.contract), event, decoders]
        });
        section(writer, "logs", &["log", "contract", "event", "decoder"], rows.collect())?;
        let header = ["log", "kind", "contract", "token", "quantity", "from", "to"];
        section(
            writer,
            "transfers",
            &header,
            self.transfers.iter().map(|fact| transfer_row(fact)).collect(),
        )?;
        for (sale, parts) in self.sales.iter().zip(&self.explanation.sales) {
            let title = format!(
                "sale at log {}, item {} (decoder {})",
                sale.log_index, sale.item, sale.source
            );
            let rows = parts
                .iter()
                .map(|part| vec![part.field.to_owned(), part.value.clone(), part.because.clone()]);
            section(
                writer,
                &title,
                &["part", "value", "where it can be seen"],
                rows.collect(),
            )?;
        }
        let header = [
            "log", "kind", "market", "maker", "contract", "token", "quantity", "price", "currency", "key",
        ];
        section(
            writer,
            "orders",
            &header,
            self.orders.iter().map(|fact| order_row(fact)).collect(),
        )?;
        let header = ["log", "reason", "market", "reaches", "quantity"];
        section(
            writer,
            "ends of orders",
            &header,
            self.closings.iter().map(|fact| closing_row(fact)).collect(),
        )?;
        section(writer, "faults", &["log", "decoder", "reason"], self.faults.clone())
    }

    pub(super) fn json(&self) -> Value {
        let transaction = self.envelope().map(|envelope| {
            json!({
                "from": envelope.from, "to": envelope.to, "value": envelope.value.to_string(),
                "input": envelope.input,
            })
        });
        let logs = self.explanation.logs.iter().map(|seen| {
            json!({
                "log_index": seen.log_index, "contract": seen.contract, "event": seen.event, "decoders": seen.decoders,
            })
        });
        let sales = self.sales.iter().zip(&self.explanation.sales);
        let sales = sales.map(|(sale, parts)| {
            let parts = parts
                .iter()
                .map(|part| json!({"part": part.field, "value": part.value, "because": part.because}));
            let mut told = sale_json(sale);
            told["parts"] = parts.collect();
            told
        });
        let faults = self
            .faults
            .iter()
            .map(|fault| json!({"log_index": fault[0], "decoder": fault[1], "reason": fault[2]}));
        let unasked = self
            .unasked
            .iter()
            .map(|call| json!({"to": call.to, "input": call.input, "at": call.at}));
        json!({
            "chain": self.span.chain,
            "block_number": self.span.range.start(),
            "tx_hash": self.tx_hash,
            "transaction": transaction,
            "logs": logs.collect::<Value>(),
            "transfers": self.transfers.iter().map(|fact| transfer_json(fact)).collect::<Value>(),
            "sales": sales.collect::<Value>(),
            "orders": self.orders.iter().map(|fact| order_json(fact)).collect::<Value>(),
            "closings": self.closings.iter().map(|fact| closing_json(fact)).collect::<Value>(),
            "faults": faults.collect::<Value>(),
            "unanswered": unasked.collect::<Value>(),
        })
    }
}

/// A table under its title; nothing where it would be empty.
fn section(writer: Writer, title: &str, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    writer.line(format_args!("\n{title}"))?;
    writer.table(header, rows)
}

fn hex(address: Address) -> String {
    format!("{address:#x}")
}

fn number(number: Option<U256>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn currency(currency: Address) -> String {
    if currency.is_zero() {
        "native".to_owned()
    } else {
        hex(currency)
    }
}

fn transfer_row(fact: &Transfer) -> Vec<String> {
    vec![
        fact.log_index.to_string(),
        fact.kind.as_str().to_owned(),
        hex(fact.contract),
        fact.token.to_string(),
        fact.quantity.to_string(),
        hex(fact.from),
        hex(fact.to),
    ]
}

fn transfer_json(fact: &Transfer) -> Value {
    json!({
        "log_index": fact.log_index, "item": fact.item, "decoder": fact.source, "kind": fact.kind.as_str(),
        "standard": fact.standard.as_str(), "contract": fact.contract, "token": fact.token.to_string(),
        "quantity": fact.quantity.to_string(), "from": fact.from, "to": fact.to,
    })
}

fn sale_json(fact: &Sale) -> Value {
    let fees = fact.fees.iter();
    let fees = fees
        .map(|fee| json!({"recipient": fee.recipient, "amount": fee.amount.to_string(), "kind": fee.kind.as_str()}));
    json!({
        "log_index": fact.log_index, "item": fact.item, "decoder": fact.source, "marketplace": fact.marketplace,
        "version": fact.version, "side": fact.side.as_str(), "contract": fact.contract,
        "token": fact.token.map(|token| token.to_string()), "standard": fact.standard.as_str(),
        "quantity": fact.quantity.to_string(), "seller": fact.seller, "buyer": fact.buyer, "maker": fact.maker,
        "taker_raw": fact.taker_raw, "aggregator": fact.aggregator, "currency": fact.currency,
        "price": fact.price.map(|price| price.to_string()),
        "seller_net": fact.seller_net.map(|net| net.to_string()), "fees": fees.collect::<Value>(),
        "price_allocation": fact.allocation.as_str(), "bundle_size": fact.bundle_size, "order_hash": fact.order_hash,
        "flags": fact.flags.to_vec(),
    })
}

fn order_row(fact: &Order) -> Vec<String> {
    vec![
        fact.log_index.to_string(),
        fact.kind.as_str().to_owned(),
        format!("{} {}", fact.marketplace, fact.version).trim_end().to_owned(),
        hex(fact.maker),
        hex(fact.contract),
        number(fact.token),
        fact.quantity.to_string(),
        number(fact.price),
        currency(fact.currency),
        fact.key.to_string(),
    ]
}

fn order_json(fact: &Order) -> Value {
    json!({
        "log_index": fact.log_index, "item": fact.item, "decoder": fact.source, "kind": fact.kind.as_str(),
        "marketplace": fact.marketplace, "version": fact.version, "market": fact.market, "key": fact.key,
        "maker": fact.maker, "contract": fact.contract, "token": fact.token.map(|token| token.to_string()),
        "quantity": fact.quantity.to_string(), "currency": fact.currency,
        "price": fact.price.map(|price| price.to_string()), "starts_at": fact.starts_at,
        "expires_at": fact.expires_at, "taker": fact.taker, "nonce": fact.nonce.map(|nonce| nonce.to_string()),
        "escrowed": fact.escrowed, "auction": fact.auction,
    })
}

/// Which orders a closing reaches, in words.
fn reach(reach: &Reach) -> String {
    match reach {
        Reach::Key(key) => format!("order {key}"),
        Reach::Maker { maker, nonces } => {
            let which = match nonces {
                Nonces::All => "all orders".to_owned(),
                Nonces::Below(nonce) => format!("orders with a nonce below {nonce}"),
                Nonces::Exactly(nonce) => format!("orders with nonce {nonce}"),
            };
            format!("{which} of {}", hex(*maker))
        }
    }
}

fn closing_row(fact: &Closing) -> Vec<String> {
    vec![
        fact.log_index.to_string(),
        fact.reason.as_str().to_owned(),
        fact.marketplace.to_owned(),
        reach(&fact.reach),
        number(fact.quantity),
    ]
}

fn closing_json(fact: &Closing) -> Value {
    json!({
        "log_index": fact.log_index, "item": fact.item, "decoder": fact.source, "reason": fact.reason.as_str(),
        "marketplace": fact.marketplace, "market": fact.market, "reaches": reach(&fact.reach),
        "quantity": fact.quantity.map(|quantity| quantity.to_string()),
    })
}
