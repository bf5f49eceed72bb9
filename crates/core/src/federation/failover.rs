//! Failover: what was placed in a cluster that is not ready goes elsewhere.
//!
//! # Rules
//!
//! - A pod that carries the label [`PLACEMENT`] leaves a cluster whose NoExecute taints it does not tolerate, or no longer (`tolerationSeconds`), but
//!   never before the cluster has been not ready for [`Settings::hysteresis`]. A cluster that flaps loses nothing.
//! - Never out of one cluster before there is room in another: a move is *proposed*, then room is *reserved*, and only then the pod is *evicted*. The last two are
//!   the service's, for one move out of each cluster at a time.
//! - The disruption budgets of the cluster bound how many pods of a group are moved in one outage.
//! - Moves out of a cluster are paced. If most clusters are not ready they are slower, and if all are, the fault is most likely here: nothing moves.
//! - When the cluster is ready again, what was not evicted yet stays, and its room elsewhere is released. What was evicted is not moved back.
//!
//! [`proposals`] tells the moves of a moment, and has no memory: what is under way is read off the clusters, since a copy names its original. It reads no clock.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` (`evictionLimiterQPS`, `ReducedQPSFunc`, `ComputeZoneState`: the pace),
//! `cmd/kube-controller-manager/app/options/nodelifecyclecontroller.go` (its numbers).

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    evictions::notice,
    model::{Name, Pod, PodDisruptionBudget, Taint},
    work,
};

#[cfg(test)]
mod tests;

/// The label of pods that a placement has placed; its value is the placement.
pub const PLACEMENT: &str = "podberth.io/placement";

const SECOND: i64 = 1_000_000_000;

/// How moves are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Nanoseconds for which a cluster has to be not ready before anything leaves it.
    pub hysteresis: i64,
    /// Nanoseconds between two moves out of a cluster (`--node-eviction-rate`).
    pub interval: i64,
    /// That time while most clusters are not ready (`--secondary-node-eviction-rate`).
    pub slow_interval: i64,
    /// Percent of clusters not ready from which they are most (`--unhealthy-zone-threshold`).
    pub most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hysteresis: 300 * SECOND, interval: 10 * SECOND, slow_interval: 100 * SECOND, most: 55 }
    }
}

/// A cluster with what placements have placed there.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Its name.
    pub name: Name,
    /// Since when it is not ready, in nanoseconds since 1970; `None` for one that is ready.
    pub down_since: Option<i64>,
    /// When the last move out of it began, in nanoseconds since 1970; `None` if it is not known.
    pub last_move: Option<i64>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// The pods there that carry [`PLACEMENT`].
    pub pods: Vec<Arc<Pod>>,
    /// Its disruption budgets.
    pub budgets: Vec<Arc<PodDisruptionBudget>>,
}

/// A move that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The cluster that the pod leaves.
    pub from: Name,
    /// The pod.
    pub pod: Arc<Pod>,
    /// When it is to leave, in nanoseconds since 1970; `None` if it is not known when the cluster was tainted.
    pub at: Option<i64>,
    /// The taints that drive it off.
    pub taints: Vec<Taint>,
    /// Why it stays for now; `None` for a move that waits for nothing but its time.
    pub held: Option<Held>,
}

/// Why a pod stays for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A disruption budget of the cluster allows no more disruptions.
    Budget(Name),
    /// No cluster is ready: the fault is most likely not theirs.
    AllDown,
    /// No other cluster has room for it.
    NoRoom,
    /// One of the two clusters mirrors a live one, which alone writes it.
    Mirror,
}

impl Proposal {
    /// `true` if it may be begun.
    pub fn is_due(&self, now: i64) -> bool {
        self.held.is_none() && self.at.is_some_and(|at| at <= now)
    }

    /// The placement that the pod belongs to.
    pub fn placement(&self) -> &str {
        self.pod.labels.get(PLACEMENT).map_or("", |name| name)
    }
}

/// All moves that are to be made out of clusters that are not ready, the soonest first, as they would go if none had been made before. `now` is in
/// nanoseconds since 1970. `room` is asked for each that nothing else holds, in this order, and says why it stays; such a one holds up no other.
pub fn proposals(
    sites: &[Site],
    settings: &Settings,
    now: i64,
    mut room: impl FnMut(&Proposal) -> Option<Held>,
) -> Vec<Proposal> {
    let mut all: Vec<Proposal> = sites.iter().flat_map(|site| of_site(site, settings, now)).collect();
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    let is_all_down = sites.iter().all(|site| site.down_since.is_some());
    let allowed = |site: &Site| site.budgets.iter().map(|budget| i64::from(budget.disruptions_allowed)).collect();
    let mut left: BTreeMap<Name, Vec<i64>> = sites.iter().map(|site| (site.name.clone(), allowed(site))).collect();
    let by_name: BTreeMap<&Name, &Site> = sites.iter().map(|site| (&site.name, site)).collect();
    for proposal in &mut all {
        let (Some(site), Some(left)) = (by_name.get(&proposal.from), left.get_mut(&proposal.from)) else { continue };
        let refusing = covering(site, &proposal.pod).find(|at| left.get(*at).is_some_and(|left| *left < 1));
        proposal.held = match refusing.and_then(|at| site.budgets.get(at)) {
            _ if is_all_down => Some(Held::AllDown),
            Some(budget) => Some(Held::Budget(budget.name.clone())),
            None => room(proposal),
        };
        if proposal.held.is_none() {
            charge(site, &proposal.pod, left);
        }
    }
    let interval = interval(sites, settings);
    for site in sites {
        let mut next = site.last_move.map_or(i64::MIN, |last| last.saturating_add(interval));
        for proposal in all.iter_mut().filter(|proposal| proposal.from == site.name && proposal.held.is_none()) {
            let Some(at) = proposal.at else { continue };
            let at = at.max(next);
            proposal.at = Some(at);
            next = at.max(now).saturating_add(interval);
        }
    }
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    all
}

type Order<'p> = (bool, bool, Option<i64>, &'p Name, &'p Name, &'p Name);

fn order(of: &Proposal) -> Order<'_> {
    (of.held.is_some(), of.at.is_none(), of.at, &of.from, &of.pod.namespace, &of.pod.name)
}

/// The moves out of one cluster.
fn of_site(site: &Site, settings: &Settings, now: i64) -> Vec<Proposal> {
    let Some(down_since) = site.down_since else { return Vec::new() };
    let from = down_since.saturating_add(settings.hysteresis);
    let proposed = |pod: &Arc<Pod>| {
        work::spend_on(1 + site.budgets.len() + site.taints.len().saturating_mul(pod.spec.tolerations.len()));
        let notice = notice(pod, &site.taints, now)?;
        let at = notice.at.map(|at| at.max(from));
        Some(Proposal { from: site.name.clone(), pod: pod.clone(), at, taints: notice.taints, held: None })
    };
    site.pods.iter().filter_map(proposed).collect()
}

/// The budgets that a move of the pod uses up, by their place.
fn covering<'s>(site: &'s Site, pod: &'s Pod) -> impl Iterator<Item = usize> + 's {
    let charges = |budget: &PodDisruptionBudget| budget.covers(pod);
    site.budgets.iter().enumerate().filter(move |(_, budget)| charges(budget)).map(|(at, _)| at)
}

fn charge(site: &Site, pod: &Pod, left: &mut [i64]) {
    for at in covering(site, pod) {
        if let Some(left) = left.get_mut(at) {
            *left -= 1;
        }
    }
}

/// Time between two moves out of a cluster.
fn interval(sites: &[Site], settings: &Settings) -> i64 {
    let down = sites.iter().filter(|site| site.down_since.is_some()).count();
    let are_most = down.saturating_mul(100) >= sites.len().saturating_mul(settings.most);
    if are_most { settings.slow_interval } else { settings.interval }
}
