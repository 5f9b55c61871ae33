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
create index if not exists ownership_transfers_token on catalog_service.ownership_transfers (token, id);

-- Makes the partitions of a chain; a no-op when they exist. Attaching a finished table keeps writers of other chains going.
create or replace function catalog_service.ensure_chain(chain text) returns void language plpgsql as $$
declare
    partition_name text := 'ownership_transfers_' || replace(chain, ':', '_');
begin
    if to_regclass('catalog_service.' || quote_ident(partition_name)) is not null then
        return;
    end if;
    -- What attaching needs anyway, and no two callers at once; a lock on the table also refreshes what this session believes exists.
    lock table catalog_service.ownership_transfers in share update exclusive mode;
    if exists (select from pg_class where relnamespace = 'catalog_service'::regnamespace and relname = partition_name) then
        return;
    end if;
    execute format('create table catalog_service.%I (like catalog_service.ownership_transfers including all)', partition_name);
    execute format('alter table catalog_service.ownership_transfers attach partition catalog_service.%I for values in (%L)',
                   partition_name, chain);
end
$$;
