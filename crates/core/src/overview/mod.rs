//! The nodes of a cluster by columns, with sums by the values of a label, for maps of a cluster.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    iter::once,
};

use super::{
    model::{Name, Resources, Selector, resources},
    node_info::NodeInfo,
    pending::is_pending,
    snapshot::Snapshot,
    work,
};

pub use changes::{Changes, Step, after};

mod changes;
#[cfg(test)]
mod tests;

/// Resources besides CPU, memory, ephemeral storage and pods that have columns.
const MOST_SCALARS: usize = 64;

/// The part of a cluster that an overview is of.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The label by whose values nodes are grouped; `None`: they are one group.
    pub group: Option<Name>,
    /// The nodes.
    pub nodes: Selector,
    /// The pods to count on each node; `None`: none are counted.
    pub pods: Option<Selector>,
}

impl Asked {
    /// The name of a node's group: the value of the label, empty without it.
    fn group_of<'n>(&self, info: &'n NodeInfo) -> &'n str {
        self.group.as_ref().and_then(|key| info.labels().get(key)).map_or("", |value| value)
    }
}

/// The nodes of a cluster by columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The names of the resources that have columns.
    pub resources: Vec<Name>,
    /// The names of the nodes, in order.
    pub names: Vec<Name>,
    /// The group of each node, by its place.
    pub group: Vec<usize>,
    /// The other columns.
    pub columns: Columns,
    /// The groups, in order of their names.
    pub groups: Vec<(Name, Sums)>,
    /// The sums of all nodes.
    pub totals: Sums,
    /// Pods of the cluster that wait for a node.
    pub pending: usize,
    /// The keys of the labels of the nodes, and how many values each has.
    pub labels: Vec<(Name, usize)>,
}

/// The facts of nodes that change often, one entry for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// `true` if the node is ready, or does not report that it is not.
    pub ready: Vec<bool>,
    /// `true` if it is cordoned.
    pub unschedulable: Vec<bool>,
    /// Its taints, as `key=value:effect`.
    pub taints: Vec<Vec<String>>,
    /// Amounts that it offers, by resource.
    pub allocatable: BTreeMap<Name, Vec<i64>>,
    /// Amounts that its pods request, by resource.
    pub requested: BTreeMap<Name, Vec<i64>>,
    /// The number of its pods.
    pub pods: Vec<usize>,
    /// The number of its pods that were asked for; `None` if none were.
    pub matching: Option<Vec<usize>>,
}

/// Sums over nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Nodes.
    pub nodes: usize,
    /// Those that are ready.
    pub ready: usize,
    /// Those that are cordoned.
    pub unschedulable: usize,
    /// Pods on them.
    pub pods: usize,
    /// Amounts that they offer.
    pub allocatable: Resources,
    /// Amounts that their pods request; of `pods` their number.
    pub requested: Resources,
}

/// A node as an overview shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    ready: bool,
    unschedulable: bool,
    taints: Vec<String>,
    allocatable: Resources,
    requested: Resources,
    pods: usize,
    matching: Option<usize>,
}

impl Row {
    /// `sees` tells if the pods of a namespace may be told apart.
    fn of(info: &NodeInfo, asked: &Asked, sees: &mut dyn FnMut(&Name) -> bool) -> Self {
        let pods = info.pods.len();
        let matching = asked.pods.as_ref().map(|selector| {
            work::spend((pods as u64).saturating_mul(selector.cost()));
            info.pods.iter().filter(|pod| sees(&pod.namespace) && selector.matches(&pod.labels)).count()
        });
        let requested = Resources { pods: i64::try_from(pods).unwrap_or(i64::MAX), ..info.requested.clone() };
        Self {
            ready: info.node.may_be_ready(),
            unschedulable: info.node.unschedulable,
            taints: info.node.taints.iter().map(ToString::to_string).collect(),
            allocatable: info.node.allocatable.clone(),
            requested,
            pods,
            matching,
        }
    }
}

impl Columns {
    fn of(resources: &[Name], asked: &Asked) -> Self {
        let empty = || resources.iter().map(|name| (name.clone(), Vec::new())).collect();
        Self {
            allocatable: empty(),
            requested: empty(),
            matching: asked.pods.as_ref().map(|_| Vec::new()),
            ..Self::default()
        }
    }

    fn push(&mut self, row: Row) {
        work::spend_on(self.allocatable.len());
        self.ready.push(row.ready);
        self.unschedulable.push(row.unschedulable);
        self.taints.push(row.taints);
        for (name, column) in &mut self.allocatable {
            column.push(row.allocatable.get(name));
        }
        for (name, column) in &mut self.requested {
            column.push(row.requested.get(name));
        }
        self.pods.push(row.pods);
        if let (Some(column), Some(matching)) = (&mut self.matching, row.matching) {
            column.push(matching);
        }
    }
}

impl Sums {
    fn add(&mut self, info: &NodeInfo) {
        self.nodes += 1;
        self.ready += usize::from(info.node.may_be_ready());
        self.unschedulable += usize::from(info.node.unschedulable);
        self.pods += info.pods.len();
        self.allocatable.add(&info.node.allocatable);
        self.requested.add(&info.requested);
        self.requested.pods = i64::try_from(self.pods).unwrap_or(i64::MAX);
    }
}

/// The overview of a cluster. `sees` tells if the pods of a namespace may be told apart: those of others are in the sums, but never match.
pub fn overview(snapshot: &Snapshot, asked: &Asked, mut sees: impl FnMut(&Name) -> bool) -> Overview {
    let resources = resource_names(snapshot, asked);
    let sums = sums(snapshot, asked);
    let places: HashMap<Name, usize> = sums.groups.keys().cloned().enumerate().map(|(at, name)| (name, at)).collect();
    let mut overview = Overview {
        columns: Columns::of(&resources, asked),
        resources,
        groups: sums.groups.into_iter().collect(),
        totals: sums.totals,
        pending: snapshot.pods().filter(|pod| is_pending(pod)).count(),
        ..Overview::default()
    };
    work::spend_on(snapshot.pod_count() / 16);
    let mut labels: BTreeMap<&Name, HashSet<&Name>> = BTreeMap::new();
    for info in selected(snapshot, asked) {
        overview.names.push(info.name().clone());
        overview.group.push(places.get(asked.group_of(info)).copied().unwrap_or_default());
        overview.columns.push(Row::of(info, asked, &mut sees));
        work::spend_on(info.labels().iter().len());
        for (key, value) in info.labels().iter() {
            labels.entry(key).or_default().insert(value);
        }
    }
    overview.labels = labels.into_iter().map(|(key, values)| (key.clone(), values.len())).collect();
    overview
}

/// The nodes that an overview is of, in order of their names.
fn selected<'s>(snapshot: &'s Snapshot, asked: &Asked) -> impl Iterator<Item = &'s std::sync::Arc<NodeInfo>> {
    snapshot.nodes().filter(move |info| {
        work::spend(asked.nodes.cost());
        asked.nodes.matches(info.labels())
    })
}

/// The names of the resources that have columns: four that all clusters have, and others that nodes offer.
fn resource_names(snapshot: &Snapshot, asked: &Asked) -> Vec<Name> {
    let mut scalars: BTreeMap<&Name, usize> = BTreeMap::new();
    for info in selected(snapshot, asked) {
        for name in info.node.allocatable.scalar.keys() {
            work::spend(1);
            *scalars.entry(name).or_default() += 1;
        }
    }
    let mut scalars: Vec<(&Name, usize)> = scalars.into_iter().collect();
    scalars.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
    let scalars: BTreeSet<&Name> = scalars.into_iter().take(MOST_SCALARS).map(|(name, _)| name).collect();
    let always = [resources::CPU, resources::MEMORY, resources::EPHEMERAL_STORAGE, resources::PODS].map(Name::from);
    always.into_iter().chain(scalars.into_iter().cloned()).collect()
}

/// The sums of an overview.
#[derive(Debug, Default)]
struct AllSums {
    groups: BTreeMap<Name, Sums>,
    totals: Sums,
}

fn sums(snapshot: &Snapshot, asked: &Asked) -> AllSums {
    let mut sums = AllSums::default();
    for info in selected(snapshot, asked) {
        let name = asked.group_of(info);
        let group = match sums.groups.get_mut(name) {
            Some(group) => group,
            None => sums.groups.entry(name.into()).or_default(),
        };
        once(group).chain(once(&mut sums.totals)).for_each(|sums| sums.add(info));
    }
    sums
}
