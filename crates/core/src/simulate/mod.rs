//! Simulation: steps on a copy of the cluster, and what the scheduler would do after each.
//!
//! A [`Simulation`] holds a snapshot, which is never written back, and the pods that wait in it. After each step the waiting pods are placed as
//! `/schedule` places them ([`Batch`]): by descending priority, each in view of those before it. Pods whose node goes and that a controller owns wait
//! again under their own names, as the controller would make them anew; pods of DaemonSets go with their node; pods without a controller are lost.

use std::{collections::HashSet, sync::Arc};

use crate::{
    batch::{self, Batch, Placement},
    model::{Labels, Name, Node, Pod, Taint},
    policy::{Profile, Profiles},
    snapshot::{Kind, Object, Snapshot},
};

pub use self::{
    drain::Blocked,
    questions::{HowMany, NodesNeeded, fits, how_many, nodes_needed},
    utilization::{Share, Utilization},
};

mod drain;
mod questions;
mod utilization;

/// A change of the cluster or of the way in which it is scheduled.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nodes like this one join, each named after it with a number.
    AddNodes {
        /// The node.
        template: Box<Node>,
        /// How many.
        count: usize,
    },
    /// A node goes, with the pods on it.
    RemoveNode(Name),
    /// All nodes with this label go at once, with the pods on them.
    FailZone {
        /// The label.
        key: Name,
        /// Its value.
        value: Name,
    },
    /// A node takes no new pods.
    Cordon(Name),
    /// A node takes new pods again.
    Uncordon(Name),
    /// A node is cordoned, and its pods are evicted as far as disruption budgets allow.
    Drain(Name),
    /// A node gets a taint, in place of one of the same key and effect.
    Taint(Name, Taint),
    /// A node gets labels, or loses those without a value.
    Label(Name, Vec<(Name, Option<Name>)>),
    /// Pods that wait are added.
    AddPods(Vec<Arc<Pod>>),
    /// Pods are deleted.
    DeletePods(Vec<(Name, Name)>),
    /// The waiting pods are decided by this policy from now on.
    SetPolicy(Profiles),
    /// Permission to preempt, from now on, for pods that fit nowhere.
    Preempt(bool),
}

/// Why a step cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// There is no such node.
    #[error("node {0:?} not found")]
    NoNode(Name),
    /// No node has the label.
    #[error("no node has the label {0}={1}")]
    NoZone(Name, Name),
    /// A pod of this name is there already.
    #[error("pod {0:?} exists already")]
    Exists(String),
    /// There is no such pod.
    #[error("pod {0:?} not found")]
    NoPod(String),
}

/// A pod and its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPod {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its node before; empty for none.
    pub from: Name,
    /// Its node now.
    pub to: Name,
    /// The pods that were evicted for it.
    pub victims: Vec<Arc<Pod>>,
}

/// A pod that fits nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckPod {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The node that it was on; empty for one that was on none.
    pub from: Name,
    /// Why, in kube-scheduler's words.
    pub message: String,
}

/// The cluster after a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The nodes that came, by name.
    pub added: Vec<Name>,
    /// Pods that came to a node, in the order in which they were placed.
    pub placed: Vec<PlacedPod>,
    /// Pods that fit nowhere.
    pub stuck: Vec<StuckPod>,
    /// Pods that are gone, since nobody makes them anew.
    pub lost: Vec<Arc<Pod>>,
    /// Pods that stay on a drained node.
    pub blocked: Vec<Blocked>,
    /// How full the nodes are.
    pub utilization: Utilization,
}

/// A copy of the cluster under change.
#[derive(Clone, Debug)]
pub struct Simulation {
    snapshot: Snapshot,
    profiles: Profiles,
    options: batch::Options,
    /// The pods on no node, and where each was last.
    waiting: Vec<(Arc<Pod>, Name)>,
}

impl Simulation {
    /// A simulation that begins with a snapshot. The pods that wait in it are placed with the first step.
    pub fn new(snapshot: Snapshot, profiles: Profiles, options: batch::Options) -> Self {
        let waiting = snapshot.pods().filter(|pod| pod.waits()).map(|pod| (pod.clone(), Name::default())).collect();
        Self { snapshot, profiles, options, waiting }
    }

    /// The cluster as it is now.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The profiles that decide now.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// How pods are decided now.
    pub fn options(&self) -> batch::Options {
        self.options
    }

    /// The pods that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.waiting.iter().map(|(pod, _)| pod)
    }

    /// Carries a step out, and places the pods that wait.
    ///
    /// # Errors
    /// [`StepError`]; nothing has changed then.
    pub fn step(&mut self, step: &Step) -> Result<Outcome, StepError> {
        let mut outcome = Outcome::default();
        match step {
            Step::AddNodes { template, count } => outcome.added = self.add_nodes(template, *count),
            Step::RemoveNode(name) => {
                self.node(name)?;
                self.remove_nodes(std::slice::from_ref(name), &mut outcome);
            }
            Step::FailZone { key, value } => {
                let is_in = |node: &Node| node.labels.get(key) == Some(value);
                let nodes = self.snapshot.nodes().filter(|info| is_in(&info.node));
                let nodes: Vec<Name> = nodes.map(|info| info.name().clone()).collect();
                if nodes.is_empty() {
                    return Err(StepError::NoZone(key.clone(), value.clone()));
                }
                self.remove_nodes(&nodes, &mut outcome);
            }
            Step::Cordon(name) => self.change_node(name, |node| node.unschedulable = true)?,
            Step::Uncordon(name) => self.change_node(name, Node::uncordon)?,
            Step::Drain(name) => {
                self.change_node(name, |node| node.unschedulable = true)?;
                drain::drain(self, name, &mut outcome);
            }
            Step::Taint(name, taint) => self.change_node(name, |node| {
                node.taints.retain(|other| other.key != taint.key || other.effect != taint.effect);
                node.taints.push(taint.clone());
            })?,
            Step::Label(name, labels) => {
                self.change_node(name, |node| node.labels = relabelled(&node.labels, labels))?;
            }
            Step::AddPods(pods) => self.add_pods(pods)?,
            Step::DeletePods(pods) => self.delete_pods(pods)?,
            Step::SetPolicy(profiles) => self.profiles = profiles.clone(),
            Step::Preempt(preempt) => self.options.preempt = *preempt,
        }
        self.place(&mut outcome);
        outcome.utilization = Utilization::of(&self.snapshot);
        Ok(outcome)
    }

    fn node(&self, name: &Name) -> Result<Arc<Node>, StepError> {
        self.snapshot.node(name).map(|info| info.node.clone()).ok_or_else(|| StepError::NoNode(name.clone()))
    }

    fn change_node(&mut self, name: &Name, change: impl FnOnce(&mut Node)) -> Result<(), StepError> {
        let mut node = (*self.node(name)?).clone();
        change(&mut node);
        self.snapshot.apply(Object::Node(node));
        Ok(())
    }

    fn add_nodes(&mut self, template: &Node, count: usize) -> Vec<Name> {
        let added: Vec<Node> = copies(template, count, &self.snapshot).collect();
        let names = added.iter().map(|node| node.name.clone()).collect();
        for node in added {
            self.snapshot.apply(Object::Node(node));
        }
        names
    }

    fn add_pods(&mut self, pods: &[Arc<Pod>]) -> Result<(), StepError> {
        let mut named = HashSet::new();
        for pod in pods {
            let is_stored = self.snapshot.pod(&pod.namespace, &pod.name).is_some();
            if is_stored || !named.insert((&pod.namespace, &pod.name)) {
                return Err(StepError::Exists(pod.full_name()));
            }
        }
        for pod in pods {
            self.snapshot.apply(Object::Pod(Box::new((**pod).clone())));
            self.waiting.push((pod.clone(), Name::default()));
        }
        Ok(())
    }

    fn delete_pods(&mut self, pods: &[(Name, Name)]) -> Result<(), StepError> {
        let missing = pods.iter().find(|(namespace, name)| self.snapshot.pod(namespace, name).is_none());
        if let Some((namespace, name)) = missing {
            return Err(StepError::NoPod(format!("{namespace}/{name}")));
        }
        for (namespace, name) in pods {
            self.snapshot.delete(Kind::Pod, namespace, name);
        }
        let snapshot = &self.snapshot;
        self.waiting.retain(|(pod, _)| snapshot.pod(&pod.namespace, &pod.name).is_some());
        Ok(())
    }

    /// Takes nodes away. Pods that a controller makes anew wait.
    fn remove_nodes(&mut self, nodes: &[Name], outcome: &mut Outcome) {
        for name in nodes {
            let pods = self.snapshot.node(name).map(|info| info.pods.clone()).unwrap_or_default();
            for pod in &pods {
                self.snapshot.delete(Kind::Pod, &pod.namespace, &pod.name);
                match made_anew(pod) {
                    MadeAnew::Elsewhere => self.wait(pod, name),
                    MadeAnew::WithItsNode => {}
                    MadeAnew::Never => outcome.lost.push(pod.clone()),
                }
            }
        }
        // Their pods are to see none of them.
        for name in nodes {
            self.snapshot.delete(Kind::Node, &Name::default(), name);
        }
    }

    /// A pod that was on a node waits under its own name.
    fn wait(&mut self, pod: &Arc<Pod>, from: &Name) {
        let waiting = Pod {
            node_name: Name::default(),
            nominated_node_name: Name::default(),
            start_time: None,
            pending: true,
            ready: false,
            ..(**pod).clone()
        };
        self.snapshot.apply(Object::Pod(Box::new(waiting.clone())));
        self.waiting.push((Arc::new(waiting), from.clone()));
    }

    /// Places the pods that wait, as far as they fit.
    fn place(&mut self, outcome: &mut Outcome) {
        let mut waiting = std::mem::take(&mut self.waiting);
        batch::in_order(&mut waiting, &self.snapshot, |(pod, _)| pod);
        let mut placing = Placing::new(self.profiles.clone(), self.snapshot.clone(), self.options);
        let before = outcome.placed.len();
        let mut evicted = HashSet::<(Name, Name)>::new();
        for (pod, from) in waiting {
            if evicted.remove(&(pod.namespace.clone(), pod.name.clone())) {
                continue;
            }
            match placing.place(&pod) {
                Placement::Placed(there) => {
                    for victim in &there.victims {
                        evicted.insert((victim.namespace.clone(), victim.name.clone()));
                    }
                    let (to, victims) = (there.node, there.victims);
                    outcome.placed.push(PlacedPod { pod, from, to, victims });
                }
                Placement::Unschedulable(message) => {
                    outcome.stuck.push(StuckPod { pod: pod.clone(), from: from.clone(), message });
                    self.waiting.push((pod, from));
                }
            }
        }
        self.snapshot = placing.into_snapshot();
        // They start at once, and count for budgets.
        for placed in &outcome.placed[before..] {
            let PlacedPod { pod, .. } = placed;
            if let Some(there) =
                self.snapshot.pod(&pod.namespace, &pod.name).filter(|there| there.pending || !there.ready)
            {
                let started = Pod { pending: false, ready: true, ..(**there).clone() };
                self.snapshot.apply(Object::Pod(Box::new(started)));
            }
        }
        // Victims are made anew, and wait for the next step: here they would only fight for the room that they lost.
        let victims: Vec<(Arc<Pod>, Name)> = outcome.placed[before..]
            .iter()
            .flat_map(|placed| placed.victims.iter().map(|victim| (victim.clone(), victim.node_name.clone())))
            .collect();
        for (victim, from) in victims {
            if self.snapshot.pod(&victim.namespace, &victim.name).is_some() {
                continue;
            }
            match made_anew(&victim) {
                MadeAnew::Elsewhere => {
                    self.wait(&victim, &from);
                    let message = format!("evicted from {from} for a pod of higher priority");
                    outcome.stuck.push(StuckPod { pod: victim, from, message });
                }
                MadeAnew::WithItsNode | MadeAnew::Never => outcome.lost.push(victim),
            }
        }
    }
}

/// Pods placed one after the other, each by the profile that it picks.
pub(crate) struct Placing {
    profiles: Profiles,
    /// The profile of the batch.
    profile: Arc<Profile>,
    batch: Batch<Arc<Profile>>,
    options: batch::Options,
}

impl Placing {
    pub(crate) fn new(profiles: Profiles, snapshot: Snapshot, options: batch::Options) -> Self {
        let profile = profiles.first().clone();
        let batch = Batch::new(profile.clone(), snapshot, options);
        Self { profiles, profile, batch, options }
    }

    pub(crate) fn place(&mut self, pod: &Arc<Pod>) -> Placement {
        let profile = match self.profiles.of(&pod.spec.scheduler_name) {
            Ok(profile) => profile,
            Err(error) => return Placement::Unschedulable(error.to_string()),
        };
        if !Arc::ptr_eq(&self.profile, profile) {
            self.profile = profile.clone();
            self.batch = Batch::new(profile.clone(), self.batch.snapshot().clone(), self.options);
        }
        self.batch.place(pod)
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.batch.snapshot()
    }

    pub(crate) fn into_snapshot(self) -> Snapshot {
        self.batch.snapshot().clone()
    }
}

/// The fate of a pod when it is gone: its controller may make another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeAnew {
    /// It does, and the pod may go anywhere.
    Elsewhere,
    /// It belongs to its node, or has a successor already.
    WithItsNode,
    /// It has none.
    Never,
}

pub(crate) fn made_anew(pod: &Pod) -> MadeAnew {
    match &pod.controller {
        // Another one is there in its place.
        Some(_) if pod.terminating || pod.terminal => MadeAnew::WithItsNode,
        Some(controller) if matches!(&*controller.kind, "DaemonSet" | "Node") => MadeAnew::WithItsNode,
        Some(_) => MadeAnew::Elsewhere,
        None => MadeAnew::Never,
    }
}

/// Copies of a node, named after it with the first numbers that are free.
pub(crate) fn copies(template: &Node, count: usize, snapshot: &Snapshot) -> impl Iterator<Item = Node> {
    let names = (1..).map(|number| Name::from(format!("{}-{number}", template.name)));
    names.filter(|name| snapshot.node(name).is_none()).take(count).map(|name| template.renamed(name))
}

fn relabelled(labels: &Labels, changes: &[(Name, Option<Name>)]) -> Labels {
    let is_changed = |key: &Name| changes.iter().any(|(changed, _)| changed == key);
    let kept = labels.iter().filter(|(key, _)| !is_changed(key)).cloned();
    let set = changes.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    kept.chain(set).collect()
}

#[cfg(test)]
mod tests;
