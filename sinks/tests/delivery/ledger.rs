//! Facts and their outbox rows, written as the writing side does.

use alloy_primitives::B256;
use decoders::block::ChainId;
use decoders::fact::{FactKind as _, Transfer};
use decoders::id::{Position, retraction_of};
use sinks::store::Store;
use uuid::Uuid;

pub(crate) const CONTRACT: &str = "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d";
/// Sender of mints.
const NOBODY: &str = "0x0000000000000000000000000000000000000000";
pub(crate) const ALICE: &str = "0x00000000000000000000000000000000000a11ce";
pub(crate) const BOB: &str = "0x0000000000000000000000000000000000000b0b";

/// A hash that stands for `number`.
pub(crate) fn hash(number: u64) -> String {
    format!("{:#x}", B256::left_padding_from(&number.to_be_bytes()))
}

/// `count` transfers in block `number` of `chain`, in one transaction; their ids in order.
pub(crate) async fn transfers(store: &Store, chain: u64, number: u64, count: usize) -> Vec<Uuid> {
    write(store, chain, number, count, "transfer").await
}

/// `count` mints in block `number` of `chain`.
pub(crate) async fn mints(store: &Store, chain: u64, number: u64, count: usize) -> Vec<Uuid> {
    write(store, chain, number, count, "mint").await
}

async fn write(store: &Store, chain: u64, number: u64, count: usize, kind: &str) -> Vec<Uuid> {
    begin(store, chain, number, count, kind).await.commit().await
}

/// Transfers written, but not committed yet.
pub(crate) struct Uncommitted {
    ids: Vec<Uuid>,
    transaction: sqlx::Transaction<'static, sqlx::Postgres>,
}

impl Uncommitted {
    pub(crate) async fn commit(self) -> Vec<Uuid> {
        self.transaction.commit().await.unwrap();
        self.ids
    }
}

/// Like [`transfers`], left open.
pub(crate) async fn begin_transfers(store: &Store, chain: u64, number: u64, count: usize) -> Uncommitted {
    begin(store, chain, number, count, "transfer").await
}

/// The ids of the first `count` facts of block `number`.
pub(crate) fn ids(chain: u64, number: u64, count: usize) -> Vec<Uuid> {
    let position = |log_index| Position {
        chain: ChainId(chain),
        block_number: number,
        block_hash: B256::left_padding_from(&number.to_be_bytes()),
        log_index,
        item: 0,
        kind: Transfer::RECORD,
    };
    (0..u32::try_from(count).unwrap())
        .map(|log_index| position(log_index).id())
        .collect()
}

async fn begin(store: &Store, chain: u64, number: u64, count: usize, kind: &str) -> Uncommitted {
    let ids = ids(chain, number, count);
    let chain = ChainId(chain);
    let mut transaction = store.pool.begin().await.unwrap();
    sqlx::query("select catalog_service.ensure_chain($1)")
        .bind(chain.to_string())
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query(
        "insert into catalog_service.transfer_facts
             (chain_id, id, contract, token_number, token, from_addr, to_addr, quantity, standard, tx_hash, block_hash, block_time)
         select $1, id, decode(substr($3, 3), 'hex'), n - 1, gen_random_uuid(), decode(substr($4, 3), 'hex'),
                decode(substr($5, 3), 'hex'), 1, 'erc721', decode(substr($6, 3), 'hex'), decode(substr($7, 3), 'hex'),
                to_timestamp(1700000000)
           from unnest($2::uuid[]) with ordinality as new (id, n)",
    )
    .bind(chain.to_string())
    .bind(&ids)
    .bind(CONTRACT)
    .bind(if kind == "mint" { NOBODY } else { ALICE })
    .bind(BOB)
    .bind(hash(7))
    .bind(hash(number))
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "insert into indexer_service.outbox (chain_id, kind, fact_id)
         select $1, $2, id from unnest($3::uuid[]) with ordinality as new (id, n) order by n",
    )
    .bind(chain.to_string())
    .bind(kind)
    .bind(&ids)
    .execute(&mut *transaction)
    .await
    .unwrap();
    Uncommitted { ids, transaction }
}

/// Undoes the facts `ids` as a rewind does: the highest first, one retraction each.
pub(crate) async fn undo(store: &Store, chain: u64, ids: &[Uuid]) {
    for id in ids.iter().rev() {
        sqlx::query(
            "with undone as (delete from catalog_service.transfer_facts where chain_id = $1 and id = $2 returning id)
             insert into indexer_service.outbox (chain_id, kind, fact_id, body)
             select chain_id, 'retraction', $3, jsonb_build_object(
                        'fact_id', id, 'kind', kind, 'contract', contract, 'token_id', token_id, 'from', from_addr,
                        'to', to_addr, 'quantity', quantity::text, 'standard', standard, 'tx_hash', tx_hash,
                        'log_index', log_index, 'block_number', block_number, 'block_hash', block_hash,
                        'block_time', block_time)
               from catalog_service.ownership_transfers where chain_id = $1 and id in (select id from undone)",
        )
        .bind(ChainId(chain).to_string())
        .bind(id)
        .bind(retraction_of(*id))
        .execute(&store.pool)
        .await
        .unwrap();
    }
}

/// Rows not published yet.
pub(crate) async fn pending(store: &Store) -> i64 {
    sqlx::query_scalar("select count(*) from indexer_service.outbox")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

/// The only cursor: last number, published, unroutable, skipped.
pub(crate) async fn cursor(store: &Store) -> (i64, i64, i64, i64) {
    sqlx::query_as("select last_seq, published, unroutable, skipped from indexer_service.publisher_cursors")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

/// Ends the claim of any process that holds it, until `holder` does.
pub(crate) async fn claimed_by(store: &Store, holder: &str) {
    loop {
        let now: Option<String> = sqlx::query_scalar("select holder from indexer_service.publisher_cursors")
            .fetch_one(&store.pool)
            .await
            .unwrap();
        if now.as_deref() == Some(holder) {
            return;
        }
        expire_claims(store).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Lets every claim end now.
pub(crate) async fn expire_claims(store: &Store) {
    sqlx::query("update indexer_service.publisher_cursors set held_until = now() - interval '1 second'")
        .execute(&store.pool)
        .await
        .unwrap();
}
