-- How many messages were written and how many have gone, so that how many are pending is subtracted and never counted.
create table if not exists indexer_service.outbox_totals (
    chain_id chain_registry_service.caip2_chain primary key,
    -- By the commits of their facts, last of all: rows that take numbers but fail are not counted.
    written bigint not null default 0,
    -- Published, dropped, expired, or deleted by an operator: whatever deletes rows.
    removed bigint not null default 0,
    -- Of those, dropped after broker.retention_hours without a broker.
    expired bigint not null default 0
);

insert into indexer_service.outbox_totals (chain_id, written)
select chain_id, count(*) from indexer_service.outbox group by chain_id
on conflict do nothing;

create or replace function indexer_service.count_removed_messages() returns trigger language plpgsql as $$
begin
    update indexer_service.outbox_totals t set removed = t.removed + gone.messages
      from (select chain_id, count(*) as messages from removed_messages group by chain_id) gone
     where t.chain_id = gone.chain_id;
    return null;
end
$$;

create or replace trigger outbox_removed after delete on indexer_service.outbox
    referencing old table as removed_messages for each statement
    execute function indexer_service.count_removed_messages();

-- Which number of the outbox was the newest at which time, so that no row needs a time of its own to expire.
create table if not exists indexer_service.outbox_marks (
    seq bigint primary key,
    marked_at timestamptz not null default now()
);
