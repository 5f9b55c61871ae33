//! What can be wrong with the registry or an edit of it.

use alloy_primitives::Address;
use decoders::block::ChainId;
use sinks::error::SinkError;

use super::entry::Chain;
use crate::config::EndpointUrlError;
use crate::error::{Error, Exit, Failure};

/// Chains named where another was asked for.
const SHOWN_CHAINS: usize = 10;

/// Why the registry could not be read or edited.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such row.
    #[error("{what} is not in the registry: {advice}")]
    Unknown {
        /// What was asked for.
        what: String,
        /// Where to look.
        advice: String,
    },
    /// The edit breaks a rule; the text states which.
    #[error("{0}")]
    Refused(String),
    /// A row holds something no chain, endpoint or contract can have.
    #[error("the registry row of {what} is malformed: {cause}")]
    Malformed {
        /// Which row.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
    /// An endpoint's URL cannot be used.
    #[error("endpoint of {chain}: {error}")]
    Url {
        /// The chain.
        chain: ChainId,
        /// What is wrong with it.
        error: EndpointUrlError,
    },
    /// The database failed.
    #[error("failed to reach the registry tables: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables of currencies failed.
    #[error("failed to reach the tables of currencies: {0}")]
    Currencies(#[from] SinkError),
}

impl RegistryError {
    /// The error for a chain that is none of `known`.
    pub(super) fn unknown_chain(chain: ChainId, known: &[Chain]) -> Self {
        let mut names: Vec<String> = known
            .iter()
            .take(SHOWN_CHAINS)
            .map(|known| known.chain.to_string())
            .collect();
        if known.len() > SHOWN_CHAINS {
            names.push("…".to_owned());
        }
        let known = if names.is_empty() {
            "none is".to_owned()
        } else {
            format!("{} are", names.join(", "))
        };
        RegistryError::Unknown {
            what: format!("chain {chain}"),
            advice: format!(
                "{known}, see `indexer registry chains list`, or add it with `indexer registry chains add`"
            ),
        }
    }

    pub(crate) fn unknown_endpoint(id: i32) -> Self {
        RegistryError::Unknown {
            what: format!("endpoint {id}"),
            advice: "see `indexer registry endpoints list`".to_owned(),
        }
    }

    pub(super) fn unknown_contract(chain: ChainId, address: &Address) -> Self {
        let what = format!("contract {address:#x} of {chain}");
        RegistryError::Unknown {
            what,
            advice: "see `indexer registry contracts list`".to_owned(),
        }
    }

    pub(super) fn unknown_abi(sha256: &str) -> Self {
        RegistryError::Unknown {
            what: format!("ABI {sha256}"),
            advice: "see `indexer registry abis list`".to_owned(),
        }
    }

    /// A broken constraint as a refusal with `text`, anything else as what it is.
    pub(super) fn refused_if(error: sqlx::Error, kind: &sqlx::error::ErrorKind, text: impl FnOnce() -> String) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.kind() == *kind => RegistryError::Refused(text()),
            // A check of the schema states what it holds by its name; 22xxx are values no column of the type can hold.
            sqlx::Error::Database(database)
                if database.kind() == sqlx::error::ErrorKind::CheckViolation
                    || database.code().is_some_and(|code| code.starts_with("22")) =>
            {
                RegistryError::Refused(format!("the registry refuses the value: {}", database.message()))
            }
            _ => RegistryError::Database(error),
        }
    }
}

impl From<RegistryError> for Error {
    /// A daemon under way meets the registry's database, or a row that was spoilt since it began.
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Database(error) => Error::Sink(error.into()),
            other => Error::Broken(other.to_string()),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let exit = match error {
            RegistryError::Database(_) | RegistryError::Currencies(_) => Exit::Database,
            _ => Exit::Registry,
        };
        Failure::new(exit, error.to_string())
    }
}
