//! Files of `podberth test`: clusters, the pods to place on them, and what is expected of the outcome.
//!
//! A file holds one or more scenarios: YAML documents, JSON values one after another, or a list. A bundle of a recorded decision (a pod, its cluster,
//! its policy and the `answer`) is a scenario too: the answer is expected again.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use super::{
    decode::{self, DecodeError},
    yaml,
};
use podberth_core::near::near;

/// The most scenarios of one file.
const MOST: usize = 10_000;

/// A cluster, pods and expectations, as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: Option<String>,
    /// The cluster, in any form that a request takes.
    pub cluster: Option<Box<RawValue>>,
    /// Instead of `cluster`: a file with it, relative to this one.
    pub cluster_file: Option<String>,
    /// The policy, in any form that `PUT /policy` takes; the built-in default if none is named.
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a file with it.
    pub policy_file: Option<String>,
    /// Instead of `policy`: a KubeSchedulerConfiguration, or one profile of it.
    pub profile: Option<Box<RawValue>>,
    /// The pods to place, or objects with a pod template; `{pod, count}` stands for that many copies. If there are none, the pods of the cluster that
    /// wait.
    pub pods: Option<Vec<Box<RawValue>>>,
    /// Instead of `pods`: a file with them.
    pub pods_file: Option<String>,
    /// Instead of `pods`: the only one.
    pub pod: Option<Box<RawValue>>,
    /// Breaks ties.
    pub seed: u64,
    /// Permission to evict pods for one that fits nowhere; default `true`.
    pub preempt: Option<bool>,
    /// The expectations.
    pub expect: Vec<Expectation>,
    /// `true`: the whole outcome is compared with the one that was stored by `--update`.
    pub snapshot: bool,
    /// The recorded answer of a bundle.
    pub answer: Option<Answer>,
}

/// One expectation of some of the pods, or of the cluster after all of them are placed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Expectation {
    /// The pods that it is about: `namespace/name` or, in the namespace `default`, `name`; a `*` stands for any text. All pods that are placed unless
    /// this or `selector` names some.
    pub pod: Option<String>,
    /// The pods that it is about, by their labels.
    pub selector: Option<String>,
    /// Each of the pods goes to this node, or to one of these.
    pub node: Option<Texts>,
    /// None of the pods goes to this node, or to one of these.
    pub not_node: Option<Texts>,
    /// `true`: none of the pods fits anywhere; a text: for this reason, or with this sentence; `false`: each finds a node.
    pub unschedulable: Option<Unschedulable>,
    /// Nodes that fit for each of the pods, the best first. Others may stand between them.
    pub order: Option<Vec<String>>,
    /// Totals of nodes for each of the pods, by the nodes' names.
    pub scores: Option<BTreeMap<String, i64>>,
    /// How evenly the pods are spread in the end, those that ran before included.
    pub spread: Option<SpreadLimit>,
    /// How many nodes have a pod that no DaemonSet owns in the end.
    pub nodes_in_use: Option<Amount>,
    /// How many of the pods found a node.
    pub scheduled: Option<Amount>,
}

impl Expectation {
    /// `true` if it is about some pods, and nothing is expected of them.
    pub fn is_empty(&self) -> bool {
        let Self { spread, nodes_in_use, scheduled, .. } = self;
        !self.is_of_each() && spread.is_none() && nodes_in_use.is_none() && scheduled.is_none()
    }

    /// `true` if it expects something of each of its pods.
    pub fn is_of_each(&self) -> bool {
        let Self { node, not_node, unschedulable, order, scores, .. } = self;
        let is_named = node.is_some() || not_node.is_some() || unschedulable.is_some();
        is_named || order.iter().flatten().next().is_some() || scores.iter().flatten().next().is_some()
    }
}

/// A pod to place, or an object with a pod template.
#[derive(Clone, Copy, Debug)]
pub struct Copies<'a> {
    /// Its text.
    pub pod: &'a RawValue,
    /// How many copies are placed; `None`: the pod itself.
    pub count: Option<usize>,
}

impl<'a> Copies<'a> {
    /// Reads an element of `pods`: a pod, or `{pod, count}`.
    ///
    /// # Errors
    /// The first fault of `{pod, count}`. Pods are read elsewhere.
    pub fn read(text: &'a RawValue) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Head<'a> {
            // No pod has such a field.
            #[serde(borrow)]
            #[allow(dead_code, reason = "only its presence counts")]
            pod: &'a RawValue,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written<'a> {
            #[serde(borrow)]
            pod: &'a RawValue,
            count: usize,
        }
        if serde_json::from_str::<Head<'_>>(text.get()).is_err() {
            return Ok(Self { pod: text, count: None });
        }
        let Written { pod, count } = decode::from_slice(text.get().as_bytes()).map_err(told)?;
        Ok(Self { pod, count: Some(count) })
    }
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

/// The expectation that pods fit nowhere, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unschedulable {
    /// Yes or no.
    Is(bool),
    /// Yes, with a sentence that is or holds this text.
    For(String),
}

/// The largest skew over the domains of a topology key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpreadLimit {
    /// The label of nodes whose values are the domains.
    pub topology_key: String,
    /// The largest difference between the pods of two domains.
    pub max_skew: usize,
}

/// A number, or its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
}

/// The part of an answer to `/explain` that a bundle is held against.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The node chosen.
    pub selected: Option<String>,
    /// The sentence.
    pub message: String,
}

impl Amount {
    /// `true` if a number is within the bounds.
    pub fn holds(self, number: usize) -> bool {
        (self.min..=self.max).contains(&number)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, max) if min == max => write!(f, "{min}"),
            (min, usize::MAX) => write!(f, "at least {min}"),
            (0, max) => write!(f, "at most {max}"),
            (min, max) => write!(f, "{min} to {max}"),
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let read = if text.get().starts_with('[') {
            serde_json::from_str(text.get())
        } else {
            serde_json::from_str(text.get()).map(|one| vec![one])
        };
        let read: Option<Vec<String>> = read.ok().filter(|names: &Vec<String>| !names.is_empty());
        read.map(Self).ok_or_else(|| D::Error::custom("expected a name, or a list of names"))
    }
}

impl<'de> Deserialize<'de> for Unschedulable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(is) = serde_json::from_str(text.get()) {
            return Ok(Self::Is(is));
        }
        serde_json::from_str(text.get())
            .map(Self::For)
            .map_err(|_| D::Error::custom("expected true, false or a reason"))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bounds {
            #[serde(default)]
            min: usize,
            #[serde(default = "most")]
            max: usize,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(number) = serde_json::from_str(text.get()) {
            return Ok(Self { min: number, max: number });
        }
        match serde_json::from_str(text.get()) {
            Ok(Bounds { min, max }) if min <= max => Ok(Self { min, max }),
            Ok(Bounds { min, max }) => Err(D::Error::custom(format!("min, {min}, is more than max, {max}"))),
            Err(_) => Err(D::Error::custom("expected a number, or an object with min and max")),
        }
    }
}

fn most() -> usize {
    usize::MAX
}

/// A document of a file.
#[derive(Debug)]
pub struct Found {
    /// Its place in the file: `document 2`, `document 1[3]`; empty if it is the only one.
    pub at: String,
    /// The scenario, or its fault.
    pub read: Result<Scenario, DecodeError>,
}

/// The scenarios of a file. Kubernetes objects in it are no scenarios and are passed over if `passes` is set.
///
/// # Errors
/// If the text is neither YAML nor JSON.
pub fn read(body: &[u8], passes: bool) -> Result<Vec<Found>, DecodeError> {
    let is_yaml = !matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    let documents = yaml::documents(body, is_yaml);
    let documents = documents.or_else(|error| yaml::documents(body, true).map_err(|_| error))?;
    let is_one = documents.len() == 1;
    let mut found = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        let at = if is_one { String::new() } else { format!("document {}", number + 1) };
        if document.trim_start().starts_with('[') {
            let items: Vec<&RawValue> = decode::from_slice(document.as_bytes())?;
            for (index, item) in items.iter().enumerate() {
                add(&mut found, item.get(), format!("{at}[{index}]"), passes)?;
            }
        } else {
            add(&mut found, document, at, passes)?;
        }
    }
    Ok(found)
}

fn add(found: &mut Vec<Found>, text: &str, at: String, passes: bool) -> Result<(), DecodeError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Head {
        kind: String,
    }
    if found.len() >= MOST {
        let message = format!("a file has at most {MOST} scenarios: divide it");
        return Err(DecodeError { field: String::new(), message });
    }
    let head: Head = decode::from_slice(text.as_bytes()).unwrap_or_default();
    if head.kind.is_empty() || !passes {
        found.push(Found { at, read: decode::from_slice(text.as_bytes()).map_err(told) });
    }
    Ok(())
}

/// A fault with the name that a misspelt field was meant for.
fn told(error: DecodeError) -> DecodeError {
    let DecodeError { field, message } = error.without_place();
    let Some((unknown, known)) =
        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected "))
    else {
        return DecodeError { field, message };
    };
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let hint = match near(names.iter().copied(), unknown) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("there are {}", names.join(", ")),
    };
    // The path to the field may end with its own name.
    let within = field.strip_suffix(unknown).unwrap_or(&field).trim_end_matches('.');
    let dot = if within.is_empty() { "" } else { "." };
    DecodeError { field: format!("{within}{dot}{unknown}"), message: format!("unknown field; {hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Scenario, String> {
        let mut found = read(text.as_bytes(), false).map_err(|error| error.to_string())?;
        assert_eq!(found.len(), 1, "{text}");
        found.remove(0).read.map_err(|error| error.to_string())
    }

    #[test]
    fn scenarios_are_documents_or_elements() {
        let places = |text: &str| {
            let found = read(text.as_bytes(), true).expect("a file");
            found.into_iter().map(|found| (found.at, found.read.is_ok())).collect::<Vec<_>>()
        };
        assert_eq!(places("name: a\n"), [(String::new(), true)]);
        assert_eq!(places("name: a\n---\nname: b\n"), [("document 1".into(), true), ("document 2".into(), true)]);
        assert_eq!(places("- name: a\n- {nam: b}\n"), [("[0]".into(), true), ("[1]".into(), false)]);
        assert_eq!(places(r#"{"name": "a"} {"name": "b"}"#).len(), 2);
        assert_eq!(places("kind: Pod\napiVersion: v1\n"), [], "objects are parts of others");
        assert!(one("kind: Pod\n").is_err());
    }

    #[test]
    fn expectations_have_short_and_long_forms() {
        let text = "expect:\n- {pod: web-*, node: [a, b], notNode: c, unschedulable: false}\n- {unschedulable: Insufficient cpu}\n\
                    - {nodesInUse: 2, scheduled: {min: 1}, spread: {topologyKey: zone, maxSkew: 1}}\n";
        let expect = one(text).expect("a scenario").expect;
        assert_eq!(expect[0].node, Some(Texts(vec!["a".into(), "b".into()])));
        assert_eq!(expect[0].not_node, Some(Texts(vec!["c".into()])));
        assert_eq!(expect[0].unschedulable, Some(Unschedulable::Is(false)));
        assert_eq!(expect[1].unschedulable, Some(Unschedulable::For("Insufficient cpu".into())));
        assert_eq!(expect[2].nodes_in_use, Some(Amount { min: 2, max: 2 }));
        assert_eq!(expect[2].scheduled.map(|amount| amount.to_string()).as_deref(), Some("at least 1"));
    }

    #[test]
    fn an_unknown_field_is_told_with_the_one_that_was_meant() {
        for (text, message) in [
            ("expekt: []", "expekt: unknown field; did you mean \"expect\"?"),
            ("expect: [{nod: a}]", "expect[0].nod: unknown field; did you mean \"node\"?"),
            (
                "expect: [{spread: {topologyKey: z, maxSkw: 1}}]",
                "expect[0].spread.maxSkw: unknown field; did you mean \"maxSkew\"?",
            ),
            ("expect: [{node: 3}]", "expect[0].node: expected a name, or a list of names"),
            ("expect: [{node: []}]", "expect[0].node: expected a name, or a list of names"),
            ("expect: [{scheduled: {min: 3, max: 1}}]", "expect[0].scheduled: min, 3, is more than max, 1"),
            ("expect: [{nodesInUse: some}]", "expect[0].nodesInUse: expected a number, or an object with min and max"),
        ] {
            assert_eq!(one(text).expect_err(text), message);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100), text in "[-a-z0-9:\\[\\]{}&*!|>'\"#%, \n]{0,80}") {
            for passes in [false, true] {
                let _ = read(&bytes, passes);
                let _ = read(text.as_bytes(), passes);
                let _ = read(format!("expect: [{{pod: {text}}}]").as_bytes(), passes);
            }
        }
    }
}
