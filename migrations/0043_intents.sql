-- Transactions that people announced before they sent them. The orchestrator writes a row and its hash; the daemon moves it on from there by
-- what the chain shows (docs/SCHEMA.md, "Moves of an intent").
create schema if not exists orchestrator_service;

create table if not exists orchestrator_service.tx_intents (
    intent_id uuid primary key default gen_random_uuid(),
    -- collection, mint and whatever comes: data, no list.
    kind text not null constraint tx_intents_kind_form check (kind ~ '^[a-z][a-z0-9_]{0,49}$'),
    chain_id chain_registry_service.caip2_chain not null,
    -- Where a contract is expected; `contract_address` is where it is.
    preview_address chain_registry_service.evm_address,
    tx_hash chain_registry_service.evm_tx_hash,
    status text not null default 'pending'
        constraint tx_intents_status_known check (status in ('pending', 'ready', 'submitted', 'confirmed', 'failed', 'expired')),
    created_by uuid references user_service.users (user_id) on delete set null,
    req_payload_json jsonb not null default '{}'
        constraint tx_intents_req_payload_json_object check (jsonb_typeof(req_payload_json) = 'object'),
    error text,
    -- Of whatever session the client named; no foreign key, because intents outlive sessions.
    auth_session_id text constraint tx_intents_auth_session_id_length check (char_length(auth_session_id) <= 255),
    deadline_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- What the chain shows of it, written by the daemon.
    sender chain_registry_service.evm_address,
    nonce numeric constraint tx_intents_nonce_whole check (nonce >= 0 and nonce = trunc(nonce)),
    replaced_by chain_registry_service.evm_tx_hash,
    block_number bigint constraint tx_intents_block_number_positive check (block_number >= 0),
    block_hash chain_registry_service.evm_tx_hash,
    confirmed_position uuid,
    contract_address chain_registry_service.evm_address,
    submitted_at timestamptz,
    settled_at timestamptz,
    constraint tx_intents_tx_hash_given check (tx_hash is not null or status not in ('submitted', 'confirmed')),
    constraint tx_intents_block_given check (status <> 'confirmed' or (block_number is not null and block_hash is not null)),
    constraint tx_intents_block_whole check ((block_number is null) = (block_hash is null))
);
create index if not exists tx_intents_tx_hash on orchestrator_service.tx_intents (chain_id, tx_hash) where tx_hash is not null;
-- A transaction that takes the nonce of another replaces it.
create index if not exists tx_intents_nonce on orchestrator_service.tx_intents (chain_id, sender, nonce) where status = 'submitted';
create index if not exists tx_intents_deadline on orchestrator_service.tx_intents (deadline_at)
    where status in ('pending', 'ready', 'submitted');
-- What a rewind sets back.
create index if not exists tx_intents_settled on orchestrator_service.tx_intents (chain_id, block_number) where block_number is not null;
create index if not exists tx_intents_created_by on orchestrator_service.tx_intents (created_by, created_at desc);
create index if not exists tx_intents_session on orchestrator_service.tx_intents (auth_session_id);

-- Which status may follow which. What the chain caused is taken back by a rewind: then a settled intent is open again.
create or replace function orchestrator_service.intent_moves() returns table (from_status text, to_status text)
language sql immutable parallel safe as $$
    values ('pending', 'ready'), ('pending', 'failed'), ('pending', 'expired'),
           ('ready', 'submitted'), ('ready', 'failed'), ('ready', 'expired'),
           ('submitted', 'confirmed'), ('submitted', 'failed'), ('submitted', 'expired'),
           ('confirmed', 'submitted'), ('failed', 'submitted'),
           ('expired', 'pending'), ('expired', 'ready'), ('expired', 'submitted')
$$;

create or replace function orchestrator_service.check_intent_move() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.status not in ('pending', 'ready', 'submitted') then
            raise exception 'an intent does not begin as %', new.status
                using errcode = 'check_violation', constraint = 'tx_intents_moves', schema = tg_table_schema, table = tg_table_name;
        end if;
    elsif new.status <> old.status and not exists (
        select from orchestrator_service.intent_moves() m where m.from_status = old.status and m.to_status = new.status
    ) then
        raise exception 'an intent does not move from % to %', old.status, new.status
            using errcode = 'check_violation', constraint = 'tx_intents_moves', schema = tg_table_schema, table = tg_table_name;
    end if;
    return new;
end
$$;
create or replace trigger tx_intents_moves before insert or update of status on orchestrator_service.tx_intents
    for each row execute function orchestrator_service.check_intent_move();

-- The hash may be written after its block was applied: the daemon listens and looks once more.
create or replace function orchestrator_service.announce_intent() returns trigger language plpgsql as $$
begin
    perform pg_notify('tx_intents', new.intent_id::text);
    return null;
end
$$;
create or replace trigger tx_intents_announce after insert or update of tx_hash on orchestrator_service.tx_intents
    for each row when (new.tx_hash is not null) execute function orchestrator_service.announce_intent();

create table if not exists orchestrator_service.session_intent_audit (
    audit_id uuid primary key default gen_random_uuid(),
    -- No foreign key: it outlives the session.
    session_id text constraint session_intent_audit_session_id_length check (char_length(session_id) <= 255),
    intent_id uuid not null references orchestrator_service.tx_intents (intent_id) on delete cascade,
    user_id uuid references user_service.users (user_id) on delete set null,
    correlation_timestamp timestamptz not null default now(),
    audit_data jsonb not null default '{}' constraint session_intent_audit_audit_data_object check (jsonb_typeof(audit_data) = 'object'),
    created_at timestamptz not null default now()
);
create index if not exists session_intent_audit_intent on orchestrator_service.session_intent_audit (intent_id, created_at);
create index if not exists session_intent_audit_user on orchestrator_service.session_intent_audit (user_id, created_at desc);
create index if not exists session_intent_audit_session on orchestrator_service.session_intent_audit (session_id);

-- How firm a confirmed intent stands follows from the checkpoint, so that nothing is written when blocks become final. With the rights of
-- the reader, so that row-level security holds.
create or replace view orchestrator_service.intents with (security_invoker = true) as
    select i.*,
           case when i.status <> 'confirmed' then null
                when i.block_number <= c.finalized_block then 'final'
                when i.block_number <= c.safe_block then 'safe'
                else 'latest' end as finality
    from orchestrator_service.tx_intents i
    left join indexer_service.indexer_checkpoints c on c.chain_id = i.chain_id;

create or replace trigger tx_intents_touch before update on orchestrator_service.tx_intents
    for each row execute function chain_registry_service.touch_updated_at();
