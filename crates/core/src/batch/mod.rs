//! Places many pods one after another, each seeing the pods before it, on a working copy of the snapshot. The outcome equals that of
//! deciding and binding them one by one.
//!
//! Pods with the same demands ([`Pod::is_like`]) share a [`Board`] with the verdict and the scores of every node, which makes this
//! fast. A placed pod changes one node, so only that node is judged again by rules that look at one node alone
//! ([`Reads`](super::rule::Reads)); the other rules judge all nodes again.

use std::{borrow::Borrow, hash::Hasher, sync::Arc};

use rustc_hash::FxHasher;

use self::{board::Board, names::Names};
use super::{
    block::NODES,
    block::NodeRef,
    claim_choice::ClaimChoice,
    cycle::Cycle,
    index::Slot,
    inter_pod,
    model::{Affinity, Name, Pod, PodDisruptionBudget},
    node_info::NodeInfo,
    plan::{Plan, Step},
    policy::Profile,
    preempt::{self, Candidate},
    snapshot::{Kind, Object, Snapshot},
    work,
};

mod board;
mod look;
mod names;

pub use board::Standing;

/// Boards kept at a time. Each holds a few numbers for every node.
const MOST_CLASSES: usize = 32;

/// kube-scheduler's message for a pod with scheduling gates.
const GATED: &str = "waiting for scheduling gates";

/// How a batch is decided.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Breaks ties: the same seed, the same placements.
    pub seed: u64,
    /// `true` if a pod that fits nowhere may preempt others, as far as profile and pod allow.
    pub preempt: bool,
    /// `true` if pods with the same demands share a board. The outcome is the same either way.
    pub reuse: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, preempt: true, reuse: true }
    }
}

/// Places pods on a working copy of a snapshot. `P` lends the profile: `&Profile`, or an owner of one.
pub struct Batch<P> {
    profile: P,
    options: Options,
    /// The snapshot that the working copy began as.
    base: Snapshot,
    working: Snapshot,
    names: Names,
    /// The slots of the nodes that changed, one after the other.
    changed: Vec<usize>,
    /// Length of `changed` when the working copy began.
    changed_before: usize,
    classes: Vec<Class>,
    /// How many of them are kept.
    most_classes: usize,
    /// The lowest priority of the pods on nodes; `None` until it is needed.
    lowest_priority: Option<i32>,
}

/// Pods that demand the same.
struct Class {
    key: u64,
    pod: Arc<Pod>,
    board: Board,
    /// How much of the batch's `changed` the board has seen.
    seen: usize,
    /// `true` if pods with rules about this one may have come.
    may_read_more: bool,
    /// That preemption was tried since the last change.
    in_vain: Option<InVain>,
}

/// Preemption did not help either; what 1.34 adds to its sentence then.
#[derive(Clone)]
struct InVain(Option<String>);

/// The outcome for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It goes to a node.
    Placed(Placed),
    /// It fits nowhere; why, in kube-scheduler's words.
    Unschedulable(String),
}

/// Where a pod goes and why there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The node.
    pub node: Name,
    /// The node's scores combined; 0 where preemption chose it.
    pub total: i64,
    /// Where priorities are levels: the index, from 0, of the one that parted the node from the next best.
    pub decided_at: Option<usize>,
    /// How many nodes would have taken it.
    pub fitting: usize,
    /// The pods that leave the node for it.
    pub victims: Vec<Arc<Pod>>,
    /// Pods of lower priority that no longer wait for the node.
    pub nominations_to_clear: Vec<Arc<Pod>>,
    /// Volumes and devices that its claims get.
    pub volumes: Vec<ClaimChoice>,
    /// Allowed disruptions that the evictions use up, per budget.
    pub charges: Vec<(Arc<PodDisruptionBudget>, i32)>,
}

impl Placed {
    /// A pod for which preemption makes room on a node.
    pub fn preempting(pod: &Pod, candidate: &Candidate, snapshot: &Snapshot) -> Self {
        Self {
            node: candidate.node.clone(),
            victims: candidate.victims.clone(),
            nominations_to_clear: preempt::superseded_nominations(pod, snapshot, &candidate.node),
            charges: preempt::charges(&candidate.victims, snapshot),
            ..Self::default()
        }
    }

    /// The changes that this placement demands for the pod.
    pub fn plan(&self, pod: &Arc<Pod>, revision: u64) -> Plan {
        let evictions = self.victims.iter().cloned().map(Step::Evict);
        let charged = self.charges.iter().map(|(budget, used)| Step::Charge(budget.clone(), *used));
        let cleared = self.nominations_to_clear.iter().cloned().map(Step::ClearNomination);
        let bind = Step::Bind(pod.clone(), self.node.clone());
        let volumes = self.volumes.iter().cloned().map(Step::Choose);
        let steps = evictions.chain(charged).chain(cleared).chain([bind]).chain(volumes).collect();
        Plan { revision, steps }
    }
}

/// Puts pods in the order in which they are placed: by priority, the highest first, and among equals as they came.
pub fn in_order<T>(pods: &mut [T], snapshot: &Snapshot, pod: impl Fn(&T) -> &Pod) {
    pods.sort_by_cached_key(|item| std::cmp::Reverse(snapshot.priority_of(pod(item))));
}

impl<P: Borrow<Profile>> Batch<P> {
    /// Begins with this snapshot.
    pub fn new(profile: P, snapshot: Snapshot, options: Options) -> Self {
        let mut batch = Self {
            profile,
            options,
            base: Snapshot::default(),
            working: Snapshot::default(),
            names: Names::default(),
            changed: Vec::new(),
            changed_before: 0,
            classes: Vec::new(),
            most_classes: MOST_CLASSES,
            lowest_priority: None,
        };
        batch.begin(snapshot);
        batch
    }

    fn begin(&mut self, snapshot: Snapshot) {
        self.names = Names::new(&snapshot);
        self.changed.clear();
        self.changed_before = 0;
        self.classes.clear();
        self.lowest_priority = None;
        self.working = snapshot.clone();
        self.base = snapshot;
    }

    /// This batch, with so many boards kept at a time.
    #[must_use]
    pub fn keeping(self, boards: usize) -> Self {
        Self { most_classes: boards.max(1), ..self }
    }

    /// The profile that decides.
    pub fn profile(&self) -> &Profile {
        self.profile.borrow()
    }

    /// The cluster with the pods placed so far.
    pub fn snapshot(&self) -> &Snapshot {
        &self.working
    }

    /// The snapshot that the working copy began as.
    pub fn base(&self) -> &Snapshot {
        &self.base
    }

    /// The revision of the snapshot that the working copy began as.
    pub fn revision(&self) -> u64 {
        self.base.revision
    }

    /// Moves on to a newer snapshot: pods that were placed and are not in it are dropped. Results for unchanged nodes are kept.
    pub fn rebase(&mut self, snapshot: Snapshot) {
        let changed = changed_nodes(&snapshot, &self.base);
        let Some(changed) =
            changed.filter(|_| snapshot.shares_surroundings(&self.base) && !snapshot.has_nominated_pods())
        else {
            self.begin(snapshot);
            return;
        };
        self.changed.extend_from_within(self.changed_before..);
        self.changed.extend(changed);
        let same_affinities = match snapshot.unlike(&self.working) {
            Some(mut pairs) => pairs.all(|(new, worked)| has_same_affinities(&new, &worked)),
            None => false,
        };
        for class in &mut self.classes {
            class.may_read_more |= !same_affinities;
            class.in_vain = None;
        }
        self.changed_before = self.changed.len();
        self.lowest_priority = None;
        self.working = snapshot.clone();
        self.base = snapshot;
    }

    /// Decides for one pod that is on no node, and puts it where it goes.
    pub fn place(&mut self, pod: &Arc<Pod>) -> Placement {
        if !pod.spec.scheduling_gates.is_empty() {
            // Whatever the release: a gated pod cannot be bound (`BindingREST`, `assignPod`).
            return Placement::Unschedulable(gated(pod));
        }
        work::spend_on(NODES);
        let class = self.class_of(pod);
        let mut scratch;
        let profile = self.profile.borrow();
        let board = if let Some(class) = class {
            &mut self.classes[class].board
        } else {
            scratch = Board::new(profile, pod, &self.working);
            &mut scratch
        };
        if let Some(best) = board.best(profile, pod, &self.names, self.options.seed) {
            let placed = Placed {
                node: self.names.name(best.slot).clone(),
                total: best.total,
                decided_at: best.decided_at,
                fitting: board.fitting(),
                ..Placed::default()
            };
            return Placement::Placed(self.settle(pod, placed));
        }
        let message = board.message(profile, pod, &self.working);
        if !self.options.preempt {
            return Placement::Unschedulable(message);
        }
        let in_vain = class.and_then(|class| self.classes[class].in_vain.clone());
        let note = match in_vain {
            Some(InVain(note)) => note,
            None => match self.preempt(pod) {
                Ok(placed) => return Placement::Placed(self.settle(pod, placed)),
                Err(note) => {
                    if let Some(class) = class {
                        self.classes[class].in_vain = Some(InVain(note.clone()));
                    }
                    note
                }
            },
        };
        Placement::Unschedulable(match note {
            Some(note) => format!("{message} {note}"),
            None => message,
        })
    }

    /// The class of the pod, its board up to date; `None` where the pod is to be decided from scratch.
    fn class_of(&mut self, pod: &Arc<Pod>) -> Option<usize> {
        if !self.options.reuse || !Board::can_be_kept(pod, &self.working) {
            return None;
        }
        let key = class_key(pod);
        let profile = self.profile.borrow();
        let found = self.classes.iter().position(|class| class.key == key && class.pod.is_like(pod));
        let Some(at) = found else {
            let board = Board::new(profile, pod, &self.working);
            self.classes.truncate(self.most_classes - 1);
            let seen = self.changed.len();
            let class = Class { key, pod: pod.clone(), board, seen, may_read_more: false, in_vain: None };
            self.classes.insert(0, class);
            return Some(0);
        };
        // The class used last stands first, the one that has not been used for longest goes.
        self.classes[..=at].rotate_right(1);
        let class = &mut self.classes[0];
        if class.seen < self.changed.len() {
            if std::mem::take(&mut class.may_read_more) && class.board.reads_more(profile, pod, &self.working) {
                class.board = Board::new(profile, pod, &self.working);
            } else {
                let changed = &self.changed[class.seen..];
                let changed = changed.iter().filter_map(|slot| self.working.node_ref_in(*slot as Slot)).collect();
                class.board.refresh(profile, pod, &self.working, &changed);
            }
            class.seen = self.changed.len();
            class.in_vain = None;
        }
        Some(0)
    }

    /// Room made for a pod by evictions, or what the sentence ends with where that is not possible.
    fn preempt(&mut self, pod: &Arc<Pod>) -> Result<Placed, Option<String>> {
        let profile = self.profile.borrow();
        let tells_why = profile.release.facts().tells_why_preemption_failed;
        let lowest = *self.lowest_priority.get_or_insert_with(|| {
            let running = self.working.nodes().flat_map(|node| &node.pods);
            running.map(|pod| self.working.priority_of(pod)).min().unwrap_or(i32::MAX)
        });
        if !tells_why && self.working.priority_of(pod) <= lowest {
            return Err(None);
        }
        let attempt = preempt::attempt(profile, pod, &self.working, self.options.seed);
        let selected = attempt.selected.as_ref();
        let chosen = selected.and_then(|node| attempt.candidates.iter().find(|candidate| candidate.node == *node));
        let Some(chosen) = chosen else {
            return Err(attempt.note);
        };
        Ok(Placed::preempting(pod, chosen, &self.working))
    }

    /// A pod goes to the node that was reserved for it. Its volumes and devices were not reserved with the node and are chosen now.
    ///
    /// # Errors
    /// Why it does not fit there any more.
    pub fn confirm(&mut self, pod: &Pod, node: &Name) -> Result<Placed, String> {
        let placed = Placed { node: node.clone(), ..Placed::default() };
        if !pod.may_have_claims() {
            return Ok(placed);
        }
        let waiting = Pod { node_name: Name::default(), ..pod.clone() };
        let others = self.working.without_pod(&pod.namespace, &pod.name);
        let profile = self.profile.borrow();
        if let Some(info) = others.node(node)
            && let Some(failure) = Cycle::prepare(profile, &waiting, &others).first_failure(info)
        {
            let reasons = failure.verdict.reasons().join(", ");
            return Err(format!("node {node} was reserved for the pod, which does not fit there any more: {reasons}"));
        }
        Ok(self.settle(pod, placed))
    }

    /// Chooses volumes and devices for the claims of a pod that goes to a node, and puts it there.
    pub fn settle(&mut self, pod: &Pod, placed: Placed) -> Placed {
        let volumes = self.profile.borrow().claim_choices(pod, &self.working, &placed.node);
        let placed = Placed { volumes, ..placed };
        self.put(pod, &placed);
        placed
    }

    /// Puts a pod where it was decided that it goes: the pods placed after it see it there.
    pub fn put(&mut self, pod: &Pod, placed: &Placed) {
        let mut bound = Pod { node_name: placed.node.clone(), ..pod.clone() };
        bound.nominated_node_name = Name::default();
        for victim in &placed.victims {
            self.working.delete(Kind::Pod, &victim.namespace, &victim.name);
        }
        for (budget, used) in &placed.charges {
            if let Some(budget) = self.working.disruption_budget(&budget.namespace, &budget.name) {
                let left = budget.disruptions_allowed.saturating_sub(*used).max(0);
                let charged = PodDisruptionBudget { disruptions_allowed: left, ..(**budget).clone() };
                self.working.apply(Object::PodDisruptionBudget(charged));
            }
        }
        for waiting in &placed.nominations_to_clear {
            let cleared = Pod { nominated_node_name: Name::default(), ..(**waiting).clone() };
            self.working.apply(Object::Pod(Box::new(cleared)));
        }
        if bound.spec.affinity.names_pods() {
            for class in &mut self.classes {
                class.may_read_more |= inter_pod::names(&bound, &class.pod, &self.working);
            }
        }
        if let Some(lowest) = &mut self.lowest_priority {
            *lowest = (*lowest).min(self.working.priority_of(&bound));
        }
        self.working.apply(Object::Pod(Box::new(bound)));
        placed.volumes.iter().flat_map(ClaimChoice::outcome).for_each(|object| self.working.apply(object));
        self.changed.extend(self.names.slot(&placed.node));
    }
}

/// The sentence for a pod with scheduling gates.
pub(super) fn gated(pod: &Pod) -> String {
    format!("{GATED}: [{}]", pod.spec.scheduling_gates.join(" "))
}

/// Pods that demand the same have the same key; others hardly ever.
pub(super) fn class_key(pod: &Pod) -> u64 {
    use std::hash::Hash;
    let mut hasher = FxHasher::default();
    (&pod.namespace, &pod.labels, &pod.spec.node_selector, &pod.spec.priority, &pod.spec.images).hash(&mut hasher);
    (pod.spec.requests.milli_cpu, pod.spec.requests.memory, pod.volumes.len(), pod.spec.tolerations.len())
        .hash(&mut hasher);
    hasher.finish()
}

/// The slots of nodes whose pods differ between two snapshots; `None` if the nodes themselves do, or their places.
fn changed_nodes(new: &Snapshot, old: &Snapshot) -> Option<Vec<usize>> {
    let changed = |(new, old): (NodeRef<'_>, NodeRef<'_>)| {
        let is_same = new.slot() == old.slot() && Arc::ptr_eq(&new.node, &old.node);
        is_same.then_some(new.slot() as usize)
    };
    if let Some(pairs) = new.unlike(old) {
        return pairs.map(changed).collect();
    }
    if new.node_count() != old.node_count() {
        return None;
    }
    let mut slots = Vec::new();
    for pair in new.node_refs().zip(old.node_refs()) {
        let slot = changed(pair)?;
        if !Arc::ptr_eq(pair.0.info(), pair.1.info()) {
            slots.push(slot);
        }
    }
    Some(slots)
}

/// `true` if the pods with rules about others have the same rules on both nodes.
fn has_same_affinities(a: &NodeInfo, b: &NodeInfo) -> bool {
    fn rules(node: &NodeInfo) -> impl Iterator<Item = &Affinity> {
        node.pods.iter().map(|pod| &pod.spec.affinity).filter(|affinity| affinity.names_pods())
    }
    rules(a).eq(rules(b))
}

#[cfg(test)]
mod tests;
