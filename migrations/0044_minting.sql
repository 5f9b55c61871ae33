-- What is to be minted, and collections that are announced before a token of theirs exists.

-- The number older systems know a person by follows the user of a row; a row that gives the number alone gets the user.
create or replace function user_service.keep_legacy_user_id() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'UPDATE' and new.user_id is null and old.user_id is not null then
        new.legacy_user_id = null;
    elsif new.user_id is not null then
        select u.legacy_id into new.legacy_user_id from user_service.users u where u.user_id = new.user_id;
    elsif new.legacy_user_id is not null then
        select u.user_id into new.user_id from user_service.users u where u.legacy_id = new.legacy_user_id;
        if new.user_id is null then
            raise exception 'no user has the legacy id %', new.legacy_user_id
                using errcode = 'foreign_key_violation', constraint = tg_table_name || '_legacy_user_id_known',
                      schema = tg_table_schema, table = tg_table_name, column = 'legacy_user_id';
        end if;
    end if;
    return new;
end
$$;

create table if not exists orchestrator_service.minting_queue_items (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references user_service.users (user_id) on delete set null,
    legacy_user_id integer,
    -- Who receives; no foreign key.
    wallet_address chain_registry_service.evm_address not null,
    intent_id uuid references orchestrator_service.tx_intents (intent_id) on delete set null,
    -- catalog_service.collections.id. No foreign key: a rewind takes collections away, and an item outlives it.
    collection_id uuid,
    chain_id chain_registry_service.caip2_chain not null,
    contract_address chain_registry_service.evm_address not null,
    quantity bigint not null default 1 constraint minting_queue_items_quantity_positive check (quantity > 0),
    token_uri text,
    status text not null default 'queued'
        constraint minting_queue_items_status_known check (status in ('queued', 'processing', 'submitted', 'minted', 'failed', 'canceled')),
    tx_hash chain_registry_service.evm_tx_hash,
    -- The tokens it became, in the order of the log; first, last and how many where they are more than a hundred.
    token_numbers text[] not null default '{}' constraint minting_queue_items_token_numbers_few check (cardinality(token_numbers) <= 100),
    first_token_number numeric,
    last_token_number numeric,
    minted_count bigint not null default 0 constraint minting_queue_items_minted_count_positive check (minted_count >= 0),
    attempts integer not null default 0 constraint minting_queue_items_attempts_positive check (attempts >= 0),
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    minted_at timestamptz,
    -- Id of the fact it was minted by: a rewind takes back what stands above its block.
    minted_position uuid,
    constraint minting_queue_items_tx_hash_given check (tx_hash is not null or status not in ('submitted', 'minted'))
);
create index if not exists minting_queue_items_user on orchestrator_service.minting_queue_items (user_id, created_at desc);
create index if not exists minting_queue_items_legacy_user on orchestrator_service.minting_queue_items (legacy_user_id);
-- Addresses are stored in lower case.
create index if not exists minting_queue_items_wallet on orchestrator_service.minting_queue_items (wallet_address);
create index if not exists minting_queue_items_intent on orchestrator_service.minting_queue_items (intent_id) where intent_id is not null;
create index if not exists minting_queue_items_tx_hash on orchestrator_service.minting_queue_items (chain_id, tx_hash)
    where tx_hash is not null;
create index if not exists minting_queue_items_waiting on orchestrator_service.minting_queue_items (created_at)
    where status in ('queued', 'processing', 'submitted');

create or replace trigger minting_queue_items_legacy_user_id
    before insert or update of user_id, legacy_user_id on orchestrator_service.minting_queue_items
    for each row execute function user_service.keep_legacy_user_id();
create or replace trigger minting_queue_items_touch before update on orchestrator_service.minting_queue_items
    for each row execute function chain_registry_service.touch_updated_at();

-- Collections that an intent announced. A collection has a row only when a token moves; until then its draft is what readers see.
create table if not exists catalog_service.collection_drafts (
    id uuid primary key default gen_random_uuid(),
    intent_id uuid unique references orchestrator_service.tx_intents (intent_id) on delete set null,
    user_id uuid references user_service.users (user_id) on delete set null,
    -- Of drafts alone: the collection has its own, and this becomes another name of it.
    slug text collate "C" not null unique constraint collection_drafts_slug_form check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    name text not null constraint collection_drafts_name_length check (char_length(name) between 1 and 200),
    description text,
    image_url text,
    banner_url text,
    socials_json jsonb not null default '{}' constraint collection_drafts_socials_json_object check (jsonb_typeof(socials_json) = 'object'),
    mint_json jsonb not null default '{}' constraint collection_drafts_mint_json_object check (jsonb_typeof(mint_json) = 'object'),
    chain_id chain_registry_service.caip2_chain not null,
    expected_address chain_registry_service.evm_address,
    status text not null default 'pending' constraint collection_drafts_status_known check (status in ('pending', 'deployed', 'failed')),
    -- Where it was deployed, and the collection there; a rewind takes both back. Without a foreign key, which would make every
    -- rewind of a collection look here.
    contract_address chain_registry_service.evm_address,
    collection_id uuid,
    deployed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint collection_drafts_contract_address_given check ((status = 'deployed') = (contract_address is not null))
);
create index if not exists collection_drafts_user on catalog_service.collection_drafts (user_id, created_at desc);
create index if not exists collection_drafts_expected on catalog_service.collection_drafts (chain_id, expected_address) where status = 'pending';
create index if not exists collection_drafts_contract on catalog_service.collection_drafts (chain_id, contract_address)
    where contract_address is not null;
create index if not exists collection_drafts_collection on catalog_service.collection_drafts (collection_id) where collection_id is not null;

create or replace trigger collection_drafts_touch before update on catalog_service.collection_drafts
    for each row execute function chain_registry_service.touch_updated_at();
