//! Encrypted connections of every client: a peer that hangs up is an error in one line, whatever TLS libraries were linked.

use decoders::block::ChainId;
use indexer::archive::Archive;
use indexer::config::{Config, DatabaseUrl};
use indexer::database;
use rpc::{EndpointSettings, Pool, PoolOptions};
use testkit::database::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::postgres;

/// A port whose listener takes every connection and closes it.
async fn hanging_up() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    port
}

#[tokio::test]
async fn every_client_can_begin_a_handshake() {
    let port = hanging_up().await;
    let mut config = Config::default();
    config.database.connect_timeout_ms = 100;
    config.database.url = DatabaseUrl::parse(&format!("postgres://u@127.0.0.1:{port}/d?sslmode=require")).unwrap();
    assert!(database::open(&config).await.is_err());

    for scheme in ["https", "wss"] {
        let url = format!("{scheme}://127.0.0.1:{port}/").parse().unwrap();
        let endpoint = EndpointSettings {
            id: 1,
            url,
            priority: 0,
            weight: 1,
            rate_limit: None,
        };
        let options = PoolOptions {
            rounds: 1,
            ..PoolOptions::default()
        };
        let pool = Pool::connect(ChainId(1), vec![endpoint], options, CancellationToken::new()).await;
        let unreachable = match pool {
            Err(_) => true,
            Ok(pool) => pool.heads().await.is_err(),
        };
        assert!(unreachable, "{scheme}");
    }

    let options = sinks::publisher::Options::new(format!("amqps://u:p@127.0.0.1:{port}/%2f"), "test");
    assert!(sinks::publisher::check(&options).await.is_err());

    let test = Database::empty(1).await;
    let database = database::open(&postgres::config(&test)).await.unwrap();
    let mongodb = format!("mongodb://127.0.0.1:{port}/?tls=true&serverSelectionTimeoutMS=500&connectTimeoutMS=500");
    assert!(Archive::open(&mongodb, "indexer", &database.store).await.is_err());
    database.close().await;
}
