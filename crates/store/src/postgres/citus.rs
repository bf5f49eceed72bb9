//! Spreads the tables over the servers of Citus: all rows of a cluster on one, by `cluster_id`, and the directory of names on each.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::statements::clusters::IS_SPREAD;
use super::{MIGRATION_LOCK_TIMEOUT, Options, RULED_OUT, StoreError, first_contact, rows, servers};

/// The tables that are spread, the first of which decides where the rows of a cluster are.
pub(super) const SPREAD: [&str; 6] = ["cluster", "batch", "object", "history", "ledger", "lease"];

/// The extension, where it is installed.
#[derive(Debug)]
pub(super) struct Citus {
    pub(super) version: String,
    /// Number of servers that take rows.
    pub(super) servers: i64,
    /// `true` if our tables are spread over them.
    pub(super) is_spread: bool,
}

impl Citus {
    /// The remedy where no server takes rows.
    pub(super) const NO_SERVER: &str =
        "Citus knows no server that takes rows: run citus_add_node for each that is to have some";

    pub(super) async fn of(connection: &mut PgConnection) -> Result<Option<Self>, StoreError> {
        let version: Option<String> = sqlx::query_scalar("SELECT extversion FROM pg_extension WHERE extname = 'citus'")
            .fetch_optional(&mut *connection)
            .await?;
        let Some(version) = version else { return Ok(None) };
        let servers = "SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards AND noderole = 'primary'";
        let servers = sqlx::query_scalar(servers).fetch_one(&mut *connection).await?;
        let is_spread = sqlx::query_scalar(IS_SPREAD).fetch_one(connection).await?;
        Ok(Some(Self { version, servers, is_spread }))
    }
}

/// Spreads the tables that are not spread yet, with the rows that they have. No process may use the database meanwhile.
pub(crate) async fn distribute(url: &str, options: &Options) -> Result<(), StoreError> {
    let (server, _) = first_contact(&servers::parse(url)?, options).await?;
    let mut connection = PgConnection::connect_with(&server).await?;
    connection.execute(MIGRATION_LOCK_TIMEOUT).await?;
    check(&mut connection).await?;
    let is_ours: bool =
        sqlx::query_scalar("SELECT to_regclass('cluster_directory') IS NOT NULL").fetch_one(&mut connection).await?;
    if !is_ours {
        return Err(StoreError::NotMigrated);
    }
    spread(&mut connection, "cluster_directory", "SELECT create_reference_table($1)").await?;
    let [first, others @ ..] = SPREAD;
    spread(&mut connection, first, "SELECT create_distributed_table($1, 'cluster_id')").await?;
    let beside = "SELECT create_distributed_table($1, 'cluster_id', colocate_with => 'cluster')";
    for table in others {
        spread(&mut connection, table, beside).await?;
    }
    configure(&mut connection).await;
    connection.close().await?;
    Ok(())
}

/// Refuses a database over which nothing can be spread.
pub(crate) async fn can_distribute(url: &str, options: &Options) -> Result<(), StoreError> {
    let (server, _) = first_contact(&servers::parse(url)?, options).await?;
    let mut connection = PgConnection::connect_with(&server).await?;
    check(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    match Citus::of(connection).await? {
        Some(Citus { servers: 1.., .. }) => Ok(()),
        Some(_) => Err(StoreError::Denied(Citus::NO_SERVER.into())),
        None => {
            let how = "CREATE EXTENSION citus in this database on each server, and citus_add_node for each on this one";
            Err(StoreError::Denied(format!("the database has no Citus: run {how}")))
        }
    }
}

async fn spread(connection: &mut PgConnection, table: &str, sql: &'static str) -> Result<(), StoreError> {
    let is_spread: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = $1::regclass)")
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
    if is_spread {
        return Ok(());
    }
    tracing::info!(table, "spreading the table over the servers");
    // A name as it is in the statement: the functions take a regclass.
    let sql = sql.replace("$1", &format!("'{table}'"));
    connection.execute(AssertSqlSafe(sql)).await?;
    // What was copied is on this server as well, unseen.
    let rest = format!("SELECT truncate_local_data_after_distributing_table('{table}')");
    if let Err(error) = connection.execute(AssertSqlSafe(rest)).await {
        tracing::info!(
            table,
            error = rows::root_cause(&error),
            "the rows that were copied stay on this server, unseen"
        );
    }
    Ok(())
}

/// Has the servers look rows up as this process has its own connections do it: Citus does not pass settings of a session on. Best effort: only speed
/// depends on it.
async fn configure(connection: &mut PgConnection) {
    for setting in RULED_OUT {
        let command = sqlx::query(
            "SELECT bool_and(success) FROM run_command_on_workers(
                 format('ALTER ROLE %I IN DATABASE %I SET %I = off', current_user, current_database(), $1::text))",
        );
        let done = command.bind(setting).execute(&mut *connection).await;
        if let Err(error) = done {
            tracing::info!(setting, error = rows::root_cause(&error), "the servers keep a setting of the planner");
            return;
        }
    }
}
