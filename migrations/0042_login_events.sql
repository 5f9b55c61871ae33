-- Every attempt to sign in, and what else was done with an account; kept 90 days. One document calls it auth_logs.
create table if not exists auth_service.login_events (
    id uuid primary key default gen_random_uuid(),
    -- Null for an attempt that no user is known for, and when the user goes.
    user_id uuid references user_service.users (user_id) on delete set null,
    account_id chain_registry_service.evm_address,
    event_type text not null default 'login'
        constraint login_events_event_type_valid
        check (event_type in ('register', 'login', 'refresh', 'logout', 'link_wallet', 'service_token')),
    result text not null
        constraint login_events_result_known
        check (result in ('success', 'failed', 'invalid_signature', 'invalid_nonce', 'expired_nonce', 'invalid_message', 'rate_limited')),
    success boolean not null generated always as (result = 'success') stored,
    error_message text,
    -- Which session and nonce it was about. No foreign keys: both are cleaned away before the event is.
    session_id uuid,
    nonce text collate "C",
    ip_address inet,
    user_agent text,
    chain_id chain_registry_service.caip2_chain,
    domain text constraint login_events_domain_length check (char_length(domain) <= 255),
    "timestamp" timestamptz not null default now()
);
create index if not exists login_events_user on auth_service.login_events (user_id, "timestamp" desc);
create index if not exists login_events_failed on auth_service.login_events (user_id, "timestamp") where not success;
create index if not exists login_events_account on auth_service.login_events (account_id, "timestamp" desc);
create index if not exists login_events_event_type on auth_service.login_events (event_type);
create index if not exists login_events_ip_address on auth_service.login_events (ip_address, "timestamp");
create index if not exists login_events_timestamp on auth_service.login_events ("timestamp");
