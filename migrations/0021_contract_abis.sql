-- What a followed contract runs from a position on: the code of another contract, or whatever a beacon names.
create table if not exists chain_registry_service.chain_contract_abis (
    chain_id chain_registry_service.caip2_chain not null,
    contract chain_registry_service.evm_address not null,
    -- Position of the log that said so; the first one of a block where an operator said so.
    valid_from uuid not null,
    kind text not null check (kind in ('implementation', 'beacon')),
    target chain_registry_service.evm_address not null,
    -- What the chain told goes with a rewind; what an operator told stays.
    told_by text not null default 'chain' check (told_by in ('chain', 'operator')),
    primary key (chain_id, contract, valid_from)
);

create or replace trigger chain_contract_abis_announce
    after insert or update or delete or truncate on chain_registry_service.chain_contract_abis
    for each statement execute function chain_registry_service.announce_edit();

-- By which ABIs the archived logs of a contract were read, from which position on. Where the registry now says otherwise,
-- coverage of the source abi:0x… is taken back, and the logs are read again.
create table if not exists indexer_service.abi_decodings (
    chain_id chain_registry_service.caip2_chain not null,
    contract chain_registry_service.evm_address not null,
    timeline jsonb not null check (jsonb_typeof(timeline) = 'array'),
    updated_at timestamptz not null default now(),
    primary key (chain_id, contract)
);

-- Faults are listed and tried again by contract.
create index if not exists decode_faults_contract on indexer_service.decode_faults (chain_id, contract, id);
