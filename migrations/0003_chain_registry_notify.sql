-- Every edit of the registry wakes the daemons that listen on channel chain_registry; the payload is the table's name.
create or replace function chain_registry_service.announce_edit() returns trigger language plpgsql as $$
begin
    perform pg_notify('chain_registry', tg_table_name);
    return null;
end
$$;

create or replace function chain_registry_service.touch_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at = now();
    return new;
end
$$;

create or replace trigger chains_announce
    after insert or update or delete or truncate on chain_registry_service.chains
    for each statement execute function chain_registry_service.announce_edit();
create or replace trigger chain_endpoints_announce
    after insert or update or delete or truncate on chain_registry_service.chain_endpoints
    for each statement execute function chain_registry_service.announce_edit();
create or replace trigger abi_blobs_announce
    after insert or update or delete or truncate on chain_registry_service.abi_blobs
    for each statement execute function chain_registry_service.announce_edit();
create or replace trigger chain_contracts_announce
    after insert or update or delete or truncate on chain_registry_service.chain_contracts
    for each statement execute function chain_registry_service.announce_edit();
-- The follower writes the observed base fee with every block; that is no edit.
create or replace trigger chain_gas_policy_announce
    after insert or update of max_fee_gwei, priority_fee_gwei, multiplier or delete or truncate
    on chain_registry_service.chain_gas_policy
    for each statement execute function chain_registry_service.announce_edit();

create or replace trigger chains_touch before update on chain_registry_service.chains
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger chain_endpoints_touch before update on chain_registry_service.chain_endpoints
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger chain_gas_policy_touch before update on chain_registry_service.chain_gas_policy
    for each row execute function chain_registry_service.touch_updated_at();
