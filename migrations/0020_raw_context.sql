-- What decoding needs beside the logs, kept with them: the archive when no MongoDB is given.
create table if not exists indexer_service.raw_transactions (
    chain_id chain_registry_service.caip2_chain not null,
    -- Position of the transaction's first archived log, with which it goes.
    id uuid not null,
    block_number bigint not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    from_address chain_registry_service.evm_address not null,
    -- Null for a creation.
    to_address chain_registry_service.evm_address,
    value numeric(78, 0) not null,
    input bytea not null,
    primary key (chain_id, id)
);

-- What contracts said of themselves.
create table if not exists indexer_service.raw_answers (
    chain_id chain_registry_service.caip2_chain not null,
    -- The block after which it was asked; -1 for what holds at every height.
    height bigint not null,
    -- keccak256 of contract and calldata.
    question chain_registry_service.evm_tx_hash not null,
    contract chain_registry_service.evm_address not null,
    input bytea not null,
    -- Null when the contract refused.
    returned bytea,
    primary key (chain_id, height, question)
);
