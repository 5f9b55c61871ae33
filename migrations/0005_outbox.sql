-- Messages owed to the broker, written in the transaction of the facts they announce and deleted when confirmed.
-- A row is lean: the publisher joins the fact when it pays. Only a retraction, whose fact is gone, carries its body.
create table if not exists indexer_service.outbox (
    chain_id chain_registry_service.caip2_chain not null,
    -- Order of payment within a chain.
    seq bigint generated always as identity,
    block_number bigint not null,
    -- transfer, mint, burn; retraction.
    kind text not null,
    -- The message id: the fact's id, or for a retraction decoders::id::retraction_of it.
    fact_id uuid not null,
    -- Retractions only: fact_id, kind, contract, token_id, from, to, quantity (text), standard, tx_hash, log_index, item,
    -- block_number, block_hash, block_time.
    body jsonb,
    primary key (chain_id, seq),
    check ((body is not null) = (kind = 'retraction'))
);

-- What each exchange was paid so far, and which publisher is paying it: two on one chain would send out of order.
create table if not exists indexer_service.publisher_cursors (
    chain_id chain_registry_service.caip2_chain not null,
    -- Exchange, such as indexer.events.
    exchange text not null,
    last_seq bigint not null default 0,
    published bigint not null default 0,
    unroutable bigint not null default 0,
    skipped bigint not null default 0,
    holder text,
    held_until timestamptz,
    updated_at timestamptz not null default now(),
    primary key (chain_id, exchange)
);
