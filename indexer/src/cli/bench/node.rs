//! The endpoint of a benchmark: this program again, in a process of its own, so that neither its memory nor its time is counted.

use std::fmt::Display;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use testchain::faults::{Faults, Settings as Behaviour};
use testchain::ledger::{Finality, Ledger};
use testchain::limits::Limits;
use testchain::server::Server;
use testchain::simulation::{Settings, Simulation};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use super::super::context::Context;
use crate::error::{Exit, Failure};

/// What every simulated chain, and every fault of its endpoint, is drawn from.
pub(super) const SEED: u64 = 1;

/// The history and how its endpoint behaves.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Blocks of the history
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub blocks: u64,
    /// Trades per block on the markets of Ethereum, each a transaction beside the usual logs
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub trades: u32,
    /// Time added to every answer of the endpoint
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency_ms: u64,
    /// Share of requests that the endpoint answers with an error, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub error_rate: f64,
    /// Blocks that one request for logs may ask for [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_range: Option<u64>,
}

impl NodeArgs {
    /// What the simulated chain is made from. Markets stand where they stand on Ethereum.
    pub(super) fn traffic(&self) -> Settings {
        let usual = Settings::benchmark(SEED);
        Settings {
            trades_per_block: self.trades,
            chain_id: if self.trades > 0 { 1 } else { usual.chain_id },
            ..usual
        }
    }

    /// The same as arguments.
    pub(super) fn words(&self) -> Vec<String> {
        let NodeArgs {
            blocks,
            trades,
            latency_ms,
            error_rate,
            max_range,
        } = self;
        let mut words = vec![
            format!("--blocks={blocks}"),
            format!("--trades={trades}"),
            format!("--latency-ms={latency_ms}"),
            format!("--error-rate={error_rate}"),
        ];
        words.extend(max_range.map(|blocks| format!("--max-range={blocks}")));
        words
    }

    fn behaviour(&self) -> Behaviour {
        Behaviour {
            latency: Duration::from_millis(self.latency_ms),
            error_rate: self.error_rate,
            limits: Limits {
                block_range: self.max_range,
                ..Limits::default()
            },
            ..Behaviour::default()
        }
    }
}

/// What an endpoint was asked and what it sent.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) requests: u64,
    pub(super) calls: u64,
    pub(super) bytes: u64,
}

/// Serves the blocks, all final; prints where on standard output, and what it served for every line on standard input.
pub(super) async fn serve_until_stopped(args: &NodeArgs, context: &Context) -> Result<(), Failure> {
    let mut simulation = Simulation::new(args.traffic());
    let chain = simulation.settings().chain_id;
    let all_final = Finality {
        safe_depth: 0,
        finalized_depth: 0,
    };
    let ledger = Ledger::new(chain, simulation.blocks(args.blocks), all_final);
    drop(simulation);
    let faults = Faults::with(SEED, args.behaviour());
    let server = serve(ledger, faults).await?;
    context.writer.line(server.http_url())?;
    let mut questions = questions();
    loop {
        tokio::select! {
            () = context.cancel.cancelled() => break,
            question = questions.recv() => match question {
                Some(()) => context.writer.line(report(&server)?)?,
                // The process that started it is gone.
                None => break,
            },
        }
    }
    server.stop().await;
    Ok(())
}

/// One for every line on standard input, which is waited for by a thread of its own: no other way to read it can be left.
fn questions() -> mpsc::UnboundedReceiver<()> {
    let (asked, questions) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || asked.send(()).is_err() {
                break;
            }
        }
    });
    questions
}

fn report(server: &Server) -> Result<String, Failure> {
    let counts = server.counts();
    let served = Served {
        requests: counts.requests,
        calls: counts.calls.values().sum(),
        bytes: counts.bytes_out,
    };
    serde_json::to_string(&served).map_err(|error| failed(&error))
}

/// Serves `ledger` on a free port of loopback.
pub(super) async fn serve(ledger: Ledger, faults: Arc<Faults>) -> Result<Server, Failure> {
    let served = testchain::server::serve(ledger, faults, SocketAddr::from(([127, 0, 0, 1], 0))).await;
    served.map_err(|error| Failure::new(Exit::Internal, format!("failed to serve the simulated chain: {error}")))
}

/// Faultless, as the seed of every chain here draws it.
pub(super) fn faultless() -> Arc<Faults> {
    Faults::new(SEED)
}

/// An endpoint in a process of its own; it ends with this one.
pub(super) struct Node {
    pub(super) url: String,
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Node {
    pub(super) async fn spawn(args: &NodeArgs) -> Result<Node, Failure> {
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut child = Command::new(program)
            .args(["bench", "endpoint"])
            .args(args.words())
            // Its log would fill a pipe that is only read when it fails.
            .env("RUST_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let (Some(questions), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"it has no input or output"));
        };
        let mut answers = BufReader::new(stdout).lines();
        match answers.next_line().await.map_err(|error| failed(&error))? {
            Some(url) => Ok(Node {
                url,
                child,
                questions,
                answers,
            }),
            None => Err(failed(&last_words(&mut child).await)),
        }
    }

    /// What it served so far.
    pub(super) async fn served(&mut self) -> Result<Served, Failure> {
        self.questions.write_all(b"\n").await.map_err(|error| failed(&error))?;
        let answer = self.answers.next_line().await.map_err(|error| failed(&error))?;
        serde_json::from_str(&answer.unwrap_or_default()).map_err(|error| failed(&error))
    }

    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let killed = self.child.kill().await;
        killed.map_err(|error| Failure::new(Exit::Internal, format!("failed to stop the endpoint: {error}")))
    }
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 to 1, such as 0.02".to_owned())
}

fn failed(error: &dyn Display) -> Failure {
    Failure::new(Exit::Internal, format!("the endpoint of the benchmark failed: {error}"))
}

/// The last line of a child that ended at once.
pub(super) async fn last_words(child: &mut Child) -> String {
    let mut stderr_text = String::new();
    if let Some(stderr) = &mut child.stderr {
        // What cannot be read is missing from the message, which stands without it.
        stderr.read_to_string(&mut stderr_text).await.ok();
    }
    match stderr_text.lines().last() {
        Some(line) => format!("it ended at once: {}", line.trim_start_matches("error: ")),
        None => "it ended at once".to_owned(),
    }
}
