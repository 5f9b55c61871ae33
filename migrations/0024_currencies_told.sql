-- A currency that a price is told in gets a row of its own, and its contract is asked for symbol and decimals.
alter table catalog_service.currencies alter column symbol drop not null;
-- Who says what the row says: operator (configuration, command line, the registry's chains), contract (what it answered, if
-- anything), nobody (not asked yet).
alter table catalog_service.currencies add column if not exists told_by text not null default 'operator'
    check (told_by in ('operator', 'contract', 'nobody'));
create index if not exists currencies_unknown on catalog_service.currencies (chain_id, address) where told_by = 'nobody';

insert into catalog_service.currencies (chain_id, address, told_by)
select distinct chain_id, currency, 'nobody' from catalog_service.collection_sales
on conflict (chain_id, address) do nothing;

insert into catalog_service.currencies (chain_id, address, told_by)
select distinct chain_id, currency_address, 'nobody' from catalog_service.order_facts
on conflict (chain_id, address) do nothing;
