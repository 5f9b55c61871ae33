-- The facts: one row per token, or quantity of a token, changing hands. Everything else in the catalog is computed from them.
create table if not exists catalog_service.ownership_transfers (
    chain_id chain_registry_service.caip2_chain not null,
    -- UUIDv8 position; its order is chain order.
    id uuid not null,
    contract chain_registry_service.evm_address not null,
    token_id text collate "C" not null,
    -- tokens.id; no foreign key, because a transfer of zero units makes no token.
    token uuid not null,
    from_addr chain_registry_service.evm_address not null,
    to_addr chain_registry_service.evm_address not null,
    quantity numeric(78, 0) not null,
    standard text not null,
    kind text not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    log_index integer not null,
    item integer not null,
    primary key (chain_id, id)
) partition by list (chain_id);
