//! What docs/ARCHITECTURE.md and the house rules forbid, looked for in the source itself.
#![cfg(test)]

mod imports;
mod positions;
mod protocols;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use alloy::json_abi::{Event, JsonAbi};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Which of our crates each of our crates may name. Tests of any may name those of [`FOR_TESTS`] as well.
const EDGES: [(&str, &[&str]); 8] = [
    ("decoders", &[]),
    ("testchain", &[]),
    ("rpc", &["decoders"]),
    ("sinks", &["decoders"]),
    ("queries", &["decoders"]),
    ("api", &["decoders", "queries"]),
    ("indexer", &["api", "decoders", "queries", "rpc", "sinks", "testchain"]),
    (TESTS_ALONE, &["decoders", "sinks", "testchain"]),
];

/// What tests may be built from beside what their crate is. The product is never built from [`TESTS_ALONE`].
const FOR_TESTS: [&str; 2] = ["testchain", TESTS_ALONE];

/// The crate that holds nothing but what tests share: it speaks to every outside, as they do.
const TESTS_ALONE: &str = "testkit";

/// Tests of these fill tables with what `sinks` writes, and read it.
const READERS: [&str; 2] = ["api", "queries"];

/// Everything the pure crate is built from.
const PURE: [&str; 7] = [
    "alloy-primitives",
    "rustc-hash",
    "serde",
    "serde_json",
    "smallvec",
    "thiserror",
    "uuid",
];

/// Crates that speak to one kind of outside, and ours that may be built with them.
const SPEAKERS: [(&str, &[&str]); 7] = [
    ("alloy", &["rpc"]),
    ("axum", &["api", "indexer", "testchain"]),
    ("lapin", &["sinks"]),
    ("mongodb", &["indexer"]),
    ("pglite-oxide", &["indexer"]),
    ("reqwest", &["rpc", "testchain"]),
    ("sqlx", &["indexer", "queries", "sinks"]),
];

/// Where SQL stands.
const HOLD_SQL: [&str; 6] = [
    "queries/src",
    "sinks/src",
    "indexer/src/archive",
    "indexer/src/database.rs",
    "indexer/src/registry",
    BENCH,
];
const WHOSE_SQL: &str =
    "SQL that reads for others stands in queries, and what writes stands with the owner of the tables";

/// Makes databases of its own, and measures what the stores can do without the rest.
const BENCH: &str = "indexer/src/cli/bench";

/// Words that may stand in the named places only, and why. Tests are not looked at.
const WORDS: [(&str, &[&str], &str); 14] = [
    ("lapin::", &["sinks/src/publisher"], "only the publisher knows RabbitMQ"),
    (
        "mongodb::",
        &["indexer/src/archive", BENCH],
        "only the archive knows MongoDB",
    ),
    (
        "pglite_oxide::",
        &["indexer/src/database.rs"],
        "only the database module knows the embedded server",
    ),
    ("AssertSqlSafe", &[BENCH], "SQL is static"),
    ("sqlx::query(", &HOLD_SQL, WHOSE_SQL),
    ("sqlx::query_", &HOLD_SQL, WHOSE_SQL),
    ("sqlx::raw_sql", &HOLD_SQL, WHOSE_SQL),
    (
        "insert into",
        &["sinks/src", "indexer/src"],
        "queries and api write nothing",
    ),
    (
        "delete from",
        &["sinks/src", "indexer/src"],
        "queries and api write nothing",
    ),
    (
        "std::net",
        &["indexer/src", "rpc/src", "testchain/src", "api/src"],
        "decoders and sinks open no socket of their own",
    ),
    (
        "std::time",
        &["indexer/src", "rpc/src", "testchain/src", "queries/src", "sinks/src"],
        "decoders read no clock",
    ),
    (
        "std::fs",
        &["indexer/src", "testchain/src"],
        "files are read where commands are carried out",
    ),
    (
        "std::env",
        &["indexer/src", "testchain/src"],
        "the environment is read once, at the start",
    ),
    (
        "std::thread",
        &["indexer/src", "testchain/src"],
        "decoders and sinks start nothing",
    ),
];

/// A file's longest permitted length in lines, its tests left out.
const LONGEST_FILE: usize = 800;

/// A function's longest permitted length in lines, from its `fn` to its last brace.
const LONGEST_FUNCTION: usize = 70;

/// Where the tests of a source file begin.
const TESTS: &str = "#[cfg(test)]\nmod ";

/// The same in tests, examples and benches, where a story may run from top to bottom.
const LONGEST_TEST: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn packages() -> Vec<Package> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
        .packages
}

/// Every Rust file below `folder`, by its path from the root.
fn rust_files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// The source of every crate, each file up to its tests.
fn sources() -> BTreeMap<String, String> {
    let all: BTreeMap<String, String> = EDGES
        .iter()
        .flat_map(|(name, _)| rust_files(&root().join(name).join("src")))
        .collect();
    assert!(all.len() > EDGES.len(), "the source is not where it is looked for");
    all.into_iter()
        .map(|(name, text)| (name, text.split(TESTS).next().unwrap_or_default().to_owned()))
        .collect()
}

/// The tests, examples and benches of every crate, and the tests in its source.
fn tests() -> BTreeMap<String, String> {
    let folders = |name: &str| ["tests", "examples", "benches"].map(|folder| root().join(name).join(folder));
    let mut all: BTreeMap<String, String> = EDGES
        .iter()
        .flat_map(|(name, _)| folders(name))
        .flat_map(|folder| rust_files(&folder))
        .collect();
    for (name, _) in EDGES {
        let sources = rust_files(&root().join(name).join("src")).into_iter();
        all.extend(sources.filter_map(|(file, text)| Some((file, text.split_once(TESTS)?.1.to_owned()))));
    }
    assert!(all.len() > 100, "the tests are not where they are looked for");
    all
}

/// Whether `file` is `place` or lies below it.
fn is_below(file: &str, place: &str) -> bool {
    Path::new(file).starts_with(place)
}

#[test]
fn crates_name_each_other_as_drawn() {
    let edges: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let packages = packages();
    assert_eq!(
        packages
            .iter()
            .map(|package| package.name.as_str())
            .collect::<BTreeSet<_>>(),
        edges.keys().copied().collect()
    );
    for package in packages {
        let ours = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some());
        let (tests, product): (Vec<_>, Vec<_>) =
            ours.partition(|dependency| dependency.kind == DependencyKind::Development);
        let name = package.name.as_str();
        let drawn: BTreeSet<&str> = edges[name].iter().copied().collect();
        let named: BTreeSet<&str> = product.iter().map(|dependency| dependency.name.as_str()).collect();
        assert_eq!(named, drawn, "what {name} depends on is not what is drawn");
        for dependency in tests {
            let allowed = drawn.contains(dependency.name.as_str())
                || FOR_TESTS.contains(&dependency.name.as_str())
                || dependency.name == "sinks" && READERS.contains(&name);
            assert!(allowed, "tests of {name} must not depend on {}", dependency.name);
        }
    }
}

#[test]
fn outsides_are_spoken_to_where_drawn() {
    for package in packages() {
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal);
        for dependency in normal {
            if package.name.as_str() == "decoders" {
                assert!(
                    PURE.contains(&dependency.name.as_str()),
                    "decoders is pure; {} is not known to be",
                    dependency.name
                );
            }
            let speaker = SPEAKERS.iter().find(|(name, _)| *name == dependency.name);
            let speaks =
                |crates: &[&str]| crates.contains(&package.name.as_str()) || package.name.as_str() == TESTS_ALONE;
            let allowed = speaker.is_none_or(|(_, crates)| speaks(crates));
            assert!(allowed, "{} must not depend on {}", package.name, dependency.name);
        }
    }
}

#[test]
fn words_stand_where_they_may() {
    let mut astray = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| !is_below(file, TESTS_ALONE)) {
        for (word, places, why) in WORDS {
            if text.contains(word) && !places.iter().any(|place| is_below(&file, place)) {
                astray.push(format!("{file} has {word}, but {why}"));
            }
        }
    }
    assert!(astray.is_empty(), "{astray:#?}");
}

#[test]
fn modules_are_domain_nouns() {
    let vague = [
        "utils", "util", "common", "helpers", "helper", "types", "misc", "prelude",
    ];
    for file in sources().into_keys() {
        let parts = Path::new(&file)
            .components()
            .map(|part| part.as_os_str().to_str().unwrap().trim_end_matches(".rs"));
        for part in parts {
            assert!(!vague.contains(&part), "{file}: name it after what it is about");
        }
    }
}

#[test]
fn files_stay_readable() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "split these: {long:#?}");
}

#[test]
fn every_decoder_has_its_fixtures() {
    for decoder in decoders::protocols::DECODERS {
        let folder = root().join("decoders/fixtures").join(decoder.name);
        let count = fs::read_dir(&folder).map_or(0, Iterator::count);
        assert!(count > 0, "{} has no fixture in {}", decoder.name, folder.display());
    }
}

#[test]
fn every_event_a_decoder_claims_stands_in_an_abi_with_a_source() {
    let sources = fs::read_to_string(root().join("abis/SOURCES.md")).unwrap();
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(root().join("abis")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            sources.contains(&format!("`{name}`")),
            "abis/SOURCES.md does not state where {name} comes from"
        );
        indexer::registry::Abi::read(&path).unwrap();
        let abi: JsonAbi = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        known.extend(abi.events().map(Event::selector));
    }
    let claims = decoders::protocols::DECODERS.iter().flat_map(|decoder| decoder.claims);
    let astray: Vec<_> = claims
        .map(|claim| claim.topic0)
        .filter(|topic0| !known.contains(topic0))
        .collect();
    assert!(astray.is_empty(), "claimed by a decoder, in no ABI: {astray:?}");
}

#[test]
fn functions_stay_readable() {
    let mut long = Vec::new();
    for (files, longest) in [(sources(), LONGEST_FUNCTION), (tests(), LONGEST_TEST)] {
        for (file, text) in files {
            let functions = functions(&text).into_iter().filter(|(_, lines)| *lines > longest);
            long.extend(functions.map(|(name, lines)| format!("{file}: fn {name}: {lines} lines")));
        }
    }
    assert!(long.is_empty(), "give their steps names: {long:#?}");
}

/// A file that two crates compile has two owners; what tests of several crates share is in [`TESTS_ALONE`].
#[test]
fn no_crate_compiles_files_of_another() {
    let mut astray = Vec::new();
    for (file, text) in sources().into_iter().chain(tests()) {
        let home = Path::new(&file).components().next().unwrap();
        // Beside attributes that name a file, macros that paste one.
        for start in ["#[path = \"", "include!(\""] {
            for named in text.split(start).skip(1) {
                let named = named.split('"').next().unwrap();
                let place = root().join(&file).parent().unwrap().join(named).canonicalize();
                let place = place.unwrap_or_else(|error| panic!("{file} names {named}: {error}"));
                if !place.starts_with(root().join(home)) {
                    astray.push(format!("{file}: {named}"));
                }
            }
        }
    }
    assert!(astray.is_empty(), "move to {TESTS_ALONE}: {astray:#?}");
}

#[test]
fn the_map_names_what_exists() {
    let crates: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut named = 0;
    for page in ["docs/ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let map = fs::read_to_string(root().join(page)).unwrap();
        for name in map.split('`').skip(1).step_by(2) {
            let ours = name
                .split_once('/')
                .is_some_and(|(first, _)| crates.contains(&first) || first == "docs");
            if ours && !name.contains(['<', '*', ' ']) {
                assert!(root().join(name).exists(), "{page} names {name}, which is not there");
                named += 1;
            }
        }
    }
    assert!(named > 40, "only {named} paths were recognised");
}

/// Name and number of lines of every function with a body.
fn functions(text: &str) -> Vec<(String, usize)> {
    let code: Vec<char> = blanked(text).chars().collect();
    let (mut line, mut braces, mut brackets) = (1usize, 0usize, 0usize);
    let (mut pending, mut open, mut found) = (None, Vec::new(), Vec::new());
    for (at, c) in code.iter().enumerate() {
        match c {
            '\n' => line += 1,
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            // A declaration without a body, in a trait.
            ';' if brackets == 0 => pending = None,
            '{' => {
                braces += 1;
                open.extend(pending.take().map(|(name, first)| (name, first, braces)));
            }
            '}' => {
                if let Some((name, first, _)) = open.pop_if(|(_, _, at)| *at == braces) {
                    found.push((name, line - first + 1));
                }
                braces -= 1;
            }
            'f' => pending = declared(&code, at).map(|name| (name, line)).or(pending),
            _ => {}
        }
    }
    found
}

/// The function whose `fn` stands at `at`.
fn declared(code: &[char], at: usize) -> Option<String> {
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    let boundary = at.checked_sub(1).is_none_or(|before| !word(&code[before]));
    let rest = code[at..].strip_prefix(&['f', 'n', ' '])?;
    let name: String = rest.iter().take_while(|c| word(c)).collect();
    (boundary && !name.is_empty()).then_some(name)
}

/// `text` with comments, strings and characters replaced by spaces, line for line.
fn blanked(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(&bytes, at);
        if end == at {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        out.extend(bytes[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment, string or character that begins at `at` ends; `at` when none begins there.
fn literal_end(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let find = |needle: &str, from: usize| {
        let needle: Vec<char> = needle.chars().collect();
        let place = (from..rest.len()).find(|i| rest[*i..].starts_with(&needle));
        place.map_or(text.len(), |place| at + place + needle.len())
    };
    let starts = |start: &str| rest.iter().zip(start.chars()).filter(|(a, b)| **a == *b).count() == start.len();
    if starts("//") {
        return find("\n", 0) - 1;
    }
    if starts("/*") {
        return find("*/", 2);
    }
    let word_before = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    if rest[0] == 'r' && !word_before {
        let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
        if rest.get(1 + hashes) == Some(&'"') {
            return find(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    match rest {
        ['"', ..] => at + quoted(rest),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => at + quoted(rest),
        _ => at,
    }
}

/// Length of the quoted literal at the start of `rest`, its quotes included.
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != rest[0] {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

#[test]
fn the_measure_of_functions_measures() {
    let text = "fn one() { let a = \"}\"; }\ntrait T { fn none(&self); fn some(&self) {\n// }\n} }\nasync fn two(a: [u8; 3]) {\n let x = '{';\n let r = r#\"fn no() {\"#;\n}\n";
    assert_eq!(
        functions(text),
        [("one".to_owned(), 1), ("some".to_owned(), 3), ("two".to_owned(), 4)]
    );
}
