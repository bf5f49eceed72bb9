//! Hints that something has changed, to save polling.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

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

/// The changes that hints tell of at the moment. Single hints may get lost all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of this process only.
    Process,
    /// Those of all processes on the database.
    Everyone,
}

/// The sender of hints to all listeners. Clones share it.
#[derive(Debug, Clone)]
pub struct Hints {
    sender: broadcast::Sender<Hint>,
    reaches_everyone: Arc<AtomicBool>,
}

impl Hints {
    /// A sender without listeners.
    pub fn new(reach: Reach) -> Self {
        let reaches_everyone = Arc::new(AtomicBool::new(reach == Reach::Everyone));
        Self { sender: broadcast::Sender::new(UNHEARD), reaches_everyone }
    }

    /// Sets the reach. If it is another one, all listeners get [`Hint::Any`].
    pub fn set_reach(&self, reach: Reach) {
        let reaches_everyone = reach == Reach::Everyone;
        if self.reaches_everyone.swap(reaches_everyone, Ordering::SeqCst) != reaches_everyone {
            self.tell(Hint::Any);
        }
    }

    /// Sends a hint about one cluster.
    pub fn changed(&self, cluster: &str, revision: u64) {
        self.tell(Hint::Cluster { name: cluster.into(), revision });
    }

    /// Sends a hint to all listeners, if there are any.
    pub fn tell(&self, hint: Hint) {
        drop(self.sender.send(hint));
    }

    /// A listener for all hints from now on.
    pub fn listen(&self) -> Listener {
        Listener { receiver: self.sender.subscribe(), reaches_everyone: self.reaches_everyone.clone() }
    }
}

/// Hears hints.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Hint>,
    reaches_everyone: Arc<AtomicBool>,
}

impl Listener {
    /// The next hint; `None` when the store is gone.
    pub async fn next(&mut self) -> Option<Hint> {
        match self.receiver.recv().await {
            Ok(hint) => Some(hint),
            Err(RecvError::Lagged(_)) => Some(Hint::Any),
            Err(RecvError::Closed) => None,
        }
    }

    /// The changes that hints tell of now.
    pub fn reach(&self) -> Reach {
        if self.reaches_everyone.load(Ordering::SeqCst) { Reach::Everyone } else { Reach::Process }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_listener_learns_that_it_missed_hints() {
        let hints = Hints::new(Reach::Everyone);
        let mut listener = hints.listen();
        for revision in 0..=UNHEARD as u64 {
            hints.changed("prod", revision);
        }
        assert_eq!(listener.next().await, Some(Hint::Any));
        assert_eq!(listener.next().await, Some(Hint::Cluster { name: "prod".into(), revision: 1 }));
        drop(hints);
        assert_eq!(listener.reach(), Reach::Everyone);
        while listener.next().await.is_some() {}
    }

    #[tokio::test]
    async fn listeners_are_told_of_another_reach() {
        let hints = Hints::new(Reach::Process);
        let mut listener = hints.clone().listen();
        assert_eq!(listener.reach(), Reach::Process);
        hints.set_reach(Reach::Everyone);
        assert_eq!((listener.next().await, listener.reach()), (Some(Hint::Any), Reach::Everyone));
    }
}
