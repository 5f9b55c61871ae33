//! What PostgreSQL's catalogue shows of the rules.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgPool;

/// Names of the checks, unique keys and unique indexes of the tables that others write.
const RULES: &str = "
    select c.conname::text from pg_constraint c
    where c.contype in ('c', 'u') and c.conrelid <> 0 and c.coninhcount = 0
      and (c.connamespace::regnamespace::text = any($1) or c.conrelid = 'catalog_service.collection_drafts'::regclass)
    union
    select x.relname::text from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
    where i.indisunique and not i.indisprimary and not t.relispartition
      and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
      and t.relnamespace::regnamespace::text = any($1)
    order by 1";

/// Foreign keys whose columns lead no index: deleting what they refer to would read the whole table.
const WITHOUT_INDEX: &str = "
    select format('%s %s', c.conrelid::regclass, c.conname) from pg_constraint c
    where c.contype = 'f' and c.connamespace::regnamespace::text like '%\\_service'
      and not exists (
          select from pg_index i
          where i.indrelid = c.conrelid
            and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
            and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] <@ c.conkey)";

/// Tables with a column `updated_at` that does not move by itself.
const UNTOUCHED: &str = "
    select format('%s', t.oid::regclass) from pg_class t join pg_attribute a on a.attrelid = t.oid
    where t.relnamespace::regnamespace::text like '%\\_service' and t.relkind in ('r', 'p') and not t.relispartition
      and a.attname = 'updated_at'
      and not exists (select from pg_trigger g where g.tgrelid = t.oid
                      and g.tgfoid = 'chain_registry_service.touch_updated_at'::regproc)";

/// What becomes of a row when the user it names goes: `c` goes too, `n` forgets the user, `r` keeps the user.
const WITH_USERS: &str = "
    select format('%s.%s', c.conrelid::regclass, a.attname), c.confdeltype::text
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.contype = 'f' and c.confrelid = 'user_service.users'::regclass and c.conparentid = 0
    order by 1";

/// As the documents ask.
const ON_DELETE: &[[&str; 2]] = &[
    ["auth_service.access_codes.redeemed_by", "n"],
    ["auth_service.credentials.user_id", "c"],
    ["auth_service.login_events.user_id", "n"],
    ["auth_service.refresh_tokens.user_id", "c"],
    ["auth_service.service_tokens.created_by", "n"],
    ["auth_service.sessions.user_id", "c"],
    ["auth_service.user_devices.user_id", "c"],
    ["catalog_service.collection_drafts.user_id", "n"],
    ["governance_service.comments.user_id", "n"],
    ["governance_service.proposal_states.author_id", "n"],
    ["governance_service.votes.voter_id", "n"],
    ["orchestrator_service.minting_queue_items.user_id", "n"],
    ["orchestrator_service.session_intent_audit.user_id", "n"],
    ["orchestrator_service.tx_intents.created_by", "n"],
    ["platform_service.audit_logs.user_id", "n"],
    ["platform_service.notifications.user_id", "c"],
    ["platform_service.transactions.user_id", "r"],
    ["platform_service.ucie_alerts.user_id", "c"],
    ["platform_service.ucie_watchlist.user_id", "c"],
    ["user_service.diaries.user_id", "c"],
    ["user_service.profiles.user_id", "c"],
    ["user_service.referral_codes.user_id", "n"],
    ["user_service.referrals.referred_user_id", "n"],
    ["user_service.referrals.referrer_id", "n"],
    ["user_service.user_counters.user_id", "c"],
    ["user_service.user_follows.follower_id", "c"],
    ["user_service.user_follows.following_id", "c"],
    ["user_service.user_preferences.user_id", "c"],
    ["wallet_service.wallet_links.user_id", "c"],
];

/// Schemas of which every rule is tried.
const OF_OTHERS: [&str; 7] = [
    "auth_service",
    "governance_service",
    "media_service",
    "orchestrator_service",
    "platform_service",
    "user_service",
    "wallet_service",
];

/// Facts do not change, so their `updated_at` stays.
const FACTS: [&str; 1] = ["governance_service.votes"];

/// Partitions of a table: its strategy and their names.
const PARTITIONS: &str = "
    select p.partstrat::text, array(select inhrelid::regclass::text from pg_inherits where inhparent = p.partrelid order by 1)
    from pg_partitioned_table p where p.partrelid = $1::regclass";

pub(super) async fn hold(pool: &PgPool, refusals: &[[&str; 2]]) {
    every_rule_is_tried(pool, refusals).await;
    keys_and_times_are_kept(pool).await;
    partitions_exist(pool).await;
}

/// No rule is added without a row that breaks it.
async fn every_rule_is_tried(pool: &PgPool, refusals: &[[&str; 2]]) {
    let rules: Vec<String> = sqlx::query_scalar(RULES)
        .bind(OF_OTHERS.map(str::to_owned).to_vec())
        .fetch_all(pool)
        .await
        .unwrap();
    let tried: BTreeSet<&str> = refusals.iter().map(|[rule, _]| *rule).collect();
    let untried: Vec<&String> = rules.iter().filter(|rule| !tried.contains(rule.as_str())).collect();
    assert!(untried.is_empty(), "rules without a row that breaks them: {untried:?}");
    assert!(rules.len() > 150, "only {} rules", rules.len());
}

async fn keys_and_times_are_kept(pool: &PgPool) {
    let bare: Vec<String> = sqlx::query_scalar(WITHOUT_INDEX).fetch_all(pool).await.unwrap();
    assert!(bare.is_empty(), "foreign keys that lead no index: {bare:?}");
    let untouched: Vec<String> = sqlx::query_scalar(UNTOUCHED).fetch_all(pool).await.unwrap();
    assert_eq!(untouched, FACTS, "tables whose updated_at does not move");
    let found: Vec<(String, String)> = sqlx::query_as(WITH_USERS).fetch_all(pool).await.unwrap();
    let found: BTreeMap<&str, &str> = found
        .iter()
        .map(|(column, action)| (column.as_str(), action.as_str()))
        .collect();
    let asked: BTreeMap<&str, &str> = ON_DELETE.iter().map(|[column, action]| (*column, *action)).collect();
    assert_eq!(found, asked);
}

async fn partitions_exist(pool: &PgPool) {
    for (table, strategy, least) in [
        ("governance_service.votes", "h", 16),
        ("governance_service.comments", "h", 16),
        // The month the database was made in, three more, and the default.
        ("platform_service.notifications", "r", 5),
        ("platform_service.transactions", "r", 5),
        ("platform_service.audit_logs", "r", 5),
    ] {
        let (by, parts): (String, Vec<String>) = sqlx::query_as(PARTITIONS).bind(table).fetch_one(pool).await.unwrap();
        assert_eq!(by, strategy, "{table}");
        assert!(parts.len() >= least, "{table} has only {parts:?}");
    }
}
