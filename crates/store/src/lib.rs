//! Durable documents and revisions: a contract of small traits, two engines, chosen by the URL's scheme.
//!
//! # How to use it
//!
//! ```no_run
//! # async fn example() -> Result<(), podberth_store::StoreError> {
//! use podberth_store::{self as store, Atomicity, Change, Cursor, Key, Precondition, Write};
//!
//! let store = store::open("sqlite:podberth.db", &store::Options::default()).await?;
//! store.migrate().await?;
//! let commit = store
//!     .commit(
//!         "prod",
//!         vec![Write {
//!             key: Key::new("pods", "default", "web"),
//!             precondition: Precondition::absent(),
//!             change: Change::Put { body: "{}".into(), uid: "1".into(), node: None },
//!         }],
//!         Atomicity::Each,
//!     )
//!     .await?;
//! let page = store.changes("prod", &Cursor::default(), 1_000).await?;
//! assert_eq!(page.head.revision, commit.revision);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - A cluster's objects are the current ones plus a tombstone for each deleted one. Every change takes the next
//!   revision of its cluster's counter, and the order of revisions is the order of commits and the order every reader
//!   sees: a write transaction first locks the counter and holds it until it ends.
//! - [`Store::commit`] returns when the batch is durable. A write that changes nothing takes no revision.
//! - [`Store::changes`] misses nothing and is atomic: what one transaction wrote is read whole or not at all (over
//!   pages: once the page that is `complete` has been applied).
//! - Superseded versions are kept for a while if [`Options::history`] says so, written in the transaction that supersedes
//!   them: [`Past::state_at`] is then the whole cluster as it was.
//! - A [`Ledger`] beside the objects takes what is appended and never changed, without a revision.
//! - When an older copy of the database comes back, every reader is told ([`StoreError::HistoryLost`]), and no revision
//!   that was handed out before is used again.
//! - Reads see all that was committed before they began: they are of the primary, never of a standby.
//! - A cluster comes to be with its first write. Reading one that is not there finds nothing, at revision 0.
//! - Kind, namespace and name are opaque text, ordered by bytes; bodies are opaque bytes.

#![warn(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

// Public for an engine outside this crate (`crates/testkit`), which decides as those in it do.
mod body;
pub mod check;
pub mod decide;
pub mod keeping;
pub mod ledger;
pub mod removal;
pub mod rows;
pub mod types;

mod contract;
mod engines;
mod error;
mod feed;
mod guard;
mod heads;
mod hint;
mod migrations;
mod options;
mod postgres;
mod rewind;
mod sqlite;

pub use body::Body;
pub use contract::{Connections, Past, Schema, Storage, Store, Upkeep};
pub use engines::{can_distribute, distribute, inspect, open, unverified};
pub use error::StoreError;
pub use feed::{Bodies, Changes, Cursor, Head};
pub use guard::Writable;
pub use heads::{Everywhere, Heads, Standing};
pub use hint::{Hint, Hints, Listener, Reach};
pub use keeping::{Compaction, Keep, Restore, Source, Visitor};
pub use ledger::{Entry, EntryId, Ledger, Order, Page, Retain, Scan};
pub use options::Options;
pub use postgres::{Finding, PlanMode, Remark};
pub use rewind::{Rewind, Undone};
pub use types::{
    Atomicity, Call, Change, Commit, Judge, Key, List, ListQuery, MigrationStatus, Outcome, Place, Precondition,
    Record, Refusal, Unjudged, Write, Written,
};
