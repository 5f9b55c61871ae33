//! How many logs a second the server sends: `cargo run --release -p testchain --example serving_speed`.
//!
//! Serves the benchmark chain and reads all of it over one connection, then over two, without parsing.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use testchain::faults::Faults;
use testchain::ledger::{Finality, Ledger};
use testchain::server;
use testchain::simulation::{Settings, Simulation};

const BLOCKS: u64 = 20_000;
const SPAN: u64 = 500;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let made = Instant::now();
    let mut simulation = Simulation::new(Settings::benchmark(1));
    let chain_id = simulation.settings().chain_id;
    let ledger = Ledger::new(chain_id, simulation.blocks(BLOCKS), Finality::default());
    writeln!(
        out,
        "simulated {BLOCKS} blocks in {:.1} s",
        made.elapsed().as_secs_f64()
    )?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = server::serve(ledger, Faults::new(0), listen).await?;
    for readers in [1, 2] {
        let before = server.counts();
        let started = Instant::now();
        let reading = (0..readers).map(|reader| read(server.http_url(), reader, readers));
        futures::future::try_join_all(reading).await?;
        let seconds = started.elapsed().as_secs_f64();
        let counts = server.counts();
        let logs = (counts.logs - before.logs) as f64;
        let megabytes = (counts.bytes_out - before.bytes_out) as f64 / 1e6;
        writeln!(
            out,
            "{readers} connections: {logs} logs in {seconds:.2} s, {:.2} M logs/s, {:.0} MB/s",
            logs / seconds / 1e6,
            megabytes / seconds
        )?;
    }
    server.stop().await;
    Ok(())
}

/// Reads every `readers`-th span, starting with span number `reader`.
async fn read(url: String, reader: u64, readers: u64) -> reqwest::Result<()> {
    let client = reqwest::Client::new();
    for from in (reader * SPAN..BLOCKS).step_by((readers * SPAN) as usize) {
        let to = from + SPAN - 1;
        let body =
            format!(r#"{{"id":1,"method":"eth_getLogs","params":[{{"fromBlock":"{from:#x}","toBlock":"{to:#x}"}}]}}"#);
        let response = client.post(&url).body(body).send().await?;
        response.bytes().await?;
    }
    Ok(())
}
