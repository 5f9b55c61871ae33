-- By which edition of the registry's contracts an archived log was read: who read it by an earlier one and is late changes nothing.
alter table indexer_service.raw_events add column if not exists abi_edition bigint;
