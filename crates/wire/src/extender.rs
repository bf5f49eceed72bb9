//! The messages of kube-scheduler's extender protocol.
//!
//! Requests are read with keys in any case and `null` for anything; replies are PascalCase with every key present.
//!
//! Source: `k8s.io/kube-scheduler/extender/v1/types.go`, `pkg/scheduler/extender.go`; before 1.17
//! `pkg/scheduler/api/types.go`.

mod args;
mod known;
mod reply;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    decode::{self, DecodeError},
    objects::{Converted, node, pod},
};
use podberth_core::model;

pub use args::{Args, Candidates, Reading, SentNode};
pub use known::KnownNodes;
pub use reply::{Pieces, Refused, Why, filter_result, host_priorities};

/// The question of `/filter` and `/prioritize`: a pod, and nodes by name or in full.
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

/// The answer of `/filter`. Exactly one of `nodes` and `node_names` is set: the form of the request.
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
    /// The answer to a request that cannot be answered, in the form of the request.
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
    /// Its score; a whole number in kube-scheduler's 0..=10 unless the policy sets another range.
    pub score: i64,
}

/// The body of a `/bind` request.
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

/// The body of a `/preempt` request: exactly one of the two maps, by node name.
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

/// The arguments of `/preempt`.
#[derive(Debug)]
pub struct PreemptionArgs {
    /// The pod that needs room; `None` where none was sent.
    pub pod: Option<model::Pod>,
    /// The victims that kube-scheduler proposes.
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
    /// Reads a request. If both maps are present the full one counts.
    ///
    /// # Errors
    /// If the body is not JSON, or a field has the wrong type or cannot be read.
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
    /// Reads a request in its wire form.
    ///
    /// # Errors
    /// If the body is not JSON, or a field has the wrong type.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::snapshot::Snapshot;

    const POD: &str = r#"{"metadata":{"name":"p","creationTimestamp":null},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":1}}}]},"status":{}}"#;

    fn parse(body: &str) -> Result<Args<'_>, DecodeError> {
        let (known, stored) = (KnownNodes::default(), Snapshot::default());
        Args::parse(body.as_bytes(), Reading { known: &known, stored: &stored, images: true })
    }

    fn text(pieces: Pieces) -> String {
        String::from_utf8(pieces.finish().concat()).unwrap()
    }

    #[test]
    fn both_forms_in_any_case() {
        let body = format!(r#"{{"pod":{POD},"nodes":null,"nodenames":["a","b","a"]}}"#);
        let args = parse(&body).unwrap();
        assert_eq!(args.pod.unwrap().spec.requests.milli_cpu, 1000);
        let Candidates::Names(names) = args.candidates else { panic!("sent by name") };
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "a"]);

        let node = r#"{ "metadata": {"name": "n", "x-odd": 1},"status":{"allocatable":{"cpu":"4"}} }"#;
        let body = format!(r#"{{"POD":null,"Nodes":{{"metadata":{{}},"Items":[{node}]}},"NodeNames":null}}"#);
        let args = parse(&body).unwrap();
        assert!(args.pod.is_none());
        let Candidates::Nodes(nodes) = &args.candidates else { panic!("sent in full") };
        assert_eq!((&*nodes[0].node.name, nodes[0].node.allocatable.milli_cpu), ("n", 4000));
        let reply = filter_result(&body.clone().into(), &args.candidates, &[0], Vec::new(), Vec::new());
        assert_eq!(
            text(reply),
            format!(
                r#"{{"Nodes":{{"metadata":{{}},"items":[{node}]}},"NodeNames":null,"FailedNodes":{{}},"FailedAndUnresolvableNodes":{{}},"Error":""}}"#
            )
        );
        for absent in ["{}", r#"{"Pod":null,"Nodes":null,"NodeNames":null}"#, "null"] {
            assert!(matches!(parse(absent).unwrap().candidates, Candidates::Absent), "{absent}");
        }
        assert!(matches!(
            parse(r#"{"Nodes":{"items":null}}"#).unwrap().candidates,
            Candidates::Nodes(nodes) if nodes.is_empty()
        ));
    }

    proptest::proptest! {
        #[test]
        fn answers_have_their_documented_form(
            nodes in proptest::collection::vec(("[a-c\"\\\\é\n]{0,3}", 0..4_usize, 0..3_usize), 0..12),
            blank in "[ ]?",
            in_full: bool,
        ) {
            let json = |text: &str| serde_json::to_string(text).unwrap();
            // Some are short and copied, some are not.
            let texts: Vec<String> = nodes
                .iter()
                .map(|(name, _, long)| format!(r#"{{"metadata":{{"name":{}}},"x":"{}"}}"#, json(name), "x".repeat(3000 * long)))
                .collect();
            let names: Vec<String> = nodes.iter().map(|(name, ..)| json(name)).collect();
            let list = |items: &[String]| items.join(&format!(",{blank}"));
            let body = if in_full {
                format!(r#"{{"Nodes":{{"items":[{}]}}}}"#, list(&texts))
            } else {
                format!(r#"{{"NodeNames":[{}]}}"#, list(&names))
            };
            let args = parse(&body).unwrap();
            let fitting: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].1 < 2).collect();
            let (why, text_of_why) = (Why::new("\"no\" ü"), "\"no\" ü".to_owned());
            let those = |verdict| nodes.iter().filter(move |node| node.1 == verdict).map(|(name, ..)| name.as_str());
            let refused = |verdict| those(verdict).map(|name| (name, &why)).collect();
            let raw = |at: &usize| serde_json::from_str::<&RawValue>(&texts[*at]).unwrap();
            let documented = |verdict| those(verdict).map(|name| (name, text_of_why.clone())).collect();
            let expected = ExtenderFilterResult {
                nodes: in_full.then(|| fitting.iter().map(raw).collect()),
                node_names: (!in_full).then(|| fitting.iter().map(|at| nodes[*at].0.as_str()).collect()),
                failed_nodes: documented(2),
                failed_and_unresolvable_nodes: documented(3),
                error: String::new(),
            };
            let reply = filter_result(&body.clone().into(), &args.candidates, &fitting, refused(2), refused(3));
            proptest::prop_assert_eq!(text(reply), serde_json::to_string(&expected).unwrap());

            let lines: Vec<_> = nodes.iter().map(|(host, score, _)| HostPriority { host: host.clone(), score: *score as i64 }).collect();
            let reply = host_priorities(&args.candidates, lines.iter().map(|line| line.score));
            proptest::prop_assert_eq!(text(reply), serde_json::to_string(&lines).unwrap());
        }
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
            assert_eq!(parse(body).unwrap_err().field, field, "{body}");
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
            let _ = parse(&body);
            let _ = parse(&format!(r#"{{"Pod":{body},"Nodes":{{"items":[{body}]}}}}"#));
            let _ = PreemptionArgs::parse(body.as_bytes());
            let _ = PreemptionArgs::parse(format!(r#"{{"NodeNameToVictims":{{"n":{{"Pods":[{body}]}}}}}}"#).as_bytes());
            let _ = PreemptionArgs::parse(format!(r#"{{"Pod":{body},"NodeNameToMetaVictims":{body}}}"#).as_bytes());
        }
    }
}
