//! Noticing edits of the registry.

use std::time::Duration;

use sinks::store::Store;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tracing::warn;

use super::error::RegistryError;
use crate::database::Database;

/// Channel the registry's triggers notify.
const CHANNEL: &str = "chain_registry";
/// How often the embedded database is asked. Only its own process can edit it, so no one waits for this.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before another try to listen.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Reports when the registry was edited.
#[derive(Debug)]
pub struct Watch(Source);

#[derive(Debug)]
enum Source {
    /// A connection of its own, beside the pool.
    Listening(Box<PgListener>),
    /// The embedded database has no second connection to listen on.
    Polling { store: Store, seen: Option<String> },
}

impl Watch {
    /// Starts to watch. Edits after this call are reported by [`Watch::changed`], so read the registry after it.
    pub async fn start(database: &Database) -> Result<Self, RegistryError> {
        let store = database.store.clone();
        if database.is_embedded() {
            let seen = Some(version(&store).await?);
            return Ok(Watch(Source::Polling { store, seen }));
        }
        let options = (*store.pool.connect_options()).clone();
        let own = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        Ok(Watch(Source::Listening(Box::new(listener))))
    }

    /// Returns when the registry may have changed. A lost connection is made again, and counts as a change.
    pub async fn changed(&mut self) {
        match &mut self.0 {
            Source::Listening(listener) => heard(listener).await,
            Source::Polling { store, seen } => loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                match version(store).await {
                    Ok(now) if seen.as_ref() != Some(&now) => {
                        *seen = Some(now);
                        return;
                    }
                    Ok(_) => {}
                    Err(error) => warn!(%error, "failed to look for edits of the registry"),
                }
            },
        }
    }
}

async fn heard(listener: &mut PgListener) {
    loop {
        match listener.try_recv().await {
            Ok(_) => break,
            Err(error) => warn!(%error, "failed to listen for edits of the registry"),
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
    // One edit touches several rows: what has come in meanwhile is the same news.
    while listener.next_buffered().is_some() {}
}

/// Changes with every edit: row counts show deletions, the newest writing transaction shows the rest.
async fn version(store: &Store) -> Result<String, RegistryError> {
    let version = sqlx::query_scalar(
        "select concat_ws(' ',
             (select concat(count(*), ':', max(xmin::text::bigint)) from chain_registry_service.chains),
             (select concat(count(*), ':', max(xmin::text::bigint)) from chain_registry_service.chain_endpoints),
             (select concat(count(*), ':', max(xmin::text::bigint)) from chain_registry_service.chain_contracts),
             (select concat(count(*), ':', max(xmin::text::bigint)) from chain_registry_service.abi_blobs))",
    );
    Ok(version.fetch_one(&store.pool).await?)
}
