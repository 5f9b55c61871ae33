-- Every table of facts has a partition per chain, with the same reasons as 0012: made by ensure_chain, its indexes taken away
-- around a first backfill and built again. A new table of facts is added to fact_tables, and its indexes to fact_indexes.
create or replace function catalog_service.fact_tables() returns table (fact_table name)
language sql immutable as $$
    values ('ownership_transfers'::name), ('sale_facts')
$$;

-- What only readers and rewinds need, as named after the partition.
create or replace function catalog_service.fact_indexes() returns table (fact_table name, suffix text, definition text)
language sql immutable as $$
    values ('ownership_transfers'::name, 'token', '(token, id)'),
           ('sale_facts', 'token', '(token, id) where token is not null'),
           ('sale_facts', 'contract', '(contract, id)'),
           ('sale_facts', 'seller', '(seller, id)'),
           ('sale_facts', 'buyer', '(buyer, id)')
$$;

create or replace function catalog_service.partition_of(fact_table name, chain text) returns name language sql immutable as $$
    select (fact_table || '_' || replace(chain, ':', '_'))::name
$$;

-- Builds what is missing of the indexes; a no-op when they exist.
create or replace function catalog_service.build_indexes(chain text) returns void language plpgsql as $$
declare
    missing record;
begin
    for missing in
        select p.name as partition_name, p.name || '_' || i.suffix as index_name, i.definition
        from catalog_service.fact_indexes() i
        cross join lateral (select catalog_service.partition_of(i.fact_table, chain) as name) p
        where to_regclass(format('catalog_service.%I', p.name || '_' || i.suffix)) is null
          and to_regclass(format('catalog_service.%I', p.name)) is not null
    loop
        execute format('lock table catalog_service.%I in share row exclusive mode', missing.partition_name);
        execute format('create index if not exists %I on catalog_service.%I %s',
                       missing.index_name, missing.partition_name, missing.definition);
    end loop;
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

-- Takes the indexes away from a chain without facts until build_indexes is called; false for a chain that has any.
-- Those that chains share go only while no chain has a token.
create or replace function catalog_service.defer_indexes(chain text) returns boolean language plpgsql as $$
declare
    partition_name name;
    index_name text;
    filled boolean;
begin
    for partition_name in select catalog_service.partition_of(t.fact_table, chain) from catalog_service.fact_tables() t loop
        execute format('lock table catalog_service.%I in access exclusive mode', partition_name);
        execute format('select exists (select from catalog_service.%I)', partition_name) into filled;
        if filled then
            return false;
        end if;
    end loop;
    for index_name in
        select catalog_service.partition_of(i.fact_table, chain) || '_' || i.suffix from catalog_service.fact_indexes() i
    loop
        execute format('drop index if exists catalog_service.%I', index_name);
    end loop;
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
    parent name;
    partition_name name;
    fact_index record;
begin
    for parent in select t.fact_table from catalog_service.fact_tables() t loop
        partition_name := catalog_service.partition_of(parent, chain);
        continue when to_regclass(format('catalog_service.%I', partition_name)) is not null;
        -- What attaching needs anyway, and no two callers at once; a lock on the table also refreshes what this session
        -- believes exists.
        execute format('lock table catalog_service.%I in share update exclusive mode', parent);
        continue when exists (select from pg_class
                              where relnamespace = 'catalog_service'::regnamespace and relname = partition_name);
        execute format('create table catalog_service.%I (like catalog_service.%I including all)', partition_name, parent);
        for fact_index in select i.suffix, i.definition from catalog_service.fact_indexes() i
                          where i.fact_table = parent
        loop
            execute format('create index %I on catalog_service.%I %s',
                           partition_name || '_' || fact_index.suffix, partition_name, fact_index.definition);
        end loop;
        execute format('alter table catalog_service.%I attach partition catalog_service.%I for values in (%L)',
                       parent, partition_name, chain);
    end loop;
end
$$;
