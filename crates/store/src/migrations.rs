//! The migrations of both engines, embedded by the build script: number, description, SQL.

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr};
use tokio::time::Instant;

type Embedded = (i64, &'static str, &'static str);

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The migrations of PostgreSQL.
pub(crate) static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| migrator(OF_POSTGRES));

/// The migrations of SQLite.
pub(crate) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(OF_SQLITE));

/// Runs the embedded migrations. Each is one transaction and is known to the database by its number and checksum.
fn migrator(embedded: &[Embedded]) -> Migrator {
    let migration = |&(version, description, sql): &Embedded| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(embedded.iter().map(migration).collect())
}

/// Applies migrations command by command, each migration in one transaction: not every server takes several commands at once.
pub(crate) struct OneByOne<'c>(pub(crate) &'c mut PgConnection);

impl Migrate for OneByOne<'_> {
    fn create_schema_if_not_exists<'e>(&'e mut self, name: &'e str) -> BoxFuture<'e, Result<(), MigrateError>> {
        self.0.create_schema_if_not_exists(name)
    }

    fn ensure_migrations_table<'e>(&'e mut self, table: &'e str) -> BoxFuture<'e, Result<(), MigrateError>> {
        self.0.ensure_migrations_table(table)
    }

    fn dirty_version<'e>(&'e mut self, table: &'e str) -> BoxFuture<'e, Result<Option<i64>, MigrateError>> {
        self.0.dirty_version(table)
    }

    fn list_applied_migrations<'e>(
        &'e mut self,
        table: &'e str,
    ) -> BoxFuture<'e, Result<Vec<AppliedMigration>, MigrateError>> {
        self.0.list_applied_migrations(table)
    }

    fn lock(&mut self) -> BoxFuture<'_, Result<(), MigrateError>> {
        self.0.lock()
    }

    fn unlock(&mut self) -> BoxFuture<'_, Result<(), MigrateError>> {
        self.0.unlock()
    }

    fn apply<'e>(
        &'e mut self,
        table: &'e str,
        migration: &'e Migration,
    ) -> BoxFuture<'e, Result<Duration, MigrateError>> {
        Box::pin(async move {
            let start = Instant::now();
            let mut transaction = self.0.begin().await?;
            for command in commands(migration.sql.as_str()) {
                let done = transaction.execute(AssertSqlSafe(command)).await;
                done.map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
            }
            // Notes that it is done.
            transaction.skip(table, migration).await?;
            transaction.commit().await?;
            Ok(start.elapsed())
        })
    }

    fn revert<'e>(&'e mut self, _: &'e str, _: &'e Migration) -> BoxFuture<'e, Result<Duration, MigrateError>> {
        Box::pin(async { Err(MigrateError::SkipNotSupported()) })
    }
}

/// The commands of a migration, without comments. A text in quotes may have any character.
fn commands(sql: &str) -> Vec<String> {
    let (mut commands, mut command) = (Vec::new(), String::new());
    let (mut is_quoted, mut is_comment) = (false, false);
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' if is_comment => is_comment = false,
            _ if is_comment => continue,
            '-' if !is_quoted && characters.peek() == Some(&'-') => {
                is_comment = true;
                continue;
            }
            '\'' => is_quoted = !is_quoted,
            ';' if !is_quoted => {
                commands.push(std::mem::take(&mut command));
                continue;
            }
            _ => {}
        }
        command.push(character);
    }
    commands.push(command);
    commands.retain(|command| !command.trim().is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn a_migration_is_sent_command_by_command() {
        let sql = "-- one; two\nCREATE TABLE a (b text); -- c\nINSERT INTO a VALUES ('x;--y''z');\n";
        assert_eq!(commands(sql), ["\nCREATE TABLE a (b text)", " \nINSERT INTO a VALUES ('x;--y''z')"]);
        for migration in POSTGRES.iter() {
            let whole = Parser::parse_sql(&PostgreSqlDialect {}, migration.sql.as_str()).expect("it parses");
            let commands = commands(migration.sql.as_str());
            let parts: Vec<_> = commands
                .iter()
                .flat_map(|command| Parser::parse_sql(&PostgreSqlDialect {}, command).expect("one command parses"))
                .collect();
            assert_eq!((commands.len(), parts), (whole.len(), whole), "migration {}", migration.version);
        }
    }

    /// Databases in use hold these: another checksum of a migration that ran is an error.
    #[test]
    fn migrations_keep_their_checksums() {
        for (migrator, checksum) in [(&*POSTGRES, 0xf0c8_d293_b315_a7b8), (&*SQLITE, 0x315f_ca79_28e5_f257)] {
            let first = migrator.iter().next().expect("a migration");
            assert_eq!((first.version, &*first.description), (1, "store"));
            assert!(first.checksum.starts_with(&u64::to_be_bytes(checksum)), "{:x?}", first.checksum);
            assert!(migrator.iter().map(|migration| migration.version).eq(1..=migrator.iter().len() as i64));
        }
    }
}
