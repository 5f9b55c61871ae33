-- What must be tried again is decided in the transaction that records a fault: the row says how often it was tried and when it
-- is tried next. processing_queue is a cache of these rows.
alter table indexer_service.decode_faults add column if not exists attempts integer not null default 0;
-- Never by itself where null: another try would end the same way, or there were enough.
alter table indexer_service.decode_faults add column if not exists next_attempt_at timestamptz;

create index if not exists decode_faults_due on indexer_service.decode_faults (chain_id, next_attempt_at)
    where next_attempt_at is not null;

-- Those recorded before, whether they ever reached the queue or not.
update indexer_service.decode_faults set next_attempt_at = now()
 where next_attempt_at is null and attempts = 0 and reason in ('abi_unknown', 'contract_unknown', 'unanswered');

delete from indexer_service.processing_queue;
