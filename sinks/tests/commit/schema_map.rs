//! The five documents, row by row: `schema-map.csv` beside the real blocks lists each thing they name with its place in the schema, and
//! every thing that a database can hold is looked for in a freshly migrated one. `docs/SCHEMA.md` has the same map in prose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use testkit::database::with_store;

testkit::on_real_blocks!(
    async fn every_row_of_the_map_stands,
    async fn what_is_taken_away_is_missed,
);

/// One thing that a document names.
struct Named {
    line: usize,
    document: String,
    entity: String,
    /// Columns of a key, otherwise the document's word.
    detail: String,
    kind: String,
    schema: String,
    table: String,
    column: String,
    /// Where the thing stood when the map was drawn.
    status: String,
}

impl Named {
    fn relation(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

/// Views, with the table that holds the keys and rules of what they show.
const BASES: [[&str; 2]; 4] = [
    ["catalog_service.tokens", "catalog_service.token_states"],
    ["catalog_service.ownership_transfers", "catalog_service.transfer_facts"],
    ["user_service.user_stats", "user_service.user_counters"],
    ["governance_service.proposals", "governance_service.proposal_states"],
];

/// Columns that have another name in the table than in the view.
const RENAMED: [[&str; 2]; 1] = [["catalog_service.token_states.token_number", "number"]];

/// What no constraint holds, and what does. A row here that a constraint holds after all fails the test.
const HELD_OTHERWISE: [[&str; 3]; 10] = [
    [
        "fk",
        "catalog_service.token_states.collection_id",
        "would cost a lookup per token; a rewind takes tokens away before collections",
    ],
    [
        "fk",
        "governance_service.votes.proposal_id",
        "a vote may be applied before its proposal",
    ],
    [
        "unique",
        "catalog_service.token_states.number",
        "the key is a UUIDv5 of chain, contract and number",
    ],
    ["check", "user_service.user_counters.collections_count", COUNTED],
    ["check", "user_service.user_counters.items_count", COUNTED],
    ["check", "user_service.user_counters.listings_count", COUNTED],
    ["check", "user_service.user_counters.sales_count", COUNTED],
    ["check", "user_service.user_counters.purchases_count", COUNTED],
    ["check", "user_service.user_counters.volume_sold", COUNTED],
    ["check", "user_service.user_counters.volume_purchased", COUNTED],
];
const COUNTED: &str = "counted when read, and never shown below zero: testkit/src/rules/effects.rs";

/// Kinds that a database cannot hold: what a program does, and what pages state.
const NO_SCHEMA: [&str; 8] = [
    "backup",
    "convention",
    "cross-service",
    "dependency",
    "flow",
    "port",
    "retention",
    "sizing",
];

async fn every_row_of_the_map_stands(folder: &Path) {
    let rows = rows(folder);
    assert!(rows.len() > 1_100, "only {} rows", rows.len());
    with_store(1, |store| async move {
        let catalog = Catalog::read(&mut store.pool.acquire().await.unwrap()).await;
        let missing = missing(&catalog, &rows);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            *counts.entry(&row.kind).or_default() += 1;
        }
        println!("{} rows by kind: {counts:?}", rows.len());
        println!("Held by no database, as the map has them:");
        for row in rows.iter().filter(|row| NO_SCHEMA.contains(&row.kind.as_str())) {
            println!("  {} {}: {}", row.status, row.kind, row.entity);
        }
        assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
    })
    .await;
}

/// What is taken away, one of each kind, and how many rows name it.
const TAKEN: [(&str, &[&str]); 8] = [
    (
        "drop table platform_service.ucie_phase_data",
        &["relation", "column", "index", "unique", "check", "soft reference"],
    ),
    ("alter table user_service.profiles drop column banner_url", &["column"]),
    ("drop index platform_service.transactions_status", &["index"]),
    (
        "alter table wallet_service.wallet_links drop constraint wallet_links_once_per_user",
        &["unique"],
    ),
    (
        "alter table user_service.users drop constraint users_status_known",
        &["check"],
    ),
    (
        "alter table auth_service.login_events drop constraint login_events_user_id_fkey",
        &["fk"],
    ),
    ("drop trigger users_complete on user_service.users", &["trigger"]),
    (
        "drop trigger diaries_legacy_user_id on user_service.diaries",
        &["trigger"],
    ),
];

async fn what_is_taken_away_is_missed(folder: &Path) {
    let rows = rows(folder);
    with_store(1, |store| async move {
        for (taken, kinds) in TAKEN {
            let mut transaction = store.pool.begin().await.unwrap();
            sqlx::raw_sql(taken).execute(&mut *transaction).await.unwrap();
            let missing = missing(&Catalog::read(&mut transaction).await, &rows);
            transaction.rollback().await.unwrap();
            for kind in kinds {
                let found = missing.iter().any(|line| line.contains(&format!(" {kind} ")));
                assert!(found, "{taken}: no {kind} is missed: {missing:?}");
            }
        }
    })
    .await;
}

/// The rows that `catalog` has nothing for, each with what is not there.
fn missing(catalog: &Catalog, rows: &[Named]) -> Vec<String> {
    let each = rows.iter().filter_map(|row| Some((row, catalog.has(row).err()?)));
    each.map(|(row, why)| {
        format!(
            "line {}: {} {} {} of {}: {why}",
            row.line, row.document, row.kind, row.detail, row.entity
        )
    })
    .collect()
}

/// The rows of the map that are not marked as none of ours.
fn rows(folder: &Path) -> Vec<Named> {
    let table = std::fs::read_to_string(folder.join("../spec/schema-map.csv")).unwrap();
    let named = table.lines().enumerate().skip(1).map(|(index, line)| {
        let mut fields = fields(line).into_iter();
        let mut next = || {
            fields
                .next()
                .unwrap_or_else(|| panic!("line {} is cut short", index + 1))
        };
        Named {
            line: index + 1,
            document: next(),
            entity: next(),
            detail: next(),
            kind: next(),
            schema: next(),
            table: next(),
            column: next(),
            status: next(),
        }
    });
    named.filter(|named| named.status != "n/a").collect()
}

/// The fields of a line of comma-separated values.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

/// An index that can be used: the columns or expressions of its key, in order.
struct Index {
    keys: Vec<String>,
    predicate: String,
    unique: bool,
    primary: bool,
}

/// A constraint of a table: `c`, `f`, `p` or `u`, and the columns it names.
struct Constraint {
    kind: String,
    columns: Vec<String>,
}

/// What a database holds.
#[derive(Default)]
struct Catalog {
    schemas: BTreeSet<String>,
    roles: BTreeSet<String>,
    /// Strategy by which a relation is partitioned, empty where it is not.
    relations: BTreeMap<String, String>,
    /// `schema.table.column`, with the expression it is generated by.
    columns: BTreeMap<String, String>,
    /// Columns whose domain has a check.
    checked: BTreeSet<String>,
    indexes: BTreeMap<String, Vec<Index>>,
    constraints: BTreeMap<String, Vec<Constraint>>,
    /// Names of a table's triggers.
    triggers: BTreeMap<String, Vec<String>>,
}

const SCHEMAS: &str = "select nspname::text as name from pg_namespace";

const ROLES: &str = "select rolname::text as name from pg_roles";

const RELATIONS: &str = "select format('%s.%s', c.relnamespace::regnamespace, c.relname) as relation, coalesce(p.partstrat::text, '') as strategy
    from pg_class c left join pg_partitioned_table p on p.partrelid = c.oid
    where c.relkind in ('r', 'p', 'v') and c.relnamespace::regnamespace::text like '%\\_service'";

const COLUMNS: &str = "select format('%s.%s.%s', c.relnamespace::regnamespace, c.relname, a.attname) as name,
        case when a.attgenerated <> '' then coalesce(pg_get_expr(d.adbin, d.adrelid), '') else '' end as generated,
        exists (select from pg_constraint k where k.contypid = a.atttypid and k.contype = 'c') as checked
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v')
      and c.relnamespace::regnamespace::text like '%\\_service'";

const INDEXES: &str = "select format('%s.%s', c.relnamespace::regnamespace, c.relname) as relation,
        array(select pg_get_indexdef(i.indexrelid, n, true) from generate_series(1, i.indnkeyatts) n order by n) as keys,
        coalesce(pg_get_expr(i.indpred, i.indrelid), '') as predicate, i.indisunique as is_unique, i.indisprimary as is_primary
    from pg_index i join pg_class c on c.oid = i.indrelid
    where i.indisvalid and c.relnamespace::regnamespace::text like '%\\_service'";

const CONSTRAINTS: &str = "select format('%s.%s', c.relnamespace::regnamespace, c.relname) as relation, k.contype::text as kind,
        array(select a.attname::text from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any(k.conkey)) as columns
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace::regnamespace::text like '%\\_service'";

const TRIGGERS: &str =
    "select format('%s.%s', c.relnamespace::regnamespace, c.relname) as relation, g.tgname::text as name
    from pg_trigger g join pg_class c on c.oid = g.tgrelid
    where not g.tgisinternal and g.tgenabled <> 'D' and c.relnamespace::regnamespace::text like '%\\_service'";

async fn each(db: &mut PgConnection, query: &'static str) -> Vec<PgRow> {
    sqlx::query(query).fetch_all(db).await.unwrap()
}

impl Catalog {
    async fn read(db: &mut PgConnection) -> Catalog {
        let mut catalog = Catalog {
            schemas: each(db, SCHEMAS).await.iter().map(|row| row.get("name")).collect(),
            roles: each(db, ROLES).await.iter().map(|row| row.get("name")).collect(),
            ..Catalog::default()
        };
        for row in each(db, RELATIONS).await {
            catalog.relations.insert(row.get("relation"), row.get("strategy"));
        }
        for row in each(db, COLUMNS).await {
            let name: String = row.get("name");
            if row.get("checked") {
                catalog.checked.insert(name.clone());
            }
            catalog.columns.insert(name, row.get("generated"));
        }
        for row in each(db, INDEXES).await {
            let index = Index {
                keys: row.get("keys"),
                predicate: row.get("predicate"),
                unique: row.get("is_unique"),
                primary: row.get("is_primary"),
            };
            catalog.indexes.entry(row.get("relation")).or_default().push(index);
        }
        for row in each(db, CONSTRAINTS).await {
            let constraint = Constraint {
                kind: row.get("kind"),
                columns: row.get("columns"),
            };
            catalog
                .constraints
                .entry(row.get("relation"))
                .or_default()
                .push(constraint);
        }
        for row in each(db, TRIGGERS).await {
            catalog
                .triggers
                .entry(row.get("relation"))
                .or_default()
                .push(row.get("name"));
        }
        catalog
    }

    /// Whether what `row` names is there, or why not.
    fn has(&self, row: &Named) -> Result<(), String> {
        if NO_SCHEMA.contains(&row.kind.as_str()) {
            return Ok(());
        }
        if row.kind == "role" {
            let known = row.entity.split(", ").all(|role| self.roles.contains(role));
            return need(known, "no such role");
        }
        if row.kind == "schema" {
            return need(self.schemas.contains(&row.schema), "no such schema");
        }
        let shown = row.relation();
        need(self.relations.contains_key(&shown), "no such relation")?;
        match row.kind.as_str() {
            // Of MongoDB, where a relation of the same shape stands for it.
            "relation" | "collection" => return Ok(()),
            "column" | "soft reference" => {
                return need(
                    self.columns.contains_key(&format!("{shown}.{}", row.column)),
                    "no such column",
                );
            }
            _ => {}
        }
        let base = other_name(&BASES, &shown);
        let column = other_name_of_column(&base, &row.column);
        let place = format!("{base}.{column}");
        let held = self.holds(row, &base, &column);
        let otherwise = HELD_OTHERWISE
            .iter()
            .any(|[kind, column, _]| *kind == row.kind && *column == place);
        match (held, otherwise) {
            (Ok(()), true) => Err("listed as held otherwise".to_owned()),
            (Err(_), true) => Ok(()),
            (held, false) => held,
        }
    }

    /// Whether the table `base` has the key, rule or part that `row` names of `column`.
    fn holds(&self, row: &Named, base: &str, column: &str) -> Result<(), String> {
        match row.kind.as_str() {
            "index" => need(self.is_indexed(base, column), "no index leads with the column"),
            "unique" | "primary key" | "cardinality" => {
                let columns = key_columns(row, base, column);
                let found = self.indexes_of(base).any(|index| {
                    index.unique
                        && (row.kind != "primary key" || index.primary)
                        && columns.iter().all(|column| index.names(column))
                });
                need(found, "no unique index names the columns")
            }
            "fk" => {
                need(
                    self.is_constrained(base, "f", column),
                    "no foreign key names the column",
                )?;
                need(self.is_indexed(base, column), "no index leads with the foreign key")
            }
            "check" => {
                let by_domain = self.checked.contains(&format!("{base}.{column}"));
                need(
                    by_domain || self.is_constrained(base, "c", column),
                    "no check names the column",
                )
            }
            "trigger" if column == "legacy_id" => self.legacy_ids_follow(),
            "trigger" => {
                let found = self
                    .triggers
                    .get(base)
                    .is_some_and(|names| names.iter().any(|name| !name.ends_with("_touch")));
                need(found, "no trigger but that of updated_at")
            }
            "partition" => {
                let strategy = self.relations.get(base).map_or("", String::as_str);
                need(!strategy.is_empty(), "not partitioned")
            }
            other => Err(format!("the test knows no kind {other}")),
        }
    }

    /// Every table with a legacy id has the trigger that copies it.
    fn legacy_ids_follow(&self) -> Result<(), String> {
        let copies: Vec<&str> = self
            .columns
            .keys()
            .filter_map(|name| name.strip_suffix(".legacy_user_id"))
            .collect();
        let follow = copies.iter().all(|table| {
            let names = self.triggers.get(*table);
            names.is_some_and(|names| names.iter().any(|name| name.ends_with("_legacy_user_id")))
        });
        need(
            follow && copies.len() >= 2,
            "a table with a legacy id has no trigger for it",
        )
    }

    fn indexes_of(&self, table: &str) -> impl Iterator<Item = &Index> {
        self.indexes.get(table).into_iter().flatten()
    }

    /// Whether an index leads with the column, with an expression of it, or with a column that is generated from it.
    fn is_indexed(&self, table: &str, column: &str) -> bool {
        self.indexes_of(table).any(|index| {
            let lead = &index.keys[0];
            let generated = self.columns.get(&format!("{table}.{}", lead.trim_matches('"')));
            has_word(lead, column) || generated.is_some_and(|expression| has_word(expression, column))
        })
    }

    fn is_constrained(&self, table: &str, kind: &str, column: &str) -> bool {
        let constraints = self.constraints.get(table).into_iter().flatten();
        constraints
            .filter(|constraint| constraint.kind == kind)
            .any(|constraint| constraint.columns.iter().any(|named| named == column))
    }
}

impl Index {
    /// Whether the column is part of the key, or decides which rows have one.
    fn names(&self, column: &str) -> bool {
        self.keys.iter().any(|key| has_word(key, column)) || has_word(&self.predicate, column)
    }
}

/// The columns of the key that `row` names: the document lists them where there are several.
fn key_columns(row: &Named, base: &str, column: &str) -> Vec<String> {
    if row.detail.contains(',') {
        let listed = row.detail.split(',').map(str::trim);
        listed.map(|name| other_name_of_column(base, name)).collect()
    } else {
        vec![column.to_owned()]
    }
}

fn need(is: bool, why: &str) -> Result<(), String> {
    if is { Ok(()) } else { Err(why.to_owned()) }
}

fn other_name(names: &[[&str; 2]], name: &str) -> String {
    let other = names.iter().find(|[shown, _]| *shown == name);
    other.map_or(name, |[_, other]| other).to_owned()
}

fn other_name_of_column(base: &str, column: &str) -> String {
    let place = format!("{base}.{column}");
    let other = RENAMED.iter().find(|[shown, _]| *shown == place);
    other.map_or(column, |[_, other]| other).to_owned()
}

/// Whether `word` stands in `text` as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|found| found == word)
}
