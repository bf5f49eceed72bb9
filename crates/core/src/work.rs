//! Bounded computation: work checks from time to time if it is still wanted, and ends if not.
//!
//! Every loop whose length a client decides reports its cost ([`spend`]). Work can end early only in [`run`]: because nobody waits for it
//! any more ([`Stop`]), or because it has taken more steps than it was given. Steps are counted and not timed, so that equal work on equal
//! input ends at the same step everywhere. One step is about one node, one group of pods or one term, some tens of nanoseconds.
//!
//! # Why by unwinding
//!
//! An early end unwinds to [`run`] without a panic's message or hook, as salsa's cancellation does. The alternative is a `Result` from
//! every predicate, priority, index and iterator: some ninety signatures, a branch after every call on the hot paths, and a value that
//! only [`run`] would use. Code that unwinds here only reads a snapshot and builds values of its own, which are dropped. It shares
//! nothing that could be left half changed.
//!
//! # Cost
//!
//! A subtraction from a thread-local number. Flag and budget are checked when that number is used up, once in [`QUANTUM`] steps. Outside of
//! [`run`] nothing is ever ended.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Steps between two checks of the flag: about a millisecond.
const QUANTUM: u64 = 1 << 15;

/// More steps than any work needs.
pub const UNBOUNDED: u64 = u64::MAX;

/// Why work ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody waits for the result any more.
    Stopped,
    /// It needs more steps than it was given.
    TooLong,
}

/// A flag that ends work. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// Stops the work when it is dropped.
#[derive(Debug)]
pub struct StopOnDrop(Stop);

impl Stop {
    /// Ends the work at its next look.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `true` if the work must end.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A guard that stops the work when its waiter goes.
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The work of one thread.
struct Running {
    stop: Stop,
    /// Steps that it may take besides those in [`LEFT`].
    reserve: u64,
}

thread_local! {
    /// Steps until the next look.
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Takes steps of the work that this thread does. Ends the work where it is not wanted any more.
#[inline]
pub fn spend(steps: u64) {
    LEFT.with(|left| match left.get().checked_sub(steps) {
        Some(rest) => left.set(rest),
        None => look(steps),
    });
}

/// Like [`spend`], for as many steps as there are items.
#[inline]
pub fn spend_on(items: usize) {
    spend(items as u64);
}

#[cold]
fn look(steps: u64) {
    let ended = RUNNING.with_borrow_mut(|running| {
        let Some(Running { stop, reserve }) = running else {
            LEFT.set(UNBOUNDED);
            return None;
        };
        if stop.is_stopped() {
            return Some(Ended::Stopped);
        }
        let Some(rest) = reserve.checked_sub(steps.saturating_sub(LEFT.get())) else {
            *reserve = 0;
            LEFT.set(0);
            return Some(Ended::TooLong);
        };
        let quantum = rest.min(QUANTUM);
        *reserve = rest - quantum;
        LEFT.set(quantum);
        None
    });
    if let Some(ended) = ended {
        resume_unwind(Box::new(ended));
    }
}

/// Runs work until it is done, is stopped, or has taken the given steps. The rest of these stays in `steps`. Work that is stopped already
/// is not begun.
///
/// # Errors
/// The reason of an early end. A panic of the work is passed on.
pub fn run<T>(stop: &Stop, steps: &mut u64, work: impl FnOnce() -> T) -> Result<T, Ended> {
    if stop.is_stopped() {
        return Err(Ended::Stopped);
    }
    let around = (LEFT.replace(0), RUNNING.replace(Some(Running { stop: stop.clone(), reserve: *steps })));
    let result = catch_unwind(AssertUnwindSafe(work));
    let (left, running) = (LEFT.replace(around.0), RUNNING.replace(around.1));
    *steps = running.map_or(0, |running| running.reserve.saturating_add(left));
    result.or_else(|payload| match payload.downcast::<Ended>() {
        Ok(ended) => Err(*ended),
        Err(panic) => resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the loop's turns were begun.
    fn turns(stop: &Stop, steps: &mut u64, most: u64, mut each: impl FnMut(u64)) -> (u64, Result<(), Ended>) {
        let mut begun = 0;
        let result = run(stop, steps, || {
            for turn in 0..most {
                spend(1);
                begun += 1;
                each(turn);
            }
        });
        (begun, result)
    }

    #[test]
    fn work_ends_at_the_step_that_its_budget_does_not_hold() {
        for budget in [0, 1, 7, QUANTUM, QUANTUM + 1, 3 * QUANTUM] {
            let mut left = budget;
            assert_eq!(turns(&Stop::default(), &mut left, u64::MAX, |_| ()), (budget, Err(Ended::TooLong)));
            assert_eq!(left, 0);
        }
        let mut left = 10;
        assert_eq!(turns(&Stop::default(), &mut left, 4, |_| ()), (4, Ok(())));
        assert_eq!(left, 6, "what was not taken");
    }

    #[test]
    fn a_step_larger_than_a_quantum_counts_in_full() {
        let (mut left, stop) = (10 * QUANTUM, Stop::default());
        assert_eq!(run(&stop, &mut left, || spend(9 * QUANTUM)), Ok(()));
        assert_eq!(left, QUANTUM);
        assert_eq!(run(&stop, &mut left, || spend(QUANTUM + 1)), Err(Ended::TooLong));
    }

    #[test]
    fn stopped_work_ends_at_the_next_look_and_is_not_begun_again() {
        let (stop, mut left) = (Stop::default(), UNBOUNDED);
        let guard = stop.on_drop();
        let mut guard = Some(guard);
        let (begun, result) = turns(&stop, &mut left, u64::MAX, |turn| {
            if turn == 5 {
                guard.take();
            }
        });
        assert_eq!(result, Err(Ended::Stopped));
        assert!((6..=QUANTUM + 1).contains(&begun), "within one quantum of steps: {begun}");
        assert_eq!(turns(&stop, &mut left, 1, |_| ()), (0, Err(Ended::Stopped)));
    }

    #[test]
    fn work_within_work_has_a_budget_of_its_own() {
        let (stop, mut outer, mut inner) = (Stop::default(), 10, 3);
        let result = run(&stop, &mut outer, || {
            spend(4);
            let ended = run(&Stop::default(), &mut inner, || spend(4));
            spend(6);
            ended
        });
        assert_eq!((result, outer), (Ok(Err(Ended::TooLong)), 0));
    }

    #[test]
    #[allow(clippy::panic, reason = "the panic is what is tested")]
    fn a_panic_is_no_early_end() {
        let caught = std::panic::catch_unwind(|| run(&Stop::default(), &mut 5, || panic!("broken")));
        assert!(caught.is_err());
        spend(UNBOUNDED);
        spend(UNBOUNDED);
    }
}
