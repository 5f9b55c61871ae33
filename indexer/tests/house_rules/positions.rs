//! What has more than four parts has names for them: words of an event, columns of a row.

use syn::visit::{self, Visit};
use syn::{Expr, ExprIndex, ImplItemFn, ItemFn, Lit, Pat, PatSlice, PatTuple, PatTupleStruct, TypeTuple};

use crate::{is_below, sources};

/// How many parts may be known by their places alone.
const MOST: usize = 4;

/// Where words of the chain are read, which have names by `words!` of `decoders/src/log_reader.rs` and no numbers.
const READS_WORDS: &str = "decoders/src";

/// Looks for parts that are known by their places.
#[derive(Default)]
struct Scan {
    /// Whether elements by number count.
    indices: bool,
    /// The function that is looked at.
    function: String,
    found: Vec<String>,
}

impl Scan {
    fn of(source: &str, indices: bool) -> Vec<String> {
        let mut scan = Scan {
            indices,
            ..Scan::default()
        };
        scan.visit_file(&syn::parse_file(source).unwrap());
        scan.found
    }

    fn inside(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.function, name);
        visit(self);
        self.function = outer;
    }

    fn note(&mut self, what: &str, count: usize) {
        if count > MOST {
            self.found.push(format!("fn {}: {what} of {count}", self.function));
        }
    }

    fn note_patterns<'a>(&mut self, what: &str, patterns: impl IntoIterator<Item = &'a Pat>) {
        let is_part = |pattern: &&Pat| match pattern {
            Pat::Rest(_) => false,
            // `()` holds nothing that could have a name.
            Pat::Tuple(tuple) => !tuple.elems.is_empty(),
            _ => true,
        };
        self.note(what, patterns.into_iter().filter(is_part).count());
    }
}

impl<'a> Visit<'a> for Scan {
    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        self.inside(item.sig.ident.to_string(), |scan| visit::visit_item_fn(scan, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        self.inside(item.sig.ident.to_string(), |scan| visit::visit_impl_item_fn(scan, item));
    }

    fn visit_pat_slice(&mut self, pattern: &'a PatSlice) {
        self.note_patterns("pattern", &pattern.elems);
        visit::visit_pat_slice(self, pattern);
    }

    fn visit_pat_tuple(&mut self, pattern: &'a PatTuple) {
        self.note_patterns("pattern", &pattern.elems);
        visit::visit_pat_tuple(self, pattern);
    }

    fn visit_pat_tuple_struct(&mut self, pattern: &'a PatTupleStruct) {
        self.note_patterns("pattern", &pattern.elems);
        visit::visit_pat_tuple_struct(self, pattern);
    }

    fn visit_type_tuple(&mut self, tuple: &'a TypeTuple) {
        self.note("tuple", tuple.elems.len());
        visit::visit_type_tuple(self, tuple);
    }

    fn visit_expr_index(&mut self, expression: &'a ExprIndex) {
        if let Expr::Lit(index) = &*expression.index
            && let Lit::Int(index) = &index.lit
            && self.indices
        {
            self.note("element by number", index.base10_parse::<usize>().unwrap() + 1);
        }
        visit::visit_expr_index(self, expression);
    }
}

#[test]
fn what_has_many_parts_has_names_for_them() {
    let mut nameless = Vec::new();
    for (file, text) in sources() {
        let found = Scan::of(&text, is_below(&file, READS_WORDS));
        nameless.extend(found.into_iter().map(|found| format!("{file}: {found}")));
    }
    assert!(nameless.is_empty(), "make structs of these: {nameless:#?}");
}

#[test]
fn the_search_for_places_finds_them() {
    let text = "
        fn five() { let [a, _, c, d, e] = words; let (a, b, c, d, e) = row; Some((a, b, c, d)) }
        impl A { fn row(&self) { rows.map(|(a, _, _, d, e)| a); let rows: Vec<(A, B, C, D, E)> = read(); } }
        fn four() { tasks.map(|((), (), (), (), ())| ()); let [.., b, c, d, e] = words; match words { [a @ .., b, c, d] => words[3], _ => words[4] } }
    ";
    let expected = [
        "fn five: pattern of 5",
        "fn five: pattern of 5",
        "fn row: pattern of 5",
        "fn row: tuple of 5",
    ];
    assert_eq!(Scan::of(text, false), expected);
    assert_eq!(Scan::of(text, true)[4..], ["fn four: element by number of 5"]);
}
