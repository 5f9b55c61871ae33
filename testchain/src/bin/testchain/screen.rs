//! The one place that writes to the terminal.

use std::fmt::Display;
use std::io::{self, Stdout, Write};

/// Standard output, line by line.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
}

impl Screen {
    pub(crate) fn stdout() -> Self {
        Self { out: io::stdout() }
    }

    /// Writes a line and shows it at once.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }
}
