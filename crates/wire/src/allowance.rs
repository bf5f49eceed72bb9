//! A limit on the memory that parsing a text takes. Three bytes, `{},`, become a pod of a kilobyte and more, so a limit on the
//! length of a body does not bound it.
//!
//! [`super::decode`] charges for values when it makes them: for an element of a list, and for an entry of a map, its size in memory.
//! Ignored values cost nothing, and neither do the fields of a struct, which are part of it. The length of the body bounds the texts
//! in it.
//!
//! The allowance belongs to the thread while [`within`] runs. A thread without one may use [`WITHOUT_SOURCE`] for one text.

use std::{cell::Cell, cell::RefCell, fmt::Debug, sync::Arc};

/// Where an allowance comes from.
pub trait Source: Debug + Send + Sync {
    /// Takes `bytes` and some more. Returns the number of bytes taken, 0 if there are not enough.
    fn take(&self, bytes: usize) -> usize;
}

/// Memory that a thread without an allowance may use for one text, besides eight times the length of the text.
pub const WITHOUT_SOURCE: usize = 64 << 20;

/// Memory of a small request, which is not counted.
const FREE: usize = 256 << 10;

/// Number of copies: parsed values are converted to the core's form, about as large, while they still exist.
const COPIES: usize = 2;

/// Least memory of a map entry: its key, its place, and rounding.
const MAP_ENTRY: usize = 160;

/// The message when the allowance is used up.
pub const USED_UP: &str =
    "the parsed body takes more memory than --max-decoded-bytes allows: send fewer items at a time";

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// How much the sources have given to the thread so far.
    static GIVEN: Cell<usize> = const { Cell::new(0) };
    static SOURCE: RefCell<Option<Arc<dyn Source>>> = const { RefCell::new(None) };
}

/// There is not as much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp;

/// Restores the earlier state, also if the work panics.
struct Before(usize, Option<Arc<dyn Source>>);

impl Before {
    fn set(left: usize, source: Option<Arc<dyn Source>>) -> Self {
        Self(LEFT.replace(left), SOURCE.replace(source))
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        LEFT.set(self.0);
        SOURCE.set(self.1.take());
    }
}

/// Does the work with an allowance from this source.
pub fn within<T>(source: Option<Arc<dyn Source>>, work: impl FnOnce() -> T) -> T {
    if source.is_none() {
        return work();
    }
    let _before = Before::set(FREE, source);
    work()
}

/// Does work on one text for which, where the thread has no allowance, there is one that grows with the text's length.
pub(super) fn for_text<T>(length: usize, work: impl FnOnce() -> T) -> T {
    if LEFT.get() != usize::MAX {
        return work();
    }
    let _before = Before::set(WITHOUT_SOURCE.saturating_add(length.saturating_mul(8)), None);
    work()
}

/// Does work whose result is dropped or charged for separately: charges made meanwhile are given back.
pub fn briefly<T>(work: impl FnOnce() -> T) -> T {
    measured(work).0
}

/// Does work as [`briefly`] does. Returns also the memory of the values that it was charged for, each counted once; 0 without an allowance.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, given) = (LEFT.get(), GIVEN.get());
    let done = work();
    if SOURCE.with_borrow(Option::is_none) {
        return (done, 0);
    }
    let (given, after) = (GIVEN.get().wrapping_sub(given), LEFT.get());
    // All that the source gave meanwhile stays with the thread.
    let before = before.saturating_add(given);
    LEFT.set(before);
    (done, before.saturating_sub(after) / COPIES)
}

/// Charges for memory.
///
/// # Errors
/// [`UsedUp`] when there is not as much.
#[inline]
pub fn charge(bytes: usize) -> Result<(), UsedUp> {
    let left = LEFT.get();
    if left >= bytes {
        // Without an allowance nothing is counted.
        LEFT.set(if left == usize::MAX { left } else { left - bytes });
        return Ok(());
    }
    take_more(left, bytes)
}

#[cold]
fn take_more(left: usize, bytes: usize) -> Result<(), UsedUp> {
    let source = SOURCE.with_borrow(Clone::clone);
    let taken = source.map_or(0, |source| source.take(bytes - left));
    GIVEN.set(GIVEN.get().wrapping_add(taken));
    let left = left.saturating_add(taken);
    LEFT.set(left.checked_sub(bytes).ok_or(UsedUp)?);
    Ok(())
}

/// Charges for an element of a list.
#[inline]
pub(super) fn charge_element<T>() -> Result<(), UsedUp> {
    match size_of::<T>() {
        // It is passed over.
        0 => Ok(()),
        size => charge(COPIES * size + size_of::<usize>()),
    }
}

/// Charges for an entry of a map, whose key is a text. The fields of a struct, whose keys are numbers, are part of it.
#[inline]
pub(super) fn charge_key<K>() -> Result<(), UsedUp> {
    if size_of::<K>() > size_of::<usize>() { charge(MAP_ENTRY) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{cluster::Cluster, decode, extender::ExtenderArgs, objects::pod::Pod};

    #[derive(Debug)]
    struct Purse(AtomicUsize);

    impl Source for Purse {
        fn take(&self, bytes: usize) -> usize {
            self.0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
                .map_or(0, |_| bytes)
        }
    }

    fn with<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
        within(Some(Arc::new(Purse(AtomicUsize::new(bytes)))), work)
    }

    fn list(item: &str, count: usize) -> String {
        vec![item; count].join(",")
    }

    #[test]
    fn elements_cost_their_memory_and_ignored_values_nothing() {
        let pods = |item: &str, count| format!(r#"{{"pods":[{}]}}"#, list(item, count));
        let parse = |text: &str, bytes| with(bytes, || Cluster::parse(text.as_bytes()).map(drop));
        let size = size_of::<Pod>();
        parse(&pods("{}", 1_000), 2_100 * size).expect("as much as they take");
        let error = parse(&pods("{}", 1_000), 900 * size).expect_err("not half of it");
        assert_eq!(error.message, USED_UP);
        let passed_over = format!(r#"{{"pods":[{{"x":[{}]}}]}}"#, list("{}", 100_000));
        parse(&passed_over, 0).expect("nobody reads it");
    }

    #[test]
    fn every_form_of_many_small_values_is_held_down() {
        for text in [
            format!(r#"{{"Pod":{{"spec":{{"topologySpreadConstraints":[{}]}}}}}}"#, list("{}", 400_000)),
            format!(r#"{{"Pod":{{"spec":{{"tolerations":[{}]}}}}}}"#, list("{}", 400_000)),
            format!(r#"{{"Pod":{{"spec":{{"containers":[{{"ports":[{}]}}]}}}}}}"#, list("{}", 400_000)),
            format!(r#"{{"NodeNames":[{}]}}"#, list("\"\"", 4_000_000)),
            format!(
                r#"{{"Pod":{{"metadata":{{"labels":{{{}}}}}}}}}"#,
                (0..400_000).map(|i| format!("\"{i}\":\"\"")).collect::<Vec<_>>().join(",")
            ),
        ] {
            let error = with(16 << 20, || decode::from_slice::<ExtenderArgs<'_>>(text.as_bytes()).map(drop));
            assert_eq!(error.expect_err("too much").message, USED_UP, "{}", &text[..60]);
        }
    }

    #[test]
    fn a_text_without_an_allowance_has_one_that_follows_its_length() {
        let pods = format!(r#"{{"pods":[{}]}}"#, list("{}", 1_000_000));
        assert_eq!(Cluster::parse(pods.as_bytes()).expect_err("too much").message, USED_UP);
        assert_eq!(LEFT.get(), usize::MAX);
        Cluster::parse(br#"{"pods":[{}]}"#).expect("and the next one is read");
    }

    #[test]
    fn brief_work_gives_its_charges_back() {
        with(0, || {
            for _ in 0..100 {
                briefly(|| charge(FREE / 2)).expect("each by itself");
            }
            charge(FREE).expect("all is there");
            assert_eq!(charge(1), Err(UsedUp));
        });
    }

    #[test]
    fn work_is_measured_also_where_the_source_gives_more() {
        with(4 * FREE, || {
            for bytes in [0, 1_000, FREE, 2 * FREE] {
                let (charged, memory) = measured(|| charge(bytes));
                assert_eq!((charged, memory), (Ok(()), bytes / COPIES));
            }
        });
        assert_eq!(measured(|| charge(1_000)), (Ok(()), 0), "without an allowance nothing is counted");
    }
}
