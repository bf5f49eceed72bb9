//! Durability before acknowledgement, also after a lost connection.
//!
//! With synchronous replication a commit waits until a standby has it. A primary that crashes while a commit waits has the commit after its restart,
//! though no standby does; data read then may be gone after a failover. So a reply that rests on data found (a batch's token, an object in its
//! expected state) is given only after a write of this process was committed: the write-ahead log is sequential, so a standby's confirmation of a
//! later point covers all before it. One such write after each new connection is enough, since a crash ends all connections; ordinary commits count
//! as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgConnection;

use super::Postgres;
use super::statements::clusters::VOUCH;
use crate::StoreError;

/// Number of connections made, and the number at which the last successful commit began.
#[derive(Clone, Debug, Default)]
pub(super) struct Vouched(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    committed_at: AtomicU64,
}

impl Vouched {
    pub(super) fn count_connection(&self) {
        self.0.connections.fetch_add(1, Ordering::SeqCst);
    }

    /// Number of connections so far; read it before a transaction begins and pass it to its commit.
    pub(super) fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::SeqCst)
    }

    pub(super) fn note_commit(&self, connections: u64) {
        self.0.committed_at.fetch_max(connections, Ordering::SeqCst);
    }

    /// `true` if nothing was committed since the newest connection was made.
    pub(super) fn is_due(&self) -> bool {
        self.0.committed_at.load(Ordering::SeqCst) < self.connections()
    }
}

impl Postgres {
    /// Commits an invisible write beside the cluster's, on the server that has them.
    pub(super) async fn vouch(&self, connection: &mut PgConnection, id: i32) -> Result<(), StoreError> {
        let connections = self.vouched.connections();
        self.within(sqlx::query(VOUCH).bind(id).execute(connection)).await?;
        self.vouched.note_commit(connections);
        Ok(())
    }

    /// Like [`Self::vouch`], for a reply that is ready: without this it may prove wrong.
    pub(super) async fn vouch_for_answer(&self, connection: &mut PgConnection, id: i32) -> Result<(), StoreError> {
        let vouched = self.vouch(connection, id).await;
        vouched.map_err(|error| StoreError::OutcomeUnknown(format!("what was found may not be durable: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_vouches_for_connections_made_before_it_began() {
        let vouched = Vouched::default();
        vouched.count_connection();
        assert!(vouched.is_due());
        let before = vouched.connections();
        vouched.count_connection();
        vouched.note_commit(before);
        assert!(vouched.is_due(), "the second connection was made while the commit was under way");
        vouched.note_commit(vouched.connections());
        assert!(!vouched.is_due());
    }
}
