-- Tables of facts and of what follows from them hold bytes and numbers; what the documents name are views over them, in text
-- (docs/decisions/0017-narrow-tables.md). Rows of an older schema are carried over.

-- Readers see addresses and hashes as lower-case 0x text, and look for text. Inlined by the planner, so that an index on the
-- expression serves a condition on the column of a view.
create or replace function catalog_service.hex(bytes bytea) returns text language sql immutable parallel safe as $$
    select '0x' || encode(bytes, 'hex')
$$;
create or replace function catalog_service.hex_each(bytes bytea[]) returns text[] language sql immutable parallel safe as $$
    select array(select catalog_service.hex(one) from unnest(bytes) with ordinality as each (one, place) order by place)
$$;
-- The way in for text; refuses what is no address.
create or replace function catalog_service.address_bytes(address text) returns bytea language sql immutable parallel safe as $$
    select decode(substr(address::chain_registry_service.evm_address, 3), 'hex')
$$;

-- What a transfer does follows from its parties.
create or replace function catalog_service.transfer_kind(from_addr bytea, to_addr bytea) returns text
language sql immutable parallel safe as $$
    select case when from_addr = '\x0000000000000000000000000000000000000000' then 'mint'
                when to_addr = '\x0000000000000000000000000000000000000000' then 'burn' else 'transfer' end
$$;

-- The parts of an id that are a place in the chain (decoders/src/id.rs, docs/decisions/0003-ids.md): 36 bits of block, 22 of log, 20
-- of item, around the version and the variant of the uuid.
create or replace function catalog_service.block_of(id uuid) returns bigint language sql immutable parallel safe as $$
    select (get_byte(uuid_send(id), 0)::bigint << 28) | (get_byte(uuid_send(id), 1)::bigint << 20)
         | (get_byte(uuid_send(id), 2) << 12) | (get_byte(uuid_send(id), 3) << 4) | (get_byte(uuid_send(id), 4) >> 4)
$$;
create or replace function catalog_service.log_index_of(id uuid) returns integer language sql immutable parallel safe as $$
    select ((get_byte(uuid_send(id), 4) & 15) << 18) | (get_byte(uuid_send(id), 5) << 10)
         | ((get_byte(uuid_send(id), 6) & 15) << 6) | (get_byte(uuid_send(id), 7) >> 2)
$$;
create or replace function catalog_service.item_of(id uuid) returns integer language sql immutable parallel safe as $$
    select ((get_byte(uuid_send(id), 7) & 3) << 18) | ((get_byte(uuid_send(id), 8) & 63) << 12)
         | (get_byte(uuid_send(id), 9) << 4) | (get_byte(uuid_send(id), 10) >> 4)
$$;
-- The lowest id that anything in `block` or above can have: `id >= first_id(from) and id < first_id(to + 1)` is a range of blocks.
create or replace function catalog_service.first_id(block bigint) returns uuid language sql immutable parallel safe as $$
    select (lpad(to_hex(block), 9, '0') || '00080008000000000000000')::uuid
$$;

drop view if exists catalog_service.activities, catalog_service.sales, catalog_service.sale_fees, catalog_service.collection_last_sales,
    catalog_service.orders, catalog_service.listings, catalog_service.offers, catalog_service.collection_prices,
    catalog_service.token_prices, catalog_service.collection_stats, catalog_service.token_stats, catalog_service.token_balances cascade;

create or replace function catalog_service.fact_tables() returns table (fact_table name)
language sql immutable as $$
    values ('transfer_facts'::name), ('sale_facts'), ('order_facts'), ('order_closings')
$$;

-- What a bulk load goes without: what only readers and rewinds need, and what sales are classified by, which it leaves to its end.
-- Named after the partition.
create or replace function catalog_service.fact_indexes() returns table (fact_table name, suffix text, definition text)
language sql immutable as $$
    values ('transfer_facts'::name, 'token', '(token, id)'),
           ('sale_facts', 'token', '(token, id) where token is not null'),
           -- What a sale is classified by: who traded the token with whom, and the sales of the collection before it.
           ('sale_facts', 'parties', '(token, seller, buyer) where token is not null'),
           ('sale_facts', 'course', '(contract, currency_address, id)
                where token is not null and bundle_size = 1 and price_raw is not null'),
           ('sale_facts', 'contract', '((catalog_service.hex(contract) collate "C"), id)'),
           ('sale_facts', 'seller', '((catalog_service.hex(seller) collate "C"), id)'),
           ('sale_facts', 'buyer', '((catalog_service.hex(buyer) collate "C"), id)'),
           ('sale_facts', 'order', '((catalog_service.hex(order_hash) collate "C")) where order_hash is not null'),
           ('order_facts', 'token', '(token, id) where token is not null'),
           ('order_facts', 'collection', '(collection, id)'),
           ('order_facts', 'open', '(collection, id) where closed_by is null'),
           ('order_facts', 'maker', '((catalog_service.hex(maker) collate "C"), id)'),
           ('order_facts', 'canceled', '(closed_by) where closed_reason in (''canceled'', ''invalidated'')'),
           ('order_facts', 'floor', '(collection, (catalog_service.hex(currency_address) collate "C"), unit_price_raw)
                where kind = ''listing'' and token is not null and closed_by is null and taker is null and not auction'),
           ('order_facts', 'best', '(collection, (catalog_service.hex(currency_address) collate "C"), unit_price_raw)
                where kind = ''offer'' and token is null and closed_by is null and taker is null and not auction')
$$;

-- Indexes of tables that chains share: taken away only while no chain has a token.
create or replace function catalog_service.shared_indexes() returns table (in_table name, index_name name, definition text)
language sql immutable as $$
    values ('token_states'::name, 'token_states_owner'::name, '((catalog_service.hex(owner) collate "C")) where owner is not null'),
           ('token_states', 'token_states_collection', '(collection_id, number)'),
           ('erc1155_balances', 'erc1155_balances_owner', '((catalog_service.hex(owner) collate "C"))')
$$;

-- Builds what is missing of the indexes; a no-op when they exist.
create or replace function catalog_service.build_indexes(chain text) returns void language plpgsql as $$
declare
    missing record;
begin
    for missing in
        select p.name as in_table, (p.name || '_' || i.suffix)::name as index_name, i.definition
        from catalog_service.fact_indexes() i
        cross join lateral (select catalog_service.partition_of(i.fact_table, chain) as name) p
        where to_regclass(format('catalog_service.%I', p.name)) is not null
        union all
        select s.in_table, s.index_name, s.definition from catalog_service.shared_indexes() s
    loop
        continue when to_regclass(format('catalog_service.%I', missing.index_name)) is not null;
        execute format('lock table catalog_service.%I in share row exclusive mode', missing.in_table);
        execute format('create index if not exists %I on catalog_service.%I %s',
                       missing.index_name, missing.in_table, missing.definition);
    end loop;
end
$$;

-- Takes the indexes away from a chain without facts until build_indexes is called; false for a chain that has both facts and indexes.
-- True again for one whose load was cut short.
create or replace function catalog_service.defer_indexes(chain text) returns boolean language plpgsql as $$
declare
    partition_name name;
    index_name text;
    filled boolean;
begin
    for partition_name in select catalog_service.partition_of(t.fact_table, chain) from catalog_service.fact_tables() t loop
        execute format('lock table catalog_service.%I in access exclusive mode', partition_name);
        execute format('select exists (select from catalog_service.%I)', partition_name) into filled;
        if filled then
            return not exists (
                select from catalog_service.fact_indexes() i
                where to_regclass(format('catalog_service.%I', catalog_service.partition_of(i.fact_table, chain) || '_' || i.suffix))
                      is not null
            );
        end if;
    end loop;
    for index_name in
        select catalog_service.partition_of(i.fact_table, chain) || '_' || i.suffix from catalog_service.fact_indexes() i
        union all
        select s.index_name from catalog_service.shared_indexes() s where not exists (select from catalog_service.token_states)
    loop
        execute format('drop index if exists catalog_service.%I', index_name);
    end loop;
    return true;
end
$$;

-- Makes the partitions of a chain; a no-op when they exist. Attaching a finished table keeps writers of other chains going. The
-- key is that of the partition: an id is of one chain, and the chain in every entry of the index would be half of it.
create or replace function catalog_service.ensure_chain(chain text) returns void language plpgsql as $$
declare
    parent name;
    partition_name name;
    fact_index record;
begin
    for parent in select t.fact_table from catalog_service.fact_tables() t loop
        partition_name := catalog_service.partition_of(parent, chain);
        continue when to_regclass(format('catalog_service.%I', partition_name)) is not null;
        -- What attaching needs anyway, and no two callers at once; a lock on the table also refreshes what this session
        -- believes exists.
        execute format('lock table catalog_service.%I in share update exclusive mode', parent);
        continue when exists (select from pg_class
                              where relnamespace = 'catalog_service'::regnamespace and relname = partition_name);
        execute format('create table catalog_service.%I (like catalog_service.%I including all)', partition_name, parent);
        execute format('alter table catalog_service.%I add primary key (id)', partition_name);
        for fact_index in select i.suffix, i.definition from catalog_service.fact_indexes() i
                          where i.fact_table = parent
        loop
            execute format('create index %I on catalog_service.%I %s',
                           partition_name || '_' || fact_index.suffix, partition_name, fact_index.definition);
        end loop;
        execute format('alter table catalog_service.%I attach partition catalog_service.%I for values in (%L)',
                       parent, partition_name, chain);
    end loop;
end
$$;

-- What was there moves out of the way, and its rows into the new tables at the end of this file.
do $$
declare
    moved name;
begin
    if to_regclass('catalog_service.transfer_facts') is not null then
        return;
    end if;
    create schema wide;
    for moved in
        select c.relname from pg_class c
        where c.relnamespace = 'catalog_service'::regnamespace and c.relkind in ('r', 'p')
          and (c.relname in ('ownership_transfers', 'sale_facts', 'order_facts', 'order_closings', 'tokens', 'erc1155_balances',
                             'token_sales')
               or exists (select from pg_inherits where inhrelid = c.oid))
    loop
        execute format('alter table catalog_service.%I set schema wide', moved);
    end loop;
end
$$;

-- One row per token, or quantity of a token, changing hands. Everything else in the catalog is computed from the facts.
create table if not exists catalog_service.transfer_facts (
    block_time timestamptz not null,
    -- UUIDv8 position; its order is chain order.
    id uuid not null,
    -- token_states.id; no foreign key, because a transfer of zero units makes no token.
    token uuid not null,
    chain_id text collate "C" not null,
    contract bytea not null,
    token_number numeric not null,
    -- Zero for a mint, and for a burn.
    from_addr bytea not null,
    to_addr bytea not null,
    quantity numeric not null,
    standard text not null,
    tx_hash bytea not null,
    block_hash bytea not null
) partition by list (chain_id);

-- Sales as the chain emitted them: one row per token, or quantity of a token, sold.
create table if not exists catalog_service.sale_facts (
    block_time timestamptz not null,
    bundle_size integer not null,
    -- By which version of the rules it was classified; zero for not yet.
    wash_version integer not null default 0,
    id uuid not null,
    -- marketplaces.id; a marketplace is never deleted.
    marketplace_id uuid not null,
    -- token_states.id; null where nothing at hand says what was sold. No foreign key, because the history of the token may not be
    -- covered yet.
    token uuid,
    -- Id of the first sale of the same bundle; null for a single sale.
    bundle_id uuid,
    chain_id text collate "C" not null,
    -- Zero where the token is not known.
    contract bytea not null,
    token_number numeric,
    standard text not null,
    quantity numeric not null,
    -- Version of the market's contracts; empty where there is but one.
    version text not null,
    -- listing, offer, auction, private, amm_buy, amm_sell, mint.
    side text not null,
    seller bytea not null,
    buyer bytea not null,
    maker bytea not null,
    -- The taker as the log names it, perhaps a router.
    taker_raw bytea not null,
    aggregator bytea,
    currency_address bytea not null,
    -- What the buyer paid for the whole quantity, in the smallest unit; null where nothing at hand says it.
    price_raw numeric,
    -- exact, split_equal, inferred, unknown.
    price_allocation text not null,
    -- The price less the fees.
    seller_net_raw numeric,
    -- The parts of the price that others got, read as rows through the view sale_fees: arrays of one length.
    fee_recipients bytea[] not null,
    fee_amounts numeric[] not null,
    fee_kinds text[] not null,
    order_hash bytea,
    -- What is to be known before the sale is trusted: docs/PROTOCOLS.md.
    flags text[] not null,
    -- Why the trade looks made up.
    wash_flags text[] not null default '{}',
    tx_hash bytea not null,
    block_hash bytea not null,
    check (cardinality(fee_recipients) = cardinality(fee_amounts) and cardinality(fee_recipients) = cardinality(fee_kinds))
) partition by list (chain_id);

-- Listings and offers as the chain opened them; `closed_by`, `closed_reason` and `filled` follow from them and their closings.
create table if not exists catalog_service.order_facts (
    block_time timestamptz not null,
    starts_at timestamptz,
    expires_at timestamptz,
    id uuid not null,
    marketplace_id uuid not null,
    -- UUIDv5 of chain, market and key: where closings find the order, and an order the one before it.
    slot uuid not null,
    collection uuid not null,
    -- Null where any token of the contract, or any of several, will do.
    token uuid,
    -- Id of the closing that ended it, or of the order that took its place.
    closed_by uuid,
    hashed boolean not null,
    -- Whether the market holds the token meanwhile.
    escrowed boolean not null,
    auction boolean not null,
    chain_id text collate "C" not null,
    -- listing, offer.
    kind text not null,
    -- Version of the market's contracts; empty where there is but one.
    version text not null,
    -- Contract of the market.
    market bytea not null,
    -- What the market knows the order by: its own hash if `hashed`, else one made of what stands for it.
    key bytea not null,
    maker bytea not null,
    contract bytea not null,
    token_number numeric,
    standard text not null,
    quantity numeric not null,
    -- The zero address is the chain's own currency.
    currency_address bytea not null,
    -- Of the whole quantity; null where it is not stated.
    price_raw numeric,
    unit_price_raw numeric generated always as (case when quantity > 0 then div(price_raw, quantity) end) stored,
    -- The only one who may take it.
    taker bytea,
    nonce numeric,
    tx_hash bytea not null,
    block_hash bytea not null,
    -- filled, canceled, invalidated; replaced.
    closed_reason text,
    -- Units taken.
    filled numeric not null default 0,
    check ((closed_by is null) = (closed_reason is null))
) partition by list (chain_id);
create index if not exists order_facts_slot on catalog_service.order_facts (slot, id);
-- Closings by maker look for those that are open, or were closed above them.
create index if not exists order_facts_maker_closed on catalog_service.order_facts (maker, closed_by);

create table if not exists catalog_service.order_closings (
    block_time timestamptz not null,
    id uuid not null,
    marketplace_id uuid not null,
    -- Of the order it reaches; null for one that reaches orders of a maker.
    slot uuid,
    chain_id text collate "C" not null,
    market bytea not null,
    -- The order's key, where the closing has a message: fills have none, their sales have.
    key bytea,
    maker bytea,
    -- Which orders of the maker: all, below (with a nonce below this one), exactly (with this nonce).
    nonces text,
    nonce numeric,
    -- filled, canceled, invalidated.
    reason text not null,
    -- Units taken by a fill that may leave some.
    quantity numeric,
    tx_hash bytea not null,
    block_hash bytea not null,
    check ((slot is null) = (maker is not null)),
    check ((maker is null) = (nonces is null)),
    check ((nonce is not null) = (coalesce(nonces, 'all') <> 'all'))
) partition by list (chain_id);
create index if not exists order_closings_slot on catalog_service.order_closings (slot, id) where slot is not null;
create index if not exists order_closings_maker on catalog_service.order_closings (maker, nonces, id) where nonces in ('all', 'below');
create index if not exists order_closings_nonce on catalog_service.order_closings (maker, nonce, id) where nonces = 'exactly';

-- What the facts come to for each token: `tokens` is the view of it. Chain and contract are those of its collection.
create table if not exists catalog_service.token_states (
    -- Earliest mint among the applied facts.
    minted_at timestamptz,
    -- UUIDv5 of chain, contract and number.
    id uuid not null,
    -- collections.id; no foreign key, which would cost a lookup per token: a rewind removes tokens before collections.
    collection_id uuid not null,
    -- Id of the newest fact of a standard with one owner.
    owner_position uuid,
    -- Reaches 2^256 - 1.
    number numeric not null,
    -- Standard of the fact at `owner_position`; erc1155 when there is none.
    standard text not null,
    -- `to` of that fact; null when burned, and for ERC-1155, whose owners hold balances.
    owner bytea,
    -- ERC-1155 units minted less burned. Unbounded: contracts may mint 2^256 - 1 many times over.
    supply numeric not null default 0,
    burned boolean not null generated always as (
        case when owner_position is not null then owner is null else minted_at is not null and supply = 0 end
    ) stored,
    primary key (id)
) with (fillfactor = 80);

-- What others say of a token; joined when it is read, and never part of what the chain decides.
create table if not exists catalog_service.token_metadata (
    token uuid primary key,
    name text,
    image_url text,
    metadata_url text
);

-- ERC-1155 holdings. A row of zero is dead: nobody shows it, and a rewind removes it.
-- Negative while the token's history is not covered yet, hence no check.
create table if not exists catalog_service.erc1155_balances (
    token uuid not null,
    owner bytea not null,
    quantity numeric not null,
    primary key (token, owner)
) with (fillfactor = 80);

-- Sales per token and currency. The last sale is that with the highest position that is no part of a bundle; null when there is none.
create table if not exists catalog_service.token_sales (
    sales bigint not null,
    token uuid not null,
    last_sale uuid,
    chain_id text collate "C" not null,
    currency bytea not null,
    volume_raw numeric not null,
    primary key (token, currency)
) with (fillfactor = 80);

do $$
declare
    chains text[];
    chain text;
begin
    if to_regnamespace('wide') is null then
        return;
    end if;
    chains := array(select chain_id from wide.ownership_transfers union select chain_id from wide.sale_facts
                    union select chain_id from wide.order_facts union select chain_id from wide.order_closings);
    foreach chain in array chains loop
        perform catalog_service.ensure_chain(chain);
        perform catalog_service.defer_indexes(chain);
    end loop;

    insert into catalog_service.transfer_facts
        (chain_id, id, token, contract, token_number, from_addr, to_addr, quantity, standard, tx_hash, block_hash, block_time)
    select chain_id, id, token, decode(substr(contract, 3), 'hex'), token_id::numeric, decode(substr(from_addr, 3), 'hex'),
           decode(substr(to_addr, 3), 'hex'), quantity, standard, decode(substr(tx_hash, 3), 'hex'),
           decode(substr(block_hash, 3), 'hex'), block_time
    from wide.ownership_transfers order by chain_id, id;

    insert into catalog_service.sale_facts
        (chain_id, id, contract, token_number, token, standard, quantity, marketplace_id, version, side, seller, buyer, maker, taker_raw,
         aggregator, currency_address, price_raw, price_allocation, seller_net_raw, fee_recipients, fee_amounts, fee_kinds, order_hash,
         bundle_id, bundle_size, flags, wash_flags, wash_version, tx_hash, block_hash, block_time)
    select chain_id, id, decode(substr(contract, 3), 'hex'), token_number::numeric, token, standard, quantity, marketplace_id, version,
           side, decode(substr(seller, 3), 'hex'), decode(substr(buyer, 3), 'hex'), decode(substr(maker, 3), 'hex'),
           decode(substr(taker_raw, 3), 'hex'), decode(substr(aggregator, 3), 'hex'), decode(substr(currency_address, 3), 'hex'),
           price_raw, price_allocation, seller_net_raw,
           array(select decode(substr(f.recipient, 3), 'hex')
                 from unnest(fee_recipients) with ordinality as f (recipient, place) order by f.place),
           fee_amounts, fee_kinds, decode(substr(order_hash, 3), 'hex'), bundle_id, bundle_size, flags, wash_flags, wash_version,
           decode(substr(tx_hash, 3), 'hex'), decode(substr(block_hash, 3), 'hex'), block_time
    from wide.sale_facts order by chain_id, id;

    insert into catalog_service.order_facts
        (chain_id, id, kind, marketplace_id, version, market, key, hashed, slot, maker, collection, contract, token_number, token,
         standard, quantity, currency_address, price_raw, starts_at, expires_at, taker, nonce, escrowed, auction, tx_hash, block_hash,
         block_time, closed_by, closed_reason, filled)
    select chain_id, id, kind, marketplace_id, version, decode(substr(market, 3), 'hex'), decode(substr(key, 3), 'hex'), hashed, slot,
           decode(substr(maker, 3), 'hex'), collection, decode(substr(contract, 3), 'hex'), token_number::numeric, token, standard,
           quantity, decode(substr(currency_address, 3), 'hex'), price_raw, starts_at, expires_at, decode(substr(taker, 3), 'hex'),
           nonce, escrowed, auction, decode(substr(tx_hash, 3), 'hex'), decode(substr(block_hash, 3), 'hex'), block_time, closed_by,
           closed_reason, filled
    from wide.order_facts order by chain_id, id;

    insert into catalog_service.order_closings
        (chain_id, id, marketplace_id, market, slot, key, maker, nonces, nonce, reason, quantity, tx_hash, block_hash, block_time)
    select chain_id, id, marketplace_id, decode(substr(market, 3), 'hex'), slot, decode(substr(key, 3), 'hex'),
           decode(substr(maker, 3), 'hex'), nonces, nonce, reason, quantity, decode(substr(tx_hash, 3), 'hex'),
           decode(substr(block_hash, 3), 'hex'), block_time
    from wide.order_closings order by chain_id, id;

    insert into catalog_service.token_states (id, collection_id, number, standard, owner, owner_position, minted_at, supply)
    select id, collection_id, token_number::numeric, token_standard, decode(substr(owner_address, 3), 'hex'), owner_position, minted_at,
           supply
    from wide.tokens;
    insert into catalog_service.token_metadata (token, name, image_url, metadata_url)
    select id, name, image_url, metadata_url from wide.tokens
    where name is not null or image_url is not null or metadata_url is not null;
    insert into catalog_service.erc1155_balances (token, owner, quantity)
    select token, decode(substr(owner, 3), 'hex'), quantity from wide.erc1155_balances;
    insert into catalog_service.token_sales (chain_id, token, currency, sales, volume_raw, last_sale)
    select chain_id, token, decode(substr(currency, 3), 'hex'), sales, volume_raw, last_sale from wide.token_sales;

    foreach chain in array chains loop
        perform catalog_service.build_indexes(chain);
    end loop;
    -- The foreign key of traits on tokens goes with it.
    drop schema wide cascade;
end
$$;

-- Indexes that chains share stand on a database without chains too.
do $$
declare
    missing record;
begin
    for missing in select * from catalog_service.shared_indexes() loop
        execute format('create index if not exists %I on catalog_service.%I %s',
                       missing.index_name, missing.in_table, missing.definition);
    end loop;
    if not exists (select from pg_constraint where conname = 'token_trait_links_token_id_fkey') then
        alter table catalog_service.token_trait_links add constraint token_trait_links_token_id_fkey
            foreign key (token_id) references catalog_service.token_states (id) on delete cascade;
    end if;
end
$$;

-- Whether all sales are to be looked at, whatever their version: a bulk load leaves classifying to its end, and writes their version with
-- them, so that only those that look made up are written again.
alter table indexer_service.wash_progress add column if not exists everything boolean not null default false;

-- What the documents name, in their words: addresses and hashes as text, chains as CAIP-2.
create or replace view catalog_service.tokens as
    select t.id, t.collection_id, c.chain_id, c.contract_address, t.number::text collate "C" as token_number,
           t.standard as token_standard, m.name, m.image_url, m.metadata_url, catalog_service.hex(t.owner) collate "C" as owner_address,
           t.owner_position, t.minted_at, t.supply, t.burned
    from catalog_service.token_states t
    join catalog_service.collections c on c.id = t.collection_id
    left join catalog_service.token_metadata m on m.token = t.id;

create or replace view catalog_service.ownership_transfers as
    select f.chain_id, f.id, catalog_service.hex(f.contract) collate "C" as contract, f.token_number::text collate "C" as token_id, f.token,
           catalog_service.hex(f.from_addr) collate "C" as from_addr, catalog_service.hex(f.to_addr) collate "C" as to_addr,
           f.quantity, f.standard,
           catalog_service.transfer_kind(f.from_addr, f.to_addr) as kind,
           catalog_service.hex(f.tx_hash) collate "C" as tx_hash, catalog_service.block_of(f.id) as block_number,
           catalog_service.hex(f.block_hash) collate "C" as block_hash, f.block_time,
           catalog_service.log_index_of(f.id) as log_index, catalog_service.item_of(f.id) as item
    from catalog_service.transfer_facts f;

create or replace view catalog_service.token_balances as
    select c.chain_id, c.contract_address as contract, t.number::text collate "C" as token_id,
           catalog_service.hex(t.owner) collate "C" as owner, 1::numeric as quantity, t.id as token
    from catalog_service.token_states t
    join catalog_service.collections c on c.id = t.collection_id
    where t.owner is not null
    union all
    select c.chain_id, c.contract_address, t.number::text collate "C", catalog_service.hex(b.owner) collate "C", b.quantity, t.id
    from catalog_service.erc1155_balances b
    join catalog_service.token_states t on t.id = b.token
    join catalog_service.collections c on c.id = t.collection_id
    where b.quantity <> 0;

create or replace view catalog_service.sales as
    select s.id, s.token as token_id, s.marketplace_id, trim_scale(s.price_raw * c.unit) as price_native,
           c.symbol as currency_symbol, catalog_service.hex(s.tx_hash) collate "C" as tx_hash, s.block_time as occurred_at,
           s.chain_id, catalog_service.hex(s.contract) collate "C" as contract, s.token_number::text collate "C" as token_number,
           s.standard, s.quantity, m.name as marketplace, s.version, s.side,
           catalog_service.hex(s.seller) collate "C" as seller, catalog_service.hex(s.buyer) collate "C" as buyer,
           catalog_service.hex(s.maker) collate "C" as maker, catalog_service.hex(s.taker_raw) collate "C" as taker_raw,
           catalog_service.hex(s.aggregator) collate "C" as aggregator,
           catalog_service.hex(s.currency_address) collate "C" as currency_address, s.price_raw,
           div(s.price_raw, nullif(s.quantity, 0)) as unit_price_raw, s.price_allocation, s.seller_net_raw,
           catalog_service.hex_each(s.fee_recipients) as fee_recipients, s.fee_amounts, s.fee_kinds,
           catalog_service.hex(s.order_hash) collate "C" as order_hash, s.bundle_id, s.bundle_size,
           s.flags, s.wash_flags, s.wash_version,
           catalog_service.block_of(s.id) as block_number, catalog_service.hex(s.block_hash) collate "C" as block_hash, s.block_time,
           catalog_service.log_index_of(s.id) as log_index, catalog_service.item_of(s.id) as item
    from catalog_service.sale_facts s
    left join catalog_service.marketplaces m on m.id = s.marketplace_id
    left join catalog_service.currencies c on c.chain_id = s.chain_id and c.address = catalog_service.hex(s.currency_address);

-- A row per receiver of a part of a price.
create or replace view catalog_service.sale_fees as
    select s.chain_id, s.id as sale_id, (f.place - 1)::integer as position, catalog_service.hex(f.recipient) collate "C" as recipient,
           f.amount, f.kind
    from catalog_service.sale_facts s
    cross join lateral unnest(s.fee_recipients, s.fee_amounts, s.fee_kinds) with ordinality as f (recipient, amount, kind, place);

-- The newest sale of each collection that is no part of a bundle, without sales that nothing proves.
create or replace view catalog_service.collection_last_sales as
    select c.id as collection_id, c.chain_id, c.contract_address, last.id as sale_id, last.token_number, last.quantity,
           last.price_native, last.currency_symbol, last.occurred_at
    from catalog_service.collections c
    cross join lateral (
        select s.* from catalog_service.sales s
        where s.chain_id = c.chain_id and s.contract = c.contract_address and s.bundle_size = 1 and not 'unproven' = any(s.flags)
        order by s.id desc limit 1
    ) last;

-- Orders with their state. One that its maker can no longer honour, because the token is held elsewhere, is invalid until the
-- token is back with its maker.
create or replace view catalog_service.orders as
    select o.chain_id, o.id, o.kind, o.marketplace_id, m.name as marketplace, o.version,
           catalog_service.hex(o.market) collate "C" as market, catalog_service.hex(o.key) collate "C" as key, o.hashed, o.slot,
           catalog_service.hex(o.maker) collate "C" as maker, o.collection, catalog_service.hex(o.contract) collate "C" as contract,
           o.token_number::text collate "C" as token_number, o.token, o.standard, o.quantity, o.quantity - o.filled as remaining,
           catalog_service.hex(o.currency_address) collate "C" as currency_address, k.symbol as currency_symbol, k.pegged,
           o.price_raw, o.unit_price_raw,
           trim_scale(o.price_raw * k.unit) as price_native, trim_scale(o.unit_price_raw * k.unit) as unit_price_native,
           o.starts_at, o.expires_at, catalog_service.hex(o.taker) collate "C" as taker, o.nonce, o.escrowed, o.auction,
           catalog_service.hex(o.tx_hash) collate "C" as tx_hash, catalog_service.block_of(o.id) as block_number,
           catalog_service.hex(o.block_hash) collate "C" as block_hash, o.block_time,
           catalog_service.log_index_of(o.id) as log_index, catalog_service.item_of(o.id) as item, o.closed_by, o.closed_reason,
           case when o.closed_reason = 'filled' then 'filled' when o.closed_by is not null then 'canceled'
                when o.expires_at <= now() then 'expired' when held.elsewhere then 'invalid' else 'active' end as state,
           o.closed_by is null and coalesce(o.expires_at > now(), true) and coalesce(o.starts_at <= now(), true)
               and not held.elsewhere as is_active
    from catalog_service.order_facts o
    left join catalog_service.marketplaces m on m.id = o.marketplace_id
    left join catalog_service.currencies k on k.chain_id = o.chain_id and k.address = catalog_service.hex(o.currency_address)
    left join catalog_service.token_states t on t.id = o.token
    left join catalog_service.erc1155_balances b on o.standard = 'erc1155' and b.token = o.token and b.owner = o.maker
    cross join lateral (
        select o.kind = 'listing' and not o.escrowed and t.id is not null
               and case when o.standard = 'erc1155' then coalesce(b.quantity, 0) < o.quantity - o.filled
                        else t.owner_position is not null and t.owner is distinct from o.maker end as elsewhere
    ) held;

create or replace view catalog_service.listings as
    select id, token as token_id, marketplace_id, price_native, currency_symbol, is_active, maker as seller_address,
           block_time as listed_at, expires_at, tx_hash,
           chain_id, contract, token_number, collection as collection_id, standard, quantity, remaining, marketplace, version, market,
           key as order_key, case when hashed then key end as order_hash, currency_address, price_raw, unit_price_raw,
           unit_price_native, starts_at, taker as taker_address, nonce, escrowed, auction, state, closed_by, closed_reason,
           block_number, block_hash, block_time, log_index, item
    from catalog_service.orders where kind = 'listing';

create or replace view catalog_service.offers as
    select id, token as token_id, marketplace_id, price_native, currency_symbol, maker as from_address,
           block_time as created_at, expires_at, tx_hash, is_active,
           chain_id, contract, token_number, collection as collection_id, standard, quantity, remaining, marketplace, version, market,
           key as order_key, case when hashed then key end as order_hash, currency_address, price_raw, unit_price_raw,
           unit_price_native, starts_at, taker as taker_address, nonce, auction, state, closed_by, closed_reason,
           block_number, block_hash, block_time, log_index, item
    from catalog_service.orders where kind = 'offer';

-- The lowest listing of one token, and the highest offer for any token, of those that everyone may take at once and that are
-- in a currency worth the chain's own: each the first of its index that still holds.
create or replace view catalog_service.collection_prices as
    select c.id as collection_id, c.chain_id, c.contract_address, floor.price as floor_price_native, best.price as best_offer_native
    from catalog_service.collections c
    cross join lateral (
        select min(lowest.price) as price
        from catalog_service.currencies k
        cross join lateral (
            select o.unit_price_native as price from catalog_service.orders o
            where o.chain_id = c.chain_id and o.collection = c.id and o.kind = 'listing' and o.currency_address = k.address
              and o.closed_by is null and o.taker is null and not o.auction and o.unit_price_raw is not null
              and o.token is not null and o.is_active
            order by o.unit_price_raw limit 1
        ) lowest
        where k.chain_id = c.chain_id and k.pegged
    ) floor
    cross join lateral (
        select max(highest.price) as price
        from catalog_service.currencies k
        cross join lateral (
            select o.unit_price_native as price from catalog_service.orders o
            where o.chain_id = c.chain_id and o.collection = c.id and o.kind = 'offer' and o.currency_address = k.address
              and o.closed_by is null and o.taker is null and not o.auction and o.unit_price_raw is not null
              and o.token is null and o.is_active
            order by o.unit_price_raw desc limit 1
        ) highest
        where k.chain_id = c.chain_id and k.pegged
    ) best;

-- The same per token, for which an offer names the token itself.
create or replace view catalog_service.token_prices as
    select t.id as token_id, t.collection_id, t.chain_id, t.contract_address, t.token_number,
           open.lowest_listing_native, open.best_offer_native, open.listings_count, open.offers_count
    from catalog_service.tokens t
    cross join lateral (
        select min(o.unit_price_native) filter (where o.kind = 'listing' and comparable.is) as lowest_listing_native,
               max(o.unit_price_native) filter (where o.kind = 'offer' and comparable.is) as best_offer_native,
               count(*) filter (where o.kind = 'listing') as listings_count,
               count(*) filter (where o.kind = 'offer') as offers_count
        from catalog_service.orders o
        cross join lateral (select o.pegged and o.taker is null and not o.auction as is) comparable
        where o.chain_id = t.chain_id and o.token = t.id and o.closed_by is null and o.is_active
    ) open;

-- Volume is in the chain's own currency and counts what is worth the same; sales in other currencies are counted all the same.
create or replace view catalog_service.collection_stats as
    select c.id as collection_id, c.chain_id, c.contract_address,
           items.items_count, owners.owners_count,
           coalesce(n.transfers, 0) as transfers_count, coalesce(n.mints, 0) as mints_count, coalesce(n.burns, 0) as burns_count,
           (select p.floor_price_native from catalog_service.collection_prices p where p.collection_id = c.id) as floor_price_native,
           trade.volume_native, trade.sales_count, listed.listed_count
    from catalog_service.collections c
    left join catalog_service.collection_counters n on n.chain_id = c.chain_id and n.contract = c.contract_address
    cross join lateral (
        select count(*) as items_count from catalog_service.token_states t where t.collection_id = c.id and not t.burned
    ) items
    cross join lateral (
        select count(*) as owners_count from (
            select t.owner from catalog_service.token_states t
            where t.collection_id = c.id and t.owner is not null
            union
            select b.owner from catalog_service.token_states t join catalog_service.erc1155_balances b on b.token = t.id
            where t.collection_id = c.id and b.quantity > 0
        ) holders
    ) owners
    cross join lateral (
        select coalesce(sum(s.sales), 0)::bigint as sales_count,
               trim_scale(coalesce(sum(s.volume_raw * k.unit) filter (where k.pegged), 0)) as volume_native
        from catalog_service.collection_sales s
        left join catalog_service.currencies k on k.chain_id = s.chain_id and k.address = s.currency
        where s.chain_id = c.chain_id and s.contract = c.contract_address
    ) trade
    cross join lateral (
        select count(distinct o.token) as listed_count from catalog_service.orders o
        where o.chain_id = c.chain_id and o.collection = c.id and o.closed_by is null and o.kind = 'listing' and o.is_active
    ) listed;

-- Sales of each token, and the newest that is no part of a bundle.
create or replace view catalog_service.token_stats as
    select t.id as token_id, t.collection_id, t.chain_id, t.contract_address, t.token_number,
           trade.sales_count, trade.volume_native,
           last.id as last_sale_id, last.quantity as last_sale_quantity, last.price_native as last_sale_price_native,
           last.currency_symbol as last_sale_currency_symbol, last.occurred_at as last_sale_at
    from catalog_service.tokens t
    cross join lateral (
        select coalesce(sum(n.sales), 0)::bigint as sales_count,
               trim_scale(coalesce(sum(n.volume_raw * k.unit) filter (where k.pegged), 0)) as volume_native
        from catalog_service.token_sales n
        left join catalog_service.currencies k on k.chain_id = n.chain_id and k.address = catalog_service.hex(n.currency)
        where n.token = t.id
    ) trade
    left join lateral (
        select s.id, s.quantity, s.price_native, s.currency_symbol, s.occurred_at
        from catalog_service.token_sales n
        join catalog_service.sales s on s.chain_id = t.chain_id and s.id = n.last_sale
        where n.token = t.id
        order by n.last_sale desc limit 1
    ) last on true;

-- Everything that happened, a row per fact, and per order that a closing other than a fill ended, always under the closing's id.
-- Currencies and closings are looked up one by one: a join would keep a page of the newest from being read off the end of each key.
create or replace view catalog_service.activities as
    select id, token as token_id, kind as type, from_addr as from_address, to_addr as to_address,
           null::numeric as price_native, null::text as currency_symbol, tx_hash, block_time as "timestamp",
           chain_id, contract, token_id as token_number, quantity, standard,
           block_number, block_hash, log_index, item, block_time
    from catalog_service.ownership_transfers
    union all
    select s.id, s.token, 'sale', catalog_service.hex(s.seller) collate "C", catalog_service.hex(s.buyer) collate "C",
           trim_scale(s.price_raw * (select c.unit from catalog_service.currencies c
                                     where c.chain_id = s.chain_id and c.address = catalog_service.hex(s.currency_address))),
           (select c.symbol from catalog_service.currencies c
            where c.chain_id = s.chain_id and c.address = catalog_service.hex(s.currency_address)),
           catalog_service.hex(s.tx_hash) collate "C", s.block_time, s.chain_id, catalog_service.hex(s.contract) collate "C",
           s.token_number::text collate "C", s.quantity, s.standard, catalog_service.block_of(s.id),
           catalog_service.hex(s.block_hash) collate "C", catalog_service.log_index_of(s.id), catalog_service.item_of(s.id), s.block_time
    from catalog_service.sale_facts s
    union all
    select o.id, o.token, case o.kind when 'listing' then 'listed' else o.kind end, catalog_service.hex(o.maker) collate "C",
           catalog_service.hex(o.taker) collate "C",
           trim_scale(o.price_raw * (select c.unit from catalog_service.currencies c
                                     where c.chain_id = o.chain_id and c.address = catalog_service.hex(o.currency_address))),
           (select c.symbol from catalog_service.currencies c
            where c.chain_id = o.chain_id and c.address = catalog_service.hex(o.currency_address)),
           catalog_service.hex(o.tx_hash) collate "C", o.block_time, o.chain_id, catalog_service.hex(o.contract) collate "C",
           o.token_number::text collate "C", o.quantity, o.standard, catalog_service.block_of(o.id),
           catalog_service.hex(o.block_hash) collate "C", catalog_service.log_index_of(o.id), catalog_service.item_of(o.id), o.block_time
    from catalog_service.order_facts o
    union all
    select o.closed_by, o.token, 'cancel', catalog_service.hex(o.maker) collate "C", null::text collate "C",
           trim_scale(o.price_raw * (select c.unit from catalog_service.currencies c
                                     where c.chain_id = o.chain_id and c.address = catalog_service.hex(o.currency_address))),
           (select c.symbol from catalog_service.currencies c
            where c.chain_id = o.chain_id and c.address = catalog_service.hex(o.currency_address)),
           (select catalog_service.hex(c.tx_hash) collate "C" from catalog_service.order_closings c
            where c.chain_id = o.chain_id and c.id = o.closed_by),
           (select c.block_time from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           o.chain_id, catalog_service.hex(o.contract) collate "C", o.token_number::text collate "C", o.quantity, o.standard,
           catalog_service.block_of(o.closed_by),
           (select catalog_service.hex(c.block_hash) collate "C" from catalog_service.order_closings c
            where c.chain_id = o.chain_id and c.id = o.closed_by),
           catalog_service.log_index_of(o.closed_by), catalog_service.item_of(o.closed_by),
           (select c.block_time from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by)
    from catalog_service.order_facts o
    where o.closed_reason in ('canceled', 'invalidated');

-- No message is looked for by its block, which its id names; and the domain would check the chain of every one.
alter table indexer_service.outbox drop column if exists block_number;
alter table indexer_service.outbox alter column chain_id type text collate "C";
