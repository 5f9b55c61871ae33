-- What people hold and trade, as sums over their verified wallets when it is read: linking or unlinking a wallet brings the numbers
-- right at once.

-- Sales and purchases of every account that traded, per currency, whether a user is known for it or not.
create table if not exists user_service.account_stats (
    chain_id text collate "C" not null,
    account bytea not null,
    currency bytea not null,
    sales bigint not null default 0,
    purchases bigint not null default 0,
    volume_sold_raw numeric not null default 0,
    volume_purchased_raw numeric not null default 0,
    primary key (account, currency, chain_id)
) with (fillfactor = 80);

-- Counts may fall below zero while the history of a wallet is not covered; shown is zero. Volumes are in the chain's own currency and count
-- what is worth the same, cut at what the documents' type can hold: a price without sense must not make a page unreadable.
create or replace view user_service.user_stats with (security_invoker = true) as
    select u.user_id,
           held.collections_count::integer as collections_count, held.items_count::integer as items_count,
           listed.listings_count::integer as listings_count,
           greatest(traded.sales_count, 0)::integer as sales_count, greatest(traded.purchases_count, 0)::integer as purchases_count,
           least(greatest(traded.volume_sold, 0), 999999999999)::numeric(20, 8) as volume_sold,
           least(greatest(traded.volume_purchased, 0), 999999999999)::numeric(20, 8) as volume_purchased,
           u.followers_count, u.following_count, u.updated_at
    from user_service.user_counters u
    cross join lateral (
        select count(*) as items_count, count(distinct mine.collection_id) as collections_count
        from (
            select t.collection_id
            from wallet_service.wallet_links w
            join catalog_service.token_states t on catalog_service.hex(t.owner) collate "C" = w.address and t.owner is not null
            join catalog_service.collections c on c.id = t.collection_id and c.chain_id = w.chain_id
            where w.user_id = u.user_id and w.verified_at is not null
            union all
            select t.collection_id
            from wallet_service.wallet_links w
            join catalog_service.erc1155_balances b on catalog_service.hex(b.owner) collate "C" = w.address and b.quantity > 0
            join catalog_service.token_states t on t.id = b.token
            join catalog_service.collections c on c.id = t.collection_id and c.chain_id = w.chain_id
            where w.user_id = u.user_id and w.verified_at is not null
        ) mine
    ) held
    cross join lateral (
        select count(*) as listings_count
        from wallet_service.wallet_links w
        join catalog_service.orders o on o.chain_id = w.chain_id and o.maker = w.address
        where w.user_id = u.user_id and w.verified_at is not null and o.kind = 'listing' and o.closed_by is null and o.is_active
    ) listed
    cross join lateral (
        select coalesce(sum(s.sales), 0) as sales_count, coalesce(sum(s.purchases), 0) as purchases_count,
               coalesce(sum(s.volume_sold_raw * k.unit) filter (where k.pegged), 0) as volume_sold,
               coalesce(sum(s.volume_purchased_raw * k.unit) filter (where k.pegged), 0) as volume_purchased
        from wallet_service.wallet_links w
        join user_service.account_stats s
            on s.account = catalog_service.address_bytes(w.address) and s.chain_id = w.chain_id
        left join catalog_service.currencies k on k.chain_id = s.chain_id and k.address = catalog_service.hex(s.currency)
        where w.user_id = u.user_id and w.verified_at is not null
    ) traded;
