-- Raw events that wait for another try, where no MongoDB is given; there it is a collection of the same shape.
create table if not exists indexer_service.processing_queue (
    chain_id chain_registry_service.caip2_chain not null,
    -- Position of the log, as in raw_events and decode_faults.
    event_id uuid not null,
    block_number bigint not null,
    reason text not null,
    -- Higher is tried first.
    priority integer not null default 0,
    retry_count integer not null default 0 check (retry_count >= 0),
    status text not null default 'pending' check (status in ('pending', 'processing', 'done', 'failed')),
    next_attempt_at timestamptz not null default now(),
    last_error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (chain_id, event_id)
);
create index if not exists processing_queue_due on indexer_service.processing_queue (next_attempt_at)
    where status in ('pending', 'processing');
