-- Where the daemon stands: leases, checkpoints, the unfinalized window, coverage, refused logs.
create table if not exists indexer_service.chain_leases (
    chain_id chain_registry_service.caip2_chain primary key,
    -- Null once released; the row stays so that tokens only ever grow.
    holder text,
    -- Fencing token: every write of a head carries it, and a newer holder has a higher one.
    token bigint not null check (token > 0),
    expires_at timestamptz not null
);

create table if not exists indexer_service.indexer_checkpoints (
    chain_id chain_registry_service.caip2_chain primary key,
    -- Null while only the chain's heads were observed.
    last_block bigint check (last_block >= 0),
    last_block_hash chain_registry_service.evm_tx_hash,
    updated_at timestamptz not null default now(),
    -- What the endpoints last called latest, safe and finalized.
    head_block bigint,
    safe_block bigint,
    finalized_block bigint,
    observed_at timestamptz,
    -- Rewinds so far. A backfill names the count it read under, so that none commits a branch left behind.
    branch bigint not null default 0,
    check ((last_block is null) = (last_block_hash is null))
);

-- Hashes of the blocks that can still be undone, so that a rewind finds its ancestor without asking.
create table if not exists indexer_service.indexer_blocks (
    chain_id chain_registry_service.caip2_chain not null,
    number bigint not null,
    hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    primary key (chain_id, number)
);

-- Which blocks were applied, per source (decoder, registered contract, or the archive) and by how strong a proof.
-- A block stands under one proof of a source only: the one it was first applied with.
create table if not exists indexer_service.indexer_coverage (
    chain_id chain_registry_service.caip2_chain not null,
    source text not null,
    proof text not null check (proof in ('chained', 'bloom', 'receipts')),
    covered int8multirange not null,
    updated_at timestamptz not null default now(),
    primary key (chain_id, source, proof)
) with (fillfactor = 50);

create table if not exists indexer_service.decode_faults (
    chain_id chain_registry_service.caip2_chain not null,
    -- Position of the log; two decoders may refuse the same one.
    id uuid not null,
    source text not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    log_index integer not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    contract chain_registry_service.evm_address not null,
    topic0 chain_registry_service.evm_tx_hash,
    reason text not null,
    recorded_at timestamptz not null default now(),
    primary key (chain_id, id, source)
);
