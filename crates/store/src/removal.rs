//! Removing whole clusters: no SQL.
//!
//! A removed cluster's rows are set aside in one short transaction: its row in the table of clusters gets a name that no
//! cluster has ([`set_aside`]), and under its own name stands a new row without objects, marked as removed, whose counter
//! goes on. So whoever has read the cluster finds its history at an end, and no revision is given twice, also when the
//! cluster is made again at once. What was set aside is then deleted in pieces; if the process ends meanwhile, the next
//! sweep goes on with it. The mark goes when it is as old as what readers of changes may be behind.

use super::Head;
use super::check::SET_ASIDE;
use super::keeping::Kept;

/// The name of a cluster's row that was set aside.
pub fn set_aside(id: i32) -> String {
    format!("{SET_ASIDE}{id}")
}

/// Where a cluster stands once it is removed, and what is kept of its past: nothing.
pub fn after(before: Head) -> (Head, Kept) {
    let revision = before.revision.saturating_add(1);
    let epoch = before.epoch.saturating_add(1);
    let head = Head { revision, compact_revision: revision, epoch, ..Head::default() };
    (head, Kept { from: revision, to: revision })
}
