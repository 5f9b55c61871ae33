-- Columns and values with the words that the documents use. Rows keep their meaning.
do $$
declare
    renamed record;
    has_old boolean;
    has_new boolean;
begin
    for renamed in
        select * from (values ('catalog_service', 'currencies', 'told_by', 'source'),
                              ('chain_registry_service', 'chain_contract_abis', 'told_by', 'source'),
                              ('indexer_service', 'wash_progress', 'judged_to', 'recomputed_to'),
                              ('indexer_service', 'indexer_checkpoints', 'doubted_block', 'suspect_block'))
            as v (in_schema, in_table, old_name, new_name)
    loop
        select count(*) filter (where c.column_name = renamed.old_name) > 0, count(*) filter (where c.column_name = renamed.new_name) > 0
          into has_old, has_new
          from information_schema.columns c
         where c.table_schema = renamed.in_schema and c.table_name = renamed.in_table;
        if has_old and not has_new then
            execute format('alter table %I.%I rename column %I to %I',
                           renamed.in_schema, renamed.in_table, renamed.old_name, renamed.new_name);
        elsif has_old then
            -- The older migration was run again and made the column anew.
            execute format('alter table %I.%I drop column %I', renamed.in_schema, renamed.in_table, renamed.old_name);
        end if;
    end loop;
end $$;

-- The check and the index with the old value go first: neither lets a row change.
alter table catalog_service.currencies drop constraint if exists currencies_told_by_check;
alter table catalog_service.currencies drop constraint if exists currencies_source_check;
drop index if exists catalog_service.currencies_unknown;
update catalog_service.currencies set source = 'unknown' where source = 'nobody';
alter table catalog_service.currencies add constraint currencies_source_check check (source in ('operator', 'contract', 'unknown'));
create index if not exists currencies_unknown on catalog_service.currencies (chain_id, address) where source = 'unknown';
