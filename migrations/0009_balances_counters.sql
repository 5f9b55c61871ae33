-- ERC-1155 holdings. A row of zero is dead: nobody shows it, and a rewind removes it.
-- Negative while the token's history is not covered yet, hence no check.
create table if not exists catalog_service.erc1155_balances (
    token uuid not null,
    owner chain_registry_service.evm_address not null,
    quantity numeric not null,
    primary key (token, owner)
) with (fillfactor = 80);
-- Taken away and built again around a first backfill: 0012_chain_partitions.sql.
create index if not exists erc1155_balances_owner on catalog_service.erc1155_balances (owner);

-- Facts per contract and kind. Keyed by contract, because a contract of zero-unit transfers has counts and no collection.
create table if not exists catalog_service.collection_counters (
    chain_id chain_registry_service.caip2_chain not null,
    contract chain_registry_service.evm_address not null,
    transfers bigint not null default 0,
    mints bigint not null default 0,
    burns bigint not null default 0,
    primary key (chain_id, contract)
) with (fillfactor = 50);
