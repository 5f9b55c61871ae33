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

-- Partitions are made and indexed by functions, because a chain's first backfill is a bulk load: the (token, id) index costs
-- twice as much kept row by row as built once afterwards.
create or replace function catalog_service.transfers_of(chain text) returns name language sql immutable as $$
    select ('ownership_transfers_' || replace(chain, ':', '_'))::name
$$;

-- Builds what reads and rewinds of a chain need; a no-op when it exists.
create or replace function catalog_service.build_indexes(chain text) returns void language plpgsql as $$
declare
    partition_name name := catalog_service.transfers_of(chain);
begin
    if to_regclass(format('catalog_service.%I', partition_name || '_token')) is not null then
        return;
    end if;
    execute format('lock table catalog_service.%I in share row exclusive mode', partition_name);
    execute format('create index if not exists %I on catalog_service.%I (token, id)', partition_name || '_token', partition_name);
end
$$;

-- Takes that away from a chain without facts until build_indexes is called; false for a chain that has any.
create or replace function catalog_service.defer_indexes(chain text) returns boolean language plpgsql as $$
declare
    partition_name name := catalog_service.transfers_of(chain);
    filled boolean;
begin
    execute format('lock table catalog_service.%I in access exclusive mode', partition_name);
    execute format('select exists (select from catalog_service.%I)', partition_name) into filled;
    if filled then
        return false;
    end if;
    execute format('drop index if exists catalog_service.%I', partition_name || '_token');
    return true;
end
$$;

-- Makes the partitions of a chain; a no-op when they exist. Attaching a finished table keeps writers of other chains going.
create or replace function catalog_service.ensure_chain(chain text) returns void language plpgsql as $$
declare
    partition_name name := catalog_service.transfers_of(chain);
begin
    if to_regclass(format('catalog_service.%I', partition_name)) is not null then
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
    perform catalog_service.build_indexes(chain);
end
$$;
