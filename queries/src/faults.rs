//! Logs that decoders rejected or warned of, by chain and position.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::error::QueryError;
use crate::page::{Keyed, Page, PageRequest};

/// A log at fault, by one decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Fault {
    /// CAIP-2 name of the chain.
    pub chain_id: String,
    /// Position of the log.
    pub id: Uuid,
    /// Decoder that rejected it or warned of it, `abi` for stored ABIs.
    pub source: String,
    /// Height of the block.
    pub block_number: i64,
    /// Index of the log within its block.
    pub log_index: i32,
    /// Transaction that emitted the log.
    pub tx_hash: String,
    /// Emitting contract.
    pub contract: String,
    /// Event signature hash, absent for anonymous events.
    pub topic0: Option<String>,
    /// One of [`decoders::fact::reason`].
    pub reason: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// How often it was tried again.
    pub attempts: i32,
    /// When it is tried again; never on its own where absent.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// What faults are ordered by, as text `<chain>/<id>/<source>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultKey {
    chain: String,
    id: Uuid,
    source: String,
}

impl Keyed for Fault {
    type Key = FaultKey;

    fn key(&self) -> FaultKey {
        FaultKey {
            chain: self.chain_id.clone(),
            id: self.id,
            source: self.source.clone(),
        }
    }
}

impl Display for FaultKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.chain, self.id, self.source)
    }
}

impl FromStr for FaultKey {
    /// The cursor made of the key names the text that is wrong.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (chain, rest) = text.split_once('/').ok_or(())?;
        let (id, source) = rest.split_once('/').ok_or(())?;
        Ok(FaultKey {
            chain: chain.to_owned(),
            id: id.parse().map_err(|_| ())?,
            source: source.to_owned(),
        })
    }
}

/// Which faults are meant; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct FaultFilter {
    /// Of this chain.
    pub chain: Option<ChainId>,
    /// Of this contract.
    pub contract: Option<Address>,
    /// For this reason.
    pub reason: Option<String>,
    /// Recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
}

/// The faults that `filter` lets through, by chain, position and decoder.
pub async fn page(
    pool: &PgPool,
    filter: &FaultFilter,
    page: &PageRequest<FaultKey>,
) -> Result<Page<Fault>, QueryError> {
    let after = page.after.as_ref().map(|cursor| cursor.key());
    let rows = sqlx::query_as(PAGE)
        .bind(filter.chain.map(|chain| chain.to_string()))
        .bind(filter.contract.map(|contract| format!("{contract:#x}")))
        .bind(&filter.reason)
        .bind(filter.since)
        .bind(after.map(|key| &key.chain))
        .bind(after.map(|key| key.id))
        .bind(after.map(|key| &key.source))
        .bind(page.limit)
        .fetch_all(pool)
        .await?;
    Ok(Page::of(rows, page.limit))
}

// The whole key is the cursor, compared as a row: faults of one log differ in their source alone.
const PAGE: &str = "select chain_id::text, id, source, block_number, log_index, tx_hash::text, contract::text, topic0::text, reason,
           recorded_at, attempts, next_attempt_at
    from indexer_service.decode_faults
    where ($1::text is null or chain_id = $1) and ($2::text is null or contract = $2) and ($3::text is null or reason = $3)
      and ($4::timestamptz is null or recorded_at >= $4)
      and ($5::text is null or (chain_id::text, id, source) > ($5, $6, $7))
    order by chain_id, id, source limit $8";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Cursor;

    #[test]
    fn a_cursor_reads_back_as_it_was_shown() {
        let cursor = Cursor::behind(FaultKey {
            chain: "eip155:1".to_owned(),
            id: Uuid::from_u128(7),
            source: "abi".to_owned(),
        });
        assert_eq!(cursor.to_string(), format!("eip155:1/{}/abi", Uuid::from_u128(7)));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["eip155:1", "a/b/c", ""] {
            let error = wrong.parse::<Cursor<FaultKey>>().unwrap_err();
            assert_eq!(error.to_string(), format!("{wrong:?} is no place that a page named"));
        }
    }
}
