//! The daemon inside the test's process: faster to start and stop than the program, and the only one that an embedded database
//! can be read beside.

use std::sync::Arc;

use indexer::daemon::assembly::Assignment;
use indexer::daemon::{self, Daemon};
use indexer::error::Failure;
use indexer::health::Health;
use indexer::registry;
use indexer::stores::Stores;
use sinks::store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::program::Program;

/// A daemon under way.
pub(crate) struct Running {
    /// The tables it writes.
    pub(crate) store: Store,
    /// What it reports.
    pub(crate) health: Health,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

impl Running {
    /// Follows every chain of the program's configuration, up to block `until` where one is given.
    pub(crate) async fn start(program: &Program, until: Option<u64>) -> Running {
        log_to_test();
        let (config, health, cancel) = (program.config(), Health::new(), CancellationToken::new());
        let stores = Stores::open(&config).await.unwrap();
        let store = stores.database.store.clone();
        let (stated, stop) = (health.clone(), cancel.clone());
        let task = tokio::spawn(async move {
            let mut assignments = Vec::new();
            for chain in &config.chains {
                let entry = registry::load_chain(&stores.database.store, chain.caip2).await.unwrap();
                assignments.push(Assignment {
                    entry,
                    endpoints: Vec::new(),
                    until,
                });
            }
            let (progress, holder) = (Arc::default(), daemon::holder());
            let daemon = Daemon {
                config: &config,
                stores: &stores,
                health: stated,
                progress,
                holder,
            };
            let outcome = Box::pin(daemon.run(assignments, None, None, &stop)).await;
            stores.close().await;
            outcome
        });
        Running {
            store,
            health,
            cancel,
            task,
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Waits until it has reached its last block.
    pub(crate) async fn done(self) {
        self.task.await.unwrap().unwrap();
    }
}

/// Shows the daemon's log beside the output of a test that fails; `RUST_LOG` chooses what.
fn log_to_test() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    // A second test of the same process finds the first one's subscriber.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer()
        .with_ansi(false)
        .try_init()
        .ok();
}
