//! Background loops that begin again when they end.

use std::time::Duration;

use metrics::counter;
use tokio::{
    task::{AbortHandle, JoinError, JoinHandle},
    time::sleep,
};

use crate::telemetry;

/// A loop; it ends when this is dropped.
#[derive(Debug)]
pub struct Supervised {
    running: AbortHandle,
}

impl Supervised {
    /// Starts a loop. A panic ends a run of it, and another run begins after the `pause`.
    pub fn start<F>(name: &'static str, pause: Duration, mut run: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let supervised = async move {
            loop {
                let running = AbortOnDrop(tokio::spawn(run()));
                if let Err(error) = running.ended().await {
                    tracing::error!(%error, "{name} panicked; it starts again");
                    counter!(telemetry::LOOPS_ENDED).increment(1);
                }
                sleep(pause).await;
            }
        };
        Self { running: tokio::spawn(supervised).abort_handle() }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A task that ends with its supervisor.
struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    async fn ended(mut self) -> Result<(), JoinError> {
        (&mut self.0).await
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_begins_again_after_a_panic_and_ends_when_it_is_dropped() {
        let (runs, third) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, reached) = (runs.clone(), third.clone());
        let supervised = Supervised::start("the test's loop", Duration::from_secs(5), move || {
            let (run, reached) = (count.fetch_add(1, Ordering::Relaxed), reached.clone());
            async move {
                assert!(run >= 2, "planted");
                reached.notify_one();
                std::future::pending::<()>().await;
            }
        });
        third.notified().await;
        drop(supervised);
        sleep(Duration::from_mins(1)).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }
}
