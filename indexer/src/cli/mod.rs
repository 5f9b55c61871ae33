//! The command line: what every command takes, and where its body is.

pub mod api;
pub mod arguments;
pub mod backfill;
pub mod bench;
pub mod bind_queue;
pub mod check_config;
pub mod context;
pub mod decode;
pub mod demo;
pub mod faults;
mod interrupt;
mod log_writer;
pub mod logging;
pub mod maintain;
pub mod migrate;
pub mod output;
pub mod progress;
pub mod registry;
pub mod replay;
pub mod run;
pub mod status;
mod summary;
pub mod tail;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Id, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment, LogFormat};
use crate::error::{Exit, Failure};
use context::Context;
use interrupt::Signals;
use output::Writer;
use progress::Terminal;

/// The configuration read when `--config` names none.
const DEFAULT_CONFIG: &str = "config.toml";

/// Follows EVM chains, keeps who owns which NFT, and publishes it to the rest of the system.
#[derive(Debug, Parser)]
#[command(name = "indexer", version, arg_required_else_help = true, after_long_help = GENERAL_HELP)]
pub struct Invocation {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// How log lines are written, instead of what the configuration has
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Global options")]
    pub log_format: Option<LogFormat>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const GENERAL_HELP: &str = "\
Environment:
  DATABASE_URL  PostgreSQL, instead of database.url
  MONGODB_URL   MongoDB, instead of archive.url
  AMQP_URL      RabbitMQ, instead of broker.url
  RUST_LOG      log filter, instead of log.level

Exit codes: 0 done, 1 internal, 2 usage, 3 configuration, 4 PostgreSQL, 5 MongoDB, 6 RabbitMQ,
  7 endpoint, 8 wrong chain, 9 block range, 10 registry, 11 address taken, 130 interrupted.
  See docs/RUNBOOK.md.

Example:
  indexer demo --once";

/// One command each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow the chains of the registry until stopped
    #[command(after_long_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Index a range of final blocks
    #[command(after_long_help = backfill::EXAMPLES)]
    Backfill(backfill::BackfillArgs),
    /// Show where every chain stands
    #[command(after_long_help = status::EXAMPLES)]
    Status(status::StatusArgs),
    /// Rebuild a range of blocks from the archive, without an endpoint
    #[command(after_long_help = replay::EXAMPLES)]
    Replay(replay::ReplayArgs),
    /// Show what decoders see in one transaction, and why
    #[command(after_long_help = decode::EXAMPLES)]
    Decode(decode::DecodeArgs),
    /// Bring the database schema up to date
    #[command(after_long_help = migrate::EXAMPLES)]
    Migrate(migrate::MigrateArgs),
    /// Delete what is past its time, and make partitions ahead of it
    #[command(after_long_help = maintain::EXAMPLES)]
    Maintain(maintain::MaintainArgs),
    /// Check the configuration and show what it amounts to
    #[command(after_long_help = check_config::EXAMPLES)]
    CheckConfig(check_config::CheckConfigArgs),
    /// List and edit chains, endpoints, contracts and ABIs
    #[command(after_long_help = registry::EXAMPLES)]
    Registry(registry::RegistryArgs),
    /// List logs that could not be decoded, and try them again
    #[command(after_long_help = faults::EXAMPLES)]
    Faults(faults::FaultsArgs),
    /// Index a recording of a real chain into an embedded database
    #[command(after_long_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Print messages as they are published
    #[command(after_long_help = tail::EXAMPLES)]
    Tail(tail::TailArgs),
    /// Declare a consumer's queue at the broker and bind it to the exchange
    #[command(after_long_help = bind_queue::EXAMPLES)]
    BindQueue(bind_queue::BindQueueArgs),
    /// Measure the whole way on a simulated chain
    #[command(after_long_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
    /// Serve the read-only API, health and metrics without indexing
    #[command(after_long_help = api::EXAMPLES)]
    Api(api::ApiArgs),
}

/// The command line. What every command takes is explained by the first page of help alone; the others name it in one line.
pub fn command() -> clap::Command {
    let root = Invocation::command();
    let globals: Vec<Arg> = root
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .cloned()
        .collect();
    let names: Vec<String> = globals
        .iter()
        .filter_map(Arg::get_long)
        .map(|name| format!("--{name}"))
        .collect();
    let globals: Vec<Arg> = globals.into_iter().map(|argument| argument.hide(true)).collect();
    let note = format!("Also {}: see indexer --help", names.join(", "));
    root.mut_subcommands(|subcommand| with_hidden(subcommand, &globals, &note))
}

fn with_hidden(command: clap::Command, globals: &[Arg], note: &str) -> clap::Command {
    let text = command.get_after_long_help().map(ToString::to_string);
    let text = text.map_or_else(|| note.to_owned(), |text| format!("{text}\n\n{note}"));
    let command = command.args(globals).after_long_help(text);
    command.mut_subcommands(|subcommand| with_hidden(subcommand, globals, note))
}

/// Reads the command line; `None` when help or the version was asked for and shown.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Invocation>, Failure> {
    let mut command = command();
    let parsed = command.try_get_matches_from_mut(arguments).and_then(|matches| {
        if changes_nothing(&command, &matches) {
            let text = "nothing to change: give at least one of the options";
            return Err(command.error(ErrorKind::MissingRequiredArgument, text));
        }
        Invocation::from_arg_matches(&matches)
    });
    match parsed {
        Ok(invocation) => Ok(Some(invocation)),
        Err(error) if !error.use_stderr() => {
            error
                .print()
                .map_err(|error| Failure::new(Exit::Internal, format!("failed to write help: {error}")))?;
            Ok(None)
        }
        Err(error) => Err(usage(&error)),
    }
}

/// Whether this is a `set` that names a row and nothing to change in it. What names a row is what `remove` beside it takes.
fn changes_nothing(command: &clap::Command, matches: &ArgMatches) -> bool {
    let Some((name, given)) = matches.subcommand() else {
        return false;
    };
    let Some(subcommand) = command.find_subcommand(name) else {
        return false;
    };
    if name != "set" {
        return changes_nothing(subcommand, given);
    }
    let Some(remove) = command.find_subcommand("remove") else {
        return false;
    };
    let names_the_row = |id: &Id| remove.get_arguments().any(|argument| argument.get_id() == id);
    let mut changes = subcommand
        .get_arguments()
        .map(Arg::get_id)
        .filter(|id| !names_the_row(id));
    !changes.any(|id| given.value_source(id.as_str()) == Some(ValueSource::CommandLine))
}

/// Clap's paragraphs as one line.
fn usage(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Exit::Usage, "a command is missing: see indexer --help");
    }
    if let Some(advice) = advice(error) {
        let part = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
        let (value, argument) = (part(ContextKind::InvalidValue), part(ContextKind::InvalidArg));
        let line = format!("invalid value {value:?} for {argument}: {advice}: see --help");
        return Failure::new(Exit::Usage, line);
    }
    let text = error.render().to_string();
    let paragraphs = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let paragraphs: Vec<&str> = paragraphs.filter(|line| !line.is_empty()).collect();
    let line = paragraphs.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    Failure::new(Exit::Usage, format!("{line}: see --help"))
}

/// What to write instead of a value that a library's parser refused: their errors state what is wrong with a digit, not what is
/// expected.
fn advice(error: &clap::Error) -> Option<&'static str> {
    let source = std::error::Error::source(error)?;
    if source.is::<std::num::ParseIntError>() {
        return Some("write a whole number, such as 17000000");
    }
    if source.is::<url::ParseError>() {
        return Some("write a URL, such as https://etherscan.io");
    }
    if source.is::<alloy_primitives::hex::FromHexError>() {
        let argument = error.get(ContextKind::InvalidArg)?.to_string();
        return Some(if argument.contains("<HASH>") {
            "write 0x and 64 hexadecimal digits"
        } else {
            "write 0x and 40 hexadecimal digits"
        });
    }
    None
}

impl Command {
    /// Whether everything it needs may come with it: the demo brings its chain along, a decoded transaction its endpoint.
    fn brings_all(&self) -> bool {
        matches!(self, Command::Demo(_) | Command::Decode(_))
    }

    /// Whether it reads no configuration at all.
    fn goes_without_file(&self) -> bool {
        matches!(self, Command::Bench(args) if matches!(args.workload, bench::Workload::Endpoint { .. }))
    }
}

impl Invocation {
    /// The configuration this invocation runs under.
    pub fn config(&self, environment: Environment<'_>) -> Result<Config, Failure> {
        let default = Path::new(DEFAULT_CONFIG);
        let path = self.config.as_deref();
        let mut config =
            if self.command.goes_without_file() || path.is_none() && self.command.brings_all() && !default.exists() {
                let mut config = Config::default();
                config.override_from(environment)?;
                config
            } else {
                Config::load(path.unwrap_or(default), environment)?
            };
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
        Ok(config)
    }
}

/// Starts the runtime and runs `command` in it.
pub fn execute(command: &Command, config: Config, terminal: Terminal) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("failed to start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        let signals = Signals::watch()?;
        let context = Context {
            config,
            writer: Writer,
            terminal,
            cancel: CancellationToken::new(),
        };
        tokio::select! {
            outcome = Box::pin(dispatch(command, &context)) => outcome,
            failure = signals.second(context.cancel.clone()) => Err(failure),
        }
    });
    // After a second signal nothing is waited for.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::execute(args, context).await,
        Command::Backfill(args) => backfill::execute(args, context).await,
        Command::Status(args) => short(context, status::execute(args, context)).await,
        Command::Replay(args) => replay::execute(args, context).await,
        Command::Decode(args) => short(context, Box::pin(decode::execute(args, context))).await,
        Command::Migrate(args) => short(context, migrate::execute(args, context)).await,
        Command::Maintain(args) => maintain::execute(args, context).await,
        Command::CheckConfig(args) => short(context, check_config::execute(args, context)).await,
        Command::Registry(args) => short(context, registry::execute(args, context)).await,
        Command::Faults(args) => faults::execute(args, context).await,
        Command::Demo(args) => demo::execute(args, context).await,
        Command::Tail(args) => tail::execute(args, context).await,
        Command::BindQueue(args) => short(context, bind_queue::execute(args, context)).await,
        Command::Bench(args) => bench::execute(args, context).await,
        Command::Api(args) => api::execute(args, context).await,
    }
}

/// A command too short to look at the token: the first signal ends it.
async fn short(context: &Context, body: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        outcome = body => outcome,
        () = context.cancel.cancelled() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}
