//! Policy tests: the pods of a scenario are placed one after another, as `/schedule` places them, and the outcome is held against expectations.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decide::{brought_cluster, decidable, sent_pod},
    error::{Error, Result},
};
use crate::{
    core::{
        batch::{self, Batch, Placement},
        cycle,
        model::{Name, Pod, Selector},
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
        scenario::{Expectation, SpreadLimit, Texts, Unschedulable},
        selector,
    },
};

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
    profiles: Profiles,
    seed: u64,
}

/// A pod that was decided.
pub struct Decided {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its node, or why it has none.
    pub placement: Placement,
    /// The cluster that it was decided on.
    before: Snapshot,
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
        None => waiting(&snapshot),
    };
    if let Some(pod) = pods.iter().find(|pod| snapshot.pod(&pod.namespace, &pod.name).is_some_and(|p| p.is_assigned()))
    {
        let message = format!("pods: Invalid value: {:?}: the cluster has this pod on a node already", full_name(pod));
        return Err(Error::BadRequest(message));
    }
    for pod in &pods {
        snapshot.apply(Object::Pod(Box::new((**pod).clone())));
    }
    batch::in_order(&mut pods, &snapshot, |pod| pod);
    let options = batch::Options { seed: parts.seed, preempt: parts.preempt, reuse: true };
    let mut batch: Option<(Arc<Profile>, Batch<Arc<Profile>>)> = None;
    let mut decided = Vec::with_capacity(pods.len());
    for pod in pods {
        let before = batch.as_ref().map_or(&snapshot, |(_, batch)| batch.snapshot()).clone();
        let placement = match profiles.of(&pod.scheduler_name) {
            Err(error) => Placement::Unschedulable(error.to_string()),
            Ok(profile) => {
                let current = batch.take().filter(|(current, _)| Arc::ptr_eq(current, profile));
                let (_, batch) =
                    batch
                        .insert(current.unwrap_or_else(|| {
                            (profile.clone(), Batch::new(profile.clone(), before.clone(), options))
                        }));
                batch.place(&pod)
            }
        };
        decided.push(Decided { pod, placement, before });
    }
    let after = batch.map_or(snapshot, |(_, batch)| batch.snapshot().clone());
    Ok(Ran { pods: decided, after, profiles, seed: parts.seed })
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

/// Copies of a pod.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Copies<'a> {
    #[serde(borrow)]
    pod: &'a RawValue,
    count: usize,
}

fn read_pods(sent: &[&RawValue], snapshot: &Snapshot) -> Result<Vec<Arc<Pod>>> {
    let mut pods: Vec<Arc<Pod>> = Vec::new();
    for (index, sent) in sent.iter().enumerate() {
        let at = format!("pods[{index}]");
        let (text, count) = match serde_json::from_str::<Copies<'_>>(sent.get()) {
            Ok(Copies { pod, count }) => (pod, Some(count)),
            Err(_) => (*sent, None),
        };
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
    let mut names: Vec<String> = pods.iter().map(|pod| full_name(pod)).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::BadRequest(format!("pods: Duplicate value: {:?}", pair[0]))),
        None => Ok(pods),
    }
}

/// The pods of the cluster that wait, as they came.
fn waiting(snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let waits = |pod: &&Arc<Pod>| !pod.is_assigned() && !pod.terminal && !pod.terminating && pod.excess.is_none();
    let mut pods: Vec<Arc<Pod>> = snapshot.pods().filter(waits).cloned().collect();
    pods.sort_by_key(|pod| pod.arrival);
    pods
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
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
            let pod = full_name(&decided.pod);
            match &decided.placement {
                Placement::Placed(there) => PodOutcome {
                    pod,
                    node: Some(there.node.to_string()),
                    total: Some(there.total).filter(|_| there.victims.is_empty()),
                    message: None,
                    victims: there.victims.iter().map(|victim| full_name(victim)).collect(),
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
        let Decided { pod, before, .. } = self.pods.get(index)?;
        let profile = self.profiles.of(&pod.scheduler_name).ok()?;
        let decision = cycle::decide(profile, pod, before, self.seed);
        let policy = PolicyUsed { name: "of the scenario".into(), release: "1.22".into(), ..PolicyUsed::default() };
        let release = match profile.release {
            crate::core::rule::Release::V1_22 => "1.22",
            crate::core::rule::Release::V1_34 => "1.34",
        };
        Some(Explanation::new(pod, &decision, PolicyUsed { release: release.into(), ..policy }, 0, self.seed))
    }

    /// Holds the outcome against expectations.
    ///
    /// # Errors
    /// An expectation that cannot be read, by its field.
    pub fn check(&self, expect: &[Expectation]) -> Result<Vec<Failure>> {
        let mut failures = Vec::new();
        for (index, expectation) in expect.iter().enumerate() {
            Check { ran: self, at: format!("expect[{index}]"), failures: &mut failures }.run(expectation)?;
        }
        Ok(failures)
    }
}

/// The check of one expectation.
struct Check<'a> {
    ran: &'a Ran,
    at: String,
    failures: &'a mut Vec<Failure>,
}

/// The pods that an expectation is about.
struct About {
    /// A pattern of `namespace/name`.
    pattern: Option<String>,
    labels: Option<Selector>,
}

impl About {
    fn matches(&self, pod: &Pod) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| matches(pattern.as_bytes(), full_name(pod).as_bytes()))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&pod.labels))
    }
}

/// `true` if a text is as a pattern, in which `*` stands for any text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last star is, and where the text begins that it does not cover yet.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, covered)) = star {
            star = Some((at, covered + 1));
            p = at + 1;
            t = covered + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl Check<'_> {
    fn run(&mut self, expectation: &Expectation) -> Result<()> {
        let Expectation { pod, selector: labels, nodes_in_use, scheduled, spread, .. } = expectation;
        let labels = labels.as_deref().map(selector::parse_labels).transpose();
        let labels = labels.map_err(|error| Error::BadRequest(format!("{}.selector: {error}", self.at)))?;
        let pattern = pod.as_ref().map(|pod| if pod.contains('/') { pod.clone() } else { format!("default/{pod}") });
        let about = About { pattern, labels };
        let ran = self.ran;
        let found: Vec<(usize, &Decided)> =
            ran.pods.iter().enumerate().filter(|(_, decided)| about.matches(&decided.pod)).collect();
        if found.is_empty() && spread.is_none() && (pod.is_some() || expectation.selector.is_some()) {
            let named = pod.as_deref().or(expectation.selector.as_deref()).unwrap_or_default();
            self.fail(None, format!("no pod of the scenario is {named:?}: nothing is checked"));
        }
        for (index, decided) in &found {
            self.pod(*index, decided, expectation);
        }
        if let Some(limit) = spread {
            self.spread(&about, limit);
        }
        if let Some(amount) = scheduled {
            let number = found.iter().filter(|(_, decided)| decided.node().is_some()).count();
            if !amount.holds(number) {
                let of = found.len();
                self.fail(None, format!("expected {amount} of {of} pods to find a node, and {number} did"));
            }
        }
        if let Some(amount) = nodes_in_use {
            let number = Utilization::of(&ran.after).in_use;
            if !amount.holds(number) {
                self.fail(None, format!("expected {amount} nodes in use, and there are {number}"));
            }
        }
        Ok(())
    }

    fn fail(&mut self, pod: Option<usize>, message: String) {
        self.failures.push(Failure { at: self.at.clone(), message, pod });
    }

    fn pod(&mut self, index: usize, decided: &Decided, expectation: &Expectation) {
        let Expectation { node, not_node, unschedulable, order, scores, .. } = expectation;
        let (name, told) = (full_name(&decided.pod), decided.told());
        let mut fail = |expected: String| self.fail(Some(index), format!("{name}: expected {expected}, and it {told}"));
        let is_one_of = |nodes: &Texts| decided.node().is_some_and(|node| nodes.0.iter().any(|wanted| wanted == node));
        if let Some(nodes) = node.as_ref().filter(|nodes| !is_one_of(nodes)) {
            fail(format!("to go to {}", nodes.0.join(" or ")));
        }
        if let Some(nodes) = not_node.as_ref().filter(|nodes| is_one_of(nodes)) {
            fail(format!("not to go to {}", nodes.0.join(" or ")));
        }
        match (unschedulable, &decided.placement) {
            (Some(Unschedulable::Is(true)), Placement::Placed(_)) => fail("to fit nowhere".into()),
            (Some(Unschedulable::Is(false)), Placement::Unschedulable(_)) => fail("to find a node".into()),
            (Some(Unschedulable::For(why)), Placement::Placed(_)) => fail(format!("to fit nowhere ({why})")),
            (Some(Unschedulable::For(why)), Placement::Unschedulable(message)) if !message.contains(why.as_str()) => {
                fail(format!("to fit nowhere for {why:?}"));
            }
            _ => {}
        }
        if order.is_some() || scores.is_some() {
            self.matrix(index, &name, expectation);
        }
    }

    /// Checks of every node's score.
    fn matrix(&mut self, index: usize, name: &str, expectation: &Expectation) {
        let Some(explanation) = self.ran.explain(index) else {
            self.fail(Some(index), format!("{name}: expected scores, and no profile decides for it"));
            return;
        };
        let node = |name: &str| explanation.nodes.iter().find(|node| node.name == name);
        if let Some(order) = &expectation.order {
            let ranks: Vec<Option<usize>> = order.iter().map(|name| node(name).and_then(|node| node.rank)).collect();
            if ranks.iter().any(Option::is_none) || !ranks.windows(2).all(|pair| pair[0] < pair[1]) {
                let mut fitting: Vec<_> = explanation.nodes.iter().filter(|node| node.fits).collect();
                fitting.sort_by_key(|node| node.rank);
                let found: Vec<&str> = fitting.iter().map(|node| &*node.name).collect();
                let (expected, found) = (order.join(", "), found.join(", "));
                self.fail(Some(index), format!("{name}: expected the order {expected}, and it is {found}"));
            }
        }
        for (of, total) in expectation.scores.iter().flatten() {
            let found = match node(of) {
                Some(node) if node.fits => Some(node.total).filter(|found| found != total).map(|f| f.to_string()),
                Some(_) => Some("nothing, since the pod does not fit".into()),
                None => Some("nothing, since there is no such node".into()),
            };
            if let Some(found) = found {
                self.fail(Some(index), format!("{name}: expected {of} to score {total}, and it scores {found}"));
            }
        }
    }

    fn spread(&mut self, about: &About, SpreadLimit { topology_key: key, max_skew }: &SpreadLimit) {
        let mut domains: BTreeMap<&str, usize> = BTreeMap::new();
        for info in self.ran.after.nodes() {
            if let Some(domain) = info.labels().get(key) {
                let pods = info.pods.iter().filter(|pod| about.matches(pod)).count();
                *domains.entry(domain).or_default() += pods;
            }
        }
        let (Some(most), Some(least)) = (domains.values().max(), domains.values().min()) else {
            self.fail(None, format!("expected pods spread over {key}, and no node has this label"));
            return;
        };
        let skew = most - least;
        if skew > *max_skew {
            let each: Vec<String> = domains.iter().map(|(domain, pods)| format!("{domain}: {pods}")).collect();
            let each = each.join(", ");
            self.fail(None, format!("expected a skew of at most {max_skew} over {key}, and it is {skew} ({each})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, holds) in [
            ("default/web", "default/web", true),
            ("default/web-*", "default/web-1", true),
            ("*/web-*", "shop/web-", true),
            ("*b*b", "abcb", true),
            ("default/web-*", "default/db-1", false),
            ("a*b", "abc", false),
            ("", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), holds, "{pattern} {text}");
        }
    }
}
