//! Queries over many clusters at once.

use jiff::Timestamp;

use super::{Head, Record, StoreError};

/// Where clusters stand at one moment.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The database's time.
    pub now: Timestamp,
    /// Those of the clusters asked for of which the database knows.
    pub clusters: Vec<Standing>,
}

/// Where one cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its newest revision; 0 where that cannot be read.
    pub revision: u64,
    /// It was removed, and nothing has been written to it since.
    pub removed: bool,
    /// Where it stands, or why that cannot be read.
    pub head: Result<Head, StoreError>,
}

/// The objects of a kind in all clusters.
#[derive(Debug, Clone)]
pub struct Everywhere {
    /// The database's time.
    pub now: Timestamp,
    /// The objects, each with its cluster; one that cannot be read says so for itself.
    pub found: Vec<(String, Result<Record, StoreError>)>,
}
