//! Failover: what was placed in a cluster that is not ready goes elsewhere.
//!
//! # Rules
//!
//! - A pod that carries the label [`PLACEMENT`] leaves a cluster whose NoExecute taints it does not tolerate, or no longer (`tolerationSeconds`), but
//!   never before the cluster has been not ready for [`Settings::hysteresis`]. A cluster that flaps loses nothing.
//! - Never out of one cluster before there is room in another: a move is *proposed*, then room is *reserved*, and only then the pod is *evicted*.
//! - The disruption budgets of the cluster bound how many pods of a group are moved in one outage.
//! - Moves out of a cluster are paced. If most clusters are not ready they are slower, and if all are, the fault is most likely here: nothing moves.
//! - When the cluster is ready again, what was not evicted yet stays, and its room elsewhere is released. What was evicted is not moved back.
//!
//! [`Failover`] is the state machine of these moves: [`Failover::step`] gives what is to be done, and whoever does it tells how it went. It reads no clock.
//! [`proposals`] tells the same of a moment, without a memory.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` (`evictionLimiterQPS`, `ReducedQPSFunc`, `ComputeZoneState`: the pace),
//! `cmd/kube-controller-manager/app/options/nodelifecyclecontroller.go` (its numbers).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    /// Nanoseconds after which room that was not found is looked for again.
    pub again: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hysteresis: 300 * SECOND,
            interval: 10 * SECOND,
            slow_interval: 100 * SECOND,
            most: 55,
            again: 60 * SECOND,
        }
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

/// A pod in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// The cluster.
    pub cluster: Name,
    /// The pod's uid.
    pub uid: Name,
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

    fn key(&self) -> Placed {
        Placed { cluster: self.from.clone(), uid: self.pod.uid.clone() }
    }
}

/// All moves that are to be made out of clusters that are not ready, the soonest first, as they would go if none had been made before. `now` is in
/// nanoseconds since 1970.
pub fn proposals(sites: &[Site], settings: &Settings, now: i64) -> Vec<Proposal> {
    let mut all: Vec<Proposal> =
        sites.iter().flat_map(|site| of_site(site, sites, settings, now, &BTreeSet::new())).collect();
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

/// The moves out of one cluster, in their order. `under_way`: those that have been begun, which use up budgets and are left out.
fn of_site(site: &Site, sites: &[Site], settings: &Settings, now: i64, under_way: &BTreeSet<Placed>) -> Vec<Proposal> {
    let Some(down_since) = site.down_since else { return Vec::new() };
    let is_all_down = sites.iter().all(|site| site.down_since.is_some());
    let from = down_since.saturating_add(settings.hysteresis);
    let mut found = Vec::new();
    let mut left: Vec<i64> = site.budgets.iter().map(|budget| i64::from(budget.disruptions_allowed)).collect();
    for pod in &site.pods {
        work::spend_on(1 + site.budgets.len() + site.taints.len().saturating_mul(pod.tolerations.len()));
        if under_way.contains(&Placed { cluster: site.name.clone(), uid: pod.uid.clone() }) {
            charge(site, pod, &mut left);
            continue;
        }
        let Some(notice) = notice(pod, &site.taints, now) else { continue };
        let at = notice.at.map(|at| at.max(from));
        found.push(Proposal { from: site.name.clone(), pod: pod.clone(), at, taints: notice.taints, held: None });
    }
    found.sort_by(|a, b| order(a).cmp(&order(b)));
    for proposal in &mut found {
        let refusing = covering(site, &proposal.pod).find(|at| left.get(*at).is_some_and(|left| *left < 1));
        if is_all_down {
            proposal.held = Some(Held::AllDown);
        } else if let Some(budget) = refusing.and_then(|at| site.budgets.get(at)) {
            proposal.held = Some(Held::Budget(budget.name.clone()));
        } else {
            charge(site, &proposal.pod, &mut left);
        }
    }
    found
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

/// A step of a move, to be taken by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Room for the pod is to be found and reserved in another cluster: [`Failover::reserved`] or [`Failover::unreserved`] tells how it went.
    Reserve(Placed),
    /// The pod is to be evicted, since its room in the cluster `to` is reserved: [`Failover::evicted`] or [`Failover::stayed`] tells.
    Evict {
        /// The pod.
        placed: Placed,
        /// The other cluster.
        to: Name,
    },
    /// The room in the cluster `to` is not needed.
    Release {
        /// The pod that stays.
        placed: Placed,
        /// The other cluster.
        to: Name,
    },
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Room is being looked for.
    Reserving,
    /// There was none at that time.
    NoRoom(i64),
    /// There is room.
    Reserved(Name),
    /// It is being evicted.
    Evicting(Name),
    /// It was evicted, and is forgotten when its pod is gone.
    Moved,
}

/// The moves under way. What it knows is bounded by the pods that are placed.
#[derive(Clone, Debug, Default)]
pub struct Failover {
    settings: Settings,
    moves: BTreeMap<Placed, Phase>,
    /// By cluster: when the next move out of it may begin.
    next: BTreeMap<Name, i64>,
}

impl Failover {
    /// Without any move.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The steps to be taken at a time, in nanoseconds since 1970.
    pub fn step(&mut self, sites: &[Site], now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.forget(sites);
        let up: BTreeSet<&Name> =
            sites.iter().filter(|site| site.down_since.is_none()).map(|site| &site.name).collect();
        let mut over = Vec::new();
        for (placed, phase) in &mut self.moves {
            let is_up = up.contains(&placed.cluster);
            match phase {
                Phase::Reserved(to) if is_up => {
                    effects.push(Effect::Release { placed: placed.clone(), to: to.clone() });
                    over.push(placed.clone());
                }
                Phase::Reserved(to) => {
                    effects.push(Effect::Evict { placed: placed.clone(), to: to.clone() });
                    *phase = Phase::Evicting(to.clone());
                }
                Phase::NoRoom(at) if is_up || at.saturating_add(self.settings.again) <= now => {
                    over.push(placed.clone());
                }
                _ => {}
            }
        }
        for placed in over {
            self.moves.remove(&placed);
        }
        self.begin(sites, now, &mut effects);
        effects
    }

    /// Begins the moves that are due.
    fn begin(&mut self, sites: &[Site], now: i64, effects: &mut Vec<Effect>) {
        let under_way: BTreeSet<Placed> = self.moves.keys().cloned().collect();
        let interval = interval(sites, &self.settings);
        self.next.retain(|name, next| *next > now && sites.iter().any(|site| site.name == *name));
        for site in sites.iter().filter(|site| site.down_since.is_some()) {
            if self.next.contains_key(&site.name) {
                continue;
            }
            let due = of_site(site, sites, &self.settings, now, &under_way);
            // One at a time: the next one after the interval.
            if let Some(first) = due.iter().find(|proposal| proposal.is_due(now)) {
                self.moves.insert(first.key(), Phase::Reserving);
                self.next.insert(site.name.clone(), now.saturating_add(interval));
                effects.push(Effect::Reserve(first.key()));
            }
        }
    }

    /// Forgets the moves of pods that are gone. Room that was reserved for one is used, or lapses.
    fn forget(&mut self, sites: &[Site]) {
        let placed: BTreeSet<(&Name, &Name)> =
            sites.iter().flat_map(|site| site.pods.iter().map(move |pod| (&site.name, &pod.uid))).collect();
        self.moves.retain(|key, phase| {
            matches!(phase, Phase::Reserving | Phase::Evicting(_)) || placed.contains(&(&key.cluster, &key.uid))
        });
    }

    /// Room for a pod is reserved in the cluster `to`.
    pub fn reserved(&mut self, placed: &Placed, to: Name) {
        if let Some(phase @ Phase::Reserving) = self.moves.get_mut(placed) {
            *phase = Phase::Reserved(to);
        }
    }

    /// No room was found for a pod.
    pub fn unreserved(&mut self, placed: &Placed, now: i64) {
        if let Some(phase @ Phase::Reserving) = self.moves.get_mut(placed) {
            *phase = Phase::NoRoom(now);
        }
    }

    /// A pod was evicted.
    pub fn evicted(&mut self, placed: &Placed) {
        if let Some(phase @ Phase::Evicting(_)) = self.moves.get_mut(placed) {
            *phase = Phase::Moved;
        }
    }

    /// A pod was not evicted: it is tried again, or its room released if its cluster is ready by then.
    pub fn stayed(&mut self, placed: &Placed) {
        if let Some(phase) = self.moves.get_mut(placed)
            && let Phase::Evicting(to) = phase
        {
            *phase = Phase::Reserved(std::mem::take(to));
        }
    }

    /// Number of moves that it knows.
    pub fn len(&self) -> usize {
        self.moves.len()
    }

    /// `true` if it knows of no move.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}
