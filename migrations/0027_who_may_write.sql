-- Hashes where spans meet, so that a span of another branch is noticed, whoever wrote it: the edges of spans, and one block in 128.
create table if not exists indexer_service.indexer_seams (
    chain_id chain_registry_service.caip2_chain not null,
    number bigint not null,
    hash chain_registry_service.evm_tx_hash not null,
    primary key (chain_id, number)
);

-- Lowest block at which spans of two branches met; the holder of the lease decides which is the chain's.
alter table indexer_service.indexer_checkpoints add column if not exists doubted_block bigint;

-- Writes of the archive that were begun and not committed yet, or never.
create table if not exists indexer_service.archive_intents (
    -- Written with every record of the archive: a later writer's is higher.
    number bigint generated always as identity primary key,
    chain_id chain_registry_service.caip2_chain not null,
    -- What no later writer has written again.
    blocks int8multirange not null,
    -- Whether a later writer has begun on some of the blocks: this one commits nothing any more.
    overtaken boolean not null default false,
    begun_at timestamptz not null default clock_timestamp()
);
create index if not exists archive_intents_chain on indexer_service.archive_intents (chain_id, number);

-- Blocks that were written again after an unfinished write: records with a lower number are not read.
create table if not exists indexer_service.archive_fences (
    chain_id chain_registry_service.caip2_chain not null,
    number bigint not null,
    blocks int8range not null,
    primary key (chain_id, number, blocks)
);
