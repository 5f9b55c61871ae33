//! Currencies that facts name and no source describes: their contracts are asked, once, for symbol and decimals.

use decoders::currency;
use sinks::currencies;
use tracing::{debug, warn};

use crate::error::Error;
use crate::pipeline::Pipeline;
use decoders::failure::Class;

/// Contracts asked at once.
const AT_ONCE: u32 = 100;

/// Asks the contracts of all unknown currencies; false when some could not be asked and are worth another try after a while.
///
/// # Errors
/// Only what no further attempt would mend.
pub async fn store_metadata(pipeline: &Pipeline) -> Result<bool, Error> {
    match ask_all(pipeline).await {
        Err(error) if error.class() == Class::Transient => {
            warn!(%error, chain = %pipeline.chain, "asking currencies what they are failed");
            Ok(false)
        }
        other => other,
    }
}

async fn ask_all(pipeline: &Pipeline) -> Result<bool, Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    let (mut after, mut all) = (None, true);
    loop {
        let unknown = currencies::unknown(store, chain, after, AT_ONCE).await?;
        if unknown.is_empty() {
            return Ok(all);
        }
        after = unknown.last().copied();
        let questions: Vec<_> = unknown
            .iter()
            .flat_map(|address| currency::questions(*address))
            .collect();
        let (answers, _) = pipeline.endpoints.answers(&questions).await?;
        let asked = unknown.len();
        let answers: Vec<_> = unknown
            .into_iter()
            .filter_map(|address| Some((address, currency::read(address, &answers)?)))
            .collect();
        for (address, metadata) in &answers {
            debug!(%chain, %address, ?metadata, "asked a currency what it is");
        }
        all &= answers.len() == asked;
        currencies::store_metadata(store, chain, &answers).await?;
    }
}
