//! A look at a database server, and at what of it does not fit.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::citus::Citus;
use super::{Known, Options, StoreError, first_contact, rows, servers};
use crate::MigrationStatus;

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub name: &'static str,
    /// Its state.
    pub state: String,
    /// The consequence, and the remedy.
    pub remark: Option<Remark>,
}

/// A remark on a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Podberth works; something is worth knowing.
    Note(String),
    /// Podberth does not work, or acknowledged writes may be lost.
    Problem(String),
}

/// The settings that are looked at.
const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'server_version_num',
    'server_encoding', 'fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names',
    'max_connections', 'superuser_reserved_connections', 'max_prepared_transactions', 'default_transaction_read_only')";

/// The standbys that are there, and those of which this role may see no more.
const STANDBYS: &str = "SELECT count(*) FILTER (WHERE state = 'streaming'), count(*) FILTER (WHERE state IS NULL)
    FROM pg_stat_replication";

/// Looks at the database of a URL.
///
/// # Errors
/// Why it cannot be reached, or is none for Podberth: a standby, or a pooler in transaction mode.
pub(crate) async fn inspect(url: &str, options: &Options) -> Result<Vec<Finding>, StoreError> {
    let (server, Known { notify }) = first_contact(&servers::parse(url)?, options).await?;
    let mut connection = PgConnection::connect_with(&server).await?;
    let banner: String = sqlx::query_scalar("SELECT version()").fetch_one(&mut connection).await?;
    let settings: Vec<(String, String)> = sqlx::query_as(SETTINGS).fetch_all(&mut connection).await?;
    let standbys: (i64, i64) = sqlx::query_as(STANDBYS).fetch_one(&mut connection).await?;
    let applied = applied(&mut connection).await;
    let citus = Citus::of(&mut connection).await?;
    connection.close().await?;
    let facts = Facts { banner, settings, standbys, applied, citus, notify };
    Ok(facts.findings(options.max_connections))
}

async fn applied(connection: &mut PgConnection) -> Option<i64> {
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await.ok().flatten()
}

#[derive(Debug)]
struct Facts {
    banner: String,
    settings: Vec<(String, String)>,
    /// See [`STANDBYS`].
    standbys: (i64, i64),
    /// The newest migration.
    applied: Option<i64>,
    citus: Option<Citus>,
    notify: bool,
}

impl Facts {
    fn setting(&self, name: &str) -> &str {
        self.settings.iter().find(|(found, _)| found == name).map_or("", |(_, setting)| setting)
    }

    fn number(&self, name: &str) -> i64 {
        self.setting(name).parse().unwrap_or(0)
    }

    /// `connections` is the number of those that one process makes at most, without the one that listens.
    fn findings(&self, connections: u32) -> Vec<Finding> {
        let mut findings = vec![self.engine(), self.schema(), self.encoding(), self.distribution()];
        findings.extend(self.durability());
        findings.push(self.connections(i64::from(connections) + i64::from(self.notify)));
        findings.push(self.notification());
        findings
    }

    fn engine(&self) -> Finding {
        let other = ["CockroachDB", "YugabyteDB", "-YB-", "Redshift", "Greenplum"];
        let remark = if other.iter().any(|name| self.banner.contains(name)) {
            note("Podberth is tested on PostgreSQL and Citus alone: read about others in the guide of operations")
        } else if (1..140_000).contains(&self.number("server_version_num")) {
            note("PostgreSQL 15 and newer are tested; before 14 bodies are compressed several times slower")
        } else {
            None
        };
        let version = self.banner.split(" on ").next().unwrap_or_default().to_owned();
        Finding { name: "server", state: version, remark }
    }

    fn schema(&self) -> Finding {
        let (state, remark) = match rows::status(&crate::migrations::POSTGRES, self.applied) {
            Ok(status) if status.is_current() => (format!("version {}, current", status.applied), None),
            Ok(MigrationStatus { applied, known }) => {
                (format!("version {applied} of {known}"), note("`podberth migrate` brings it up to date"))
            }
            Err(error) => (format!("version {}", self.applied.unwrap_or(0)), problem(&error.to_string())),
        };
        Finding { name: "schema", state, remark }
    }

    fn encoding(&self) -> Finding {
        let encoding = self.setting("server_encoding");
        let remark = match encoding {
            "UTF8" | "" => None,
            _ => problem("names with other characters cannot be stored: create the database with ENCODING 'UTF8'"),
        };
        Finding { name: "encoding", state: encoding.to_owned(), remark }
    }

    fn distribution(&self) -> Finding {
        let Some(Citus { version, servers, is_spread }) = &self.citus else {
            return Finding { name: "distribution", state: "one server".into(), remark: None };
        };
        let remark = match (*is_spread, *servers) {
            (_, 0) => problem(Citus::NO_SERVER),
            (false, _) => note("the tables are on this server alone: `podberth migrate --citus` spreads them"),
            (true, _) if self.number("max_prepared_transactions") == 0 => problem(
                "clusters cannot be created or removed over several servers: set max_prepared_transactions on each to \
                 at least max_connections",
            ),
            (true, _) => None,
        };
        let spread = if *is_spread { format!("tables spread over {servers}") } else { "tables not spread".into() };
        Finding { name: "distribution", state: format!("Citus {version}, {spread}"), remark }
    }

    fn durability(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in ["fsync", "full_page_writes"] {
            let state = self.setting(name);
            let remark = if state == "off" {
                problem("a crash of the machine can damage the database: set it on")
            } else {
                None
            };
            findings.push(Finding { name, state: state.to_owned(), remark });
        }
        let state = self.setting("synchronous_commit");
        let remark = match state {
            "off" => problem("a crash can lose acknowledged writes: set it on"),
            "local" => problem("a failover can lose acknowledged writes: set it on"),
            _ => None,
        };
        findings.push(Finding { name: "synchronous_commit", state: state.to_owned(), remark });
        let names = self.setting("synchronous_standby_names");
        let (state, remark) = match (names, self.standbys) {
            (_, (_, hidden @ 1..)) => (
                format!("{hidden}, of which this role may not see the state"),
                note("to have it looked at: GRANT pg_monitor to the role, or run this as a superuser"),
            ),
            ("", (0, _)) => ("none".to_owned(), note("a lost machine loses the database, but for its backups")),
            ("", (count, _)) => (
                format!("{count}, asynchronous"),
                note(
                    "a failover can lose acknowledged writes: set synchronous_standby_names, or Patroni's synchronous_mode",
                ),
            ),
            (names, (0, _)) => {
                (format!("none of {names}"), problem("writes wait until a synchronous standby is there"))
            }
            (names, (count, _)) => (format!("{count}, synchronous: {names}"), None),
        };
        findings.push(Finding { name: "standbys", state, remark });
        if self.setting("default_transaction_read_only") == "on" {
            let remark = problem("no write is taken: set it off for this database and role");
            findings.push(Finding { name: "default_transaction_read_only", state: "on".into(), remark });
        }
        findings
    }

    fn connections(&self, of_one: i64) -> Finding {
        let free = self.number("max_connections").saturating_sub(self.number("superuser_reserved_connections"));
        let processes = free / of_one.max(1);
        let is_too_few = free > 0 && processes == 0;
        let too_few = "they do not suffice for one process: raise max_connections, or lower --database-max-connections";
        let remark = if is_too_few { problem(too_few) } else { None };
        let state = format!("{free}: enough for {processes} processes with {of_one} each");
        Finding { name: "connections", state, remark }
    }

    fn notification(&self) -> Finding {
        let (state, remark) = if self.notify {
            ("yes", None)
        } else {
            ("no", note("changes by other processes are seen with the next poll"))
        };
        Finding { name: "NOTIFY", state: state.into(), remark }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside findings without a remark")]
fn note(text: &str) -> Option<Remark> {
    Some(Remark::Note(text.to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside findings without a remark")]
fn problem(text: &str) -> Option<Remark> {
    Some(Remark::Problem(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(settings: &[(&str, &str)]) -> Facts {
        let all =
            [("server_encoding", "UTF8"), ("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")];
        let all = all.into_iter().chain([("max_connections", "100"), ("superuser_reserved_connections", "3")]);
        let all = settings.iter().copied().chain(all).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let banner = "PostgreSQL 15.18 (Debian 15.18-0) on x86_64-pc-linux-gnu, compiled by gcc".to_owned();
        Facts { banner, settings: all.collect(), standbys: (0, 0), applied: None, citus: None, notify: true }
    }

    fn problems(facts: &Facts) -> Vec<&'static str> {
        let is_problem = |found: &Finding| matches!(found.remark, Some(Remark::Problem(_)));
        facts.findings(8).into_iter().filter(is_problem).map(|found| found.name).collect()
    }

    #[test]
    fn what_does_not_work_is_named() {
        assert_eq!(problems(&facts(&[])), [""; 0]);
        for (setting, value, name) in [
            ("server_encoding", "SQL_ASCII", "encoding"),
            ("fsync", "off", "fsync"),
            ("full_page_writes", "off", "full_page_writes"),
            ("synchronous_commit", "off", "synchronous_commit"),
            ("synchronous_standby_names", "ANY 1 (b)", "standbys"),
            ("max_connections", "10", "connections"),
            ("default_transaction_read_only", "on", "default_transaction_read_only"),
        ] {
            assert_eq!(problems(&facts(&[(setting, value)])), [name], "{setting}");
        }
        let citus = |servers, is_spread| Some(Citus { version: "13.2-1".into(), servers, is_spread });
        for (servers, is_spread, prepared, expected) in [
            (2, true, "100", ""),
            (2, true, "0", "distribution"),
            (0, true, "100", "distribution"),
            (2, false, "0", ""),
        ] {
            let facts = Facts { citus: citus(servers, is_spread), ..facts(&[("max_prepared_transactions", prepared)]) };
            assert_eq!(problems(&facts).join(""), expected, "{servers} {is_spread} {prepared}");
        }
        let synchronous = || facts(&[("synchronous_standby_names", "ANY 1 (b)")]);
        for standbys in [(1, 0), (0, 1)] {
            assert_eq!(problems(&Facts { standbys, ..synchronous() }), [""; 0], "{standbys:?}");
        }
        assert_eq!(problems(&Facts { applied: Some(999), ..facts(&[]) }), ["schema"]);
    }
}
