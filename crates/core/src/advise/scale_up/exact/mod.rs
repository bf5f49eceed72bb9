//! The exact engine: the smallest number of new nodes, of any mixture of groups, on which the waiting pods fit.
//!
//! All predicates count, with spread and affinity, and so does the room on nodes that are there. A greedy plan gives a number that is enough. Then
//! each smaller number is refuted or found possible, mixture by mixture: first by the amounts of resources, then by trying where pods could go. Of
//! several mixtures with the smallest number of nodes the one counts on which the scheduler leaves the fewest pods waiting, then the cheapest.
//!
//! The search is bounded. Where the bound is reached the plan is the best one found, and `proven` says that a smaller one may exist.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use self::{
    greedy::{Measure, Plan, plan},
    mixtures::mixtures,
    search::{Found, Steps, search},
    space::{Counts, Limits, Space},
};
use super::{Answer, Options, Outcome, Search, Start, fork::Fork, pending};
use crate::{
    advise::groups::Groups,
    batch,
    model::{Name, Pod},
    policy::Profiles,
    simulate::{Simulation, Step},
    snapshot::Snapshot,
    work,
};

mod greedy;
mod mixtures;
mod search;
mod space;

/// Mixtures of one size whose use by the scheduler is tried.
const MOST_COMPARED: usize = 24;
/// Mixtures on which the scheduler is tried, in search of one on which it places all pods.
const MOST_SCHEDULED: usize = 60;
/// Pods times nodes up to which the scheduler is tried on further mixtures.
const SCHEDULED_SIZE: usize = 200_000;

/// Aim of the search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// The smallest number of nodes on which the pods fit, each where the plan puts it.
    #[default]
    Placement,
    /// The smallest number of nodes found on which the scheduler itself places the pods, in its own order.
    Scheduler,
}

/// A pod, and the node that the plan has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The node.
    pub node: Name,
    /// The group of a new node; `None` for one that is there or on its way.
    pub group: Option<Name>,
}

/// A plan with its proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exact {
    /// How many nodes are added.
    pub nodes: usize,
    /// The pods do not fit with fewer nodes than this.
    pub lower_bound: usize,
    /// `true` if no plan for these pods has fewer nodes.
    pub proven: bool,
    /// `true` if the plan has a place for every pod that any group could take by itself.
    pub complete: bool,
    /// Steps that the search took.
    pub steps: u64,
    /// The new nodes, and the group of each.
    pub new_nodes: Vec<(Name, Name)>,
    /// Where each pod goes.
    pub places: Vec<Place>,
    /// Pods that have a place and that the scheduler would leave waiting on these nodes, since it decides in an order of its own.
    pub unbound: Vec<Arc<Pod>>,
    /// The smallest increase found on which the scheduler places all of the pods; `None` if none was found.
    pub scheduler: Option<BTreeMap<Name, usize>>,
}

/// The smallest number of nodes. Takes at most `most_steps` steps.
pub fn exact(
    snapshot: &Snapshot,
    profiles: &Profiles,
    groups: &Groups,
    options: &Options,
    (goal, most_steps): (Goal, u64),
    now: i64,
) -> Answer {
    let start = Start::new(snapshot, profiles, groups, options, now);
    let mut answer = start.answer();
    if let Some(ended) = start.ended(options, now, &mut answer) {
        if ended == Outcome::NotNeeded {
            let place = |(pod, node): &(Arc<Pod>, Name)| Place { pod: pod.clone(), node: node.clone(), group: None };
            let places = start.fitting.iter().map(place).collect();
            answer.exact = Some(Exact { proven: true, complete: true, places, ..Exact::default() });
        }
        answer.outcome = ended;
        return answer;
    }
    let mut of_groups = Search::new(&start, groups.all(), options);
    of_groups.consider(&mut answer);
    answer.options = (0..of_groups.considered.len()).filter_map(|at| of_groups.option(at)).collect();
    let waiting: Vec<Arc<Pod>> = start
        .fitting
        .iter()
        .map(|(pod, _)| pod)
        .chain(&start.left)
        .filter(|pod| !pending::is_daemon(pod))
        .cloned()
        .collect();
    let (cores, memory) = of_groups.quota.left();
    let most_nodes = match options.max_nodes_total {
        0 => usize::MAX,
        most => most.saturating_sub(start.before.node_count()),
    };
    let limits = Limits { nodes: most_nodes, cores, memory };
    let fork = Fork::new(profiles, start.before.clone());
    let space = Space::new(fork, pending::classes(&waiting), &of_groups.considered, options, limits);
    let mut solver = Solver { space: &space, steps: Steps(most_steps), seed: options.seed };
    let mut solved = solver.solve();
    solved.exact.steps = most_steps - solver.steps.0;
    if solved.exact.unbound.is_empty() {
        solved.exact.scheduler = Some(space.increase(&solved.plan.mixture));
    } else if let Some(mixture) = solver.for_scheduler(&solved) {
        solved.exact.scheduler = Some(space.increase(&mixture));
    }
    answer.increase = match (&solved.exact.scheduler, goal) {
        (Some(increase), Goal::Scheduler) => increase.clone(),
        _ => space.increase(&solved.plan.mixture),
    };
    tell(&mut answer, &of_groups, &start, solved.exact);
    answer
}

/// Tells which pods are helped, and why the others are not.
fn tell(answer: &mut Answer, of_groups: &Search<'_, '_>, start: &Start<'_>, exact: Exact) {
    let fitting: std::collections::BTreeSet<(Name, Name)> =
        exact.places.iter().map(|place| (place.pod.namespace.clone(), place.pod.name.clone())).collect();
    let has_place = |pod: &Arc<Pod>| fitting.contains(&(pod.namespace.clone(), pod.name.clone()));
    answer.fitting = exact
        .places
        .iter()
        .filter(|place| place.group.is_none())
        .map(|place| (place.pod.clone(), place.node.clone()))
        .collect();
    answer.triggered =
        exact.places.iter().filter(|place| place.group.is_some()).map(|place| place.pod.clone()).collect();
    answer.outcome = if exact.nodes > 0 {
        Outcome::Successful
    } else if start.left.iter().all(has_place) {
        Outcome::NotNeeded
    } else {
        Outcome::NoOptions
    };
    of_groups.helpless(answer, |pod| !has_place(pod));
    answer.exact = Some(exact);
}

impl Space<'_, '_> {
    fn increase(&self, mixture: &Counts) -> BTreeMap<Name, usize> {
        let pools = self.pools.iter().zip(mixture).filter(|(_, count)| **count > 0);
        pools.map(|(pool, count)| (pool.of.group.id.clone(), *count)).collect()
    }

    fn cost(&self, mixture: &Counts) -> f64 {
        let each = self.pools.iter().zip(mixture).map(|(pool, count)| pool.cost.unwrap_or(0.0) * *count as f64);
        each.sum()
    }
}

/// A plan, with what is known of it.
struct Solved {
    plan: Plan,
    need: Counts,
    exact: Exact,
}

struct Solver<'v, 's, 'a> {
    space: &'v Space<'s, 'a>,
    steps: Steps,
    seed: u64,
}

impl Solver<'_, '_, '_> {
    fn solve(&mut self) -> Solved {
        let space = self.space;
        let classes = space.classes.len();
        let plans = [Measure::Amounts, Measure::Pods].map(|measure| plan(space, measure));
        let helped = |plan: &Plan| plan.helped(classes);
        let total = |counts: &Counts| counts.iter().sum::<usize>();
        let [by_amounts, by_pods] = plans;
        let key = |plan: &Plan| (std::cmp::Reverse(total(&helped(plan))), plan.nodes());
        let greedy = if key(&by_pods) < key(&by_amounts) { by_pods } else { by_amounts };
        let wanted = self.helpable(&helped(&greedy));
        let is_complete = helped(&greedy) == wanted;
        if is_complete {
            return self.smallest(&wanted, greedy.nodes(), Some(greedy), true);
        }
        // Not all were placed: perhaps the search can.
        let solved = self.smallest(&wanted, space.limits.nodes, None, true);
        if !solved.plan.places.is_empty() {
            return solved;
        }
        let refuted = solved.exact.proven;
        let mut solved = self.smallest(&helped(&greedy), greedy.nodes(), Some(greedy), false);
        solved.exact.complete = refuted && solved.exact.complete;
        solved
    }

    /// The pods that any group, or any node, could take by itself; and those that the greedy plan has.
    fn helpable(&self, helped: &Counts) -> Counts {
        let mut wanted = self.space.all();
        for ((wanted, helped), class) in wanted.iter_mut().zip(helped).zip(&self.space.classes) {
            let pod = class.sample();
            let takes = |template: &super::template::Template| {
                let (snapshot, node) = super::estimate::with_one_node(&self.space.fork, template);
                self.space.fork.at(snapshot).refusal(pod, &node).is_none()
            };
            if *helped == 0 && !self.space.pools.iter().any(|pool| pool.room > 0 && takes(&pool.of.template)) {
                *wanted = 0;
            }
        }
        wanted
    }

    /// The smallest plan for so many pods of each class, with at most `most` nodes. `known`: a plan with as many.
    fn smallest(&mut self, need: &Counts, most: usize, known: Option<Plan>, is_complete: bool) -> Solved {
        let mut exact = Exact { complete: is_complete, ..Exact::default() };
        let Some(least) = self.space.at_least(need) else {
            exact.proven = true;
            return self.solved(known.unwrap_or_default(), need, exact);
        };
        exact.lower_bound = least;
        for nodes in least..=most {
            work::spend(1);
            let (found, is_sure) = self.of_size(nodes, need);
            let found = found.or_else(|| known.clone().filter(|known| known.nodes() == nodes));
            if let Some(found) = found {
                exact.proven = exact.lower_bound == nodes;
                return self.solved(found, need, exact);
            }
            if !is_sure {
                return self.solved(known.unwrap_or_default(), need, exact);
            }
            exact.lower_bound = nodes + 1;
        }
        exact.proven = known.is_none();
        self.solved(known.unwrap_or_default(), need, exact)
    }

    /// The best plan with exactly so many nodes, and `true` if there is none other than those tried.
    fn of_size(&mut self, nodes: usize, need: &Counts) -> (Option<Plan>, bool) {
        let (space, seed) = (self.space, self.seed);
        let mut best: Option<((usize, u64), Plan)> = None;
        let (mut is_sure, mut compared) = (true, 0);
        let all_nodes = space.fork.snapshot.node_count().saturating_add(nodes);
        let compares = all_nodes.saturating_mul(need.iter().sum()) <= SCHEDULED_SIZE;
        let ended = mixtures(space, nodes, need, &mut self.steps, &mut |mixture, steps| {
            match search(space, mixture, need, steps) {
                Found::Nothing => {}
                Found::Unknown => {
                    is_sure = false;
                    return ControlFlow::Break(());
                }
                Found::Plan(plan) => {
                    compared += 1;
                    let unbound = if compares { unbound(space, mixture, need, seed).len() } else { 0 };
                    let key = (unbound, space.cost(mixture).to_bits());
                    if best.as_ref().is_none_or(|(other, _)| key < *other) {
                        best = Some((key, plan));
                    }
                    if compared == MOST_COMPARED || !compares {
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if ended.is_break() && best.is_none() {
            is_sure = false;
        }
        (best.map(|(_, plan)| plan), is_sure)
    }

    /// A smallest mixture found on which the scheduler places all pods of a plan.
    fn for_scheduler(&mut self, solved: &Solved) -> Option<Counts> {
        let (space, seed) = (self.space, self.seed);
        let nodes = space.fork.snapshot.node_count().saturating_add(solved.plan.nodes());
        if nodes.saturating_mul(solved.need.iter().sum()) > SCHEDULED_SIZE {
            return None;
        }
        let mut tries = 0;
        let mut steps = Steps(MOST_SCHEDULED as u64 * 1_000);
        let pods: usize = solved.need.iter().sum();
        for nodes in solved.plan.nodes()..=space.limits.nodes.min(solved.plan.nodes().saturating_add(pods)) {
            let mut found = None;
            let _ = mixtures(space, nodes, &solved.need, &mut steps, &mut |mixture, _| {
                tries += 1;
                if unbound(space, mixture, &solved.need, seed).is_empty() {
                    found = Some(mixture.clone());
                    return ControlFlow::Break(());
                }
                if tries >= MOST_SCHEDULED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if found.is_some() || tries >= MOST_SCHEDULED {
                return found;
            }
        }
        None
    }

    fn solved(&self, plan: Plan, need: &Counts, mut exact: Exact) -> Solved {
        let space = self.space;
        exact.nodes = plan.nodes();
        let (_, new) = space.with(&plan.mixture_of(space.pools.len()));
        let group = |pool: usize| space.pools[pool].of.group.id.clone();
        exact.new_nodes = new.into_iter().map(|(name, pool)| (name, group(pool))).collect();
        let mut numbers = vec![0; space.classes.len()];
        for (class, node, pool) in &plan.places {
            let number = numbers[*class];
            numbers[*class] += 1;
            if let Some(pod) = space.pod(*class, number) {
                let (pod, node, group) = (pod.clone(), node.clone(), pool.map(group));
                exact.places.push(Place { pod, node, group });
            }
        }
        if exact.nodes > 0 {
            exact.unbound = unbound(space, &plan.mixture, &plan.helped(space.classes.len()), self.seed);
        }
        Solved { plan, need: need.clone(), exact }
    }
}

impl Plan {
    fn mixture_of(&self, pools: usize) -> Counts {
        if self.mixture.is_empty() { vec![0; pools] } else { self.mixture.clone() }
    }
}

/// The pods that the scheduler leaves waiting, of so many of each class, on a mixture of new nodes.
fn unbound(space: &Space<'_, '_>, mixture: &Counts, need: &Counts, seed: u64) -> Vec<Arc<Pod>> {
    let (snapshot, _) = space.with(mixture);
    let options = batch::Options { seed, preempt: false, reuse: true };
    let mut simulation = Simulation::new(snapshot, space.fork.profiles().clone(), options);
    let Ok(outcome) = simulation.step(&Step::AddPods(Vec::new())) else { return Vec::new() };
    let mut stuck = Vec::new();
    for (class, need) in space.classes.iter().zip(need) {
        let of_class = |pod: &Arc<Pod>| class.pods.iter().any(|other| other.is_same(pod));
        let left: Vec<Arc<Pod>> = outcome.stuck.iter().map(|stuck| stuck.pod.clone()).filter(of_class).collect();
        // As many as the plan passes over may stay.
        let may_stay = class.pods.len() - need;
        stuck.extend(left.into_iter().skip(may_stay));
    }
    stuck
}

#[cfg(test)]
mod tests;
