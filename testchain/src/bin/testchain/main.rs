//! `testchain`: records real chains, serves recordings and simulated chains over JSON-RPC.

mod faults;
mod record;
mod screen;
mod serve;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use screen::Screen;

/// Chains to test against: recorded from a real node or simulated from a seed, served over JSON-RPC.
#[derive(Debug, Parser)]
#[command(name = "testchain", version, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(record::Record),
    Serve(serve::Serve),
    Simulate(simulate::Simulate),
    Inspect(record::Inspect),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes on one line, and without the backtrace that the environment may ask for.
            screen::error(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut screen = Screen::stdout();
    runtime.block_on(async {
        match arguments.command {
            Command::Record(record) => record.run(&mut screen).await,
            Command::Serve(serve) => serve.run(&mut screen).await,
            Command::Simulate(simulate) => simulate.run(&mut screen).await,
            Command::Inspect(inspect) => inspect.run(&mut screen),
        }
    })
}
