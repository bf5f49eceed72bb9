//! Changes of a cluster, and those that may let an unschedulable pod fit.
//!
//! Source: `EventsToRegister` of the plugins in `pkg/scheduler/framework/plugins`, `pkg/scheduler/framework/types.go` (`ClusterEvent`).

use std::ops::{BitOr, BitOrAssign};

use crate::model::{Node, Pod};

/// A set of kinds of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Changes(u16);

/// The phrases of messages of unschedulable pods, and the changes that may cure what they tell. A new node may cure all of them.
const CURES: &[(&str, Changes)] = &[
    ("Insufficient ", Changes(Changes::NODE_ROOM.0 | Changes::POD_GONE.0)),
    ("Too many ", Changes(Changes::NODE_ROOM.0 | Changes::POD_GONE.0)),
    ("free ports", Changes::POD_GONE),
    ("taint", Changes::NODE_STATE),
    ("were unschedulable", Changes::NODE_STATE),
    ("were not ready", Changes::NODE_STATE),
    ("unavailable network", Changes::NODE_STATE),
    ("pressure", Changes::NODE_STATE),
    ("node affinity/selector", Changes::NODE_LABELS),
    ("plugin(s) [NodeAffinity]", Changes::NONE),
    ("scheduler-enforced node affinity", Changes::NODE_LABELS),
    ("the requested labels", Changes::NODE_LABELS),
    ("the requested node name", Changes::NONE),
    // What Podberth does not do for a pod: its claims have to be settled by others.
    ("in a mirrored cluster yet", Changes(Changes::STORAGE.0 | Changes::OTHER.0)),
    ("topology spread constraints", Changes(Changes::PODS.0 | Changes::NODE_LABELS.0 | Changes::NODE_STATE.0)),
    ("pod affinity rules", Changes(Changes::PODS.0 | Changes::NODE_LABELS.0 | Changes::OTHER.0)),
    ("anti-affinity rules", Changes(Changes::PODS.0 | Changes::NODE_LABELS.0 | Changes::OTHER.0)),
];

impl Changes {
    /// None.
    pub const NONE: Self = Self(0);
    /// A node came.
    pub const NODE_ADDED: Self = Self(1);
    /// A node offers other amounts.
    pub const NODE_ROOM: Self = Self(1 << 1);
    /// A node has other labels.
    pub const NODE_LABELS: Self = Self(1 << 2);
    /// A node has other taints, conditions, or may be used again.
    pub const NODE_STATE: Self = Self(1 << 3);
    /// A pod that was on a node has gone, has ended, or holds less.
    pub const POD_GONE: Self = Self(1 << 4);
    /// A pod came onto a node, or one there has other labels.
    pub const POD_CAME: Self = Self(1 << 5);
    /// Volumes, claims, classes or drivers changed.
    pub const STORAGE: Self = Self(1 << 6);
    /// Anything else that decisions read changed.
    pub const OTHER: Self = Self(1 << 7);
    /// Pods on nodes changed.
    pub const PODS: Self = Self(Self::POD_GONE.0 | Self::POD_CAME.0);
    /// All.
    pub const ALL: Self = Self((1 << 8) - 1);

    /// `true` if some are in both sets.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// `true` if there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The changes that may let a pod fit which was told this message. A reason that is not known may be cured by all.
    pub fn curing(message: &str) -> Self {
        // Reasons stand behind the colon, in one sentence; the plugins asked after them speak in others.
        let reasons = message.split_once(": ").map_or(message, |(_, reasons)| reasons);
        let reasons = reasons.split(". ").next().unwrap_or_default().trim_end_matches('.');
        let mut cures = Self::NODE_ADDED;
        for reason in reasons.split(", ") {
            let known = CURES.iter().filter(|(phrase, _)| reason.contains(phrase));
            let mut is_known = false;
            for (_, changes) in known {
                is_known = true;
                cures |= *changes;
            }
            if !is_known {
                return Self::ALL;
            }
        }
        cures
    }

    /// The changes between two states of a node.
    pub fn of_node(before: Option<&Node>, after: Option<&Node>) -> Self {
        match (before, after) {
            (_, None) => Self::NODE_STATE,
            (None, Some(_)) => Self::NODE_ADDED,
            (Some(before), Some(after)) => {
                let mut changes = Self::NONE;
                let mut note = |is_other: bool, change: Self| {
                    if is_other {
                        changes |= change;
                    }
                };
                note(before.allocatable != after.allocatable, Self::NODE_ROOM);
                note(before.labels != after.labels, Self::NODE_LABELS);
                note(
                    before.taints != after.taints
                        || before.unschedulable != after.unschedulable
                        || before.conditions != after.conditions,
                    Self::NODE_STATE,
                );
                changes
            }
        }
    }

    /// The changes between two states of a pod. Pods on no node count nothing.
    pub fn of_pod(before: Option<&Pod>, after: Option<&Pod>) -> Self {
        let counts = |pod: &&Pod| pod.is_assigned() && !pod.terminal;
        match (before.filter(counts), after.filter(counts)) {
            (None, None) => Self::NONE,
            (None, Some(_)) => Self::POD_CAME,
            (Some(_), None) => Self::POD_GONE,
            (Some(before), Some(after)) if before.node_name != after.node_name => Self::PODS,
            (Some(before), Some(after)) => {
                let mut changes = Self::NONE;
                // A pod that was deleted and made again under its name may differ in what no update changes.
                let is_remade = before.uid != after.uid
                    || before.spec.affinity != after.spec.affinity
                    || before.spec.host_ports != after.spec.host_ports;
                if is_remade || before.labels != after.labels || before.terminating != after.terminating {
                    changes |= Self::PODS;
                }
                if before.spec.requests != after.spec.requests || before.held != after.held {
                    changes |= Self::POD_GONE;
                }
                changes
            }
        }
    }
}

impl BitOr for Changes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Changes {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Any set.
#[cfg(test)]
pub(super) fn of_bits(bits: u16) -> Changes {
    Changes(bits & Changes::ALL.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_names_its_cures() {
        let of = |reasons: &str| Changes::curing(&format!("0/3 nodes are available: {reasons}."));
        let room = Changes::NODE_ADDED | Changes::NODE_ROOM | Changes::POD_GONE;
        assert_eq!(of("3 Insufficient cpu"), room);
        assert_eq!(of("2 Insufficient cpu, 1 Too many pods"), room);
        assert_eq!(of("1 node(s) had untolerated taint {a: b}, 2 Insufficient cpu"), room | Changes::NODE_STATE);
        assert_eq!(of("3 node(s) had taint {a: b}, that the pod didn't tolerate"), Changes::ALL, "of old releases");
        assert!(!of("3 node(s) didn't match Pod's node affinity/selector").meets(Changes::PODS));
        let with_preemption =
            "3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod";
        assert_eq!(of(with_preemption), room);
        let with_claims = with_preemption.replace("preemption: ", "no new claims to deallocate, preemption: ");
        assert_eq!(of(&with_claims), room);
        for unknown in ["3 node(s) had no luck", "", "waiting for ephemeral volume controller"] {
            assert_eq!(Changes::curing(unknown), Changes::ALL, "{unknown}");
        }
        assert!(Changes::curing("no nodes available to schedule pods").meets(Changes::NODE_ADDED));
    }

    #[test]
    fn only_what_decisions_read_is_a_change_of_a_node() {
        let node = Node { name: "n".into(), ..Node::default() };
        let cordoned = Node { unschedulable: true, ..node.clone() };
        assert_eq!(Changes::of_node(Some(&node), Some(&node)), Changes::NONE);
        assert_eq!(Changes::of_node(None, Some(&node)), Changes::NODE_ADDED);
        assert_eq!(Changes::of_node(Some(&cordoned), Some(&node)), Changes::NODE_STATE);
    }
}
