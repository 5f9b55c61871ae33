//! Configurations of scratch databases.

use indexer::config::{Config, DatabaseUrl};
use testkit::database::Database;

/// A configuration that names `database` and nothing else.
pub(crate) fn config(database: &Database) -> Config {
    let mut config = Config::default();
    config.database.url = DatabaseUrl::parse(&database.url).unwrap();
    config
}
