//! Replies and feeds that clients and watchers saw, and a check that they are possible.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

/// Namespace and name of a pod; names are never used twice.
pub(crate) type PodName = String;

/// Everything that was seen, from all sides.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Creations that were acknowledged.
    pub(crate) created: BTreeSet<PodName>,
    /// Creations that may or may not have happened.
    pub(crate) perhaps_created: BTreeSet<PodName>,
    /// Creations that were answered with a refusal.
    pub(crate) not_created: BTreeSet<PodName>,
    /// By writer: the last value that was acknowledged, and the last one that was sent.
    pub(crate) counters: BTreeMap<PodName, (u64, u64)>,
    /// Acknowledged updates of counters.
    pub(crate) updates: u64,
    /// Binds that were acknowledged, by pod.
    pub(crate) bound: BTreeMap<PodName, BTreeSet<String>>,
    /// Binds that were refused.
    pub(crate) refused: u64,
    /// Pods whose deletion was sent: they may be gone.
    pub(crate) deleted: BTreeSet<PodName>,
    /// When a write was acknowledged, by replica.
    pub(crate) heard: Vec<Vec<Instant>>,
    /// When a decision was answered, by replica.
    pub(crate) decided: Vec<Vec<Instant>>,
    /// Answers to one question over one revision, by epoch-free revision.
    pub(crate) answers: BTreeMap<u64, String>,
    /// Impossible observations.
    pub(crate) violations: Vec<String>,
    /// Revisions that a watcher went through.
    pub(crate) watched: u64,
    /// Number of times a watcher had to begin again.
    pub(crate) resets: u64,
}

/// A pod as the database holds it in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The node's column.
    pub(crate) node: Option<String>,
    /// The counter in its body, if it has one.
    pub(crate) counter: Option<u64>,
}

impl History {
    pub(crate) fn violation(&mut self, what: String) {
        self.violations.push(what);
    }

    /// The longest time in which no replica acknowledged anything.
    pub(crate) fn outage(&self) -> Duration {
        let mut all: Vec<Instant> = self.heard.iter().flatten().copied().collect();
        all.sort_unstable();
        silence(&all)
    }

    /// How many writes were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.created.len() as u64 + self.updates + self.bound.len() as u64
    }

    /// Compares the acknowledged writes with the stored objects.
    pub(crate) fn check(&mut self, there: &BTreeMap<PodName, Stored>, capacity: usize) -> Findings {
        let mut findings = Findings::default();
        for pod in self.created.difference(&self.deleted) {
            if there.contains_key(pod) {
                findings.found += 1;
            } else {
                self.violations.push(format!("the creation of {pod} was acknowledged, and it is not there"));
            }
        }
        findings.found += self.created.intersection(&self.deleted).count() as u64;
        for pod in &self.not_created {
            if there.contains_key(pod) {
                self.violations.push(format!("the reply said that {pod} was not created, and it is there"));
            }
        }
        for (pod, (acknowledged, sent)) in &self.counters {
            match there.get(pod).and_then(|stored| stored.counter) {
                Some(value) if (*acknowledged..=*sent).contains(&value) => {}
                value => self.violations.push(format!(
                    "{pod} counted to {acknowledged} for sure and {sent} at most, and it is at {value:?}"
                )),
            }
        }
        findings.found += self.updates;
        for (pod, nodes) in &self.bound {
            if nodes.len() > 1 {
                findings.double_binds += 1;
                self.violations.push(format!("{pod} was bound twice, to {nodes:?}"));
            }
            match there.get(pod) {
                Some(stored) if stored.node.as_ref().is_some_and(|node| nodes.contains(node)) => findings.found += 1,
                None if self.deleted.contains(pod) => findings.found += 1,
                stored => self.violations.push(format!("{pod} was bound to {nodes:?}, and it is {stored:?}")),
            }
        }
        let mut load = BTreeMap::<&str, usize>::new();
        for node in there.values().filter_map(|stored| stored.node.as_deref()) {
            *load.entry(node).or_default() += 1;
        }
        for (node, pods) in load {
            if pods > capacity {
                findings.overcommitted += 1;
                self.violations.push(format!("{node} holds {pods} pods and takes {capacity}"));
            }
        }
        let happened = self.perhaps_created.iter().filter(|pod| there.contains_key(*pod)).count();
        findings.unknown = (happened, self.perhaps_created.len() - happened);
        findings
    }

    /// The violations, one a line.
    pub(crate) fn told(&self) -> String {
        let mut told = String::new();
        for violation in self.violations.iter().take(20) {
            let _ = writeln!(told, "- {violation}");
        }
        told
    }
}

/// The longest time between two of these, which are in order.
pub(crate) fn silence(heard: &[Instant]) -> Duration {
    heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// The row of a run in the table.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged writes that exist.
    pub(crate) found: u64,
    /// Creations of unknown outcome: those that happened, and those that did not.
    pub(crate) unknown: (usize, usize),
    pub(crate) double_binds: u64,
    pub(crate) overcommitted: u64,
}
