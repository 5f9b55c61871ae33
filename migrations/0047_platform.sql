-- What people are notified of, money of the platform, and who changed what: a partition per month (0046_monthly_partitions.sql).

-- An id alone cannot be unique over partitions; the daemon's notifications have deterministic ids and times, so that a pair repeats.
create table if not exists platform_service.notifications (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    -- Data, no list: other services have kinds of their own.
    type text not null constraint notifications_type_form check (type ~ '^[a-z][a-z0-9_]{0,49}$'),
    title text not null constraint notifications_title_length check (char_length(title) <= 200),
    message text not null default '',
    data jsonb not null default '{}' constraint notifications_data_object check (jsonb_typeof(data) = 'object'),
    is_read boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint notifications_pkey primary key (id, created_at)
) partition by range (created_at);
create index if not exists notifications_user on platform_service.notifications (user_id, is_read, created_at desc);
create index if not exists notifications_unread on platform_service.notifications (is_read, created_at) where not is_read;
create index if not exists notifications_created_at on platform_service.notifications (created_at);
create index if not exists notifications_data on platform_service.notifications using gin (data jsonb_path_ops);

-- Not of the chain: what the daemon sees there are facts.
create table if not exists platform_service.transactions (
    id uuid not null default gen_random_uuid(),
    -- A user who has moved money stays, and is marked as deleted.
    user_id uuid not null references user_service.users (user_id) on delete restrict,
    type text not null constraint transactions_type_known check (type in ('deposit', 'withdrawal', 'transfer', 'vote')),
    status text not null default 'pending' constraint transactions_status_form check (status ~ '^[a-z][a-z_]{0,31}$'),
    amount numeric not null constraint transactions_amount_positive check (amount >= 0),
    currency text not null constraint transactions_currency_length check (char_length(currency) between 1 and 20),
    description text,
    metadata jsonb not null default '{}' constraint transactions_metadata_object check (jsonb_typeof(metadata) = 'object'),
    transaction_hash chain_registry_service.evm_tx_hash,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint transactions_pkey primary key (id, created_at)
) partition by range (created_at);
create index if not exists transactions_user on platform_service.transactions (user_id, created_at desc);
create index if not exists transactions_type on platform_service.transactions (type, created_at desc);
create index if not exists transactions_status on platform_service.transactions (status, created_at desc);
create index if not exists transactions_created_at on platform_service.transactions (created_at);
create index if not exists transactions_hash on platform_service.transactions (transaction_hash) where transaction_hash is not null;

create table if not exists platform_service.audit_logs (
    id uuid not null default gen_random_uuid(),
    -- Null for what no user did, and when the user goes.
    user_id uuid references user_service.users (user_id) on delete set null,
    action text not null constraint audit_logs_action_length check (char_length(action) between 1 and 100),
    resource_type text not null constraint audit_logs_resource_type_length check (char_length(resource_type) between 1 and 100),
    resource_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address inet,
    user_agent text,
    created_at timestamptz not null default now(),
    constraint audit_logs_pkey primary key (id, created_at)
) partition by range (created_at);
create index if not exists audit_logs_user on platform_service.audit_logs (user_id, created_at desc);
create index if not exists audit_logs_action on platform_service.audit_logs (action, created_at desc);
create index if not exists audit_logs_resource on platform_service.audit_logs (resource_type, resource_id, created_at desc);
create index if not exists audit_logs_created_at on platform_service.audit_logs (created_at);

-- Append only, but for the user who goes. Retention drops partitions.
create or replace function platform_service.keep_audit_log() returns trigger language plpgsql as $$
declare
    without_user platform_service.audit_logs := old;
begin
    if tg_op = 'UPDATE' and new.user_id is null then
        without_user.user_id = null;
        if new is not distinct from without_user then
            return new;
        end if;
    end if;
    raise exception 'audit logs are neither changed nor deleted'
        using errcode = 'check_violation', constraint = 'audit_logs_append_only', schema = tg_table_schema, table = tg_table_name;
end
$$;
create or replace trigger audit_logs_append_only before update or delete on platform_service.audit_logs
    for each row execute function platform_service.keep_audit_log();

create or replace trigger notifications_touch before update on platform_service.notifications
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger transactions_touch before update on platform_service.transactions
    for each row execute function chain_registry_service.touch_updated_at();

create table if not exists platform_service.notifications_default partition of platform_service.notifications default;
create table if not exists platform_service.transactions_default partition of platform_service.transactions default;
create table if not exists platform_service.audit_logs_default partition of platform_service.audit_logs default;
-- The maintenance task makes the rest.
select platform_service.ensure_months(3);

-- Whether text is JSON, as an answer and not as an error, since a check must name itself. Servers before version 16 know it by trying alone.
do $$
begin
    if current_setting('server_version_num')::integer >= 160000 then
        create or replace function platform_service.is_json(value text) returns boolean
        language sql immutable parallel safe as 'select pg_input_is_valid(value, ''jsonb'')';
    else
        create or replace function platform_service.is_json(value text) returns boolean
        language plpgsql immutable parallel safe as '
            begin
                return value::jsonb is not null;
            exception when others then
                return false;
            end';
    end if;
end
$$;
create table if not exists platform_service.settings (
    id uuid primary key default gen_random_uuid(),
    key text collate "C" not null unique constraint settings_key_form check (key ~ '^[a-z][a-z0-9_.-]{0,99}$'),
    value text not null,
    type text not null default 'string' constraint settings_type_known check (type in ('string', 'integer', 'boolean', 'json')),
    description text,
    -- Whether everyone may read it.
    is_public boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint settings_value_of_type check (
        case type when 'integer' then value ~ '^-?[0-9]+$'
                  when 'boolean' then value in ('true', 'false')
                  when 'json' then platform_service.is_json(value)
                  else true end
    )
);
create index if not exists settings_public on platform_service.settings (is_public, key) where is_public;
create index if not exists settings_created_at on platform_service.settings (created_at);
create or replace trigger settings_touch before update on platform_service.settings
    for each row execute function chain_registry_service.touch_updated_at();
