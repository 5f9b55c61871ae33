//! The private servers of a run, which end and start again: `scripts/services` in the folder that SERVICES_DIR names.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testkit::patience::within;
use testkit::services::service;
use tokio::process::Command;

use crate::plan::{Ending, Server};

/// How long a server may take to end.
const ENDING: Duration = Duration::from_secs(60);

/// PostgreSQL, MongoDB and RabbitMQ.
pub(crate) struct Servers {
    folder: PathBuf,
    /// Where PostgreSQL keeps its data.
    data: PathBuf,
    demoted: bool,
}

impl Servers {
    /// Those that `scripts/services up` started.
    pub(crate) async fn find() -> Servers {
        let mut connection = PgConnection::connect(&service("TEST_DATABASE_URL")).await.unwrap();
        let data: String = sqlx::query_scalar("show data_directory")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        Servers {
            folder: service("SERVICES_DIR").into(),
            data: data.into(),
            demoted: false,
        }
    }

    /// Ends a server.
    pub(crate) async fn down(&self, server: Server, how: Ending) {
        let (name, signal) = match (server, how) {
            (Server::Database, Ending::Asked) => ("postgresql", "INT"),
            // What a SIGKILL does to a server whose children share its memory, without leaving them behind.
            (Server::Database, Ending::Killed) => ("postgresql", "QUIT"),
            (Server::Archive, Ending::Asked) => ("mongodb", "TERM"),
            (Server::Archive, Ending::Killed) => ("mongodb", "KILL"),
            (Server::Broker, Ending::Asked) => ("rabbitmq", "TERM"),
            (Server::Broker, Ending::Killed) => ("rabbitmq", "KILL"),
        };
        let state = std::fs::read_to_string(self.folder.join("state.json")).unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        // Without a pid it is down already.
        let Some(pid) = state[name]["pid"].as_u64().filter(|pid| alive(*pid)) else {
            return;
        };
        let pid_text = pid.to_string();
        Command::new("kill")
            .args([&format!("-{signal}"), &pid_text])
            .status()
            .await
            .unwrap();
        within(ENDING, async || (!alive(pid)).then_some(()))
            .await
            .unwrap_or_else(|| panic!("{name} does not end"));
    }

    /// Starts what does not run, and waits until it is ready.
    pub(crate) async fn up(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services");
        let started = Command::new(script)
            .arg("up")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .await
            .unwrap();
        assert!(
            started.status.success(),
            "the servers do not start: {}",
            String::from_utf8_lossy(&started.stderr)
        );
    }

    /// Turns the database into a standby that reads only.
    pub(crate) async fn demote(&mut self) {
        self.down(Server::Database, Ending::Asked).await;
        std::fs::write(self.data.join("standby.signal"), "").unwrap();
        self.demoted = true;
        self.up().await;
    }

    /// Turns it into a primary again.
    pub(crate) async fn promote(&mut self) {
        if !std::mem::take(&mut self.demoted) {
            return;
        }
        self.up().await;
        let mut connection = PgConnection::connect(&service("TEST_DATABASE_URL")).await.unwrap();
        let promoted: bool = sqlx::query_scalar("select pg_promote(true, 60)")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(promoted, "the database stays a standby");
        connection.close().await.unwrap();
    }
}

/// Whether the process runs; one that ended and was not waited for does not.
fn alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}
