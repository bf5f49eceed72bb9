//! Rescheduling until nothing becomes better: rounds on copies of the cluster, each with as few moves as reach its result.
//!
//! A round takes the evictions of one cycle and leaves out those that are of no use: pods that would come back to their node, fit nowhere, or have no
//! owner. It keeps the shortest beginning of the list that comes to the same result as all of them, and then leaves out single moves as long as the
//! result stays. The result is the pods that wait, the rules that are broken and the evictions that the policy still wants ([`super::measure`]). A round
//! that makes any of them worse, or none better, is not taken, and the search ends. So the cluster is never worse than before.
//!
//! The search is bounded by a number of rounds, of moves, and of clusters that are tried.

use super::{
    Eviction, Limits, Outcome, Policy, Unsuited,
    measure::{Score, is_stuck, score},
    moves::{Move, Scheduling, carry_out},
    reschedule,
};
use crate::advise::plan::AdvicePlan;
use crate::{
    model::PodDisruptionBudget,
    snapshot::{Object, Snapshot},
    work,
};

/// Bounds of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rounds.
    pub rounds: usize,
    /// Moves of all rounds.
    pub moves: u64,
}

/// Nodes and pods, all together, that are looked at while clusters are tried.
const MOST_LOOKED_AT: usize = 4_000_000;
/// Clusters that are tried at least, whatever their size.
const FEWEST_TRIED: usize = 8;
/// Clusters that are tried at most.
const MOST_TRIED: usize = 400;
/// Moves of a round from which on no single ones are tried to be left out.
const MOST_SINGLE: usize = 64;

/// Rounds, and the cluster after them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The moves of each round; none is empty.
    pub rounds: Vec<Vec<Move>>,
    /// The first cycle, as the descheduler runs it: what it would evict, what was refused and spared.
    pub first: Outcome,
    /// The cluster after all rounds.
    pub after: Snapshot,
}

impl Plan {
    /// The steps of all rounds: pods that move to another node, and those that leave theirs without one.
    pub fn steps(&self, revision: u64) -> AdvicePlan {
        AdvicePlan { revision, steps: self.rounds.iter().flatten().map(Move::step).collect() }
    }
}

/// A search under way.
struct Search<'a> {
    policy: &'a Policy,
    scheduling: &'a Scheduling,
    now: i64,
    /// Clusters that may still be tried.
    left: usize,
}

/// A cluster that was tried.
struct Tried {
    after: Snapshot,
    moves: Vec<Move>,
    score: Score,
}

/// Searches.
///
/// # Errors
/// If a profile names a priority class that the cluster does not have.
pub fn best(
    snapshot: &Snapshot,
    policy: &Policy,
    scheduling: &Scheduling,
    bounds: Bounds,
    now: i64,
) -> Result<Plan, Unsuited> {
    let size = snapshot.node_count().saturating_add(snapshot.pod_count()).max(1);
    let left = (MOST_LOOKED_AT / size).clamp(FEWEST_TRIED, MOST_TRIED);
    let mut search = Search { policy, scheduling, now, left };
    let mut plan = Plan { rounds: Vec::new(), first: Outcome::default(), after: snapshot.clone() };
    let mut before = score(snapshot, policy, now)?;
    let mut moved = 0_u64;
    for round in 0..bounds.rounds {
        let left = bounds.moves.saturating_sub(moved);
        let most = policy.limits.total.map_or(left, |total| total.min(left));
        let limited = Policy { limits: Limits { total: Some(most), ..policy.limits }, ..policy.clone() };
        let outcome = reschedule(&plan.after, &limited, now)?;
        let evicted = outcome.once_each().0;
        if round == 0 {
            plan.first = outcome;
        }
        let Some(Tried { after, moves, score }) = search.round(&plan.after, evicted, before)? else { break };
        moved = moved.saturating_add(moves.len() as u64);
        plan.after = charged(after, &moves);
        plan.rounds.push(moves);
        before = score;
        if search.left == 0 {
            break;
        }
    }
    Ok(plan)
}

impl Search<'_> {
    /// The cluster with these evictions carried out; `None` if no further one may be tried.
    fn attempt(&mut self, on: &Snapshot, evictions: &[Eviction]) -> Result<Option<Tried>, Unsuited> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        work::spend(1);
        let (after, moves) = carry_out(on, evictions, self.scheduling, self.now);
        let score = score(&after, self.policy, self.now)?;
        Ok(Some(Tried { after, moves, score }))
    }

    /// One round; `None` if it makes nothing better.
    fn round(&mut self, on: &Snapshot, mut evictions: Vec<Eviction>, before: Score) -> Result<Option<Tried>, Unsuited> {
        let mut best = None;
        // What is left out may make others useless.
        while !evictions.is_empty() {
            let Some(tried) = self.attempt(on, &evictions)? else { return Ok(None) };
            if tried.moves.iter().all(|one| one.is_useful() && !is_stuck(&one.fate)) {
                best = Some(tried);
                break;
            }
            evictions = tried.moves.into_iter().filter(Move::is_useful).map(|one| one.eviction).collect();
        }
        let Some(mut best) = best.filter(|best| best.score.is_better_than(before)) else { return Ok(None) };
        self.shorten(on, &mut best)?;
        self.thin_out(on, &mut best)?;
        Ok(Some(best))
    }

    /// Takes the shortest beginning that comes to the same result, as far as fewer moves are never better than more.
    fn shorten(&mut self, on: &Snapshot, best: &mut Tried) -> Result<(), Unsuited> {
        let all: Vec<Eviction> = best.moves.iter().map(|one| one.eviction.clone()).collect();
        let (mut too_few, mut enough) = (0, all.len());
        while enough - too_few > 1 {
            let middle = too_few.midpoint(enough);
            let Some(tried) = self.attempt(on, &all[..middle])? else { return Ok(()) };
            if tried.score <= best.score && tried.moves.iter().all(Move::is_useful) {
                (enough, *best) = (middle, tried);
            } else {
                too_few = middle;
            }
        }
        Ok(())
    }

    /// Leaves out single moves, as long as the result stays.
    fn thin_out(&mut self, on: &Snapshot, best: &mut Tried) -> Result<(), Unsuited> {
        let mut at = 0;
        while best.moves.len() > 1 && best.moves.len() <= MOST_SINGLE && at < best.moves.len() {
            let others = best.moves.iter().enumerate().filter(|(index, _)| *index != at);
            let others: Vec<Eviction> = others.map(|(_, one)| one.eviction.clone()).collect();
            let Some(tried) = self.attempt(on, &others)? else { return Ok(()) };
            if tried.score <= best.score && tried.moves.iter().all(Move::is_useful) {
                *best = tried;
            } else {
                at += 1;
            }
        }
        Ok(())
    }
}

/// The cluster with the budgets of pods that found no place lowered by those: they are not healthy again before the next round.
fn charged(mut after: Snapshot, moves: &[Move]) -> Snapshot {
    for one in moves.iter().filter(|one| is_stuck(&one.fate)) {
        let pod = &one.eviction.pod;
        let budgets: Vec<_> = after.disruption_budgets().filter(|budget| budget.covers(pod)).cloned().collect();
        for budget in budgets {
            let disruptions_allowed = budget.disruptions_allowed.saturating_sub(1);
            let used = PodDisruptionBudget { disruptions_allowed, ..(*budget).clone() };
            after.apply(Object::PodDisruptionBudget(used));
        }
    }
    after
}
