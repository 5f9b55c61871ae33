-- Names the lock a publisher takes at the broker before it sends a chain's messages: an exclusive queue, which ends with the
-- connection that declared it. Random, so that two databases that publish to one exchange do not wait for each other.
alter table indexer_service.publisher_cursors add column if not exists lock uuid not null default gen_random_uuid();
