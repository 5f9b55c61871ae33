//! What stored ABIs decode from archived logs, written beside them.

use decoders::block::ChainId;
use mongodb::bson::{Bson, Document, doc, serialize_to_bson};
use serde_json::Value;
use sinks::error::SinkError;
use uuid::Uuid;

use super::document;
use super::error::ArchiveError;
use super::mongo::MongoArchive;
use super::mongo_operation::update_each;
use super::postgres::PostgresArchive;

/// Notes written with one command.
const BATCH_NOTES: usize = 1_000;
/// Bytes of values in one command, well below the 48 MB a message may have.
const BATCH_BYTES: usize = 8 << 20;

/// What one archived log decodes to; nothing where no ABI fits. It stands until it is read by what follows from a later edition
/// of the registry ([`sinks::abis::edition`]); who read it by an earlier one and is late changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The log's id.
    pub id: Uuid,
    /// The event with its signature.
    pub event_type: Option<String>,
    /// Its parameters.
    pub event_data: Option<Value>,
}

impl MongoArchive {
    pub(super) async fn annotate(&self, chain: ChainId, edition: i64, notes: &[Note]) -> Result<(), ArchiveError> {
        let mut batch = Vec::new();
        let mut weight = 0;
        for note in notes {
            weight += note.event_data.as_ref().map_or(0, |data| data.to_string().len());
            batch.push(update(chain, edition, note)?);
            if batch.len() == BATCH_NOTES || weight > BATCH_BYTES {
                update_each(&self.events, std::mem::take(&mut batch)).await?;
                weight = 0;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        update_each(&self.events, batch).await
    }
}

fn update(chain: ChainId, edition: i64, note: &Note) -> Result<Document, ArchiveError> {
    let data = note.event_data.as_ref().map(serialize_to_bson).transpose();
    let data = data.map_err(|error| ArchiveError::Refused(error.to_string()))?;
    let set = doc! {
        "event_type": note.event_type.clone(), "event_data": data.unwrap_or(Bson::Null), "abi_edition": edition,
    };
    let not_later = doc! { "_id": document::key_value(chain, note.id), "abi_edition": { "$not": { "$gt": edition } } };
    Ok(doc! { "q": not_later, "u": { "$set": set } })
}

impl PostgresArchive {
    pub(super) async fn annotate(&self, chain: ChainId, edition: i64, notes: &[Note]) -> Result<(), ArchiveError> {
        for batch in notes.chunks(BATCH_NOTES) {
            let data: Vec<Option<String>> = batch
                .iter()
                .map(|note| note.event_data.as_ref().map(Value::to_string))
                .collect();
            sqlx::query(ANNOTATE)
                .bind(chain.to_string())
                .bind(batch.iter().map(|note| note.id).collect::<Vec<_>>())
                .bind(batch.iter().map(|note| note.event_type.as_deref()).collect::<Vec<_>>())
                .bind(data)
                .bind(edition)
                .execute(&self.store.pool)
                .await
                .map_err(SinkError::from)?;
        }
        Ok(())
    }
}

// Of logs that are archived still. An edition that was overtaken writes nothing over a later one's, and an event that is read as before is not written again.
const ANNOTATE: &str =
    "insert into indexer_service.raw_notes as n (chain_id, id, event_type, event_data, abi_edition)
    select $1, s.id, s.event_type, s.event_data::jsonb, $5
    from unnest($2::uuid[], $3::text[], $4::text[]) as s (id, event_type, event_data)
    where exists (select from indexer_service.raw_blocks b where b.chain_id = $1 and b.id = indexer_service.block_id(s.id))
    on conflict (chain_id, id) do update
       set event_type = excluded.event_type, event_data = excluded.event_data, abi_edition = excluded.abi_edition
     where n.abi_edition <= excluded.abi_edition
       and (n.event_type, n.event_data, n.abi_edition)
           is distinct from (excluded.event_type, excluded.event_data, excluded.abi_edition)";
