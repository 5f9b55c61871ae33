//! A protocol's name and contracts stand in its own file: what others must know of it is data of its `Decoder`.
//!
//! Comments are not looked at: they may name examples. Neither are `testchain` and what tests share, which play protocols by name.

use std::collections::{BTreeMap, BTreeSet};

use decoders::decoder::Decoder;
use decoders::protocols::DECODERS;

use crate::{is_below, literal_end, root, sources};

/// Crates whose source names no protocol, except as [`is_own`] and the lists below allow.
const SCANNED: [&str; 6] = [
    "decoders/src",
    "rpc/src",
    "sinks/src",
    "queries/src",
    "api/src",
    "indexer/src",
];

/// The one list of decoders, and the lists of their modules.
const LISTS: [&str; 3] = [
    "decoders/src/protocols.rs",
    "decoders/src/markets/mod.rs",
    "decoders/src/tokens/mod.rs",
];

/// Where protocols are at home: a file or folder each, named after the decoder.
const HOMES: [&str; 2] = ["decoders/src/markets", "decoders/src/tokens"];

/// Names of protocols that no decoder bears.
const BRANDS: [&str; 3] = ["aavegotchi", "cryptokitties", "opensea"];

/// Names that are also the name of a standard, which facts bear: only paths to their modules count.
const STANDARDS: [&str; 3] = ["cryptopunks", "erc1155", "erc721"];

/// Names that are also words of the language: only paths to their modules and strings of nothing else count.
const WORDS: [&str; 1] = ["element"];

/// Protocols that name another one, and why.
const RELATIVES: [(&str, &str, &str); 6] = [
    ("benddao", "looksrare", "runs its code"),
    ("blur", "blend", "sells out of its loans"),
    (
        "clock_auction",
        "cryptokitties",
        "is its market, and of others that run its code",
    ),
    (
        "cryptopunks_market",
        "cryptopunks",
        "is the market within the token's contract",
    ),
    ("element", "zeroex", "runs its code"),
    ("seaport", "opensea", "is who wrote it and takes its fees"),
];

/// Where contracts of protocols may be named besides, and why.
const EXAMPLES: [(&str, &str); 1] = [("indexer/src/cli", "examples of commands name a contract that there is")];

/// The decoder a file belongs to, by the name of its file or folder.
fn home_of(file: &str) -> Option<&str> {
    let within = HOMES
        .iter()
        .find_map(|home| file.strip_prefix(home)?.strip_prefix('/'))?;
    within.split('/').next()?.split('.').next()
}

/// Whether `file` may bear the name `name`.
fn is_own(file: &str, name: &str) -> bool {
    let of = |home: &str| home == name || RELATIVES.iter().any(|(one, other, _)| (*one, *other) == (home, name));
    LISTS.contains(&file) || home_of(file).is_some_and(of)
}

/// The source that is scanned, its comments replaced by spaces.
fn scanned() -> BTreeMap<String, String> {
    let all = sources().into_iter();
    let scanned = all.filter(|(file, _)| SCANNED.iter().any(|place| is_below(file, place)));
    scanned.map(|(file, text)| (file, uncommented(&text))).collect()
}

fn uncommented(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while at < text.len() {
        let end = literal_end(&text, at).max(at + 1);
        let is_comment = text[at] == '/' && end > at + 1;
        out.extend(
            text[at..end]
                .iter()
                .map(|c| if is_comment && *c != '\n' { ' ' } else { *c }),
        );
        at = end;
    }
    out
}

/// The words of an identifier or of prose, in lower case: those of `OrderBook`, `order_book` and `ORDER_BOOK` are the same.
fn words(identifier: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = '_';
    for c in identifier.chars() {
        if c != '_' {
            match words.last_mut() {
                Some(word) if before != '_' && !(c.is_uppercase() && before.is_lowercase()) => {
                    word.extend(c.to_lowercase());
                }
                _ => words.push(c.to_lowercase().collect()),
            }
        }
        before = c;
    }
    words
}

/// Whether some neighbouring words make up `name`, which is one without spaces.
fn holds(words: &[String], name: &str) -> bool {
    (0..words.len()).any(|first| (first + 1..=words.len()).any(|last| words[first..last].concat() == name))
}

/// The lines of `code` that name `name`.
fn lines_naming<'a>(code: &'a str, name: &str) -> Vec<&'a str> {
    let squeezed = name.replace('_', "");
    // Few lines hold its letters at all.
    let may_name = |line: &&str| line.to_lowercase().replace('_', "").contains(&squeezed);
    let is_named = |line: &&str| {
        let is_path = paths(line).any(|part| part == name);
        if STANDARDS.contains(&name) {
            return is_path;
        }
        if WORDS.contains(&name) {
            return is_path || line.contains(&format!("\"{name}\""));
        }
        let identifiers = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        identifiers.map(words).any(|words| holds(&words, &squeezed))
    };
    code.lines().filter(may_name).filter(is_named).collect()
}

/// The parts of paths in a line: words before or behind `::`.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| !c.is_alphanumeric() && c != '_';
    line.match_indices("::").flat_map(move |(at, _)| {
        let before = line[..at].rsplit(is_end).next();
        let behind = line[at + 2..].split(is_end).next();
        before.into_iter().chain(behind)
    })
}

/// Every name that a protocol goes by: those of decoders, and those of markets as sales bear them.
fn names(code: &BTreeMap<String, String>) -> BTreeSet<String> {
    let at_home = code.iter().filter(|(file, _)| home_of(file).is_some());
    let given = at_home.flat_map(|(_, text)| text.split("name: \"").skip(1));
    let markets = given.map(|rest| rest.split('"').next().unwrap().to_owned());
    let decoders = DECODERS.iter().map(|decoder| decoder.name.to_owned());
    markets.chain(decoders).chain(BRANDS.map(str::to_owned)).collect()
}

#[test]
fn a_decoder_has_one_file_or_folder_of_its_name() {
    for Decoder { name, .. } in DECODERS {
        let homes = HOMES.map(|home| [format!("{home}/{name}.rs"), format!("{home}/{name}/mod.rs")]);
        let count = homes.iter().flatten().filter(|home| root().join(home).exists()).count();
        assert_eq!(count, 1, "{name} must be at home in one file or folder of its name");
    }
}

#[test]
fn a_protocol_is_named_in_its_own_file_alone() {
    let code = scanned();
    let names = names(&code);
    let mut astray = Vec::new();
    for (file, text) in &code {
        for name in names.iter().filter(|name| !is_own(file, name)) {
            astray.extend(
                lines_naming(text, name)
                    .into_iter()
                    .map(|line| format!("{file}: {name}: {}", line.trim())),
            );
        }
    }
    assert!(
        astray.is_empty(),
        "make it data of the protocol's `Decoder`: {astray:#?}"
    );
    for (one, other, why) in RELATIVES {
        let named =
            |(file, text): (&String, &String)| home_of(file) == Some(one) && !lines_naming(text, other).is_empty();
        assert!(
            code.iter().any(named),
            "{one} does not name {other} any more, though it {why}"
        );
    }
}

#[test]
fn a_protocols_contracts_are_named_in_its_own_file_alone() {
    let claimed = |decoder: &Decoder| {
        decoder
            .claims
            .iter()
            .filter_map(|claim| claim.addresses)
            .flatten()
            .collect()
    };
    let mut contracts = BTreeSet::new();
    for decoder in DECODERS {
        let claimed: Vec<_> = claimed(decoder);
        contracts.extend(claimed.iter().map(|(_, contract)| *contract));
        contracts.extend(
            decoder
                .factories
                .iter()
                .copied()
                .flatten()
                .map(|(_, contract)| *contract),
        );
        contracts.extend(decoder.routers.iter().chain(decoder.holders).copied());
    }
    assert!(
        contracts.len() > 50,
        "the contracts of decoders are not where they are looked for"
    );
    let mut astray = Vec::new();
    for (file, text) in scanned() {
        let is_example = EXAMPLES.iter().any(|(place, _)| is_below(&file, place));
        if home_of(&file).is_some() || is_example {
            continue;
        }
        let text = text.to_lowercase();
        let named = contracts
            .iter()
            .filter(|contract| text.contains(&format!("{contract:x}")));
        astray.extend(named.map(|contract| format!("{file}: {contract}")));
    }
    assert!(
        astray.is_empty(),
        "make them data of the protocol's `Decoder`: {astray:#?}"
    );
}

#[test]
fn the_search_for_names_finds_them() {
    let found = |line: &str, name: &str| !lines_naming(&uncommented(line), name).is_empty();
    assert!(found("let is_blur = market == BLUR_POOL;", "blur"));
    assert!(found("struct LooksRare;", "looksrare") && found("enum A { LooksrareBid }", "looksrare"));
    assert!(found("\"where s.market = 'x2y2'\"", "x2y2"));
    assert!(found("nouns_auction::DECODER", "nouns_auction"));
    assert!(found("use crate::markets::element;", "element") && found("a == \"element\"", "element"));
    assert!(found("crate::tokens::erc721::TRANSFER", "erc721"));
    assert!(!found("Standard::Erc721 => \"erc721\"", "erc721"));
    assert!(!found("for element in elements {}", "element") && !found("a.next_element::<u8>()", "element"));
    assert!(!found("f(); // as Seaport has it", "seaport") && !found("let blurred = 1;", "blur"));
}
