//! The history of an autoscaler: its earlier proposals and changes.
//!
//! Entries that no rule reads any more are overwritten, one by each new entry, as the controller does: a rule of another direction may still
//! read an entry that its own direction has no use for.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` (`storeScaleEvent`, `markScaleEventsOutdated`, `stabilizeRecommendation`).

use super::{
    calculate::seconds,
    spec::{Behavior, Rules},
};

/// The most entries of each list. A loop that synchronizes each second needs 3,600 at most.
const MOST: usize = 4_096;

/// The history of an autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Proposals before they were stabilized.
    pub recommendations: Vec<Recommendation>,
    /// Changes to more replicas.
    pub ups: Vec<Event>,
    /// Changes to fewer replicas.
    pub downs: Vec<Event>,
}

/// A proposal of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// Its time, in nanoseconds.
    pub time: i64,
    /// The number of replicas.
    pub replicas: i32,
}

/// A change of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its time, in nanoseconds.
    pub time: i64,
    /// The number of replicas that came or went.
    pub change: i32,
}

impl History {
    /// Begins the history with the present number of replicas, so that a controller that has just started does not scale down at once.
    pub(super) fn begin(&mut self, replicas: i32, now: i64) {
        if self.recommendations.is_empty() {
            self.recommendations.push(Recommendation { time: now, replicas });
        }
    }

    /// Notes a change that was carried out. Changes count only if there are rules that read them.
    pub fn changed(&mut self, behavior: Option<&Behavior>, before: i32, after: i32, now: i64) {
        let Some(behavior) = behavior else { return };
        let is_up = after > before;
        let (events, rules) = if is_up { (&mut self.ups, &behavior.up) } else { (&mut self.downs, &behavior.down) };
        let cutoff = now.saturating_sub(seconds(longest_period(rules)));
        let change = after.saturating_sub(before).saturating_abs();
        replace(events, Event { time: now, change }, |event| event.time < cutoff);
    }

    /// Notes a proposal.
    pub(super) fn proposed(&mut self, replicas: i32, now: i64, is_old: impl Fn(i64) -> bool) {
        replace(&mut self.recommendations, Recommendation { time: now, replicas }, |entry| is_old(entry.time));
    }
}

/// Puts an entry in the place of the last one that is old, or at the end.
fn replace<T>(entries: &mut Vec<T>, entry: T, is_old: impl Fn(&T) -> bool) {
    if let Some(old) = entries.iter_mut().rev().find(|entry| is_old(entry)) {
        *old = entry;
        return;
    }
    if entries.len() >= MOST {
        entries.remove(0);
    }
    entries.push(entry);
}

fn longest_period(rules: &Rules) -> i32 {
    rules.policies.iter().map(|policy| policy.period_seconds).max().unwrap_or_default()
}
