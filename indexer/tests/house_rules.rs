//! What docs/ARCHITECTURE.md and the house rules forbid, looked for in the source itself.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Which of our crates each of our crates may name, in any kind of dependency.
const EDGES: [(&str, &[&str]); 5] = [
    ("decoders", &[]),
    ("testchain", &[]),
    ("sinks", &["decoders"]),
    ("api", &["decoders"]),
    ("indexer", &["api", "decoders", "sinks", "testchain"]),
];

/// Everything the pure crate is built from.
const PURE: [&str; 6] = [
    "alloy-primitives",
    "rustc-hash",
    "serde",
    "smallvec",
    "thiserror",
    "uuid",
];

/// Crates that speak to one kind of outside, and ours that may be built with them.
const SPEAKERS: [(&str, &[&str]); 7] = [
    ("alloy", &["indexer"]),
    ("axum", &["api", "indexer", "testchain"]),
    ("lapin", &["sinks"]),
    ("mongodb", &["indexer"]),
    ("pglite-oxide", &["indexer"]),
    ("reqwest", &["indexer", "testchain"]),
    ("sqlx", &["api", "indexer", "sinks"]),
];

/// Words that may stand in the named places only, and why. Tests are not looked at.
const WORDS: [(&str, &[&str], &str); 9] = [
    ("lapin::", &["sinks/src/publisher"], "only the publisher knows RabbitMQ"),
    ("mongodb::", &["indexer/src/archive"], "only the archive knows MongoDB"),
    (
        "pglite_oxide::",
        &["indexer/src/database.rs"],
        "only the database module knows the embedded server",
    ),
    ("AssertSqlSafe", &[], "SQL is static"),
    (
        "std::net",
        &["indexer/src", "testchain/src", "api/src"],
        "decoders and sinks open no socket of their own",
    ),
    (
        "std::time",
        &["indexer/src", "testchain/src", "api/src", "sinks/src"],
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
        .map(|(name, text)| {
            (
                name,
                text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned(),
            )
        })
        .collect()
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
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
        {
            let allowed = edges[package.name.as_str()].contains(&dependency.name.as_str());
            assert!(allowed, "{} must not depend on {}", package.name, dependency.name);
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
            let allowed = speaker.is_none_or(|(_, crates)| crates.contains(&package.name.as_str()));
            assert!(allowed, "{} must not depend on {}", package.name, dependency.name);
        }
    }
}

#[test]
fn words_stand_where_they_may() {
    let mut astray = Vec::new();
    for (file, text) in sources() {
        for (word, places, why) in WORDS {
            if text.contains(word) && !places.iter().any(|place| is_below(&file, place)) {
                astray.push(format!("{file} says {word}, but {why}"));
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
fn the_map_names_what_exists() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let crates: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut named = 0;
    for name in map.split('`').skip(1).step_by(2) {
        let ours = name
            .split_once('/')
            .is_some_and(|(first, _)| crates.contains(&first) || first == "docs");
        if ours && !name.contains('<') {
            assert!(
                root().join(name).exists(),
                "docs/ARCHITECTURE.md names {name}, which is not there"
            );
            named += 1;
        }
    }
    assert!(named > 40, "only {named} paths were recognised");
}
