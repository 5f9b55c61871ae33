//! Maintenance: what is past its time goes, a second before it does not, whichever process looks after the database and however late.

use std::time::Duration;

use sinks::error::SinkError;
use sinks::maintenance::{Action, Kept, preview, run, take};
use sinks::store::Store;
use sqlx::Executor as _;
use sqlx::postgres::PgPoolOptions;
use testkit::database::Database;
use tokio_util::sync::CancellationToken;

/// A user, a wallet and a chain that the rows below belong to.
const PEOPLE: &str = "insert into user_service.users (user_id) values ('00000000-0000-4000-8000-00000000000a');
    insert into wallet_service.wallet_links (wallet_id, user_id, account_id, address, chain_id)
    values ('a1000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a',
            'eip155:1:0xaa00000000000000000000000000000000000001', '0xaa00000000000000000000000000000000000001', 'eip155:1')";

/// Rows of every kind, `$late` behind their limits: a second for those that go, minus a minute for those that stay.
const ROWS: &str = "
    insert into auth_service.login_events (account_id, result, \"timestamp\")
    values ('0xaa00000000000000000000000000000000000001', 'success', now() - interval '90 days' - interval '$late');
    insert into auth_service.sessions (user_id, token_hash, created_at, expires_at, revoked_at, revoke_reason)
    select '00000000-0000-4000-8000-00000000000a', md5(random()::text), now() - interval '1 year', l.expires_at, l.revoked_at, l.reason
    from (values
        (now() - interval '1 day' - interval '$late', null, null),
        (now() + interval '1 day', now() - interval '1 day' - interval '$late', 'logout'),
        (now() + interval '1 day', now() - interval '30 days' - interval '$late', 'refresh_reuse')
    ) as l (expires_at, revoked_at, reason);
    insert into auth_service.refresh_tokens (session_id, user_id, family_id, token_hash, issued_at, expires_at)
    select s.session_id, s.user_id, gen_random_uuid(), md5(random()::text), now() - interval '1 year',
           now() - interval '1 day' - interval '$late'
    from (insert_session()) s;
    insert into auth_service.auth_nonces (nonce, account_id, domain, chain_id, issued_at, expires_at)
    values (md5(random()::text), '0xaa00000000000000000000000000000000000001', 'example.org', 'eip155:1',
            now() - interval '1 day 5 minutes' - interval '$late', now() - interval '1 day' - interval '$late');
    insert into wallet_service.wallet_verifications (wallet_id, verification_type, expires_at)
    values ('a1000000-0000-4000-8000-000000000001', 'signature', now() - interval '$late');
    insert into platform_service.ucie_phase_data (session_id, symbol, phase_number, phase_data, expires_at)
    values (md5(random()::text), 'BTC', 1, '{}', now() - interval '$late');
    insert into platform_service.ucie_analysis_cache (symbol, analysis_type, data, expires_at)
    values (md5(random()::text), 'news', '{}', now() - interval '$late');
    insert into platform_service.ucie_alerts (user_id, symbol, alert_type, expires_at)
    values ('00000000-0000-4000-8000-00000000000a', 'BTC', 'other', now() - interval '$late')";

/// A session that lasts, for a token of its own.
const SESSION: &str =
    "create or replace function pg_temp.insert_session() returns setof auth_service.sessions language sql as $$
        insert into auth_service.sessions (user_id, token_hash, expires_at)
        values ('00000000-0000-4000-8000-00000000000a', md5(random()::text), now() + interval '1 day') returning *
    $$";

/// What goes of [`ROWS`].
const GONE: [(&str, &str, u64); 8] = [
    ("auth_service.login_events", "deleted", 1),
    ("auth_service.refresh_tokens", "deleted", 1),
    ("auth_service.sessions", "deleted", 3),
    ("auth_service.auth_nonces", "deleted", 1),
    ("wallet_service.wallet_verifications", "expired", 1),
    ("platform_service.ucie_phase_data", "deleted", 1),
    ("platform_service.ucie_analysis_cache", "deleted", 1),
    ("platform_service.ucie_alerts", "disabled", 1),
];

fn actions(all: &[(&str, &'static str, u64)]) -> Vec<Action> {
    let action = |(table, action, rows): &(&str, &'static str, u64)| Action {
        table: (*table).to_owned(),
        action,
        rows: *rows,
    };
    all.iter().map(action).collect()
}

async fn fill(store: &Store, late: &str) {
    let mut db = store.pool.acquire().await.unwrap();
    db.execute(SESSION).await.unwrap();
    let rows = ROWS
        .replace("$late", late)
        .replace("insert_session()", "select * from pg_temp.insert_session()");
    db.execute(sqlx::AssertSqlSafe(rows)).await.unwrap();
}

async fn done(store: &Store, kept: &Kept) -> Vec<Action> {
    let turn = take(store, "here", Duration::ZERO)
        .await
        .unwrap()
        .expect("no other process has the turn");
    run(store, kept, &turn, &CancellationToken::new()).await.unwrap()
}

async fn execute(store: &Store, statements: &'static str) {
    store.pool.execute(statements).await.unwrap();
}

async fn count(store: &Store, table: &str) -> i64 {
    let statement = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_a_second_past_its_time_goes_and_nothing_else_does() {
    let test = Database::new().await;
    let (store, kept) = (&test.store, Kept::default());
    execute(store, PEOPLE).await;
    assert_eq!(done(store, &kept).await, []);
    fill(store, "1 second").await;
    fill(store, "-1 minute").await;
    let expected = actions(&GONE);
    assert_eq!(preview(store, &kept).await.unwrap(), expected, "and nothing is done");
    assert_eq!(preview(store, &kept).await.unwrap(), expected);
    assert_eq!(done(store, &kept).await, expected);
    assert_eq!(preview(store, &kept).await.unwrap(), []);
    assert_eq!(done(store, &kept).await, []);
    // Sessions of tokens, which last, and those that are not late.
    for (table, left) in [
        ("auth_service.login_events", 1),
        ("auth_service.sessions", 2 + 3),
        ("auth_service.refresh_tokens", 1),
        ("auth_service.auth_nonces", 1),
        ("wallet_service.wallet_verifications where status = 'pending'", 1),
        ("platform_service.ucie_phase_data", 1),
        ("platform_service.ucie_analysis_cache", 1),
        ("platform_service.ucie_alerts where enabled", 1),
    ] {
        assert_eq!(count(store, table).await, left, "{table}");
    }
}

#[tokio::test]
async fn a_run_that_was_missed_for_long_is_made_good_in_pieces() {
    let test = Database::new().await;
    let store = &test.store;
    execute(
        store,
        "insert into auth_service.auth_nonces (nonce, account_id, domain, chain_id, issued_at, expires_at)
         select md5(n::text), '0xaa00000000000000000000000000000000000001', 'example.org', 'eip155:1',
                now() - interval '2 years', now() - interval '2 years' + interval '1 minute'
         from generate_series(1, 2500) n",
    )
    .await;
    let expected = actions(&[("auth_service.auth_nonces", "deleted", 2500)]);
    assert_eq!(done(store, &Kept::default()).await, expected);
    assert_eq!(count(store, "auth_service.auth_nonces").await, 0);
}

#[tokio::test]
async fn one_process_at_a_time_has_the_turn() {
    let test = Database::new().await;
    let (store, kept, hour) = (&test.store, Kept::default(), Duration::from_secs(3_600));
    let first = take(store, "first", hour).await.unwrap().unwrap();
    assert!(take(store, "second", Duration::ZERO).await.unwrap().is_none());
    // One that fell silent loses it, and does nothing more.
    execute(
        store,
        "update indexer_service.maintenance_turns set held_until = now() - interval '1 second'",
    )
    .await;
    let second = take(store, "second", hour).await.unwrap().unwrap();
    let late = run(store, &kept, &first, &CancellationToken::new()).await;
    assert!(matches!(late, Err(SinkError::TurnLost)), "{late:?}");
    run(store, &kept, &second, &CancellationToken::new()).await.unwrap();
    assert!(
        take(store, "third", hour).await.unwrap().is_none(),
        "it was done a moment ago"
    );
    assert!(take(store, "third", Duration::ZERO).await.unwrap().is_some());
    // What was stopped is not done: the next one does not rest.
    execute(
        store,
        "update indexer_service.maintenance_turns set held_until = now() - interval '1 second', finished_at = null",
    )
    .await;
    let fourth = take(store, "fourth", hour).await.unwrap().unwrap();
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert_eq!(run(store, &kept, &fourth, &stopped).await.unwrap(), []);
    execute(
        store,
        "update indexer_service.maintenance_turns set held_until = now() - interval '1 second'",
    )
    .await;
    assert!(take(store, "fifth", hour).await.unwrap().is_some());
}

#[tokio::test]
async fn months_are_there_ahead_of_time_and_go_when_they_were_kept() {
    let test = Database::new().await;
    let store = &test.store;
    execute(store, PEOPLE).await;
    execute(
        store,
        "select platform_service.ensure_month(t.month_table, now() - make_interval(months => age))
         from platform_service.month_tables() t, generate_series(1, 4) age;
         insert into platform_service.notifications (user_id, type, title, created_at)
         select '00000000-0000-4000-8000-00000000000a', 'item_sold', 'Sold',
                (date_trunc('month', now() at time zone 'UTC') - make_interval(months => age)) at time zone 'UTC' + interval '1 day'
         from generate_series(0, 4) age;
         insert into platform_service.notifications (user_id, type, title, created_at)
         values ('00000000-0000-4000-8000-00000000000a', 'item_sold', 'Sold', now() + interval '20 months');
         do $$ begin
             execute format('drop table platform_service.%I',
                            platform_service.month_partition_of('audit_logs', now() + interval '1 month'));
         end $$",
    )
    .await;
    let name = async |table: &str, months: i32| -> String {
        let name: String = sqlx::query_scalar(
            "select platform_service.month_partition_of($1::text::name,
                 (date_trunc('month', now() at time zone 'UTC') + make_interval(months => $2)) at time zone 'UTC')::text",
        )
        .bind(table)
        .bind(months)
        .fetch_one(&store.pool)
        .await
        .unwrap();
        format!("platform_service.{name}")
    };
    let kept = Kept {
        notifications: Some(2),
        ..Kept::default()
    };
    let (made, oldest, older) = (
        name("audit_logs", 1).await,
        name("notifications", -4).await,
        name("notifications", -3).await,
    );
    let waiting = "platform_service.notifications_default";
    let expected = |rows| {
        actions(&[
            (&made, "made", 0),
            (&oldest, "dropped", rows),
            (&older, "dropped", rows),
            (waiting, "waiting", 1),
        ])
    };
    assert_eq!(preview(store, &kept).await.unwrap(), expected(0));
    assert_eq!(done(store, &kept).await, expected(1));
    assert_eq!(
        count(store, "platform_service.notifications").await,
        4,
        "this month, two behind it, and what waits"
    );
    assert_eq!(done(store, &kept).await, actions(&[(waiting, "waiting", 1)]));
}

#[tokio::test]
async fn intents_expire_by_the_final_block_and_leave_what_was_sent() {
    let test = Database::new().await;
    let (store, kept) = (&test.store, Kept::default());
    execute(store, PEOPLE).await;
    execute(
        store,
        "insert into orchestrator_service.tx_intents (intent_id, kind, chain_id, created_by, deadline_at, tx_hash, status)
         select ('11000000-0000-4000-8000-00000000000' || n)::uuid, 'mint', 'eip155:1', '00000000-0000-4000-8000-00000000000a',
                deadline, hash, case when hash is null then 'ready' else 'submitted' end
         from (values (1, now() - interval '2 hours', null), (2, now() - interval '30 minutes', null), (3, null, null),
                      (4, now() - interval '2 hours', '0x' || repeat('ab', 32))) as i (n, deadline, hash)",
    )
    .await;
    assert_eq!(
        done(store, &kept).await,
        [],
        "of a chain that was never followed nothing is known"
    );
    execute(
        store,
        "insert into indexer_service.indexer_checkpoints (chain_id, last_block, last_block_hash, head_block, finalized_block)
         values ('eip155:1', 20, '0x' || repeat('cd', 32), 20, 10);
         insert into indexer_service.indexer_blocks (chain_id, number, hash, block_time)
         values ('eip155:1', 10, '0x' || repeat('ef', 32), now() - interval '1 hour'), ('eip155:1', 20, '0x' || repeat('cd', 32), now())",
    )
    .await;
    let expected = actions(&[("orchestrator_service.tx_intents", "expired", 1)]);
    assert_eq!(preview(store, &kept).await.unwrap(), expected);
    assert_eq!(done(store, &kept).await, expected);
    let statuses: Vec<String> =
        sqlx::query_scalar("select status from orchestrator_service.tx_intents order by intent_id")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    assert_eq!(statuses, ["expired", "ready", "ready", "submitted"]);
    let noted = "orchestrator_service.session_intent_audit where audit_data ->> 'to' = 'expired'";
    assert_eq!(count(store, noted).await, 1);
}

#[tokio::test]
async fn the_role_of_the_daemon_may_do_all_of_it() {
    let test = Database::new().await;
    execute(&test.store, PEOPLE).await;
    fill(&test.store, "1 second").await;
    execute(
        &test.store,
        "select platform_service.ensure_month('notifications', now() - interval '3 months')",
    )
    .await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|db, _| Box::pin(async move { db.execute("set role indexer_daemon").await.map(drop) }))
        .connect(&test.url)
        .await
        .unwrap();
    let (store, kept) = (
        Store::new(pool),
        Kept {
            notifications: Some(1),
            ..Kept::default()
        },
    );
    let due = preview(&store, &kept).await.unwrap();
    assert_eq!(due.len(), 1 + GONE.len());
    assert_eq!(done(&store, &kept).await, due);
    store.pool.close().await;
}
