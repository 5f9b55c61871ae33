-- As in 0016, without sales that nobody vouches for.
create or replace view catalog_service.collection_last_sales as
    select c.id as collection_id, c.chain_id, c.contract_address, last.id as sale_id, last.token_number, last.quantity,
           last.price_native, last.currency_symbol, last.occurred_at
    from catalog_service.collections c
    cross join lateral (
        select s.* from catalog_service.sales s
        where s.chain_id = c.chain_id and s.contract = c.contract_address and s.bundle_size = 1 and not 'unproven' = any(s.flags)
        order by s.id desc limit 1
    ) last;
