//! Every SQL statement of every crate, held against the real schema.
//!
//! sqlx takes text that is `'static`, and a house rule forbids ways around that, so a statement is a literal of the source or several
//! under `concat!`. All of them are found by their first word. What is passed to sqlx and is not among them fails the test, so that
//! a statement written in a way the scan does not know cannot stand aside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprCall, ExprLit, ExprMethodCall, ImplItemConst, ImplItemFn, ItemConst, ItemFn, ItemMod};
use syn::{Lit, LitStr, Macro, Token};
use testkit::database::with_store;

/// The first words of PostgreSQL's commands (its documentation, part VI).
const COMMANDS: &str = "abort alter analyze begin call checkpoint close cluster comment commit copy create deallocate declare delete \
    discard do drop end execute explain fetch grant import insert listen load lock merge move notify prepare \
    reassign refresh reindex release reset revoke rollback savepoint security select set show start table truncate \
    unlisten update vacuum values with";

/// Commands that can be prepared; the others are carried out.
const PREPARED: [&str; 7] = ["select", "insert", "update", "delete", "merge", "values", "with"];

/// Literals that begin like a command and are prose.
const PROSE: [&str; 4] = [
    "create the database or name another in ",
    "start block",
    "start the node or correct its URL",
    "start the server, or correct ",
];

/// Functions and methods that take a statement first.
const TAKERS: [&str; 9] = [
    "query",
    "query_as",
    "query_scalar",
    "query_with",
    "query_as_with",
    "query_scalar_with",
    "raw_sql",
    "copy_in_raw",
    "copy_out_raw",
];

/// A statement and where it stands.
struct Statement {
    place: String,
    sql: String,
}

impl Statement {
    fn command(&self) -> &str {
        first_word(&self.sql)
    }

    /// Whether others need what it makes.
    fn comes_first(&self) -> bool {
        self.sql.starts_with("create temp") || self.sql.contains("make_undone(")
    }
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap()
}

/// Whether `text` begins with a command and has more words, or is one that has none.
fn is_statement(text: &str) -> bool {
    let word = first_word(text);
    let known = COMMANDS.split(' ').any(|command| command == word);
    let alone = matches!(text, "begin" | "commit" | "rollback");
    known && (alone || text.trim().contains(char::is_whitespace)) && !PROSE.iter().any(|prose| text.starts_with(prose))
}

/// What is found in one crate after the other.
#[derive(Default)]
struct Scan {
    /// The file being read.
    file: String,
    /// The functions and constants around what is being read.
    within: Vec<String>,
    statements: Vec<Statement>,
    /// Names of constants with a statement.
    constants: BTreeSet<String>,
    /// Constants that were passed to sqlx: where, and the name.
    passed: Vec<(String, String)>,
    /// What was passed and is no statement, or cannot be read.
    unseen: Vec<String>,
    /// Prose that was met.
    prose: BTreeSet<&'static str>,
}

impl Scan {
    fn place(&self) -> String {
        format!("{}: {}", self.file, self.within.join("::"))
    }

    fn read(&mut self, text: String) {
        self.prose
            .extend(PROSE.iter().filter(|prose| text.starts_with(**prose)));
        if is_statement(&text) {
            self.constants.extend(self.within.last().cloned());
            let place = self.place();
            self.statements.push(Statement { place, sql: text });
        }
    }

    /// Sees to it that `argument`, passed as a statement, is one that is found.
    fn pass(&mut self, argument: &Expr) {
        let place = self.place();
        match argument {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) if !is_statement(&text.value()) => {
                self.unseen.push(format!(
                    "{place} passes {:?}, which begins like no command",
                    text.value()
                ));
            }
            Expr::Path(path) => {
                let name = path.path.segments.last().unwrap().ident.to_string();
                // What is no constant was a literal before it came here.
                if name.chars().all(|c| !c.is_lowercase()) {
                    self.passed.push((place, name));
                }
            }
            Expr::Macro(call) if !call.mac.path.is_ident("concat") => {
                self.unseen.push(format!("{place} passes what another macro makes"));
            }
            _ => {}
        }
    }

    fn inside(&mut self, name: &syn::Ident, visit: impl FnOnce(&mut Self)) {
        self.within.push(name.to_string());
        visit(self);
        self.within.pop();
    }
}

/// Whether the item is built for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    let test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    };
    attributes.iter().any(test)
}

impl<'ast> Visit<'ast> for Scan {
    /// Documentation and the help of commands are prose.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            self.inside(&item.sig.ident, |scan| visit::visit_item_fn(scan, item));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            self.inside(&item.sig.ident, |scan| visit::visit_impl_item_fn(scan, item));
        }
    }

    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        self.inside(&item.ident, |scan| visit::visit_item_const(scan, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast ImplItemConst) {
        self.inside(&item.ident, |scan| visit::visit_impl_item_const(scan, item));
    }

    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        self.read(text.value());
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if call.path.is_ident("concat") {
            let parts = call.parse_body_with(Punctuated::<LitStr, Token![,]>::parse_terminated);
            if let Ok(parts) = parts {
                self.read(parts.iter().map(LitStr::value).collect());
            }
            return;
        }
        // Syntax of its own: what stands there cannot be read as an expression.
        let tokens: String = call.tokens.to_string().split_whitespace().collect();
        let passes = TAKERS.iter().any(|taker| tokens.contains(&format!("sqlx::{taker}")));
        let pastes = call.path.is_ident("include_str") && tokens.contains(".sql");
        if passes || pastes {
            self.unseen
                .push(format!("{} has a statement in a macro: {tokens:.80}", self.place()));
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let (Expr::Path(function), Some(argument)) = (&*call.func, call.args.first()) {
            let segments: Vec<String> = function
                .path
                .segments
                .iter()
                .map(|part| part.ident.to_string())
                .collect();
            let (name, of) = segments.split_last().unwrap();
            if TAKERS.contains(&name.as_str()) && of.last().is_none_or(|module| module == "sqlx") {
                self.pass(argument);
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let name = call.method.to_string();
        let takes = TAKERS.contains(&name.as_str())
            || matches!(name.as_str(), "prepare" | "execute" | "fetch_one" | "fetch_all");
        if let (true, Some(argument @ Expr::Lit(_))) = (takes, call.args.first()) {
            self.pass(argument);
        } else if let (true, Some(argument)) = (name.starts_with("copy_"), call.args.first()) {
            self.pass(argument);
        }
        visit::visit_expr_method_call(self, call);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The sources of every crate of the product that is built with sqlx.
fn sources() -> Vec<PathBuf> {
    let crates = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let speaks = |folder: &PathBuf| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml"));
        manifest.is_ok_and(|manifest| manifest.contains("\nsqlx"))
    };
    let mut folders: Vec<PathBuf> = crates
        .filter(|folder| !folder.ends_with("testkit") && speaks(folder))
        .map(|folder| folder.join("src"))
        .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn scan() -> Scan {
    let mut scan = Scan::default();
    for path in sources() {
        scan.file = path.strip_prefix(root()).unwrap().display().to_string();
        let source = std::fs::read_to_string(&path).unwrap();
        scan.visit_file(&syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
    scan
}

/// The statement of the constant at `place`, such as `sinks/src/outbox.rs: RETRACT`.
pub(crate) fn statement(place: &str) -> String {
    let mut found = scan().statements.into_iter();
    let found = found.find(|statement| statement.place == place);
    found.unwrap_or_else(|| panic!("there is no statement {place}")).sql
}

#[test]
fn every_statement_is_seen() {
    let scan = scan();
    let passed = scan.passed.iter().filter(|(_, name)| !scan.constants.contains(name));
    let unknown = passed.map(|(place, name)| format!("{place} passes {name}, whose text is not found"));
    let unseen: Vec<String> = scan.unseen.iter().cloned().chain(unknown).collect();
    assert!(unseen.is_empty(), "{unseen:#?}");
    assert_eq!(scan.prose, BTreeSet::from(PROSE), "prose that is gone");
    for name in ["sinks/src/", "queries/src/", "indexer/src/"] {
        let found = scan
            .statements
            .iter()
            .filter(|statement| statement.place.starts_with(name))
            .count();
        assert!(found > 10, "only {found} statements in {name}");
    }
}

#[test]
fn a_statement_that_cannot_be_read_is_noticed() {
    let noticed = |source: &str| {
        let mut scan = Scan::default();
        scan.visit_file(&syn::parse_file(source).unwrap());
        let unknown = scan.passed.iter().any(|(_, name)| !scan.constants.contains(name));
        (scan.statements.len(), unknown || !scan.unseen.is_empty())
    };
    let seen = [
        "fn f() { sqlx::query(\"select 1\"); }",
        "fn f() { for text in [\"delete from a\"] { sqlx::query(text); } }",
        "const A: &str = concat!(\"select \", \"1\"); fn f() { sqlx::query_as::<_, B>(A); }",
        "trait T { const A: &'static str; } impl T for B { const A: &'static str = \"select 1\"; } fn f() { sqlx::query(B::A); }",
    ];
    for source in seen {
        assert_eq!(noticed(source), (1, false), "{source}");
    }
    let unseen = [
        "const A: &str = include_str!(\"a.txt\"); fn f() { sqlx::query(A); }",
        "fn f() { sqlx::query(include_str!(\"a.sql\")); }",
        "fn f() { sqlx::query(\"SELECT 1\"); }",
        "fn f() { tokio::select! { _ = sqlx::query(\"select 1\").execute(db) => {} } }",
        "macro_rules! a { () => { sqlx::query(\"select 1\") } }",
    ];
    for source in unseen {
        assert_eq!(noticed(source), (0, true), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_fits_the_schema() {
    with_store(1, |store| async move {
        let mut db = store.pool.acquire().await.unwrap();
        // Those of kinds of facts are made of each kind's names while the crate is compiled.
        let of_facts = sinks::facts::statements().map(|(table, sql)| Statement {
            place: table.to_owned(),
            sql: sql.to_owned(),
        });
        let all = scan().statements.into_iter().chain(of_facts);
        let (first, rest): (Vec<_>, Vec<_>) = all.partition(Statement::comes_first);
        let mut wrong = Vec::new();
        for statement in first.into_iter().chain(rest) {
            if let Err(error) = try_out(&mut db, &statement).await {
                wrong.push(format!("{}: {error}", statement.place));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

async fn try_out(db: &mut PgConnection, statement: &Statement) -> Result<(), sqlx::Error> {
    let sql = statement.sql.clone();
    if statement.command() == "copy" {
        let mut copy = db.copy_in_raw(&sql).await?;
        // No row of text is nothing; no row in binary has a header and an end.
        if sql.contains("binary") {
            copy.send(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff"[..]).await?;
        }
        copy.finish().await?;
    } else if statement.comes_first() || !PREPARED.contains(&statement.command()) {
        sqlx::raw_sql(AssertSqlSafe(format!("begin; {sql}; commit")))
            .execute(db)
            .await?;
    } else {
        db.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
    }
    Ok(())
}
