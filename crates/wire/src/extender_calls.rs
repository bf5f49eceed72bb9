//! kube-scheduler's extender protocol from the scheduler's side: the bodies of calls to other extenders, and their replies.
//!
//! Calls are written as kube-scheduler writes them, with pods and nodes as they came. Replies are read as Go reads them: keys in any case,
//! and `null` for any value.
//!
//! Source: `k8s.io/kube-scheduler/extender/v1/types.go`, `pkg/scheduler/extender.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode::{self, DecodeError},
    document::Document,
    extender::{ExtenderBindingArgs, MetaVictims},
    objects::pod,
};
use podberth_core::model::Name;

/// A pod as extenders get it: its document, and the fields that decide which extenders handle it.
#[derive(Clone, Debug)]
pub struct PodDocument {
    json: Arc<str>,
    namespace: String,
    name: String,
    uid: String,
    /// The resources that its containers and init containers request or are limited in.
    resources: BTreeSet<String>,
}

impl PodDocument {
    /// Reads a pod, which is kept as it came but for a namespace where it has none.
    ///
    /// # Errors
    /// When the text is no JSON, or a field has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        let mut document = Document::parse(json)?;
        if document.metadata_text("namespace").is_none_or(|namespace| namespace.is_empty()) {
            document.set_metadata_text("namespace", "default");
        }
        let pod: pod::Pod = decode::from_slice(json)?;
        let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
        let named = containers.flat_map(|c| c.resources.requests.keys().chain(c.resources.limits.keys()));
        Ok(Self {
            resources: named.cloned().collect(),
            namespace: document.metadata_text("namespace").unwrap_or_default(),
            name: pod.metadata.name,
            uid: pod.metadata.uid,
            json: document.to_json().into(),
        })
    }

    /// `true` if one of its containers has a request or a limit of a resource.
    pub fn names_resource(&self, resource: &str) -> bool {
        self.resources.contains(resource)
    }

    /// The body of a `bind` call.
    pub fn binding_to(&self, node: &str) -> Vec<u8> {
        json(&ExtenderBindingArgs {
            pod_name: self.name.clone(),
            pod_namespace: self.namespace.clone(),
            pod_uid: self.uid.clone(),
            node: node.to_owned(),
        })
    }

    /// The body of a `filter` or `prioritize` call with nodes by name.
    pub fn with_names(&self, nodes: &[Name]) -> Vec<u8> {
        let names = json(&nodes.iter().map(|name| &**name).collect::<Vec<_>>());
        [br#"{"Pod":"#, self.json.as_bytes(), br#","Nodes":null,"NodeNames":"#, &names, b"}"].concat()
    }

    /// The body of such a call with full nodes; each node is a JSON object.
    pub fn with_nodes<'n>(&self, nodes: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
        let mut body = [br#"{"Pod":"#, self.json.as_bytes(), br#","Nodes":{"metadata":{},"items":["#].concat();
        for (i, node) in nodes.into_iter().enumerate() {
            body.extend_from_slice(if i > 0 { b"," } else { b"" });
            body.extend_from_slice(node.as_bytes());
        }
        body.extend_from_slice(br#"]},"NodeNames":null}"#);
        body
    }

    /// The body of a `preempt` call with victims by uid.
    pub fn with_victims_by_uid(&self, victims: &BTreeMap<&str, MetaVictims>) -> Vec<u8> {
        let victims = json(victims);
        let parts: [&[u8]; 5] = [
            br#"{"Pod":"#,
            self.json.as_bytes(),
            br#","NodeNameToVictims":null,"NodeNameToMetaVictims":"#,
            &victims,
            b"}",
        ];
        parts.concat()
    }

    /// The body of a `preempt` call with full victims; each pod is a JSON object.
    ///
    /// # Errors
    /// If a pod is not JSON.
    pub fn with_victims(&self, victims: &BTreeMap<&str, FullVictims>) -> Result<Vec<u8>, serde_json::Error> {
        let victims = serde_json::to_vec(victims)?;
        let parts: [&[u8]; 5] = [
            br#"{"Pod":"#,
            self.json.as_bytes(),
            br#","NodeNameToVictims":"#,
            &victims,
            br#","NodeNameToMetaVictims":null}"#,
        ];
        Ok(parts.concat())
    }
}

/// Plain data always serializes; a receiver would refuse an empty body.
fn json(data: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(data).unwrap_or_default()
}

/// The victims on a node, in full.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FullVictims {
    /// The pods.
    pub pods: Vec<Box<RawValue>>,
    /// How many disruption budgets their eviction breaks.
    #[serde(rename = "NumPDBViolations")]
    pub num_pdb_violations: i64,
}

/// The answer of `filter`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "AnyCaseFilterReply", rename_all = "PascalCase", default)]
pub struct FilterReply {
    nodes: Option<NodeItems>,
    node_names: Option<Vec<String>>,
    /// Why nodes do not fit where evicting pods could help.
    pub failed_nodes: BTreeMap<String, String>,
    /// Why nodes do not fit where evicting pods cannot help.
    pub failed_and_unresolvable_nodes: BTreeMap<String, String>,
    /// Why there is no answer; empty where there is one.
    pub error: String,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "AnyCaseNodeItems", default)]
struct NodeItems {
    items: Vec<NodeItem>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "AnyCaseNodeItem", default)]
struct NodeItem {
    metadata: NodeItemMetadata,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "AnyCaseNodeItemMetadata", default)]
struct NodeItemMetadata {
    name: String,
}

impl FilterReply {
    /// Reads an answer.
    ///
    /// # Errors
    /// When the text is no JSON, or a field has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(json)
    }

    /// The names of the nodes that fit, as kube-scheduler reads them: a list of names counts only where names were sent,
    /// and no list at all means no node.
    pub fn fitting(&self, asked_by_name: bool) -> Vec<&str> {
        match (&self.node_names, &self.nodes) {
            (Some(names), _) if asked_by_name => names.iter().map(|name| &**name).collect(),
            (_, Some(nodes)) => nodes.items.iter().map(|node| &*node.metadata.name).collect(),
            _ => Vec::new(),
        }
    }
}

/// The answer of `prioritize`: a score by node, duplicates added up as kube-scheduler does.
///
/// # Errors
/// When the text is no JSON list, or a score is no whole number.
pub fn parse_scores(json: &[u8]) -> Result<BTreeMap<String, i64>, DecodeError> {
    #[derive(Default, Deserialize)]
    #[serde(rename = "AnyCaseHostPriority", rename_all = "PascalCase", default)]
    struct Line {
        host: String,
        score: i64,
    }
    let lines: Vec<Line> = decode::from_slice(json)?;
    let mut scores = BTreeMap::<String, i64>::new();
    for Line { host, score } in lines {
        let sum = scores.entry(host).or_default();
        *sum = sum.saturating_add(score);
    }
    Ok(scores)
}

/// The answer of `preempt`: the victims by node.
///
/// # Errors
/// When the text is no JSON, or a field has the wrong type.
pub fn parse_victims(json: &[u8]) -> Result<BTreeMap<String, MetaVictims>, DecodeError> {
    #[derive(Default, Deserialize)]
    #[serde(rename = "AnyCasePreemptionResult", rename_all = "PascalCase", default)]
    struct Reply {
        node_name_to_meta_victims: BTreeMap<String, MetaVictims>,
    }
    decode::from_slice::<Reply>(json).map(|reply| reply.node_name_to_meta_victims)
}

/// The answer of `bind`: why the pod was not bound; empty where it was.
///
/// # Errors
/// When the text is no JSON, or a field has the wrong type.
pub fn parse_bound(json: &[u8]) -> Result<String, DecodeError> {
    #[derive(Default, Deserialize)]
    #[serde(rename = "AnyCaseBindingResult", rename_all = "PascalCase", default)]
    struct Reply {
        error: String,
    }
    decode::from_slice::<Reply>(json).map(|reply| reply.error)
}

/// The namespace (default `default`) and the name in a pod's document.
pub fn pod_name(json: &str) -> Option<(String, String)> {
    let document = Document::parse(json.as_bytes()).ok()?;
    let said = |field: &str| document.metadata_text(field).filter(|text| !text.is_empty());
    Some((said("namespace").unwrap_or_else(|| "default".into()), said("name")?))
}

/// The name in a node's document.
pub fn node_name(json: &str) -> Option<String> {
    decode::from_slice::<NodeItem>(json.as_bytes()).ok().map(|node| node.metadata.name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &[u8] = br#"{"metadata":{"name":"p","x":1},"spec":{"containers":[{"resources":{"limits":{"a/b":1}}}],
        "initContainers":[{"resources":{"requests":{"c/d":"2"}}}]}}"#;

    #[test]
    fn questions_are_kube_schedulers() {
        let pod = PodDocument::parse(POD).unwrap();
        assert!(pod.names_resource("a/b") && pod.names_resource("c/d") && !pod.names_resource("cpu"));
        let read = |body: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        let asked = read(pod.with_names(&["n\"1".into(), "n2".into()]));
        assert_eq!(asked["Pod"]["metadata"], serde_json::json!({"name": "p", "x": 1, "namespace": "default"}));
        assert_eq!(
            (&asked["Nodes"], &asked["NodeNames"]),
            (&serde_json::Value::Null, &serde_json::json!(["n\"1", "n2"]))
        );
        let asked = read(pod.with_nodes(["{\"a\":1}", "{}"]));
        assert_eq!(
            (&asked["Nodes"]["items"], &asked["NodeNames"]),
            (&serde_json::json!([{"a": 1}, {}]), &serde_json::Value::Null)
        );
        assert_eq!(
            read(pod.binding_to("n")),
            serde_json::json!({"PodName": "p", "PodNamespace": "default", "PodUID": "", "Node": "n"})
        );
        let victims = MetaVictims { pods: Vec::new(), num_pdb_violations: 2 };
        let asked = read(pod.with_victims_by_uid(&[("n", victims)].into()));
        assert_eq!(asked["NodeNameToMetaVictims"], serde_json::json!({"n": {"Pods": [], "NumPDBViolations": 2}}));
        let raw = RawValue::from_string("{\"y\":2}".into()).unwrap();
        let victims = FullVictims { pods: vec![raw], num_pdb_violations: 0 };
        let asked = read(pod.with_victims(&[("n", victims)].into()).unwrap());
        assert_eq!(asked["NodeNameToVictims"], serde_json::json!({"n": {"Pods": [{"y": 2}], "NumPDBViolations": 0}}));
    }

    #[test]
    fn answers_are_read_as_go_reads_them() {
        let reply = FilterReply::parse(
            br#"{"nodenames":["a"],"NODES":{"Items":[{"metadata":{"name":"b"}}]},"FailedNodes":null,"Error":null,"More":1}"#,
        )
        .unwrap();
        assert_eq!((reply.fitting(true), reply.fitting(false)), (vec!["a"], vec!["b"]));
        for empty in [&b"{}"[..], b"null", br#"{"NodeNames":null,"Nodes":null}"#] {
            assert!(FilterReply::parse(empty).unwrap().fitting(true).is_empty());
        }
        assert!(FilterReply::parse(br#"{"NodeNames":["a"]}"#).unwrap().fitting(false).is_empty(), "nodes were sent");
        let scores = parse_scores(br#"[{"host":"a","Score":3},{"Host":"a","SCORE":4},{"Host":"b"}]"#).unwrap();
        assert_eq!(scores, [("a".into(), 7), ("b".into(), 0)].into());
        assert!(parse_scores(b"null").unwrap().is_empty());
        for (wrong, field) in [
            (&br#"[{"Host":"a","Score":1.5}]"#[..], "[0].Score"),
            (br#"[{"Host":"a","Score":"1"}]"#, "[0].Score"),
            (br#"{"a":1}"#, ""),
            (b"", ""),
        ] {
            assert_eq!(parse_scores(wrong).unwrap_err().field, field);
        }
        assert_eq!(FilterReply::parse(br#"{"NodeNames":"a"}"#).unwrap_err().field, "NodeNames");
        assert_eq!(parse_bound(br#"{"error":"no"}"#).unwrap(), "no");
        let victims = parse_victims(br#"{"nodeNameToMetaVictims":{"n":{"pods":[{"uid":"u"}]},"m":null}}"#).unwrap();
        assert_eq!((victims["n"].pods.len(), victims["m"].pods.len()), (1, 0));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(body in r#"[\[\]{}":,0-9a-zA-Z. -]{0,80}"#) {
            let bytes = body.as_bytes();
            let _ = (FilterReply::parse(bytes), parse_scores(bytes), parse_victims(bytes), parse_bound(bytes));
            let _ = (PodDocument::parse(bytes), node_name(&body));
            for inside in [format!(r#"{{"NodeNames":{body}}}"#), format!(r#"{{"Nodes":{{"items":[{body}]}}}}"#)] {
                let _ = FilterReply::parse(inside.as_bytes()).map(|reply| reply.fitting(true).len());
            }
            let _ = parse_scores(format!(r#"[{{"Host":"a","Score":{body}}}]"#).as_bytes());
        }
    }
}
