//! The loop over node groups as a state machine: what it has done, what it sees, what it does next. No I/O and no clock.
//!
//! A turn first looks whether earlier steps have come about: nodes asked for that are there, or overdue; drained nodes that are empty, or do not become so.
//! Then pods that wait make groups larger. Only in a turn without that, and outside of all pauses, do groups become smaller.
//!
//! Where too many nodes are not ready nothing is begun at all: the cluster, or the way to it, is broken, and neither more nor fewer nodes would mend that.
//!
//! Source: `cluster-autoscaler/core/static_autoscaler.go` (`RunOnce`, `isScaleDownInCooldown`), `cluster-autoscaler/clusterstate/clusterstate.go`
//! (`IsClusterHealthy`, `updateScaleRequests`), `cluster-autoscaler/utils/backoff/exponential_backoff.go`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::advise::plan::{AdviceStep, StepKind};

/// Times and bounds of the loop; the defaults are cluster-autoscaler's.
#[derive(Clone, Debug)]
pub struct Rules {
    /// No node is removed for so long after a group became larger.
    pub delay_after_add: SignedDuration,
    /// No node is removed for so long after another one was.
    pub delay_after_delete: SignedDuration,
    /// No node is removed for so long after a drain failed.
    pub delay_after_failure: SignedDuration,
    /// A node that was asked for is overdue after so long.
    pub provision_time: SignedDuration,
    /// The first pause of a group whose nodes did not come; it doubles with each further time.
    pub first_backoff: SignedDuration,
    /// The longest such pause.
    pub longest_backoff: SignedDuration,
    /// Time without a failure after which pauses begin small again.
    pub backoff_forgotten: SignedDuration,
    /// A drained node is given up after so long.
    pub drain_time: SignedDuration,
    /// A deletion is asked for again after so long.
    pub deletion_time: SignedDuration,
    /// Nodes that may be unready whatever their part.
    pub ok_unready: usize,
    /// The part of the nodes that may be unready, of 100.
    pub most_unready_percent: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            delay_after_add: SignedDuration::from_mins(10),
            delay_after_delete: SignedDuration::ZERO,
            delay_after_failure: SignedDuration::from_mins(3),
            provision_time: SignedDuration::from_mins(15),
            first_backoff: SignedDuration::from_mins(5),
            longest_backoff: SignedDuration::from_mins(30),
            backoff_forgotten: SignedDuration::from_hours(3),
            drain_time: SignedDuration::from_mins(3),
            deletion_time: SignedDuration::from_mins(10),
            ok_unready: 3,
            most_unready_percent: 45,
        }
    }
}

/// Memory of the loop between turns, and over a change of the process that leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Nodes that are not needed, and since when.
    pub unneeded: BTreeMap<String, Timestamp>,
    /// Groups that have changed or failed.
    pub groups: BTreeMap<String, GroupMemory>,
    /// Nodes that are being emptied.
    pub draining: BTreeMap<String, Leaving>,
    /// Nodes that are to be deleted, until they are gone.
    pub removing: BTreeMap<String, Leaving>,
    /// When a group became larger last.
    pub added: Option<Timestamp>,
    /// When a node was given up last.
    pub deleted: Option<Timestamp>,
    /// When a drain failed last.
    pub failed: Option<Timestamp>,
}

/// Memory of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupMemory {
    /// Nodes that were asked for and are not all there.
    pub growth: Option<Growth>,
    /// The pause of a group whose nodes did not come.
    pub backoff: Option<Backoff>,
    /// When it became larger last.
    pub added: Option<Timestamp>,
}

/// Nodes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// When.
    pub since: Timestamp,
    /// The number of nodes that the group had.
    pub from: u32,
    /// The number that it is to have.
    pub to: u32,
}

/// The pause of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// When its nodes were overdue last.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// A node on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    /// Its group.
    pub group: String,
    /// Since when.
    pub since: Timestamp,
    /// `true` if somebody else had cordoned it before: then it stays cordoned when it stays.
    #[serde(default)]
    pub was_cordoned: bool,
}

/// A group as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupNow {
    /// Its name.
    pub name: String,
    /// It never has fewer nodes.
    pub min: u32,
    /// It never has more.
    pub max: u32,
    /// The number that it is to have.
    pub target: u32,
    /// Its nodes that are not to be deleted.
    pub nodes: u32,
    /// Time within which its nodes are to be there, where it has one of its own.
    pub provision_time: Option<SignedDuration>,
}

/// A node as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeNow {
    /// It has nothing left to evict.
    pub is_empty: bool,
    /// Somebody else than the loop has cordoned it.
    pub is_cordoned: bool,
}

/// The cluster as the loop sees it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// All groups.
    pub groups: Vec<GroupNow>,
    /// All nodes.
    pub nodes: BTreeMap<String, NodeNow>,
    /// How many of them are not ready.
    pub unready: usize,
    /// Pods that fit nowhere.
    pub waiting: usize,
}

/// A group that is to become larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increase {
    /// The group.
    pub group: String,
    /// How many nodes more.
    pub by: u32,
    /// Why.
    pub why: String,
}

/// Nodes that may go.
#[derive(Clone, Debug, Default)]
pub struct Removable {
    /// Nodes that are not needed, and since when.
    pub unneeded: BTreeMap<String, Timestamp>,
    /// Nodes to close and empty now, with their groups. Also those without pods: one may have come meanwhile.
    pub now: Vec<(String, String)>,
}

/// The advice that a turn asks for.
pub trait Advice {
    /// How the pods that wait are helped; none of these groups can.
    fn up(&mut self, excluded: &BTreeSet<String>) -> Vec<Increase>;
    /// Which nodes may go, given since when nodes were unneeded.
    fn down(&mut self, unneeded: &BTreeMap<String, Timestamp>) -> Removable;
}

/// Why a turn did nothing, or not all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "until")]
pub enum Mood {
    /// It looks for both.
    Watching,
    /// Too many nodes are not ready.
    Unhealthy,
    /// No node is removed before this time.
    Cooldown(Timestamp),
}

/// The steps of a turn. Besides them the pods of all nodes that are [leaving](Memory::leaving) are evicted, as far as budgets allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// In their order.
    pub steps: Vec<AdviceStep>,
    /// Why nothing more.
    pub mood: Mood,
}

impl Memory {
    /// One turn.
    pub fn turn(&mut self, rules: &Rules, now: Timestamp, seen: &Seen, advice: &mut impl Advice) -> Turn {
        let mut steps = Vec::new();
        // By its steps of this turn.
        let mut targets: BTreeMap<&str, u32> =
            seen.groups.iter().map(|group| (group.name.as_str(), group.target)).collect();
        self.forget(seen);
        self.look_after_growth(rules, now, seen, &mut targets, &mut steps);
        self.look_after_removals(rules, now, seen, &mut steps);
        self.look_after_drains(rules, now, seen, &mut targets, &mut steps);
        if !is_healthy(rules, seen) {
            return Turn { steps, mood: Mood::Unhealthy };
        }
        let has_grown = seen.waiting > 0 && self.grow(now, seen, advice, &mut targets, &mut steps);
        let Removable { unneeded, now: removable } = advice.down(&self.unneeded);
        self.unneeded = unneeded;
        let until = self.cooldown(rules).filter(|until| now < *until);
        if let Some(until) = until {
            return Turn { steps, mood: Mood::Cooldown(until) };
        }
        if !has_grown {
            for (node, group) in removable {
                if self.may_shrink(&group, seen, &targets) && !self.is_leaving(&node) {
                    let why = format!("it is not needed in {group}, and its pods are evicted");
                    steps.push(StepKind::Cordon { node: node.as_str().into() }.because(why));
                    let was_cordoned = seen.nodes.get(&node).is_some_and(|node| node.is_cordoned);
                    self.draining.insert(node, Leaving { group, since: now, was_cordoned });
                }
            }
        }
        Turn { steps, mood: Mood::Watching }
    }

    /// Nodes on their way out, which count as being gone.
    pub fn leaving(&self) -> impl Iterator<Item = (&String, &Leaving)> {
        self.draining.iter().chain(&self.removing)
    }

    fn is_leaving(&self, node: &str) -> bool {
        self.draining.contains_key(node) || self.removing.contains_key(node)
    }

    /// Forgets what is gone.
    fn forget(&mut self, seen: &Seen) {
        self.removing.retain(|node, _| seen.nodes.contains_key(node));
        self.draining.retain(|node, _| seen.nodes.contains_key(node));
        let has = |name: &str| seen.groups.iter().any(|group| group.name == name);
        self.groups.retain(|name, memory| has(name) && *memory != GroupMemory::default());
    }

    /// Nodes that were asked for are there, or overdue: then the group is to have no more than it has, and pauses.
    fn look_after_growth<'s>(
        &mut self,
        rules: &Rules,
        now: Timestamp,
        seen: &'s Seen,
        targets: &mut BTreeMap<&'s str, u32>,
        steps: &mut Vec<AdviceStep>,
    ) {
        for group in &seen.groups {
            if group.nodes < group.target {
                // Nodes were lost, or a client asked for more: these are awaited as well, and given up like others.
                let memory = self.groups.entry(group.name.clone()).or_default();
                memory.growth.get_or_insert(Growth { since: now, from: group.nodes, to: group.target });
            }
            let Some(memory) = self.groups.get_mut(&group.name) else { continue };
            if memory.backoff.is_some_and(|backoff| now >= later(backoff.until, rules.backoff_forgotten)) {
                memory.backoff = None;
            }
            let Some(growth) = memory.growth else { continue };
            if group.nodes >= growth.to || group.target < growth.to {
                memory.growth = None;
                continue;
            }
            let within = group.provision_time.unwrap_or(rules.provision_time);
            if now < later(growth.since, within) {
                continue;
            }
            let before =
                memory.backoff.map_or(SignedDuration::ZERO, |backoff| backoff.since.duration_until(backoff.until));
            let pause = before.saturating_mul(2).clamp(rules.first_backoff, rules.longest_backoff);
            memory.backoff = Some(Backoff { since: now, until: later(now, pause) });
            memory.growth = None;
            let to = group.nodes.max(group.min).min(group.target);
            if to < group.target {
                let missing = group.target - group.nodes.min(group.target);
                let why =
                    format!("{missing} of its nodes did not come within {within:#}; it is tried again after {pause:#}");
                targets.insert(&group.name, to);
                let group_name = group.name.as_str().into();
                steps.push(StepKind::SetTargetSize { group: group_name, from: group.target, to }.because(why));
            }
        }
    }

    /// Drained nodes are empty, or given up.
    fn look_after_drains<'s>(
        &mut self,
        rules: &Rules,
        now: Timestamp,
        seen: &'s Seen,
        targets: &mut BTreeMap<&'s str, u32>,
        steps: &mut Vec<AdviceStep>,
    ) {
        for (node, leaving) in std::mem::take(&mut self.draining) {
            let is_empty = seen.nodes.get(&node).is_none_or(|node| node.is_empty);
            let name = node.as_str().into();
            let kept = if !targets.contains_key(leaving.group.as_str()) {
                "its group is gone or at fault".to_owned()
            } else if is_empty && self.remove(now, &node, &leaving, seen, targets, steps) {
                continue;
            } else if is_empty {
                "its group must not become smaller".to_owned()
            } else if now >= later(leaving.since, rules.drain_time) {
                self.failed = Some(now);
                format!("it is not empty after {:#}", rules.drain_time)
            } else {
                self.draining.insert(node, leaving);
                continue;
            };
            steps.push(StepKind::Uncordon { node: name, opens: !leaving.was_cordoned }.because(kept));
        }
    }

    /// Nodes that are to be deleted, and are not yet: one that stays without pods is asked for again.
    fn look_after_removals(&mut self, rules: &Rules, now: Timestamp, seen: &Seen, steps: &mut Vec<AdviceStep>) {
        for (node, Leaving { group, since, .. }) in &mut self.removing {
            let Some(now_is) = seen.groups.iter().find(|now_is| now_is.name == *group) else { continue };
            let is_empty = seen.nodes.get(node).is_some_and(|node| node.is_empty);
            if is_empty && now >= later(*since, rules.deletion_time) {
                *since = now;
                steps.push(deletion(node, group, now_is.target, "it is still there, and asked for again"));
            }
        }
    }

    /// Makes groups larger; `true` if any became so.
    fn grow<'s>(
        &mut self,
        now: Timestamp,
        seen: &'s Seen,
        advice: &mut impl Advice,
        targets: &mut BTreeMap<&'s str, u32>,
        steps: &mut Vec<AdviceStep>,
    ) -> bool {
        let pauses = |memory: &GroupMemory| memory.backoff.is_some_and(|backoff| now < backoff.until);
        let excluded = self.groups.iter().filter(|(_, memory)| pauses(memory)).map(|(name, _)| name.clone()).collect();
        let mut has_grown = false;
        for Increase { group, by, why } in advice.up(&excluded) {
            let Some(now_is) = seen.groups.iter().find(|now_is| now_is.name == group) else { continue };
            let from = targets.get(group.as_str()).copied().unwrap_or(now_is.target);
            let to = from.saturating_add(by).min(now_is.max);
            if to <= from || excluded.contains(&group) {
                continue;
            }
            targets.insert(&now_is.name, to);
            let memory = self.groups.entry(group.clone()).or_default();
            memory.growth = Some(Growth { since: now, from: now_is.nodes, to });
            memory.added = Some(now);
            self.added = Some(now);
            has_grown = true;
            steps.push(StepKind::SetTargetSize { group: group.into(), from, to }.because(why));
        }
        has_grown
    }

    /// The end of the pause in which no node is removed.
    fn cooldown(&self, rules: &Rules) -> Option<Timestamp> {
        let after = |at: Option<Timestamp>, pause| at.map(|at| later(at, pause));
        [
            after(self.added, rules.delay_after_add),
            after(self.deleted, rules.delay_after_delete),
            after(self.failed, rules.delay_after_failure),
        ]
        .into_iter()
        .flatten()
        .max()
    }

    /// `true` if a group may have one node less than it is to have, those on their way out and not counted yet taken off.
    fn may_shrink(&self, group: &str, seen: &Seen, targets: &BTreeMap<&str, u32>) -> bool {
        let Some(now_is) = seen.groups.iter().find(|now_is| now_is.name == group) else { return false };
        let target = targets.get(group).copied().unwrap_or(now_is.target);
        let draining = self.draining.values().filter(|leaving| leaving.group == group).count();
        u32::try_from(draining).is_ok_and(|draining| target.saturating_sub(draining) > now_is.min)
    }

    /// Tells that a node is to be deleted; `false` if its group must not become smaller.
    fn remove<'s>(
        &mut self,
        now: Timestamp,
        node: &str,
        leaving: &Leaving,
        seen: &'s Seen,
        targets: &mut BTreeMap<&'s str, u32>,
        steps: &mut Vec<AdviceStep>,
    ) -> bool {
        let group = &leaving.group;
        let Some(now_is) = seen.groups.iter().find(|now_is| now_is.name == *group) else { return false };
        if self.is_leaving(node) || !self.may_shrink(group, seen, targets) {
            return false;
        }
        let to = targets.get(group.as_str()).copied().unwrap_or(now_is.target).saturating_sub(1);
        targets.insert(&now_is.name, to);
        self.deleted = Some(now);
        self.unneeded.remove(node);
        self.removing.insert(node.to_owned(), Leaving { since: now, ..leaving.clone() });
        steps.push(deletion(node, group, to, "it is not needed, and has no pods left"));
        true
    }
}

fn deletion(node: &str, group: &str, to: u32, why: &str) -> AdviceStep {
    StepKind::DeleteNode { node: node.into(), group: group.into(), to }.because(why)
}

/// `true` if so few nodes are unready that the rest can be relied on.
pub fn is_healthy(rules: &Rules, seen: &Seen) -> bool {
    seen.unready <= rules.ok_unready || seen.unready * 100 <= rules.most_unready_percent * seen.nodes.len()
}

/// A time later, at most the last that there is.
fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
