-- Signing in: nonces, devices, sessions and the refresh tokens that prolong them.

-- Challenges and nonces of other systems are rows of this table: `purpose` distinguishes them.
create table if not exists auth_service.auth_nonces (
    nonce text collate "C" primary key constraint auth_nonces_nonce_form check (nonce ~ '^[0-9a-f]{16,64}$'),
    id uuid not null unique default gen_random_uuid(),
    account_id chain_registry_service.evm_address not null,
    domain text not null constraint auth_nonces_domain_length check (char_length(domain) between 1 and 255),
    chain_id chain_registry_service.caip2_chain not null,
    purpose text not null default 'sign_in' constraint auth_nonces_purpose_known check (purpose in ('sign_in', 'link_wallet')),
    issued_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used boolean not null default false,
    used_at timestamptz,
    -- Signatures that did not verify; the third burns the nonce.
    failures integer not null default 0 constraint auth_nonces_failures_positive check (failures >= 0),
    created_at timestamptz not null default now(),
    constraint auth_nonces_expires_at_soon check (expires_at > issued_at and expires_at <= issued_at + interval '10 minutes'),
    constraint auth_nonces_used_at_set check (used = (used_at is not null))
);
-- Accounts are stored in lower case.
create index if not exists auth_nonces_open on auth_service.auth_nonces (account_id, expires_at) where not used;
create index if not exists auth_nonces_expires_at on auth_service.auth_nonces (expires_at);

create table if not exists auth_service.user_devices (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    fingerprint_hash text collate "C" not null
        constraint user_devices_fingerprint_hash_length check (char_length(fingerprint_hash) between 1 and 128),
    name text constraint user_devices_name_length check (char_length(name) <= 100),
    user_agent text,
    trusted boolean not null default false,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint user_devices_once_per_user unique (user_id, fingerprint_hash)
);

create table if not exists auth_service.sessions (
    session_id uuid primary key default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    wallet_id uuid references wallet_service.wallet_links (wallet_id) on delete set null,
    device_id uuid references auth_service.user_devices (id) on delete set null,
    -- Of the access token.
    token_hash text collate "C" not null constraint sessions_token_hash_length check (char_length(token_hash) between 32 and 128),
    -- Of the newest refresh token; the family is in refresh_tokens.
    refresh_hash text collate "C" unique constraint sessions_refresh_hash_length check (char_length(refresh_hash) between 32 and 128),
    ip_address inet,
    user_agent text,
    collection_intent_context jsonb,
    created_at timestamptz not null default now(),
    -- Against created_at: now() in a check would refuse old rows when a backup is restored.
    expires_at timestamptz not null constraint sessions_expires_at_future check (expires_at > created_at),
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoke_reason text,
    -- Covering: every request with a token asks for this and nothing else.
    constraint sessions_token_hash_key unique (token_hash) include (user_id, expires_at, revoked_at),
    constraint sessions_revoke_reason_given check (revoke_reason is null or revoked_at is not null)
);
create index if not exists sessions_user on auth_service.sessions (user_id);
create index if not exists sessions_live on auth_service.sessions (user_id, last_used_at desc) where revoked_at is null;
create index if not exists sessions_wallet on auth_service.sessions (wallet_id) where wallet_id is not null;
create index if not exists sessions_device on auth_service.sessions (device_id) where device_id is not null;
create index if not exists sessions_expires_at on auth_service.sessions (expires_at);

create table if not exists auth_service.refresh_tokens (
    id uuid primary key default gen_random_uuid(),
    session_id uuid not null references auth_service.sessions (session_id) on delete cascade,
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    -- All that descend from one sign-in; the reuse of one revokes all.
    family_id uuid not null,
    token_hash text collate "C" not null unique
        constraint refresh_tokens_token_hash_length check (char_length(token_hash) between 32 and 128),
    parent_id uuid references auth_service.refresh_tokens (id) on delete set null,
    replaced_by uuid references auth_service.refresh_tokens (id) on delete set null,
    issued_at timestamptz not null default now(),
    expires_at timestamptz not null constraint refresh_tokens_expires_at_later check (expires_at > issued_at),
    used_at timestamptz,
    revoked_at timestamptz,
    revoke_reason text constraint refresh_tokens_revoke_reason_given check (revoke_reason is null or revoked_at is not null),
    ip_address inet,
    user_agent text
);
create index if not exists refresh_tokens_session on auth_service.refresh_tokens (session_id);
create index if not exists refresh_tokens_user on auth_service.refresh_tokens (user_id);
create index if not exists refresh_tokens_family on auth_service.refresh_tokens (family_id);
create index if not exists refresh_tokens_expires_at on auth_service.refresh_tokens (expires_at);
-- A token has one child: two tabs that refresh at once get the same.
create unique index if not exists refresh_tokens_parent on auth_service.refresh_tokens (parent_id) where parent_id is not null;
create index if not exists refresh_tokens_replaced_by on auth_service.refresh_tokens (replaced_by) where replaced_by is not null;

create or replace trigger user_devices_touch before update on auth_service.user_devices
    for each row execute function chain_registry_service.touch_updated_at();
