//! Queries over many clusters at once.

use jiff::Timestamp;

use super::{Head, Record, StoreError};

/// The heads of clusters at one moment.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The database's time.
    pub now: Timestamp,
    /// The requested clusters that the database has.
    pub clusters: Vec<Standing>,
}

/// The head of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its newest revision; 0 where that cannot be read.
    pub revision: u64,
    /// It was removed, and nothing has been written to it since.
    pub removed: bool,
    /// Its head, or the error of reading it.
    pub head: Result<Head, StoreError>,
}

/// The objects of a kind in all clusters.
#[derive(Debug, Clone)]
pub struct Everywhere {
    /// The database's time.
    pub now: Timestamp,
    /// The objects, each with its cluster; an unreadable one has an error of its own.
    pub found: Vec<(String, Result<Record, StoreError>)>,
}
