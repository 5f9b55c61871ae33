//! `indexer bench`: that every figure is printed and measured. How large they are is not asserted on a shared machine.

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testkit::database::Database;
use testkit::services::service;

use crate::commands::{Place, stated};

/// Databases that a report made and did not drop.
const LEFT: &str = "select count(*) from pg_database where datname like 'indexer_bench_' || $1 || '_%'";

#[tokio::test]
async fn a_backfill_prints_every_figure_and_goes_on_no_chain_that_is_there() {
    let (test, place) = (Database::empty(1).await, Place::with(""));
    let arguments = [
        "bench", "backfill", "--blocks", "30", "--trades", "2", "--replay", "--json",
    ];
    let mut command = place.indexer(&arguments);
    let output = command.env("DATABASE_URL", &test.url).output().unwrap();
    let stderr_text = String::from_utf8_lossy(&output.stderr).into_owned();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr_text}"));
    for figure in [
        "/blocks",
        "/logs",
        "/items",
        "/transfers",
        "/seconds",
        "/read_seconds",
        "/archive_seconds",
        "/commit_seconds",
        "/replay_seconds",
        "/peak_memory_mb",
        "/served/requests",
        "/served/calls",
        "/served/bytes",
        "/rows_held",
    ] {
        let value = figures.pointer(figure).and_then(Value::as_f64);
        assert!(value.is_some_and(|value| value > 0.0), "{figure} in {figures}");
    }
    let mut again = place.indexer(&["bench", "backfill", "--blocks", "30", "--trades", "2"]);
    stated(again.env("DATABASE_URL", &test.url), 4, &["holds eip155:1 already"]);
}

#[tokio::test]
async fn a_report_runs_every_part_and_leaves_nothing() {
    let place = Place::with("");
    let arguments = [
        "bench",
        "report",
        "--blocks",
        "40",
        "--trades",
        "2",
        "--head-blocks",
        "3",
    ];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_indexer"));
    let report = command
        .current_dir(place.path())
        .args(arguments)
        .env("DATABASE_URL", service("TEST_DATABASE_URL"))
        .env("MONGODB_URL", service("TEST_MONGODB_URL"))
        .env_remove("AMQP_URL")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = report.id();
    let output = report.wait_with_output().unwrap();
    let stderr_text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr_text}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), 6, "{text}");
    for row in rows {
        let figures: Vec<f64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
        assert!(
            figures.len() >= 6 && figures.iter().all(|figure| *figure >= 0.0),
            "{row}"
        );
    }
    for part in [
        "Endpoint 50 ms away",
        "10 % failing: ",
        "10 blocks a request, 2 % failing: ",
        "replay ",
        "Bare COPY of the same ",
        "insert_many of the same ",
        "Parsing logs ",
        "Head over socket",
        "Head over TCP, readable",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    let mut db = PgConnection::connect(&service("TEST_DATABASE_URL")).await.unwrap();
    let left: i64 = sqlx::query_scalar(LEFT)
        .bind(id.to_string())
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = Place::with("");
    stated(
        &mut place.indexer(&["bench", "report"]),
        4,
        &["name a server with DATABASE_URL"],
    );
    let refused = ["bench", "backfill", "--error-rate", "2"];
    stated(&mut place.indexer(&refused), 2, &["--error-rate", "from 0 to 1"]);
    let unreachable = ["bench", "report", "--blocks", "8"];
    let mut command = place.indexer(&unreachable);
    command.env("DATABASE_URL", "postgres://u:s3cr3t@127.0.0.1:1/d");
    stated(&mut command, 4, &["may create databases"]);
}
