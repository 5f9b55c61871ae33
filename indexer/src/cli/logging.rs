//! Where log lines go: standard error, human or JSON. Standard output belongs to results.

use std::fmt::Display;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::log_writer::LogWriter;
use super::progress::Terminal;
use crate::config::{Environment, LogConfig, LogFormat};
use crate::error::{Exit, Failure};

/// What libraries log and no operator needs: that `if not exists` found something, the body of every message no queue asks for,
/// the whole text of a statement that took long (metrics show that), and that a task waited for the embedded database's one connection.
const QUIET: &str = "sqlx::postgres::notice=warn,lapin=error,sqlx::query=error,sqlx::pool::acquire=error";

/// Whether log lines are coloured: on a terminal that can show it, unless the user wants otherwise (no-color.org).
fn is_coloured(is_terminal: bool, environment: Environment<'_>) -> bool {
    let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    is_terminal && !is_set("NO_COLOR") && environment("TERM").as_deref() != Some("dumb")
}

/// Starts logging. `RUST_LOG` stands above `log.level`. Flush what it returns before the process ends.
pub fn start(config: &LogConfig, environment: Environment<'_>, terminal: &Terminal) -> Result<LogWriter, Failure> {
    let directives = environment("RUST_LOG")
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| config.level.clone());
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{directives}"))
        .map_err(|error| Failure::new(Exit::Config, format!("environment variable RUST_LOG: {error}")))?;
    let failed = |error: &dyn Display| Failure::new(Exit::Internal, format!("failed to start logging: {error}"));
    let log = LogWriter::start(terminal.log()).map_err(|error| failed(&error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log.clone())
        // It would print to the very place that does not take a line, and panic.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE);
    let started = match config.format {
        LogFormat::Human => builder
            .with_target(false)
            .with_ansi(is_coloured(std::io::stderr().is_terminal(), environment))
            .try_init(),
        LogFormat::Json => builder.json().with_current_span(true).with_span_list(true).try_init(),
    };
    started.map_err(|error| failed(&error))?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::is_coloured;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let with =
            |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
        assert!(is_coloured(true, &with("TERM", "xterm")));
        assert!(is_coloured(true, &with("NO_COLOR", "")));
        assert!(!is_coloured(true, &with("NO_COLOR", "1")));
        assert!(!is_coloured(true, &with("TERM", "dumb")));
        assert!(!is_coloured(false, &with("TERM", "xterm")));
    }
}
