-- Up to which sale a chain was judged by which version of the rules of wash flags; all of them where it is the highest id.
create table if not exists indexer_service.wash_progress (
    chain_id chain_registry_service.caip2_chain primary key,
    version integer not null,
    judged_to uuid not null
);
