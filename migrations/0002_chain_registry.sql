-- Which chains exist, how to reach them, and which contracts and ABIs are known. Seeded from config.toml, edited by the CLI.
create table if not exists chain_registry_service.chains (
    id serial primary key,
    caip2 chain_registry_service.caip2_chain not null unique,
    -- The documents say integer; some chains (Palm: 11297108109) need more.
    chain_numeric bigint not null unique,
    name text not null,
    native_symbol text not null default 'ETH',
    decimals integer not null default 18 check (decimals between 0 and 77),
    explorer_url text,
    enabled boolean not null default true,
    -- What the daemon needs beside the documents' columns.
    start_block bigint not null default 0 check (start_block >= 0),
    scope text not null default 'all' check (scope in ('all', 'contracts')),
    -- Integrity settings: header_hash, head_proof, backfill_proof, finality_depth, poll_interval_ms.
    features_json jsonb not null default '{}'::jsonb check (jsonb_typeof(features_json) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (caip2 = 'eip155:' || chain_numeric::text)
);

create table if not exists chain_registry_service.chain_endpoints (
    id serial primary key,
    chain_id integer not null references chain_registry_service.chains (id) on delete cascade,
    url text not null check (url ~ '^(https?|wss?)://'),
    -- Lower is asked first.
    priority integer not null default 0 check (priority >= 0),
    weight integer not null default 1 check (weight > 0),
    auth_type text,
    -- Requests per second; null is no limit.
    rate_limit integer check (rate_limit > 0),
    active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (chain_id, url)
);
create index if not exists chain_endpoints_active on chain_registry_service.chain_endpoints (chain_id, priority) where active;

create table if not exists chain_registry_service.abi_blobs (
    sha256 varchar(64) primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes integer not null check (size_bytes >= 0),
    source text,
    compiler text,
    contract_name text,
    -- erc721, erc1155, custom, proxy and whatever comes: data, not an enum.
    standard text check (standard ~ '^[a-z0-9_]+$'),
    abi_json jsonb,
    s3_key text,
    created_at timestamptz not null default now(),
    check (abi_json is not null or s3_key is not null)
);

create table if not exists chain_registry_service.chain_contracts (
    id bigserial primary key,
    chain_id integer not null references chain_registry_service.chains (id) on delete cascade,
    name text,
    address chain_registry_service.evm_address not null,
    start_block bigint not null default 0 check (start_block >= 0),
    abi_sha256 varchar(64) references chain_registry_service.abi_blobs (sha256),
    impl_address chain_registry_service.evm_address,
    standard text check (standard ~ '^[a-z0-9_]+$'),
    first_seen_at timestamptz not null default now(),
    unique (chain_id, address)
);
create index if not exists chain_contracts_abi on chain_registry_service.chain_contracts (abi_sha256);

create table if not exists chain_registry_service.chain_gas_policy (
    chain_id integer primary key references chain_registry_service.chains (id) on delete cascade,
    max_fee_gwei numeric check (max_fee_gwei >= 0),
    priority_fee_gwei numeric check (priority_fee_gwei >= 0),
    multiplier numeric not null default 1 check (multiplier > 0),
    last_observed_base_fee_gwei numeric check (last_observed_base_fee_gwei >= 0),
    updated_at timestamptz not null default now()
);
