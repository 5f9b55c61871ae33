//! Folders of single real blocks, `<chainId>-<number>.json.gz`, each `{chainId, verified, block, receipts}`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::error::RecordingError;
use super::file::Recorded;
use super::json;
use crate::block::Block;

/// Reads every block of a folder, sorted into one recording per chain, chains ascending. Other files are passed over.
///
/// # Errors
/// When the folder is not there or a block in it is malformed.
pub fn open_folder(folder: &Path) -> Result<Vec<Recorded>, RecordingError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| RecordingError::File { path, source }
    };
    let mut chains: BTreeMap<u64, Vec<Block>> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let Some((chain_id, number)) = name(&path) else {
            continue;
        };
        let file = File::open(&path).map_err(at(&path))?;
        let mut text = String::new();
        GzDecoder::new(file).read_to_string(&mut text).map_err(at(&path))?;
        let block = json::entry(&text).map_err(|source| RecordingError::Block {
            number,
            source: Box::new(source),
        })?;
        chains.entry(chain_id).or_default().push(block);
    }
    let recorded = chains.into_iter().map(|(chain_id, mut blocks)| {
        blocks.sort_by_key(|block| block.number);
        Recorded { chain_id, blocks }
    });
    Ok(recorded.collect())
}

/// Chain id and height in a file's name.
fn name(path: &Path) -> Option<(u64, u64)> {
    let (chain_id, number) = path.file_name()?.to_str()?.strip_suffix(".json.gz")?.split_once('-')?;
    Some((chain_id.parse().ok()?, number.parse().ok()?))
}
