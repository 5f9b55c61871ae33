//! Edits of the registry taking effect on what runs.

use decoders::block::ChainId;
use tracing::{info, warn};

use super::Daemon;
use super::assembly::Assignment;
use super::crew::{Crew, Running};
use crate::config::Scope;
use crate::error::Failure;
use crate::registry::{self, ChainEntry};

impl Daemon<'_> {
    /// Makes the running chains what the registry now states; what cannot take effect is reported and tried again later.
    pub(super) async fn reconcile(&self, selected: Option<&[ChainId]>, crew: &mut Crew) {
        let store = &self.stores.database.store;
        let chains = match registry::chains(store).await {
            Ok(chains) => chains,
            Err(error) => return warn!(%error, "failed to read the registry, keeping to what was read before"),
        };
        let wanted = |chain: ChainId| selected.is_none_or(|selected| selected.contains(&chain));
        let mut edited: Vec<ChainId> = chains
            .iter()
            .map(|chain| chain.chain)
            .filter(|chain| wanted(*chain))
            .collect();
        // To connect endpoints that do not answer takes long, and holds up no edit of a chain that runs.
        edited.sort_by_key(|chain| !crew.running.contains_key(chain));
        for chain in edited {
            let change = match registry::load_chain(store, chain).await {
                Ok(entry) => self.change(entry, crew).await,
                Err(error) => Err(error.into()),
            };
            match change {
                Ok(()) => crew.took_effect(chain),
                Err(failure) => crew.refuses(chain, &failure, &self.health.readiness),
            }
        }
        let known: Vec<ChainId> = chains.iter().map(|chain| chain.chain).collect();
        for (chain, task) in crew.running.iter().filter(|(chain, _)| !known.contains(chain)) {
            info!(%chain, "no longer in the registry, stopping");
            task.cancel.cancel();
        }
        crew.refused.retain(|chain, _| known.contains(chain));
        let enabled = chains.iter().filter(|chain| chain.enabled).map(|chain| chain.chain);
        // Series of a chain that is stopping stay until it has ended: it still counts.
        let kept = enabled.chain(crew.running.keys().copied()).collect();
        self.health.metrics.keep_chains(&kept);
    }

    async fn change(&self, entry: ChainEntry, crew: &mut Crew) -> Result<(), Failure> {
        let chain = entry.chain.chain;
        let Some(task) = crew.running.get_mut(&chain) else {
            if !entry.chain.enabled {
                return Ok(());
            }
            let endpoints = crew.given.get(&chain).cloned().unwrap_or_default();
            return self
                .start_chain(
                    Assignment {
                        entry,
                        endpoints,
                        until: None,
                    },
                    crew,
                )
                .await;
        };
        if !entry.chain.enabled {
            info!(%chain, "disabled in the registry, stopping");
            task.cancel.cancel();
            return Ok(());
        }
        // Before anything else, and without a restart: endpoints are exchanged under the work that uses them.
        self.change_endpoints(&entry, task)?;
        let before = &task.assignment.entry;
        // Where all contracts are followed, the list only names them, and an edit is no reason to restart.
        let contracts_matter = entry.chain.scope == Scope::Contracts;
        if entry.chain != before.chain
            || (contracts_matter && entry.contracts != before.contracts)
            || entry.followed() != before.followed()
        {
            info!(%chain, "settings edited, starting the chain again");
            // The next review finds the chain stopped and starts it as the registry now states.
            task.cancel.cancel();
        }
        Ok(())
    }

    fn change_endpoints(&self, entry: &ChainEntry, task: &mut Running) -> Result<(), Failure> {
        if entry.endpoints == task.assignment.entry.endpoints || !task.assignment.endpoints.is_empty() {
            return Ok(());
        }
        let edited = Assignment {
            entry: entry.clone(),
            ..task.assignment.clone()
        };
        task.endpoints.replace_endpoints(edited.endpoint_settings()?);
        task.assignment.entry.endpoints.clone_from(&entry.endpoints);
        Ok(())
    }
}
