//! A transaction out of a file: a receipt, a transaction with its receipt, or a block with all of its receipts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use decoders::block::{Block, ChainId, Context, Envelope, Log, Proof, Span};
use flate2::bufread::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

use super::found::Found;
use crate::error::{Exit, Failure};

/// First bytes of a gzipped file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    block_hash: B256,
    block_number: U64,
    #[serde(default)]
    transaction_index: U64,
    logs: Vec<WireLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    log_index: U64,
}

#[derive(Deserialize)]
struct Transaction {
    hash: B256,
    /// Some recordings leave it to the signature.
    from: Option<Address>,
    #[serde(default)]
    to: Option<Address>,
    value: U256,
    #[serde(alias = "data")]
    input: Bytes,
}

#[derive(Deserialize)]
struct Header {
    number: U64,
    hash: B256,
    timestamp: U64,
    #[serde(default)]
    transactions: Vec<Value>,
}

/// What a file holds, whatever its form.
struct Content {
    chain: Option<ChainId>,
    block: Block,
    receipts: Vec<Receipt>,
    transactions: Vec<Transaction>,
}

/// Reads the transaction `tx` of `path`, or the only one it holds.
pub(super) fn read(path: &Path, tx: Option<B256>, chain: Option<ChainId>) -> Result<Found, Failure> {
    let shown = path.display();
    let refused = |reason: &str| Failure::new(Exit::Usage, format!("{shown}: {reason}"));
    let bytes = load(path).map_err(|error| refused(&format!("failed to read it: {error}")))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| refused(&format!("not JSON: {error}")))?;
    let content = Content::of(value).map_err(|reason| refused(&reason))?;
    let chain = match (chain, content.chain) {
        (Some(wanted), Some(found)) if wanted != found => {
            return Err(Failure::new(
                Exit::WrongChain,
                format!("{shown} is of {found}, not of {wanted}"),
            ));
        }
        (Some(chain), _) | (None, Some(chain)) => chain,
        (None, None) => return Err(refused("it does not name its chain: name it with --chain")),
    };
    let hashes: Vec<B256> = content
        .receipts
        .iter()
        .map(|receipt| receipt.transaction_hash)
        .collect();
    let tx_hash = match (tx, hashes.as_slice()) {
        (Some(tx), hashes) if hashes.contains(&tx) => tx,
        (Some(tx), _) => return Err(refused(&format!("it holds no receipt of transaction {tx}"))),
        (None, [only]) => *only,
        (None, hashes) => {
            return Err(refused(&format!(
                "it holds {} receipts: name a transaction with --tx",
                hashes.len()
            )));
        }
    };
    let span = content.into_span(chain).map_err(|reason| refused(&reason))?;
    Ok(Found { span, tx_hash })
}

fn load(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(BufReader::new(bytes.as_slice())).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

impl Content {
    fn of(mut value: Value) -> Result<Self, String> {
        // The answer of an endpoint as it came.
        if let Some(result) = value.get_mut("result").map(Value::take) {
            value = result;
        }
        let chain = value.get("chainId").and_then(chain);
        let mut take = |name: &str| value.get_mut(name).map(Value::take).filter(|value| !value.is_null());
        let (block, receipts) = (take("block"), take("receipts"));
        if let Some((block, receipts)) = block.zip(receipts) {
            return Self::whole(chain, block, receipts);
        }
        let (transaction, receipt) = (take("transaction"), take("receipt"));
        let receipt: Receipt = part("a receipt", receipt.unwrap_or(value))?;
        let chain = chain.or_else(|| transaction.as_ref()?.get("chainId").and_then(self::chain));
        let transactions = transaction.map(|value| part("a transaction", value)).transpose()?;
        Ok(Content {
            chain,
            block: Block {
                number: receipt.block_number.to(),
                hash: receipt.block_hash,
                time: 0,
            },
            receipts: vec![receipt],
            transactions: transactions.into_iter().collect(),
        })
    }

    fn whole(chain: Option<ChainId>, block: Value, receipts: Value) -> Result<Self, String> {
        let header: Header = part("a block", block)?;
        let objects = header.transactions.into_iter().filter(Value::is_object);
        Ok(Content {
            chain,
            block: Block {
                number: header.number.to(),
                hash: header.hash,
                time: header.timestamp.to(),
            },
            receipts: part("a list of receipts", receipts)?,
            transactions: objects
                .map(|object| part("a transaction", object))
                .collect::<Result<_, _>>()?,
        })
    }

    fn into_span(self, chain: ChainId) -> Result<Span, String> {
        let block = self.block;
        let mut logs = Vec::new();
        for receipt in self.receipts {
            if receipt.block_hash != block.hash {
                return Err(format!(
                    "the receipt of {} is of another block",
                    receipt.transaction_hash
                ));
            }
            let narrow =
                |number: U64| u32::try_from(number.to::<u64>()).map_err(|_| "a position is out of range".to_owned());
            for log in receipt.logs {
                if log.topics.len() > 4 {
                    return Err("a log has more than four topics".to_owned());
                }
                logs.push(Log {
                    block_number: block.number,
                    log_index: narrow(log.log_index)?,
                    tx_index: narrow(receipt.transaction_index)?,
                    tx_hash: receipt.transaction_hash,
                    address: log.address,
                    topics: log.topics.into_iter().collect(),
                    data: log.data,
                });
            }
        }
        logs.sort_by_key(|log| log.log_index);
        let envelopes = self
            .transactions
            .into_iter()
            .filter_map(Transaction::envelope)
            .collect();
        Ok(Span {
            chain,
            range: block.number..=block.number,
            parent_hash: None,
            blocks: vec![block],
            logs,
            proof: Proof::Chained,
            context: Context {
                envelopes,
                ..Context::default()
            },
        })
    }
}

impl Transaction {
    fn envelope(self) -> Option<(B256, Envelope)> {
        let envelope = Envelope {
            from: self.from?,
            to: self.to,
            value: self.value,
            input: self.input,
        };
        Some((self.hash, envelope))
    }
}

fn part<T: serde::de::DeserializeOwned>(what: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("not {what}: {error}"))
}

/// A chain number, plain or in hex.
fn chain(value: &Value) -> Option<ChainId> {
    let hex = || u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(hex).map(ChainId)
}
