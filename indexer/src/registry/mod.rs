//! The chain registry: which chains are followed, where they are read, which contracts have a name.
//!
//! `config.toml` seeds the tables of `chain_registry_service` with what is missing; after that the tables are the truth. The
//! command line edits them and [`Watch`] tells a running daemon.

mod abi;

use decoders::block::ChainId;

use crate::config::EndpointUrlError;
use crate::error::{Exit, Failure};

pub use abi::Abi;

/// Why the registry could not be read or edited.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such row.
    #[error("{what} is not in the registry: {advice}")]
    Unknown {
        /// What was asked for.
        what: String,
        /// Where to look.
        advice: &'static str,
    },
    /// The edit breaks a rule; the text says which.
    #[error("{0}")]
    Refused(String),
    /// A row of the registry holds something no chain, endpoint or contract can have.
    #[error("the registry row of {what} is malformed: {cause}")]
    Malformed {
        /// Which row.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
    /// An endpoint's URL cannot be used.
    #[error("endpoint of chain {chain}: {error}")]
    Url {
        /// The chain.
        chain: ChainId,
        /// What is wrong with it.
        error: EndpointUrlError,
    },
    /// The database failed.
    #[error("failed to reach the registry tables: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let exit = match error {
            RegistryError::Database(_) => Exit::Database,
            _ => Exit::Registry,
        };
        Failure::new(exit, error.to_string())
    }
}

/// Refuses what cannot name a standard. The registry takes any such name, so that a new standard needs no migration.
pub fn check_standard(text: &str) -> Result<(), String> {
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if clean && (1..=32).contains(&text.len()) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is no name of a standard, write such as erc721, erc1155, erc20, cryptopunks, proxy or custom"
        ))
    }
}
