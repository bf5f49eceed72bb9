//! The cluster as the state machine of node groups sees it, and the advice of the core on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::machine::{Advice, GroupNow, Increase, Leaving, Memory, NodeNow, Removable, Seen};
use crate::{
    clock::nanoseconds,
    core::{
        advise::{
            groups::Groups,
            plan::has_to_move,
            scale_down::{self, State as DownState, TO_BE_DELETED},
            scale_up,
        },
        model::{Name, Node},
        policy::Profiles,
        snapshot::Snapshot,
    },
};

/// The cluster as the state machine sees it.
pub(super) fn seen(snapshot: &Snapshot, groups: &Groups) -> Seen {
    let now = groups.all().iter().map(|group| GroupNow {
        name: group.id.to_string(),
        min: group.min,
        max: group.max,
        target: group.target,
        nodes: u32::try_from(group.nodes.len()).unwrap_or(u32::MAX),
        provision_time: group.options.provision_time.map(SignedDuration::from_nanos),
    });
    let nodes = snapshot.nodes().map(|info| {
        let is_empty = !info.pods.iter().any(|pod| has_to_move(pod));
        // The loop's own cordon comes with its mark.
        let is_cordoned = info.node.unschedulable && !is_marked(&info.node);
        (info.name().to_string(), NodeNow { is_empty, is_cordoned })
    });
    Seen {
        groups: now.collect(),
        nodes: nodes.collect(),
        unready: snapshot.nodes().filter(|info| !info.node.may_be_ready()).count(),
        waiting: snapshot.pods().filter(|pod| pod.waits()).count(),
    }
}

/// `true` if the loop has marked the node.
pub(super) fn is_marked(node: &Node) -> bool {
    node.taints.iter().any(|taint| &*taint.key == TO_BE_DELETED)
}

/// The advice of the core for the cluster.
pub(super) struct Advised<'a> {
    snapshot: &'a Snapshot,
    groups: Groups,
    profiles: Profiles,
    /// Nodes on their way out; `true` for those that are being emptied.
    leaving: BTreeMap<Name, bool>,
    unremovable_until: BTreeMap<Name, i64>,
    /// Time between two turns, in nanoseconds.
    interval: i64,
    now: i64,
}

impl<'a> Advised<'a> {
    /// The advice on a cluster. Nodes found unremovable are not looked at again before the times given with them.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        groups: Groups,
        profiles: Profiles,
        memory: &Memory,
        unremovable_until: BTreeMap<Name, i64>,
        (interval, now): (Duration, Timestamp),
    ) -> Self {
        let names = |of: &BTreeMap<String, Leaving>, drained: bool| -> Vec<(Name, bool)> {
            of.keys().map(|node| (Name::from(node.as_str()), drained)).collect()
        };
        let interval = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
        let leaving = [names(&memory.draining, true), names(&memory.removing, false)].concat().into_iter().collect();
        Self { snapshot, groups, profiles, leaving, unremovable_until, interval, now: nanoseconds(now) }
    }

    /// Nodes found unremovable by now.
    pub(super) fn into_unremovable(self) -> BTreeMap<Name, i64> {
        self.unremovable_until
    }
}

impl Advice for Advised<'_> {
    fn up(&mut self, excluded: &BTreeSet<String>) -> Vec<Increase> {
        let options = scale_up::Options {
            backed_off: excluded.iter().map(|group| Name::from(group.as_str())).collect(),
            balance_similar: true,
            ..scale_up::Options::default()
        };
        let answer = scale_up::scale_up(self.snapshot, &self.profiles, &self.groups, &options, self.now);
        let helped = answer.triggered.len();
        let increase = |(group, by): (Name, usize)| Increase {
            group: group.to_string(),
            by: u32::try_from(by).unwrap_or(u32::MAX),
            why: format!("{helped} pods fit on no node"),
        };
        answer.increase.into_iter().map(increase).collect()
    }

    fn down(&mut self, unneeded: &BTreeMap<String, Timestamp>) -> Removable {
        let since = unneeded.iter().map(|(node, since)| (Name::from(node.as_str()), nanoseconds(*since)));
        let state = DownState {
            unneeded_since: since.collect(),
            unremovable_until: std::mem::take(&mut self.unremovable_until),
            deleting: self.leaving.clone(),
        };
        let answer = scale_down::plan(&scale_down::Input {
            snapshot: self.snapshot,
            groups: &self.groups,
            profiles: &self.profiles,
            options: &scale_down::Options { scan_interval: Some(self.interval), ..scale_down::Options::default() },
            state: &state,
            node_order: &[],
            counts_ended_pods: false,
            now: self.now,
        });
        self.unremovable_until = answer.state.unremovable_until;
        let with_group = |nodes: Vec<Name>| {
            let of = |node: Name| self.groups.of(&node).map(|group| (node.to_string(), group.id.to_string()));
            nodes.into_iter().filter_map(of).collect()
        };
        let unneeded = answer.state.unneeded_since.iter();
        Removable {
            unneeded: unneeded.map(|(node, since)| (node.to_string(), timestamp(*since))).collect(),
            now: with_group(answer.delete.empty.into_iter().chain(answer.delete.drain).collect()),
        }
    }
}

fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::MAX)
}
