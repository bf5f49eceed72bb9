//! The migrations of both engines, embedded by the build script: number, description, SQL.

use std::sync::LazyLock;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

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

#[cfg(test)]
mod tests {
    use super::*;

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
