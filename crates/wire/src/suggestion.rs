//! Changes with which a pod would fit that fits nowhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use podberth_core::{
    model::{Name, Protocol, Quantity, resources},
    suggest::{self, Change},
};

/// Changes with which a pod would fit a node. They were tried on a copy of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Suggestion {
    /// All of them in words.
    #[schema(example = "lower the cpu request from 2 to 1500m")]
    pub text: String,
    /// All of them are needed.
    pub changes: Vec<SuggestedChange>,
    /// A node that would take the pod then; one to be added goes by the name of its model, `-new-` and a number.
    pub node: String,
    /// Number of pods of the request with equal demands that would fit then.
    pub pods: usize,
}

/// One change. Which of the fields it has follows from its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuggestedChange {
    /// The kind of change.
    pub kind: ChangeKind,
    /// The resource to request less of, the key of the label or the taint, the topology label, or the host port (`TCP 0.0.0.0:80`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The label's or the taint's value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// The taint's effect.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub effect: String,
    /// The present request, a quantity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// A request that would fit, a quantity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// The node to be changed, or that new ones are to be like.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// How many nodes to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub count: Option<usize>,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "documented in core::suggest::Change")]
pub enum ChangeKind {
    #[default]
    LowerRequest,
    Tolerate,
    DropHostPort,
    DropNodeName,
    DropNodeSelector,
    DropNodeAffinity,
    DropSpread,
    DropPodAffinity,
    DropPodAntiAffinity,
    LabelNode,
    Uncordon,
    AddNodes,
}

impl From<&suggest::Suggestion> for Suggestion {
    fn from(found: &suggest::Suggestion) -> Self {
        Self {
            text: found.changes.iter().map(in_words).collect::<Vec<_>>().join(", and "),
            changes: found.changes.iter().map(SuggestedChange::from).collect(),
            node: found.node.to_string(),
            pods: found.pods,
        }
    }
}

impl From<&Change> for SuggestedChange {
    fn from(change: &Change) -> Self {
        let of = |kind| Self { kind, ..Self::default() };
        let keyed = |kind, key: &Name| Self { key: key.to_string(), ..of(kind) };
        match change {
            Change::LowerRequest { resource, from, to } => Self {
                from: quantity(resource, *from),
                to: quantity(resource, *to),
                ..keyed(ChangeKind::LowerRequest, resource)
            },
            Change::Tolerate(taint) => Self {
                value: taint.value.to_string(),
                effect: taint.effect.name().into(),
                ..keyed(ChangeKind::Tolerate, &taint.key)
            },
            Change::DropHostPort(port) => {
                let protocol = match port.protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                    Protocol::Sctp => "SCTP",
                };
                Self { key: format!("{protocol} {}:{}", port.ip, port.port), ..of(ChangeKind::DropHostPort) }
            }
            Change::DropNodeName => of(ChangeKind::DropNodeName),
            Change::DropNodeSelector(key) => keyed(ChangeKind::DropNodeSelector, key),
            Change::DropNodeAffinity => of(ChangeKind::DropNodeAffinity),
            Change::DropSpread(key) => keyed(ChangeKind::DropSpread, key),
            Change::DropPodAffinity(key) => keyed(ChangeKind::DropPodAffinity, key),
            Change::DropPodAntiAffinity(key) => keyed(ChangeKind::DropPodAntiAffinity, key),
            Change::LabelNode { node, key, value } => {
                Self { node: node.to_string(), value: value.to_string(), ..keyed(ChangeKind::LabelNode, key) }
            }
            Change::Uncordon(node) => Self { node: node.to_string(), ..of(ChangeKind::Uncordon) },
            Change::AddNodes { like, count } => {
                Self { node: like.to_string(), count: Some(*count), ..of(ChangeKind::AddNodes) }
            }
        }
    }
}

fn in_words(change: &Change) -> String {
    let SuggestedChange { key, value, effect, from, to, node, count, .. } = change.into();
    match change {
        Change::LowerRequest { .. } => format!("lower the {key} request from {from} to {to}"),
        Change::Tolerate(_) => format!("tolerate the taint {key}={value}:{effect}"),
        Change::DropHostPort(_) => format!("give up the host port {key}"),
        Change::DropNodeName => "name no node".into(),
        Change::DropNodeSelector(_) => format!("take {key} out of the node selector"),
        Change::DropNodeAffinity => "give up the required node affinity".into(),
        Change::DropSpread(_) => format!("give up the spread constraint over {key}"),
        Change::DropPodAffinity(_) => format!("give up the required pod affinity over {key}"),
        Change::DropPodAntiAffinity(_) => format!("give up the required pod anti-affinity over {key}"),
        Change::LabelNode { .. } => format!("label node {node} with {key}={value}"),
        Change::Uncordon(_) => format!("uncordon node {node}"),
        Change::AddNodes { .. } => {
            let count = count.unwrap_or_default();
            format!("add {count} {} like {node}", if count == 1 { "node" } else { "nodes" })
        }
    }
}

fn quantity(resource: &str, amount: i64) -> String {
    let amount = if resource == resources::CPU { Quantity::from_milli(amount) } else { Quantity::from_units(amount) };
    amount.to_string()
}
