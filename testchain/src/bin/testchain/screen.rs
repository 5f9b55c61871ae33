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

    /// Writes a line and shows it at once. A reader that went away (`| head -1`) is no reason to stop.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}

/// Writes why the program ends to standard error; where that is closed, it is lost.
pub(crate) fn error(text: impl Display) {
    drop(writeln!(io::stderr(), "error: {text}"));
}
