-- What the documents call by these names, read from facts and counters. Views of 0010 keep their columns: `create or replace`
-- takes none away, and that file must still run.
create or replace view catalog_service.sales as
    select s.id, s.token as token_id, s.marketplace_id, trim_scale(s.price_raw * c.unit) as price_native,
           c.symbol as currency_symbol, s.tx_hash, s.block_time as occurred_at,
           s.chain_id, s.contract, s.token_number, s.standard, s.quantity, m.name as marketplace, s.version, s.side,
           s.seller, s.buyer, s.maker, s.taker_raw, s.aggregator, s.currency_address, s.price_raw,
           div(s.price_raw, nullif(s.quantity, 0)) as unit_price_raw, s.price_allocation, s.seller_net_raw,
           s.fee_recipients, s.fee_amounts, s.fee_kinds, s.order_hash, s.bundle_id, s.bundle_size,
           s.flags, s.wash_flags, s.wash_version,
           s.block_number, s.block_hash, s.block_time, s.log_index, s.item
    from catalog_service.sale_facts s
    left join catalog_service.marketplaces m on m.id = s.marketplace_id
    left join catalog_service.currencies c on c.chain_id = s.chain_id and c.address = s.currency_address;

-- A row per receiver of a part of a price.
create or replace view catalog_service.sale_fees as
    select s.chain_id, s.id as sale_id, (f.place - 1)::integer as position, f.recipient, f.amount, f.kind
    from catalog_service.sale_facts s
    cross join lateral unnest(s.fee_recipients, s.fee_amounts, s.fee_kinds) with ordinality as f (recipient, amount, kind, place);

-- Looked up one by one: a join would keep a page of the newest from being read off the end of each key.
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
    from catalog_service.sale_facts s;

-- Volume is in the chain's own currency and counts what is worth the same; sales in other currencies are counted all the same.
create or replace view catalog_service.collection_stats as
    select c.id as collection_id, c.chain_id, c.contract_address,
           items.items_count, owners.owners_count,
           coalesce(n.transfers, 0) as transfers_count, coalesce(n.mints, 0) as mints_count, coalesce(n.burns, 0) as burns_count,
           null::numeric as floor_price_native, trade.volume_native, trade.sales_count, null::bigint as listed_count
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
    ) trade;

-- The newest sale of each collection that is no part of a bundle.
create or replace view catalog_service.collection_last_sales as
    select c.id as collection_id, c.chain_id, c.contract_address, last.id as sale_id, last.token_number, last.quantity,
           last.price_native, last.currency_symbol, last.occurred_at
    from catalog_service.collections c
    cross join lateral (
        select s.* from catalog_service.sales s
        where s.chain_id = c.chain_id and s.contract = c.contract_address and s.bundle_size = 1
        order by s.id desc limit 1
    ) last;

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
        left join catalog_service.currencies k on k.chain_id = n.chain_id and k.address = n.currency
        where n.token = t.id
    ) trade
    left join lateral (
        select s.id, s.quantity, s.price_native, s.currency_symbol, s.occurred_at
        from catalog_service.token_sales n
        join catalog_service.sales s on s.chain_id = t.chain_id and s.id = n.last_sale
        where n.token = t.id
        order by n.last_sale desc limit 1
    ) last on true;
