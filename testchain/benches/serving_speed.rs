//! How fast the server answers: `cargo bench -p testchain`.
//!
//! Serves the benchmark chain and reads all of it over one connection, then over two, without parsing.

use std::net::{Ipv4Addr, SocketAddr};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use testchain::faults::Faults;
use testchain::ledger::{Finality, Ledger};
use testchain::server::{self, Server};
use testchain::simulation::{Settings, Simulation};
use tokio::runtime::Runtime;

const BLOCKS: u64 = 20_000;
const SPAN: u64 = 500;

fn main() {
    divan::main();
}

/// Logs and bytes per second, by the number of connections.
#[divan::bench(args = [1, 2], sample_count = 5, sample_size = 1)]
fn reading_logs(bencher: Bencher<'_, '_>, connections: u64) {
    let runtime = Runtime::new().expect("a process may have threads");
    let server = runtime.block_on(serve()).expect("a port is free");
    let read = || {
        runtime
            .block_on(read(&server, connections))
            .expect("the server answers")
    };
    read();
    let counts = server.counts();
    bencher
        .counter(ItemsCount::new(counts.logs))
        .counter(BytesCount::new(counts.bytes_out))
        .bench_local(read);
    runtime.block_on(server.stop());
}

async fn serve() -> std::io::Result<Server> {
    let mut simulation = Simulation::new(Settings::benchmark(1));
    let chain_id = simulation.settings().chain_id;
    let ledger = Ledger::new(chain_id, simulation.blocks(BLOCKS), Finality::default());
    server::serve(ledger, Faults::new(0), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
}

/// Reads every span once, each connection its share.
async fn read(server: &Server, connections: u64) -> reqwest::Result<()> {
    let shares = (0..connections).map(|first| read_share(server.http_url(), first, connections));
    futures::future::try_join_all(shares).await?;
    Ok(())
}

/// Reads every `connections`-th span, starting with span number `first`.
async fn read_share(url: String, first: u64, connections: u64) -> reqwest::Result<()> {
    let client = reqwest::Client::new();
    for from in (first * SPAN..BLOCKS).step_by((connections * SPAN) as usize) {
        let to = from + SPAN - 1;
        let body =
            format!(r#"{{"id":1,"method":"eth_getLogs","params":[{{"fromBlock":"{from:#x}","toBlock":"{to:#x}"}}]}}"#);
        let response = client.post(&url).body(body).send().await?;
        response.bytes().await?;
    }
    Ok(())
}
