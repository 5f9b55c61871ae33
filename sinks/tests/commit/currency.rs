//! Which source is trusted about a currency: none, then its contract, then the operator.

use alloy_primitives::Address;
use decoders::currency::Metadata;
use decoders::fact::Facts;
use sinks::commit::{self, Move, apply};
use sinks::currencies::{self, Currency};
use sinks::progress::basis::Basis;
use sinks::store::Store;
use testkit::database::with_store;

use crate::world::{CHAIN, World};

#[tokio::test]
async fn a_currency_waits_for_its_contract_and_the_operator_has_the_last_word() {
    with_store(1, |store| async move {
        let facts = facts();
        let named = named(&facts);
        let [first, second, third, ..] = named[..] else {
            panic!("{named:?}")
        };
        apply(&store, &facts, Move::Backfill { branch: 0 }).await.unwrap();
        assert_eq!(unknown(&store, None).await, named);
        assert_eq!(unknown(&store, Some(first)).await, named[1..]);
        assert_eq!(listed(&store, first).await, (None, None, "unknown".into()));

        state(&store, &[(third, "OURS")]).await;
        let answers = [
            (first, metadata("THEIRS")),
            (second, Metadata::default()),
            (third, metadata("THEIRS")),
        ];
        let learned = currencies::store_metadata(&store, CHAIN, &answers).await.unwrap();
        assert_eq!(learned, 2, "the operator stated the third");
        assert_eq!(unknown(&store, None).await, named[3..], "none is asked twice");
        assert_eq!(
            listed(&store, first).await,
            (Some("THEIRS".into()), Some(6), "contract".into())
        );
        assert_eq!(listed(&store, second).await, (None, None, "contract".into()));
        assert_eq!(
            listed(&store, third).await,
            (Some("OURS".into()), Some(18), "operator".into())
        );

        state(&store, &[(first, "OURS"), (second, "OURS"), (third, "LATE")]).await;
        for address in [first, second, third] {
            assert_eq!(
                listed(&store, address).await,
                (Some("OURS".into()), Some(18), "operator".into())
            );
        }
        // Another daemon, which remembers nothing.
        let other = Store::new(store.pool.clone());
        let basis = Basis::read(&other, CHAIN, facts.range.clone(), None).await.unwrap();
        let again = commit::replace(&other, &facts, &basis).await.unwrap();
        assert_eq!(again.announced, 0);
        assert_eq!(unknown(&store, None).await, named[3..]);
    })
    .await;
}

/// A span whose sales are paid in five currencies.
fn facts() -> Facts {
    let mut facts = World::new(5, 30).facts(0..=29);
    for (nth, sale) in (0..).zip(&mut facts.sales) {
        sale.currency = Address::repeat_byte(nth % 5);
    }
    facts
}

/// What prices of `facts` are stated in, beside the chain's own currency.
fn named(facts: &Facts) -> Vec<Address> {
    let sold = facts.sales.iter().map(|sale| sale.currency);
    let mut named: Vec<Address> = sold.chain(facts.orders.iter().map(|order| order.currency)).collect();
    named.retain(|currency| !currency.is_zero());
    named.sort_unstable();
    named.dedup();
    named
}

fn metadata(symbol: &str) -> Metadata {
    Metadata {
        symbol: Some(symbol.into()),
        decimals: Some(6),
    }
}

/// Records what the operator configures, as a start with such a configuration does.
async fn state(store: &Store, symbols: &[(Address, &str)]) {
    let currency = |(address, symbol): &(Address, &str)| Currency {
        address: *address,
        symbol: (*symbol).into(),
        decimals: Some(18),
        pegged: false,
    };
    let stated: Vec<Currency> = symbols.iter().map(currency).collect();
    currencies::seed(store, CHAIN, &stated).await.unwrap();
}

async fn unknown(store: &Store, after: Option<Address>) -> Vec<Address> {
    currencies::unknown(store, CHAIN, after, 100).await.unwrap()
}

async fn listed(store: &Store, address: Address) -> (Option<String>, Option<i32>, String) {
    let row = "select symbol, decimals, source from catalog_service.currencies where chain_id = $1 and address = $2";
    let row = sqlx::query_as(row)
        .bind(CHAIN.to_string())
        .bind(format!("{address:#x}"));
    row.fetch_one(&store.pool).await.unwrap()
}
