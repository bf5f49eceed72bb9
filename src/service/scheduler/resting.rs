//! Nodes that rest: a kubelet has just refused a pod for want of room, since another scheduler placed pods there too. And nodes with more on them than they
//! have.
//!
//! Source: `pkg/kubelet/lifecycle/predicate.go` (`OutOfCPU`, `OutOfMemory`, `OutOfPods`).

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;

use crate::core::{
    model::{Name, Resources},
    snapshot::Snapshot,
};

/// Time for which a node rests.
const RESTS_FOR: Duration = Duration::from_secs(30);

/// The start of the reasons.
const OUT_OF: &str = "OutOf";

/// The nodes that rest, each until a time since any one beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Resting(HashMap<Name, Duration>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
    reason: String,
}

/// The node on which a pod failed for want of room, if it did.
pub(super) fn refused_by(body: &[u8]) -> Option<Name> {
    // Most pods need not be parsed.
    let may_be = body.windows(OUT_OF.len()).any(|part| part == OUT_OF.as_bytes());
    let pod: Pod = may_be.then(|| serde_json::from_slice(body).ok()).flatten()?;
    let is_so = pod.status.phase == "Failed" && pod.status.reason.starts_with(OUT_OF) && !pod.spec.node_name.is_empty();
    is_so.then(|| pod.spec.node_name.into())
}

impl Resting {
    pub(super) fn rest(&mut self, node: Name, now: Duration) {
        self.0.insert(node, now + RESTS_FOR);
    }

    /// Lets those go whose rest is over; `true` if there were any.
    pub(super) fn end(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|_, until| *until > now);
        self.0.len() < before
    }

    /// When the next rest is over.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.values().min().copied()
    }

    /// The nodes that rest.
    pub(super) fn nodes(&self) -> Vec<Name> {
        self.0.keys().cloned().collect()
    }
}

/// Number of nodes whose pods ask for more than there is.
pub(super) fn overcommitted(snapshot: &Snapshot) -> usize {
    let exceeds = |asked: &Resources, there: &Resources| {
        asked.milli_cpu > there.milli_cpu
            || asked.memory > there.memory
            || asked.ephemeral_storage > there.ephemeral_storage
            || asked.scalar.iter().any(|(name, asked)| *asked > there.scalar.get(name).copied().unwrap_or(0))
    };
    snapshot
        .nodes()
        .filter(|node| {
            let there = &node.node.allocatable;
            exceeds(&node.requested, there) || i64::try_from(node.pods.len()).unwrap_or(i64::MAX) > there.pods
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_rests_for_a_while_after_its_kubelet_refused_a_pod() {
        let pod = |phase: &str, reason: &str| {
            format!(r#"{{"spec":{{"nodeName":"n"}},"status":{{"phase":"{phase}","reason":"{reason}"}}}}"#)
        };
        assert_eq!(refused_by(pod("Failed", "OutOfcpu").as_bytes()), Some("n".into()));
        assert_eq!(refused_by(pod("Failed", "Evicted").as_bytes()), None);
        assert_eq!(refused_by(pod("Running", "OutOfcpu").as_bytes()), None);
        let mut resting = Resting::default();
        resting.rest("n".into(), Duration::from_secs(5));
        assert!(!resting.end(Duration::from_secs(34)));
        assert_eq!((resting.nodes(), resting.next()), (vec![Name::from("n")], Some(Duration::from_secs(35))));
        assert!(resting.end(Duration::from_secs(35)));
        assert_eq!((resting.nodes(), resting.next()), (Vec::new(), None));
    }
}
