//! One head per chain: a lease with a fencing token. Only its holder moves the checkpoint and rewinds.

use std::time::Duration;

use decoders::block::ChainId;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::store::Store;

/// The right to write the head of a chain, until someone else takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The chain.
    pub chain: ChainId,
    /// Who holds it; unique to a process.
    pub holder: String,
    /// Fencing token: a later holder has a higher one.
    pub token: i64,
}

/// Takes the lease of `chain` for `ttl` if no one holds it or its time is up, by the database's clock.
pub async fn acquire(store: &Store, chain: ChainId, holder: &str, ttl: Duration) -> Result<Option<Lease>, SinkError> {
    let token: Option<i64> = sqlx::query_scalar(ACQUIRE)
        .bind(chain.to_string())
        .bind(holder)
        .bind(ttl.as_secs_f64())
        .fetch_optional(&store.pool)
        .await?;
    Ok(token.map(|token| Lease {
        chain,
        holder: holder.to_owned(),
        token,
    }))
}

/// Holds the lease for another `ttl` from now. A lease that ran out and that no other process took is still its holder's.
///
/// Fails with [`SinkError::LeaseLost`] once someone took it.
pub async fn renew(store: &Store, lease: &Lease, ttl: Duration) -> Result<(), SinkError> {
    let renewed = sqlx::query(RENEW)
        .bind(lease.chain.to_string())
        .bind(&lease.holder)
        .bind(lease.token)
        .bind(ttl.as_secs_f64())
        .execute(&store.pool)
        .await?;
    if renewed.rows_affected() == 1 {
        Ok(())
    } else {
        Err(SinkError::LeaseLost { chain: lease.chain })
    }
}

/// Gives the lease up, so that a standby need not wait for its end; harmless when it was lost.
pub async fn release(store: &Store, lease: &Lease) -> Result<(), SinkError> {
    sqlx::query(RELEASE)
        .bind(lease.chain.to_string())
        .bind(&lease.holder)
        .bind(lease.token)
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Fails with [`SinkError::LeaseLost`] unless `lease` is the one in force.
pub(crate) async fn check(db: &mut PgConnection, lease: &Lease) -> Result<(), SinkError> {
    let held: bool = sqlx::query_scalar(CHECK)
        .bind(lease.chain.to_string())
        .bind(&lease.holder)
        .bind(lease.token)
        .fetch_one(db)
        .await?;
    if held {
        Ok(())
    } else {
        Err(SinkError::LeaseLost { chain: lease.chain })
    }
}

// The token grows with every holder, also when the same process takes the lease again: what it began under the earlier one is
// refused too.
const ACQUIRE: &str = "insert into indexer_service.chain_leases as l (chain_id, holder, token, expires_at)
    values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
    on conflict (chain_id) do update set holder = excluded.holder, token = l.token + 1, expires_at = excluded.expires_at
    where l.holder is null or l.expires_at <= clock_timestamp()
    returning token";

const RENEW: &str = "update indexer_service.chain_leases set expires_at = clock_timestamp() + make_interval(secs => $4)
    where chain_id = $1 and holder = $2 and token = $3";

// The row stays, and its token with it: the next one has to be higher.
const RELEASE: &str = "update indexer_service.chain_leases set holder = null, expires_at = clock_timestamp()
    where chain_id = $1 and holder = $2 and token = $3";

const CHECK: &str = "select exists (
        select from indexer_service.chain_leases where chain_id = $1 and holder = $2 and token = $3
    )";
