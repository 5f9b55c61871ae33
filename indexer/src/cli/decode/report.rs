//! What is printed of a transaction, for people and as JSON.

use alloy_primitives::{Address, B256};
use decoders::block::{Call, Envelope, Span};
use decoders::explain::{self, Explanation, Part};
use decoders::fact::{Fact, Facts, Kind};
use serde_json::{Map, Value, json};

use crate::cli::output::Writer;
use crate::error::Failure;

/// One transaction as decoders see it.
pub(super) struct Report<'a> {
    span: &'a Span,
    tx_hash: B256,
    /// Its facts, kind by kind.
    facts: Vec<(&'static Kind, Vec<&'a dyn Fact>)>,
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
        let mut by_kind: Vec<_> = facts.by_kind().collect();
        for (_, facts) in &mut by_kind {
            facts.retain(|fact| fact.place().tx_hash == tx_hash);
        }
        Report {
            span,
            tx_hash,
            facts: by_kind,
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
            None => writer.line("its sender and calldata are not available")?,
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
        for (kind, facts) in &self.facts {
            match self.explanation.of_kind(kind) {
                Some(explained) => facts
                    .iter()
                    .zip(explained)
                    .try_for_each(|(fact, parts)| explained_section(writer, *fact, parts))?,
                None => fact_section(writer, kind, facts)?,
            }
        }
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
        let faults = self
            .faults
            .iter()
            .map(|fault| json!({"log_index": fault[0], "decoder": fault[1], "reason": fault[2]}));
        let unasked = self
            .unasked
            .iter()
            .map(|call| json!({"to": call.to, "input": call.input, "at": call.at}));
        let mut report = Map::new();
        let mut add = |name: &str, value: Value| report.insert(name.to_owned(), value);
        add("chain", json!(self.span.chain));
        add("block_number", json!(self.span.range.start()));
        add("tx_hash", json!(self.tx_hash));
        add("transaction", json!(transaction));
        add("logs", logs.collect());
        for (kind, facts) in &self.facts {
            add(kind.list, self.facts_json(kind, facts));
        }
        add("faults", faults.collect());
        add("unanswered", unasked.collect());
        Value::Object(report)
    }

    /// The facts of one kind, with their parts where these are explained.
    fn facts_json(&self, kind: &Kind, facts: &[&dyn Fact]) -> Value {
        let mut shown: Vec<Value> = facts.iter().map(|fact| fact.json()).collect();
        for (fact, parts) in shown.iter_mut().zip(self.explanation.of_kind(kind).unwrap_or_default()) {
            let parts = parts
                .iter()
                .map(|part| json!({"part": part.field, "value": part.value, "because": part.because}));
            fact["parts"] = parts.collect();
        }
        Value::Array(shown)
    }
}

/// The facts of one kind, a line for each.
fn fact_section(writer: Writer, kind: &Kind, facts: &[&dyn Fact]) -> Result<(), Failure> {
    let cells: Vec<Vec<(&str, String)>> = facts.iter().map(|fact| fact.cells()).collect();
    let header: Vec<&str> = cells
        .first()
        .into_iter()
        .flatten()
        .map(|(heading, _)| *heading)
        .collect();
    let rows = cells
        .into_iter()
        .map(|row| row.into_iter().map(|(_, cell)| cell).collect());
    section(writer, kind.title, &header, rows.collect())
}

/// One fact, a line for each of its parts.
fn explained_section(writer: Writer, fact: &dyn Fact, parts: &[Part]) -> Result<(), Failure> {
    let (name, place) = (fact.name().unwrap_or("fact"), fact.place());
    let title = format!(
        "{name} at log {}, item {} (decoder {})",
        place.log_index, place.item, place.source
    );
    let rows = parts
        .iter()
        .map(|part| vec![part.field.to_owned(), part.value.clone(), part.because.clone()]);
    let header = ["part", "value", "where it can be seen"];
    section(writer, &title, &header, rows.collect())
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
