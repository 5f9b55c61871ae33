//! Which rows are past their time, and what becomes of them.

/// A kind of row that goes with time.
pub(super) struct Rule {
    /// The table, with its schema.
    pub(super) table: &'static str,
    /// What is done to its rows.
    pub(super) action: &'static str,
    /// Counts those that are due at `$1`.
    pub(super) due: &'static str,
    /// Settles up to `$2` of those that are due at `$1`, and counts them.
    pub(super) settle: &'static str,
}

/// A rule that deletes rows of a table, which has this key, where a condition on `$1`, the time, holds.
macro_rules! deletes {
    ($table:literal, $key:literal, $due:literal) => {
        Rule {
            table: $table,
            action: "deleted",
            due: concat!("select count(*) from ", $table, " where ", $due),
            settle: concat!(
                "with due as (select ",
                $key,
                " from ",
                $table,
                " where ",
                $due,
                " limit $2),
                 gone as (delete from ",
                $table,
                " t using due where t.",
                $key,
                " = due.",
                $key,
                " returning 1)
                 select count(*) from gone"
            ),
        }
    };
}

/// The same for rows that are changed.
macro_rules! changes {
    ($table:literal, $key:literal, $action:literal, $set:literal, $due:literal) => {
        Rule {
            table: $table,
            action: $action,
            due: concat!("select count(*) from ", $table, " where ", $due),
            settle: concat!(
                "with due as (select ",
                $key,
                " from ",
                $table,
                " where ",
                $due,
                " limit $2),
                 done as (update ",
                $table,
                " t set ",
                $set,
                " from due where t.",
                $key,
                " = due.",
                $key,
                " returning 1)
                 select count(*) from done"
            ),
        }
    };
}

/// THE list of rules. What refers to a row comes before it.
pub(super) const RULES: &[Rule] = &[
    deletes!("auth_service.login_events", "id", r#""timestamp" < $1 - interval '90 days'"#),
    // Where a token was used twice, what shows it is kept for longer.
    deletes!(
        "auth_service.refresh_tokens",
        "id",
        "least(expires_at, coalesce(revoked_at, expires_at)) < $1 - case when revoke_reason = 'refresh_reuse' then interval '30 days'
                                                                        else interval '1 day' end"
    ),
    deletes!(
        "auth_service.sessions",
        "session_id",
        "least(expires_at, coalesce(revoked_at, expires_at)) < $1 - case when revoke_reason = 'refresh_reuse' then interval '30 days'
                                                                        else interval '1 day' end"
    ),
    deletes!("auth_service.auth_nonces", "nonce", "expires_at < $1 - interval '1 day'"),
    changes!(
        "wallet_service.wallet_verifications",
        "id",
        "expired",
        "status = 'expired'",
        "status = 'pending' and expires_at < $1"
    ),
    deletes!("platform_service.ucie_phase_data", "id", "expires_at < $1"),
    deletes!("platform_service.ucie_analysis_cache", "id", "expires_at < $1"),
    changes!(
        "platform_service.ucie_alerts",
        "id",
        "disabled",
        "enabled = false",
        "enabled and expires_at < $1"
    ),
    Rule {
        table: "orchestrator_service.tx_intents",
        action: "expired",
        due: INTENTS_DUE,
        settle: EXPIRE_INTENTS,
    },
];

// By the time of the chain's final block and not by a clock, which a chain that stands still is ahead of; a final block is not undone. An
// intent with a transaction is the watcher's: only the sender's nonce shows that it will not be seen any more.
const INTENTS_DUE: &str = "select count(*) from orchestrator_service.tx_intents i
    join indexer_service.indexer_checkpoints c on c.chain_id = i.chain_id
    join indexer_service.indexer_blocks b on b.chain_id = c.chain_id and b.number = least(c.finalized_block, c.last_block)
    where i.status in ('pending', 'ready') and i.tx_hash is null and i.deadline_at < least(b.block_time, $1::timestamptz)";

// Locked by the update alone: one that the orchestrator moved meanwhile is no longer due.
const EXPIRE_INTENTS: &str = "with due as (
        select i.intent_id, i.status from orchestrator_service.tx_intents i
        join indexer_service.indexer_checkpoints c on c.chain_id = i.chain_id
        join indexer_service.indexer_blocks b on b.chain_id = c.chain_id and b.number = least(c.finalized_block, c.last_block)
        where i.status in ('pending', 'ready') and i.tx_hash is null and i.deadline_at < least(b.block_time, $1::timestamptz)
        limit $2
    ), done as (
        update orchestrator_service.tx_intents i set status = 'expired', settled_at = $1, error = 'deadline passed'
        from due where i.intent_id = due.intent_id and i.status = due.status and i.tx_hash is null
        returning i.intent_id, i.auth_session_id, i.created_by, due.status as before
    ), noted as (
        insert into orchestrator_service.session_intent_audit (session_id, intent_id, user_id, audit_data)
        select auth_session_id, intent_id, created_by, jsonb_build_object('from', before, 'to', 'expired', 'why', 'deadline passed')
        from done
    )
    select count(*) from done";
