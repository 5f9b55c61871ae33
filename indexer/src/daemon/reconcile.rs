//! Edits of the registry taking effect on what runs.

use decoders::block::ChainId;
use tracing::{info, warn};

use super::assembly::Assignment;
use super::{Crew, Daemon, Running};
use crate::config::Scope;
use crate::error::Failure;
use crate::registry::{self, ChainEntry};

impl Daemon<'_> {
    /// Makes the running chains what the registry now states; what cannot take effect is reported and tried again later.
    pub(super) async fn reconcile(&self, selected: Option<&[ChainId]>, crew: &mut Crew) {
        let store = &self.stores.database.store;
        let chains = match registry::chains(store).await {
            Ok(chains) => chains,
            Err(error) => return warn!(%error, "failed to read the registry, keeping to what it said before"),
        };
        let wanted = |chain: ChainId| selected.is_none_or(|selected| selected.contains(&chain));
        for chain in chains.iter().filter(|chain| wanted(chain.chain)) {
            let change = match registry::load_chain(store, chain.chain).await {
                Ok(entry) => self.change(entry, crew).await,
                Err(error) => Err(error.into()),
            };
            if let Err(failure) = change {
                warn!(chain = %chain.chain, %failure, "an edit of the registry cannot take effect");
            }
        }
        let known: Vec<ChainId> = chains.iter().map(|chain| chain.chain).collect();
        for (chain, task) in crew.running.iter().filter(|(chain, _)| !known.contains(chain)) {
            info!(%chain, "no longer in the registry, stopping");
            task.cancel.cancel();
        }
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
        self.change_endpoints(&entry, task)?;
        let before = &task.assignment.entry;
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
        let chain = entry.chain.chain;
        let gone = task
            .assignment
            .entry
            .endpoints
            .iter()
            .filter(|before| entry.endpoints.iter().all(|now| now.id != before.id));
        gone.for_each(|endpoint| self.health.metrics.forget_endpoint(chain, endpoint.id));
        task.assignment.entry.endpoints.clone_from(&entry.endpoints);
        info!(%chain, endpoints = entry.endpoints.len(), "endpoints replaced");
        Ok(())
    }
}
