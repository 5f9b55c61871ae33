//! The database: a pool, its migrations, and the partitions of a chain.

use std::any::{Any, TypeId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::fact::Facts;
use decoders::id::marketplace_id;
use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use uuid::Uuid;

use crate::error::SinkError;

/// Every migration, embedded. Forward only: a shipped file never changes.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

const ENSURE_CHAIN: &str = "select catalog_service.ensure_chain($1)";

const ENSURE_ROLES: &str = "select indexer_service.ensure_roles()";

// Rights are the owner's to give; a log-in that is not leaves them as they are.
const GRANT_ROLES: &str = "select indexer_service.grant_roles(), user_service.secure_rows()
    where pg_has_role((select relowner from pg_class where oid = 'user_service.users'::regclass), 'usage')";

const ADD_MARKETPLACES: &str = "insert into catalog_service.marketplaces (id, name)
    select s.id, s.name from unnest($1::uuid[], $2::text[]) as s (id, name) on conflict do nothing";

const DEFER_INDEXES: &str = "select catalog_service.defer_indexes($1)";

const CLASSIFY_ANEW: &str = "insert into indexer_service.wash_progress (chain_id, version, recomputed_to, everything)
    values ($1, 0, '00000000-0000-0000-0000-000000000000', true)
    on conflict (chain_id) do update
       set version = excluded.version, recomputed_to = excluded.recomputed_to, everything = true";

const BUILD_INDEXES: &str = "select catalog_service.build_indexes($1)";

/// Currencies remembered; more are asked for again.
const CURRENCIES_KNOWN: usize = 100_000;

/// What was read of a chain, by its type: the store is below those who read, so it knows none of them.
type Remembered = FxHashMap<(ChainId, TypeId), Arc<dyn Any + Send + Sync>>;

/// The one handle to PostgreSQL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// Connections; a pool of one suffices for everything in this crate.
    pub pool: PgPool,
    /// Chains whose partitions are known to exist.
    partitioned: Arc<Mutex<FxHashSet<ChainId>>>,
    /// Marketplaces known to have a row.
    marketplaces: Arc<Mutex<FxHashSet<&'static str>>>,
    /// What changes seldom, as last read.
    remembered: Arc<Mutex<Remembered>>,
    /// Currencies known to have a row, those of lately.
    currencies: Arc<Mutex<FxHashSet<(ChainId, Address)>>>,
    /// Chains that this process loads in bulk.
    bulk: Arc<Mutex<FxHashSet<ChainId>>>,
}

impl Store {
    /// A store over `pool`.
    pub fn new(pool: PgPool) -> Self {
        Store {
            pool,
            partitioned: Arc::default(),
            remembered: Arc::default(),
            marketplaces: Arc::default(),
            currencies: Arc::default(),
            bulk: Arc::default(),
        }
    }

    /// Brings the schema up to date; harmless when it is.
    pub async fn migrate(&self) -> Result<(), SinkError> {
        Ok(MIGRATOR.run(&self.pool).await?)
    }

    /// Makes the roles of services that are missing, and gives every role its rights. Returns the statements that make those which this
    /// log-in may not make.
    ///
    /// # Errors
    /// When the database cannot be reached, or the schema is older than the roles.
    pub async fn ensure_roles(&self) -> Result<Vec<String>, SinkError> {
        let missing = sqlx::query_scalar(ENSURE_ROLES).fetch_all(&self.pool).await?;
        sqlx::query(GRANT_ROLES).execute(&self.pool).await?;
        Ok(missing)
    }

    /// Makes the partitions of `chain` unless they exist. Called by every commit; asks the database once per process.
    pub async fn ensure_chain(&self, chain: ChainId) -> Result<(), SinkError> {
        if self
            .partitioned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&chain)
        {
            return Ok(());
        }
        sqlx::query(ENSURE_CHAIN)
            .bind(chain.to_string())
            .execute(&self.pool)
            .await?;
        self.partitioned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(chain);
        Ok(())
    }

    /// Makes a row for every marketplace that `facts` name. Called by every commit, before it begins; asks the database once per
    /// name and process.
    pub(crate) async fn ensure_marketplaces(&self, facts: &Facts) -> Result<(), SinkError> {
        let named: BTreeSet<&'static str> = facts.iter().filter_map(|fact| fact.marketplace()).collect();
        let new: Vec<&'static str> = {
            let known = self.marketplaces.lock().unwrap_or_else(PoisonError::into_inner);
            named.into_iter().filter(|name| !known.contains(name)).collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = new.iter().map(|name| marketplace_id(name)).collect();
        sqlx::query(ADD_MARKETPLACES)
            .bind(ids)
            .bind(&new)
            .execute(&self.pool)
            .await?;
        self.marketplaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(new);
        Ok(())
    }

    /// The `T` of `chain` that was last remembered.
    pub(crate) fn remembered<T: Any + Send + Sync>(&self, chain: ChainId) -> Option<Arc<T>> {
        let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.get(&(chain, TypeId::of::<T>()))?).downcast().ok()
    }

    /// Remembers what was read of `chain`, in place of the `T` before. Whether it still holds is the reader's to know.
    pub(crate) fn remember<T: Any + Send + Sync>(&self, chain: ChainId, read: Arc<T>) {
        let mut known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((chain, TypeId::of::<T>()), read);
    }

    /// Those of `named` that are not known to have a row.
    pub(crate) fn new_currencies(&self, chain: ChainId, mut named: BTreeSet<Address>) -> BTreeSet<Address> {
        let known = self.currencies.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|currency| !known.contains(&(chain, *currency)));
        named
    }

    /// Remembers that `currencies` have a row.
    pub(crate) fn know_currencies(&self, chain: ChainId, currencies: BTreeSet<Address>) {
        let mut known = self.currencies.lock().unwrap_or_else(PoisonError::into_inner);
        // Anybody can sell for a currency of their own.
        if known.len() + currencies.len() > CURRENCIES_KNOWN {
            known.clear();
        }
        known.extend(currencies.into_iter().map(|currency| (chain, currency)));
    }

    /// Makes the first backfill of `chain` a bulk load: rows go without the indexes that only readers and rewinds need, and sales
    /// unclassified, until [`Store::build_indexes`] and then [`wash::recompute`](crate::projections::wash::recompute) are called. False,
    /// and nothing changes, for a chain that has facts already, unless its load was cut short.
    pub async fn defer_indexes(&self, chain: ChainId) -> Result<bool, SinkError> {
        self.ensure_chain(chain).await?;
        let deferred: bool = sqlx::query_scalar(DEFER_INDEXES)
            .bind(chain.to_string())
            .fetch_one(&self.pool)
            .await?;
        if deferred {
            self.classify_anew(chain).await?;
            self.bulk.lock().unwrap_or_else(PoisonError::into_inner).insert(chain);
        }
        Ok(deferred)
    }

    /// Has [`wash::recompute`](crate::projections::wash::recompute) look at every sale of `chain`, whatever the rules it was written by.
    async fn classify_anew(&self, chain: ChainId) -> Result<(), SinkError> {
        sqlx::query(CLASSIFY_ANEW)
            .bind(chain.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whether `chain` is being loaded in bulk by this process.
    pub(crate) fn is_loaded_in_bulk(&self, chain: ChainId) -> bool {
        let bulk = self.bulk.lock().unwrap_or_else(PoisonError::into_inner);
        bulk.contains(&chain)
    }

    /// Builds the indexes of `chain` unless they exist. A rewind calls it, so that forgetting to is slow once and never wrong.
    ///
    /// To be called once every commit of a bulk load has ended: those that follow classify their sales themselves.
    pub async fn build_indexes(&self, chain: ChainId) -> Result<(), SinkError> {
        self.ensure_chain(chain).await?;
        let was_bulk = {
            let mut bulk = self.bulk.lock().unwrap_or_else(PoisonError::into_inner);
            bulk.remove(&chain)
        };
        if was_bulk {
            // Sales that others classified meanwhile may look different beside those that were not there yet.
            self.classify_anew(chain).await?;
        }
        sqlx::query(BUILD_INDEXES)
            .bind(chain.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
