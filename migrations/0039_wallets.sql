-- Which wallets people have linked, how that was proven, and what was done with them. Written by the wallet service.
create schema if not exists wallet_service;

create table if not exists wallet_service.wallet_links (
    wallet_id uuid primary key default gen_random_uuid(),
    user_id uuid not null references user_service.users (user_id) on delete cascade,
    -- CAIP-10: chain and address in one.
    account_id text collate "C" not null,
    address chain_registry_service.evm_address not null,
    chain_id chain_registry_service.caip2_chain not null,
    is_primary boolean not null default false,
    type text not null default 'eoa'
        constraint wallet_links_type_known check (type in ('eoa', 'contract', 'multisig', 'smart_account')),
    connector text constraint wallet_links_connector_length check (char_length(connector) <= 50),
    label text constraint wallet_links_label_length check (char_length(label) <= 100),
    -- Null while the link is a claim that nothing proves.
    verified_at timestamptz,
    is_verified boolean not null generated always as (verified_at is not null) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint wallet_links_account_id_matches check (account_id = chain_id || ':' || address),
    constraint wallet_links_once_per_user unique (user_id, address, chain_id)
);
create unique index if not exists wallet_links_one_primary on wallet_service.wallet_links (user_id) where is_primary;
-- Many may claim a wallet, one owns it. Covering: facts find the users of their addresses in the index alone.
create unique index if not exists wallet_links_one_owner on wallet_service.wallet_links (address, chain_id) include (user_id, verified_at)
    where verified_at is not null;
-- Addresses are stored in lower case: a search whatever the case compares with lower($1).
create index if not exists wallet_links_address on wallet_service.wallet_links (address);
create index if not exists wallet_links_created_at on wallet_service.wallet_links (created_at);

create table if not exists wallet_service.wallet_activity (
    id uuid primary key default gen_random_uuid(),
    wallet_id uuid not null references wallet_service.wallet_links (wallet_id) on delete cascade,
    -- Who did it; no foreign key, as the document draws none.
    user_id uuid,
    action text not null
        constraint wallet_activity_action_known check (action in ('linked', 'unlinked', 'set_primary', 'verified', 'updated')),
    metadata jsonb not null default '{}' constraint wallet_activity_metadata_object check (jsonb_typeof(metadata) = 'object'),
    ip_address inet,
    user_agent text,
    created_at timestamptz not null default now()
);
create index if not exists wallet_activity_wallet on wallet_service.wallet_activity (wallet_id, created_at desc);
create index if not exists wallet_activity_user on wallet_service.wallet_activity (user_id, created_at desc);

create table if not exists wallet_service.wallet_verifications (
    id uuid primary key default gen_random_uuid(),
    wallet_id uuid not null references wallet_service.wallet_links (wallet_id) on delete cascade,
    -- signature, transaction and whatever comes: data, no list.
    verification_type text not null
        constraint wallet_verifications_verification_type_form check (verification_type ~ '^[a-z][a-z0-9_]{0,49}$'),
    verification_data jsonb not null default '{}'
        constraint wallet_verifications_verification_data_object check (jsonb_typeof(verification_data) = 'object'),
    status text not null default 'pending'
        constraint wallet_verifications_status_known check (status in ('pending', 'verified', 'failed', 'expired')),
    verified_at timestamptz,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    constraint wallet_verifications_verified_at_set check ((status = 'verified') = (verified_at is not null))
);
create index if not exists wallet_verifications_wallet on wallet_service.wallet_verifications (wallet_id, created_at desc);
create index if not exists wallet_verifications_status on wallet_service.wallet_verifications (status, expires_at);

create or replace trigger wallet_links_touch before update on wallet_service.wallet_links
    for each row execute function chain_registry_service.touch_updated_at();
