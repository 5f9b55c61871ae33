-- A role per service, and what each may do: groups, which the operator's log-ins become members of. Who writes what stands in
-- docs/SCHEMA.md. Roles belong to the server and not to the database, and making them takes a right that a migration may not have; so both
-- steps are functions that can be called again: `indexer_service.ensure_roles()` names what someone with the right has to run.
create or replace function indexer_service.service_roles() returns table (service_role name)
language sql immutable as $$
    values ('indexer_owner'::name), ('indexer_daemon'), ('indexer_api'), ('indexer_auth'), ('auth_svc'), ('user_svc'), ('wallet_svc'),
           ('orchestrator_svc'), ('governance_svc'), ('platform_svc'), ('media_svc')
$$;

create or replace function indexer_service.ensure_roles() returns setof text language plpgsql as $$
declare
    missing name;
begin
    for missing in
        select r.service_role from indexer_service.service_roles() r
        where not exists (select from pg_roles p where p.rolname = r.service_role)
    loop
        begin
            execute format('create role %I nologin', missing);
        exception
            -- Another database of the server was migrated at the same moment.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then return next format('create role %I nologin;', missing);
        end;
    end loop;
end
$$;

-- What a role may do beside reading words and calling functions. `relations` is a relation or all of a schema; `columns` empty is all of them.
create or replace function indexer_service.role_rights()
returns table (service_role name, rights text, columns text, relations text) language sql immutable as $$
    values
        -- Each service all of its own.
        ('auth_svc'::name, 'select, insert, update, delete', '', 'auth_service.*'),
        ('user_svc', 'select, insert, update, delete', '', 'user_service.*'),
        ('wallet_svc', 'select, insert, update, delete', '', 'wallet_service.*'),
        ('orchestrator_svc', 'select, insert, update, delete', '', 'orchestrator_service.*'),
        ('orchestrator_svc', 'select, insert, update, delete', '', 'catalog_service.collection_drafts'),
        ('orchestrator_svc', 'select', '', 'chain_registry_service.*'),
        ('platform_svc', 'select, insert, update, delete', '', 'platform_service.*'),
        ('media_svc', 'select, insert, update, delete', '', 'media_service.*'),
        -- Governance of the chain is the daemon's; other services have comments, drafts and off-chain votes (see the policies).
        ('governance_svc', 'select', '', 'governance_service.*'),
        ('governance_svc', 'insert, update, delete', '', 'governance_service.comments'),
        ('governance_svc', 'insert, update, delete', '', 'governance_service.proposal_states'),
        ('governance_svc', 'insert, update, delete', '', 'governance_service.votes'),
        ('governance_svc', 'update', 'circulating_supply, description, image_url, is_active', 'governance_service.tokens'),

        -- Signs people in, and makes the user of a wallet that is new.
        ('indexer_auth', 'select, insert, update', '', 'auth_service.auth_nonces'),
        ('indexer_auth', 'select, insert, update', '', 'auth_service.sessions'),
        ('indexer_auth', 'select, insert, update', '', 'auth_service.refresh_tokens'),
        ('indexer_auth', 'select, insert, update', '', 'auth_service.user_devices'),
        ('indexer_auth', 'select, insert', '', 'auth_service.login_events'),
        ('indexer_auth', 'select', '', 'auth_service.service_tokens'),
        ('indexer_auth', 'update', 'last_used_at', 'auth_service.service_tokens'),
        ('indexer_auth', 'select', 'user_id, email_verified', 'auth_service.credentials'),
        ('indexer_auth', 'select, insert', '', 'user_service.users'),
        ('indexer_auth', 'update', 'last_login', 'user_service.users'),
        ('indexer_auth', 'select, insert', '', 'wallet_service.wallet_links'),
        ('indexer_auth', 'select, insert', '', 'wallet_service.wallet_activity'),

        -- Reads alone, and no secret; rows of people by the policies.
        ('indexer_api', 'select', '', 'indexer_service.*'),
        ('indexer_api', 'select', '', 'catalog_service.*'),
        ('indexer_api', 'select', '', 'chain_registry_service.*'),
        ('indexer_api', 'select', '', 'user_service.*'),
        ('indexer_api', 'select', '', 'wallet_service.*'),
        ('indexer_api', 'select', '', 'orchestrator_service.*'),
        ('indexer_api', 'select', '', 'governance_service.*'),
        ('indexer_api', 'select', '', 'platform_service.*'),
        ('indexer_api', 'select', '', 'media_service.*'),
        ('indexer_api', 'select', '', 'auth_service.login_events'),
        ('indexer_api', 'select', '', 'auth_service.user_devices'),
        ('indexer_api', 'select', '', 'auth_service.access_codes'),
        ('indexer_api', 'select', 'user_id, email_verified', 'auth_service.credentials'),
        ('indexer_api', 'select', 'session_id, user_id, wallet_id, device_id, ip_address, user_agent, created_at, expires_at, last_used_at, '
                                  'revoked_at, revoke_reason', 'auth_service.sessions'),

        -- What the chain causes.
        ('indexer_daemon', 'select, insert, update, delete', '', 'indexer_service.*'),
        ('indexer_daemon', 'select, insert, update, delete', '', 'chain_registry_service.*'),
        ('indexer_daemon', 'select, insert, update, delete', '', 'catalog_service.*'),
        ('indexer_daemon', 'select, insert, update, delete', '', 'user_service.account_stats'),
        ('indexer_daemon', 'select', '', 'user_service.users'),
        ('indexer_daemon', 'select', '', 'user_service.user_preferences'),
        ('indexer_daemon', 'select', '', 'user_service.user_counters'),
        ('indexer_daemon', 'select', '', 'user_service.user_stats'),
        ('indexer_daemon', 'select', '', 'user_service.user_follows'),
        ('indexer_daemon', 'select', '', 'wallet_service.wallet_links'),
        ('indexer_daemon', 'select', '', 'orchestrator_service.*'),
        ('indexer_daemon', 'update', 'status, error, tx_hash, sender, nonce, replaced_by, block_number, block_hash, confirmed_position, '
                                     'contract_address, submitted_at, settled_at', 'orchestrator_service.tx_intents'),
        ('indexer_daemon', 'insert', '', 'orchestrator_service.session_intent_audit'),
        ('indexer_daemon', 'update', 'status, error, collection_id, token_numbers, first_token_number, last_token_number, minted_count, '
                                     'minted_at, minted_position', 'orchestrator_service.minting_queue_items'),
        ('indexer_daemon', 'select, insert, update, delete', '', 'governance_service.*'),
        ('indexer_daemon', 'select, insert, update, delete', '', 'platform_service.notifications'),
        ('indexer_daemon', 'select', '', 'platform_service.ucie_alerts'),
        ('indexer_daemon', 'update', 'triggered, triggered_at, trigger_count, last_checked_at, enabled', 'platform_service.ucie_alerts'),
        ('indexer_daemon', 'select, insert', '', 'platform_service.audit_logs'),
        ('indexer_daemon', 'select', '', 'platform_service.settings'),
        ('indexer_daemon', 'select, insert, update, delete', '', 'media_service.*'),
        -- Retention.
        ('indexer_daemon', 'select, delete', '', 'auth_service.login_events'),
        ('indexer_daemon', 'select, delete', '', 'auth_service.auth_nonces'),
        ('indexer_daemon', 'select, delete', '', 'auth_service.sessions'),
        ('indexer_daemon', 'select, delete', '', 'auth_service.refresh_tokens'),
        ('indexer_daemon', 'select', '', 'wallet_service.wallet_verifications'),
        ('indexer_daemon', 'update', 'status', 'wallet_service.wallet_verifications'),
        ('indexer_daemon', 'select, delete', '', 'platform_service.ucie_analysis_cache'),
        ('indexer_daemon', 'select, delete', '', 'platform_service.ucie_phase_data')
$$;

-- What a schema-wide right leaves out again: columns of the table below are granted instead, or nothing.
create or replace function indexer_service.role_exceptions() returns table (service_role name, rights text, relation text)
language sql immutable as $$
    values ('indexer_daemon'::name, 'insert, update, delete', 'catalog_service.collection_drafts'),
           ('indexer_daemon', 'insert, update, delete', 'governance_service.comments'),
           ('user_svc', 'insert, update, delete', 'user_service.account_stats'),
           -- Where endpoints are and how they are paid for.
           ('indexer_api', 'select', 'chain_registry_service.chain_endpoints')
$$;

-- Gives every role that there is exactly these rights. On tables and not on their partitions: a partition read by its own name does not
-- ask the policies of its table, and one that is made later needs nothing.
create or replace function indexer_service.grant_roles() returns void language plpgsql as $$
declare
    schemas text := 'indexer_service, chain_registry_service, catalog_service, auth_service, user_service, wallet_service, '
                    'orchestrator_service, governance_service, platform_service, media_service';
    known text := (select string_agg(quote_ident(r.service_role), ', ') from indexer_service.service_roles() r
                   join pg_roles p on p.rolname = r.service_role);
    one record;
begin
    if known is null then
        return;
    end if;
    execute format('revoke all on all tables in schema %s from %s', schemas, known);
    execute format('grant usage on schema %s to %s', schemas, known);
    for one in
        select g.service_role, g.rights, g.columns, format('%I.%I', c.relnamespace::regnamespace::text, c.relname) as relation
        from indexer_service.role_rights() g
        join pg_roles p on p.rolname = g.service_role
        join pg_class c on c.relkind in ('r', 'p', 'v') and not c.relispartition
            and c.relnamespace = split_part(g.relations, '.', 1)::regnamespace
            and split_part(g.relations, '.', 2) in ('*', c.relname)
    loop
        execute format('grant %s on %s to %I',
                       case when one.columns = '' then one.rights else one.rights || ' (' || one.columns || ')' end,
                       one.relation, one.service_role);
    end loop;
    for one in select e.* from indexer_service.role_exceptions() e join pg_roles p on p.rolname = e.service_role loop
        execute format('revoke %s on %s from %I', one.rights, one.relation, one.service_role);
    end loop;
    if exists (select from pg_roles where rolname = 'indexer_daemon') then
        grant update (collection_id, contract_address, deployed_at, status) on catalog_service.collection_drafts to indexer_daemon;
        grant usage on all sequences in schema indexer_service, chain_registry_service, catalog_service to indexer_daemon;
    end if;
    if exists (select from pg_roles where rolname = 'indexer_owner')
       and has_database_privilege(current_database(), 'create with grant option') then
        execute format('grant create on database %I to indexer_owner', current_database());
    end if;
end
$$;

-- Partitions and indexes are the owner's to make: the daemon makes them through these.
alter function catalog_service.ensure_chain(text) security definer set search_path = pg_catalog, pg_temp;
alter function catalog_service.build_indexes(text) security definer set search_path = pg_catalog, pg_temp;
alter function catalog_service.defer_indexes(text) security definer set search_path = pg_catalog, pg_temp;
alter function platform_service.ensure_month(name, timestamptz) security definer;
alter function platform_service.ensure_months(integer, timestamptz) security definer;

do $$
declare
    statement text;
begin
    for statement in select indexer_service.ensure_roles() loop
        raise notice 'a role is missing; to have it, run as someone who may: %', statement;
    end loop;
    perform indexer_service.grant_roles();
end
$$;
