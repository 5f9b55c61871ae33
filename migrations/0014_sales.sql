-- Sales as the chain tells them: one row per token, or quantity of a token, sold. What the documents call `sales` is a view of it.
create table if not exists catalog_service.sale_facts (
    chain_id chain_registry_service.caip2_chain not null,
    -- UUIDv8 position; its order is chain order.
    id uuid not null,
    -- Zero where the token is not known.
    contract chain_registry_service.evm_address not null,
    -- The token's number in decimal, and tokens.id; null where nothing at hand says what was sold. No foreign key, because the
    -- history of the token may not be covered yet.
    token_number text collate "C",
    token uuid,
    standard text not null,
    quantity numeric(78, 0) not null,
    -- marketplaces.id; a marketplace is never deleted.
    marketplace_id uuid not null,
    -- Version of the market's contracts; empty where there is but one.
    version text not null,
    -- listing, offer, auction, private, amm_buy, amm_sell, mint.
    side text not null,
    seller chain_registry_service.evm_address not null,
    buyer chain_registry_service.evm_address not null,
    maker chain_registry_service.evm_address not null,
    -- The taker as the log names it, perhaps a router.
    taker_raw chain_registry_service.evm_address not null,
    aggregator chain_registry_service.evm_address,
    currency_address chain_registry_service.evm_address not null,
    -- What the buyer paid for the whole quantity, in the smallest unit; null where nothing at hand says it.
    price_raw numeric(78, 0),
    -- exact, split_equal, inferred, unknown.
    price_allocation text not null,
    -- The price less the fees.
    seller_net_raw numeric(78, 0),
    -- The parts of the price that others got, read as rows through the view sale_fees: arrays of one length.
    fee_recipients text[] not null,
    fee_amounts numeric[] not null,
    fee_kinds text[] not null,
    order_hash chain_registry_service.evm_tx_hash,
    -- Id of the first sale of the same bundle; null for a single sale.
    bundle_id uuid,
    bundle_size integer not null,
    -- What is to be known before the sale is trusted: docs/PROTOCOLS.md.
    flags text[] not null,
    -- Why the trade looks made up, and by which version of the rules it was judged; zero for not yet.
    wash_flags text[] not null default '{}',
    wash_version integer not null default 0,
    tx_hash chain_registry_service.evm_tx_hash not null,
    block_number bigint not null,
    block_hash chain_registry_service.evm_tx_hash not null,
    block_time timestamptz not null,
    log_index integer not null,
    item integer not null,
    primary key (chain_id, id),
    check (cardinality(fee_recipients) = cardinality(fee_amounts) and cardinality(fee_recipients) = cardinality(fee_kinds))
) partition by list (chain_id);

-- Sales per contract and currency. A sale whose price is not known counts, and adds nothing to the volume.
create table if not exists catalog_service.collection_sales (
    chain_id chain_registry_service.caip2_chain not null,
    contract chain_registry_service.evm_address not null,
    currency chain_registry_service.evm_address not null,
    sales bigint not null,
    volume_raw numeric not null,
    primary key (chain_id, contract, currency)
) with (fillfactor = 50);

-- The same per token. The last sale is that with the highest position that is no part of a bundle; null when there is none.
create table if not exists catalog_service.token_sales (
    chain_id chain_registry_service.caip2_chain not null,
    token uuid not null,
    currency chain_registry_service.evm_address not null,
    sales bigint not null,
    volume_raw numeric not null,
    last_sale uuid,
    primary key (token, currency)
) with (fillfactor = 80);
