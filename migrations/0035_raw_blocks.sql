-- The archive in PostgreSQL holds a row per block, a column per field of its logs (docs/decisions/0016-raw-blocks.md). What the
-- documents call `raw_events` is a view over it. Rows of an older schema are carried over.
create table if not exists indexer_service.raw_blocks (
    block_time timestamptz not null,
    -- Position of the block, from which the ids of its logs follow.
    id uuid not null,
    chain_id text collate "C" not null,
    block_hash bytea not null,
    -- An element per log, in the order of their indexes.
    log_index bigint[] not null,
    tx_index bigint[] not null,
    tx_hash bytea[] not null,
    address bytea[] not null,
    -- At most four words of 32 bytes, one behind the other.
    topics bytea[] not null,
    data bytea[] not null,
    primary key (chain_id, id)
);

-- What logs are by a stored ABI, and by which edition of the registry's contracts they were read.
create table if not exists indexer_service.raw_notes (
    chain_id text collate "C" not null,
    id uuid not null,
    event_type text,
    event_data jsonb,
    abi_edition bigint not null,
    primary key (chain_id, id)
);

-- Columns of whole blocks are long: LZ4 packs them for a tenth of what PostgreSQL's own method takes, which would cost more than
-- writing the rows. A server that was built without it leaves them as they are.
do $$
declare
    long name;
    has_lz4 boolean := (select 'lz4' = any(enumvals) from pg_settings where name = 'default_toast_compression');
begin
    foreach long in array array['tx_hash', 'address', 'topics', 'data']::name[] loop
        execute format('alter table indexer_service.raw_blocks alter column %I set %s', long,
                       case when has_lz4 then 'compression lz4' else 'storage external' end);
    end loop;
end
$$;

-- The id of a log of a block (decoders/src/id.rs); those beyond the last index that ids hold are told apart by the item.
create or replace function indexer_service.log_id(block uuid, log_index bigint) returns uuid
language sql immutable parallel safe as $$
    select (substr(h.text, 1, 9) || lpad(to_hex(at.log >> 10), 3, '0')
            || '8' || lpad(to_hex(((at.log & 1023) << 2) | (at.item >> 18)), 3, '0')
            || to_hex(128 | ((at.item >> 12) & 63)) || lpad(to_hex((at.item >> 4) & 255), 2, '0') || to_hex(at.item & 15) || '0'
            || right(h.text, 10))::uuid
    from (select replace(block::text, '-', '') as text) h,
         (select least(log_index, 4194303) as log, least(greatest(log_index - 4194303, 0), 1048575) as item) at
$$;
-- The row that holds a log.
create or replace function indexer_service.block_id(log uuid) returns uuid language sql immutable parallel safe as $$
    select (substr(h.text, 1, 9) || '0008000800000' || right(h.text, 10))::uuid
    from (select replace(log::text, '-', '') as text) h
$$;

do $$
begin
    if not exists (select from pg_class where oid = to_regclass('indexer_service.raw_events') and relkind = 'r') then
        return;
    end if;
    insert into indexer_service.raw_blocks
        (chain_id, id, block_hash, block_time, log_index, tx_index, tx_hash, address, topics, data)
    select chain_id, (array_agg(indexer_service.block_id(id)))[1], decode(substr(block_hash, 3), 'hex'), block_time,
           -- as unsigned numbers of 32 bits, which the table held with a sign
           array_agg(log_index::bigint & 4294967295 order by id), array_agg(tx_index::bigint & 4294967295 order by id),
           array_agg(decode(substr(tx_hash, 3), 'hex') order by id), array_agg(decode(substr(address, 3), 'hex') order by id),
           array_agg(decode(replace(array_to_string(topics, ''), '0x', ''), 'hex') order by id), array_agg(data order by id)
    from indexer_service.raw_events
    group by chain_id, block_number, block_hash, block_time;
    insert into indexer_service.raw_notes (chain_id, id, event_type, event_data, abi_edition)
    select chain_id, id, event_type, event_data, coalesce(abi_edition, 0)
    from indexer_service.raw_events where event_type is not null or event_data is not null or abi_edition is not null;
    drop table indexer_service.raw_events;
end
$$;

create or replace view indexer_service.raw_events as
    select b.chain_id, l.id, catalog_service.block_of(b.id) as block_number, catalog_service.hex(b.block_hash) as block_hash,
           b.block_time, catalog_service.hex(e.tx_hash) as tx_hash, e.tx_index, e.log_index, catalog_service.hex(e.address) as address,
           array(select catalog_service.hex(substr(e.topics, 32 * n + 1, 32))
                 from generate_series(0, octet_length(e.topics) / 32 - 1) n order by n) as topics,
           e.data, n.event_type, n.event_data, n.abi_edition
    from indexer_service.raw_blocks b
    cross join lateral unnest(b.log_index, b.tx_index, b.tx_hash, b.address, b.topics, b.data)
        as e (log_index, tx_index, tx_hash, address, topics, data)
    cross join lateral (select indexer_service.log_id(b.id, e.log_index) as id) l
    left join indexer_service.raw_notes n on n.chain_id = b.chain_id and n.id = l.id;
