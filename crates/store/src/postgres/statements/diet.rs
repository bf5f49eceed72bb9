//! Holds every statement to what a database that is spread over several servers needs, without one: each is parsed, and each table of it must name
//! its cluster.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use sqlparser::ast::JoinOperator::{CrossJoin, Inner, Join as Joined, Left, LeftOuter};
use sqlparser::ast::{
    Delete, Expr, FromTable, Insert, Join, JoinConstraint, Select, SelectItem, SetExpr, Statement as Sql, TableFactor,
    TableObject, TableWithJoins, Update, UpdateTableFromKind, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::super::citus::SPREAD;
use super::{ALL, INSERT, MOVE, Scope, Statement, UPDATE, clusters, reads};
use crate::ledger::statements::BY_ID;

/// Every statement of this engine.
fn registry() -> Vec<(String, Scope, &'static str)> {
    let declared = [ALL, clusters::ALL, reads::ALL].into_iter().flatten();
    let mut all: Vec<_> = declared.map(|(name, scope, sql)| ((*name).to_owned(), *scope, *sql)).collect();
    let writes: [(&str, &Statement); 3] = [("INSERT", &INSERT), ("UPDATE", &UPDATE), ("MOVE", &MOVE)];
    for (name, Statement { plain, keeping, .. }) in writes {
        for (kept, forms) in [("plain", plain), ("keeping", keeping)] {
            for (form, sql) in [("alone", forms.alone), ("noted", forms.noted), ("told", forms.noted_and_told)] {
                all.push((format!("{name} {kept} {form}"), Scope::Cluster, sql));
            }
        }
    }
    let scans = BY_ID.scans.iter().flatten().enumerate().map(|(at, sql)| (format!("scan {at}"), Scope::Cluster, *sql));
    all.extend(scans);
    all.push(("sizes".into(), Scope::Cluster, BY_ID.sizes));
    all.push(("prune".into(), Scope::Cluster, BY_ID.prune));
    all
}

/// A table in a FROM clause, by the name that its columns have.
#[derive(Debug)]
struct Table {
    name: String,
    alias: String,
}

/// Goes through a statement, and notes what is wrong with it.
struct Checker {
    scope: Scope,
    faults: Vec<String>,
}

impl Visitor for Checker {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.check(&select.from, select.selection.as_ref());
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Sql) -> ControlFlow<()> {
        match statement {
            Sql::Query(_) => {}
            Sql::Insert(insert) => self.insert(insert),
            Sql::Update(Update { table, from, selection, .. }) => {
                self.calm(statement);
                let mut tables = vec![table.clone()];
                match from {
                    Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => {
                        tables.extend(from.iter().cloned());
                    }
                    None => {}
                }
                self.write(&tables, selection.as_ref());
            }
            Sql::Delete(Delete { from, selection, .. }) => {
                self.calm(statement);
                let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = from;
                self.write(tables, selection.as_ref());
            }
            other => self.faults.push(format!("an unknown kind of statement: {other}")),
        }
        ControlFlow::Continue(())
    }
}

impl Checker {
    fn calm(&mut self, statement: &Sql) {
        if statement.to_string().contains("clock_timestamp") {
            self.faults.push("an UPDATE or DELETE has a function that is volatile".into());
        }
    }

    fn write(&mut self, tables: &[TableWithJoins], selection: Option<&Expr>) {
        if self.scope == Scope::Every {
            self.faults.push("writes to all clusters".into());
        }
        self.check(tables, selection);
    }

    /// Each table names its cluster.
    fn check(&mut self, from: &[TableWithJoins], selection: Option<&Expr>) {
        let (mut tables, mut conditions) = (Vec::new(), Vec::new());
        for part in from {
            collect(part, &mut tables, &mut conditions);
        }
        if let Some(selection) = selection {
            conjuncts(selection, &mut conditions);
        }
        let is_one = tables.len() == 1;
        let joins = conditions.iter().filter(|condition| {
            let sides = condition.split_once(" = ");
            sides.is_some_and(|(a, b)| a.ends_with(".cluster_id") && b.ends_with(".cluster_id"))
        });
        let joins = joins.count();
        let spread: Vec<&Table> = tables.iter().filter(|table| SPREAD.contains(&&*table.name)).collect();
        for Table { name, alias } in &spread {
            match self.scope {
                Scope::Cluster => {
                    let named = format!("{alias}.cluster_id = $1");
                    let is_named = conditions.iter().any(|condition| {
                        let guarded = condition.strip_prefix('$').and_then(|rest| rest.split_once(" OR "));
                        *condition == named
                            || is_one && condition == "cluster_id = $1"
                            || guarded.is_some_and(|(number, rest)| number.parse::<u8>().is_ok() && rest == named)
                    });
                    if !is_named {
                        self.faults.push(format!("{name} {alias}: no {named}"));
                    }
                }
                Scope::Every => {}
                Scope::Directory | Scope::Server => self.faults.push(format!("reads {name}")),
            }
        }
        if self.scope == Scope::Every && !tables.is_empty() && joins + 1 < tables.len() {
            self.faults.push("tables are not joined by cluster_id".into());
        }
        for table in tables.iter().filter(|table| table.name == "cluster_directory") {
            if !matches!(self.scope, Scope::Every | Scope::Directory) {
                self.faults.push(format!("reads {}", table.name));
            }
        }
    }

    /// Rows that are inserted have the id of the cluster's row, or of the parameter in a single row.
    fn insert(&mut self, insert: &Insert) {
        let TableObject::TableName(name) = &insert.table else {
            self.faults.push("inserts into no table".into());
            return;
        };
        let name = name.to_string();
        if self.scope == Scope::Directory && name == "cluster_directory" {
            return;
        }
        if self.scope != Scope::Cluster || !SPREAD.contains(&&*name) {
            self.faults.push(format!("inserts into {name}"));
            return;
        }
        let column = insert.columns.iter().position(|column| column.to_string() == "cluster_id");
        let found = column.zip(insert.source.as_ref()).and_then(|(at, source)| match &*source.body {
            SetExpr::Values(values) if values.rows.len() == 1 => Some(values.rows[0].get(at)?.to_string()),
            SetExpr::Select(select) => {
                let (mut tables, mut conditions) = (Vec::new(), Vec::new());
                select.from.iter().for_each(|part| collect(part, &mut tables, &mut conditions));
                let id = match select.projection.get(at)? {
                    SelectItem::UnnamedExpr(id) => id.to_string(),
                    _ => return None,
                };
                let row = tables.iter().find(|table| table.name == "cluster")?;
                (id == format!("{}.cluster_id", row.alias)).then(|| "$1".to_owned())
            }
            _ => None,
        });
        if found.as_deref() != Some("$1") {
            self.faults.push(format!("{name}: the cluster_id that is inserted is not that of the cluster's row"));
        }
    }
}

/// The tables of a FROM clause, and the conditions of its joins.
fn collect(part: &TableWithJoins, tables: &mut Vec<Table>, conditions: &mut Vec<String>) {
    let mut table = |factor: &TableFactor, conditions: &mut Vec<String>| match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let name = name.to_string();
            let alias = alias.as_ref().map_or_else(|| name.clone(), |alias| alias.name.value.clone());
            if SPREAD.contains(&&*name) || name == "cluster_directory" {
                tables.push(Table { name, alias });
            }
        }
        TableFactor::NestedJoin { table_with_joins, .. } => collect(table_with_joins, tables, conditions),
        _ => {}
    };
    table(&part.relation, conditions);
    for Join { relation, join_operator, .. } in &part.joins {
        table(relation, conditions);
        if let Joined(on) | Inner(on) | Left(on) | LeftOuter(on) | CrossJoin(on) = join_operator
            && let JoinConstraint::On(on) = on
        {
            conjuncts(on, conditions);
        }
    }
}

/// The conditions that all must hold.
fn conjuncts(condition: &Expr, into: &mut Vec<String>) {
    match condition {
        Expr::BinaryOp { left, op: sqlparser::ast::BinaryOperator::And, right } => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        Expr::Nested(inner) => conjuncts(inner, into),
        other => into.push(other.to_string()),
    }
}

fn faults(scope: Scope, sql: &str) -> Vec<String> {
    match Parser::parse_sql(&PostgreSqlDialect {}, sql) {
        Ok(statements) if statements.len() == 1 => {
            let mut checker = Checker { scope, faults: Vec::new() };
            let _ = statements.visit(&mut checker);
            checker.faults
        }
        Ok(statements) => vec![format!("{} statements", statements.len())],
        Err(error) => vec![format!("does not parse: {error}")],
    }
}

#[test]
fn every_table_of_every_statement_names_its_cluster() {
    let registry = registry();
    assert!(registry.len() > 80, "{}", registry.len());
    let faults: Vec<_> =
        registry.iter().map(|(name, scope, sql)| (name, faults(*scope, sql))).filter(|(_, f)| !f.is_empty()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn statements_that_lack_a_cluster_are_found() {
    for (scope, sql) in [
        (Scope::Cluster, "SELECT * FROM object"),
        (Scope::Cluster, "SELECT * FROM object o WHERE o.cluster_id = $2"),
        (Scope::Cluster, "SELECT * FROM object o WHERE o.cluster_id = $1 OR o.deleted"),
        (
            Scope::Cluster,
            "SELECT * FROM cluster c JOIN object o ON o.cluster_id = c.cluster_id WHERE c.cluster_id = $1",
        ),
        (Scope::Cluster, "SELECT * FROM cluster c, object o WHERE cluster_id = $1 AND o.cluster_id = $1"),
        (
            Scope::Cluster,
            "SELECT (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id) FROM cluster c WHERE c.cluster_id = $1",
        ),
        (Scope::Cluster, "WITH l AS (SELECT * FROM cluster WHERE name = $1 FOR UPDATE) SELECT * FROM l"),
        (
            Scope::Cluster,
            "SELECT * FROM object WHERE cluster_id = (SELECT cluster_id FROM cluster_directory WHERE name = $1)",
        ),
        (Scope::Cluster, "UPDATE object o SET rev = 1 FROM UNNEST($2::int[]) n (id) WHERE o.cluster_id = n.id"),
        (Scope::Cluster, "DELETE FROM batch WHERE rev_to < $1"),
        (Scope::Cluster, "UPDATE lease SET until = extract(epoch FROM clock_timestamp()) WHERE cluster_id = $1"),
        (Scope::Cluster, "WITH w AS (UPDATE object SET rev = 1 RETURNING 1) SELECT count(*) FROM w"),
        (Scope::Cluster, "INSERT INTO object (cluster_id, kind) SELECT $1, n.kind FROM UNNEST($2::text[]) n (kind)"),
        (Scope::Cluster, "INSERT INTO object (kind) SELECT c.cluster_id FROM cluster c WHERE c.cluster_id = $1"),
        (Scope::Cluster, "INSERT INTO object (cluster_id) SELECT c.cluster_id FROM cluster c"),
        (Scope::Cluster, "INSERT INTO batch (cluster_id) VALUES ($1), ($2)"),
        (Scope::Every, "DELETE FROM cluster WHERE removed = 0"),
        (Scope::Every, "SELECT * FROM cluster c JOIN object o ON o.kind = c.name"),
        (Scope::Directory, "SELECT * FROM cluster"),
        (Scope::Server, "SELECT * FROM lease"),
        (Scope::Cluster, "SELECT 1; SELECT 2"),
        (Scope::Cluster, "SELECT FROM WHERE"),
    ] {
        assert!(!faults(scope, sql).is_empty(), "{scope:?}: {sql}");
    }
    let good = "UPDATE object o SET rev = 1 FROM (SELECT $1::int AS cluster_id) n WHERE ($8 OR o.cluster_id = $1)";
    assert_eq!(faults(Scope::Cluster, good), Vec::<String>::new());
}

/// The engine sends nothing but what is registered.
#[test]
fn statements_are_sent_by_their_registered_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres");
    let names: BTreeSet<String> = registry().into_iter().map(|(name, ..)| name).collect();
    let files = fs::read_dir(&folder).expect("the folder").map(|file| file.expect("a file").path());
    let mut sent = 0;
    for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        // Before a connection is one of a store: the server and its state, none of our tables.
        if ["servers.rs", "listen.rs", "inspect.rs", "citus.rs"].contains(&&*file) {
            continue;
        }
        let code = fs::read_to_string(&path).expect("it is text");
        for call in ["query(", "query_as(", "query_scalar("] {
            for (at, _) in code.match_indices(&format!("sqlx::{call}")) {
                let argument: String = code[at + "sqlx::".len() + call.len()..]
                    .chars()
                    .take_while(|c| !matches!(c, ')' | '(' | '\n'))
                    .collect();
                let is_registered = names.contains(argument.trim());
                // Handed on from a list of registered ones, or one of a ledger's or a write's statements.
                let is_handed_on = matches!(
                    argument.trim(),
                    "sql"
                        | "match stand {"
                        | "if self.notify { NOTE_AND_NOTIFY } else { NOTE }"
                        | "BY_ID.scan"
                        | "BY_ID.sizes"
                        | "BY_ID.prune"
                );
                assert!(is_registered || is_handed_on, "{file}: {argument:?} is not registered");
                sent += 1;
            }
        }
    }
    assert!(sent > 40, "{sent}");
}
