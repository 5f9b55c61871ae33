//! Logs that cannot be written: indexing goes on, and ends as well as ever.

use std::fs::{File, OpenOptions};
use std::process::Stdio;

use testchain::simulation::Settings;
use testkit::database::Database;

use crate::harness::chain::Chain;
use crate::harness::program::{Program, Setup};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_disk_stops_nothing() {
    goes_on_writing_to("a full disk", |_| {
        OpenOptions::new().write(true).open("/dev/full").unwrap().into()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_log_that_leaves_stops_nothing() {
    goes_on_writing_to("a pipe that is read no more", |_| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer.into()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_log_that_reads_nothing_stops_nothing() {
    // The pipe's other ends stay open, and what it holds is soon used up.
    let readers = std::sync::Mutex::new(Vec::new());
    goes_on_writing_to("a pipe that is full", |_| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        readers.lock().unwrap().push(reader);
        std::io::Write::write_all(&mut writer, &[b'x'; 60_000]).unwrap();
        writer.into()
    })
    .await;
}

/// Indexes a growing chain with standard output and standard error at `sink`.
async fn goes_on_writing_to(what: &str, sink: impl Fn(File) -> Stdio) {
    let mut chain = Chain::start(Settings::small(181), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let setup = Setup {
        pipeline: "stop_deadline_ms = 60000".to_owned(),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start_writing(&["run"], sink);
    chain.indexed(&database.store, 0, what).await;
    for _ in 0..60 {
        chain.grow(1);
        chain.indexed(&database.store, 0, what).await;
    }
    assert!(process.ended().is_none(), "it runs on with {what}");
    assert!(process.stop().await.success(), "it stops well with {what}");
    chain.assert_true(&database.store, 0, what).await;
}
