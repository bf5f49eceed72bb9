//! Opening a database, and the one clear line when it cannot be.

use podberth::store::{self, Options, StoreError};
use sqlx::{Connection, Executor, SqliteConnection};
use std::time::Duration;

use crate::build::{CLUSTER, created, one, pod, put};
use crate::database::{Database, Engine, execute, postgres_url, with_database};

async fn error(url: &str) -> StoreError {
    let options = Options { acquire_timeout: Duration::from_secs(2), ..Options::default() };
    let error = store::open(url, &options).await.expect_err("the database does not open");
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("secret"), "one line without a password: {line}");
    error
}

#[tokio::test]
async fn an_unknown_scheme() {
    for url in ["mysql://localhost/x", "podberth.db", "", "sqlite:", "sqlite:a.db?mode=ro", "postgres://a:b:c:d/x"] {
        assert!(matches!(error(url).await, StoreError::Url(_)), "{url}");
    }
}

#[tokio::test]
async fn postgres_unreachable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = error(&format!("postgres://u:secret@{closed}/x")).await;
    assert_eq!(
        error,
        StoreError::Unavailable(format!("PostgreSQL at {closed} cannot be reached: Connection refused (os error 111)"))
    );
}

#[tokio::test]
async fn postgres_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let error = error(&format!("postgres://u:secret@{address}/x")).await;
    assert_eq!(error, StoreError::Unavailable(format!("PostgreSQL at {address} does not answer within 2s")));
}

/// A proxy that has no primary behind it takes connections and closes them.
#[tokio::test]
async fn postgres_behind_a_proxy_without_a_primary() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = proxy.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut client, &mut [0; 64]).await;
        }
    });
    let error = error(&format!("postgres://u:secret@{address}/x")).await;
    let expected = "the connection was closed before PostgreSQL said anything";
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains(expected)), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// The first of two servers is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_at_one_of_several_addresses() {
    with_database(Engine::Postgres, async |database: Database| {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = database.url.replace('@', &format!("@{closed},"));
        let store = store::open(&url, &Options::default()).await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
        store.close().await;
        let nobody = error(&format!("postgres://u:secret@{closed},{closed}/x")).await.to_string();
        assert!(nobody.starts_with("there is no primary: ") && nobody.contains("cannot be reached"), "{nobody}");
    })
    .await;
}

#[tokio::test]
async fn postgres_wrong_password_or_database() {
    let admin = postgres_url("postgres");
    let (user, rest) = admin.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
    let (_, server) = rest.split_once('@').unwrap();
    let error_of = error(&format!("postgres://{user}:secret@{server}")).await;
    assert!(
        matches!(&error_of, StoreError::Denied(why) if why.contains("password authentication failed")),
        "{error_of}"
    );
    let error_of = error(&postgres_url("no_such_database")).await;
    assert!(
        matches!(&error_of, StoreError::Denied(why) if why.contains("\"no_such_database\" does not exist")),
        "{error_of}"
    );
}

#[tokio::test]
async fn postgres_schema_too_new() {
    with_database(Engine::Postgres, async |database: Database| {
        database.store().await.close().await;
        execute(&database.url, "INSERT INTO _sqlx_migrations VALUES (999, 'later', now(), true, '', 0)").await;
        assert!(matches!(error(&database.url).await, StoreError::SchemaTooNew { applied: 999, .. }));
    })
    .await;
}

/// Ten processes start at once on an empty database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_concurrent_migrations() {
    with_database(Engine::Postgres, async |database: Database| {
        let mut starting = tokio::task::JoinSet::new();
        for name in 0..10 {
            let database = database.clone();
            starting.spawn(async move {
                let store = database.store().await;
                one(&*store, put(pod(&name.to_string()), "1")).await;
                store.close().await;
            });
        }
        starting.join_all().await;
        assert_eq!(database.open().await.head(CLUSTER).await.unwrap().revision, 10);
    })
    .await;
}

#[tokio::test]
async fn sqlite_schema_too_new() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        store.close().await;
        let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
        connection
            .execute("INSERT INTO _sqlx_migrations VALUES (999, 'later', CURRENT_TIMESTAMP, true, x'', 0)")
            .await
            .unwrap();
        connection.close().await.unwrap();
        assert!(matches!(error(&database.url).await, StoreError::SchemaTooNew { applied: 999, .. }));
    })
    .await;
}

#[tokio::test]
async fn sqlite_keeps_written_objects() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
        store.close().await;
        let store = database.open().await;
        assert_eq!(store.get(CLUSTER, &pod("a")).await.unwrap().unwrap().body, "1");
    })
    .await;
}

#[tokio::test]
async fn sqlite_has_one_process() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        let second = error(&database.url).await;
        assert!(matches!(&second, StoreError::InUse(why) if why.contains("in use by another process")), "{second}");
        store.close().await;
        database.open().await.close().await;
    })
    .await;
}

#[tokio::test]
async fn sqlite_unusable_paths() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("text"), "this is no database, it is a text of more than a hundred bytes. ".repeat(20))
        .unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    for name in ["text", "directory", "no/such/directory/x.db"] {
        let url = format!("sqlite:{}", path(name).display());
        let error = error(&url).await;
        assert!(matches!(&error, StoreError::Denied(why) if why.contains(name)), "{name}: {error:?}");
    }
    // Nobody, not even root, can write here.
    assert!(matches!(error("sqlite:/proc/podberth.db").await, StoreError::Denied(_)));
}

/// `scripts/test` runs it against a PostgreSQL of its own: `PODBERTH_POSTGRES_TLS=on scripts/postgres cargo test --test store over_tls`.
#[tokio::test]
async fn postgres_over_tls_is_held_against_authority_and_name() {
    let (Ok(url), Ok(authority)) =
        (std::env::var("PODBERTH_TEST_POSTGRES_URL"), std::env::var("PODBERTH_TEST_POSTGRES_CA"))
    else {
        eprintln!("skipped: PODBERTH_TEST_POSTGRES_CA is not set");
        return;
    };
    let other = tempfile::NamedTempFile::new().expect("a file");
    let of_another = podberth_testkit::certificates::Authority::new("another");
    std::fs::write(other.path(), &of_another.pem).expect("it is written");
    let other = other.path().display().to_string();
    for (host, settings, good) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={authority}"), true),
        // The certificate has the address alone.
        ("localhost", format!("sslmode=verify-full&sslrootcert={authority}"), false),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={authority}"), true),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={other}"), false),
        ("127.0.0.1", "sslmode=verify-full".to_owned(), false),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
    ] {
        let url = format!("{}?{settings}", url.replace("127.0.0.1", host));
        let options = Options { wait: Duration::ZERO, ..Options::default() };
        let opened = store::open(&url, &options).await;
        assert_eq!(opened.is_ok(), good, "{host} {settings}: {:?}", opened.err());
    }
}
