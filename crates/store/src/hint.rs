//! Hints that something has changed, to save polling.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

/// Number of pending hints of a listener, beyond which it gets [`Hint::Any`] instead.
const UNHEARD: usize = 1_024;

/// A possible change, by this process or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// One cluster.
    Cluster {
        /// Its name.
        name: Arc<str>,
        /// Its revision, or an earlier one.
        revision: u64,
    },
    /// Any cluster: hints may have been lost.
    Any,
}

/// The sender of hints to all listeners. Clones share it.
#[derive(Debug, Clone)]
pub struct Hints(broadcast::Sender<Hint>);

impl Hints {
    /// Sends a hint about one cluster.
    pub fn changed(&self, cluster: &str, revision: u64) {
        self.tell(Hint::Cluster { name: cluster.into(), revision });
    }

    /// Sends a hint to all listeners, if there are any.
    pub fn tell(&self, hint: Hint) {
        drop(self.0.send(hint));
    }

    /// A listener for all hints from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Default for Hints {
    fn default() -> Self {
        Self(broadcast::Sender::new(UNHEARD))
    }
}

/// Hears hints.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Hint>);

impl Listener {
    /// The next hint; `None` when the store is gone.
    pub async fn next(&mut self) -> Option<Hint> {
        match self.0.recv().await {
            Ok(hint) => Some(hint),
            Err(RecvError::Lagged(_)) => Some(Hint::Any),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_listener_learns_that_it_missed_hints() {
        let hints = Hints::default();
        let mut listener = hints.listen();
        for revision in 0..=UNHEARD as u64 {
            hints.changed("prod", revision);
        }
        assert_eq!(listener.next().await, Some(Hint::Any));
        assert_eq!(listener.next().await, Some(Hint::Cluster { name: "prod".into(), revision: 1 }));
        drop(hints);
        while listener.next().await.is_some() {}
    }
}
