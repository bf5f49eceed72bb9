//! Verdicts and scores of every node for pods with equal demands.

use std::collections::BTreeMap;

use super::names::Names;
use crate::{
    block::{NODES, places},
    cycle::{self, Cycle, TieBreak},
    model::{Pod, Volume, VolumeSource},
    node_set::NodeSet,
    policy::{Combination, Profile},
    priorities::Scores,
    ranking::{PriorityScores, Ranking},
    rule::Reads,
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
};

/// Verdicts and scores of all nodes, by their slots.
///
/// A near rule looks only at the node that it judges; it judges nodes again that have changed. A far rule looks further; it judges all
/// nodes again, block by block. The reasons why nodes do not fit are worked out only if no node fits.
pub(super) struct Board {
    /// The near predicates that ask anything, and the far ones, by index.
    near: Vec<usize>,
    far: Vec<usize>,
    /// Nodes that the near predicates accept, a mask for each block.
    near_fits: Vec<u64>,
    /// Nodes that all predicates accept.
    fits: Vec<u64>,
    fitting: usize,
    reasons: Option<Reasons>,
    /// One for each priority.
    columns: Vec<Column>,
    /// Under a weighted sum the totals of the near priorities, for nodes that the near predicates accept.
    near_totals: Vec<i64>,
    /// Under a weighted sum each node's total; [`UNFIT`] where it does not fit.
    totals: Vec<i64>,
}

/// The scores of one priority. Those of a near one are valid for nodes that the near predicates accept, those of a far one for nodes that
/// all accept.
struct Column {
    reads: Reads,
    scores: Vec<u8>,
}

/// Why nodes do not fit.
struct Reasons {
    /// Reasons of each node; `None` if it fits.
    said: Vec<Option<Vec<Reason>>>,
    /// How many nodes each reason rules out.
    counts: BTreeMap<Reason, usize>,
    /// The verdict that rules out all nodes alike.
    rejection: Option<Verdict>,
}

const UNFIT: i64 = i64::MIN;

/// A node as the decision for a pod that fits there sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The score of each priority of the profile, 0..=100, in their order.
    pub scores: Vec<u8>,
    /// Where priorities are levels: the index of the one at which the node fell behind the best.
    pub lost_at: Option<usize>,
}

/// The node chosen.
#[derive(Clone, Copy)]
pub(super) struct Best {
    pub(super) slot: usize,
    pub(super) total: i64,
    /// The level that parted it from the next best.
    pub(super) decided_at: Option<usize>,
}

impl Board {
    /// Judges every node. The results stay valid when pods come and go, except for those that [`Self::reads_more`] names, as long as
    /// [`Self::can_be_kept`].
    pub(super) fn new(profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> Self {
        let nominations = snapshot.has_nominated_pods();
        let all = snapshot.node_set();
        let blocks = all.parts().last().map_or(0, |part| part.block.number() + 1);
        let sums = if profile.combination == Combination::WeightedSum { blocks * NODES } else { 0 };
        let mut board = Self {
            near: Vec::new(),
            far: Vec::new(),
            near_fits: vec![0; blocks],
            fits: vec![0; blocks],
            fitting: 0,
            reasons: None,
            columns: Vec::with_capacity(profile.priorities.len()),
            near_totals: vec![0; sums],
            totals: vec![UNFIT; sums],
        };
        for (index, predicate) in profile.predicates.iter().enumerate() {
            match predicate.rule.reads(pod, snapshot) {
                // Pods nominated to a node can make any predicate ask something.
                _ if nominations => board.far.push(index),
                Reads::Nothing => {}
                Reads::Node => board.near.push(index),
                Reads::Nodes | Reads::Cluster => board.far.push(index),
            }
        }
        let first: NodeSet<'_> = all.iter().take(1).collect();
        for priority in &profile.priorities {
            let reads = priority.rule.reads(pod, snapshot);
            // All nodes have the same score, whichever are candidates.
            let same = if reads == Reads::Nothing { one(&priority.rule.score(pod, snapshot, &first)) } else { 0 };
            board.columns.push(Column { reads, scores: vec![same; blocks * NODES] });
        }
        board.ask_near(profile, pod, snapshot, &all);
        board.ask_far(profile, pod, snapshot, &all, true);
        board
    }

    /// `true` if the board holds for all pods with these demands and stays valid when pods come and go: no demand of the pod names the
    /// pod itself, and no node is kept free for a pod, nor for this one.
    pub(super) fn can_be_kept(pod: &Pod, snapshot: &Snapshot) -> bool {
        let is_named_after_pod = |volume: &Volume| volume.source == VolumeSource::Ephemeral;
        pod.nominated_node_name.is_empty()
            && !snapshot.has_nominated_pods()
            && !pod.volumes.iter().any(is_named_after_pod)
            // Hardly two pods share a claim to devices.
            && pod.resource_claims.is_empty()
    }

    /// `true` if pods with rules about this one have come, so that a rule looks further than before.
    pub(super) fn reads_more(&self, profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> bool {
        let is_far = |reads| reads > Reads::Node;
        let mut predicates = profile.predicates.iter().enumerate();
        let mut priorities = profile.priorities.iter().zip(&self.columns);
        predicates.any(|(index, p)| !self.far.contains(&index) && is_far(p.rule.reads(pod, snapshot)))
            || priorities.any(|(priority, column)| column.reads < priority.rule.reads(pod, snapshot))
    }

    /// Asks again after these nodes have changed.
    pub(super) fn refresh(&mut self, profile: &Profile, pod: &Pod, snapshot: &Snapshot, changed: &NodeSet<'_>) {
        self.ask_near(profile, pod, snapshot, changed);
        self.ask_far(profile, pod, snapshot, changed, false);
    }

    /// Asks the near rules about some nodes.
    fn ask_near(&mut self, profile: &Profile, pod: &Pod, snapshot: &Snapshot, nodes: &NodeSet<'_>) {
        let cycle = Cycle::prepare_some(profile, pod, snapshot, &self.near);
        let fitting = cycle.fitting_of(nodes);
        for part in nodes.parts() {
            self.near_fits[part.block.number()] &= !part.marked;
        }
        for part in fitting.parts() {
            self.near_fits[part.block.number()] |= part.marked;
        }
        for (priority, column) in profile.priorities.iter().zip(&mut self.columns) {
            if column.reads == Reads::Node {
                column.fill(&fitting, &priority.rule.score(pod, snapshot, &fitting));
            }
        }
        if profile.combination == Combination::WeightedSum {
            let one_for_all = i64::from(profile.priorities.is_empty());
            for slot in slots(&fitting) {
                self.near_totals[slot] = self.add_up(profile, slot, one_for_all, |reads| reads <= Reads::Node);
            }
        }
        match &mut self.reasons {
            Some(reasons) if self.far.is_empty() => {
                nodes.iter().for_each(|node_ref| reasons.say(node_ref.slot() as usize, cycle.reasons(node_ref)));
            }
            _ => self.reasons = None,
        }
    }

    /// Applies the far rules, after the near ones have judged some nodes.
    fn ask_far(&mut self, profile: &Profile, pod: &Pod, snapshot: &Snapshot, nodes: &NodeSet<'_>, is_new: bool) {
        let all = snapshot.node_set();
        let marked =
            |masks: &[u64]| NodeSet::new(all.parts().iter().map(|part| (part.block, masks[part.block.number()])));
        let mut fits = self.near_fits.clone();
        if !self.far.is_empty() {
            let cycle = Cycle::prepare_some(profile, pod, snapshot, &self.far);
            let left = cycle.fitting_of(&marked(&fits));
            fits.fill(0);
            left.parts().iter().for_each(|part| fits[part.block.number()] = part.marked);
        }
        let other_candidates = is_new || fits != self.fits;
        self.fits = fits;
        let is_due = |column: &Column| match column.reads {
            Reads::Nothing | Reads::Node => false,
            Reads::Nodes => other_candidates,
            Reads::Cluster => true,
        };
        let some_are_due = self.columns.iter().any(is_due);
        if some_are_due {
            let candidates = marked(&self.fits);
            for (priority, column) in profile.priorities.iter().zip(&mut self.columns) {
                if is_due(column) {
                    column.fill(&candidates, &priority.rule.score(pod, snapshot, &candidates));
                }
            }
        }
        if other_candidates {
            self.fitting = self.fits.iter().map(|mask| mask.count_ones() as usize).sum();
        }
        if profile.combination == Combination::WeightedSum {
            if some_are_due || !self.far.is_empty() || is_new {
                self.totals.fill(UNFIT);
                slots(&marked(&self.fits)).for_each(|slot| self.set_total(profile, slot));
            } else {
                slots(nodes).for_each(|slot| self.set_total(profile, slot));
            }
        }
    }

    fn fits(&self, slot: usize) -> bool {
        self.fits.get(slot / NODES).is_some_and(|mask| mask >> (slot % NODES) & 1 == 1)
    }

    fn set_total(&mut self, profile: &Profile, slot: usize) {
        self.totals[slot] = if self.fits(slot) {
            self.add_up(profile, slot, self.near_totals[slot], |reads| reads > Reads::Node)
        } else {
            UNFIT
        };
    }

    /// A sum, and what some of the priorities give the node in a slot.
    fn add_up(&self, profile: &Profile, slot: usize, sum: i64, which: impl Fn(Reads) -> bool) -> i64 {
        let some = profile.priorities.iter().zip(&self.columns).filter(|(_, column)| which(column.reads));
        some.fold(sum, |sum, (priority, column)| {
            sum.saturating_add(i64::from(column.scores[slot]).saturating_mul(priority.weight))
        })
    }

    /// How many nodes fit.
    pub(super) fn fitting(&self) -> usize {
        self.fitting
    }

    /// The best node for this pod, or the one that it is nominated to if that fits.
    pub(super) fn best(&self, profile: &Profile, pod: &Pod, names: &Names, seed: u64) -> Option<Best> {
        let tie_break = TieBreak::new(seed, pod);
        let nominated = names.slot(&pod.nominated_node_name).filter(|slot| self.fits(*slot));
        if profile.combination == Combination::WeightedSum {
            let highest = *self.totals.iter().max().filter(|total| **total != UNFIT)?;
            let equals = self.totals.iter().enumerate().filter(|(_, total)| **total == highest);
            let slot = nominated.or_else(|| names.first(tie_break, equals.map(|(slot, _)| slot)))?;
            return Some(Best { slot, total: self.totals[slot], decided_at: None });
        }
        let (fitting, ranking) = self.ranking(profile);
        let nominated = nominated.and_then(|slot| fitting.binary_search(&slot).ok());
        let key = |column: usize| (tie_break.of(names.name(fitting[column])), names.name(fitting[column]));
        let column = nominated.or_else(|| ranking.best(key))?;
        Some(Best { slot: fitting[column], total: ranking.totals()[column], decided_at: ranking.decided_at() })
    }

    /// The slots of the nodes that fit, and the order of them by levels.
    fn ranking(&self, profile: &Profile) -> (Vec<usize>, Ranking) {
        let fitting: Vec<usize> = (0..self.fits.len() * NODES).filter(|slot| self.fits(*slot)).collect();
        let scores = profile.priorities.iter().zip(&self.columns).map(|(priority, column)| PriorityScores {
            priority,
            scores: Scores::Each(fitting.iter().map(|slot| column.scores[*slot]).collect()),
        });
        let ranking = Ranking::new(profile, &scores.collect::<Vec<_>>(), fitting.len());
        (fitting, ranking)
    }

    /// The node in a slot as the decision sees it; `None` if it does not fit.
    pub(super) fn standing(&self, profile: &Profile, slot: usize) -> Option<Standing> {
        if !self.fits(slot) {
            return None;
        }
        let scores = self.columns.iter().map(|column| column.scores[slot]).collect();
        let lost_at = (profile.combination == Combination::Lexicographic).then(|| self.ranking(profile));
        let lost_at = lost_at.and_then(|(fitting, ranking)| ranking.lost_at(fitting.binary_search(&slot).ok()?));
        Some(Standing { scores, lost_at })
    }

    /// Why the pod fits nowhere, in kube-scheduler's words.
    pub(super) fn message(&mut self, profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> String {
        let ask = || Reasons::new(&Cycle::prepare(profile, pod, snapshot), snapshot, self.fits.len() * NODES);
        let reasons = self.reasons.get_or_insert_with(ask);
        cycle::unschedulable_message(
            profile.release,
            snapshot.node_count(),
            &reasons.counts,
            reasons.rejection.as_ref(),
        )
    }
}

impl Reasons {
    fn new(cycle: &Cycle<'_, '_>, snapshot: &Snapshot, slots: usize) -> Self {
        let mut reasons = Self {
            said: vec![None; slots],
            counts: BTreeMap::new(),
            rejection: cycle.rejection().map(|rejection| rejection.verdict),
        };
        for node_ref in snapshot.node_refs() {
            reasons.say(node_ref.slot() as usize, cycle.reasons(node_ref));
        }
        reasons
    }

    fn say(&mut self, slot: usize, said: Option<Vec<Reason>>) {
        for reason in said.iter().flatten() {
            *self.counts.entry(reason.clone()).or_default() += 1;
        }
        for reason in std::mem::replace(&mut self.said[slot], said).iter().flatten() {
            if let Some(count) = self.counts.get_mut(reason) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(reason);
                }
            }
        }
    }
}

impl Column {
    /// Takes the scores of some nodes.
    fn fill(&mut self, nodes: &NodeSet<'_>, scores: &Scores) {
        match scores {
            Scores::Same(score) => slots(nodes).for_each(|slot| self.scores[slot] = *score as u8),
            Scores::Each(each) => slots(nodes).zip(each).for_each(|(slot, score)| self.scores[slot] = *score),
        }
    }
}

fn slots<'a>(nodes: &'a NodeSet<'_>) -> impl Iterator<Item = usize> + 'a {
    nodes.parts().iter().flat_map(|part| places(part.marked).map(|at| part.block.slot(at) as usize))
}

/// The score of the one candidate; 0 where there is none to score.
fn one(scores: &Scores) -> u8 {
    match scores {
        Scores::Same(score) => *score as u8,
        Scores::Each(scores) => scores.first().copied().unwrap_or_default(),
    }
}
