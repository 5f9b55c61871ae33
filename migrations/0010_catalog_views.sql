-- Relations of the documents that are answered from facts, tokens and counters: one stored row per fact is enough.
create or replace view catalog_service.token_balances as
    select c.chain_id, c.contract_address as contract, t.token_number as token_id, t.owner_address as owner,
           1::numeric as quantity, t.id as token
    from catalog_service.tokens t
    join catalog_service.collections c on c.id = t.collection_id
    where t.owner_address is not null
    union all
    select c.chain_id, c.contract_address, t.token_number, b.owner, b.quantity, t.id
    from catalog_service.erc1155_balances b
    join catalog_service.tokens t on t.id = b.token
    join catalog_service.collections c on c.id = t.collection_id
    where b.quantity <> 0;

create or replace view catalog_service.activities as
    select id, token as token_id, kind as type, from_addr as from_address, to_addr as to_address,
           null::numeric as price_native, null::text as currency_symbol, tx_hash, block_time as "timestamp",
           chain_id, contract, token_id as token_number, quantity, standard,
           block_number, block_hash, log_index, item, block_time
    from catalog_service.ownership_transfers;

-- Items and owners are counted when read: exact, and no writer contends for them.
create or replace view catalog_service.collection_stats as
    select c.id as collection_id, c.chain_id, c.contract_address,
           items.items_count, owners.owners_count,
           coalesce(n.transfers, 0) as transfers_count, coalesce(n.mints, 0) as mints_count, coalesce(n.burns, 0) as burns_count,
           null::numeric as floor_price_native, null::numeric as volume_native, null::bigint as sales_count,
           null::bigint as listed_count
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
    ) owners;
