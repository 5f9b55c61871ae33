//! `indexer bench report`: every figure of docs/PERFORMANCE.md in one run, as the table that stands there.
//!
//! Each workload is a process of its own on databases of its own, so that none finds the memory or the caches of another.

use std::process::Stdio;

use clap::Args;
use decoders::block::Proof;
use serde::de::DeserializeOwned;
use sqlx::PgPool;
use tokio::process::Command;

use super::super::context::Context;
use super::super::output::cell;
use super::backfill::BackfillFigures;
use super::ceilings::{self, Ceiling};
use super::head::HeadFigures;
use super::node::{Node, NodeArgs};
use super::scratch::{Scratch, Server, Way};
use crate::error::{Exit, Failure};

/// Blocks of the history are divided by this where the endpoint is a bad one.
const BAD_PART: u64 = 4;
/// Blocks whose logs are parsed to find out how fast that is.
const PARSED_BLOCKS: u64 = 200;

/// Arguments of `indexer bench report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Blocks of the history
    #[arg(long, value_name = "N", default_value_t = 8_000, value_parser = clap::value_parser!(u64).range(4..))]
    pub blocks: u64,
    /// Trades per block
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub trades: u32,
    /// Blocks that appear at the head, for each way to the database
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub head_blocks: u64,
}

pub(super) async fn execute(args: &ReportArgs, context: &Context) -> Result<(), Failure> {
    let mut report = Report {
        args,
        context,
        server: Server::of(&context.config)?,
    };
    report.backfills().await?;
    report.heads().await
}

struct Report<'a> {
    args: &'a ReportArgs,
    context: &'a Context,
    server: Server,
}

/// Where a backfill keeps raw events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    PostgreSql,
    MongoDb,
}

impl Report<'_> {
    async fn backfills(&mut self) -> Result<(), Failure> {
        let whole = self.node(self.args.blocks);
        let part = self.node(self.args.blocks / BAD_PART);
        self.header()?;
        let (usual, ceiling) = self.measured("endpoint nearby", &whole, Kept::PostgreSql).await?;
        let far = NodeArgs {
            latency_ms: 50,
            ..whole.clone()
        };
        let (far, _) = self.measured("endpoint 50 ms away", &far, Kept::PostgreSql).await?;
        let (clean, _) = self.measured("a part of the blocks", &part, Kept::PostgreSql).await?;
        let failing = NodeArgs {
            error_rate: 0.1,
            ..part.clone()
        };
        let (failing, _) = self
            .measured("the part, 10 % failing", &failing, Kept::PostgreSql)
            .await?;
        let narrow = NodeArgs {
            error_rate: 0.02,
            max_range: Some(10),
            ..part
        };
        let (narrow, _) = self
            .measured("the part, 10 blocks a request, 2 % failing", &narrow, Kept::PostgreSql)
            .await?;
        let archived = match &self.context.config.archive.url {
            Some(_) => Some(self.measured("raw events in MongoDB", &whole, Kept::MongoDb).await?),
            None => None,
        };
        let bare = ceiling.unwrap_or_default();
        self.line("")?;
        self.line(format_args!(
            "Endpoint 50 ms away to one nearby: {:.2} of its time.",
            far.seconds / usual.seconds
        ))?;
        for (name, bad) in [
            ("10 % failing", &failing),
            ("10 blocks a request, 2 % failing", &narrow),
        ] {
            let (time, bytes) = (bad.seconds / clean.seconds, ratio(bad.served.bytes, clean.served.bytes));
            self.line(format_args!(
                "{name}: {time:.2} of the time without, {bytes:.2} of the bytes."
            ))?;
        }
        self.line(format_args!(
            "Stages of the first, summed: reading {:.1} s, archive {:.1} s, commits {:.1} s; replay {:.1} s, {:.2} of the backfill's speed.",
            usual.read_seconds,
            usual.archive_seconds,
            usual.commit_seconds,
            usual.replay_seconds.unwrap_or_default(),
            usual.seconds / usual.replay_seconds.unwrap_or(f64::INFINITY),
        ))?;
        self.line(format_args!(
            "Bare COPY of the same {} rows ({:.0} MB), indexes built behind it, one connection: {:.1} s; the backfill reaches {:.0} % of that.",
            bare.count,
            megabytes(bare.bytes),
            bare.time.as_secs_f64(),
            100.0 * bare.time.as_secs_f64() / usual.seconds,
        ))?;
        if let Some((archived, Some(inserted))) = archived {
            self.line(format_args!(
                "Raw events in MongoDB: {:.2} of the speed with all in PostgreSQL; insert_many of the same {} documents: {:.1} s.",
                usual.seconds / archived.seconds,
                inserted.count,
                inserted.time.as_secs_f64(),
            ))?;
        }
        self.parsed().await
    }

    /// The time from a block's appearing to its commit, by the ways to the server there are.
    async fn heads(&mut self) -> Result<(), Failure> {
        for (name, way) in [("socket", Way::Socket), ("TCP", Way::Tcp)] {
            let scratch = match self.server.scratch(way).await {
                Ok(scratch) => scratch,
                Err(failure) => {
                    self.line(format_args!("Head over {name}: not measured, {}.", failure.message))?;
                    continue;
                }
            };
            let arguments = vec!["head".to_owned(), format!("--blocks={}", self.args.head_blocks)];
            let figures = self.child::<HeadFigures>(&scratch, arguments).await;
            scratch.drop().await?;
            let HeadFigures {
                p50_ms,
                p99_ms,
                longest_ms,
                ..
            } = figures?;
            self.line(format_args!(
                "Head over {name}, readable to committed: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, longest {longest_ms:.1} ms."
            ))?;
        }
        Ok(())
    }

    async fn parsed(&self) -> Result<(), Failure> {
        let node = Node::spawn(&self.node(PARSED_BLOCKS)).await?;
        let parsed = ceilings::parse(&node.url, PARSED_BLOCKS).await;
        node.stop().await?;
        let Ceiling { count, bytes, time } = parsed?;
        let seconds = time.as_secs_f64();
        self.line(format_args!(
            "Parsing logs with serde_json into borrowed fields, one core: {:.2} million/s, {:.0} MB/s.",
            megabytes(count) / seconds,
            megabytes(bytes) / seconds,
        ))
    }

    fn node(&self, blocks: u64) -> NodeArgs {
        NodeArgs {
            blocks,
            trades: self.args.trades,
            latency_ms: 0,
            error_rate: 0.0,
            max_range: None,
        }
    }

    fn header(&self) -> Result<(), Failure> {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let proof = self.context.config.pipeline.integrity_backfill;
        self.line(format_args!(
            "{} blocks with {} trades each, {cores} cores, version {}, proof {}.\n",
            self.args.blocks,
            self.args.trades,
            env!("CARGO_PKG_VERSION"),
            Proof::as_str(proof),
        ))?;
        self.line("| backfill | wall s | items/s | own µs/item | PostgreSQL µs/item | peak MB | requests/1,000 blocks | MB/1,000 blocks |")?;
        self.line("|---|---|---|---|---|---|---|---|")
    }

    /// Runs one backfill and prints its row. What the store can do at best with the same rows comes with those that keep them where
    /// that was not measured yet.
    async fn measured(
        &mut self,
        name: &str,
        node: &NodeArgs,
        kept: Kept,
    ) -> Result<(BackfillFigures, Option<Ceiling>), Failure> {
        let scratch = self.server.scratch(Way::Configured).await?;
        let archive = archive_name(&scratch);
        let measured = self.backfill(&scratch, &archive, node, kept).await;
        self.forget(scratch, &archive, kept).await?;
        let (figures, ceiling) = measured?;
        let micros = |seconds: Option<f64>| {
            seconds.map_or_else(
                || "-".to_owned(),
                |seconds| format!("{:.1}", figures.micros_per_item(seconds)),
            )
        };
        self.line(format_args!(
            "| {name} | {:.1} | {:.0} | {} | {} | {} | {:.0} | {:.1} |",
            figures.seconds,
            figures.items_per_second(),
            micros(figures.cpu_seconds),
            micros(figures.server_cpu_seconds),
            cell(figures.peak_memory_mb),
            figures.per_thousand_blocks(figures.served.requests),
            figures.per_thousand_blocks(figures.served.bytes) / 1_000_000.0,
        ))?;
        Ok((figures, ceiling))
    }

    async fn backfill(
        &self,
        scratch: &Scratch,
        archive: &str,
        node: &NodeArgs,
        kept: Kept,
    ) -> Result<(BackfillFigures, Option<Ceiling>), Failure> {
        // What is compared with others of its size is not replayed and copied once more each time.
        let is_whole = node.blocks == self.args.blocks && node.latency_ms == 0;
        let mut arguments = vec!["backfill".to_owned()];
        arguments.extend(node.words());
        arguments.extend(is_whole.then(|| "--replay".to_owned()));
        arguments.push(match kept {
            Kept::PostgreSql => "--archive-in-postgresql".to_owned(),
            Kept::MongoDb => format!("--archive-database={archive}"),
        });
        let figures = self.child(scratch, arguments).await?;
        let ceiling = match (&self.context.config.archive.url, kept) {
            _ if !is_whole => None,
            (Some(url), Kept::MongoDb) => Some(ceilings::insert_many(url.expose(), archive).await?),
            _ => {
                let pool: PgPool = scratch.pool().await?;
                let copied = ceilings::copy(&pool).await;
                pool.close().await;
                Some(copied?)
            }
        };
        Ok((figures, ceiling))
    }

    /// Runs this program on the database, and reads the figures it prints.
    async fn child<T: DeserializeOwned>(&self, scratch: &Scratch, arguments: Vec<String>) -> Result<T, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Internal,
                format!("failed to run a part of the benchmark: {error}"),
            )
        };
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut command = Command::new(program);
        if let Some(file) = &self.context.config.file {
            command.arg("--config").arg(file);
        }
        let child = command
            .arg("bench")
            .args(arguments)
            .arg("--json")
            // With its login, which an argument would show to everyone on the machine.
            .env("DATABASE_URL", scratch.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let output = tokio::select! {
            output = child.wait_with_output() => output.map_err(|error| failed(&error))?,
            () = self.context.cancel.cancelled() => {
                return Err(Failure::new(Exit::Interrupted, "stopped on request, before the report was done"));
            }
        };
        if !output.status.success() {
            let stderr_text = String::from_utf8_lossy(&output.stderr);
            let last = stderr_text
                .lines()
                .last()
                .unwrap_or("it ended without a word")
                .trim_start_matches("error: ")
                .to_owned();
            return Err(failed(&last));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
    }

    /// Drops what was made for one workload.
    async fn forget(&self, scratch: Scratch, archive: &str, kept: Kept) -> Result<(), Failure> {
        if let (Some(url), Kept::MongoDb) = (&self.context.config.archive.url, kept) {
            ceilings::drop_archive(url.expose(), archive).await?;
        }
        scratch.drop().await
    }

    fn line(&self, text: impl std::fmt::Display) -> Result<(), Failure> {
        self.context.writer.line(text)
    }
}

/// The database of the archive that belongs to a scratch database.
fn archive_name(scratch: &Scratch) -> String {
    scratch.name().to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "a figure of a benchmark")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure of a benchmark")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
