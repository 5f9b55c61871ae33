//! A served process from its first log line to its last signal.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use testkit::database::Database;

/// How long anything may take on a loaded machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(100);

/// `indexer api` with JSON logs; killed when the test gives it up.
struct Served {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    address: String,
}

impl Served {
    fn start(test: &Database, folder: &std::path::Path) -> Self {
        std::fs::write(folder.join("config.toml"), "").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_indexer"))
            .args(["--log-format", "json", "api", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .env_remove("RUST_LOG")
            .env("DATABASE_URL", &test.url)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let line = line.unwrap();
                let value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON in {line}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let listening = |line: &Value| Some(line["fields"]["address"].as_str()?.to_owned());
        let address = lines
            .iter()
            .find_map(|line| listening(&line))
            .expect("the process prints where it listens");
        Served { child, lines, address }
    }

    async fn code(&self, path: &str) -> u16 {
        reqwest::get(format!("http://{}{path}", self.address))
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// The exit code.
    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the process did not end");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn an_api_serves_until_the_first_signal_and_logs_json() {
    let test = Database::empty(1).await;
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(&test, folder.path());
    let began = Instant::now();
    while served.code("/readyz").await != 200 {
        assert!(began.elapsed() < PATIENCE, "the process becomes ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for path in ["/healthz", "/metrics", "/v1/status", "/v1/collections"] {
        assert_eq!(served.code(path).await, 200, "{path}");
    }
    served.signal("TERM");
    assert_eq!(served.ended(), Some(0));
    let last = served.lines.iter().last().unwrap();
    assert_eq!(last["level"], "WARN");
    assert!(
        last["fields"]["message"]
            .as_str()
            .unwrap()
            .contains("once more to stop at once"),
        "{last}"
    );
}

#[tokio::test]
async fn a_second_signal_ends_a_process_that_still_has_work() {
    let test = Database::empty(1).await;
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(&test, folder.path());
    // A request that was begun and not finished keeps the server from stopping on its own.
    let mut stuck = std::net::TcpStream::connect(&served.address).unwrap();
    std::io::Write::write_all(&mut stuck, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").unwrap();
    assert_eq!(served.code("/healthz").await, 200);
    served.signal("INT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        served.child.try_wait().unwrap().is_none(),
        "it waits for the request under way"
    );
    served.signal("TERM");
    assert_eq!(served.ended(), Some(130));
}

#[tokio::test]
async fn a_client_that_does_not_finish_is_not_waited_for_long() {
    let test = Database::empty(1).await;
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(&test, folder.path());
    let mut stuck = std::net::TcpStream::connect(&served.address).unwrap();
    std::io::Write::write_all(&mut stuck, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").unwrap();
    assert_eq!(served.code("/healthz").await, 200);
    served.signal("TERM");
    assert_eq!(served.ended(), Some(0));
}

/// Starts `arguments` against a server that accepts and sends nothing, ends it with SIGTERM once it waits for that, and returns its exit
/// code and what it wrote to standard error.
fn stopped_at_the_start(arguments: &[&str]) -> (Option<i32>, String) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "[api]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_indexer"))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .env("DATABASE_URL", format!("postgres://127.0.0.1:{port}/d"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (waiting, _) = silent.accept().unwrap();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    drop(waiting);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_signal_while_the_database_is_waited_for_ends_every_command_as_documented() {
    for command in [&["run"][..], &["api"]] {
        let (code, text) = stopped_at_the_start(command);
        assert_eq!((code, text.lines().count()), (Some(0), 1), "{command:?}: {text}");
        assert!(text.contains("stopping"), "{text}");
    }
    for command in [
        &["backfill", "--chain", "eip155:1", "--from", "1", "--to", "2"][..],
        &["replay", "--chain", "eip155:1", "--from", "1", "--to", "2"],
        &["status"],
        &["faults", "list"],
        &["faults", "retry"],
        &["tail", "--from", "outbox"],
        &["migrate"],
    ] {
        let (code, text) = stopped_at_the_start(command);
        assert_eq!((code, text.lines().count()), (Some(130), 2), "{command:?}: {text}");
    }
}

#[tokio::test]
async fn a_signal_while_an_endpoint_is_waited_for_is_one_line() {
    let test = Database::empty(1).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[[chains]]\ncaip2 = \"eip155:1\"\nname = \"E\"\nnative_symbol = \"E\"\n\
         [[chains.endpoints]]\nurl = \"http://127.0.0.1:{port}\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_indexer"))
        .arg("run")
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .env("DATABASE_URL", &test.url)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (waiting, _) = silent.accept().unwrap();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    drop(waiting);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 1), "{text}");
}
