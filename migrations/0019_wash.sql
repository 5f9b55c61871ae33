-- What a sale is judged by: who traded the token with whom, and the sales of the collection before it.
create index if not exists sale_facts_parties on catalog_service.sale_facts (token, seller, buyer) where token is not null;
create index if not exists sale_facts_course on catalog_service.sale_facts (contract, currency_address, id)
    where token is not null and bundle_size = 1 and price_raw is not null;
