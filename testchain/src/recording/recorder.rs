//! Records a slice of a chain from any JSON-RPC endpoint, and checks that nothing is missing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use alloy_primitives::{B256, U64};
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{Answer, Ask, Client, height};
use super::error::RecordingError;
use super::file::Writer;
use super::json::{self, Object};
use crate::block::{Block, Log};
use crate::encode;

/// Blocks asked for at once.
const BATCH: u64 = 16;
/// Receipts asked for at once where whole blocks of them are not to be had.
const RECEIPT_BATCH: usize = 50;

/// What a recording came to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// EIP-155 number of the chain.
    pub chain_id: u64,
    /// Blocks.
    pub blocks: u64,
    /// Transactions.
    pub transactions: u64,
    /// Logs.
    pub logs: u64,
    /// Transactions whose receipt the node does not have.
    pub absent_receipts: u64,
}

impl Summary {
    /// Counts one more block.
    pub fn add(&mut self, block: &Block) {
        self.blocks += 1;
        self.transactions += block.transactions.len() as u64;
        self.logs += block
            .receipts
            .iter()
            .map(|receipt| receipt.logs.len() as u64)
            .sum::<u64>();
        self.absent_receipts += block.receipts.iter().filter(|receipt| receipt.is_absent()).count() as u64;
    }
}

/// Where a recording stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Height recorded last.
    pub number: u64,
    /// Last height to record.
    pub to: u64,
    /// What is recorded so far.
    pub summary: Summary,
}

/// Records blocks `from` to `to`, both included, from `endpoint_url` into the file `path`.
///
/// # Errors
/// When the endpoint stays unreachable, misses a block, contradicts itself, or the file cannot be written. The file is then
/// removed.
pub async fn record(endpoint_url: &str, from: u64, to: u64, path: &Path) -> Result<Summary, RecordingError> {
    let mut recorder = Recorder::connect(endpoint_url).await?;
    recorder.record_file(from..=to, path, |_| ()).await
}

/// An endpoint to record from.
#[derive(Debug)]
pub struct Recorder {
    client: Client,
    chain_id: u64,
}

impl Recorder {
    /// Reaches the endpoint and asks for its chain id.
    ///
    /// # Errors
    /// When it stays unreachable.
    pub async fn connect(endpoint_url: &str) -> Result<Self, RecordingError> {
        let mut client = Client::new(endpoint_url)?;
        let chain_id = number(client.ask(Ask::new("eth_chainId", json!([]))?).await?)?;
        Ok(Self { client, chain_id })
    }

    /// EIP-155 number of the endpoint's chain.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The endpoint's newest height.
    ///
    /// # Errors
    /// When the endpoint stays unreachable.
    pub async fn head(&mut self) -> Result<u64, RecordingError> {
        number(self.client.ask(Ask::new("eth_blockNumber", json!([]))?).await?)
    }

    /// Records a range into a file; `progress` is called after each batch.
    ///
    /// # Errors
    /// As [`record`].
    pub async fn record_file(
        &mut self,
        range: RangeInclusive<u64>,
        path: &Path,
        progress: impl FnMut(Progress),
    ) -> Result<Summary, RecordingError> {
        let failed = |source| RecordingError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::create(path).map_err(failed)?;
        let outcome = self.record_into(range, BufWriter::new(file), progress).await;
        // A device that was named, such as a full disk, is not ours to remove.
        if outcome.is_err() && path.is_file() {
            std::fs::remove_file(path).map_err(failed)?;
        }
        outcome
    }

    /// Records a range into a sink; `progress` is called after each batch.
    ///
    /// # Errors
    /// As [`record`].
    pub async fn record_into(
        &mut self,
        range: RangeInclusive<u64>,
        sink: impl Write,
        mut progress: impl FnMut(Progress),
    ) -> Result<Summary, RecordingError> {
        let (from, to) = (*range.start(), *range.end());
        if from > to {
            return Err(RecordingError::Range { from, to });
        }
        let mut writer = Writer::new(sink, self.chain_id)?;
        let mut summary = Summary {
            chain_id: self.chain_id,
            ..Summary::default()
        };
        let mut below: Option<B256> = None;
        for start in (from..=to).step_by(BATCH as usize) {
            let end = to.min(start + (BATCH - 1));
            for block in self.blocks(start..=end).await? {
                if below.is_some_and(|below| below != block.parent_hash) {
                    return Err(RecordingError::Reorganised { number: block.number });
                }
                below = Some(block.hash);
                writer.write(&block)?;
                summary.add(&block);
            }
            progress(Progress {
                number: end,
                to,
                summary,
            });
        }
        writer.finish()?;
        Ok(summary)
    }

    async fn blocks(&mut self, range: RangeInclusive<u64>) -> Result<Vec<Block>, RecordingError> {
        let mut asks = Vec::new();
        for number in range.clone() {
            asks.push(Ask::new("eth_getBlockByNumber", json!([height(number), true]))?);
            asks.push(Ask::new("eth_getBlockReceipts", json!([height(number)]))?);
        }
        let mut answers = self.client.ask_all(&asks).await?.into_iter();
        let mut blocks = Vec::new();
        for number in range {
            let (Some(block), Some(receipts)) = (answers.next(), answers.next()) else {
                return Err(RecordingError::NoBlock { number });
            };
            let Answer::Result(block) = block else {
                return Err(RecordingError::NoBlock { number });
            };
            let block = self.block(&block, receipts).await;
            blocks.push(block.map_err(|source| RecordingError::Block {
                number,
                source: Box::new(source),
            })?);
        }
        Ok(blocks)
    }

    async fn block(&mut self, raw: &RawValue, receipts: Answer) -> Result<Block, RecordingError> {
        let bare = json::block(raw, &[])?;
        let mut found: HashMap<B256, Box<RawValue>> = HashMap::new();
        if let Answer::Result(list) = receipts {
            let list: Vec<Box<RawValue>> = serde_json::from_str(list.get())?;
            keep(&mut found, list, &bare)?;
        }
        let missing: Vec<B256> = bare
            .transactions
            .iter()
            .map(|transaction| transaction.hash)
            .filter(|hash| !found.contains_key(hash))
            .collect();
        for hashes in missing.chunks(RECEIPT_BATCH) {
            let asks: Result<Vec<_>, _> = hashes
                .iter()
                .map(|hash| Ask::new("eth_getTransactionReceipt", json!([hash])))
                .collect();
            let answers = self.client.ask_all(&asks?).await?.into_iter();
            let list = answers.filter_map(|answer| match answer {
                Answer::Result(receipt) => Some(receipt),
                Answer::Nothing | Answer::Unsupported => None,
            });
            keep(&mut found, list, &bare)?;
        }
        let in_order: Vec<&RawValue> = bare
            .transactions
            .iter()
            .filter_map(|transaction| found.get(&transaction.hash).map(|raw| &**raw))
            .collect();
        let block = json::block(raw, &in_order)?;
        self.check(&block).await?;
        Ok(block)
    }

    /// The logs must be those the header's bloom speaks of; where a chain's bloom is not to be relied upon, those of
    /// `eth_getLogs`.
    async fn check(&mut self, block: &Block) -> Result<(), RecordingError> {
        let logs = || block.receipts.iter().flat_map(|receipt| &receipt.logs);
        if encode::bloom(logs()) == block.logs_bloom {
            return Ok(());
        }
        let ask = Ask::new("eth_getLogs", json!([{ "blockHash": block.hash }]))?;
        let Answer::Result(list) = self.client.ask(ask).await? else {
            return Err(RecordingError::Logs { number: block.number });
        };
        let list: Vec<&RawValue> = serde_json::from_str(list.get())?;
        let mut listed = list.into_iter().map(json::log).collect::<Result<Vec<Log>, _>>()?;
        let mut kept: Vec<Log> = logs().cloned().collect();
        listed.sort_by_key(|log| log.log_index);
        kept.sort_by_key(|log| log.log_index);
        if listed == kept {
            Ok(())
        } else {
            Err(RecordingError::Logs { number: block.number })
        }
    }
}

/// Keeps the receipts that belong to this very block (a transaction may have been included again in another).
fn keep(
    found: &mut HashMap<B256, Box<RawValue>>,
    list: impl IntoIterator<Item = Box<RawValue>>,
    block: &Block,
) -> Result<(), RecordingError> {
    for raw in list {
        let object = Object::parse(&raw)?;
        let hash: B256 = object.required("transactionHash")?;
        let here = object.required::<B256>("blockHash")? == block.hash;
        if here {
            found.insert(hash, raw);
        }
    }
    Ok(())
}

fn number(answer: Answer) -> Result<u64, RecordingError> {
    match answer {
        Answer::Result(raw) => Ok(serde_json::from_str::<U64>(raw.get())?.to()),
        Answer::Nothing | Answer::Unsupported => {
            Err(RecordingError::Endpoint("no number where one was asked for".to_owned()))
        }
    }
}
