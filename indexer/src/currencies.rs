//! Currencies that facts name and nobody told of: their contracts are asked, once, for symbol and decimals.

use decoders::currency;
use sinks::currencies;
use tracing::debug;

use crate::error::Error;
use crate::pipeline::Pipeline;

/// Contracts asked at once.
const AT_ONCE: u32 = 100;

/// Asks the contracts of all unknown currencies; returns how many answered. One that no endpoint could ask is asked again by the next call.
///
/// # Errors
/// When no endpoint answers at all, or the database fails.
pub async fn learn(pipeline: &Pipeline) -> Result<u64, Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    let (mut after, mut learned) = (None, 0);
    loop {
        let unknown = currencies::unknown(store, chain, after, AT_ONCE).await?;
        if unknown.is_empty() {
            return Ok(learned);
        }
        after = unknown.last().copied();
        let questions: Vec<_> = unknown
            .iter()
            .flat_map(|address| currency::questions(*address))
            .collect();
        let (answers, _) = pipeline.endpoints.answers(&questions).await?;
        let told: Vec<_> = unknown
            .into_iter()
            .filter_map(|address| Some((address, currency::read(address, &answers)?)))
            .collect();
        for (address, metadata) in &told {
            debug!(%chain, %address, ?metadata, "asked a currency what it is");
        }
        learned += currencies::learn(store, chain, &told).await?;
    }
}
