-- Marketplaces and currencies are rows, not types: a new one needs no migration.
create table if not exists catalog_service.marketplaces (
    -- UUIDv5 of the name, so no writer looks it up.
    id uuid primary key,
    name text collate "C" not null unique
);

-- What prices are told in. The zero address is the chain's own currency.
create table if not exists catalog_service.currencies (
    chain_id chain_registry_service.caip2_chain not null,
    address chain_registry_service.evm_address not null,
    symbol text not null,
    -- Null where nobody told: amounts are then shown raw or not at all, never guessed.
    decimals integer check (decimals between 0 and 77),
    -- Whether one of it is worth one of the chain's own: such amounts add up to volumes.
    pegged boolean not null default false,
    -- What the smallest unit is worth in whole ones. Amounts times this are exact; a division would round.
    unit numeric generated always as (('1e-' || decimals::text)::numeric) stored,
    primary key (chain_id, address)
);

-- The chain's own currency follows the registry.
create or replace function catalog_service.keep_native_currency() returns trigger language plpgsql as $$
begin
    insert into catalog_service.currencies (chain_id, address, symbol, decimals, pegged)
    values (new.caip2, '0x0000000000000000000000000000000000000000', new.native_symbol, new.decimals, true)
    on conflict (chain_id, address) do update set symbol = excluded.symbol, decimals = excluded.decimals, pegged = true;
    return null;
end
$$;

create or replace trigger keep_native_currency
    after insert or update of native_symbol, decimals on chain_registry_service.chains
    for each row execute function catalog_service.keep_native_currency();

insert into catalog_service.currencies (chain_id, address, symbol, decimals, pegged)
select caip2, '0x0000000000000000000000000000000000000000', native_symbol, decimals, true
from chain_registry_service.chains
on conflict do nothing;
