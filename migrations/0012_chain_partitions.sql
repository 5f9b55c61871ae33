-- Partitions are made and indexed by functions, because a chain's first backfill is a bulk load: an index at random keys costs
-- several times as much kept row by row as built once afterwards, and one on the owner makes every update of a token touch all of them.
create or replace function catalog_service.transfers_of(chain text) returns name language sql immutable as $$
    select ('ownership_transfers_' || replace(chain, ':', '_'))::name
$$;

-- Builds what only readers and rewinds need; a no-op when it exists.
create or replace function catalog_service.build_indexes(chain text) returns void language plpgsql as $$
declare
    partition_name name := catalog_service.transfers_of(chain);
begin
    if to_regclass(format('catalog_service.%I', partition_name || '_token')) is null then
        execute format('lock table catalog_service.%I in share row exclusive mode', partition_name);
        execute format('create index if not exists %I on catalog_service.%I (token, id)', partition_name || '_token', partition_name);
    end if;
    if to_regclass('catalog_service.tokens_owner') is null then
        lock table catalog_service.tokens in share row exclusive mode;
        create index if not exists tokens_owner on catalog_service.tokens (owner_address) where owner_address is not null;
    end if;
    if to_regclass('catalog_service.erc1155_balances_owner') is null then
        lock table catalog_service.erc1155_balances in share row exclusive mode;
        create index if not exists erc1155_balances_owner on catalog_service.erc1155_balances (owner);
    end if;
end
$$;

-- Takes that away from a chain without facts until build_indexes is called; false for a chain that has any.
-- The indexes that chains share go only while no chain has a token.
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
    if not exists (select from catalog_service.tokens) then
        drop index if exists catalog_service.tokens_owner;
        drop index if exists catalog_service.erc1155_balances_owner;
    end if;
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
    execute format('create index %I on catalog_service.%I (token, id)', partition_name || '_token', partition_name);
    execute format('alter table catalog_service.ownership_transfers attach partition catalog_service.%I for values in (%L)',
                   partition_name, chain);
end
$$;
