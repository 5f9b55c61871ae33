-- The archive when no MongoDB is given: logs as received, never interpreted in place.
create table if not exists indexer_service.raw_events (
    chain_id chain_registry_service.caip2_chain not null,
    -- Position of the log: a range scan needs no second index.
    id uuid not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    tx_index integer not null,
    log_index integer not null,
    address chain_registry_service.evm_address not null,
    -- 0x text, at most four.
    topics text[] not null check (cardinality(topics) <= 4),
    data bytea not null,
    -- Filled for contracts decoded by a stored ABI.
    event_type text,
    event_data jsonb,
    primary key (chain_id, id)
);
