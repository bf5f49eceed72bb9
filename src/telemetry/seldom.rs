//! Log lines that would come by the thousand while something is away.

use std::{
    collections::BTreeMap,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Since when time is counted.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One line is written in this time.
const PERIOD: Duration = Duration::from_secs(1);

/// Requests that were refused because the database does not take them: why, once a second for all of them.
pub static REFUSED_REQUESTS: Seldom = Seldom::new();

/// Binds that API servers did not make.
pub static UNMADE_BINDS: Seldom = Seldom::new();

/// Events and conditions of a scheduler that are not in its live cluster.
pub static DROPPED_REPORTS: Seldom = Seldom::new();

/// Clients with which there is no TLS connection.
pub static REFUSED_HANDSHAKES: Seldom = Seldom::new();

/// Admits one line a second.
#[derive(Debug)]
pub struct Seldom {
    /// When the next one may be written, in milliseconds; 0: at once.
    next: AtomicU64,
    left_out: AtomicU64,
}

impl Seldom {
    const fn new() -> Self {
        Self { next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Tells if a line may be written now: the number of lines left out before it, or `None`.
    pub fn turn(&self) -> Option<u64> {
        self.turn_at(START.elapsed())
    }

    fn turn_at(&self, now: Duration) -> Option<u64> {
        let (now, next) = (now.as_millis() as u64, self.next.load(Ordering::Relaxed));
        let after = now.saturating_add(PERIOD.as_millis() as u64);
        let ours = now >= next && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if ours {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Time after which a text is news again.
const REPEATED_AFTER: Duration = Duration::from_mins(5);

/// Subjects of which the last text is known, at most; then all are forgotten.
const MOST_SUBJECTS: usize = 10_000;

/// Admits a text about a subject when it is another one than the last, and every five minutes.
#[derive(Debug)]
pub struct Texts(Mutex<BTreeMap<String, (String, Duration)>>);

impl Texts {
    /// Nothing has been told yet.
    #[expect(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// `true` if the text is to be told now.
    pub fn is_new(&self, subject: &str, text: &str) -> bool {
        self.is_new_at(subject, text, START.elapsed())
    }

    fn is_new_at(&self, subject: &str, text: &str, now: Duration) -> bool {
        // Each change of it is one call.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(subject).is_some_and(|(last, at)| last == text && now < *at + REPEATED_AFTER) {
            return false;
        }
        if told.len() >= MOST_SUBJECTS {
            told.clear();
        }
        told.insert(subject.to_owned(), (text.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_counts_the_suppressed_lines() {
        let seldom = Seldom::new();
        let turns: Vec<_> =
            [5, 10, 500, 1_005, 1_006, 9_000].map(|at| seldom.turn_at(Duration::from_millis(at))).to_vec();
        assert_eq!(turns, [Some(0), None, None, Some(2), None, Some(1)]);
    }
    #[test]
    fn a_text_is_news_when_it_changes_and_again_after_five_minutes() {
        let texts = Texts::new();
        let at = |seconds, subject, text| texts.is_new_at(subject, text, Duration::from_secs(seconds));
        assert!(at(0, "a", "x") && at(0, "b", "x"));
        assert!(!at(2, "a", "x") && at(4, "a", "y") && at(6, "a", "x"));
        assert!(!at(305, "a", "x") && at(306, "a", "x") && !at(307, "a", "x"));
    }
}
