-- The temporary table that what a rewind takes back is moved to: made once per session, because catalog rows per rewind would
-- bloat the catalog, and made anew when a migration has changed the table it is like since.
create or replace function indexer_service.make_undone(undone name, fact_table regclass) returns void language plpgsql as $$
declare
    existing regclass := to_regclass(format('pg_temp.%I', undone));
begin
    if existing is not null then
        if (select array_agg((attname, atttypid, atttypmod)::text order by attnum) from pg_attribute
             where attrelid = existing and attnum > 0 and not attisdropped)
           = (select array_agg((attname, atttypid, atttypmod)::text order by attnum) from pg_attribute
               where attrelid = fact_table and attnum > 0 and not attisdropped)
        then
            return;
        end if;
        execute format('drop table pg_temp.%I', undone);
    end if;
    execute format('create temp table %I (like %s) on commit delete rows', undone, fact_table);
end
$$;
