//! What stored ABIs say of archived logs, written beside them.

use decoders::block::ChainId;
use mongodb::bson::{Bson, Document, doc, serialize_to_bson};
use serde_json::Value;
use sinks::error::SinkError;
use uuid::Uuid;

use super::mongo::{ANSWER_TIMEOUT, in_time};
use super::{ArchiveError, MongoArchive, PostgresArchive, document};

/// Notes written with one command.
const BATCH_NOTES: usize = 1_000;
/// Bytes of values in one command, well below the 48 MB a message may have.
const BATCH_BYTES: usize = 8 << 20;

/// What one archived log says; nothing where no ABI tells.
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
    pub(super) async fn annotate(&self, chain: ChainId, notes: &[Note]) -> Result<(), ArchiveError> {
        let mut batch = Vec::new();
        let mut weight = 0;
        for note in notes {
            weight += note.event_data.as_ref().map_or(0, |data| data.to_string().len());
            batch.push(update(chain, note)?);
            if batch.len() == BATCH_NOTES || weight > BATCH_BYTES {
                self.update(std::mem::take(&mut batch)).await?;
                weight = 0;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.update(batch).await
    }

    /// One `update` command: the driver's own bulk write needs MongoDB 8.
    async fn update(&self, updates: Vec<Document>) -> Result<(), ArchiveError> {
        let mut command = doc! { "update": self.events.name(), "updates": updates, "ordered": false };
        if let Some(concern) = self.events.write_concern() {
            let concern = serialize_to_bson(concern).map_err(|error| ArchiveError::Refused(error.to_string()))?;
            command.insert("writeConcern", concern);
        }
        let database = self.events.client().database(&self.events.namespace().db);
        let answer = in_time(database.run_command(command)).await?;
        if let Some(errors) = answer.get("writeErrors") {
            return Err(ArchiveError::Refused(errors.to_string().chars().take(500).collect()));
        }
        if answer.contains_key("writeConcernError") {
            // It may still stand; writing it again is harmless.
            let seconds = ANSWER_TIMEOUT.as_secs();
            return Err(ArchiveError::Silent { seconds });
        }
        Ok(())
    }
}

fn update(chain: ChainId, note: &Note) -> Result<Document, ArchiveError> {
    let data = note.event_data.as_ref().map(serialize_to_bson).transpose();
    let data = data.map_err(|error| ArchiveError::Refused(error.to_string()))?;
    let set = doc! { "event_type": note.event_type.clone(), "event_data": data.unwrap_or(Bson::Null) };
    Ok(doc! { "q": { "_id": document::key_value(chain, note.id) }, "u": { "$set": set } })
}

impl PostgresArchive {
    pub(super) async fn annotate(&self, chain: ChainId, notes: &[Note]) -> Result<(), ArchiveError> {
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
                .execute(&self.store.pool)
                .await
                .map_err(SinkError::from)?;
        }
        Ok(())
    }
}

const ANNOTATE: &str =
    "update indexer_service.raw_events r set event_type = s.event_type, event_data = s.event_data::jsonb
    from unnest($2::uuid[], $3::text[], $4::text[]) as s (id, event_type, event_data)
    where r.chain_id = $1 and r.id = s.id
      and (r.event_type, r.event_data) is distinct from (s.event_type, s.event_data::jsonb)";
