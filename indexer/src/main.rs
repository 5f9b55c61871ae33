//! Entry point: a table of contents of what a start does, in order.

use std::process::ExitCode;

use indexer::cli;
use indexer::cli::progress::Terminal;
use indexer::error::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => cli::output::report(&failure),
    }
}

fn start() -> Result<(), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let Some(invocation) = cli::parse(std::env::args_os())? else {
        return Ok(());
    };
    let config = invocation.config(&environment)?;
    let terminal = Terminal::default();
    let log = cli::logging::start(&config.log, &environment, &terminal)?;
    let outcome = cli::execute(&invocation.command, config, terminal);
    log.flush();
    outcome
}
