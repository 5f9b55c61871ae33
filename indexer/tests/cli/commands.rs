//! What every command reports on bad input: one line on standard error and its own exit code.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

use testkit::database::Database;

/// A folder with a configuration of its own.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        Place { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program in this folder, with an empty environment.
    pub(crate) fn indexer(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_indexer"));
        command.current_dir(self.folder.path()).env_clear().args(arguments);
        if let Some(home) = std::env::var_os("HOME") {
            command.env("HOME", home);
        }
        command
    }

    /// Runs the program, which fails with `code` and one line that has every one of `parts`.
    fn fails(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        stated(&mut self.indexer(arguments), code, parts);
    }
}

pub(crate) fn stated(command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?} printed {text}");
    let line = text.lines().last().unwrap_or_default();
    assert!(
        line.starts_with("error: ") && text.lines().filter(|line| line.starts_with("error")).count() == 1,
        "{text}"
    );
    assert_eq!(
        text.lines()
            .filter(|line| !line.contains("INFO") && !line.contains("WARN"))
            .count(),
        1,
        "{text}"
    );
    for part in parts {
        assert!(line.contains(part), "{command:?} printed {line} without {part}");
    }
    assert!(!text.contains("s3cr3t"), "a secret in {text}");
}

const DEAD: &str = "[database]\nurl = \"postgres://u:s3cr3t@127.0.0.1:1/d\"\nconnect_timeout_ms = 100\n";

#[test]
fn usage_is_told_in_one_line() {
    let place = Place::with("");
    place.fails(&[], 2, &["a command is missing", "indexer --help"]);
    place.fails(&["frobnicate"], 2, &["unrecognized subcommand 'frobnicate'"]);
    place.fails(&["run", "--chain", "1"], 2, &["--chain", "eip155:1"]);
    place.fails(&["run", "--until", "soon"], 2, &["--until", "soon"]);
    place.fails(&["run", "--rpc", "http://127.0.0.1:1"], 2, &["--chain"]);
    place.fails(
        &["run", "--chain", "eip155:1", "--rpc", "htp://h/s3cr3t"],
        2,
        &["--rpc <URL>: \"htp://h/…\"", "wss://…"],
    );
    let add = ["registry", "endpoints", "add", "--chain", "eip155:1", "--url"];
    place.fails(&[&add[..], &["http://h/p w"]].concat(), 2, &["--url", "blank", "%20"]);
    place.fails(&["backfill", "--chain", "eip155:1"], 2, &["--from", "--to"]);
    place.fails(
        &["backfill", "--chain", "eip155:1", "--from", "1", "--to", "-1"],
        2,
        &["'-1'"],
    );
    place.fails(
        &[
            "backfill",
            "--chain",
            "eip155:1",
            "--from",
            "1",
            "--to",
            "2",
            "--workers",
            "0",
        ],
        2,
        &["--workers", "1..=64"],
    );
    place.fails(
        &["replay", "--chain", "x", "--from", "1", "--to", "2"],
        2,
        &["eip155:1"],
    );
    place.fails(&["status", "--jsn"], 2, &["--jsn", "--json"]);
    place.fails(&["tail", "--from", "moon"], 2, &["broker", "outbox"]);
    place.fails(&["demo", "--twice"], 2, &["--twice"]);
    place.fails(&["migrate", "now"], 2, &["'now'"]);
    place.fails(&["check-config", "now"], 2, &["'now'"]);
    place.fails(&["api", "--listen", "8080"], 2, &["--listen", "socket address"]);
    place.fails(&["registry"], 2, &["a command is missing"]);
    place.fails(&["registry", "chains", "add", "eip155:5"], 2, &["--name"]);
    place.fails(
        &[
            "registry",
            "endpoints",
            "add",
            "--chain",
            "eip155:1",
            "--url",
            "ftp://h/s3cr3t",
        ],
        2,
        &["\"ftp://h/…\""],
    );
    place.fails(
        &["registry", "endpoints", "set", "1", "--rate-limit", "0"],
        2,
        &["1 to 1000000 or none"],
    );
    place.fails(
        &[
            "registry",
            "contracts",
            "remove",
            "--chain",
            "eip155:1",
            "--address",
            "0x1",
        ],
        2,
        &["--address"],
    );
    place.fails(
        &[
            "registry",
            "contracts",
            "add",
            "--chain",
            "eip155:1",
            "--address",
            "0x1",
            "--name",
            "x",
        ],
        2,
        &["--address"],
    );
    place.fails(&["--log-format", "xml", "status"], 2, &["human", "json"]);
}

#[test]
fn a_bad_block_range_ends_with_9_before_anything_is_opened() {
    let place = Place::with(DEAD);
    for command in ["backfill", "replay"] {
        place.fails(
            &[command, "--chain", "eip155:1", "--from", "5", "--to", "4"],
            9,
            &["--from 5 is above --to 4", "swap"],
        );
        place.fails(
            &[command, "--chain", "eip155:1", "--from", "5", "--to", "99999999999"],
            9,
            &["highest block number"],
        );
    }
}

#[test]
fn a_bad_configuration_ends_with_3_whatever_the_command() {
    let place = Place::with("[database]\nurll = \"embedded\"");
    let range = ["--chain", "eip155:1", "--from", "1", "--to", "2"];
    let commands: &[&[&str]] = &[
        &["run"],
        &["backfill", range[0], range[1], range[2], range[3], range[4], range[5]],
        &["replay", range[0], range[1], range[2], range[3], range[4], range[5]],
        &["status"],
        &["migrate"],
        &["check-config"],
        &["registry", "chains", "list"],
        &["demo", "--once"],
        &["tail"],
        &["bind-queue", "nft"],
        &["api"],
    ];
    for command in commands {
        place.fails(command, 3, &["config.toml:2:", "unknown field `urll`", "`url`"]);
    }
    place.fails(&["--config", "none.toml", "status"], 3, &["none.toml", "--config FILE"]);
    place.fails(&["status", "--config", "none.toml"], 3, &["none.toml"]);
    stated(
        place
            .indexer(&["--config", "/dev/null", "status"])
            .env("AMQP_URL", "http://u:s3cr3t@h"),
        3,
        &["AMQP_URL", "amqp://…"],
    );
    stated(
        place
            .indexer(&["--config", "/dev/null", "status"])
            .env("RUST_LOG", "a=b=c"),
        3,
        &["RUST_LOG"],
    );
}

#[test]
fn check_config_looks_at_files_and_variables() {
    let chain = "[[chains]]\ncaip2 = \"eip155:1\"\nname = \"E\"\nnative_symbol = \"E\"\n";
    let keyed = Place::with(&format!("{chain}endpoints = [{{ url = \"https://h/${{NODE_KEY}}\" }}]"));
    keyed.fails(
        &["check-config"],
        3,
        &["eip155:1", "https://h/…", "NODE_KEY", "not set"],
    );
    keyed
        .indexer(&["check-config"])
        .env("NODE_KEY", "s3cr3t")
        .assert()
        .success();
    let show = keyed
        .indexer(&["check-config", "--show"])
        .env("NODE_KEY", "s3cr3t")
        .env("MONGODB_URL", "mongodb://u:s3cr3t@h")
        .output()
        .unwrap();
    let text = String::from_utf8(show.stdout).unwrap();
    assert!(
        text.contains("url = \"mongodb://h\"") && text.contains("max_connections = 8") && !text.contains("s3cr3t"),
        "{text}"
    );

    let archive =
        Place::with("[archive]\nurl = \"mongodb://u:s3cr3t@h:1/login?replicaSet=rs0\"\ndatabase = \"events\"");
    let output = archive.indexer(&["check-config"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("archive:  mongodb://h:1, database events\n") && !text.contains("login"),
        "{text}"
    );

    let abi = Place::with(&format!(
        "{chain}contracts = [{{ name = \"C\", address = \"0x{}\", standard = \"erc721\", abi = \"c.json\" }}]",
        "7".repeat(40)
    ));
    abi.fails(&["check-config"], 3, &["c.json", "No such file"]);
    std::fs::write(abi.folder.path().join("c.json"), "{}").unwrap();
    abi.fails(&["check-config"], 3, &["c.json", "array under \"abi\""]);
}

#[test]
fn a_missing_database_ends_with_4_for_every_command_that_needs_one() {
    let place = Place::with(DEAD);
    let commands: &[&[&str]] = &[
        &["run"],
        &["backfill", "--chain", "eip155:1", "--from", "1", "--to", "2"],
        &["replay", "--chain", "eip155:1", "--from", "1", "--to", "2"],
        &["status"],
        &["tail", "--from", "outbox"],
        &["migrate"],
        &["registry", "chains", "list"],
        &["api", "--listen", "127.0.0.1:0"],
    ];
    for command in commands {
        place.fails(
            command,
            4,
            &[
                "failed to connect to PostgreSQL at postgres://127.0.0.1:1/d",
                "DATABASE_URL",
            ],
        );
    }
}

#[test]
fn an_address_that_is_taken_ends_with_11() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Place::with(DEAD).fails(&["api", "--listen", &address], 11, &[&address, "api.listen"]);
}

#[test]
fn help_is_long_and_has_an_example_for_every_command() {
    let place = Place::with("");
    let commands: &[&[&str]] = &[
        &[],
        &["run"],
        &["backfill"],
        &["status"],
        &["replay"],
        &["migrate"],
        &["check-config"],
        &["registry"],
        &["registry", "chains", "list"],
        &["registry", "chains", "add"],
        &["registry", "chains", "set"],
        &["registry", "chains", "remove"],
        &["registry", "endpoints", "list"],
        &["registry", "endpoints", "add"],
        &["registry", "endpoints", "set"],
        &["registry", "endpoints", "remove"],
        &["registry", "contracts", "list"],
        &["registry", "contracts", "add"],
        &["registry", "contracts", "set"],
        &["registry", "contracts", "remove"],
        &["registry", "abis", "list"],
        &["registry", "abis", "add"],
        &["registry", "abis", "show"],
        &["registry", "abis", "remove"],
        &["demo"],
        &["tail"],
        &["api"],
    ];
    for command in commands {
        let output = place.indexer(command).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(
            text.contains("Example") && text.contains("\n  indexer ") || text.contains("DATABASE_URL="),
            "{command:?}: {text}"
        );
    }
    let version = place.indexer(&["--version"]).output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("indexer 0."));
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    let place = Place::with("");
    let contract = ["registry", "contracts", "set", "--chain", "eip155:1", "--address"];
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["tail", "--kind", "foo"],
            &["'foo'", "mint", "sale", "cancel", "retraction"],
        ),
        (&["bind-queue", "q", "--kind", "foo"], &["'foo'", "mint"]),
        (&["registry", "chains", "set", "eip155:1"], &["nothing to change"]),
        (&["registry", "endpoints", "set", "3"], &["nothing to change"]),
        (
            &[&contract[..], &["0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"]].concat(),
            &["nothing to change"],
        ),
        (
            &[&contract[..], &["0xb47e3"]].concat(),
            &["\"0xb47e3\"", "--address", "0x and 40 hexadecimal digits"],
        ),
        (
            &["decode", "--tx", "0x12", "--chain", "eip155:1"],
            &["0x and 64 hexadecimal digits"],
        ),
        (
            &["run", "--until", "latest"],
            &["\"latest\"", "--until", "whole number"],
        ),
        (
            &["registry", "chains", "set", "eip155:1", "--explorer-url", "here"],
            &["https://etherscan.io"],
        ),
    ];
    for (arguments, parts) in cases {
        place.fails(arguments, 2, parts);
    }
}

#[test]
fn the_runbook_explains_every_exit_code() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/RUNBOOK.md")).unwrap();
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130] {
        assert!(page.contains(&format!("\n| {code} | ")), "exit code {code}");
    }
}

/// A registry with one chain and one endpoint from the configuration, edited from the command line.
struct Registry {
    database: Database,
    place: Place,
}

impl Registry {
    async fn new() -> Registry {
        let seed = "[[chains]]\ncaip2 = \"eip155:1\"\nname = \"E\"\nnative_symbol = \"E\"\nendpoints = [{ url = \"http://h:1/s3cr3t\" }]\n";
        Registry {
            database: Database::empty(1).await,
            place: Place::with(seed),
        }
    }

    /// `indexer registry` with the words of `line`.
    fn command(&self, line: &str) -> Command {
        let arguments: Vec<&str> = ["registry"].into_iter().chain(line.split(' ')).collect();
        let mut command = self.place.indexer(&arguments);
        command.env("DATABASE_URL", &self.database.url);
        command
    }

    /// Runs it, which succeeds, and gives what it wrote to standard output.
    fn out(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it, which is refused with one line that has every one of `parts`.
    fn refuses(&self, line: &str, parts: &[&str]) {
        stated(&mut self.command(line), 10, parts);
    }
}

#[tokio::test]
async fn chains_are_edited_from_the_command_line() {
    let registry = Registry::new().await;
    let list = registry.out("chains list");
    assert!(list.lines().nth(1).unwrap().contains("eip155:1"), "{list}");
    registry.out("chains add eip155:10 --name Optimism --finality-depth 12 --scope contracts");
    registry.refuses(
        "chains add eip155:10 --name Again",
        &["in the registry already", "chains set"],
    );
    registry.out("chains set eip155:10 --finality-depth none --enabled false");
    let chains: serde_json::Value = serde_json::from_str(&registry.out("chains list --json")).unwrap();
    assert_eq!(chains[1]["settings"]["finality_depth"], serde_json::Value::Null);
    assert_eq!(
        (&chains[1]["enabled"], &chains[1]["scope"]),
        (&false.into(), &"contracts".into())
    );
    registry.refuses(
        "chains remove eip155:1",
        &["the configuration names eip155:1", "--enabled false"],
    );
    registry.out("chains remove eip155:10");
    assert!(!registry.out("chains list").contains("eip155:10"));
}

#[tokio::test]
async fn endpoints_are_edited_from_the_command_line() {
    let registry = Registry::new().await;
    assert!(registry.out("endpoints list").contains("http://h:1/…"));
    registry.out("chains add eip155:10 --name Optimism");
    let added = registry.out("endpoints add --chain eip155:10 --url https://u:s3cr3t@h/k --rate-limit 5");
    assert!(added.contains("endpoint 2"), "{added}");
    registry.out("endpoints set 2 --rate-limit none --priority 3");
    registry.refuses(
        "endpoints set 77 --active false",
        &["endpoint 77 is not in the registry"],
    );
    registry.refuses(
        "endpoints add --chain eip155:3 --url http://h",
        &["eip155:3 is not in the registry"],
    );
    registry.refuses("endpoints list --chain eip155:3", &["eip155:3 is not in the registry"]);
    registry.refuses(
        "endpoints remove 1",
        &["the configuration names endpoint 1", "--active false"],
    );
    registry.out("endpoints remove 2");
}

#[tokio::test]
async fn contracts_and_abis_are_edited_from_the_command_line() {
    let registry = Registry::new().await;
    registry.out("chains add eip155:10 --name Optimism");
    let abi = concat!(env!("CARGO_MANIFEST_DIR"), "/../abis/erc721.json");
    let key = format!("--chain eip155:10 --address 0x{}", "7".repeat(40));
    registry.out(&format!(
        "contracts add {key} --name Sevens --standard erc721 --abi {abi}"
    ));
    let abis = registry.out("abis list");
    let sha256 = abis.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(registry.out(&format!("abis show {sha256}")).contains("ownerOf"));
    registry.refuses(&format!("abis remove {sha256}"), &["is used by a contract"]);
    registry.refuses("abis add none.json", &["none.json"]);
    registry.refuses(
        &format!("contracts set {key} --abi-sha256 00"),
        &["ABI 00 is not in the registry"],
    );
    registry.out(&format!("contracts set {key} --abi-sha256 none"));
    registry.out(&format!("abis remove {sha256}"));
    registry.out(&format!("contracts remove {key}"));
}

#[tokio::test]
async fn a_closed_standard_output_ends_quietly_and_is_no_crash() {
    let test = Database::empty(1).await;
    let place = Place::with("");
    let shell = format!(
        "{} migrate | true; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_indexer")
    );
    let mut command = Command::new("bash");
    command
        .current_dir(place.folder.path())
        .env("DATABASE_URL", &test.url)
        .args(["-c", &shell]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(130 | 0)), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}
