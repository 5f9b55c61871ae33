//! What the clones of a pool share: its endpoints, and what it remembers of the chain.
//!
//! Each file that asks something of the endpoints adds the methods for it; they all end up behind [`super::Pool`].

use std::sync::{Arc, PoisonError, RwLock, Weak};

use decoders::block::ChainId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::answer::Remembered;
use super::density::Density;
use super::endpoint::Endpoint;
use super::error::{EndpointError, Wanted};
use super::head_memory::HeadMemory;
use super::header_rules::Rules;
use super::question::{Ask, Trouble};
use super::report::{Counts, count};
use super::settings::{EndpointSettings, PoolOptions};
use super::transport;
use super::transport::socket::Announcements;
use super::wire::call::Call;
use super::wire::rejection::Rejection;

pub(super) struct Inner {
    /// For tasks beside the questions, which end with the pool.
    pub(super) me: Weak<Inner>,
    pub(super) chain: ChainId,
    pub(super) options: PoolOptions,
    pub(super) cancel: CancellationToken,
    pub(super) rules: Arc<Rules>,
    pub(super) counts: Counts,
    pub(super) announcements: Arc<Announcements>,
    pub(super) heads: HeadMemory,
    pub(super) remembered: Remembered,
    /// What a block holds lately, for suggestions.
    pub(super) density: Density,
    client: reqwest::Client,
    endpoints: RwLock<Arc<[Arc<Endpoint>]>>,
    /// Announces that endpoints have come or gone.
    pub(super) edited: watch::Sender<()>,
}

impl Inner {
    /// The state of a pool whose endpoints have not been asked for anything yet.
    pub(super) fn new(
        chain: ChainId,
        endpoints: Vec<EndpointSettings>,
        options: PoolOptions,
        cancel: CancellationToken,
    ) -> Result<Arc<Self>, EndpointError> {
        let announcements = Arc::new(Announcements::default());
        let client = transport::client()?;
        let new = |settings: EndpointSettings| {
            Endpoint::new(&settings, &options, &client, Arc::clone(&announcements)).map(Arc::new)
        };
        let all = endpoints.into_iter().map(new).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new_cyclic(|me| Inner {
            me: me.clone(),
            chain,
            rules: Arc::new(Rules::new(options.header_hash)),
            counts: Counts::default(),
            heads: HeadMemory::default(),
            remembered: Remembered::default(),
            density: Density::default(),
            endpoints: RwLock::new(all.into()),
            announcements,
            client,
            options,
            cancel,
            edited: watch::Sender::default(),
        }))
    }

    pub(super) fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        Arc::clone(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over an edited registry: endpoints that stay keep their history.
    pub(super) fn replace_endpoints(&self, endpoints: Vec<EndpointSettings>) {
        let old = self.endpoints();
        let mut new = Vec::with_capacity(endpoints.len());
        for settings in endpoints {
            if let Some(kept) = old.iter().find(|old| old.id == settings.id && old.url == settings.url) {
                kept.tune(&settings);
                new.push(Arc::clone(kept));
                continue;
            }
            match Endpoint::new(&settings, &self.options, &self.client, Arc::clone(&self.announcements)) {
                Ok(endpoint) => new.push(Arc::new(endpoint)),
                Err(error) => warn!(chain = %self.chain, %error, "endpoint left out"),
            }
        }
        info!(chain = %self.chain, endpoints = new.len(), "endpoints replaced");
        let stays = |endpoint: &Arc<Endpoint>, others: &[Arc<Endpoint>]| {
            others.iter().any(|other| Arc::ptr_eq(other, endpoint))
        };
        let is_other = old.len() != new.len() || !old.iter().all(|endpoint| stays(endpoint, &new));
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = new.into();
        if is_other {
            self.edited.send_replace(());
        }
        self.announcements.bell.notify_one();
    }

    /// A question of the ordinary kind.
    pub(super) fn question(&self, calls: Vec<Call>, what: String) -> Ask {
        Ask::of(calls, what, self.options.request_timeout)
    }

    /// The trouble as callers see it.
    pub(super) fn error(&self, trouble: Trouble, wanted: &Wanted) -> EndpointError {
        let chain = self.chain;
        match trouble {
            Trouble::Absent => EndpointError::NotFound {
                chain,
                wanted: wanted.clone(),
            },
            Trouble::Unproven { reason, .. } => EndpointError::Unproven {
                chain,
                wanted: wanted.to_string(),
                reason,
            },
            Trouble::NoEndpoints => EndpointError::NoEndpoints { chain },
            Trouble::Cancelled => EndpointError::Cancelled,
            // An endpoint that changed its chain while in use may change back.
            Trouble::WrongChain(found) if !self.endpoints().iter().any(|endpoint| endpoint.health().was_right) => {
                EndpointError::WrongChain { chain, found }
            }
            Trouble::Unreachable(causes) | Trouble::Refused(causes) | Trouble::WrongChain(causes) => {
                EndpointError::Unreachable {
                    chain,
                    wanted: wanted.to_string(),
                    causes,
                }
            }
            Trouble::TooMuch(_) => self.error(
                Trouble::Unreachable("every answer is too long for its endpoint".to_owned()),
                wanted,
            ),
            Trouble::Unsupported => self.error(Trouble::Unreachable("no endpoint knows the method".to_owned()), wanted),
        }
    }

    /// Records a lie that came to light after the answer was accepted.
    pub(super) fn blame(&self, endpoint: &Endpoint, reason: &str) {
        warn!(chain = %self.chain, endpoint = %endpoint.name, %reason, "an endpoint's answer was wrong");
        count(&self.counts.lies);
        endpoint.failed(&endpoint.refused(Rejection::Lie, reason));
    }
}
