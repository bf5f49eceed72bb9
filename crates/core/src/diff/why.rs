//! Why two policies decide differently.

use std::fmt::{self, Write as _};

use crate::{
    batch::Standing,
    model::Name,
    policy::{ActivePriority, Combination, Profile},
    verdict::Reason,
};

/// Priorities that a sentence names.
const MOST_NAMED: usize = 3;

/// The main cause of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A predicate of the candidate rules out the node that the policy in force chooses.
    Rejected(Ruling),
    /// A predicate of the policy in force rules out the node that the candidate chooses.
    Admitted(Ruling),
    /// Both nodes fit under both policies: the priorities whose weighted scores moved towards the candidate's node, the farthest first.
    Scores(Vec<Shift>),
    /// Both nodes fit under both policies, and this level of the candidate prefers its node.
    Level(String),
    /// The candidate scores both nodes equally, and the hash of seed, pod and node name decides.
    Tie,
    /// The candidate (`true`) or the policy in force (`false`) has no profile for the pod.
    NoProfile(bool),
}

/// A predicate that rules out a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The predicate, by the name that its policy gives it.
    pub predicate: String,
    /// The node.
    pub node: Name,
    /// The reasons, in kube-scheduler's words.
    pub reasons: Vec<Reason>,
}

/// The scores of a priority for two nodes under both policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The priority, by the name that the candidate gives it or, if only the policy in force has it, that one.
    pub priority: String,
    /// Under the policy in force; `None` if it has no such priority.
    pub before: Option<Scored>,
    /// Under the candidate; `None` if it has no such priority.
    pub after: Option<Scored>,
}

/// The scores of two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The score of the node that the policy in force chooses.
    pub from: i64,
    /// The score of the node that the candidate chooses.
    pub to: i64,
    /// The factor of both.
    pub weight: i64,
}

impl Scored {
    /// By how much the weighted scores favour the candidate's node.
    fn favour(self) -> i64 {
        (self.to - self.from).saturating_mul(self.weight)
    }
}

impl Shift {
    /// Under the policy in force and under the candidate: by how much the weighted scores favour the candidate's node.
    pub fn favours(&self) -> (i64, i64) {
        (self.before.map_or(0, Scored::favour), self.after.map_or(0, Scored::favour))
    }

    /// By how much the weighted scores moved towards the candidate's node.
    pub fn amount(&self) -> i64 {
        let (before, after) = self.favours();
        after.saturating_sub(before)
    }
}

/// For shifts towards the candidate's node.
impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.priority;
        match (self.favours(), self.after) {
            ((before, after), _) if after > 0 => write!(f, "{name} prefers the new node by {after} (before: {before})"),
            ((before, after), _) if after < 0 => {
                let (before, after) = (before.unsigned_abs(), after.unsigned_abs());
                write!(f, "{name} prefers the old node by {after} only (before: {before})")
            }
            ((before, _), after) => {
                let gone = if after.is_none() { ", as the candidate does not have it" } else { "" };
                write!(f, "{name} no longer prefers the old node by {}{gone}", before.unsigned_abs())
            }
        }
    }
}

/// A profile and what it makes of the two nodes, both of which fit.
pub(super) struct View<'a> {
    pub(super) profile: &'a Profile,
    pub(super) from: Standing,
    pub(super) to: Standing,
}

impl View<'_> {
    fn scored(&self, index: usize, priority: &ActivePriority) -> Scored {
        let score = |of: &Standing| i64::from(of.scores.get(index).copied().unwrap_or_default());
        Scored { from: score(&self.from), to: score(&self.to), weight: priority.weight }
    }

    /// Each priority by its plugin, with its name.
    fn each(&self) -> impl Iterator<Item = (&'static str, &str, Scored)> {
        let priorities = self.profile.priorities.iter().enumerate();
        priorities.map(|(index, priority)| (priority.plugin, &*priority.name, self.scored(index, priority)))
    }
}

impl Why {
    /// The cause between two nodes that fit under both.
    pub(super) fn of_scores(before: &View<'_>, after: &View<'_>) -> Self {
        if after.profile.combination == Combination::Lexicographic {
            let level = after.from.lost_at.and_then(|level| after.profile.priorities.get(level));
            return level.map_or(Self::Tie, |priority| Self::Level(priority.name.to_string()));
        }
        // Levels have no amounts that could be compared.
        let is_comparable = before.profile.combination == Combination::WeightedSum;
        let mut old: Vec<_> = if is_comparable { before.each().collect() } else { Vec::new() };
        let mut shifts = Vec::new();
        for (plugin, name, scored) in after.each() {
            let at = old.iter().position(|(other, ..)| *other == plugin);
            let before = at.map(|at| old.remove(at).2);
            shifts.push(Shift { priority: name.into(), before, after: Some(scored) });
        }
        let gone = old.into_iter();
        shifts.extend(gone.map(|(_, name, scored)| Shift { priority: name.into(), before: Some(scored), after: None }));
        shifts.retain(|shift| shift.amount() > 0);
        shifts.sort_by_key(|shift| std::cmp::Reverse(shift.amount()));
        if shifts.is_empty() { Self::Tie } else { Self::Scores(shifts) }
    }

    /// The rule that is the cause, by the name that a policy gives it; `SchedulerName` for a missing profile, and `TieBreak`.
    pub fn rule(&self) -> &str {
        match self {
            Self::Rejected(ruling) | Self::Admitted(ruling) => &ruling.predicate,
            Self::Scores(shifts) => shifts.first().map_or("TieBreak", |shift| &shift.priority),
            Self::Level(priority) => priority,
            Self::Tie => "TieBreak",
            Self::NoProfile(_) => "SchedulerName",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(Ruling { predicate, node, reasons }) => {
                write!(f, "{predicate} of the candidate rejects {node}: {}", reasons.join(", "))
            }
            Self::Admitted(Ruling { predicate, node, reasons }) => {
                write!(f, "{predicate} rejected {node} before: {}", reasons.join(", "))
            }
            Self::Scores(shifts) => {
                let mut text = String::new();
                for shift in shifts.iter().take(MOST_NAMED) {
                    let separator = if text.is_empty() { "" } else { "; " };
                    write!(text, "{separator}{shift}")?;
                }
                f.write_str(&text)
            }
            Self::Level(priority) => write!(f, "{priority}, a level of the candidate, prefers the new node"),
            Self::Tie => f.write_str("the candidate scores both nodes equally, and the tie-break decides"),
            Self::NoProfile(true) => f.write_str("the candidate has no profile of the pod's schedulerName"),
            Self::NoProfile(false) => f.write_str("the policy before had no profile of the pod's schedulerName"),
        }
    }
}
