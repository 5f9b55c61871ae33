-- Sources that advance together share a row of coverage, so that a block costs one row however many contracts are registered.
create table if not exists indexer_service.coverage_members (
    chain_id chain_registry_service.caip2_chain not null,
    -- A registered contract, or what is kept of it: 0x…, logs:0x… or abi:0x….
    source text not null,
    -- The source whose rows of indexer_coverage count for this one too: shared:contracts:1 and the like.
    cohort text not null check (cohort like 'shared:%'),
    -- From this block on.
    since bigint not null check (since >= 0),
    primary key (chain_id, source)
);

-- How often the members of a chain changed: who knows them and finds the same number knows them still.
create table if not exists indexer_service.coverage_editions (
    chain_id chain_registry_service.caip2_chain primary key,
    edition bigint not null check (edition > 0)
);

-- What every source is covered for, its own rows and its cohort's together. A block stands under one proof of a source.
create or replace view indexer_service.source_coverage as
    select c.chain_id, c.source, c.proof, c.covered
    from indexer_service.indexer_coverage c
    where c.source not like 'shared:%'
    union all
    select m.chain_id, m.source, c.proof,
           c.covered * int8multirange(int8range(m.since, null))
           - coalesce((select range_agg(o.covered) from indexer_service.indexer_coverage o
                       where o.chain_id = m.chain_id and o.source = m.source), '{}'::int8multirange)
    from indexer_service.coverage_members m
    join indexer_service.indexer_coverage c on c.chain_id = m.chain_id and c.source = m.cohort;

-- Grows with every change of what the ABIs in force follow from, or of what logs were read by: a block without logs of followed
-- contracts then costs the same however many there are.
create table if not exists indexer_service.abi_edition (
    single boolean primary key default true check (single),
    edition bigint not null
);
insert into indexer_service.abi_edition (edition) values (1) on conflict do nothing;

create or replace function indexer_service.next_abi_edition() returns trigger language plpgsql as $$
begin
    update indexer_service.abi_edition set edition = edition + 1;
    return null;
end
$$;

create or replace trigger chain_contracts_edition
    after insert or update or delete or truncate on chain_registry_service.chain_contracts
    for each statement execute function indexer_service.next_abi_edition();
create or replace trigger chain_contract_abis_edition
    after insert or update or delete or truncate on chain_registry_service.chain_contract_abis
    for each statement execute function indexer_service.next_abi_edition();
create or replace trigger abi_decodings_edition
    after insert or update or delete or truncate on indexer_service.abi_decodings
    for each statement execute function indexer_service.next_abi_edition();
