//! `testchain record` and `testchain inspect`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use testchain::recording::{self, Recorded, Recorder, Summary};

use crate::screen::Screen;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Record a slice of a chain from a JSON-RPC endpoint into a compact file.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  testchain record --rpc http://127.0.0.1:8545 --from 0 --to 500 --out slice.testchain.zst"
)]
pub(crate) struct Record {
    /// URL of the endpoint (HTTP).
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// First block.
    #[arg(long, value_name = "BLOCK")]
    from: u64,
    /// Last block; the endpoint's newest when left out.
    #[arg(long, value_name = "BLOCK")]
    to: Option<u64>,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Record {
    pub(crate) async fn run(self, screen: &mut Screen) -> anyhow::Result<()> {
        let mut recorder = Recorder::connect(&self.rpc)
            .await
            .context("failed to reach the endpoint")?;
        let to = match self.to {
            Some(to) => to,
            None => recorder.head().await?,
        };
        let mut shown = Instant::now();
        let mut lost = None;
        let progress = |progress: recording::Progress| {
            if shown.elapsed() >= PROGRESS_INTERVAL {
                shown = Instant::now();
                lost = screen
                    .line(format!(
                        "block {} of {}, {} logs",
                        progress.number, progress.to, progress.summary.logs
                    ))
                    .err();
            }
        };
        let summary = recorder
            .record_file(self.from..=to, &self.out, progress)
            .await
            .context("failed to record")?;
        lost.map_or(Ok(()), Err)?;
        show(screen, &summary, Some(std::fs::metadata(&self.out)?.len()))?;
        Ok(())
    }
}

/// Count what a recording, or each chain of a folder of single blocks, holds.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  testchain inspect slice.testchain.zst")]
pub(crate) struct Inspect {
    /// Recording, or folder of <chainId>-<number>.json.gz files.
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
}

impl Inspect {
    pub(crate) fn run(&self, screen: &mut Screen) -> anyhow::Result<()> {
        let found = std::fs::metadata(&self.path).with_context(|| format!("failed to open {}", self.path.display()))?;
        let bytes = found.is_file().then_some(found.len());
        for recorded in open(&self.path)? {
            let mut summary = Summary {
                chain_id: recorded.chain_id,
                ..Summary::default()
            };
            for block in &recorded.blocks {
                summary.add(block);
            }
            show(screen, &summary, bytes)?;
            if let (Some(first), Some(last)) = (recorded.blocks.first(), recorded.blocks.last()) {
                screen.line(format!("  from {} {}", first.number, first.hash))?;
                screen.line(format!("  to   {} {}", last.number, last.hash))?;
            }
        }
        Ok(())
    }
}

/// Opens a recording or a folder, one chain each.
pub(crate) fn open(path: &Path) -> anyhow::Result<Vec<Recorded>> {
    let recorded = if path.is_dir() {
        recording::open_folder(path)
    } else {
        recording::read(path).map(|one| vec![one])
    };
    let recorded = recorded.with_context(|| format!("failed to open {}", path.display()))?;
    anyhow::ensure!(
        !recorded.is_empty(),
        "{} holds no blocks (files are named <chainId>-<number>.json.gz)",
        path.display()
    );
    Ok(recorded)
}

fn show(screen: &mut Screen, summary: &Summary, file_bytes: Option<u64>) -> anyhow::Result<()> {
    let Summary {
        chain_id,
        blocks,
        transactions,
        logs,
        absent_receipts,
    } = summary;
    let size = file_bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
    screen.line(format!(
        "chain {chain_id}: {blocks} blocks, {transactions} transactions, {logs} logs{size}"
    ))?;
    if *absent_receipts > 0 {
        screen.line(format!("  {absent_receipts} transactions without a receipt"))?;
    }
    Ok(())
}
