//! The README and the pages under docs/ as a newcomer uses them: their commands exist, and what can be run here is run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use indexer::cli;
use tempfile::TempDir;
use testchain::faults::Faults;
use testchain::recording;

use testkit::database::Database;

/// Where the README's real run finds its node.
const NODE: &str = "http://127.0.0.1:9546";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

/// The lines of the indented blocks of a page, blocks apart by an empty line, with continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_fenced = false;
    let mut joined = String::new();
    for line in text.lines() {
        is_fenced ^= line.starts_with("```");
        let Some(command) = line.strip_prefix("    ").filter(|_| !is_fenced) else {
            continue;
        };
        match command.trim_end().strip_suffix('\\') {
            Some(begun) => joined.push_str(begun),
            None => lines.push(std::mem::take(&mut joined) + command.trim_start()),
        }
    }
    lines
}

/// The indented block under the line that holds `before`.
fn block(text: &str, before: &str) -> Vec<String> {
    let (_, after) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("the page has no line with {before:?}"));
    let lines = after.lines().skip_while(|line| !line.starts_with("    "));
    let block: Vec<&str> = lines
        .take_while(|line| line.starts_with("    ") || line.is_empty())
        .collect();
    commands(&block.join("\n"))
}

/// The arguments of `indexer` in a line, if it is called there; with placeholders filled in.
fn arguments(line: &str) -> Option<Vec<String>> {
    let line = line.replace("cargo run --release --locked -- ", "indexer ");
    let call = &line[line.find("indexer ")?..];
    let is_called = line.starts_with("indexer ") || line.contains("; indexer ") || line.contains("&& indexer ");
    let call = call.replace("0x…", &format!("0x{}", "ab".repeat(20)));
    let call = ["0x3a95…30c1", "0x3e6c…a1"]
        .iter()
        .fold(call, |call, hash| call.replace(hash, &format!("0x{}", "ab".repeat(32))));
    is_called.then(|| words(&call))
}

/// `line` as a shell would split it, as far as the pages need it: quotes, and what follows the call left out.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '#' | '|' | ';' | '>' | '&') => break,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    assert!(quote.is_none(), "{line} has an open quote");
    words.retain(|word| !word.is_empty());
    words
}

/// Asserts that the program would take every call of it among `lines`; gives how many there are.
fn assert_taken(place: &str, lines: &[String]) -> usize {
    let calls: Vec<Vec<String>> = lines.iter().filter_map(|line| arguments(line)).collect();
    for call in &calls {
        let known_placeholder = |word: &String| ["ID", "FILE", "COMMAND", "…", "BLOCK"].contains(&word.as_str());
        if call.iter().any(known_placeholder) {
            continue;
        }
        // Help is an answer too, not an error.
        if let Err(failure) = cli::parse(call.iter().map(Into::into)) {
            panic!("{place} names `{}`: {}", call.join(" "), failure.message);
        }
    }
    calls.len()
}

#[test]
fn every_command_the_pages_name_is_one() {
    let mut pages = vec!["README.md".to_owned()];
    let docs = std::fs::read_dir(repository().join("docs")).unwrap();
    let names = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    pages.extend(names.filter(|name| name.ends_with(".md")));
    let called: usize = pages
        .iter()
        .map(|name| assert_taken(name, &commands(&page(name))))
        .sum();
    assert!(called > 30, "only {called} calls were found");
}

#[test]
fn every_example_of_the_help_is_one() {
    fn walk(command: &clap::Command, path: &str, called: &mut usize) {
        let text = command
            .get_after_long_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        // Examples are indented by two.
        let text: String = text.lines().map(|line| format!("  {line}\n")).collect();
        *called += assert_taken(path, &commands(&text));
        for subcommand in command.get_subcommands() {
            walk(subcommand, &format!("{path} {}", subcommand.get_name()), called);
        }
    }
    let mut called = 0;
    walk(&cli::command(), "the help of indexer", &mut called);
    assert!(called > 30, "only {called} examples were found");
}

#[test]
fn only_the_first_page_of_help_explains_what_every_command_takes() {
    let page = |command: &mut clap::Command| command.render_long_help().to_string();
    let mut root = cli::command();
    root.build();
    assert!(page(&mut root).contains("Configuration file"));
    for subcommand in root
        .get_subcommands_mut()
        .filter(|command| command.get_name() != "help")
    {
        let page = page(subcommand);
        assert!(
            !page.contains("Configuration file") && page.contains("--config, --log-format"),
            "{page}"
        );
    }
    // They are taken there all the same.
    let parsed = cli::parse(["indexer", "status", "--config", "x.toml"].map(Into::into));
    assert_eq!(parsed.unwrap().unwrap().config.as_deref(), Some(Path::new("x.toml")));
}

/// Runs `lines` one after the other in a shell that stops at the first failure; gives what they wrote to standard output.
fn shell(folder: &TempDir, lines: &[String], environment: &[(&str, &str)]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_indexer"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("sh")
        .args(["-e", "-u", "-c", &lines.join("\n")])
        .current_dir(folder.path())
        .env("PATH", path)
        .env_remove("DATABASE_URL")
        .env_remove("MONGODB_URL")
        .env_remove("AMQP_URL")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{log}", lines.join("\n"));
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_edited_as_the_readme_says() {
    let test = Database::empty(1).await;
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.toml", "abis/cryptopunks.json"] {
        let place = folder.path().join(file);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(repository().join(file), place).unwrap();
    }
    let lines = block(&page("README.md"), "### 3. Chains and endpoints");
    assert!(lines.len() >= 6, "{lines:?}");
    let output = shell(&folder, &lines, &[("DATABASE_URL", &test.url)]);
    assert!(
        output.contains("added eip155:8453") && output.contains("changed eip155:1"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_of_a_real_run_is_what_the_readme_says() {
    let ledger = recording::read(&repository().join("recordings/market.zst"))
        .unwrap()
        .into_ledger();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = testchain::server::serve(ledger, Faults::new(0), loopback)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let readme = page("README.md");
    let mut lines = block(&readme, "In another, with tables of its own");
    assert!(readme.contains("testchain serve recordings/market.zst --listen 127.0.0.1:9546"));
    assert!(lines.iter().any(|line| line.contains(NODE)), "{lines:?}");
    for line in &mut lines {
        *line = line.replace(NODE, &server.http_url());
        if line.contains(" run ") {
            // As written it follows the chain for good.
            line.push_str(" --until 300");
        }
    }
    // Its API may find the usual port taken by another test.
    let listen = "printf '[api]\\nlisten = \"127.0.0.1:0\"\\n' > data/run/config.toml".to_owned();
    lines.insert(1, listen);
    lines.push("indexer --config data/run/config.toml status".to_owned());
    let output = shell(&folder, &lines, &[]);
    assert!(
        output.contains("eip155:31337 Market") && output.contains("archive: 301 blocks"),
        "{output}"
    );
}
