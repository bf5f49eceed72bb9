//! Hints that something has changed, so that nobody has to ask all the time.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

/// How many hints a listener may leave unheard before it is told [`Hint::Any`] in their place.
const UNHEARD: usize = 1_024;

/// A possible change, by this process or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// One cluster.
    Cluster {
        /// Its name.
        name: Arc<str>,
        /// It stands there, or further.
        revision: u64,
    },
    /// Any cluster: hints may have been lost.
    Any,
}

/// Tells hints to all that listen. Clones are the same.
#[derive(Debug, Clone)]
pub struct Hints(broadcast::Sender<Hint>);

impl Hints {
    /// Tells of one cluster.
    pub fn changed(&self, cluster: &str, revision: u64) {
        self.tell(Hint::Cluster { name: cluster.into(), revision });
    }

    /// Tells all that listen; that nobody does is no error.
    pub fn tell(&self, hint: Hint) {
        drop(self.0.send(hint));
    }

    /// Hears everything that is told from now on.
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
