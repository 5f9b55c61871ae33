-- What is open, at what price, and for whom. Expiry and ownership are asked when read: both change without a fact of the order.
-- `invalid` is a listing whose token is known to be with somebody else; it is active again when the token is back with its maker.
create or replace view catalog_service.orders as
    select o.chain_id, o.id, o.kind, o.marketplace_id, m.name as marketplace, o.version, o.market, o.key, o.hashed, o.slot,
           o.maker, o.collection, o.contract, o.token_number, o.token, o.standard, o.quantity, o.quantity - o.filled as remaining,
           o.currency_address, k.symbol as currency_symbol, k.pegged, o.price_raw, o.unit_price_raw,
           trim_scale(o.price_raw * k.unit) as price_native, trim_scale(o.unit_price_raw * k.unit) as unit_price_native,
           o.starts_at, o.expires_at, o.taker, o.nonce, o.escrowed, o.auction,
           o.tx_hash, o.block_number, o.block_hash, o.block_time, o.log_index, o.item, o.closed_by, o.closed_reason,
           case when o.closed_reason = 'filled' then 'filled' when o.closed_by is not null then 'canceled'
                when o.expires_at <= now() then 'expired' when held.elsewhere then 'invalid' else 'active' end as state,
           o.closed_by is null and coalesce(o.expires_at > now(), true) and coalesce(o.starts_at <= now(), true)
               and not held.elsewhere as is_active
    from catalog_service.order_facts o
    left join catalog_service.marketplaces m on m.id = o.marketplace_id
    left join catalog_service.currencies k on k.chain_id = o.chain_id and k.address = o.currency_address
    left join catalog_service.tokens t on t.id = o.token
    left join catalog_service.erc1155_balances b on o.standard = 'erc1155' and b.token = o.token and b.owner = o.maker
    cross join lateral (
        select o.kind = 'listing' and not o.escrowed and t.id is not null
               and case when o.standard = 'erc1155' then coalesce(b.quantity, 0) < o.quantity - o.filled
                        else t.owner_position is not null and t.owner_address is distinct from o.maker end as elsewhere
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
-- told in a currency worth the chain's own: each the first of its index that still holds.
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

-- As in 0016, with what is listed: tokens with an active listing, and the lowest price of one.
create or replace view catalog_service.collection_stats as
    select c.id as collection_id, c.chain_id, c.contract_address,
           items.items_count, owners.owners_count,
           coalesce(n.transfers, 0) as transfers_count, coalesce(n.mints, 0) as mints_count, coalesce(n.burns, 0) as burns_count,
           (select p.floor_price_native from catalog_service.collection_prices p where p.collection_id = c.id) as floor_price_native,
           trade.volume_native, trade.sales_count, listed.listed_count
    from catalog_service.collections c
    left join catalog_service.collection_counters n on n.chain_id = c.chain_id and n.contract = c.contract_address
    cross join lateral (
        select count(*) as items_count from catalog_service.tokens t where t.collection_id = c.id and not t.burned
    ) items
    cross join lateral (
        select count(*) as owners_count from (
            select t.owner_address from catalog_service.tokens t
            where t.collection_id = c.id and t.owner_address is not null
            union
            select b.owner from catalog_service.tokens t join catalog_service.erc1155_balances b on b.token = t.id
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

-- As in 0016, with orders, and with their ends that are no sales: a closing shows once per order it ended, always under its own id.
create or replace view catalog_service.activities as
    select id, token as token_id, kind as type, from_addr as from_address, to_addr as to_address,
           null::numeric as price_native, null::text as currency_symbol, tx_hash, block_time as "timestamp",
           chain_id, contract, token_id as token_number, quantity, standard,
           block_number, block_hash, log_index, item, block_time
    from catalog_service.ownership_transfers
    union all
    select id, token, 'sale', seller, buyer,
           trim_scale(price_raw * (select c.unit from catalog_service.currencies c
                                   where c.chain_id = s.chain_id and c.address = s.currency_address)),
           (select c.symbol from catalog_service.currencies c where c.chain_id = s.chain_id and c.address = s.currency_address),
           tx_hash, block_time, chain_id, contract, token_number, quantity, standard,
           block_number, block_hash, log_index, item, block_time
    from catalog_service.sale_facts s
    union all
    select id, token, case kind when 'listing' then 'listed' else kind end, maker, taker,
           trim_scale(price_raw * (select c.unit from catalog_service.currencies c
                                   where c.chain_id = o.chain_id and c.address = o.currency_address)),
           (select c.symbol from catalog_service.currencies c where c.chain_id = o.chain_id and c.address = o.currency_address),
           tx_hash, block_time, chain_id, contract, token_number, quantity, standard,
           block_number, block_hash, log_index, item, block_time
    from catalog_service.order_facts o
    union all
    select closed_by, token, 'cancel', maker, null::chain_registry_service.evm_address,
           trim_scale(price_raw * (select c.unit from catalog_service.currencies c
                                   where c.chain_id = o.chain_id and c.address = o.currency_address)),
           (select c.symbol from catalog_service.currencies c where c.chain_id = o.chain_id and c.address = o.currency_address),
           (select c.tx_hash from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           (select c.block_time from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           chain_id, contract, token_number, quantity, standard,
           (select c.block_number from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           (select c.block_hash from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           (select c.log_index from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           (select c.item from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by),
           (select c.block_time from catalog_service.order_closings c where c.chain_id = o.chain_id and c.id = o.closed_by)
    from catalog_service.order_facts o
    where closed_reason in ('canceled', 'invalidated');
