-- Messages owed to the broker, written in the transaction of the facts they announce and deleted when confirmed.
-- A row is lean: the publisher joins the fact when it pays. Only a retraction, whose fact is gone, carries its body.
create table if not exists indexer_service.outbox (
    seq bigint generated always as identity primary key,
    chain_id chain_registry_service.caip2_chain not null,
    block_number bigint not null,
    -- transfer, mint, burn; retraction.
    kind text not null,
    -- The message id: the fact's id, or for a retraction decoders::id::retraction_of it.
    fact_id uuid not null,
    -- Retractions only: fact_id, kind, contract, token_id, from, to, quantity, standard, tx_hash, log_index, block_number, block_hash, block_time.
    body jsonb,
    check ((body is not null) = (kind = 'retraction'))
);

create table if not exists indexer_service.publisher_cursors (
    -- Exchange the cursor belongs to, such as indexer.finalized.
    exchange text not null,
    chain_id chain_registry_service.caip2_chain not null,
    -- Id of the last fact paid.
    fact_id uuid not null,
    updated_at timestamptz not null default now(),
    primary key (exchange, chain_id)
);
