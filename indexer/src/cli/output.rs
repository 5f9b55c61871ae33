//! The one place that writes to standard output and standard error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::log_writer::last_words;
use crate::error::{Exit, Failure};

/// Writes a command's result to standard output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer;

impl Writer {
    /// One line of text.
    pub fn line(self, text: impl Display) -> Result<(), Failure> {
        write(format_args!("{text}\n"))
    }

    /// A JSON document, indented.
    pub fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Exit::Internal, format!("failed to write JSON: {error}")))?;
        self.line(text)
    }

    /// Rows under a header, aligned, without lines.
    pub fn table(self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header.iter().copied());
        table.add_rows(rows);
        let text = table.trim_fmt();
        self.line(text)
    }
}

/// A cell that may be empty.
pub(super) fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn write(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_fmt(text)
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            // As when a pipe's reader is done: end like a program the signal would have ended.
            ErrorKind::BrokenPipe => Failure::new(Exit::Interrupted, "standard output was closed"),
            _ => Failure::new(Exit::Internal, format!("failed to write to standard output: {error}")),
        })
}

/// Writes the failure's one line to standard error and turns it into the exit code.
pub fn report(failure: &Failure) -> ExitCode {
    let line = failure.message.replace('\n', " ");
    last_words(format!("error: {line}\n"));
    ExitCode::from(failure.exit as u8)
}
