//! Durable before acknowledged, also after a connection was lost.
//!
//! With synchronous replication a commit waits until a standby has it. A primary that crashes while a commit waits has it
//! nevertheless when it is back, though no standby does: what is read then may be gone after a failover. So an answer that
//! rests on what was found (a batch's token, an object that is as it was to be) is given only after a write of our own was
//! committed: the write-ahead log is one line, and what has a standby's word for a later point of it has it for all before.
//! One such write after each new connection is enough, since a crash ends all connections; ordinary commits count as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgConnection;

use super::{Postgres, now};
use crate::StoreError;

/// How many connections were made, and at which of them a commit began that came to its end.
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

    /// To be asked before a transaction begins and told with its commit.
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
    /// Commits a write that nobody sees.
    pub(super) async fn vouch(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let connections = self.vouched.connections();
        let write = sqlx::query(concat!(
            "INSERT INTO lease (name, holder, until) VALUES ('vouch', '', ",
            now!(),
            ") ON CONFLICT (name) DO UPDATE SET until = excluded.until"
        ));
        self.within(write.execute(connection)).await?;
        self.vouched.note_commit(connections);
        Ok(())
    }

    /// Like [`Self::vouch`], for a reply that is ready: without this it may prove wrong.
    pub(super) async fn vouch_for_answer(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let vouched = self.vouch(connection).await;
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
