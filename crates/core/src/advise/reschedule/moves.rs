//! Evictions carried out on a copy of the cluster: where the scheduler would put the evicted pods.
//!
//! All evicted pods leave at once. Their controllers make them anew, and the scheduler places them together with the pods that wait already: by
//! descending priority, each in view of those before it, without preemption. A pod that is placed counts as started.

use std::sync::Arc;

use super::Eviction;
use crate::{
    advise::plan::{AdviceStep, StepKind},
    batch::{self, Placement},
    model::{Name, Phase, Pod, PodFacts},
    policy::Profiles,
    simulate::{MadeAnew, Placing, made_anew},
    snapshot::{Kind, Object, Snapshot},
    work,
};

/// The way in which evicted pods are placed again.
#[derive(Clone, Debug)]
pub struct Scheduling {
    /// The profiles that decide.
    pub profiles: Profiles,
    /// Breaks ties.
    pub seed: u64,
}

/// An evicted pod, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The eviction.
    pub eviction: Eviction,
    /// The pod's fate.
    pub fate: Fate,
}

/// The fate of an evicted pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes to this node.
    To(Name),
    /// It fits nowhere; why, in kube-scheduler's words.
    Nowhere(String),
    /// It is made anew on its node, or has a successor already.
    Replaced,
    /// Nobody makes it anew.
    Lost,
}

impl Move {
    /// `true` if the pod comes to another node.
    pub fn is_away(&self) -> bool {
        matches!(&self.fate, Fate::To(node) if *node != self.eviction.pod.node_name)
    }

    /// The step.
    pub fn step(&self) -> AdviceStep {
        let (pod, why) = (self.eviction.pod.clone(), format!("{}: {}", self.eviction.strategy, self.eviction.why));
        match &self.fate {
            Fate::To(node) => StepKind::Move { pod, to: node.clone() }.because(why),
            Fate::Nowhere(_) | Fate::Replaced | Fate::Lost => StepKind::Evict { pod }.because(why),
        }
    }

    /// `true` if the eviction may be of use: the pod comes to another node, or had ended.
    pub fn is_useful(&self) -> bool {
        self.is_away() || self.fate == Fate::Replaced
    }
}

/// The pod that a controller makes in an evicted one's place.
fn anew(pod: &Pod, now: i64) -> Pod {
    let facts = pod.facts.as_ref().map(|facts| {
        let kept = PodFacts::clone(facts);
        let fresh = PodFacts {
            phase: Phase::Running,
            reason: Name::default(),
            deleted: None,
            containers: Vec::new(),
            unschedulable_since: None,
            ..kept
        };
        Box::new(fresh)
    });
    Pod {
        node_name: Name::default(),
        nominated_node_name: Name::default(),
        created: Some(now),
        start_time: None,
        pending: true,
        ready: false,
        preempted: false,
        facts,
        ..pod.clone()
    }
}

/// Carries evictions out, each of another pod. Returns the cluster afterwards, and each pod's fate in the order of the evictions.
pub fn carry_out(
    snapshot: &Snapshot,
    evictions: &[Eviction],
    scheduling: &Scheduling,
    now: i64,
) -> (Snapshot, Vec<Move>) {
    let mut after = snapshot.clone();
    let mut fates: Vec<Fate> = Vec::with_capacity(evictions.len());
    let mut waiting: Vec<(Arc<Pod>, Option<usize>)> =
        snapshot.pods().filter(|pod| pod.waits()).map(|pod| (pod.clone(), None)).collect();
    work::spend_on(snapshot.pod_count() / 8);
    for (at, Eviction { pod, .. }) in evictions.iter().enumerate() {
        work::spend(16);
        let is_daemon = !pod.terminal && made_anew(pod) == MadeAnew::WithItsNode;
        if !is_daemon {
            after.delete(Kind::Pod, &pod.namespace, &pod.name);
        }
        fates.push(match made_anew(pod) {
            MadeAnew::WithItsNode => Fate::Replaced,
            MadeAnew::Never => Fate::Lost,
            MadeAnew::Elsewhere => {
                let pod = anew(pod, now);
                after.apply(Object::Pod(Box::new(pod.clone())));
                waiting.push((Arc::new(pod), Some(at)));
                Fate::Nowhere(String::new())
            }
        });
    }
    batch::in_order(&mut waiting, &after, |(pod, _)| pod);
    let options = batch::Options { seed: scheduling.seed, preempt: false, reuse: true };
    let mut placing = Placing::new(scheduling.profiles.clone(), after, options);
    let mut placed = Vec::new();
    for (pod, at) in waiting {
        let fate = match placing.place(&pod) {
            Placement::Placed(there) => {
                placed.push((pod.namespace.clone(), pod.name.clone()));
                Fate::To(there.node)
            }
            Placement::Unschedulable(message) => Fate::Nowhere(message),
        };
        if let Some(at) = at {
            fates[at] = fate;
        }
    }
    let mut after = placing.into_snapshot();
    for (namespace, name) in placed {
        if let Some(there) = after.pod(&namespace, &name) {
            let started = Pod { pending: false, ready: true, start_time: Some(now), ..(**there).clone() };
            after.apply(Object::Pod(Box::new(started)));
        }
    }
    let moves = evictions.iter().cloned().zip(fates).map(|(eviction, fate)| Move { eviction, fate });
    let moves = moves.collect();
    (after, moves)
}
