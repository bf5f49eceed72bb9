//! Estimates: how many replicas a cluster takes, by the node engine or from sums.
//!
//! Source: `karmada/pkg/estimator/client/general.go`, `karmada/pkg/estimator/server/framework/plugins/noderesource/noderesource.go`.

use std::sync::Arc;

use super::count::{self, Workload};
use crate::{
    batch,
    cycle::Cycle,
    model::{Name, Operator, Pod, Quantity, Requirement, Resources, resources},
    policy::Profiles,
    simulate::{HowMany, Simulation, how_many},
    snapshot::{Object, Snapshot},
    work,
};

/// The pods that a node of a model takes.
const PODS_OF_MODEL: i64 = 110;

/// Amounts of resources, by name.
pub type Amounts = std::collections::BTreeMap<Name, Quantity>;

/// Pods of one sort that are decided, and not yet seen.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// Such a pod.
    pub pod: Arc<Pod>,
    /// How many.
    pub replicas: usize,
}

/// How many copies of the pod the nodes take besides their pods and the assumed ones, at most `most`.
pub fn accurate(snapshot: Snapshot, profiles: &Profiles, assumed: &[Assumed], pod: &Pod, most: usize) -> HowMany {
    let options = batch::Options { preempt: false, ..batch::Options::default() };
    how_many(&Simulation::new(with(snapshot, profiles, assumed), profiles.clone(), options), pod, most)
}

/// How many copies of a workload the nodes take, each as a whole, besides their pods and the assumed ones. Counting ends at `most` pods.
pub fn sets(snapshot: Snapshot, profiles: &Profiles, assumed: &[Assumed], of: &Workload, most: usize) -> usize {
    match &of.pods[..] {
        [(pod, 1)] => accurate(snapshot, profiles, assumed, pod, most).count,
        _ if of.size() == 0 => most,
        _ => {
            let options = count::Options { most: most.div_ceil(of.size()), ..count::Options::default() };
            count::count(of, &with(snapshot, profiles, assumed), profiles, &[], options).copies.len()
        }
    }
}

/// The cluster with the assumed pods on its nodes.
fn with(mut snapshot: Snapshot, profiles: &Profiles, assumed: &[Assumed]) -> Snapshot {
    for (number, of) in assumed.iter().enumerate() {
        first_fit(&mut snapshot, profiles, of, number);
    }
    snapshot
}

/// Puts as many of the assumed pods as fit on the nodes, each on the first that takes it.
fn first_fit(snapshot: &mut Snapshot, profiles: &Profiles, of: &Assumed, number: usize) {
    let Ok(profile) = profiles.of(&of.pod.spec.scheduler_name) else { return };
    let nodes: Vec<Name> = snapshot.nodes().map(|info| info.name().clone()).collect();
    let (mut at, mut left) = (0, of.replicas);
    while left > 0 && at < nodes.len() {
        work::spend(1);
        let node = &nodes[at];
        let fits = {
            let cycle = Cycle::prepare(profile, &of.pod, snapshot);
            snapshot.node(node).is_some_and(|info| cycle.first_failure(info).is_none())
        };
        if !fits {
            at += 1;
            continue;
        }
        let name: Name = format!("assumed-{number}-{left}").into();
        let placed = Pod { uid: name.clone(), name, node_name: node.clone(), ..(*of.pod).clone() };
        snapshot.apply(Object::Pod(Box::new(placed)));
        left -= 1;
    }
}

/// Sums over the nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Offered to pods.
    pub allocatable: Amounts,
    /// Requested by pods on nodes.
    pub allocated: Amounts,
    /// Requested by pods that wait.
    pub allocating: Amounts,
    /// Nodes by grade: the least that each offers, and how many there are.
    pub models: Vec<(Amounts, i64)>,
}

/// How many replicas with these requests a cluster takes by its sums.
pub fn general(sums: &Sums, requests: &Resources) -> i64 {
    let pods = sums.free(resources::PODS).map_or(0, Quantity::value).max(0);
    let asked = asked(requests);
    if asked.is_empty() || pods == 0 {
        return pods;
    }
    let room = if sums.models.is_empty() {
        least(asked.iter().map(|(name, amount)| sums.free(name).map_or(0, |free| in_units(name, free)).max(0) / amount))
    } else {
        let of_node = |amounts: &Amounts| {
            let has = |name: &str| amounts.get(name).map_or(0, |amount| in_units(name, *amount));
            least(asked.iter().map(|(name, amount)| has(name) / amount)).min(PODS_OF_MODEL)
        };
        let of_grade = |(amounts, count): &(Amounts, i64)| of_node(amounts).saturating_mul(*count);
        sums.models.iter().map(of_grade).fold(0, i64::saturating_add)
    };
    room.clamp(0, pods)
}

impl Sums {
    /// The rest of a resource; `None` for one that the cluster does not have.
    fn free(&self, name: &str) -> Option<Quantity> {
        let taken = |amounts: &Amounts| amounts.get(name).copied().unwrap_or_default();
        let free = self.allocatable.get(name)?.saturating_sub(taken(&self.allocated));
        Some(free.saturating_sub(taken(&self.allocating)))
    }
}

/// A quota of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Its namespace.
    pub namespace: Name,
    /// The rest of each resource that pods request.
    pub free: Amounts,
    /// Conditions on the name of the pods' priority class, one of which has to hold; `None` if it is about all pods.
    pub classes: Option<Vec<Operator>>,
}

/// How many more replicas the quotas of a namespace let in; `None` if they do not bound it.
pub fn by_quotas(quotas: &[Quota], namespace: &str, class: &str, requests: &Resources) -> Option<i64> {
    let class = Some(class).filter(|class| !class.is_empty());
    let is_about = |quota: &&Quota| {
        let holds = |operator: &Operator| {
            let requirement = Requirement { key: Name::default(), operator: operator.clone() };
            requirement.matches_value(class)
        };
        *quota.namespace == *namespace && quota.classes.as_ref().is_none_or(|classes| classes.iter().any(holds))
    };
    let asked = asked(requests);
    let of_quota = |quota: &Quota| {
        let bounds = asked.iter().filter_map(|(name, amount)| {
            let free = quota.free.get(*name)?;
            Some(in_units(name, *free).max(0) / amount)
        });
        bounds.min()
    };
    quotas.iter().filter(is_about).filter_map(of_quota).min()
}

/// The resources that a pod asks for, and how much of each.
fn asked(requests: &Resources) -> Vec<(&str, i64)> {
    let own = [resources::CPU, resources::MEMORY, resources::EPHEMERAL_STORAGE];
    let scalar = requests.scalar.keys().map(|name| &**name);
    let asked = own.into_iter().chain(scalar).map(|name| (name, requests.get(name)));
    asked.filter(|(_, amount)| *amount > 0).collect()
}

/// An amount as pods request it: CPU in thousandths, others in whole units.
fn in_units(name: &str, amount: Quantity) -> i64 {
    if name == resources::CPU { amount.milli_value() } else { amount.value() }
}

fn least(counts: impl Iterator<Item = i64>) -> i64 {
    counts.min().unwrap_or(0)
}
