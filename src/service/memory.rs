//! A bound on the memory of all parsed bodies together: charges of [`crate::wire::allowance`] are taken from here while a body is parsed, and given
//! back when the request is answered.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use metrics::gauge;

use super::{
    error::{Error, Result},
    limits,
};
use crate::{
    telemetry,
    wire::allowance::{self, Source},
};

/// Bytes taken at a time.
const STEP: usize = 1 << 20;

tokio::task_local! {
    static REQUEST: Arc<Taken>;
}

/// Memory for parsed bodies. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    left: Arc<AtomicUsize>,
    /// The largest part for one request.
    most: usize,
}

/// The part that one request holds.
#[derive(Debug)]
struct Taken {
    memory: Memory,
    bytes: AtomicUsize,
    /// There was not as much as was wanted.
    is_short: AtomicBool,
    /// One request may not have as much as was wanted.
    is_too_much: AtomicBool,
}

impl Memory {
    /// A budget of `bytes`, of which one request may have three quarters, so that others can go on meanwhile.
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)), most: bytes / 4 * 3 }
    }
}

impl Source for Taken {
    fn take(&self, bytes: usize) -> usize {
        let (taken, most) = (self.bytes.load(Ordering::Relaxed), self.memory.most);
        if bytes > most.saturating_sub(taken) {
            self.is_too_much.store(true, Ordering::Relaxed);
            return 0;
        }
        let bytes = bytes.max(STEP.min(most - taken));
        let less = |left: usize| left.checked_sub(bytes);
        if self.memory.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            self.is_short.store(true, Ordering::Relaxed);
            return 0;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        gauge!(telemetry::DECODED_BYTES).increment(bytes as f64);
        bytes
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if bytes > 0 {
            self.memory.left.fetch_add(bytes, Ordering::Relaxed);
            gauge!(telemetry::DECODED_BYTES).decrement(bytes as f64);
        }
    }
}

/// Carries a request out with an allowance.
///
/// # Errors
/// [`Error::TooMuch`] or [`Error::Unavailable`] if the allowance did not suffice, with any result.
pub async fn bounded<T>(memory: Memory, request: impl Future<Output = T>) -> Result<T> {
    let (bytes, is_short, is_too_much) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let taken = Arc::new(Taken { memory, bytes, is_short, is_too_much });
    let reply = REQUEST.scope(taken.clone(), request).await;
    if taken.is_too_much.load(Ordering::Relaxed) {
        return Err(Error::TooMuch);
    }
    if taken.is_short.load(Ordering::Relaxed) {
        let message = "what other requests sent takes all memory that --max-decoded-bytes allows".into();
        return Err(Error::Unavailable { message, retry_after_seconds: 1 });
    }
    Ok(reply)
}

/// Work of the current request, with its allowance, for another thread.
pub fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let source = REQUEST.try_with(|taken| -> Arc<dyn Source> { taken.clone() }).ok();
    move || allowance::within(source, work)
}

/// Keeps the memory of the current request while its work continues after the reply has begun.
pub fn kept<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let taken = REQUEST.try_with(Clone::clone).ok();
    let work = limits::within(limits::flow(), work);
    async move {
        match taken {
            Some(taken) => REQUEST.scope(taken, work).await,
            None => work.await,
        }
    }
}

/// Takes memory for the current request.
///
/// # Errors
/// [`Error::TooMuch`] if there is not enough.
pub fn charge(bytes: usize) -> Result<()> {
    let taken = REQUEST.try_with(|taken| bytes < STEP || taken.take(bytes) > 0);
    if taken.unwrap_or(true) { Ok(()) } else { Err(Error::TooMuch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(memory: &Memory) -> Taken {
        let (is_short, is_too_much) = (AtomicBool::new(false), AtomicBool::new(false));
        Taken { memory: memory.clone(), bytes: AtomicUsize::new(0), is_short, is_too_much }
    }

    #[test]
    fn one_request_may_take_three_quarters_of_the_memory() {
        let memory = Memory::new(8 * STEP);
        let first = taken(&memory);
        assert_eq!(first.take(10), STEP);
        assert_eq!(first.take(5 * STEP), 5 * STEP);
        assert_eq!(first.take(1), 0);
        assert!(first.is_too_much.load(Ordering::Relaxed) && !first.is_short.load(Ordering::Relaxed));
        let second = taken(&memory);
        assert_eq!((second.take(2 * STEP), second.take(1)), (2 * STEP, 0));
        assert!(second.is_short.load(Ordering::Relaxed) && !second.is_too_much.load(Ordering::Relaxed));
        drop(first);
        assert_eq!(second.take(1), STEP, "what was given back");
    }
}
