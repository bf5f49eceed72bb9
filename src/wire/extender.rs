//! The messages of kube-scheduler's extender protocol.
//!
//! Requests are read with keys in any case and `null` for anything; replies are PascalCase with every key present.
//!
//! Source: `k8s.io/kube-scheduler/extender/v1/types.go`, `pkg/scheduler/extender.go`; before 1.17
//! `pkg/scheduler/api/types.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    decode::{self, DecodeError},
    objects::{Converted, node, pod},
};
use crate::core::model;

/// What `/filter` and `/prioritize` are sent, as it stands on the wire. [`Args`] is what it means.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseExtenderArgs"), rename_all = "PascalCase", default)]
#[schema(as = ExtenderArgs)]
pub struct ExtenderArgs<'a> {
    /// The pod to place.
    #[schema(nullable = false)]
    pub pod: Option<pod::Pod>,
    /// The candidate nodes in full (`nodeCacheCapable: false`).
    #[serde(borrow)]
    #[schema(nullable = false)]
    pub nodes: Option<NodeList<'a>>,
    /// The candidate nodes by name (`nodeCacheCapable: true`).
    #[schema(nullable = false)]
    pub node_names: Option<Vec<String>>,
}

/// A list of nodes, each kept as it was written.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseNodeList"), default)]
#[schema(as = ExtenderNodeList)]
pub struct NodeList<'a> {
    /// The nodes.
    #[serde(borrow)]
    #[schema(value_type = Vec<node::Node>)]
    pub items: Vec<&'a RawValue>,
}

/// A node that was sent in full.
#[derive(Debug)]
pub struct SentNode<'a> {
    /// The node as it came, byte for byte, to be echoed.
    pub raw: &'a RawValue,
    /// What it means.
    pub node: model::Node,
}

/// What `/filter` and `/prioritize` are asked.
#[derive(Debug)]
pub struct Args<'a> {
    /// The pod to place; `None` where none was sent.
    pub pod: Option<model::Pod>,
    /// The candidates.
    pub candidates: Candidates<'a>,
}

/// The candidates, in the form in which they were sent and the reply must be.
#[derive(Debug)]
pub enum Candidates<'a> {
    /// In full. Duplicates stay.
    Nodes(Vec<SentNode<'a>>),
    /// By name. Duplicates stay.
    Names(Vec<String>),
    /// Neither list was sent.
    Absent,
}

impl<'a> Args<'a> {
    /// Reads a request. Where both lists are there the full one counts.
    ///
    /// # Errors
    /// When the body is no JSON, or a field has the wrong type or cannot be read.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let args: ExtenderArgs<'a> = decode::from_slice(body)?;
        let pod = args.pod.map(|pod| readable(pod.to_core(), "Pod")).transpose()?;
        let candidates = match (args.nodes, args.node_names) {
            (Some(list), _) => {
                let nodes = list.items.into_iter().enumerate().map(|(i, raw)| {
                    let at = format_args!("Nodes.items[{i}]").to_string();
                    let node: node::Node = decode::from_slice(raw.get().as_bytes())
                        .map_err(|e| DecodeError { field: join(&at, &e.field), ..e })?;
                    Ok(SentNode { raw, node: readable(node.to_core(), &at)? })
                });
                Candidates::Nodes(nodes.collect::<Result<_, DecodeError>>()?)
            }
            (None, Some(names)) => Candidates::Names(names),
            (None, None) => Candidates::Absent,
        };
        Ok(Self { pod, candidates })
    }
}

fn join(at: &str, field: &str) -> String {
    if field.is_empty() { at.into() } else { format!("{at}.{field}") }
}

/// The object, unless it cannot be read at all; kube-scheduler lives with other faults.
fn readable<T>(converted: Converted<T>, at: &str) -> Result<T, DecodeError> {
    converted.lenient().map_err(|causes| {
        let (field, message) = causes.into_iter().next().map(|c| (c.field, c.message)).unwrap_or_default();
        DecodeError { field: join(at, &field), message }
    })
}

/// The answer of `/filter`. Exactly one of `nodes` and `node_names` is there: the one that was sent.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderFilterResult<'a> {
    /// The nodes that fit, as they came; null where names were sent.
    #[schema(value_type = Option<NodeList<'a>>)]
    pub nodes: Option<EchoedNodes<'a>>,
    /// The names of the nodes that fit; null where nodes were sent in full.
    pub node_names: Option<Vec<&'a str>>,
    /// Why the others do not, by name, where evicting pods could help.
    #[schema(value_type = BTreeMap<String, String>)]
    pub failed_nodes: BTreeMap<&'a str, String>,
    /// Why the others do not, by name, where evicting pods cannot help.
    #[schema(value_type = BTreeMap<String, String>)]
    pub failed_and_unresolvable_nodes: BTreeMap<&'a str, String>,
    /// Why there is no answer; empty where there is one.
    pub error: String,
}

/// A list of nodes that is written as it came.
#[derive(Debug, Default, Serialize)]
pub struct EchoedNodes<'a> {
    metadata: EmptyMeta,
    /// The nodes.
    pub items: Vec<&'a RawValue>,
}

#[derive(Debug, Default, Serialize)]
struct EmptyMeta {}

impl<'a> FromIterator<&'a RawValue> for EchoedNodes<'a> {
    fn from_iter<I: IntoIterator<Item = &'a RawValue>>(nodes: I) -> Self {
        Self { metadata: EmptyMeta {}, items: nodes.into_iter().collect() }
    }
}

impl ExtenderFilterResult<'_> {
    /// The answer to a question that cannot be answered, in the form in which it was asked.
    pub fn failed(error: impl Into<String>, asked_in_full: bool) -> Self {
        Self {
            nodes: asked_in_full.then(EchoedNodes::default),
            node_names: (!asked_in_full).then(Vec::new),
            error: error.into(),
            ..Self::default()
        }
    }
}

/// One line of the answer of `/prioritize`, which is a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct HostPriority {
    /// The node.
    pub host: String,
    /// Its score; a whole number in kube-scheduler's 0..=10 unless the policy says otherwise.
    pub score: i64,
}

/// What `/bind` is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseExtenderBindingArgs"), rename_all = "PascalCase", default)]
#[schema(as = ExtenderBindingArgs)]
pub struct ExtenderBindingArgs {
    /// The pod's name.
    pub pod_name: String,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// The pod's uid.
    #[serde(rename = "PodUID")]
    pub pod_uid: String,
    /// The node to bind it to.
    pub node: String,
}

/// The answer of `/bind`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderBindingResult {
    /// Why the pod was not bound; empty where it was.
    pub error: String,
}

/// What `/preempt` is sent: exactly one of the two maps, by node name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseExtenderPreemptionArgs"), rename_all = "PascalCase", default)]
#[schema(as = ExtenderPreemptionArgs)]
pub struct ExtenderPreemptionArgs {
    /// The pod that needs room.
    #[schema(nullable = false)]
    pub pod: Option<pod::Pod>,
    /// The victims in full (`nodeCacheCapable: false`).
    #[schema(nullable = false)]
    pub node_name_to_victims: Option<BTreeMap<String, Victims>>,
    /// The victims by uid (`nodeCacheCapable: true`).
    #[schema(nullable = false)]
    pub node_name_to_meta_victims: Option<BTreeMap<String, MetaVictims>>,
}

/// The pods that would have to leave a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseVictims"), rename_all = "PascalCase", default)]
#[schema(as = Victims)]
pub struct Victims {
    /// The pods.
    pub pods: Vec<pod::Pod>,
    /// How many disruption budgets that would break.
    #[serde(rename = "NumPDBViolations")]
    pub num_pdb_violations: i64,
}

/// The pods that would have to leave a node, by uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseMetaVictims"), rename_all = "PascalCase", default)]
#[schema(as = MetaVictims)]
pub struct MetaVictims {
    /// The pods.
    pub pods: Vec<MetaPod>,
    /// How many disruption budgets that would break.
    #[serde(rename = "NumPDBViolations")]
    pub num_pdb_violations: i64,
}

/// A pod by uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename(deserialize = "AnyCaseMetaPod"), default)]
#[schema(as = MetaPod)]
pub struct MetaPod {
    /// The uid.
    #[serde(rename = "UID")]
    pub uid: String,
}

/// The answer of `/preempt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderPreemptionResult {
    /// The victims on each node that remains a candidate; a node without victims is left out.
    pub node_name_to_meta_victims: BTreeMap<String, MetaVictims>,
}

impl ExtenderBindingArgs {
    /// Reads a request.
    ///
    /// # Errors
    /// When the body is no JSON, or a field has the wrong type.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(body)
    }
}

/// What `/preempt` is asked.
#[derive(Debug)]
pub struct PreemptionArgs {
    /// The pod that needs room; `None` where none was sent.
    pub pod: Option<model::Pod>,
    /// Whom kube-scheduler would evict.
    pub proposed: Proposed,
}

/// The victims proposed on each node, in the form in which they were sent.
#[derive(Debug)]
pub enum Proposed {
    /// In full.
    Pods(BTreeMap<String, Vec<model::Pod>>),
    /// By uid.
    Uids(BTreeMap<String, Vec<String>>),
    /// Neither map was sent.
    Absent,
}

impl PreemptionArgs {
    /// Reads a request. Where both maps are there the full one counts.
    ///
    /// # Errors
    /// When the body is no JSON, or a field has the wrong type or cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let args = ExtenderPreemptionArgs::parse(body)?;
        let pod = args.pod.map(|pod| readable(pod.to_core(), "Pod")).transpose()?;
        let proposed = match (args.node_name_to_victims, args.node_name_to_meta_victims) {
            (Some(nodes), _) => {
                let pods = |node: &str, pods: &[pod::Pod]| -> Result<Vec<_>, DecodeError> {
                    let at = |i| format!("NodeNameToVictims.{node}.Pods[{i}]");
                    pods.iter().enumerate().map(|(i, pod)| readable(pod.to_core(), &at(i))).collect()
                };
                let nodes = nodes.into_iter().map(|(node, victims)| {
                    let pods = pods(&node, &victims.pods)?;
                    Ok((node, pods))
                });
                Proposed::Pods(nodes.collect::<Result<_, DecodeError>>()?)
            }
            (None, Some(nodes)) => {
                let uids = |victims: MetaVictims| victims.pods.into_iter().map(|pod| pod.uid).collect();
                Proposed::Uids(nodes.into_iter().map(|(node, victims)| (node, uids(victims))).collect())
            }
            (None, None) => Proposed::Absent,
        };
        Ok(Self { pod, proposed })
    }
}

impl ExtenderPreemptionArgs {
    /// Reads a request as it stands on the wire.
    ///
    /// # Errors
    /// When the body is no JSON, or a field has the wrong type.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata":{"name":"p","creationTimestamp":null},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":1}}}]},"status":{}}"#;

    #[test]
    fn both_forms_in_any_case() {
        let body = format!(r#"{{"pod":{POD},"nodes":null,"nodenames":["a","b","a"]}}"#);
        let args = Args::parse(body.as_bytes()).unwrap();
        assert_eq!(args.pod.unwrap().requests.milli_cpu, 1000);
        assert!(matches!(args.candidates, Candidates::Names(names) if names == ["a", "b", "a"]));

        let node = r#"{ "metadata": {"name": "n", "x-odd": 1},"status":{"allocatable":{"cpu":"4"}} }"#;
        let body = format!(r#"{{"POD":null,"Nodes":{{"metadata":{{}},"Items":[{node}]}},"NodeNames":null}}"#);
        let args = Args::parse(body.as_bytes()).unwrap();
        assert!(args.pod.is_none());
        let Candidates::Nodes(nodes) = args.candidates else { panic!("sent in full") };
        assert_eq!((nodes[0].raw.get(), &*nodes[0].node.name, nodes[0].node.allocatable.milli_cpu), (node, "n", 4000));
        let reply = ExtenderFilterResult { nodes: Some(nodes.iter().map(|n| n.raw).collect()), ..Default::default() };
        assert_eq!(
            serde_json::to_string(&reply).unwrap(),
            format!(
                r#"{{"Nodes":{{"metadata":{{}},"items":[{node}]}},"NodeNames":null,"FailedNodes":{{}},"FailedAndUnresolvableNodes":{{}},"Error":""}}"#
            )
        );
        for absent in ["{}", r#"{"Pod":null,"Nodes":null,"NodeNames":null}"#, "null"] {
            assert!(matches!(Args::parse(absent.as_bytes()).unwrap().candidates, Candidates::Absent), "{absent}");
        }
        assert!(matches!(
            Args::parse(br#"{"Nodes":{"items":null}}"#).unwrap().candidates,
            Candidates::Nodes(nodes) if nodes.is_empty()
        ));
    }

    #[test]
    fn victims_are_read_in_the_form_in_which_they_were_sent() {
        let parse = |body: &str| PreemptionArgs::parse(body.as_bytes());
        let full = format!(r#"{{"pod":{POD},"nodenametovictims":{{"n":{{"pods":[{POD}],"NumPDBViolations":1}}}}}}"#);
        let args = parse(&full).unwrap();
        assert!(args.pod.is_some());
        assert!(matches!(args.proposed, Proposed::Pods(nodes) if &*nodes["n"][0].name == "p"));
        let by_uid =
            r#"{"Pod":null,"NodeNameToVictims":null,"NodeNameToMetaVictims":{"n":{"Pods":[{"UID":"u"}]},"m":null}}"#;
        let args = parse(by_uid).unwrap();
        assert!(args.pod.is_none());
        assert!(matches!(args.proposed, Proposed::Uids(nodes) if nodes["n"] == ["u"] && nodes["m"].is_empty()));
        assert!(matches!(parse("{}").unwrap().proposed, Proposed::Absent));
        let broken = r#"{"NodeNameToVictims":{"n":{"Pods":[{"spec":{"overhead":{"cpu":"x"}}}]}}}"#;
        assert_eq!(parse(broken).unwrap_err().field, "NodeNameToVictims.n.Pods[0].spec.overhead[cpu]");
    }

    #[test]
    fn wrong_types_name_the_field() {
        for (body, field) in [
            (r#"{"NodeNames":"a"}"#, "NodeNames"),
            (r#"{"nodenames":[1]}"#, "NodeNames[0]"),
            (r#"{"Pod":{"spec":{"containers":{}}}}"#, "Pod.spec.containers"),
            (r#"{"Pod":{"spec":{"overhead":{"cpu":"x"}}}}"#, "Pod.spec.overhead[cpu]"),
            (r#"{"Nodes":{"items":[{},{"spec":{"taints":1}}]}}"#, "Nodes.items[1].spec.taints"),
            (
                r#"{"Nodes":{"items":[{"status":{"allocatable":{"cpu":"x"}}}]}}"#,
                "Nodes.items[0].status.allocatable[cpu]",
            ),
            (r#"{"Nodes":{"items":[7]}}"#, "Nodes.items[0]"),
            ("[]", ""),
        ] {
            assert_eq!(Args::parse(body.as_bytes()).unwrap_err().field, field, "{body}");
        }
    }

    #[test]
    fn the_form_of_a_failure_is_the_form_of_the_question() {
        let names = serde_json::to_string(&ExtenderFilterResult::failed("no", false)).unwrap();
        assert!(names.contains(r#""Nodes":null,"NodeNames":[]"#) && names.contains(r#""Error":"no""#), "{names}");
        let full = serde_json::to_string(&ExtenderFilterResult::failed("no", true)).unwrap();
        assert!(full.contains(r#""Nodes":{"metadata":{},"items":[]},"NodeNames":null"#), "{full}");
    }

    #[test]
    fn bind_and_preempt() {
        let bind =
            ExtenderBindingArgs::parse(br#"{"podName":"p","PODNAMESPACE":"d","PodUID":"u","node":"n"}"#).unwrap();
        assert_eq!((&*bind.pod_name, &*bind.pod_namespace, &*bind.pod_uid, &*bind.node), ("p", "d", "u", "n"));
        let args = ExtenderPreemptionArgs::parse(
            br#"{"Pod":{},"NodeNameToVictims":null,"NodeNameToMetaVictims":{"n1":{"pods":[{"uid":"v"}],"NumPDBViolations":1}}}"#,
        )
        .unwrap();
        assert!(args.node_name_to_victims.is_none());
        let result = ExtenderPreemptionResult { node_name_to_meta_victims: args.node_name_to_meta_victims.unwrap() };
        assert_eq!(
            serde_json::to_string(&result).unwrap(),
            r#"{"NodeNameToMetaVictims":{"n1":{"Pods":[{"UID":"v"}],"NumPDBViolations":1}}}"#
        );
        let host = HostPriority { host: "n".into(), score: 7 };
        assert_eq!(serde_json::to_string(&host).unwrap(), r#"{"Host":"n","Score":7}"#);
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(body in r#"[\[\]{}":,0-9a-zA-Z ]{0,80}"#) {
            let _ = Args::parse(body.as_bytes());
            let _ = Args::parse(format!(r#"{{"Pod":{body},"Nodes":{{"items":[{body}]}}}}"#).as_bytes());
            let _ = PreemptionArgs::parse(body.as_bytes());
            let _ = PreemptionArgs::parse(format!(r#"{{"NodeNameToVictims":{{"n":{{"Pods":[{body}]}}}}}}"#).as_bytes());
            let _ = PreemptionArgs::parse(format!(r#"{{"Pod":{body},"NodeNameToMetaVictims":{body}}}"#).as_bytes());
        }
    }
}
