//! The parts of mirrored objects that are stored, and those whose change alone is no change.
//!
//! Everything that stays is as the API server wrote it, byte for byte, so the same object always gives the same text.
//!
//! [`Trim::Scheduling`] drops the book-keeping of field managers, the last-applied configuration of kubectl, and of pods and of the templates of
//! workloads what containers run and what they do: environment, commands, probes, hooks. Of the statuses of containers the amounts stay, which
//! decisions read while a pod is resized, and why they wait or ended and how often they were started again, which rescheduling reads. Labels, requests, images, ports, volumes, conditions stay.
//!
//! Noise is dropped or, under [`Trim::Full`], kept without counting as a change: a kubelet that reports a healthy node sets only
//! `lastHeartbeatTime` (`pkg/kubelet/nodestatus/setters.go`), and no decision reads it. `metadata.generation` is no noise: an eviction compares it
//! with the `observedGeneration` of a PodDisruptionBudget.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    core::snapshot::Kind,
    wire::{kinds::StoredKind, source::Trim},
};

/// The path of a field. `*` stands for each item of a list.
type Path = &'static [&'static str];

/// Fields whose change alone is no change.
const NOISE: &[Path] = &[
    &["metadata", "managedFields"],
    &["status", "conditions", "*", "lastHeartbeatTime"],
    &["status", "conditions", "*", "lastProbeTime"],
];

/// Dropped of all kinds.
const UNREAD: &[Path] =
    &[&["metadata", "selfLink"], &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"]];

/// Fields of a container that say what it runs.
const CONTAINER: &[&str] = &[
    "env",
    "envFrom",
    "command",
    "args",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "terminationMessagePath",
    "terminationMessagePolicy",
];

/// Fields of the status of a container that say what it does.
const CONTAINER_STATUS: &[&str] = &[
    "lastState",
    "ready",
    "started",
    "image",
    "imageID",
    "containerID",
    "volumeMounts",
    "user",
    "stopSignal",
    "allocatedResourcesStatus",
];

/// Parts of the state of a container that say no more than that it runs, or repeat others.
const CONTAINER_STATE: &[Path] = &[
    &["running"],
    &["waiting", "message"],
    &["terminated", "message"],
    &["terminated", "containerID"],
    &["terminated", "startedAt"],
    &["terminated", "finishedAt"],
];

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
const STATUSES: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

/// The fields of a kind that are dropped, and those that are noise.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    dropped: Vec<Vec<&'static str>>,
    noise: Vec<Vec<&'static str>>,
}

impl Rules {
    /// Those of a kind under a setting.
    pub(super) fn of(kind: &StoredKind, trim: Trim) -> Self {
        let noise = NOISE.iter().map(|path| path.to_vec());
        if trim == Trim::Full {
            return Self { dropped: Vec::new(), noise: noise.collect() };
        }
        let mut dropped: Vec<Vec<&'static str>> = noise.chain(UNREAD.iter().map(|path| path.to_vec())).collect();
        let below: &[&'static str] = if kind.is(Kind::Pod) { &["spec"] } else { &["spec", "template", "spec"] };
        for (list, field) in CONTAINERS.iter().flat_map(|list| CONTAINER.iter().map(move |field| (list, field))) {
            dropped.push(below.iter().copied().chain([*list, "*", *field]).collect());
        }
        if kind.is(Kind::Pod) {
            let fields = STATUSES.iter().flat_map(|list| CONTAINER_STATUS.iter().map(move |field| (list, field)));
            dropped.extend(fields.map(|(list, field)| vec!["status", *list, "*", *field]));
            let states = STATUSES.iter().flat_map(|list| CONTAINER_STATE.iter().map(move |field| (list, field)));
            let of = |(list, field): (&&'static str, &Path)| [&["status", *list, "*", "state"], *field].concat();
            dropped.extend(states.map(of));
        }
        Self { dropped, noise: Vec::new() }
    }

    /// The object without the fields that are dropped.
    ///
    /// # Errors
    /// When the text is no JSON object.
    pub(super) fn trimmed<'j>(&self, json: &'j str) -> Result<Cow<'j, str>, serde_json::Error> {
        without(json, &self.dropped)
    }

    /// `true` if two texts, as they are stored, differ in noise at most.
    pub(super) fn are_alike(&self, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        if self.noise.is_empty() {
            return false;
        }
        match (without(one, &self.noise), without(other, &self.noise)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }
}

fn without<'j>(json: &'j str, paths: &[Vec<&'static str>]) -> Result<Cow<'j, str>, serde_json::Error> {
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    Ok(pruned(json, &paths)?.map_or(Cow::Borrowed(json), Cow::Owned))
}

/// A value without the fields at the paths; `None` if it has none of them. Only the values that a path leads through are read.
fn pruned(json: &str, paths: &[&[&str]]) -> Result<Option<String>, serde_json::Error> {
    let json = json.trim_start();
    let mut out = String::new();
    let mut is_changed = false;
    let mut push = |out: &mut String, key: &str, value: &RawValue, below: &[&[&str]]| {
        if !out.ends_with(['{', '[']) {
            out.push(',');
        }
        out.push_str(key);
        let changed = if below.is_empty() { None } else { pruned(value.get(), below)? };
        is_changed |= changed.is_some();
        out.push_str(changed.as_deref().unwrap_or(value.get()));
        Ok::<(), serde_json::Error>(())
    };
    match json.bytes().next() {
        Some(b'{') if paths.iter().any(|path| path.first() != Some(&"*")) => {
            let Fields(fields) = serde_json::from_str(json)?;
            let mut is_dropped = false;
            out.reserve(json.len());
            out.push('{');
            for (key, value) in fields {
                let below = paths.iter().filter(|path| path.first() == Some(&&*key)).map(|path| &path[1..]);
                let below: Vec<&[&str]> = below.collect();
                if below.iter().any(|path| path.is_empty()) {
                    is_dropped = true;
                    continue;
                }
                push(&mut out, &format!("{}:", serde_json::to_string(&*key)?), value, &below)?;
            }
            out.push('}');
            is_changed |= is_dropped;
        }
        Some(b'[') => {
            let below = paths.iter().filter(|path| path.first() == Some(&"*")).map(|path| &path[1..]);
            let below: Vec<&[&str]> = below.collect();
            if below.is_empty() {
                return Ok(None);
            }
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            out.reserve(json.len());
            out.push('[');
            for item in items {
                push(&mut out, "", item, &below)?;
            }
            out.push(']');
        }
        _ => return Ok(None),
    }
    Ok(is_changed.then_some(out))
}

/// The fields of an object in their order.
struct Fields<'j>(Vec<(Cow<'j, str>, &'j RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = entries.next_entry::<&'de RawValue, &'de RawValue>()? {
                    let text = key.get();
                    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                    let key = match plain.filter(|text| !text.contains('\\')) {
                        Some(plain) => Cow::Borrowed(plain),
                        None => Cow::Owned(serde_json::from_str(text).map_err(A::Error::custom)?),
                    };
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::kinds;

    fn rules(plural: &str, trim: Trim) -> Rules {
        Rules::of(kinds::by_key(plural).expect("it is stored"), trim)
    }

    #[test]
    fn a_pod_keeps_what_decisions_read_and_loses_what_it_runs() {
        let pod = r#"{"metadata":{"name":"web","managedFields":[{"manager":"kubelet"}],"annotations":{"a":"1","kubectl.kubernetes.io/last-applied-configuration":"{}"},"uid":"u"},"spec":{"containers":[{"name":"c","image":"nginx","env":[{"name":"A","value":"secret"}],"command":["sh"],"args":["-c"],"resources":{"requests":{"cpu":1.50}},"ports":[{"hostPort":80}]}],"nodeName":"n","initContainers":[{"name":"i","envFrom":[{}]}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","restartCount":3,"state":{"running":{},"terminated":{"reason":"Error","startedAt":"x"}},"resources":{"requests":{"cpu":"2"}}}],"conditions":[{"type":"Ready","lastProbeTime":null,"status":"True"}]}}"#;
        let kept = r#"{"metadata":{"name":"web","annotations":{"a":"1"},"uid":"u"},"spec":{"containers":[{"name":"c","image":"nginx","resources":{"requests":{"cpu":1.50}},"ports":[{"hostPort":80}]}],"nodeName":"n","initContainers":[{"name":"i"}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","restartCount":3,"state":{"terminated":{"reason":"Error"}},"resources":{"requests":{"cpu":"2"}}}],"conditions":[{"type":"Ready","status":"True"}]}}"#;
        assert_eq!(rules("pods", Trim::Scheduling).trimmed(pod).unwrap(), kept);
        assert_eq!(rules("pods", Trim::Full).trimmed(pod).unwrap(), pod);
    }

    #[test]
    fn a_template_loses_what_its_containers_run() {
        let set = r#"{"spec":{"selector":{},"template":{"spec":{"containers":[{"name":"c","env":[]}]}}}}"#;
        let kept = r#"{"spec":{"selector":{},"template":{"spec":{"containers":[{"name":"c"}]}}}}"#;
        assert_eq!(rules("replicasets.apps", Trim::Scheduling).trimmed(set).unwrap(), kept);
    }

    #[test]
    fn a_heartbeat_is_no_change() {
        let node = |beat: &str, ready: &str| {
            format!(
                r#"{{"metadata":{{"name":"n"}},"status":{{"conditions":[{{"type":"Ready","status":"{ready}","lastHeartbeatTime":"{beat}"}}]}}}}"#
            )
        };
        let (before, beaten, down) = (node("1", "True"), node("2", "True"), node("2", "False"));
        let trimmed = rules("nodes", Trim::Scheduling);
        assert_eq!(trimmed.trimmed(&before).unwrap(), trimmed.trimmed(&beaten).unwrap());
        let full = rules("nodes", Trim::Full);
        assert!(full.are_alike(&before, &beaten) && !full.are_alike(&beaten, &down));
    }

    /// A model: the same by a tree.
    fn model(value: Value, paths: &[&[&str]]) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter_map(|(key, value)| {
                    let below: Vec<&[&str]> =
                        paths.iter().filter(|path| path.first() == Some(&&*key)).map(|path| &path[1..]).collect();
                    (!below.iter().any(|path| path.is_empty())).then(|| (key, model(value, &below)))
                });
                Value::Object(kept.collect())
            }
            Value::Array(items) => {
                let below: Vec<&[&str]> =
                    paths.iter().filter(|path| path.first() == Some(&"*")).map(|path| &path[1..]).collect();
                Value::Array(items.into_iter().map(|item| model(item, &below)).collect())
            }
            other => other,
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[a-c\"\\\\]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"]{1,2}", inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn trimming_removes_the_paths_and_nothing_else(value in json_value(), pretty: bool) {
            let paths: [&[&str]; 4] = [&["a"], &["b", "*", "a"], &["b", "c"], &["c", "*", "*", "b"]];
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let owned: Vec<Vec<&'static str>> = vec![vec!["a"], vec!["b", "*", "a"], vec!["b", "c"], vec!["c", "*", "*", "b"]];
            let trimmed = without(&text, &owned).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&trimmed).unwrap(), model(value, &paths));
            prop_assert_eq!(without(&trimmed, &owned).unwrap(), &*trimmed, "trimmed once or twice");
        }
    }

    #[test]
    fn text_that_is_no_json_is_an_error() {
        assert!(rules("pods", Trim::Scheduling).trimmed("{\"metadata\":").is_err());
        assert_eq!(rules("pods", Trim::Scheduling).trimmed("3").unwrap(), "3");
        assert_eq!(json!({}).to_string(), rules("pods", Trim::Scheduling).trimmed("{}").unwrap());
    }
}
