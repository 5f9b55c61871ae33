//! The real program: its configuration, started, watched, killed.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use decoders::block::ChainId;
use indexer::config::Config;
use tempfile::TempDir;

use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::patience::{PATIENCE, eventually, within};

/// Lines of a log shown when something fails.
const SHOWN_LINES: usize = 40;

/// Variables that would override the configuration.
const OVERRIDES: [&str; 4] = ["DATABASE_URL", "MONGODB_URL", "AMQP_URL", "RUST_LOG"];

/// What a configuration file states, as far as tests vary it.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// `embedded` or a PostgreSQL URL.
    pub(crate) database: String,
    /// MongoDB's URL and database name.
    pub(crate) archive: Option<(String, String)>,
    /// RabbitMQ's URL and exchange.
    pub(crate) broker: Option<(String, String)>,
    /// The chain.
    pub(crate) chain: ChainId,
    /// Lowest block wanted.
    pub(crate) start_block: u64,
    /// Endpoints of equal priority.
    pub(crate) endpoints: Vec<String>,
    /// Where the API listens.
    pub(crate) listen: String,
    /// How often a new head is looked for.
    pub(crate) poll_interval_ms: u64,
    /// How long a silent daemon keeps its chains.
    pub(crate) lease_ttl_ms: u64,
    /// Further lines of `[pipeline]`.
    pub(crate) pipeline: String,
    /// Further lines of `[[chains]]`.
    pub(crate) chain_lines: String,
}

impl Setup {
    /// The tables in `database`, raw events there too, no broker.
    pub(crate) fn new(database: &Database, chain: ChainId, endpoints: &[String]) -> Setup {
        Setup {
            database: database.url.clone(),
            archive: None,
            broker: None,
            chain,
            start_block: 0,
            endpoints: endpoints.to_vec(),
            listen: "127.0.0.1:0".to_owned(),
            poll_interval_ms: 50,
            lease_ttl_ms: 1_000,
            pipeline: String::new(),
            chain_lines: String::new(),
        }
    }

    /// Everything in the embedded database.
    pub(crate) fn embedded(chain: ChainId, endpoints: &[String]) -> Setup {
        Setup {
            database: "embedded".to_owned(),
            archive: None,
            broker: None,
            chain,
            start_block: 0,
            endpoints: endpoints.to_vec(),
            listen: "127.0.0.1:0".to_owned(),
            poll_interval_ms: 50,
            lease_ttl_ms: 1_000,
            pipeline: String::new(),
            chain_lines: String::new(),
        }
    }

    /// Raw events in MongoDB.
    pub(crate) fn archived_in(mut self, mongo: &MongoDatabase) -> Setup {
        self.archive = Some((mongo.url.clone(), mongo.name.clone()));
        self
    }

    /// The file's text.
    pub(crate) fn toml(&self) -> String {
        let mut text = format!(
            "[database]\nurl = {:?}\ndata_dir = \"postgres\"\n[api]\nlisten = {:?}\n\
             [log]\nlevel = \"info\"\nformat = \"json\"\n[pipeline]\nlease_ttl_ms = {}\n{}\n",
            self.database, self.listen, self.lease_ttl_ms, self.pipeline
        );
        if let Some((url, database)) = &self.archive {
            writeln!(text, "[archive]\nurl = {url:?}\ndatabase = {database:?}").unwrap();
        }
        if let Some((url, exchange)) = &self.broker {
            writeln!(text, "[broker]\nurl = {url:?}\nexchange = {exchange:?}").unwrap();
        }
        let (chain, start, interval) = (self.chain, self.start_block, self.poll_interval_ms);
        writeln!(
            text,
            "[[chains]]\ncaip2 = \"{chain}\"\nname = \"Simulated\"\nnative_symbol = \"ETH\"\nstart_block = {start}\npoll_interval_ms = {interval}\n{}",
            self.chain_lines
        )
        .unwrap();
        for url in &self.endpoints {
            writeln!(text, "[[chains.endpoints]]\nurl = {url:?}").unwrap();
        }
        text
    }
}

/// The program with its configuration in a folder of its own.
pub(crate) struct Program {
    folder: TempDir,
    starts: AtomicUsize,
}

impl Program {
    /// Writes the configuration.
    pub(crate) fn new(setup: &Setup) -> Program {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("config.toml"), setup.toml()).unwrap();
        Program {
            folder,
            starts: AtomicUsize::new(0),
        }
    }

    /// The configuration as the program reads it.
    pub(crate) fn config(&self) -> Config {
        Config::load(&self.config_path(), &|_| None).unwrap()
    }

    /// Where configuration and logs are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Starts `indexer ARGUMENTS`.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.start_writing(arguments, |file| file.into())
    }

    /// Starts `indexer ARGUMENTS` with standard output and standard error wherever `sink` leads instead of to the file.
    pub(crate) fn start_writing(&self, arguments: &[&str], sink: impl Fn(File) -> Stdio) -> Process {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| self.folder.path().join(format!("{number}.{name}"));
        let (stdout, stderr) = (path("out"), path("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_indexer"));
        command.arg("--config").arg(self.config_path()).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(sink(File::create(&stdout).unwrap()))
            .stderr(sink(File::create(&stderr).unwrap()));
        for variable in OVERRIDES {
            command.env_remove(variable);
        }
        let shown = format!("indexer {}", arguments.join(" "));
        Process {
            child: command.spawn().unwrap(),
            shown,
            stdout,
            stderr,
        }
    }

    /// Runs `indexer ARGUMENTS` to its end, which has to be a good one, and returns what it wrote to standard output.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let mut process = self.start(arguments);
        process.succeeds().await;
        process.stdout()
    }

    /// Runs `indexer ARGUMENTS` to its end, which has to be a good one, and returns how long it took.
    pub(crate) async fn time(&self, arguments: &[&str]) -> Duration {
        let began = Instant::now();
        self.run(arguments).await;
        began.elapsed()
    }
}

impl Program {
    /// Runs `indexer ARGUMENTS`, which has to end with `code` and one line that has every one of `parts`.
    pub(crate) async fn fails(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        self.start(arguments).fails(code, parts).await;
    }
}

/// A started program; killed when dropped.
pub(crate) struct Process {
    child: Child,
    shown: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Its process number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let ended = within(PATIENCE, async || self.ended()).await;
        ended.unwrap_or_else(|| panic!("{} does not end", self.shown))
    }

    /// Waits for its end, which has to be a good one.
    pub(crate) async fn succeeds(&mut self) {
        let status = self.end().await;
        assert!(status.success(), "{} ended with {status}", self.shown);
    }

    /// Waits for its end, which has to be one with `code` and a last line on standard error that has every one of `parts`.
    pub(crate) async fn fails(&mut self, code: i32, parts: &[&str]) {
        let status = self.end().await;
        let log = self.log();
        // Everything else is the log, one JSON object a line.
        let output: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
        let [line] = output[..] else {
            panic!("{} did not print one line: {output:?}", self.shown)
        };
        assert_eq!(status.code(), Some(code), "{} printed {line}", self.shown);
        assert!(line.starts_with("error: "), "{} printed {line}", self.shown);
        for part in parts {
            assert!(line.contains(part), "{} printed {line} without {part}", self.shown);
        }
    }

    /// SIGKILL, wherever it is.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let signalled = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(signalled.success(), "{} has ended before it was asked to", self.shown);
    }

    /// SIGTERM, and its end.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.end().await
    }

    /// What it wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    /// Its log so far, one JSON object a line.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        tail(&self.log())
    }

    /// `http://…` where it serves its API, once it does.
    pub(crate) async fn address(&mut self) -> String {
        eventually("the program listens", async || {
            assert!(self.ended().is_none(), "{} has ended", self.shown);
            let log = self.log();
            let mut events = log
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let listening = events.find(|event| event["fields"]["message"] == "listening")?;
            Some(format!("http://{}", listening["fields"]["address"].as_str().unwrap()))
        })
        .await
    }

    /// Asserts that nothing in it panicked.
    pub(crate) fn assert_no_panic(&self) {
        let log = self.log();
        assert!(
            !log.contains("panicked at"),
            "{} panicked; its log ends\n{}",
            self.shown,
            tail(&log)
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("{} logged last\n{}", self.shown, self.log_end());
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
