//! SQLite's file in the file system: its lock, and changes to it while it is in use.

use std::fs;
use std::path::{Path, PathBuf};

use podberth::store::{self, Atomicity, ListQuery, Options, Storage, StoreError, Writable};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::build::{CLUSTER, created, each, one, pod, put};
use crate::database::{Database, Engine, with_database};

fn path(database: &Database) -> PathBuf {
    database.url.strip_prefix("sqlite:").expect("a file").into()
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// The names in the file's directory.
fn names(file: &Path) -> Vec<String> {
    let entries = fs::read_dir(file.parent().expect("a directory")).expect("it is there");
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn write(store: &dyn Storage, name: &str) -> Result<(), StoreError> {
    store.commit(CLUSTER, vec![put(pod(name), "1")], Atomicity::Each).await.map(drop)
}

/// Nothing is read or written any more, and every error has the reason.
async fn is_given_up(store: &dyn Storage, why: &str) {
    let written = write(store, "late").await.unwrap_err();
    assert!(matches!(&written, StoreError::Unwritable(told) if told.contains(why)), "{written}");
    assert!(store.list(CLUSTER, &ListQuery::all("pods")).await.is_err(), "{why}: read");
    assert!(matches!(store.writable(), Writable::No(told) if told.contains(why)), "{:?}", store.writable());
}

#[tokio::test]
async fn a_lock_follows_the_file_and_not_its_name() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        let file = path(&database);
        let (symbolic, hard) = (file.with_file_name("symbolic.db"), file.with_file_name("hard.db"));
        std::os::unix::fs::symlink(&file, &symbolic).unwrap();
        fs::hard_link(&file, &hard).unwrap();
        let before = names(&file);
        for name in [&file, &symbolic, &hard] {
            let second = store::open(&url(name), &Options::default()).await.unwrap_err();
            assert!(matches!(&second, StoreError::InUse(why) if why.contains("in use by another process")), "{second}");
        }
        assert_eq!(names(&file), before, "who is refused leaves nothing");
        assert_eq!(one(&*store, put(pod("a"), "1")).await, created(1));
        store.close().await;
        let store = store::open(&url(&symbolic), &Options::default()).await.unwrap();
        assert!(store.get(CLUSTER, &pod("a")).await.unwrap().is_some());
        store.close().await;
    })
    .await;
}

/// A killed process leaves a log beside the name that it used. SQLite would not find it under another name.
#[tokio::test]
async fn a_hard_link_does_not_hide_the_log_of_the_other_name() {
    with_database(Engine::SqliteFile, async |database: Database| {
        database.store().await.close().await;
        let file = path(&database);
        let hard = file.with_file_name("hard.db");
        fs::hard_link(&file, &hard).unwrap();
        store::open(&url(&hard), &Options::default()).await.expect("there is no log").close().await;
        fs::write(format!("{}-wal", file.display()), "changes").unwrap();
        let error = store::open(&url(&hard), &Options::default()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Denied(why) if why.contains("test.db-wal")), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_path_that_cannot_be_used_is_named_and_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::write(file("text"), "no database").unwrap();
    fs::write(file("long-text"), "no database ".repeat(1_000)).unwrap();
    let mut other = SqliteConnection::connect(&format!("{}?mode=rwc", url(&file("other.db")))).await.unwrap();
    other.execute("CREATE TABLE bookmarks (url TEXT)").await.unwrap();
    other.close().await.unwrap();
    let before = names(&file("x"));
    for (name, create) in
        [("missing.db", false), ("text", true), ("long-text", true), ("other.db", true), ("no/x", true)]
    {
        let options = Options { create, ..Options::default() };
        let error = store::open(&url(&file(name)), &options).await.unwrap_err();
        assert!(matches!(&error, StoreError::Denied(why) if why.contains(name)), "{name}: {error}");
        assert_eq!(names(&file("x")), before, "{name}");
    }
    // One that is not ours keeps its journal's mode as well.
    let mut other = SqliteConnection::connect(&url(&file("other.db"))).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut other).await.unwrap();
    assert_eq!(mode, "delete");
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_is_not_used_any_more() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        write(&*store, "a").await.unwrap();
        let (file, aside) = (path(&database), path(&database).with_file_name("aside"));
        fs::rename(&file, &aside).unwrap();
        is_given_up(&*store, "was deleted").await;
        fs::copy(&aside, &file).unwrap();
        is_given_up(&*store, "was replaced").await;
        fs::rename(&aside, &file).unwrap();
        assert_eq!(write(&*store, "b").await, Ok(()), "it is the same file again");
        let log = PathBuf::from(format!("{}-wal", file.display()));
        fs::remove_file(log).unwrap();
        is_given_up(&*store, "-wal").await;
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_not_used_any_more() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        let body = "x".repeat(3_000);
        each(&*store, (0..200).map(|i| put(pod(&i.to_string()), &body)).collect()).await;
        let file = path(&database);
        // Another program has moved the log into the file: so we have not seen its whole length.
        let mut other = SqliteConnection::connect(&database.url).await.unwrap();
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
        other.close().await.unwrap();
        let whole = fs::metadata(&file).unwrap().len();
        fs::File::options().write(true).open(&file).unwrap().set_len(whole * 3 / 10).unwrap();
        is_given_up(&*store, "was cut short").await;
        store.close().await;
    })
    .await;
}

/// As `cp` does it: the file keeps its identity.
#[tokio::test]
async fn a_file_that_was_overwritten_is_not_used_any_more() {
    for older in [true, false] {
        with_database(Engine::SqliteFile, async move |database: Database| {
            database.store().await.close().await;
            let file = path(&database);
            let copy = if older { fs::read(&file).unwrap() } else { b"something else ".repeat(1_000) };
            let store = database.store().await;
            let body = "x".repeat(3_000);
            each(&*store, (0..200).map(|i| put(pod(&i.to_string()), &body)).collect()).await;
            let mut other = SqliteConnection::connect(&database.url).await.unwrap();
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
            other.close().await.unwrap();
            write(&*store, "a").await.unwrap();
            fs::write(&file, copy).unwrap();
            is_given_up(&*store, "while it was in use").await;
            store.close().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_file_that_another_program_has_vacuumed_is_used_on() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        let body = "x".repeat(3_000);
        each(&*store, (0..200).map(|i| put(pod(&i.to_string()), &body)).collect()).await;
        each(&*store, (0..200).map(|i| put(pod(&i.to_string()), "1")).collect()).await;
        let mut other = SqliteConnection::connect(&database.url).await.unwrap();
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
        write(&*store, "a").await.unwrap();
        other.execute("VACUUM").await.unwrap();
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
        other.close().await.unwrap();
        assert_eq!(write(&*store, "b").await, Ok(()));
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_clean_end_leaves_the_file_alone() {
    with_database(Engine::SqliteFile, async |database: Database| {
        let store = database.store().await;
        write(&*store, "a").await.unwrap();
        store.close().await;
        assert_eq!(names(&path(&database)), ["test.db"]);
    })
    .await;
}
