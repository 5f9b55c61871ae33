//! The stores a command works on: the tables and the archive, opened together, closed in order.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::archive::Archive;
use crate::config::Config;
use crate::database::{self, Database};
use crate::error::{Error, Failure};
use crate::registry;

/// Open stores.
#[derive(Debug)]
pub struct Stores {
    /// The tables, migrated, their registry seeded from the configuration.
    pub database: Database,
    /// Raw events.
    pub archive: Arc<Archive>,
    /// Rung after every commit, so that the publisher sends at once.
    pub committed: Arc<Notify>,
}

impl Stores {
    /// Opens what `config` names.
    ///
    /// # Errors
    /// The store that cannot be reached, and what to do about it.
    pub async fn open(config: &Config) -> Result<Stores, Failure> {
        let database = database::open(config).await?;
        match open_archive(config, &database).await {
            Ok(archive) => Ok(Stores {
                database,
                archive,
                committed: Arc::default(),
            }),
            Err(failure) => {
                database.close().await;
                Err(failure)
            }
        }
    }

    /// Closes the database; the archive needs no goodbye.
    pub async fn close(self) {
        self.database.close().await;
    }
}

async fn open_archive(config: &Config, database: &Database) -> Result<Arc<Archive>, Failure> {
    registry::seed(&database.store, config).await?;
    let url = config.archive.url.as_ref().map_or("", |url| url.expose());
    let archive = Archive::open(url, &config.archive.database, &database.store)
        .await
        .map_err(Error::from)?;
    Ok(Arc::new(archive))
}
