//! The room of one cluster: how many copies of a workload its nodes take, counted by placing them one after the other as `/schedule` would.
//!
//! The copies go first to the nodes that are there, then to nodes that would be added, and last where other pods would be evicted. So the first copies of
//! an answer are the ones that `/schedule` binds as well, and a cluster that gets fewer than it has room for gets the first of them.

use std::sync::Arc;

use super::{NodeTemplate, Room};
use crate::{
    batch::{self, Placement},
    model::{Name, Pod},
    policy::Profiles,
    simulate::{Placing, copies},
    snapshot::{Object, Snapshot},
    summary::summarize,
    work,
};

/// A workload, one copy of which is a replica.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// The pods of a copy, by sort, and how many of each.
    pub pods: Vec<(Arc<Pod>, usize)>,
}

/// How room is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Counting ends there.
    pub most: usize,
    /// Breaks ties between nodes.
    pub seed: u64,
    /// `true` if nodes may be added.
    pub scale_up: bool,
    /// The longest time until a new node is ready, in nanoseconds; `None` for any.
    pub max_wait: Option<i64>,
    /// `true` if room that evictions would make counts.
    pub preemption: bool,
}

/// The room of a cluster, copy by copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many copies, and where.
    pub room: Room,
    /// The nodes of the pods of each copy, sort by sort.
    pub copies: Vec<Vec<Name>>,
    /// Nodes that would be added.
    pub scale_up: Option<ScaleUp>,
    /// Why the next copy fits nowhere, with the number of nodes; empty where counting ended before.
    pub reasons: Vec<(String, usize)>,
    /// That in kube-scheduler's sentence.
    pub limited_by: Option<String>,
}

/// Nodes that would be added to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleUp {
    /// Such nodes.
    pub template: NodeTemplate,
    /// Their names, in the order in which they are filled.
    pub nodes: Vec<Name>,
}

impl Workload {
    /// How many pods one copy has.
    pub fn size(&self) -> usize {
        self.pods.iter().map(|(_, count)| *count).sum()
    }

    /// The pods of a copy, one after the other.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().flat_map(|(pod, count)| std::iter::repeat_n(pod, *count))
    }
}

/// A count under way.
struct Count<'a> {
    workload: &'a Workload,
    profiles: &'a Profiles,
    options: Options,
    /// The number of the next pod.
    number: usize,
    counted: Counted,
}

/// Counts the room of a cluster.
pub fn count(
    workload: &Workload,
    snapshot: &Snapshot,
    profiles: &Profiles,
    templates: &[NodeTemplate],
    options: Options,
) -> Counted {
    let mut count = Count { workload, profiles, options, number: 0, counted: Counted::default() };
    let (there, mut snapshot) = count.fill(snapshot.clone(), false);
    let as_number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut room = Room { on_existing: Some(as_number(there)), ..Room::default() };
    if options.scale_up && !count.is_done() {
        let (added, after) = count.grow(&snapshot, templates);
        room.after_scale_up = as_number(added);
        snapshot = after;
    }
    if options.preemption && !count.is_done() {
        room.by_preemption = as_number(count.fill(snapshot, true).0);
    }
    Counted { room, ..count.counted }
}

impl Count<'_> {
    fn is_done(&self) -> bool {
        self.counted.copies.len() >= self.options.most
    }

    /// Places copies until one fits nowhere; how many, and the cluster then. Of a copy that does not fit as a whole nothing counts.
    fn fill(&mut self, snapshot: Snapshot, preempt: bool) -> (usize, Snapshot) {
        let before = self.counted.copies.len();
        let options = batch::Options { seed: self.options.seed, preempt, reuse: true };
        let mut placing = Placing::new(self.profiles.clone(), snapshot, options);
        self.counted.reasons.clear();
        self.counted.limited_by = None;
        while !self.is_done() {
            // What is placed of a copy that does not fit is taken back.
            let whole = (self.workload.size() > 1).then(|| placing.snapshot().clone());
            match self.copy(&mut placing) {
                Ok(nodes) => self.counted.copies.push(nodes),
                Err((pod, message)) => {
                    let snapshot = placing.into_snapshot();
                    self.explain(&pod, message, &snapshot);
                    return (self.counted.copies.len() - before, whole.unwrap_or(snapshot));
                }
            }
        }
        (self.counted.copies.len() - before, placing.into_snapshot())
    }

    /// Places one copy.
    fn copy(&mut self, placing: &mut Placing) -> Result<Vec<Name>, (Arc<Pod>, String)> {
        let mut nodes = Vec::with_capacity(self.workload.size());
        for pod in self.workload.each() {
            let copy = self.next(pod, placing);
            match placing.place(&copy) {
                Placement::Placed(placed) => nodes.push(placed.node),
                Placement::Unschedulable(message) => return Err((copy, message)),
            }
        }
        Ok(nodes)
    }

    /// A copy of a pod under a name that is free.
    fn next(&mut self, pod: &Arc<Pod>, placing: &Placing) -> Arc<Pod> {
        loop {
            self.number += 1;
            let name: Name = format!("{}-{}", pod.name, self.number).into();
            if placing.snapshot().pod(&pod.namespace, &name).is_none() {
                return Arc::new(Pod { uid: name.clone(), name, ..(**pod).clone() });
            }
        }
    }

    fn explain(&mut self, pod: &Pod, message: String, snapshot: &Snapshot) {
        if let Ok(profile) = self.profiles.of(&pod.spec.scheduler_name) {
            let counts = summarize(profile, pod, snapshot, self.options.seed, 0).counts;
            self.counted.reasons = counts.into_iter().map(|(reason, nodes)| (reason.into_owned(), nodes)).collect();
        }
        self.counted.limited_by = Some(message);
    }

    /// Adds nodes of the template that helps most, as few as are needed; how many copies they take, and the cluster then.
    fn grow(&mut self, snapshot: &Snapshot, templates: &[NodeTemplate]) -> (usize, Snapshot) {
        let (copies, number) = (self.counted.copies.len(), self.number);
        let why = (self.counted.reasons.clone(), self.counted.limited_by.clone());
        let mut best: Option<(usize, Snapshot, Counted)> = None;
        let is_soon = |of: &&NodeTemplate| self.options.max_wait.is_none_or(|most| of.start <= most);
        let mut helpful: Vec<&NodeTemplate> = templates.iter().filter(|of| of.limit > 0).filter(is_soon).collect();
        // Of equal help the sooner and then the cheaper one is taken.
        helpful.sort_by_key(|of| (of.start, of.cost.is_none(), of.cost, of.name.clone()));
        for template in helpful {
            let (added, after) = self.grow_by(snapshot.clone(), template);
            let counted = Counted {
                copies: self.counted.copies.split_off(copies),
                scale_up: self.counted.scale_up.take(),
                reasons: std::mem::take(&mut self.counted.reasons),
                limited_by: self.counted.limited_by.take(),
                room: Room::default(),
            };
            self.number = number;
            if added > best.as_ref().map_or(0, |(most, ..)| *most) {
                best = Some((added, after, counted));
            }
        }
        let Some((added, after, mut counted)) = best else {
            (self.counted.reasons, self.counted.limited_by) = why;
            return (0, snapshot.clone());
        };
        self.counted.copies.append(&mut counted.copies);
        self.counted.scale_up = counted.scale_up;
        (self.counted.reasons, self.counted.limited_by) = (counted.reasons, counted.limited_by);
        (added, after)
    }

    fn grow_by(&mut self, mut snapshot: Snapshot, template: &NodeTemplate) -> (usize, Snapshot) {
        let before = self.counted.copies.len();
        let mut nodes: Vec<Name> = Vec::new();
        let limit = template.limit as usize;
        let mut step = 1;
        while nodes.len() < limit && !self.is_done() {
            let mut grown = snapshot.clone();
            let new: Vec<_> = copies(&template.node, step.min(limit - nodes.len()), &grown).collect();
            let names: Vec<Name> = new.iter().map(|node| node.name.clone()).collect();
            for node in new {
                work::spend(1);
                grown.apply(Object::Node(node));
            }
            let (more, after) = self.fill(grown, false);
            if more == 0 {
                break;
            }
            // As many at a time as the rest may need, going by what these took.
            let each = more.div_ceil(names.len()).max(1);
            step = ((self.options.most - self.counted.copies.len().min(self.options.most)) / each).max(1);
            nodes.extend(names);
            snapshot = after;
        }
        // Nodes that nothing came to are not needed.
        let used: std::collections::HashSet<&Name> = self.counted.copies[before..].iter().flatten().collect();
        nodes.retain(|name| used.contains(name));
        let added = self.counted.copies.len() - before;
        self.counted.scale_up = (added > 0).then(|| ScaleUp { template: template.clone(), nodes });
        (added, snapshot)
    }
}
