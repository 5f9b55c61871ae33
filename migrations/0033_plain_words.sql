-- Columns and values with the words that the documents use. Rows keep their meaning.
do $$
begin
    if exists (select from information_schema.columns
                where table_schema = 'catalog_service' and table_name = 'currencies' and column_name = 'told_by') then
        alter table catalog_service.currencies drop constraint if exists currencies_told_by_check;
        alter table catalog_service.currencies rename column told_by to source;
        update catalog_service.currencies set source = 'unknown' where source = 'nobody';
        alter table catalog_service.currencies add constraint currencies_source_check
            check (source in ('operator', 'contract', 'unknown'));
        drop index if exists catalog_service.currencies_unknown;
        create index currencies_unknown on catalog_service.currencies (chain_id, address) where source = 'unknown';
    end if;
    if exists (select from information_schema.columns
                where table_schema = 'chain_registry_service' and table_name = 'chain_contract_abis' and column_name = 'told_by') then
        alter table chain_registry_service.chain_contract_abis rename column told_by to source;
        alter table chain_registry_service.chain_contract_abis
            rename constraint chain_contract_abis_told_by_check to chain_contract_abis_source_check;
    end if;
    if exists (select from information_schema.columns
                where table_schema = 'indexer_service' and table_name = 'wash_progress' and column_name = 'judged_to') then
        alter table indexer_service.wash_progress rename column judged_to to recomputed_to;
    end if;
    if exists (select from information_schema.columns
                where table_schema = 'indexer_service' and table_name = 'indexer_checkpoints' and column_name = 'doubted_block') then
        alter table indexer_service.indexer_checkpoints rename column doubted_block to suspect_block;
    end if;
end $$;
