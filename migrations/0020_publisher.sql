-- What the publisher needs beside the rows: to find one chain's share in order, to be alone on a chain, and to count.

-- One chain's rows in order, without passing over another chain's backlog; no index beside it.
do $$
begin
    if (select cardinality(conkey) from pg_constraint
         where conrelid = 'indexer_service.outbox'::regclass and contype = 'p') = 1 then
        alter table indexer_service.outbox drop constraint outbox_pkey, add primary key (chain_id, seq);
    end if;
end
$$;

alter table indexer_service.publisher_cursors
    alter column fact_id drop not null,
    -- Highest outbox number paid.
    add column if not exists last_seq bigint not null default 0,
    add column if not exists published bigint not null default 0,
    -- Dropped because no queue asked for them.
    add column if not exists unroutable bigint not null default 0,
    -- Rows whose fact was undone before they were paid.
    add column if not exists skipped bigint not null default 0,
    -- The publisher at work and how long its claim lasts; null when it stopped in order.
    add column if not exists holder text,
    add column if not exists held_until timestamptz;
