//! Turns: writes that would get in each other's way go one after another, within this process. Another replica has turns of its own, so nothing that
//! must hold may rest on them alone.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{Arc, OnceLock},
};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Number of locks that all keys share.
const LOCKS: usize = 64;

/// Locks by keys. Clones share them.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Vec<Arc<Mutex<()>>>>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new((0..LOCKS).map(|_| Arc::default()).collect()))
    }
}

impl Turns {
    fn lock(&self, key: impl Hash) -> Option<Arc<Mutex<()>>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        self.0.get(usize::try_from(hash % LOCKS as u64).ok()?).cloned()
    }
}

/// The turn of one write: kept until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Turn(OnceLock<OwnedMutexGuard<()>>);

impl Turn {
    /// `true` if it has come.
    pub(super) fn is_taken(&self) -> bool {
        self.0.get().is_some()
    }

    /// Waits for it, unless it has come before.
    pub(super) async fn take(&self, turns: &Turns, key: impl Hash) {
        let lock = turns.lock(key).filter(|_| !self.is_taken());
        if let Some(lock) = lock {
            // A write is one task, so nobody else has set it meanwhile.
            let _ = self.0.set(lock.lock_owned().await);
        }
    }
}
