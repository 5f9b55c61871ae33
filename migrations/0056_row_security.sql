-- Which rows of people the API may show, whatever a query forgets to ask: it states its caller in the settings app.user_id, app.role (user,
-- moderator, admin) and app.scopes (of a service token). Without a caller there are no rows of a person. Other roles see all rows of what
-- they may read; the owner of the tables is not asked.
create or replace function user_service.caller() returns uuid language sql stable parallel safe as $$
    select nullif(current_setting('app.user_id', true), '')::uuid
$$;
create or replace function user_service.caller_is(role text) returns boolean language sql stable parallel safe as $$
    select coalesce(current_setting('app.role', true), '') = role
$$;
create or replace function user_service.caller_has(scope text) returns boolean language sql stable parallel safe as $$
    select scope = any (string_to_array(coalesce(current_setting('app.scopes', true), ''), ' '))
$$;

-- Whether a user shows profile and statistics to the caller: to everyone, or to friends, who follow each other.
create or replace function user_service.shows_to_caller(shown uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select shown = user_service.caller() or user_service.caller_is('admin') or exists (
        select from user_service.user_preferences p
        where p.user_id = shown
          and (p.privacy_level = 'public'
               or p.privacy_level = 'friends'
                  and exists (select from user_service.user_follows f
                              where f.follower_id = shown and f.following_id = user_service.caller())
                  and exists (select from user_service.user_follows f
                              where f.follower_id = user_service.caller() and f.following_id = shown)))
$$;

create or replace function user_service.row_policies() returns table (relation text, shown_if text)
language sql immutable as $$
    values
        ('user_service.users', 'user_service.shows_to_caller(user_id)'),
        ('user_service.profiles', 'user_service.shows_to_caller(user_id)'),
        ('user_service.user_counters', 'user_service.shows_to_caller(user_id)'),
        ('user_service.user_preferences', 'user_id = user_service.caller() or user_service.caller_is(''admin'')'),
        ('user_service.user_follows', 'user_service.shows_to_caller(follower_id) and user_service.shows_to_caller(following_id)'),
        ('user_service.diaries', 'user_id = user_service.caller() or visibility = ''public'''),
        ('user_service.referral_codes', 'user_id = user_service.caller()'),
        ('user_service.referrals', 'user_service.caller() in (referrer_id, referred_user_id)'),
        -- Statistics are sums over them; whether the links themselves are shown is the query''s to decide.
        ('wallet_service.wallet_links',
         'user_service.shows_to_caller(user_id) or user_service.caller_has(''wallets:lookup'')'),
        ('wallet_service.wallet_activity',
         'exists (select from wallet_service.wallet_links w where w.wallet_id = wallet_activity.wallet_id and w.user_id = user_service.caller())'),
        ('wallet_service.wallet_verifications',
         'exists (select from wallet_service.wallet_links w where w.wallet_id = wallet_verifications.wallet_id and w.user_id = user_service.caller())'),
        ('auth_service.credentials', 'user_id = user_service.caller()'),
        ('auth_service.sessions', 'user_id = user_service.caller()'),
        ('auth_service.refresh_tokens', 'user_id = user_service.caller()'),
        ('auth_service.user_devices', 'user_id = user_service.caller()'),
        ('auth_service.login_events', 'user_id = user_service.caller() or user_service.caller_is(''admin'')'),
        ('auth_service.access_codes', 'redeemed_by = user_service.caller() or user_service.caller_is(''admin'')'),
        ('orchestrator_service.tx_intents',
         'created_by = user_service.caller() or user_service.caller_is(''admin'') or user_service.caller_has(''intents:read'')'),
        ('orchestrator_service.session_intent_audit',
         'user_id = user_service.caller() or user_service.caller_is(''admin'') or user_service.caller_has(''intents:read'')'),
        ('orchestrator_service.minting_queue_items', 'user_id = user_service.caller()'),
        ('catalog_service.collection_drafts',
         'status = ''deployed'' or user_id = user_service.caller() or user_service.caller_is(''admin'')'),
        ('governance_service.proposal_states',
         'chain_id is not null or author_id = user_service.caller() or user_service.caller_is(''admin'') or user_service.caller_is(''moderator'')'),
        ('governance_service.comments',
         'not is_deleted or user_id = user_service.caller() or user_service.caller_is(''admin'') or user_service.caller_is(''moderator'')'),
        ('governance_service.governors', 'approved or user_service.caller_is(''admin'') or user_service.caller_is(''moderator'')'),
        ('platform_service.notifications', 'user_id = user_service.caller() or user_service.caller_has(''notifications:read'')'),
        ('platform_service.transactions', 'user_id = user_service.caller()'),
        ('platform_service.audit_logs', 'user_service.caller_is(''admin'') or user_service.caller_has(''admin:read'')'),
        ('platform_service.settings', 'is_public or user_service.caller_is(''admin'')'),
        ('platform_service.ucie_alerts', 'user_id = user_service.caller()'),
        ('platform_service.ucie_watchlist', 'user_id = user_service.caller()'),
        ('media_service.media_uploads', 'user_id is null or user_id = user_service.caller()'),
        -- Facts; what governance_svc may write of them is below.
        ('governance_service.votes', 'true')
$$;

-- Makes the policies of the roles that there are; called again when a role was made later.
create or replace function user_service.secure_rows() returns void language plpgsql as $$
declare
    others text := (select string_agg(quote_ident(r.service_role), ', ') from indexer_service.service_roles() r
                    join pg_roles p on p.rolname = r.service_role
                    where r.service_role not in ('indexer_api', 'governance_svc'));
    has_api boolean := exists (select from pg_roles where rolname = 'indexer_api');
    has_governance boolean := exists (select from pg_roles where rolname = 'governance_svc');
    one record;
    writable text;
begin
    for one in select p.* from user_service.row_policies() p loop
        execute format('alter table %s enable row level security', one.relation);
        execute format('drop policy if exists rows_of_caller on %s', one.relation);
        execute format('drop policy if exists rows_of_services on %s', one.relation);
        execute format('drop policy if exists rows_of_governance on %s', one.relation);
        execute format('drop policy if exists rows_governance_reads on %s', one.relation);
        if has_api then
            execute format('create policy rows_of_caller on %s for select to indexer_api using (%s)', one.relation, one.shown_if);
        end if;
        if others is not null then
            execute format('create policy rows_of_services on %s to %s using (true) with check (true)', one.relation, others);
        end if;
        -- What the chain decides is not for other services to write.
        continue when not has_governance or one.relation not like 'governance\_service.%';
        writable := case one.relation when 'governance_service.proposal_states' then 'chain_id is null'
                                      when 'governance_service.votes' then 'kind = ''off_chain''' else 'true' end;
        execute format('create policy rows_governance_reads on %s for select to governance_svc using (true)', one.relation);
        execute format('create policy rows_of_governance on %s to governance_svc using (%s) with check (%s)',
                       one.relation, writable, writable);
    end loop;
end
$$;
select user_service.secure_rows();
