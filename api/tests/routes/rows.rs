//! Known rows, written as what indexes would have written them.

use alloy_primitives::{Address, U256};
use decoders::block::ChainId;
use decoders::id::{collection_id, token_id};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) const CHAIN: ChainId = ChainId(1);
pub(crate) const ONE: Address = Address::repeat_byte(0x11);
pub(crate) const MANY: Address = Address::repeat_byte(0x22);

/// Two chains, of which the second is empty, and a registered contract of the first.
pub(crate) async fn register(pool: &PgPool) {
    for statement in [
        "insert into chain_registry_service.chains (caip2, chain_numeric, name, native_symbol, start_block, enabled) values
             ('eip155:1', 1, 'Ethereum', 'ETH', 90, true), ('eip155:5', 5, 'Empty', 'E', 0, false)",
        "insert into chain_registry_service.chain_contracts (chain_id, address, name, standard)
             select id, '0x' || repeat('11', 20), 'Ones', 'erc721' from chain_registry_service.chains where caip2 = 'eip155:1'",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
}

/// Two collections: three single-owner tokens of which one is burned, and one token that two people hold parts of.
pub(crate) async fn fill(pool: &PgPool) {
    let statements = [
        "insert into indexer_service.indexer_checkpoints values
             ('eip155:1', 200, '0x' || repeat('ab', 32), '2024-01-01T00:00:00Z', 210, 205, 190, '2024-01-01T00:00:00Z')",
        "insert into indexer_service.indexer_coverage (chain_id, source, proof, covered) values
             ('eip155:1', 'erc721', 'bloom', '{[100,150)}'), ('eip155:1', 'erc721', 'receipts', '{[160,201)}'),
             ('eip155:1', 'erc1155', 'bloom', '{[100,201)}')",
        "insert into catalog_service.collection_counters values
             ('eip155:1', '0x' || repeat('11', 20), 5, 3, 1), ('eip155:1', '0x' || repeat('22', 20), 1, 1, 0)",
        "select catalog_service.ensure_chain('eip155:1')",
        "insert into indexer_service.outbox (chain_id, kind, fact_id) values ('eip155:1', 'mint', gen_random_uuid())",
        "insert into indexer_service.outbox_totals (chain_id, written) values ('eip155:1', 1)",
    ];
    for statement in statements {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    for (address, standard) in [(ONE, "erc721"), (MANY, "erc1155")] {
        sqlx::query(
            "insert into catalog_service.collections (id, slug, chain_id, contract_address, collection_type, first_position)
             values ($1, $2, 'eip155:1', $2, $3, $4)",
        )
        .bind(collection_id(CHAIN, &address))
        .bind(format!("{address:#x}"))
        .bind(standard)
        .bind(Uuid::from_u128(1))
        .execute(pool)
        .await
        .unwrap();
    }
    for (address, number, owner) in [
        (ONE, 1, Some("aa")),
        (ONE, 2, Some("aa")),
        (ONE, 3, None),
        (MANY, 7, None),
    ] {
        sqlx::query(
            "insert into catalog_service.token_states
                 (id, collection_id, number, standard, owner, owner_position, minted_at, supply)
             values ($1, $2, $3, $4, decode(repeat($5, 20), 'hex'), $6, '2024-01-01T00:00:00Z', $7)",
        )
        .bind(token_id(CHAIN, &address, &U256::from(number)))
        .bind(collection_id(CHAIN, &address))
        .bind(number)
        .bind(if address == ONE { "erc721" } else { "erc1155" })
        .bind(owner)
        .bind((address == ONE).then(|| Uuid::from_u128(number as u128)))
        .bind(if address == ONE { 0 } else { 10 })
        .execute(pool)
        .await
        .unwrap();
    }
    for (owner, quantity) in [("bb", 4), ("cc", 6), ("dd", 0)] {
        sqlx::query("insert into catalog_service.erc1155_balances values ($1, decode(repeat($2, 20), 'hex'), $3)")
            .bind(token_id(CHAIN, &MANY, &U256::from(7)))
            .bind(owner)
            .bind(quantity)
            .execute(pool)
            .await
            .unwrap();
    }
    for number in 0..5 {
        sqlx::query(
            "insert into catalog_service.transfer_facts
                 (chain_id, id, contract, token_number, token, from_addr, to_addr, quantity, standard, tx_hash, block_hash, block_time)
             values ('eip155:1', catalog_service.first_id($1), $2, $3, $4, decode(repeat('00', 20), 'hex'),
                     decode(repeat('aa', 20), 'hex'), 1, 'erc721', decode(repeat('01', 32), 'hex'), decode(repeat('02', 32), 'hex'),
                     '2024-01-01T00:00:00Z')",
        )
        .bind(100_i64 + number)
        .bind(ONE.as_slice())
        .bind(number % 2 + 1)
        .bind(token_id(CHAIN, &ONE, &U256::from(number % 2 + 1)))
        .execute(pool)
        .await
        .unwrap();
    }
}

/// Sales in blocks 101 to 104: one alone, one alone of another token, part of a bundle, one of which nothing is known.
pub(crate) async fn fill_sales(pool: &PgPool) {
    let [one, two] = [1, 2].map(|number| token_id(CHAIN, &ONE, &U256::from(number)));
    sqlx::query("insert into catalog_service.marketplaces values ($1, 'seaport')")
        .bind(Uuid::from_u128(9))
        .execute(pool)
        .await
        .unwrap();
    for (block, token, number, bundle) in [
        (101_i64, Some(one), Some(1), 1),
        (102, Some(two), Some(2), 1),
        (103, Some(one), Some(1), 2),
        (104, None, None, 1),
    ] {
        sqlx::query(
            "insert into catalog_service.sale_facts
                 (chain_id, id, contract, token_number, token, standard, quantity, marketplace_id, version, side, seller, buyer,
                  maker, taker_raw, currency_address, price_raw, price_allocation, fee_recipients, fee_amounts, fee_kinds,
                  bundle_id, bundle_size, flags, tx_hash, block_hash, block_time)
             values ('eip155:1', catalog_service.first_id($1), $2, $3, $4, 'erc721', 1, $5, '', 'listing',
                     decode(repeat('bb', 20), 'hex'), decode(repeat('cc', 20), 'hex'), decode(repeat('bb', 20), 'hex'),
                     decode(repeat('cc', 20), 'hex'), decode(repeat('00', 20), 'hex'),
                     case when $4 is null then null else 1500000000000000000 end, 'exact', array[decode(repeat('22', 20), 'hex')],
                     array[7], array['royalty'], case when $6 > 1 then catalog_service.first_id($1) end, $6, '{}',
                     decode(repeat('01', 32), 'hex'), decode(repeat('02', 32), 'hex'), '2024-01-01T00:00:00Z')",
        )
        .bind(block)
        .bind(if token.is_some() { ONE.as_slice() } else { Address::ZERO.as_slice() })
        .bind(number)
        .bind(token)
        .bind(Uuid::from_u128(9))
        .bind(bundle)
        .execute(pool)
        .await
        .unwrap();
    }
    for (token, sales, last) in [(one, 2, 101_i64), (two, 1, 102)] {
        sqlx::query(
            "insert into catalog_service.token_sales (chain_id, token, currency, sales, volume_raw, last_sale)
             values ('eip155:1', $1, decode(repeat('00', 20), 'hex'), $2, $2 * 1500000000000000000::numeric, catalog_service.first_id($3))",
        )
        .bind(token)
        .bind(sales)
        .bind(last)
        .execute(pool)
        .await
        .unwrap();
    }
    sqlx::query(
        "insert into catalog_service.collection_sales values
             ('eip155:1', '0x' || repeat('11', 20), '0x' || repeat('00', 20), 3, 4500000000000000000)",
    )
    .execute(pool)
    .await
    .unwrap();
}
