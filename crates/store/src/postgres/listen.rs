//! NOTIFY as a hint: one per batch, with its cluster, passed on to the followers of that cluster's feed.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Notify;

use crate::{Hint, Hints, Reach};

/// The one channel; see [`payload`].
pub(super) const CHANNEL: &str = "podberth";

/// After so much silence the connection is tried: one that died without a word would stay silent for ever.
const SILENCE: Duration = Duration::from_secs(10);

/// Between two attempts to listen.
const BACKOFF: Duration = Duration::from_secs(1);

/// The payload of a notification: the revision of a cluster, and its name.
pub(super) fn payload(cluster: &str, revision: u64) -> String {
    format!("{revision} {cluster}")
}

/// Parses a payload. Earlier releases sent the name alone.
fn hint(payload: &str) -> Hint {
    match payload.split_once(' ').map(|(revision, name)| (revision.parse(), name)) {
        Some((Ok(revision), name)) => Hint::Cluster { name: name.into(), revision },
        _ => Hint::Cluster { name: payload.into(), revision: u64::MAX },
    }
}

/// Listens until the pool is closed or the task is aborted. Hints reach everyone while the connection stands. When it is lost, and when there is
/// one again, all listeners get a hint, since notifications may have been lost. This connection is the first to notice that the server is gone.
pub(super) async fn listen(pool: PgPool, hints: Hints, lost: Arc<Notify>) {
    while !pool.is_closed() {
        let error = session(&pool, &hints).await;
        hints.set_reach(Reach::Process);
        tracing::debug!(?error, "listening for changes was interrupted");
        lost.notify_one();
        tokio::time::sleep(BACKOFF).await;
    }
}

/// One connection, until it is lost.
async fn session(pool: &PgPool, hints: &Hints) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    hints.set_reach(Reach::Everyone);
    loop {
        while let Ok(message) = tokio::time::timeout(SILENCE, listener.try_recv()).await {
            let Some(message) = message? else { return Ok(()) };
            hints.tell(hint(message.payload()));
        }
        let trial = sqlx::query("SELECT 1").execute(&mut listener);
        tokio::time::timeout(SILENCE, trial).await.map_err(std::io::Error::from)??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_names_the_cluster_and_its_revision() {
        let told = |name: &str, revision| Hint::Cluster { name: name.into(), revision };
        assert_eq!(hint(&payload("prod", 7)), told("prod", 7));
        assert_eq!(hint("prod"), told("prod", u64::MAX), "of a release that told no revision");
        assert_eq!(hint(&payload("a b", 7)), told("a b", 7));
    }
}
