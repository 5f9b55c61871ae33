//! What every operation on MongoDB keeps to: sizes, and a time to answer in.

use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::{Document, doc, serialize_to_bson};
use mongodb::error::Error;

use super::error::ArchiveError;
use super::mongo_error::is_passing;

/// Logs in one insert or delete: large enough that round trips do not count.
pub(super) const BATCH_LOGS: usize = 5_000;
/// Bytes in one insert, well below the 48 MB a message may have.
pub(super) const BATCH_BYTES: usize = 8 << 20;
/// How long one operation may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// One `update` command of many single updates: the driver's own bulk write needs MongoDB 8.
pub(super) async fn update_each<T: Send + Sync>(
    collection: &Collection<T>,
    updates: Vec<Document>,
) -> Result<(), ArchiveError> {
    let mut command = doc! { "update": collection.name(), "updates": updates, "ordered": true };
    if let Some(concern) = collection.write_concern() {
        let concern = serialize_to_bson(concern).map_err(|error| ArchiveError::Refused(error.to_string()))?;
        command.insert("writeConcern", concern);
    }
    let database = collection.client().database(&collection.namespace().db);
    let answer = in_time(database.run_command(command)).await?;
    if let Some(errors) = answer.get("writeErrors") {
        let text = errors.to_string().chars().take(500).collect();
        let codes = errors.as_array().into_iter().flatten();
        let mut codes = codes.filter_map(|error| error.as_document()?.get_i32("code").ok());
        return Err(if codes.any(is_passing) {
            ArchiveError::Busy(text)
        } else {
            ArchiveError::Refused(text)
        });
    }
    if let Some(error) = answer.get("writeConcernError") {
        // It may still stand; writing it again is harmless.
        let message = error.as_document().and_then(|error| error.get_str("errmsg").ok());
        return Err(ArchiveError::Unconfirmed(
            message.unwrap_or("no cause was named").to_owned(),
        ));
    }
    Ok(())
}

/// The driver's answer, unless the server keeps silent: the driver itself waits without end on a connection that went dead.
pub(super) async fn in_time<T>(operation: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, ArchiveError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, operation.into_future()).await;
    Ok(answer.map_err(|_| ArchiveError::Silent {
        seconds: ANSWER_TIMEOUT.as_secs(),
    })??)
}
