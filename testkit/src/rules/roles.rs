//! What each role may do, and which rows of people the API may show. Tests run where migrations may make roles.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::attempt::{RIGHTS, refused_by};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

/// Which relations a role may write beside those of its own schemas: rights on all columns, or on those that are named.
const WRITES: &str = "
    select string_agg(line, E'\\n' order by line) from (
        select format('%s %s', c.oid::regclass, string_agg(r.one, ',' order by r.one)) as line
        from pg_class c
        cross join unnest(array['insert', 'update', 'delete', 'truncate']) r (one)
        where c.relkind in ('r', 'p', 'v') and not c.relispartition and c.relnamespace::regnamespace::text like '%\\_service'
          and c.relnamespace::regnamespace::text <> all ($2)
          and (has_table_privilege($1, c.oid, r.one)
               or r.one in ('insert', 'update') and has_any_column_privilege($1, c.oid, r.one))
        group by c.oid
    ) lines";

/// A role, the schemas that are all its own, and what it may write elsewhere.
const ROLES: &[[&str; 3]] = &[
    ["auth_svc", "auth_service", ""],
    ["user_svc", "user_service", ""],
    ["wallet_svc", "wallet_service", ""],
    [
        "orchestrator_svc",
        "orchestrator_service",
        "catalog_service.collection_drafts delete,insert,update",
    ],
    ["platform_svc", "platform_service", ""],
    ["media_svc", "media_service", ""],
    [
        "governance_svc",
        "",
        "governance_service.comments delete,insert,update
governance_service.proposal_states delete,insert,update
governance_service.tokens update
governance_service.votes delete,insert,update",
    ],
    [
        "indexer_auth",
        "",
        "auth_service.auth_nonces insert,update
auth_service.login_events insert
auth_service.refresh_tokens insert,update
auth_service.service_tokens update
auth_service.sessions insert,update
auth_service.user_devices insert,update
user_service.users insert,update
wallet_service.wallet_activity insert
wallet_service.wallet_links insert",
    ],
    ["indexer_api", "", ""],
    [
        "indexer_daemon",
        "indexer_service,chain_registry_service,catalog_service,governance_service,media_service",
        "auth_service.auth_nonces delete
auth_service.login_events delete
auth_service.refresh_tokens delete
auth_service.sessions delete
orchestrator_service.minting_queue_items update
orchestrator_service.session_intent_audit insert
orchestrator_service.tx_intents update
platform_service.audit_logs insert
platform_service.notifications delete,insert,update
platform_service.ucie_alerts update
platform_service.ucie_analysis_cache delete
platform_service.ucie_phase_data delete
user_service.account_stats delete,insert,update
wallet_service.wallet_verifications update",
    ],
];

/// A role, a statement, and whether it may carry it out.
const TRIES: &[(&str, &str, bool)] = &[
    (
        "indexer_daemon",
        "update orchestrator_service.tx_intents set error = 'x'",
        true,
    ),
    (
        "indexer_daemon",
        "update orchestrator_service.tx_intents set kind = 'mint'",
        false,
    ),
    (
        "indexer_daemon",
        "update orchestrator_service.tx_intents set created_by = null",
        false,
    ),
    ("indexer_daemon", "delete from orchestrator_service.tx_intents", false),
    (
        "indexer_daemon",
        "update orchestrator_service.minting_queue_items set error = 'x'",
        true,
    ),
    (
        "indexer_daemon",
        "update orchestrator_service.minting_queue_items set quantity = 2",
        false,
    ),
    (
        "indexer_daemon",
        "update catalog_service.collection_drafts set deployed_at = now()",
        true,
    ),
    (
        "indexer_daemon",
        "update catalog_service.collection_drafts set name = 'x'",
        false,
    ),
    (
        "indexer_daemon",
        "update platform_service.ucie_alerts set triggered = true",
        true,
    ),
    (
        "indexer_daemon",
        "update platform_service.ucie_alerts set threshold_value = 1",
        false,
    ),
    ("indexer_daemon", "update user_service.profiles set bio = ''", false),
    (
        "indexer_daemon",
        "update wallet_service.wallet_links set verified_at = now()",
        false,
    ),
    (
        "indexer_daemon",
        "insert into governance_service.comments (proposal_id, content) select id, 'x' from governance_service.proposal_states",
        false,
    ),
    (
        "indexer_daemon",
        "select password_hash from auth_service.credentials",
        false,
    ),
    (
        "indexer_daemon",
        "select catalog_service.ensure_chain('eip155:4711')",
        true,
    ),
    ("indexer_daemon", "select platform_service.ensure_months(9)", true),
    ("indexer_daemon", "delete from platform_service.notifications", true),
    ("indexer_auth", "insert into user_service.users default values", true),
    ("indexer_auth", "update user_service.users set role = 'admin'", false),
    ("indexer_auth", "delete from auth_service.login_events", false),
    (
        "indexer_auth",
        "update auth_service.credentials set email_verified = true",
        false,
    ),
    (
        "governance_svc",
        "update governance_service.tokens set description = 'x'",
        true,
    ),
    (
        "governance_svc",
        "update governance_service.tokens set total_supply = 1",
        false,
    ),
    (
        "governance_svc",
        "insert into governance_service.proposal_states (id, type, status) values (gen_random_uuid(), 'poll', 'draft')",
        true,
    ),
    (
        "governance_svc",
        "insert into governance_service.proposal_states (id, chain_id, governor, proposal_number) \
        values (gen_random_uuid(), 'eip155:1', '0xdd00000000000000000000000000000000000001', '2')",
        false,
    ),
    ("user_svc", "update user_service.profiles set bio = ''", true),
    ("user_svc", "update user_service.account_stats set sales = 1", false),
    ("user_svc", "select count(*) from auth_service.sessions", false),
    ("wallet_svc", "update wallet_service.wallet_links set label = 'x'", true),
    (
        "orchestrator_svc",
        "update orchestrator_service.tx_intents set status = 'ready'",
        true,
    ),
    (
        "orchestrator_svc",
        "update catalog_service.collections set name = 'x'",
        false,
    ),
    (
        "platform_svc",
        "update platform_service.notifications set is_read = true",
        true,
    ),
    (
        "media_svc",
        "update media_service.media_uploads set status = 'ready'",
        true,
    ),
    ("indexer_api", "select token_hash from auth_service.sessions", false),
    ("indexer_api", "select count(*) from auth_service.auth_nonces", false),
    (
        "indexer_api",
        "select url from chain_registry_service.chain_endpoints",
        false,
    ),
    (
        "indexer_api",
        "select count(*) from platform_service.notifications_default",
        false,
    ),
];

/// Queries of rows that only their owner sees: as no one, as Bob, as Alice.
const PRIVATE: &[&str] = &[
    "select count(*) from auth_service.login_events",
    "select count(session_id) from auth_service.sessions",
    "select count(*) from auth_service.user_devices",
    "select count(*) from auth_service.access_codes",
    "select count(user_id) from auth_service.credentials",
    "select count(*) from wallet_service.wallet_activity",
    "select count(*) from wallet_service.wallet_verifications",
    "select count(*) from orchestrator_service.tx_intents",
    "select count(*) from orchestrator_service.intents",
    "select count(*) from orchestrator_service.session_intent_audit",
    "select count(*) from orchestrator_service.minting_queue_items",
    "select count(*) from catalog_service.collection_drafts",
    "select count(*) from governance_service.proposals where chain_id is null",
    "select count(*) from platform_service.notifications",
    "select count(*) from platform_service.ucie_alerts",
    "select count(*) from platform_service.ucie_watchlist",
    "select count(*) from media_service.media_uploads",
    "select count(*) from user_service.diaries",
    // Of Alice's profile, once it is private.
    "select count(*) from user_service.users where user_id::text like '%a'",
    "select count(*) from user_service.profiles where user_id::text like '%a'",
    "select count(*) from user_service.user_preferences where user_id::text like '%a'",
    "select count(*) from user_service.user_stats where user_id::text like '%a'",
    "select count(*) from user_service.referral_codes where code like 'ALICE%'",
    "select count(*) from wallet_service.wallet_links",
    "select count(*) from governance_service.user_tokens",
];

/// Callers, as settings of a session, and a query with what it counts for them.
const CALLERS: &[[&str; 3]] = &[
    [
        "set local app.role = 'admin'",
        "select count(*) from auth_service.login_events",
        "1",
    ],
    [
        "set local app.role = 'admin'",
        "select count(*) from platform_service.notifications",
        "0",
    ],
    [
        "set local app.role = 'admin'",
        "select count(*) from platform_service.audit_logs",
        "1",
    ],
    [
        "set local app.role = 'moderator'",
        "select count(*) from platform_service.audit_logs",
        "0",
    ],
    [
        "set local app.role = 'user'",
        "select count(*) from platform_service.settings",
        "0",
    ],
    [
        "set local app.scopes = 'intents:read'",
        "select count(*) from orchestrator_service.tx_intents",
        "1",
    ],
    [
        "set local app.scopes = 'notifications:read'",
        "select count(*) from orchestrator_service.tx_intents",
        "0",
    ],
    [
        "set local app.scopes = 'x notifications:read'",
        "select count(*) from platform_service.notifications",
        "1",
    ],
    // A private profile is not shown to those that it does not follow.
    [
        "set local app.role = 'user'",
        "select count(*) from governance_service.proposals",
        "1",
    ],
    [
        "set local app.role = 'user'",
        "select count(*) from governance_service.governors",
        "0",
    ],
    [
        "set local app.role = 'moderator'",
        "select count(*) from governance_service.governors",
        "1",
    ],
];

pub(super) async fn hold(pool: &PgPool) {
    let missing: Vec<String> = sqlx::query_scalar("select indexer_service.ensure_roles()")
        .fetch_all(pool)
        .await
        .unwrap();
    assert!(missing.is_empty(), "roles that could not be made: {missing:?}");
    each_writes_its_own(pool).await;
    each_is_held_to_its_rights(pool).await;
    rows_are_of_their_people(pool).await;
}

async fn each_writes_its_own(pool: &PgPool) {
    for [role, own, elsewhere] in ROLES {
        let own: Vec<String> = own.split(',').map(str::to_owned).collect();
        let writes: Option<String> = sqlx::query_scalar(WRITES)
            .bind(role)
            .bind(own)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(writes.unwrap_or_default(), *elsewhere, "what {role} writes");
    }
}

async fn each_is_held_to_its_rights(pool: &PgPool) {
    for (role, statement, may) in TRIES {
        let refused = refused_by(pool, &format!("set local role {role}; {statement}")).await;
        assert_eq!(refused.as_deref(), (!may).then_some(RIGHTS), "{role}: {statement}");
    }
}

async fn rows_are_of_their_people(pool: &PgPool) {
    let mut transaction = pool.begin().await.unwrap();
    let private = "update user_service.user_preferences set privacy_level = 'friends'";
    sqlx::query(private).execute(&mut *transaction).await.unwrap();
    sqlx::query("set local role indexer_api")
        .execute(&mut *transaction)
        .await
        .unwrap();
    for query in PRIVATE {
        for (caller, sees) in [("", false), (BOB, false), (ALICE, true)] {
            let seen = counted(&mut transaction, caller, query).await;
            assert_eq!(seen > 0, sees, "{seen} rows for {caller:?}: {query}");
        }
    }
    // Bob sees Alice's profile when both follow each other.
    let profile = "select count(*) from user_service.profiles where user_id::text like '%a'";
    sqlx::query("reset role").execute(&mut *transaction).await.unwrap();
    let befriends = "insert into user_service.user_follows (follower_id, following_id) select following_id, follower_id from user_service.user_follows";
    sqlx::query(befriends).execute(&mut *transaction).await.unwrap();
    sqlx::query("set local role indexer_api")
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(counted(&mut transaction, BOB, profile).await, 1);
    for [caller, query, count] in CALLERS {
        sqlx::query("set local app.role = ''")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query("set local app.scopes = ''")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query(AssertSqlSafe(*caller))
            .execute(&mut *transaction)
            .await
            .unwrap();
        let seen = counted(&mut transaction, "", query).await;
        assert_eq!(seen.to_string(), *count, "{caller}: {query}");
    }
    transaction.rollback().await.unwrap();
}

/// How many rows `caller` counts with `query`.
async fn counted(db: &mut PgConnection, caller: &str, query: &str) -> i64 {
    sqlx::query("select set_config('app.user_id', $1, true)")
        .bind(caller)
        .execute(&mut *db)
        .await
        .unwrap();
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_one(db)
        .await
        .unwrap()
}
