//! Policy tests: the pods of a scenario are placed one after another, as `/schedule` places them, and the outcome is held against expectations.

use std::{cell::RefCell, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decide::{brought_cluster, decidable, sent_pod},
    error::{Error, Result},
    policy_diff,
};
use crate::{
    core::{
        batch::{self, Batch, Placement},
        cycle,
        model::{Name, Pod},
        policy::{Profile, Profiles},
        simulate::Utilization,
        snapshot::{Object, Snapshot},
    },
    live::BUILT_IN,
    wire::{
        cluster::Brought,
        decode,
        explanation::{Explanation, PolicyUsed},
        policy,
        scenario::{Copies, Expectation},
    },
};

mod check;

/// The most pods that a scenario places.
const MOST_PODS: usize = 100_000;

/// The parts of a scenario, read from its files.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// The cluster as JSON.
    pub cluster: Option<&'a str>,
    /// The policy, in JSON or YAML.
    pub policy: Option<&'a str>,
    /// A KubeSchedulerConfiguration or a profile of it, in place of a policy.
    pub profile: Option<&'a str>,
    /// The pods, each as JSON; `None` for those of the cluster that wait.
    pub pods: Option<Vec<&'a RawValue>>,
    /// Breaks ties.
    pub seed: u64,
    /// Permission to evict pods.
    pub preempt: bool,
}

/// A scenario that has run.
pub struct Ran {
    /// The pods, in the order in which they were placed.
    pub pods: Vec<Decided>,
    /// The cluster in the end.
    pub after: Snapshot,
    /// The cluster in the beginning.
    before: Snapshot,
    /// The cluster as it was before the pod of this index was decided: where explanations go on.
    walk: RefCell<Option<(usize, Batch<Arc<Profile>>)>>,
    profiles: Profiles,
    seed: u64,
}

/// A pod that was decided.
pub struct Decided {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its node, or why it has none.
    pub placement: Placement,
}

/// The whole outcome of a scenario, as it is stored beside its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The pods, in the order in which they were placed.
    pub pods: Vec<PodOutcome>,
    /// Nodes with a pod that no DaemonSet owns.
    pub nodes_in_use: usize,
}

/// The outcome for one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodOutcome {
    /// The pod, as `namespace/name`.
    pub pod: String,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The total of the node; absent where preemption chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Why it fits nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The pods that left for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<String>,
}

/// An expectation that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The place of the expectation: `expect[0]`.
    pub at: String,
    /// The expectation, and what came.
    pub message: String,
    /// The place of the pod among those that were placed, if it is about one.
    pub pod: Option<usize>,
}

/// Reads the parts of a scenario, and places its pods.
///
/// # Errors
/// The first fault of a part, with its field.
pub fn run(parts: &Parts<'_>) -> Result<Ran> {
    let profiles = profiles(parts)?;
    let cluster = match parts.cluster {
        Some(text) => decode::from_slice::<Brought>(text.as_bytes())
            .map_err(|error| Error::BadRequest(error.without_place().within("cluster").to_string()))?,
        None => Brought::default(),
    };
    let mut snapshot = brought_cluster(&cluster)?;
    let mut pods = match &parts.pods {
        Some(sent) => read_pods(sent, &snapshot)?,
        None => policy_diff::waiting(&snapshot),
    };
    if let Some(pod) = pods.iter().find(|pod| snapshot.pod(&pod.namespace, &pod.name).is_some_and(|p| p.is_assigned()))
    {
        let message = format!("pods: Invalid value: {:?}: the cluster has this pod on a node already", pod.full_name());
        return Err(Error::BadRequest(message));
    }
    for pod in &pods {
        snapshot.apply(Object::Pod(Box::new((**pod).clone())));
    }
    batch::in_order(&mut pods, &snapshot, |pod| pod);
    let before = snapshot.clone();
    let options = batch::Options { seed: parts.seed, preempt: parts.preempt, reuse: true };
    let mut batch: Option<(Arc<Profile>, Batch<Arc<Profile>>)> = None;
    let mut decided = Vec::with_capacity(pods.len());
    for pod in pods {
        let placement = match profiles.of(&pod.spec.scheduler_name) {
            Err(error) => Placement::Unschedulable(error.to_string()),
            Ok(profile) => {
                if let Some((_, other)) = batch.take_if(|(current, _)| !Arc::ptr_eq(current, profile)) {
                    snapshot = other.snapshot().clone();
                }
                let begun = || (profile.clone(), Batch::new(profile.clone(), snapshot.clone(), options));
                batch.get_or_insert_with(begun).1.place(&pod)
            }
        };
        decided.push(Decided { pod, placement });
    }
    let after = batch.map_or(snapshot, |(_, batch)| batch.snapshot().clone());
    Ok(Ran { pods: decided, after, before, walk: RefCell::default(), profiles, seed: parts.seed })
}

fn profiles(parts: &Parts<'_>) -> Result<Profiles> {
    let invalid = |kind, compiled: std::result::Result<Profiles, _>| {
        compiled.map_err(|faults| Error::invalid_policy(kind, "", faults))
    };
    match (parts.policy, parts.profile) {
        (Some(_), Some(_)) => Err(Error::BadRequest("policy and profile exclude each other".into())),
        (Some(text), None) => invalid("Policy", policy::parse(text).and_then(|document| document.compile_all())),
        (None, Some(text)) => {
            let compiled = policy::parse_configuration(text).and_then(|configuration| configuration.compile_all());
            invalid("KubeSchedulerConfiguration", compiled)
        }
        (None, None) => Ok(BUILT_IN.clone().into()),
    }
}

fn read_pods(sent: &[&RawValue], snapshot: &Snapshot) -> Result<Vec<Arc<Pod>>> {
    let mut pods: Vec<Arc<Pod>> = Vec::new();
    for (index, sent) in sent.iter().enumerate() {
        let at = format!("pods[{index}]");
        let Copies { pod: text, count } =
            Copies::read(sent).map_err(|error| Error::BadRequest(error.within(&at).to_string()))?;
        let (pod, _) = sent_pod(text, &at, snapshot)?;
        decidable(&pod)?;
        if count.unwrap_or(1).saturating_add(pods.len()) > MOST_PODS {
            return Err(Error::BadRequest(format!("{at}: Too many: a scenario places at most {MOST_PODS} pods")));
        }
        match count {
            None => pods.push(Arc::new(pod)),
            Some(count) => pods.extend((1..=count).map(|number| {
                let name: Name = format!("{}-{number}", pod.name).into();
                Arc::new(Pod { uid: name.clone(), name, ..pod.clone() })
            })),
        }
    }
    let mut names: Vec<String> = pods.iter().map(|pod| pod.full_name()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::BadRequest(format!("pods: Duplicate value: {:?}", pair[0]))),
        None => Ok(pods),
    }
}

impl Decided {
    fn node(&self) -> Option<&str> {
        match &self.placement {
            Placement::Placed(there) => Some(&there.node),
            Placement::Unschedulable(_) => None,
        }
    }

    /// Its node, or the sentence why there is none.
    fn told(&self) -> String {
        match &self.placement {
            Placement::Placed(there) => format!("goes to {}", there.node),
            Placement::Unschedulable(message) => format!("fits nowhere: {message}"),
        }
    }
}

impl Ran {
    /// The whole outcome.
    pub fn outcome(&self) -> Outcome {
        let outcome = |decided: &Decided| {
            let pod = decided.pod.full_name();
            match &decided.placement {
                Placement::Placed(there) => PodOutcome {
                    pod,
                    node: Some(there.node.to_string()),
                    total: Some(there.total).filter(|_| there.victims.is_empty()),
                    message: None,
                    victims: there.victims.iter().map(|victim| victim.full_name()).collect(),
                },
                Placement::Unschedulable(message) => {
                    PodOutcome { pod, message: Some(message.clone()), ..PodOutcome::default() }
                }
            }
        };
        let nodes_in_use = Utilization::of(&self.after).in_use;
        Outcome { pods: self.pods.iter().map(outcome).collect(), nodes_in_use }
    }

    /// The decision for a pod, by its place among those that were placed; `None` if no profile decides for it.
    pub fn explain(&self, index: usize) -> Option<Explanation> {
        let Decided { pod, .. } = self.pods.get(index)?;
        let profile = self.profiles.of(&pod.spec.scheduler_name).ok()?;
        let decision = cycle::decide(profile, pod, &self.before(index), self.seed);
        let (name, release) = ("of the scenario".into(), profile.release.name().into());
        let policy = PolicyUsed { name, release, ..PolicyUsed::default() };
        Some(Explanation::new(pod, &decision, policy, 0, self.seed))
    }

    /// The cluster on which a pod was decided: those before it are put where they went.
    fn before(&self, index: usize) -> Snapshot {
        let mut walk = self.walk.borrow_mut();
        if walk.as_ref().is_some_and(|(at, _)| *at > index) {
            *walk = None;
        }
        let begun = || (0, Batch::new(BUILT_IN.clone(), self.before.clone(), batch::Options::default()));
        let (at, batch) = walk.get_or_insert_with(begun);
        for Decided { pod, placement } in &self.pods[*at..index] {
            if let Placement::Placed(there) = placement {
                batch.put(pod, there);
            }
        }
        *at = index;
        batch.snapshot().clone()
    }

    /// Holds the outcome against expectations.
    ///
    /// # Errors
    /// An expectation that cannot be read, by its field.
    pub fn check(&self, expect: &[Expectation]) -> Result<Vec<Failure>> {
        let mut failures = Vec::new();
        for (index, expectation) in expect.iter().enumerate() {
            check::Check { ran: self, at: format!("expect[{index}]"), failures: &mut failures }.run(expectation)?;
        }
        Ok(failures)
    }
}
