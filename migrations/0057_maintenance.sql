-- The maintenance task: whose turn it is, and what of the monthly partitions is missing or past its time.
create table if not exists indexer_service.maintenance_turns (
    -- One row: the task looks after the whole database.
    only_row boolean primary key default true constraint maintenance_turns_only_row check (only_row),
    holder text not null,
    held_until timestamptz not null,
    -- When the last one was done with everything.
    finished_at timestamptz
);

-- The partitions that `ensure_months` would make.
create or replace function platform_service.missing_months(ahead integer, moment timestamptz) returns setof name
language sql stable set search_path = pg_catalog, pg_temp as $$
    select platform_service.month_partition_of(t.month_table, m.month)
    from platform_service.month_tables() t
    cross join lateral (
        select (date_trunc('month', moment at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC' as month
        from generate_series(0, ahead) step
    ) m
    where to_regclass(format('platform_service.%I', platform_service.month_partition_of(t.month_table, m.month))) is null
    order by 1
$$;

-- Partitions of `parent` whose month ended `keep` months ago or earlier, the oldest first.
create or replace function platform_service.past_months(parent name, keep integer, moment timestamptz) returns setof name
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.relname
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(format('platform_service.%I', parent))
      and c.relname ~ ('^' || parent || '_[0-9]{4}_[0-9]{2}$')
      and c.relname < platform_service.month_partition_of(
            parent, (date_trunc('month', moment at time zone 'UTC') - make_interval(months => keep)) at time zone 'UTC')
    order by 1
$$;

-- Drops one of `past_months`, and returns how many rows went with it. With the rights of its owner, who alone may drop a table.
create or replace function platform_service.drop_month(parent name, keep integer, moment timestamptz, partition_name name)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone bigint;
begin
    if not exists (select from platform_service.month_tables() t where t.month_table = parent)
       or not exists (select from platform_service.past_months(parent, keep, moment) p where p = partition_name) then
        return 0;
    end if;
    -- Detached first: readers of the table do not wait for the drop.
    execute format('alter table platform_service.%I detach partition platform_service.%I', parent, partition_name);
    execute format('select count(*) from platform_service.%I', partition_name) into gone;
    execute format('drop table platform_service.%I', partition_name);
    return gone;
end
$$;

-- Rows of months that no partition is for, by table. With the rights of its owner: a role has rights on tables and not on their partitions.
create or replace function platform_service.waiting_rows() returns table (default_partition text, waiting bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent name;
begin
    for parent in select t.month_table from platform_service.month_tables() t order by 1 loop
        default_partition := format('platform_service.%I', parent || '_default');
        execute 'select count(*) from ' || default_partition into waiting;
        return next;
    end loop;
end
$$;

select indexer_service.grant_roles();
