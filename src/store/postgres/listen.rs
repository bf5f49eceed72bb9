//! NOTIFY as a wake-up hint: one per batch, passed on to whoever follows a change feed.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{Notify, watch};

/// The one channel; the payload is the cluster's name, for people who watch it.
pub(super) const CHANNEL: &str = "podberth";

/// After so much silence the connection is tried: one that died without a word would stay silent for ever.
const SILENCE: Duration = Duration::from_secs(10);

/// Between two attempts to listen.
const BACKOFF: Duration = Duration::from_secs(1);

/// Listens until the pool is closed or the task is aborted. Whenever listening begins anew it wakes everybody:
/// notifications may have been lost. Its connection is the first to know that the server is gone.
pub(super) async fn listen(pool: PgPool, changed: watch::Sender<u64>, lost: Arc<Notify>) {
    while !pool.is_closed() {
        if let Err(error) = session(&pool, &changed).await {
            tracing::debug!(%error, "listening for changes was interrupted");
            lost.notify_one();
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

async fn session(pool: &PgPool, changed: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        wake(changed);
        while let Ok(message) = tokio::time::timeout(SILENCE, listener.try_recv()).await {
            message?;
            wake(changed);
        }
        let trial = sqlx::query("SELECT 1").execute(&mut listener);
        tokio::time::timeout(SILENCE, trial).await.map_err(std::io::Error::from)??;
    }
}

pub(super) fn wake(changed: &watch::Sender<u64>) {
    changed.send_modify(|count| *count = count.wrapping_add(1));
}
