//! Which sales look made up, computed by comparing each with every other, and what the table shows of them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, address};
use decoders::fact::{Facts, Sale};
use sinks::projections::wash::WASH_VERSION;
use sinks::store::Store;
use uuid::Uuid;

pub(crate) const BLEND: Address = address!("0x29469395eaf6f95920e59f858042f0e28d98a20b");

/// Flags by sale; sales without any are left out.
pub(crate) type Suspicion = BTreeMap<Uuid, Vec<String>>;

/// What the sales of `facts` look like beside each other.
pub(crate) fn of(facts: &Facts) -> Suspicion {
    let mut sales: Vec<(Uuid, &Sale)> = Vec::new();
    for sale in &facts.sales {
        let block = facts.blocks.iter().find(|block| block.number == sale.block_number);
        sales.push((sale.id(facts.chain, block.unwrap().hash), sale));
    }
    sales.sort_by_key(|(id, _)| *id);
    let mut suspicion = Suspicion::new();
    for (place, (id, sale)) in sales.iter().enumerate() {
        let others = || sales.iter().map(|(_, other)| *other);
        let flags = [
            ("same_party", same_party(sale)),
            ("round_trip", round_trip(sale, place, &sales)),
            ("repeated", repeated(sale, others())),
            (
                "price_outlier",
                outlier(sale, sales[..place].iter().map(|(_, other)| *other)),
            ),
        ];
        let raised = flags.into_iter().filter(|(_, raised)| *raised);
        let raised: Vec<String> = raised.map(|(flag, _)| flag.to_owned()).collect();
        if !raised.is_empty() {
            suspicion.insert(*id, raised);
        }
    }
    suspicion
}

fn same_party(sale: &Sale) -> bool {
    sale.buyer == sale.seller && !sale.buyer.is_zero()
}

fn same_token(sale: &Sale, other: &Sale) -> bool {
    sale.token.is_some() && (sale.contract, sale.token) == (other.contract, other.token)
}

fn round_trip(sale: &Sale, place: usize, sales: &[(Uuid, &Sale)]) -> bool {
    let known = !sale.buyer.is_zero() && !sale.seller.is_zero();
    let mut others = sales.iter().enumerate().filter(|(other, _)| *other != place);
    known
        && others
            .any(|(_, (_, other))| same_token(sale, other) && (other.seller, other.buyer) == (sale.buyer, sale.seller))
}

fn repeated<'a>(sale: &Sale, others: impl Iterator<Item = &'a Sale> + Clone) -> bool {
    let blend = |sale: &Sale| [sale.seller, sale.buyer].contains(&BLEND);
    let alike = others.filter(|other| same_token(sale, other) && other.standard.single_owner());
    let sold = alike.clone().filter(|other| other.seller == sale.seller).count();
    let bought = alike.filter(|other| other.buyer == sale.buyer && !blend(other)).count();
    sale.standard.single_owner()
        && (sold >= 3 && !sale.seller.is_zero() || bought >= 3 && !sale.buyer.is_zero() && !blend(sale))
}

fn outlier<'a>(sale: &Sale, before: impl Iterator<Item = &'a Sale>) -> bool {
    let single = |sale: &Sale| sale.token.is_some() && sale.bundle_size == 1;
    let unit = |sale: &Sale| Some(sale.price? / sale.quantity.max(U256::ONE));
    let mut before: Vec<U256> = before
        .filter(|other| single(other) && (other.contract, other.currency) == (sale.contract, sale.currency))
        .filter_map(unit)
        .collect();
    let mut last = before.split_off(before.len().saturating_sub(30));
    last.sort_unstable();
    let free = sale.fees.iter().all(|fee| fee.amount.is_zero()) && !sale.flags.contains(&"fees_unknown");
    single(sale)
        && free
        && last.len() >= 10
        && unit(sale).is_some_and(|price| price > last[(last.len() - 1) / 2].saturating_mul(U256::from(10)))
}

/// What the table shows. Every sale was classified.
pub(crate) async fn read(store: &Store) -> Suspicion {
    let rows: Vec<(Uuid, Vec<String>, i32)> =
        sqlx::query_as("select id, wash_flags, wash_version from catalog_service.sale_facts")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    assert!(rows.iter().all(|(.., version)| *version == WASH_VERSION));
    let flagged = rows.into_iter().filter(|(_, flags, _)| !flags.is_empty());
    flagged.map(|(id, flags, _)| (id, flags)).collect()
}
