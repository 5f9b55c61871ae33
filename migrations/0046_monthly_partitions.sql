-- Tables that grow with time are partitioned by month of created_at: what retention takes away goes as a whole partition. Rows that no
-- month has a partition for go to a default one, so that a missed maintenance run loses nothing.
create schema if not exists platform_service;

create or replace function platform_service.month_tables() returns table (month_table name)
language sql immutable as $$
    values ('notifications'::name), ('transactions'), ('audit_logs')
$$;

-- notifications and December 2026: notifications_2026_12. Months are those of UTC, whatever the session's time zone.
create or replace function platform_service.month_partition_of(parent name, month timestamptz) returns name
language sql immutable parallel safe as $$
    select (parent || to_char(month at time zone 'UTC', '_YYYY_MM'))::name
$$;

-- Makes the partition of the month that `moment` is in; false when it exists. Rows that waited in the default partition move into it.
create or replace function platform_service.ensure_month(parent name, moment timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    month timestamptz := date_trunc('month', moment, 'UTC');
    next_month timestamptz := ((month at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    partition_name name := platform_service.month_partition_of(parent, month);
begin
    if to_regclass(format('platform_service.%I', partition_name)) is not null then
        return false;
    end if;
    -- What attaching needs anyway, and no two callers at once.
    execute format('lock table platform_service.%I in share update exclusive mode', parent);
    if exists (select from pg_class where relnamespace = 'platform_service'::regnamespace and relname = partition_name) then
        return false;
    end if;
    execute format('create table platform_service.%I (like platform_service.%I including all)', partition_name, parent);
    execute format('lock table platform_service.%I in access exclusive mode', parent || '_default');
    -- A default partition is searched for rows of the month when another is attached, unless a constraint rules them out.
    execute format('alter table platform_service.%I disable trigger user', parent || '_default');
    execute format('with moved as (delete from platform_service.%I where created_at >= %L and created_at < %L returning *)
                    insert into platform_service.%I select * from moved',
                   parent || '_default', month, next_month, partition_name);
    execute format('alter table platform_service.%I enable trigger user', parent || '_default');
    execute format('alter table platform_service.%I attach partition platform_service.%I for values from (%L) to (%L)',
                   parent, partition_name, month, next_month);
    return true;
end
$$;

-- Makes the partitions of this month and of `ahead` more; returns the names of those it made.
create or replace function platform_service.ensure_months(ahead integer, moment timestamptz default now()) returns setof name
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    parent name;
    month timestamptz;
begin
    for parent in select t.month_table from platform_service.month_tables() t order by 1 loop
        for month in
            select (date_trunc('month', moment at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC'
            from generate_series(0, ahead) step
        loop
            if platform_service.ensure_month(parent, month) then
                return next platform_service.month_partition_of(parent, month);
            end if;
        end loop;
    end loop;
end
$$;
