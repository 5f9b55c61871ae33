//! What triggers and views do, and what becomes of rows when others go.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::attempt::refused_by;

/// What is done, what is asked then, and what the answer must be.
struct Effect {
    about: &'static str,
    does: &'static str,
    /// Pairs of a query of one text and its answer.
    shows: &'static [[&'static str; 2]],
}

const PEOPLE: &[Effect] = &[
    Effect {
        about: "a new user has a profile, preferences and counters, and so statistics",
        does: "insert into user_service.users (user_id) values ('00000000-0000-4000-8000-00000000000c')",
        shows: &[
            [
                "select count(*)::text from user_service.profiles p join user_service.user_preferences s using (user_id)
                     join user_service.user_stats t using (user_id)
                 where user_id = '00000000-0000-4000-8000-00000000000c'",
                "1",
            ],
            [
                "select concat_ws(' ', collections_count, items_count, listings_count, sales_count, purchases_count, volume_sold,
                                  volume_purchased, followers_count, following_count)
                 from user_service.user_stats where user_id = '00000000-0000-4000-8000-00000000000c'",
                "0 0 0 0 0 0.00000000 0.00000000 0 0",
            ],
        ],
    },
    Effect {
        about: "follows are counted, whatever their number in a statement",
        does: "insert into user_service.users (user_id)
               values ('00000000-0000-4000-8000-00000000000c'), ('00000000-0000-4000-8000-00000000000d');
               insert into user_service.user_follows (follower_id, following_id)
               values ('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000b'),
                      ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000b'),
                      ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000c');
               insert into user_service.user_follows (follower_id, following_id)
               values ('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000b') on conflict do nothing",
        shows: &[[FOLLOWS, "a 0/1, b 3/1, c 1/1, d 0/1"]],
    },
    Effect {
        about: "a follow that ends is no longer counted",
        does: "delete from user_service.user_follows",
        shows: &[[FOLLOWS, "a 0/0, b 0/0"]],
    },
    Effect {
        about: "the follows of a user go with the user",
        does: "delete from user_service.users where user_id = '00000000-0000-4000-8000-00000000000a'",
        shows: &[[FOLLOWS, "b 0/0"]],
    },
    Effect {
        about: "a deleted account keeps its row and is not active",
        does: "update user_service.users set status = 'deleted' where user_id = '00000000-0000-4000-8000-00000000000a'",
        shows: &[[
            "select is_active::text || ' ' || (updated_at > created_at)::text from user_service.users
             where user_id = '00000000-0000-4000-8000-00000000000a'",
            "false true",
        ]],
    },
    Effect {
        about: "the columns of one document follow the object of another",
        does: "update user_service.profiles set socials_json = socials_json || '{\"telegram\": \"a\"}'",
        shows: &[[
            "select concat_ws(' ', website, twitter, coalesce(discord, '-'), telegram) from user_service.profiles
             where user_id = '00000000-0000-4000-8000-00000000000a'",
            "https://alice.example alice - a",
        ]],
    },
    Effect {
        about: "legacy ids follow their users, both ways",
        does: "insert into user_service.diaries (legacy_user_id)
               select legacy_id from user_service.users where user_id = '00000000-0000-4000-8000-00000000000b';
               update orchestrator_service.minting_queue_items set user_id = '00000000-0000-4000-8000-00000000000b'",
        shows: &[[
            "select concat(
                 (select count(*) from user_service.diaries d join user_service.users u using (user_id) where u.legacy_id = d.legacy_user_id),
                 ' ',
                 (select count(*) from orchestrator_service.minting_queue_items i join user_service.users u using (user_id)
                  where u.legacy_id = i.legacy_user_id and u.user_id = '00000000-0000-4000-8000-00000000000b'))",
            "2 1",
        ]],
    },
    Effect {
        about: "a referral that goes gives its use back",
        does: "delete from user_service.referrals",
        shows: &[["select uses::text from user_service.referral_codes where code = 'ALICE-1'", "0"]],
    },
    Effect {
        about: "a referral names whose code it was",
        does: "select 1",
        shows: &[[
            "select right(r.referrer_id::text, 1) || ' ' || c.uses from user_service.referrals r
             join user_service.referral_codes c on c.id = r.referral_code_id",
            "a 1",
        ]],
    },
];

/// Followers and followed of every user, named by the last digit of the id.
const FOLLOWS: &str = "select string_agg(right(user_id::text, 1) || ' ' || followers_count || '/' || following_count, ', ' order by user_id)
    from user_service.user_stats";

const ERASED: &[Effect] = &[
    Effect {
        about: "what is a user's own goes with the user",
        does: "delete from user_service.users where user_id = '00000000-0000-4000-8000-00000000000a'",
        shows: &[[
            "select concat_ws(' ',
                 (select count(*) from auth_service.sessions), (select count(*) from auth_service.refresh_tokens),
                 (select count(*) from auth_service.user_devices), (select count(*) from auth_service.credentials),
                 (select count(*) from user_service.diaries), (select count(*) from wallet_service.wallet_links),
                 (select count(*) from wallet_service.wallet_activity), (select count(*) from wallet_service.wallet_verifications),
                 (select count(*) from platform_service.notifications), (select count(*) from platform_service.ucie_watchlist),
                 (select count(*) from platform_service.ucie_alerts))",
            "0 0 0 0 0 0 0 0 0 0 0",
        ]],
    },
    Effect {
        about: "what others keep of a user stays without the user",
        does: "delete from user_service.users where user_id = '00000000-0000-4000-8000-00000000000a'",
        shows: &[
            [
                "select concat_ws(' ',
                     (select count(*) from auth_service.login_events where user_id is null),
                     (select count(*) from auth_service.access_codes where redeemed and redeemed_by is null and redeemed_at is not null),
                     (select count(*) from orchestrator_service.tx_intents where created_by is null),
                     (select count(*) from orchestrator_service.session_intent_audit where user_id is null),
                     (select count(*) from orchestrator_service.minting_queue_items where user_id is null and legacy_user_id is null),
                     (select count(*) from catalog_service.collection_drafts where user_id is null),
                     (select count(*) from platform_service.audit_logs where user_id is null),
                     (select count(*) from governance_service.votes where voter_id is null),
                     (select count(*) from governance_service.comments where user_id is null),
                     (select count(*) from governance_service.proposal_states where id::text like '9%2' and author_id is null))",
                "1 1 1 1 1 1 1 1 1 1",
            ],
        ],
    },
    Effect {
        about: "a session outlives its wallet and its device",
        does: "delete from wallet_service.wallet_links; delete from auth_service.user_devices",
        shows: &[[
            "select count(*)::text from auth_service.sessions where wallet_id is null and device_id is null",
            "1",
        ]],
    },
    Effect {
        about: "an intent's trail goes with it, its items stay",
        does: "delete from orchestrator_service.tx_intents",
        shows: &[[
            "select concat_ws(' ', (select count(*) from orchestrator_service.session_intent_audit),
                 (select count(*) from orchestrator_service.minting_queue_items where intent_id is null),
                 (select count(*) from catalog_service.collection_drafts where intent_id is null))",
            "0 1 1",
        ]],
    },
    Effect {
        about: "replies go with what they reply to, and comments with their proposal",
        does: "delete from governance_service.comments where parent_id is null",
        shows: &[["select count(*)::text from governance_service.comments", "0"]],
    },
    Effect {
        about: "comments go with their proposal, votes are facts",
        does: "delete from governance_service.proposal_states where chain_id is null",
        shows: &[[
            "select concat_ws(' ', (select count(*) from governance_service.comments), (select count(*) from governance_service.votes))",
            "0 1",
        ]],
    },
];

const NUMBERS: &[Effect] = &[
    Effect {
        about: "statistics are sums over verified wallets, in the chain's own currency, and never below zero",
        does: "insert into chain_registry_service.chains (caip2, chain_numeric, name) values ('eip155:1', 1, 'Ethereum'), ('eip155:10', 10, 'O');
               insert into catalog_service.currencies (chain_id, address, symbol, decimals)
               values ('eip155:1', '0x00000000000000000000000000000000000000ff', 'USD', 6);
               insert into user_service.account_stats (chain_id, account, currency, sales, purchases, volume_sold_raw, volume_purchased_raw)
               values ('eip155:1', '\\xaa00000000000000000000000000000000000001', '\\x00000000000000000000000000000000000000ff', 2, -9, 5, 5),
                      ('eip155:10', '\\xaa00000000000000000000000000000000000001', '\\x0000000000000000000000000000000000000000', 7, 7, 7, 7);
               update user_service.account_stats set volume_sold_raw = 1234567890123456789, volume_purchased_raw = 1e60
               where chain_id = 'eip155:1' and currency = '\\x0000000000000000000000000000000000000000'",
        shows: &[[
            "select concat_ws(' ', sales_count, purchases_count, volume_sold, volume_purchased) from user_service.user_stats
             where user_id = '00000000-0000-4000-8000-00000000000a'",
            "3 0 1.23456789 999999999999.00000000",
        ]],
    },
    Effect {
        about: "a linked wallet brings what it holds, an unlinked one takes it away",
        does: "insert into catalog_service.collections (id, slug, chain_id, contract_address, collection_type, first_position)
               select md5(n::text)::uuid, n::text, 'eip155:' || n, '0x' || repeat(n::text, 40), 'erc721', gen_random_uuid()
               from (values (1), (5)) c (n);
               insert into catalog_service.token_states (id, collection_id, owner_position, number, standard, owner)
               select gen_random_uuid(), md5(n::text)::uuid, gen_random_uuid(), i, 'erc721', '\\xaa00000000000000000000000000000000000001'
               from (values (1), (5)) c (n), generate_series(1, 3) i;
               insert into catalog_service.token_states (id, collection_id, number, standard, supply)
               values ('aa000000-0000-4000-8000-000000000001', md5('1')::uuid, 9, 'erc1155', 4);
               insert into catalog_service.erc1155_balances (token, owner, quantity)
               values ('aa000000-0000-4000-8000-000000000001', '\\xaa00000000000000000000000000000000000001', 4),
                      ('aa000000-0000-4000-8000-000000000001', '\\xbb00000000000000000000000000000000000001', -4);
               insert into wallet_service.wallet_links (user_id, account_id, address, chain_id, verified_at)
               select '00000000-0000-4000-8000-00000000000b', 'eip155:1:0x' || a, '0x' || a, 'eip155:1', now()
               from (values ('bb00000000000000000000000000000000000001')) w (a)",
        shows: &[[
            "select string_agg(concat_ws('/', items_count, collections_count), ' ' order by user_id) from user_service.user_stats",
            "4/1 0/0",
        ]],
    },
    Effect {
        about: "power is summed over verified wallets of the token's chain",
        does: "update governance_service.token_accounts set voting_power = 5, balance = 7",
        shows: &[[
            "select string_agg(concat_ws(' ', right(user_id::text, 1), balance, voting_power, coalesce(staked_balance::text, '-')), ', ')
             from governance_service.user_tokens",
            "a 7 5 -",
        ]],
    },
    Effect {
        about: "a proposal of the chain shows the user of its proposer, and its sums",
        does: "update governance_service.proposal_tallies set yes_votes = 5, no_votes = 3, abstain_votes = 2, other_votes = 1",
        shows: &[[
            "select concat_ws(' ', right(proposer_id::text, 1), status, total_votes) from governance_service.proposals
             where chain_id is not null",
            "a pending 11",
        ]],
    },
    Effect {
        about: "only the newest delegation of a delegator is in force",
        does: "insert into governance_service.delegation_facts
                   (id, chain_id, token_id, delegator, from_delegate, to_delegate, block_number, block_hash, block_time, tx_hash, log_index)
               select ('00000000-0000-8000-8000-00000000000' || n)::uuid, 'eip155:1', '70000000-0000-4000-8000-000000000001',
                      '0x' || repeat('1', 40), '0x' || repeat('0', 40), '0x' || repeat(n::text, 40), n, '0x' || repeat('1', 64), now(),
                      '0x' || repeat('2', 64), 0
               from generate_series(1, 3) n",
        shows: &[[
            "select string_agg(left(to_delegate, 3), ' ') from governance_service.delegations where is_current",
            "0x3",
        ]],
    },
    Effect {
        about: "how firm a confirmed intent stands follows from the checkpoint",
        does: "insert into indexer_service.indexer_checkpoints (chain_id, last_block, last_block_hash, head_block, safe_block, finalized_block)
               values ('eip155:1', 100, '0x' || repeat('1', 64), 100, 90, 80);
               alter table orchestrator_service.tx_intents disable trigger tx_intents_moves;
               update orchestrator_service.tx_intents set status = 'confirmed', tx_hash = '0x' || repeat('1', 64), block_number = 85,
                   block_hash = '0x' || repeat('1', 64)",
        shows: &[["select finality from orchestrator_service.intents", "safe"]],
    },
];

const MONTHS: &[Effect] = &[
    Effect {
        about: "a row of a month without a partition is kept, and moves when the partition is made; months are those of UTC",
        does: "set local time zone 'America/New_York';
               insert into platform_service.audit_logs (action, resource_type, created_at)
               values ('last', 'x', '2028-01-31 23:59:59.999999+00'), ('first', 'x', '2028-02-01 00:00:00+00'),
                      ('leap', 'x', '2028-02-29 23:59:59+00'), ('march', 'x', '2028-03-01 00:00:00+00');
               select platform_service.ensure_month('audit_logs', '2028-02-29 12:00:00+00')",
        shows: &[
            [
                "select string_agg(action, ' ' order by created_at) from platform_service.audit_logs_2028_02",
                "first leap",
            ],
            [
                "select string_agg(action, ' ' order by created_at) from platform_service.audit_logs_default",
                "last march",
            ],
            [
                "select string_agg(platform_service.ensure_month('audit_logs', at)::text, ' ')
                 from (values ('2028-02-01 00:00:00+00'::timestamptz), ('2028-01-31 23:59:59+00')) moments (at)",
                "false true",
            ],
        ],
    },
    Effect {
        about: "months ahead are made over the turn of the year, once",
        does: "select platform_service.ensure_months(2, '2030-11-30 23:00:00+00')",
        shows: &[
            [
                "select string_agg(relname, ' ' order by relname) from pg_class
                 where relname like 'notifications\\_203_\\___' and relkind = 'r'",
                "notifications_2030_11 notifications_2030_12 notifications_2031_01",
            ],
            ["select count(*)::text from platform_service.ensure_months(2, '2030-11-30 23:00:00+00')", "0"],
        ],
    },
    Effect {
        about: "a partition has the keys, checks and triggers of its table",
        does: "select platform_service.ensure_months(0, '2033-05-05 00:00:00+00');
               insert into platform_service.notifications (user_id, type, title, created_at)
               values ('00000000-0000-4000-8000-00000000000b', 'item_sold', 'x', '2033-05-05 00:00:00+00')",
        shows: &[[
            "select concat_ws(' ',
                 (select count(*) from pg_constraint where conrelid = 'platform_service.notifications_2033_05'::regclass and contype = 'c'),
                 (select count(*) from pg_constraint where conrelid = 'platform_service.notifications_2033_05'::regclass and contype = 'f'),
                 (select count(*) from pg_index where indrelid = 'platform_service.notifications_2033_05'::regclass),
                 (select count(*) from pg_trigger where tgrelid = 'platform_service.notifications_2033_05'::regclass and not tgisinternal),
                 (select count(*) from platform_service.notifications_2033_05))",
            "3 1 5 1 1",
        ]],
    },
];

pub(super) async fn hold(pool: &PgPool) {
    for effect in [PEOPLE, ERASED, NUMBERS, MONTHS].into_iter().flatten() {
        let mut transaction = pool.begin().await.unwrap();
        run(&mut transaction, effect.does, effect.about).await;
        for [query, answer] in effect.shows {
            let shown: Option<String> = sqlx::query_scalar(AssertSqlSafe(*query))
                .fetch_one(&mut *transaction)
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", effect.about));
            assert_eq!(shown.as_deref(), Some(*answer), "{}: {query}", effect.about);
        }
        transaction.rollback().await.unwrap();
    }
    proposals_follow_the_clock(pool).await;
    intents_move_as_listed(pool).await;
    who_moved_money_stays(pool).await;
}

async fn run(db: &mut PgConnection, statements: &str, about: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(db).await;
    done.unwrap_or_else(|error| panic!("{about}: {error}"));
}

/// Block of the checkpoint, votes for and against, and the status they make of a proposal that is open from block 10 to block 20 with a
/// quorum of 5.
const CLOCK: [[&str; 4]; 6] = [
    ["10", "9", "1", "pending"],
    ["11", "9", "1", "active"],
    ["20", "9", "1", "active"],
    ["21", "9", "1", "passed"],
    ["21", "4", "1", "rejected"],
    ["21", "6", "6", "rejected"],
];

async fn proposals_follow_the_clock(pool: &PgPool) {
    for [block, yes, no, status] in CLOCK {
        let does = format!(
            "insert into indexer_service.indexer_checkpoints (chain_id, last_block, last_block_hash)
             values ('eip155:1', {block}, '0x' || repeat('1', 64));
             update governance_service.proposal_states set starts = 10, ends = 20, quorum = 5 where chain_id is not null;
             update governance_service.proposal_tallies set yes_votes = {yes}, no_votes = {no}"
        );
        let query = "select status from governance_service.proposals where chain_id is not null";
        let mut transaction = pool.begin().await.unwrap();
        run(&mut transaction, &does, status).await;
        let shown: Option<String> = sqlx::query_scalar(query).fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(shown.as_deref(), Some(status), "at block {block}, {yes} to {no}");
        transaction.rollback().await.unwrap();
    }
}

/// The words of an intent's status.
const STATUSES: [&str; 6] = ["pending", "ready", "submitted", "confirmed", "failed", "expired"];

/// Which may follow which.
const MOVES: [[&str; 2]; 14] = [
    ["pending", "ready"],
    ["pending", "failed"],
    ["pending", "expired"],
    ["ready", "submitted"],
    ["ready", "failed"],
    ["ready", "expired"],
    ["submitted", "confirmed"],
    ["submitted", "failed"],
    ["submitted", "expired"],
    ["confirmed", "submitted"],
    ["failed", "submitted"],
    ["expired", "pending"],
    ["expired", "ready"],
    ["expired", "submitted"],
];

async fn intents_move_as_listed(pool: &PgPool) {
    for from in STATUSES {
        for to in STATUSES {
            let tried = format!(
                "alter table orchestrator_service.tx_intents disable trigger tx_intents_moves;
                 update orchestrator_service.tx_intents set status = '{from}', tx_hash = '0x' || repeat('1', 64), block_number = 1,
                     block_hash = '0x' || repeat('1', 64);
                 alter table orchestrator_service.tx_intents enable trigger tx_intents_moves;
                 update orchestrator_service.tx_intents set status = '{to}'"
            );
            let listed = from == to || MOVES.contains(&[from, to]);
            let refused = refused_by(pool, &tried).await;
            assert_eq!(
                refused.as_deref(),
                (!listed).then_some("tx_intents_moves"),
                "{from} to {to}"
            );
        }
    }
}

async fn who_moved_money_stays(pool: &PgPool) {
    let erased = "delete from user_service.users where user_id = '00000000-0000-4000-8000-00000000000b'";
    let refused = refused_by(pool, erased).await;
    assert_eq!(refused.as_deref(), Some("transactions_user_id_fkey"));
}
