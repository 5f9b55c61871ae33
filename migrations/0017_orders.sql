-- Listings and offers as the chain opened them, and what ended them. Two facts; the last three columns of the first follow from both.
create table if not exists catalog_service.order_facts (
    chain_id chain_registry_service.caip2_chain not null,
    -- UUIDv8 position; its order is chain order.
    id uuid not null,
    -- listing, offer.
    kind text not null,
    marketplace_id uuid not null,
    -- Version of the market's contracts; empty where there is but one.
    version text not null,
    -- Contract of the market.
    market chain_registry_service.evm_address not null,
    -- What the market knows the order by: its own hash if `hashed`, else one made of what stands for it.
    key chain_registry_service.evm_tx_hash not null,
    hashed boolean not null,
    -- UUIDv5 of chain, market and key: where closings find the order, and an order the one before it.
    slot uuid not null,
    maker chain_registry_service.evm_address not null,
    collection uuid not null,
    contract chain_registry_service.evm_address not null,
    -- Null where any token of the contract, or any of several, will do.
    token_number text collate "C",
    token uuid,
    standard text not null,
    quantity numeric(78, 0) not null,
    -- The zero address is the chain's own currency.
    currency_address chain_registry_service.evm_address not null,
    -- Of the whole quantity; null where it is not told.
    price_raw numeric(78, 0),
    unit_price_raw numeric(78, 0) generated always as (case when quantity > 0 then div(price_raw, quantity) end) stored,
    starts_at timestamptz,
    expires_at timestamptz,
    -- The only one who may take it.
    taker chain_registry_service.evm_address,
    nonce numeric(78, 0),
    -- Whether the market holds the token meanwhile.
    escrowed boolean not null,
    auction boolean not null,
    tx_hash chain_registry_service.evm_tx_hash not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    log_index integer not null,
    item integer not null,
    -- Id of the closing that ended it, or of the order that took its place.
    closed_by uuid,
    -- filled, canceled, invalidated; replaced.
    closed_reason text,
    -- Units taken.
    filled numeric(78, 0) not null default 0,
    primary key (chain_id, id),
    check ((closed_by is null) = (closed_reason is null))
) partition by list (chain_id);
create index if not exists order_facts_slot on catalog_service.order_facts (slot, id);
-- Closings by maker look for those that are open, or were closed above them.
create index if not exists order_facts_maker_closed on catalog_service.order_facts (maker, closed_by);

create table if not exists catalog_service.order_closings (
    chain_id chain_registry_service.caip2_chain not null,
    id uuid not null,
    marketplace_id uuid not null,
    market chain_registry_service.evm_address not null,
    -- Of the order it reaches; null for one that reaches orders of a maker.
    slot uuid,
    -- The order's key, where the closing is told to consumers: fills are not, their sales are.
    key chain_registry_service.evm_tx_hash,
    maker chain_registry_service.evm_address,
    -- Which orders of the maker: all, below (with a nonce below this one), exactly (with this nonce).
    nonces text,
    nonce numeric(78, 0),
    -- filled, canceled, invalidated.
    reason text not null,
    -- Units taken by a fill that may leave some.
    quantity numeric(78, 0),
    tx_hash chain_registry_service.evm_tx_hash not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    log_index integer not null,
    item integer not null,
    primary key (chain_id, id),
    check ((slot is null) = (maker is not null)),
    check ((maker is null) = (nonces is null)),
    check ((nonce is not null) = (coalesce(nonces, 'all') <> 'all'))
) partition by list (chain_id);
create index if not exists order_closings_slot on catalog_service.order_closings (slot, id) where slot is not null;
create index if not exists order_closings_maker on catalog_service.order_closings (maker, nonces, id) where nonces in ('all', 'below');
create index if not exists order_closings_nonce on catalog_service.order_closings (maker, nonce, id) where nonces = 'exactly';

create or replace function catalog_service.fact_tables() returns table (fact_table name)
language sql immutable as $$
    values ('ownership_transfers'::name), ('sale_facts'), ('order_facts'), ('order_closings')
$$;

-- Beside those of 0015, what finds orders by what they are for, the lowest listing of a collection and the highest offer for it.
create or replace function catalog_service.fact_indexes() returns table (fact_table name, suffix text, definition text)
language sql immutable as $$
    values ('ownership_transfers'::name, 'token', '(token, id)'),
           ('sale_facts', 'token', '(token, id) where token is not null'),
           ('sale_facts', 'contract', '(contract, id)'),
           ('sale_facts', 'seller', '(seller, id)'),
           ('sale_facts', 'buyer', '(buyer, id)'),
           ('sale_facts', 'order', '(order_hash) where order_hash is not null'),
           ('order_facts', 'token', '(token, id) where token is not null'),
           ('order_facts', 'collection', '(collection, id)'),
           ('order_facts', 'open', '(collection, id) where closed_by is null'),
           ('order_facts', 'maker', '(maker, id)'),
           ('order_facts', 'canceled', '(closed_by) where closed_reason in (''canceled'', ''invalidated'')'),
           ('order_facts', 'floor', '(collection, currency_address, unit_price_raw)
                where kind = ''listing'' and token is not null and closed_by is null and taker is null and not auction'),
           ('order_facts', 'best', '(collection, currency_address, unit_price_raw)
                where kind = ''offer'' and token is null and closed_by is null and taker is null and not auction')
$$;
