-- Attributes of tokens, filled by the metadata task.
create table if not exists catalog_service.traits (
    id uuid primary key,
    collection_id uuid not null references catalog_service.collections (id) on delete cascade,
    name text not null,
    normalized_name text not null,
    value_type text not null,
    display_type text,
    sort_order integer not null default 0,
    unique (collection_id, normalized_name)
);

create table if not exists catalog_service.trait_values (
    id uuid primary key,
    trait_id uuid not null references catalog_service.traits (id) on delete cascade,
    value_string text,
    value_number numeric,
    normalized_value text not null,
    occurrences integer not null default 0 check (occurrences >= 0),
    rarity_score numeric,
    unique (trait_id, normalized_value)
);

create table if not exists catalog_service.token_trait_links (
    token_id uuid not null references catalog_service.tokens (id) on delete cascade,
    trait_id uuid not null references catalog_service.traits (id) on delete cascade,
    trait_value_id uuid not null references catalog_service.trait_values (id) on delete cascade,
    primary key (token_id, trait_id, trait_value_id)
);
create index if not exists token_trait_links_value on catalog_service.token_trait_links (trait_value_id);
create index if not exists token_trait_links_trait on catalog_service.token_trait_links (trait_id);
