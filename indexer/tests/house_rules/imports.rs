//! Imports within a crate: no circle of files, except where two are one thing in two parts, and none of folders.
//!
//! Read off the source: `use` trees, what they bind, and paths written out. What is built for tests or documentation alone is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{EDGES, blanked, root, rust_files};

/// Two files that import each other, and why they are one thing in two parts.
const TWO_PARTS: [(&str, &str, &str); 0] = [];

/// A module by its path within its crate; the root has none.
type Module = Vec<String>;

/// Files by their path from the root, each with what it imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The files that modules of one crate are made of, with their source.
type Files = BTreeMap<Module, (String, String)>;

/// Every crate that the source of one of ours is, binaries apart from the library.
fn crates() -> Vec<Files> {
    let mut crates = Vec::new();
    for (name, _) in EDGES {
        let base = root().join(name).join("src");
        let mut trees: BTreeMap<String, Files> = BTreeMap::new();
        for (file, text) in rust_files(&base) {
            let path = root().join(&file);
            let mut parts: Vec<String> = path
                .strip_prefix(&base)
                .unwrap()
                .with_extension("")
                .components()
                .map(|part| part.as_os_str().to_str().unwrap().to_owned())
                .collect();
            let mut tree = String::new();
            if parts[0] == "bin" && parts.len() > 2 {
                tree = parts.drain(..2).next_back().unwrap();
            } else if parts == ["main"] && base.join("lib.rs").exists() {
                // A program that nothing imports.
                continue;
            }
            if parts == ["lib"] || parts == ["main"] || parts.last().unwrap() == "mod" {
                parts.pop();
            }
            trees.entry(tree).or_default().insert(parts, (file, text));
        }
        crates.extend(trees.into_values());
    }
    crates
}

/// A path that a file names, and from where.
#[derive(Debug)]
struct Named {
    /// Inline modules around it.
    scope: Module,
    path: Vec<String>,
    /// By which name a `use` makes it known to the file.
    binds: Option<String>,
}

/// Reads the paths that one file names.
struct Scan<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    /// How many braces are open, and where each inline module around began.
    depth: usize,
    scope: Vec<(String, usize)>,
    named: Vec<Named>,
}

impl<'a> Scan<'a> {
    fn of(code: &'a str) -> Vec<Named> {
        let mut scan = Scan {
            tokens: tokens(code),
            at: 0,
            depth: 0,
            scope: Vec::new(),
            named: Vec::new(),
        };
        while scan.at < scan.tokens.len() {
            scan.step();
        }
        scan.named
    }

    fn token(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).copied().unwrap_or_default()
    }

    /// The tokens from here on begin with these.
    fn starts(&self, with: &[&str]) -> bool {
        self.tokens[self.at..].starts_with(with)
    }

    fn step(&mut self) {
        if ["test", "doc"]
            .iter()
            .any(|what| self.starts(&["#", "[", "cfg", "(", what, ")", "]"]))
        {
            self.at += 7;
            return self.skip_item();
        }
        // A visibility, which imports nothing.
        if self.starts(&["(", "in"]) {
            while !self.starts(&[")"]) {
                self.at += 1;
            }
        }
        match self.token(0) {
            "{" => self.depth += 1,
            "}" => {
                self.scope.pop_if(|(_, depth)| *depth == self.depth);
                self.depth -= 1;
            }
            "mod" if self.token(2) == "{" => {
                self.depth += 1;
                self.scope.push((self.token(1).to_owned(), self.depth));
                self.at += 2;
            }
            // With `<` it states what a returned type captures.
            "use" if self.token(1) != "<" => {
                self.at += 1;
                return self.tree(&[]);
            }
            word if is_word(word) && self.token(1) == "::" => return self.path(),
            _ => {}
        }
        self.at += 1;
    }

    /// Passes over one item with the attributes before it.
    fn skip_item(&mut self) {
        let (mut open, mut is_use) = (0usize, false);
        while self.at < self.tokens.len() {
            let token = self.token(0);
            self.at += 1;
            match token {
                "use" if open == 0 => is_use = true,
                "{" | "(" | "[" => open += 1,
                "}" | ")" | "]" => {
                    open -= 1;
                    if token == "}" && open == 0 && !is_use {
                        return;
                    }
                }
                ";" if open == 0 => return,
                _ => {}
            }
        }
    }

    fn name(&mut self, path: Vec<String>, binds: Option<String>) {
        let scope = self.scope.iter().map(|(name, _)| name.clone()).collect();
        self.named.push(Named { scope, path, binds });
    }

    /// A path written out.
    fn path(&mut self) {
        let mut path = vec![self.token(0).to_owned()];
        self.at += 1;
        while self.token(0) == "::" && is_word(self.token(1)) {
            path.push(self.token(1).to_owned());
            self.at += 2;
        }
        // Where it goes on in brackets, as in `Vec::<u8>`, it is no path to here any more.
        if self.token(0) == "::" {
            self.at += 1;
        }
        self.name(path, None);
    }

    /// One tree of a `use` below `prefix`.
    fn tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            match self.token(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while self.token(0) != "}" {
                        self.tree(&path);
                        self.at += usize::from(self.token(0) == ",");
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    return self.name(path, None);
                }
                word if is_word(word) => {
                    path.push(word.to_owned());
                    self.at += 1;
                    if self.token(0) != "::" {
                        break;
                    }
                }
                _ => return,
            }
        }
        if path.len() > 1 {
            path.pop_if(|last| last == "self");
        }
        let mut binds = path.last().cloned();
        if self.token(0) == "as" {
            binds = Some(self.token(1).to_owned());
            self.at += 2;
        }
        self.name(path, binds);
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and every other character for itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The files that `module` imports.
fn imports(files: &Files, module: &Module) -> BTreeSet<String> {
    let named = Scan::of(&blanked(&files[module].1));
    let mut bound: BTreeMap<String, Module> = BTreeMap::new();
    let mut reached = Vec::new();
    let (uses, paths): (Vec<Named>, Vec<Named>) = named.into_iter().partition(|named| named.binds.is_some());
    for named in uses.iter().chain(&paths) {
        let Some(target) = resolve(files, module, named, &bound) else {
            continue;
        };
        if let Some(name) = &named.binds {
            bound.insert(name.clone(), target.clone());
        }
        reached.push(target);
    }
    let file = |target: Module| {
        let nearest = (0..=target.len()).rev().find_map(|length| files.get(&target[..length]));
        nearest.map(|(file, _)| file.clone())
    };
    let own = &files[module].0;
    reached
        .into_iter()
        .filter_map(file)
        .filter(|file| file != own)
        .collect()
}

/// Where in its crate a path leads; `None` where it leads out of it, or to something of the file's own.
fn resolve(files: &Files, module: &Module, named: &Named, bound: &BTreeMap<String, Module>) -> Option<Module> {
    let mut at = [module.as_slice(), &named.scope].concat();
    let mut path = named.path.as_slice();
    match path[0].as_str() {
        "crate" => {
            at.clear();
            path = &path[1..];
        }
        "self" | "super" => {
            while let Some(step @ ("self" | "super")) = path.first().map(String::as_str) {
                if step == "super" {
                    at.pop();
                }
                path = &path[1..];
            }
        }
        first => {
            if !files.contains_key(&[at.as_slice(), &[first.to_owned()]].concat()) {
                at = bound.get(first)?.clone();
                path = &path[1..];
            }
        }
    }
    at.extend_from_slice(path);
    Some(at)
}

fn graph(files: &Files) -> Graph {
    let imports = |(module, (file, _)): (&Module, &(String, String))| (file.clone(), imports(files, module));
    files.iter().map(imports).collect()
}

/// The sets of nodes, two at least, from each of which every other is reached.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|node| (node, reach(graph, node))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (node, far) in &reached {
        if far.contains(node) && !circles.iter().any(|circle| circle.contains(*node)) {
            let back = far.iter().filter(|other| reached[**other].contains(node));
            circles.push(back.map(|other| (*other).clone()).collect());
        }
    }
    circles.retain(|circle| circle.len() > 1);
    circles
}

/// The nodes that steps from `start` lead to.
fn reach<'a>(graph: &'a Graph, start: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&String> = graph[start].iter().collect();
    while let Some(node) = ahead.pop() {
        if reached.insert(node) {
            ahead.extend(&graph[node]);
        }
    }
    reached
}

/// The circle's imports, one a line.
fn shown(graph: &Graph, circle: &BTreeSet<String>) -> String {
    let arrows = circle.iter().flat_map(|node| {
        let within = graph[node].intersection(circle);
        within.map(move |other| format!("\n    {node} -> {other}"))
    });
    arrows.collect()
}

/// What stands in `folder` besides its own `mod.rs`: files, and folders each as one.
fn entries(graph: &Graph, folder: &str) -> Graph {
    let entry = |file: &str| {
        let within = Path::new(file).strip_prefix(folder).ok()?.to_str()?;
        let is_own = ["mod.rs", "lib.rs", "main.rs"].contains(&within);
        let first = within.split('/').next().filter(|_| !is_own)?;
        Some(format!("{folder}/{first}"))
    };
    let mut entries = Graph::new();
    for (file, imports) in graph {
        if let Some(from) = entry(file) {
            let others = imports
                .iter()
                .filter_map(|other| entry(other))
                .filter(|other| *other != from);
            let others: BTreeSet<String> = others.collect();
            entries.entry(from).or_default().extend(others);
        }
    }
    entries
}

/// Circles that hold a folder, seen from the folder above it.
fn circles_of_folders(graph: &Graph) -> Vec<String> {
    let above = |file: &String| -> Vec<String> {
        let folders = Path::new(file).ancestors().skip(1);
        folders.map(|folder| folder.to_str().unwrap().to_owned()).collect()
    };
    let folders: BTreeSet<String> = graph
        .keys()
        .flat_map(above)
        .filter(|folder| !folder.is_empty())
        .collect();
    let mut found = Vec::new();
    for folder in &folders {
        let entries = entries(graph, folder);
        let circles = circles(&entries).into_iter();
        let of_folders = circles.filter(|circle| !circle.is_disjoint(&folders));
        found.extend(of_folders.map(|circle| shown(&entries, &circle)));
    }
    found
}

#[test]
fn files_import_each_other_in_no_circle() {
    let (mut astray, mut together) = (Vec::new(), BTreeSet::new());
    for graph in crates().iter().map(graph) {
        for circle in circles(&graph) {
            let of = |pair: &&(&str, &str, &str)| circle.iter().eq([pair.0, pair.1]);
            if let Some(pair) = TWO_PARTS.iter().find(of) {
                together.insert(pair);
                continue;
            }
            astray.push(shown(&graph, &circle));
        }
    }
    assert!(
        astray.is_empty(),
        "move what both sides import to a file of its own:\n{}",
        astray.join("\n")
    );
    assert_eq!(
        together.len(),
        TWO_PARTS.len(),
        "pairs that are no circle any more must leave TWO_PARTS"
    );
}

#[test]
fn folders_import_each_other_in_no_circle() {
    let mut astray = Vec::new();
    for graph in crates().iter().map(graph) {
        astray.extend(circles_of_folders(&graph));
    }
    assert!(astray.is_empty(), "arrows run back up:\n{}", astray.join("\n"));
}

#[test]
fn the_reading_of_imports_reads() {
    let file = |module: &str, text: &str| {
        let parts: Module = module
            .split("::")
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        (
            parts,
            (
                if module.is_empty() { "lib" } else { module }.to_owned(),
                text.to_owned(),
            ),
        )
    };
    let files: Files = [
        file(
            "",
            "pub mod one; mod two; pub use one::Thing; fn f() -> usize { two::part::COUNT }",
        ),
        file(
            "one",
            "use crate::two::{self as second, part::Part}; pub(in crate::two) fn f() { second::deep::g() }",
        ),
        file(
            "two",
            "mod part; mod deep; // use crate::one;\n#[cfg(test)] use crate::one;\n const A: &str = \"crate::one\";",
        ),
        file(
            "two::part",
            "#[cfg(test)]\nmod tests { use crate::one::Thing; }\nfn f() -> impl Sized + use<'_> { super::A }",
        ),
        file(
            "two::deep",
            "mod inner { use super::super::part::Part; use super::Own; } use std::one::Other;",
        ),
    ]
    .into_iter()
    .collect();
    let graph = graph(&files);
    let imports = |name: &str| graph[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(imports("lib"), ["one", "two::part"]);
    assert_eq!(imports("one"), ["two", "two::deep", "two::part"]);
    assert!(imports("two").is_empty());
    assert_eq!(imports("two::part"), ["two"]);
    assert_eq!(imports("two::deep"), ["two::part"]);
}

#[test]
fn the_search_for_circles_finds_them() {
    let graph = |arrows: &[(&str, &[&str])]| -> Graph {
        let to = |to: &[&str]| to.iter().map(|name| (*name).to_owned()).collect();
        arrows
            .iter()
            .map(|(from, others)| ((*from).to_owned(), to(others)))
            .collect()
    };
    let straight = graph(&[
        ("s/a.rs", &["s/b/x.rs"]),
        ("s/b/mod.rs", &["s/b/x.rs"]),
        ("s/b/x.rs", &[]),
    ]);
    assert!(circles(&straight).is_empty() && circles_of_folders(&straight).is_empty());
    let round = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "d"]), ("d", &[])]);
    let expected: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
    assert_eq!(circles(&round), [expected]);
    // No two files import each other, but through their folder they do.
    let folders = graph(&[("s/a.rs", &["s/b/x.rs"]), ("s/b/x.rs", &[]), ("s/b/y.rs", &["s/a.rs"])]);
    assert!(circles(&folders).is_empty());
    assert_eq!(circles_of_folders(&folders), ["\n    s/a.rs -> s/b\n    s/b -> s/a.rs"]);
}
