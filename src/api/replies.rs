//! A bound on the memory of replies that wait for their clients.
//!
//! A reply stays in memory until its client has read it, and a request for one is cheap: a few lists of a whole cluster that no client reads
//! would take all memory. If there is no room for another reply, the one whose client has read nothing for longest is given up; if all clients
//! are reading, the new one waits.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use tokio::{
    pin,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::service::error::{Error, Result};

/// Replies up to this size need no room: the number of connections bounds them.
const SMALL_REPLY: u64 = 64 << 10;

/// Permits are counted in kibibytes, since a semaphore counts in 32 bits.
const UNIT: u64 = 1024;

/// A client that has read nothing for this time may lose its reply to others.
const STALLED: Duration = Duration::from_secs(1);

/// Between two looks for such a client.
const LOOKS: Duration = Duration::from_millis(20);

/// A reply that can be given up.
pub(super) trait Taken: fmt::Debug + Send + Sync {
    /// For how long its client has taken nothing.
    fn stalled(&self) -> Duration;

    /// Releases its memory.
    fn give_up(&self);
}

/// The room for replies. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Replies {
    units: u64,
    free: Arc<Semaphore>,
    wait: Duration,
    held: Arc<Mutex<Vec<Weak<dyn Taken>>>>,
}

/// Room for a reply, for as long as it lives.
#[derive(Debug)]
pub(super) struct ReplyRoom {
    _permit: OwnedSemaphorePermit,
}

impl Replies {
    /// Room for `bytes` bytes, for which a reply waits at most for `wait`.
    pub(super) fn new(bytes: usize, wait: Duration) -> Self {
        let units = (bytes as u64).div_ceil(UNIT).clamp(1, u32::MAX.into());
        Self { units, free: Arc::new(Semaphore::new(units as usize)), wait, held: Arc::default() }
    }

    /// Room for a reply of that size; one that is larger than all there is has it to itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none in time.
    pub(super) async fn room(&self, bytes: u64) -> Result<Option<ReplyRoom>> {
        if bytes <= SMALL_REPLY {
            return Ok(None);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT).min(self.units)).unwrap_or(u32::MAX);
        let acquiring = self.free.clone().acquire_many_owned(units);
        pin!(acquiring);
        let acquired = timeout(self.wait, async {
            loop {
                match timeout(LOOKS, &mut acquiring).await {
                    Ok(acquired) => return acquired,
                    Err(_) => self.give_up_one(),
                }
            }
        });
        match acquired.await {
            Ok(permit) => Ok(Some(ReplyRoom { _permit: permit.map_err(Error::internal)? })),
            Err(_) => Err(Error::Unavailable {
                message: "replies that wait for their clients take all memory that --max-replies-bytes allows".into(),
                retry_after_seconds: 1,
            }),
        }
    }

    /// Notes a reply that has room.
    pub(super) fn hold(&self, reply: Weak<dyn Taken>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == held.capacity() {
            held.retain(|one| one.strong_count() > 0);
        }
        held.push(reply);
    }

    /// Gives up the reply whose client has taken nothing for longest, if that is long enough.
    fn give_up_one(&self) {
        let held: Vec<Arc<dyn Taken>> = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.iter().filter_map(Weak::upgrade).collect()
        };
        let stalled = held.into_iter().map(|reply| (reply.stalled(), reply)).filter(|(stalled, _)| *stalled >= STALLED);
        if let Some((_, slowest)) = stalled.max_by_key(|(stalled, _)| *stalled) {
            slowest.give_up();
        }
    }
}

/// The answer in place of a reply for which there was no room. A request that only reads can be sent again.
pub(super) fn refused(error: Error, only_reads: bool) -> Response {
    match error {
        Error::Unavailable { message, .. } if !only_reads => {
            Error::Timeout(format!("{message}; the request was carried out")).into_response()
        }
        error => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// A reply whose client takes nothing.
    #[derive(Debug)]
    struct Unread(Mutex<Option<ReplyRoom>>, Duration, OnceLock<()>);

    impl Taken for Unread {
        fn stalled(&self) -> Duration {
            if self.2.get().is_some() { Duration::ZERO } else { self.1 }
        }

        fn give_up(&self) {
            let _ = self.2.set(());
            *self.0.lock().expect("no panic") = None;
        }
    }

    async fn unread(replies: &Replies, bytes: u64, stalled: Duration) -> Arc<Unread> {
        let room = replies.room(bytes).await.expect("there is room");
        let reply = Arc::new(Unread(Mutex::new(room), stalled, OnceLock::new()));
        let held: Weak<Unread> = Arc::downgrade(&reply);
        replies.hold(held);
        reply
    }

    #[tokio::test(start_paused = true)]
    async fn the_unread_reply_is_given_up() {
        let replies = Replies::new(1 << 20, Duration::from_secs(5));
        let taken = unread(&replies, 512 << 10, Duration::ZERO).await;
        let stuck = unread(&replies, 512 << 10, Duration::from_secs(9)).await;
        let next = replies.room(400 << 10).await.expect("in the place of the one that is stuck");
        assert!(stuck.2.get().is_some() && taken.2.get().is_none());
        replies.room(400 << 10).await.expect_err("all others are being taken");
        assert!(replies.room(SMALL_REPLY).await.is_ok_and(|room| room.is_none()));
        drop((next, taken));
        replies.room(u64::MAX).await.expect("all of it");
    }
}
