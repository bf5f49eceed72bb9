//! Keeps the groups of the highest priority.
//!
//! Priorities are whole numbers, each with patterns: a group has the highest number that any of its patterns is found for in the group's name.
//! Patterns are regular expressions and match a part of the name. Groups that no pattern matches are left out, unless there are no others.
//! Numbers below -1 never win. The text of the priorities is that of cluster-autoscaler's ConfigMap `cluster-autoscaler-priority-expander`:
//!
//! ```yaml
//! 10:
//!   - .*-spot
//! 50:
//!   - ^reserved-
//! ```
//!
//! Source: `cluster-autoscaler/expander/priority/priority.go`.

use regex::{Regex, RegexBuilder};

use super::Candidate;
use crate::{advise::Advice, work};

pub(super) const ADVICE: Advice = Advice { name: "priority", kind: "Expander", source: include_str!("priority.rs") };

/// Patterns that priorities may have, together.
const MOST_PATTERNS: usize = 200;
/// Bytes of a compiled pattern.
const PATTERN_SIZE: usize = 128 << 10;
/// Steps of work that compiling a pattern takes.
const COMPILING: u64 = 100_000;
/// The lowest priority that can win.
const LEAST: i64 = -1;

/// The priorities of groups.
#[derive(Clone, Debug)]
pub struct Priorities(Vec<(i64, Regex)>);

/// Why priorities cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriorityError {
    /// A pattern is no regular expression.
    #[error("priority {priority}: {pattern:?} is no regular expression: {why}")]
    Pattern {
        /// The priority.
        priority: i64,
        /// The pattern.
        pattern: String,
        /// Its fault.
        why: String,
    },
    /// There are too many.
    #[error("must have at most {MOST_PATTERNS} patterns")]
    TooMany,
}

impl Priorities {
    /// Priorities with the patterns of each.
    ///
    /// # Errors
    /// [`PriorityError`].
    pub fn new<'p>(patterns: impl IntoIterator<Item = (i64, &'p str)>) -> Result<Self, PriorityError> {
        let mut priorities = Vec::new();
        for (priority, pattern) in patterns {
            if priorities.len() == MOST_PATTERNS {
                return Err(PriorityError::TooMany);
            }
            work::spend(COMPILING);
            let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build().map_err(|error| {
                let why = error.to_string().lines().last().unwrap_or_default().to_owned();
                PriorityError::Pattern { priority, pattern: pattern.to_owned(), why }
            })?;
            priorities.push((priority, compiled));
        }
        Ok(Self(priorities))
    }

    /// The highest priority of a group; `None` if no pattern matches its name.
    fn of(&self, group: &str) -> Option<i64> {
        work::spend_on(self.0.len().saturating_mul(1 + group.len()));
        let matching = self.0.iter().filter(|(_, pattern)| pattern.is_match(group));
        matching.map(|(priority, _)| *priority).max()
    }
}

pub(super) fn filter<'o>(priorities: Option<&Priorities>, candidates: Vec<Candidate<'o>>) -> Vec<Candidate<'o>> {
    let Some(priorities) = priorities else { return candidates };
    let of = |candidate: &Candidate<'_>| priorities.of(&candidate.option.group).filter(|priority| *priority >= LEAST);
    let Some(highest) = candidates.iter().filter_map(of).max() else { return candidates };
    candidates.into_iter().filter(|candidate| of(candidate) == Some(highest)).collect()
}
