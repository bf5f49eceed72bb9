//! The ledger's statements, which both engines know: each reads a range off the index of the table's key, or of one word. SQLite keeps entries by the
//! cluster's name, PostgreSQL by its id.

use super::{Order, Scan};

/// The statements on one cluster's entries.
pub(crate) struct Statements {
    /// By order, and by the words that are asked for.
    pub(crate) scans: [[&'static str; 4]; 2],
    /// The sizes of at most `$5` entries from `$3` to `$4`, the newest first.
    pub(crate) sizes: &'static str,
    /// Removes the oldest entries before `$3`: `$4` and one more.
    pub(crate) prune: &'static str,
}

impl Statements {
    /// Reads a page of the ids from `$3` to `$4`: at most `$5` entries, and of those past `$6` bytes of bodies none. The words, where they are asked
    /// for, are `$7` and `$8`.
    pub(crate) fn scan(&self, scan: &Scan) -> &'static str {
        let [newest_first, oldest_first] = &self.scans;
        let [all, of_subject, of_object, of_both] = match scan.order {
            Order::NewestFirst => newest_first,
            Order::OldestFirst => oldest_first,
        };
        match (scan.subject.is_some(), scan.object.is_some()) {
            (false, false) => all,
            (true, false) => of_subject,
            (false, true) => of_object,
            (true, true) => of_both,
        }
    }
}

macro_rules! scan {
    ($key:literal, $order:literal, $filter:literal) => {
        concat!(
            "SELECT id, subject, object, body FROM (
                 SELECT p.*, sum(octet_length(p.body)) OVER (ORDER BY p.id ",
            $order,
            " ROWS UNBOUNDED PRECEDING)
                     - octet_length(p.body) AS ahead
                 FROM (SELECT id, subject, object, body FROM ledger
                       WHERE ",
            $key,
            " = $1 AND kind = $2 AND id >= $3 AND id <= $4 ",
            $filter,
            "          ORDER BY id ",
            $order,
            " LIMIT $5) AS p
             ) AS q WHERE ahead < $6 ORDER BY id ",
            $order
        )
    };
}

macro_rules! scans {
    ($key:literal, $order:literal) => {
        [
            scan!($key, $order, ""),
            scan!($key, $order, "AND subject = $7"),
            scan!($key, $order, "AND object = $7"),
            scan!($key, $order, "AND subject = $7 AND object = $8"),
        ]
    };
}

macro_rules! statements {
    ($key:literal) => {
        Statements {
            scans: [scans!($key, "DESC"), scans!($key, "ASC")],
            sizes: concat!(
                "SELECT id, CAST(octet_length(body) AS bigint) AS size FROM ledger
                 WHERE ",
                $key,
                " = $1 AND kind = $2 AND id >= $3 AND id <= $4 ORDER BY id DESC LIMIT $5"
            ),
            prune: concat!(
                "DELETE FROM ledger WHERE ",
                $key,
                " = $1 AND kind = $2 AND id < $3
                 AND id <= coalesce((SELECT id FROM ledger WHERE ",
                $key,
                " = $1 AND kind = $2 AND id < $3
                                     ORDER BY id LIMIT 1 OFFSET $4), $3)"
            ),
        }
    };
}

pub(crate) static BY_NAME: Statements = statements!("cluster");

pub(crate) static BY_ID: Statements = statements!("cluster_id");

/// Removes the oldest entries of the first kind of a cluster: `$2` and one more.
macro_rules! clear {
    ($key:literal) => {
        concat!(
            "DELETE FROM ledger WHERE ",
            $key,
            " = $1
             AND kind = (SELECT min(kind) FROM ledger WHERE ",
            $key,
            " = $1)
             AND id <= coalesce((SELECT id FROM ledger WHERE ",
            $key,
            " = $1
                                 AND kind = (SELECT min(kind) FROM ledger WHERE ",
            $key,
            " = $1)
                                 ORDER BY id LIMIT 1 OFFSET $2),
                                (SELECT id FROM ledger WHERE ",
            $key,
            " = $1
                                 AND kind = (SELECT min(kind) FROM ledger WHERE ",
            $key,
            " = $1)
                                 ORDER BY id DESC LIMIT 1))"
        )
    };
}
pub(crate) use clear;

/// [`clear!`] of a cluster that was removed.
pub(crate) const CLEAR_BY_NAME: &str =
    concat!(clear!("cluster"), " AND EXISTS (SELECT 1 FROM cluster WHERE name = $1 AND removed <> 0)");

/// The first cluster and kind after `$1` and `$2` that has entries, by name.
pub(crate) const NEXT_BOOK: &str = "SELECT cluster, kind FROM ledger WHERE (cluster, kind) > ($1, $2)
    ORDER BY cluster, kind LIMIT 1";
