//! Rules of the house that no lint holds: who may depend on whom, sizes, old migrations, fixtures, words.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, hex};
use sha2::{Digest, Sha256};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

const CRATES: [&str; 5] = ["api", "decoders", "indexer", "sinks", "testchain"];

/// Every file under `folder` with the extension `extension`, by path.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file of the product, with its text up to its tests.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let all = CRATES
        .iter()
        .flat_map(|krate| files(&root.join(krate).join("src"), "rs"));
    let product = all.filter(|path| path.file_name().is_none_or(|name| name != "tests.rs"));
    let source = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
        (path.strip_prefix(&root).unwrap().display().to_string(), text)
    };
    let sources: Vec<_> = product.map(source).collect();
    assert!(
        sources.len() > 30,
        "the rules look at the product's files, not at an empty folder"
    );
    sources
}

/// Siblings a crate may depend on; nothing else may be added without a change of docs/ARCHITECTURE.md.
const EDGES: [(&str, &[&str]); 5] = [
    ("decoders", &[]),
    ("sinks", &["decoders"]),
    ("api", &["decoders"]),
    ("testchain", &[]),
    ("indexer", &["api", "decoders", "sinks", "testchain"]),
];

/// Siblings that only a crate's tests may use.
const TEST_EDGES: [(&str, &[&str]); 0] = [];

#[test]
fn crates_depend_on_each_other_as_drawn_and_on_nothing_else() {
    let manifest = root().join("Cargo.toml");
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .unwrap();
    assert_eq!(
        metadata
            .packages
            .iter()
            .map(|p| p.name.as_str())
            .collect::<BTreeSet<_>>(),
        BTreeSet::from(CRATES)
    );
    let edges: BTreeMap<_, _> = EDGES.into();
    let test_edges: BTreeMap<&str, &[&str]> = TEST_EDGES.into();
    for package in &metadata.packages {
        let siblings = |kinds: &[cargo_metadata::DependencyKind]| -> BTreeSet<&str> {
            let wanted = package
                .dependencies
                .iter()
                .filter(|d| kinds.contains(&d.kind) && CRATES.contains(&d.name.as_str()));
            wanted.map(|d| d.name.as_str()).collect()
        };
        use cargo_metadata::DependencyKind::{Build, Development, Normal};
        let name = package.name.as_str();
        assert_eq!(
            siblings(&[Normal, Build]),
            edges[name].iter().copied().collect(),
            "dependencies of {name}"
        );
        let tests = siblings(&[Development]);
        let allowed: BTreeSet<&str> = test_edges
            .get(name)
            .into_iter()
            .flat_map(|names| names.iter().copied())
            .collect();
        assert_eq!(tests, allowed, "dev-dependencies of {name}");
    }
}

#[test]
fn each_world_is_known_to_one_place_only() {
    // (word, where it may stand); what must not be there is the design.
    let rules: [(&str, &[&str]); 9] = [
        ("lapin", &["sinks/src/publisher"]),
        ("mongodb::", &["indexer/src/archive"]),
        ("pglite_oxide", &["indexer/src/database"]),
        ("sqlx", &["sinks/", "api/", "indexer/"]),
        ("tokio", &["sinks/", "api/", "indexer/", "testchain/"]),
        ("SystemTime", &["indexer/", "testchain/", "sinks/"]),
        ("std::net", &["indexer/", "testchain/"]),
        ("AssertSqlSafe", &[]),
        ("prometheus::", &["indexer/src/health"]),
    ];
    for (path, text) in sources() {
        let code = blanked(&text);
        for (word, places) in rules {
            let at_home = places.iter().any(|place| path.starts_with(place));
            assert!(
                at_home || !code.contains(word),
                "{path} knows of {word}, which belongs to {places:?}"
            );
        }
    }
}

#[test]
fn files_and_functions_stay_small() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 800, "{path} has {lines} lines: split it by meaning");
        for (name, length) in functions(&text) {
            assert!(
                length <= 70,
                "{path}: fn {name} has {length} lines: give its steps names"
            );
        }
    }
}

#[test]
fn no_module_is_named_for_what_it_is_not() {
    let forbidden = [
        "utils", "util", "common", "helpers", "helper", "types", "misc", "prelude",
    ];
    for krate in CRATES {
        for folder in ["src", "tests", "benches", "examples"] {
            for path in files(&root().join(krate).join(folder), "rs") {
                for part in path.strip_prefix(root()).unwrap().components() {
                    let part = part.as_os_str().to_string_lossy().replace(".rs", "");
                    assert!(
                        !forbidden.contains(&part.as_str()),
                        "{}: name it after what it holds",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn every_decoder_has_its_fixtures() {
    for decoder in decoders::registry::DECODERS {
        let folder = root().join("decoders/fixtures").join(decoder.name);
        let count = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        assert!(
            count > 0,
            "decoder {} has no fixture in {}",
            decoder.name,
            folder.display()
        );
    }
}

#[test]
fn shipped_migrations_never_change() {
    let folder = root().join("migrations");
    let list = std::fs::read_to_string(folder.join("checksums.txt")).unwrap();
    let listed: BTreeMap<&str, &str> = list
        .lines()
        .filter_map(|line| line.split_once("  ").map(|(hash, name)| (name, hash)))
        .collect();
    let present = files(&folder, "sql");
    let present: BTreeSet<String> = present
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let names: BTreeSet<String> = listed.keys().map(|name| (*name).to_owned()).collect();
    let advice =
        "append new ones: (cd migrations && sha256sum *.sql > checksums.txt); a line that is there never changes";
    assert_eq!(present, names, "{advice}");
    for (name, hash) in listed {
        let text = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(hex::encode(Sha256::digest(text)), hash, "{name} was changed: {advice}");
    }
    for (index, name) in present.iter().enumerate() {
        let number = name.split('_').next().unwrap();
        assert_eq!(
            number,
            format!("{:04}", index + 1),
            "migrations are numbered without gaps"
        );
    }
}

#[test]
fn config_toml_parses() {
    let text = std::fs::read_to_string(root().join("config.toml")).unwrap();
    indexer::config::Config::parse(&text, "config.toml").unwrap();
}

#[test]
fn every_event_the_decoders_claim_stands_in_an_abi_with_a_source() {
    let sources = std::fs::read_to_string(root().join("abis/SOURCES.md")).unwrap();
    let mut known = BTreeSet::new();
    for path in files(&root().join("abis"), "json") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            sources.contains(&format!("`{name}`")),
            "abis/SOURCES.md does not say where {name} comes from"
        );
        indexer::registry::Abi::read(&path).unwrap();
        let abi: alloy::json_abi::JsonAbi = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        known.extend(abi.events().map(alloy::json_abi::Event::selector));
    }
    let claimed: BTreeSet<B256> = decoders::registry::topics().into_iter().collect();
    let missing: Vec<_> = claimed.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "claimed by a decoder, described by no ABI: {missing:?}"
    );
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
