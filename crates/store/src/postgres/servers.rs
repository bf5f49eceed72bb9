//! Finds the primary: the URL may name several servers, and an address may lead to a pooler or to no server.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection, Executor};

use super::{listen, rows};
use crate::StoreError;

/// libpq's parameter for the kind of server; here it is always the primary.
const TARGET: &str = "target_session_attrs";

/// Features that a server of this protocol may lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// NOTIFY.
    pub(super) notify: bool,
}

/// The servers that a URL names: `postgres://user@host1:5432,host2/name`, each with a port of its own or 5432, as libpq has
/// it (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
pub(super) fn parse(url: &str) -> Result<Vec<PgConnectOptions>, StoreError> {
    let bad = |why: &str| StoreError::Url(format!("the store's URL is not valid: {why}"));
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it must begin with postgres://"))?;
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_ends);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut settings = Vec::new();
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        match setting.split_once('=') {
            Some((TARGET, "read-write" | "primary" | "any")) => {}
            Some((TARGET, other)) => {
                return Err(bad(&format!("{TARGET}={other}: Podberth needs the primary (read-write)")));
            }
            Some((key @ ("host" | "hostaddr" | "port"), value)) if value.contains(',') => {
                return Err(bad(&format!(
                    "write several hosts before the path, as in postgres://h1:5432,h2:5432/name, and not as {key}="
                )));
            }
            _ => settings.push(setting),
        }
    }
    let settings = if settings.is_empty() { String::new() } else { format!("?{}", settings.join("&")) };
    let several = hosts.contains(',');
    let server = |host: &str| {
        if several && host.is_empty() {
            return Err(bad("a host is empty"));
        }
        let options: PgConnectOptions = format!("{scheme}://{user}{host}{path}{settings}").parse()?;
        // Poolers refuse what they cannot keep apart by session. All that is read as text here are whole numbers.
        Ok(options.extra_float_digits(None).application_name("podberth"))
    };
    hosts.split(',').map(server).collect()
}

/// The hosts of a URL that are asked over a network without a look at their certificate: somebody on the way can read all, the password too. Those
/// of a URL that is not valid are reported when it is opened.
pub(crate) fn unverified(url: &str) -> Vec<String> {
    let is_local = |server: &PgConnectOptions| {
        let host = server.get_host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback =
            host.parse::<IpAddr>().map_or(host == "localhost", |address| address.to_canonical().is_loopback());
        is_loopback || host.starts_with('/') || server.get_socket().is_some()
    };
    let is_verified =
        |server: &PgConnectOptions| matches!(server.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    let servers = parse(url).unwrap_or_default();
    let found = servers.iter().filter(|server| !is_local(server) && !is_verified(server));
    found.map(|server| server.get_host().to_owned()).collect()
}

/// The first primary in the URL's order, with its features. All servers are contacted at once.
pub(super) async fn primary(
    servers: &[PgConnectOptions],
    patience: Duration,
) -> Result<(PgConnectOptions, Known), StoreError> {
    let answers = join_all(servers.iter().map(|server| contact(server, patience))).await;
    let mut errors = Vec::new();
    for (server, answer) in servers.iter().zip(answers) {
        match answer {
            Ok(known) => return Ok((server.clone(), known)),
            Err(error) => errors.push(error),
        }
    }
    // Where one may come yet, waiting helps.
    let transient = errors.iter().any(StoreError::is_transient);
    let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match errors.pop() {
        Some(only) if errors.is_empty() => Err(only),
        _ if transient => Err(StoreError::Unavailable(format!("there is no primary: {told}"))),
        _ => Err(StoreError::Denied(told)),
    }
}

/// Connects once, so that a wrong URL, password or database is reported as such.
async fn contact(server: &PgConnectOptions, patience: Duration) -> Result<Known, StoreError> {
    let place = match server.get_socket() {
        Some(socket) => format!("PostgreSQL at {}", socket.display()),
        None => format!("PostgreSQL at {}:{}", server.get_host(), server.get_port()),
    };
    let contact = async {
        let mut connection = PgConnection::connect_with(server).await?;
        let standby = is_standby(&mut connection).await;
        let pooled = !standby && shares_sessions(&mut connection, server).await?;
        let known = if standby || pooled { Known { notify: false } } else { known(&mut connection).await };
        connection.close().await?;
        Ok((standby, pooled, known))
    };
    match tokio::time::timeout(patience, contact).await {
        Ok(Ok((true, ..))) => Err(StoreError::Unavailable(format!("{place} is {STANDBY}"))),
        Ok(Ok((_, true, _))) => Err(StoreError::Denied(format!("{place} is {POOLER}"))),
        Ok(Ok((.., known))) => Ok(known),
        Ok(Err(error)) if names_prepared_statement(&error) => Err(StoreError::Denied(format!("{place} is {POOLER}"))),
        Ok(Err(error @ sqlx::Error::Io(_))) => {
            Err(StoreError::Unavailable(format!("{place} cannot be reached: {}", rows::root_cause(&error))))
        }
        Ok(Err(error)) => Err(match error.into() {
            StoreError::Denied(why) => StoreError::Denied(format!("{place} turns us away: {why}")),
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{place}: {why}")),
            other => other,
        }),
        Err(_) => Err(StoreError::Unavailable(format!("{place} does not answer within {patience:?}"))),
    }
}

async fn known(connection: &mut PgConnection) -> Known {
    let notify = sqlx::query("SELECT pg_notify($1, '')").bind(listen::CHANNEL).execute(&mut *connection).await;
    Known { notify: notify.is_ok() }
}

/// The description of a standby.
pub(super) const STANDBY: &str = "a standby, which takes no writes and may be behind: the primary's address is needed";

/// The description of a pooler that spreads a session's statements over several connections of the server.
const POOLER: &str = "a pooler in transaction or statement mode: settings, prepared statements and LISTEN belong to a \
                      session, so session mode is needed (PgBouncer: pool_mode = session)";

/// `true` if the server follows another: a failover may lead a new connection there. Servers that do not know the query count as primaries. A
/// server that takes no writes for another reason can still be read.
pub(super) async fn is_standby(connection: &mut PgConnection) -> bool {
    let asked = sqlx::query_scalar("SELECT pg_is_in_recovery()").persistent(false).fetch_one(connection);
    asked.await.unwrap_or(false)
}

/// `true` if two sessions were given one connection of the server, or one session two. A session in a transaction keeps others from its
/// connection.
async fn shares_sessions(connection: &mut PgConnection, server: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let Some(first) = backend(connection).await else { return Ok(false) };
    let mut other = match PgConnection::connect_with(server).await {
        Ok(other) => other,
        // There may be no room for a second one.
        Err(sqlx::Error::Database(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    match other.execute("BEGIN").await {
        // Statement mode.
        Err(sqlx::Error::Database(_)) => return Ok(true),
        begun => begun.map(drop)?,
    }
    let second = backend(&mut other).await;
    let again = backend(connection).await;
    other.execute("ROLLBACK").await?;
    other.close().await?;
    Ok(second == Some(first) || again != Some(first))
}

/// The server's process behind a connection; `None` where servers of this protocol have none. By the simple protocol, which
/// prepares nothing.
async fn backend(connection: &mut PgConnection) -> Option<i32> {
    let row = connection.fetch_one("SELECT pg_backend_pid()").await.ok()?;
    sqlx::Row::try_get(&row, 0).ok().filter(|process: &i32| *process > 0)
}

/// `true` if a statement existed that this session has not prepared, or one was missing that it has.
fn names_prepared_statement(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42P05" | "26000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_over_a_network_are_verified_or_named() {
        for local in [
            "postgres://localhost/x",
            "postgres://127.0.0.1:1/x",
            "postgres://[::1]/x",
            "postgres:///x?host=/run/postgresql",
        ] {
            assert!(unverified(local).is_empty(), "{local}");
        }
        for (settings, is_verified) in [
            ("", false),
            ("?sslmode=disable", false),
            ("?sslmode=prefer", false),
            ("?sslmode=require", false),
            ("?sslmode=verify-ca&sslrootcert=ca.crt", true),
            ("?sslmode=verify-full&sslrootcert=ca.crt", true),
        ] {
            let found = unverified(&format!("postgres://u:p@db,127.0.0.1,10.0.0.1:5433/x{settings}"));
            assert_eq!(found, if is_verified { vec![] } else { vec!["db", "10.0.0.1"] }, "{settings}");
        }
    }

    #[test]
    fn a_url_may_name_several_servers() {
        let places = |url: &str| {
            parse(url).map(|servers| servers.iter().map(|s| format!("{}:{}", s.get_host(), s.get_port())).collect())
        };
        let cases: [(&str, &[&str]); 6] = [
            ("postgres://u:p@h1/x", &["h1:5432"]),
            ("postgres://u:p@h1,h2:5433/x", &["h1:5432", "h2:5433"]),
            ("postgresql://u:p%40@h1:1,h2:2,h3/x?sslmode=disable", &["h1:1", "h2:2", "h3:5432"]),
            ("postgres://[::1]:1,[::2]:2/x", &["[::1]:1", "[::2]:2"]),
            ("postgres://h1,h2/x?target_session_attrs=read-write&sslmode=prefer", &["h1:5432", "h2:5432"]),
            ("postgres://u:a,b@h1/x", &["h1:5432"]),
        ];
        for (url, expected) in cases {
            assert_eq!(places(url), Ok::<Vec<String>, _>(expected.iter().map(ToString::to_string).collect()), "{url}");
        }
        for url in [
            "postgres://h1,,h2/x",
            "postgres://h1:many,h2/x",
            "postgres://h1,h2/x?target_session_attrs=standby",
            "postgres:///x?host=h1,h2",
            "postgres:h1",
        ] {
            assert!(matches!(places(url), Err(StoreError::Url(_))), "{url}");
        }
    }
}
