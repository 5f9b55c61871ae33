-- Collections and tokens. Ids are UUIDv5 of the natural key, so no writer looks one up.
create table if not exists catalog_service.collections (
    id uuid primary key,
    slug text collate "C" not null unique,
    name text,
    description text,
    chain_id chain_registry_service.caip2_chain not null,
    contract_address chain_registry_service.evm_address not null,
    creator chain_registry_service.evm_address,
    owner chain_registry_service.evm_address,
    -- Standard of the first fact that moved a token.
    collection_type text not null,
    -- Id of that fact.
    first_position uuid not null,
    max_supply text,
    total_supply text,
    royalty_percentage integer check (royalty_percentage between 0 and 100),
    mint_price text,
    mint_limit_per_wallet text,
    mint_start_time timestamptz,
    mint_end_time timestamptz,
    image_url text,
    banner_url text,
    website_url text,
    discord_url text,
    twitter_url text,
    instagram_url text,
    telegram_url text,
    floor_price text,
    volume_traded text,
    is_verified boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (chain_id, contract_address)
);

create table if not exists catalog_service.tokens (
    id uuid primary key,
    collection_id uuid not null references catalog_service.collections (id),
    chain_id chain_registry_service.caip2_chain not null,
    contract_address chain_registry_service.evm_address not null,
    -- Decimal: token numbers reach 2^256 - 1.
    token_number text collate "C" not null,
    -- Standard of the newest single-owner fact; erc1155 when there is none.
    token_standard text not null,
    name text,
    image_url text,
    metadata_url text,
    -- `to` of the newest single-owner fact; null when burned, and for ERC-1155, whose owners hold balances.
    owner_address chain_registry_service.evm_address,
    -- Id of that fact.
    owner_position uuid,
    -- Earliest mint among the applied facts.
    minted_at timestamptz,
    -- ERC-1155 units minted less burned. Unbounded: contracts may mint 2^256 - 1 many times over.
    supply numeric not null default 0,
    burned boolean not null generated always as (
        case when owner_position is not null then owner_address is null else minted_at is not null and supply = 0 end
    ) stored,
    unique (collection_id, token_number)
) with (fillfactor = 80);
-- Taken away and built again around a first backfill: 0012_chain_partitions.sql.
create index if not exists tokens_owner on catalog_service.tokens (owner_address) where owner_address is not null;
