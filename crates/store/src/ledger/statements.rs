//! The ledger's statements, which both engines know: each reads a range off the index of the table's key, or of one word.

use super::{Order, Scan};

/// A page of the ids from `$3` to `$4`: at most `$5` entries, and of those past `$6` bytes of bodies none. The words, where they
/// are asked for, are `$7` and `$8`.
macro_rules! scan {
    ($order:literal, $($filter:literal)?) => {
        concat!(
            "SELECT id, subject, object, body FROM (
                 SELECT p.*, sum(octet_length(p.body)) OVER (ORDER BY p.id ", $order, " ROWS UNBOUNDED PRECEDING)
                     - octet_length(p.body) AS ahead
                 FROM (SELECT id, subject, object, body FROM ledger
                       WHERE cluster = $1 AND kind = $2 AND id >= $3 AND id <= $4 ", $($filter,)?
            "          ORDER BY id ", $order, " LIMIT $5) AS p
             ) AS q WHERE ahead < $6 ORDER BY id ", $order
        )
    };
}

/// Reads a page.
pub(crate) fn scan(scan: &Scan) -> &'static str {
    match (scan.order, scan.subject.is_some(), scan.object.is_some()) {
        (Order::NewestFirst, false, false) => scan!("DESC",),
        (Order::NewestFirst, true, false) => scan!("DESC", "AND subject = $7"),
        (Order::NewestFirst, false, true) => scan!("DESC", "AND object = $7"),
        (Order::NewestFirst, true, true) => scan!("DESC", "AND subject = $7 AND object = $8"),
        (Order::OldestFirst, false, false) => scan!("ASC",),
        (Order::OldestFirst, true, false) => scan!("ASC", "AND subject = $7"),
        (Order::OldestFirst, false, true) => scan!("ASC", "AND object = $7"),
        (Order::OldestFirst, true, true) => scan!("ASC", "AND subject = $7 AND object = $8"),
    }
}

/// The sizes of at most `$5` entries from `$3` to `$4`, the newest first.
pub(crate) const SIZES: &str = "SELECT id, CAST(octet_length(body) AS bigint) AS size FROM ledger
    WHERE cluster = $1 AND kind = $2 AND id >= $3 AND id <= $4 ORDER BY id DESC LIMIT $5";

/// Removes the oldest entries before `$3`: `$4` and one more.
pub(crate) const PRUNE: &str = "DELETE FROM ledger WHERE cluster = $1 AND kind = $2 AND id < $3
    AND id <= coalesce((SELECT id FROM ledger WHERE cluster = $1 AND kind = $2 AND id < $3
                        ORDER BY id LIMIT 1 OFFSET $4), $3)";

/// Removes the oldest entries of the first kind of a removed cluster: `$2` and one more.
pub(crate) const CLEAR: &str = "DELETE FROM ledger WHERE cluster = $1
    AND kind = (SELECT min(kind) FROM ledger WHERE cluster = $1)
    AND id <= coalesce((SELECT id FROM ledger WHERE cluster = $1
                        AND kind = (SELECT min(kind) FROM ledger WHERE cluster = $1) ORDER BY id LIMIT 1 OFFSET $2),
                       (SELECT id FROM ledger WHERE cluster = $1
                        AND kind = (SELECT min(kind) FROM ledger WHERE cluster = $1) ORDER BY id DESC LIMIT 1))
    AND EXISTS (SELECT 1 FROM cluster WHERE name = $1 AND removed <> 0)";

/// The first cluster and kind after `$1` and `$2` that has entries.
pub(crate) const NEXT_BOOK: &str = "SELECT cluster, kind FROM ledger WHERE (cluster, kind) > ($1, $2)
    ORDER BY cluster, kind LIMIT 1";
