//! Objects in their wire form, as large as real ones, for benches and `podberth-bench`.

use std::{fmt::Write as _, sync::LazyLock};

use super::large::{APPS, TAINTED, ZONES, node_name, node_of};

/// Managed fields in a pod's status: about 3 KB.
const POD_FIELDS: usize = 170;
/// Managed fields in a node's status; with its images a node has 13.6 KB.
const NODE_FIELDS: usize = 400;
/// Images on a node.
const IMAGES: usize = 45;

static POD_MANAGED: LazyLock<String> = LazyLock::new(|| format!(r#","managedFields":{}"#, managed(POD_FIELDS)));

fn managed(fields: usize) -> String {
    let mut text = String::from(
        r#"[{"manager":"kubelet","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"#,
    );
    for k in 0..fields {
        let comma = if k == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}"f:field-{k}":{{}}"#);
    }
    text + "}}}]"
}

/// Nodes of a large cluster, as a cloud's kubelets report them. Every tenth keeps pods off by a taint.
pub fn nodes(count: usize) -> Vec<String> {
    let managed = managed(NODE_FIELDS);
    let node = |i: usize| {
        let (name, zone, disk) = (node_name(i), ZONES[i % ZONES.len()], ["hdd", "ssd"][i % 2]);
        let taints = r#""taints":[{"key":"dedicated","value":"batch","effect":"NoSchedule"}]"#;
        let taints = if i.is_multiple_of(TAINTED) { taints } else { "" };
        let offer = r#"{"cpu":"32","memory":"128Gi","ephemeral-storage":"200Gi","pods":"110"}"#;
        let mut text = format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","uid":"uid-{name}","resourceVersion":"{i}","labels":{{"kubernetes.io/hostname":"{name}","topology.kubernetes.io/zone":"{zone}","topology.kubernetes.io/region":"region-1","example.com/disk":"{disk}"}},"managedFields":{managed}}},"spec":{{{taints}}},"status":{{"capacity":{offer},"allocatable":{offer},"conditions":[{{"type":"Ready","status":"True"}}],"images":["#
        );
        for k in 0..IMAGES {
            let (comma, tag, size) = (if k == 0 { "" } else { "," }, i % 7, 40_000_000 * (k + 1));
            let _ = write!(
                text,
                r#"{comma}{{"names":["example/app-{k}:v{tag}","example/app-{k}@sha256:{k:064x}"],"sizeBytes":{size}}}"#
            );
        }
        text + "]}}"
    };
    (0..count).map(node).collect()
}

/// How a pod is made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Before the number in its name.
    pub prefix: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// Its labels, as JSON.
    pub labels: String,
    /// More members of its spec, as JSON, each with a comma behind it.
    pub rules: String,
    /// Its CPU request.
    pub cpu: &'static str,
    /// Its memory request.
    pub memory: &'static str,
    /// `true` if it has the fields of a real pod that decisions do not read.
    pub filled: bool,
}

impl Shape {
    /// The `i`th pod, on a node or waiting for one.
    pub fn pod(&self, i: usize, node: Option<&str>) -> String {
        let Self { prefix, namespace, labels, rules, cpu, memory, filled } = self;
        let managed = if *filled { &**POD_MANAGED } else { "" };
        let node = node.map(|node| format!(r#""nodeName":"{node}","#)).unwrap_or_default();
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{prefix}-{i:07}","namespace":"{namespace}","labels":{labels}{managed}}},"spec":{{{rules}{node}"containers":[{{"name":"main","image":"example/{prefix}:v1","resources":{{"requests":{{"cpu":"{cpu}","memory":"{memory}"}}}}}}]}}}}"#
        )
    }
}

/// The `i`th running pod of a large cluster.
pub fn running(i: usize, nodes: usize, pods_per_node: usize) -> String {
    let labels = format!(r#"{{"app":"app-{}","tier":"back"}}"#, i % APPS);
    let shape = Shape { namespace: "running", labels, cpu: "200m", memory: "512Mi", ..waiting("pod", "") };
    shape.pod(i, Some(&node_name(node_of(i, nodes, pods_per_node))))
}

/// A pod of an application that waits in the namespace `batch`.
pub fn waiting(app: &'static str, rules: &str) -> Shape {
    Shape {
        prefix: app,
        namespace: "batch",
        labels: format!(r#"{{"app":"{app}"}}"#),
        rules: rules.to_owned(),
        cpu: "100m",
        memory: "200Mi",
        filled: true,
    }
}

/// Rules that keep the pods of an application apart: one a node, and spread over zones.
pub fn apart(app: &str) -> String {
    let selector = format!(r#""labelSelector":{{"matchLabels":{{"app":"{app}"}}}}"#);
    format!(
        r#""affinity":{{"podAntiAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":[{{{selector},"topologyKey":"kubernetes.io/hostname"}}]}}}},"topologySpreadConstraints":[{{"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule",{selector}}}],"#
    )
}

/// A `List` of objects.
pub fn list(objects: &[String]) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, objects.join(","))
}

/// The body that kube-scheduler sends to an extender for a pod: with the names of the candidates, or with all of each.
pub fn question(pod: &str, candidates: &Candidates<'_>) -> String {
    match candidates {
        Candidates::Names(names) => {
            format!(r#"{{"Pod":{pod},"Nodes":null,"NodeNames":["{}"]}}"#, names.join(r#"",""#))
        }
        Candidates::Full(nodes) => {
            format!(r#"{{"Pod":{pod},"Nodes":{{"metadata":{{}},"items":[{}]}},"NodeNames":null}}"#, nodes.join(","))
        }
    }
}

/// In which form candidates are sent.
#[derive(Clone, Copy, Debug)]
pub enum Candidates<'a> {
    /// `nodeCacheCapable: true`.
    Names(&'a [String]),
    /// `nodeCacheCapable: false`.
    Full(&'a [String]),
}
