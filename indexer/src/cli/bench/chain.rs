//! The simulated chain in the registry.

use decoders::block::ChainId;
use sinks::progress::coverage;

use super::super::context::Context;
use crate::config::{Config, EndpointUrl};
use crate::daemon::assembly::Assignment;
use crate::error::{Error, Exit, Failure};
use crate::registry;
use crate::stores::Stores;

/// Configuration that names the simulated chain.
const CHAIN: &str = include_str!("chain.toml");

/// The configuration with the simulated chain `id` in place of its own.
pub(super) fn configured(context: &Context, id: u64) -> Result<Config, Failure> {
    let mut config = context.config.clone();
    config.chains = Config::parse(CHAIN, "chain.toml")?.chains;
    for chain in &mut config.chains {
        chain.caip2 = ChainId(id);
    }
    Ok(config)
}

/// The simulated chain, read from `url`; refused where the stores hold it already.
pub(super) async fn assignment(
    config: &Config,
    stores: &Stores,
    url: &str,
    until: Option<u64>,
) -> Result<Assignment, Failure> {
    let store = &stores.database.store;
    let chain = config.chains.first().map(|chain| chain.caip2);
    let chain = chain.ok_or_else(|| Failure::new(Exit::Internal, "chain.toml names no chain"))?;
    if !coverage::read(store, chain).await.map_err(Error::from)?.is_empty() {
        let message = format!("the database holds {chain} already: name a scratch database with DATABASE_URL");
        return Err(Failure::new(Exit::Database, message));
    }
    let endpoint = EndpointUrl::parse(url).map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    Ok(Assignment {
        entry: registry::load_chain(store, chain).await?,
        endpoints: vec![endpoint],
        until,
    })
}
