//! The users of tokens that were verified before, by the tokens' digests.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{core::access::User, wire::access::token::TokenDigest};

/// Tokens of a generation. When it is full it becomes the older one, whose tokens are forgotten unless they are asked for again.
const GENERATION: usize = 2_048;

/// A bounded number of tokens with their users.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    /// The number of times that all was forgotten.
    epoch: u64,
    young: HashMap<TokenDigest, Entry>,
    old: HashMap<TokenDigest, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    user: Arc<User>,
    /// The second from which it is not valid any more.
    ends: i64,
}

impl Remembered {
    /// The user of a token and the second since 1970 at which the token ends; `None` for a token that is not remembered.
    pub(super) fn get(&self, digest: &TokenDigest, now: i64) -> Option<(Arc<User>, i64)> {
        let mut all = self.lock();
        let told = |entry: Entry| (entry.user, entry.ends);
        if let Some(entry) = all.young.get(digest) {
            return (now < entry.ends).then(|| told(entry.clone()));
        }
        let entry = all.old.remove(digest).filter(|entry| now < entry.ends)?;
        all.put(*digest, entry.clone());
        Some(told(entry))
    }

    /// The present epoch: what was found out in one is not remembered in another.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Remembers the user of a token until it ends, as was found out in an epoch.
    pub(super) fn put(&self, epoch: u64, digest: TokenDigest, user: Arc<User>, ends: i64) {
        let mut all = self.lock();
        if all.epoch == epoch {
            all.put(digest, Entry { user, ends });
        }
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        let mut all = self.lock();
        *all = Generations { epoch: all.epoch + 1, ..Generations::default() };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn put(&mut self, digest: TokenDigest, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::token::digest;

    #[test]
    fn a_bounded_number_of_tokens_is_remembered_until_each_ends() {
        let remembered = Remembered::default();
        let user = |name: &str| Arc::new(User::new(name, []));
        let put = |name: &str, ends| remembered.put(remembered.epoch(), digest(name), user(name), ends);
        put("a", 10);
        let of = |name: &str, now| remembered.get(&digest(name), now).map(|(user, _)| user.name.to_string());
        assert_eq!((of("a", 9).as_deref(), of("a", 10), of("b", 0)), (Some("a"), None, None));
        for i in 0..10 * GENERATION {
            put(&format!("t{i}"), 10);
            assert!(i % 1_000 != 0 || of("a", 9).is_some(), "a token that is asked for stays, {i}");
        }
        let all = remembered.lock();
        assert!(all.young.len() + all.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn nothing_is_remembered_of_an_epoch_that_is_over() {
        let remembered = Remembered::default();
        let (epoch, user) = (remembered.epoch(), Arc::new(User::new("jane", [])));
        remembered.put(epoch, digest("a"), user.clone(), 10);
        assert_eq!(remembered.get(&digest("a"), 0), Some((user.clone(), 10)));
        remembered.clear();
        remembered.put(epoch, digest("b"), user, 10);
        assert_eq!((remembered.get(&digest("a"), 0), remembered.get(&digest("b"), 0)), (None, None));
    }
}
