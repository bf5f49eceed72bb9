//! Every node's verdict and scores for pods that demand the same.

use std::collections::BTreeMap;

use crate::core::{
    cycle::{self, Cycle, PriorityScores, TieBreak},
    model::{Name, Pod},
    policy::{Combination, Profile},
    priorities::Scores,
    ranking::Ranking,
    rule::Reads,
    seat::Seats,
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
};

/// What is said of a node that does not fit; `None` where it does.
type Said = Option<Vec<Reason>>;

/// What is known about all nodes, in order of their names.
pub(super) struct Board {
    /// The predicates that ask anything of a node, by index.
    asked: Vec<usize>,
    rejection: Option<Verdict>,
    said: Vec<Said>,
    fitting: usize,
    /// How many nodes each reason rules out.
    counts: BTreeMap<Reason, usize>,
    /// One for each priority.
    columns: Vec<Column>,
    /// Under a weighted sum each node's total; [`UNFIT`] where it does not fit.
    totals: Vec<i64>,
}

/// One priority's scores; without meaning where a node does not fit.
struct Column {
    reads: Reads,
    scores: Vec<i64>,
}

const UNFIT: i64 = i64::MIN;

/// The node chosen.
#[derive(Clone, Copy)]
pub(super) struct Best {
    pub(super) place: usize,
    pub(super) total: i64,
    /// The level that parted it from the next best.
    pub(super) decided_at: Option<usize>,
}

impl Board {
    /// Asks about every node.
    pub(super) fn new(profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> Self {
        let cycle = Cycle::prepare(profile, pod, snapshot);
        let rejection = cycle.rejection().map(|rejection| rejection.verdict);
        let said: Vec<Said> = snapshot.seats().map(|node| cycle.reasons(node)).collect();
        let reads_something = |(index, _): &(usize, _)| {
            profile.predicates.get(*index).is_some_and(|p| p.rule.reads(pod, snapshot) != Reads::Nothing)
        };
        let mut board = Self {
            asked: profile.predicates.iter().enumerate().filter(reads_something).map(|(index, _)| index).collect(),
            rejection,
            fitting: said.iter().filter(|said| said.is_none()).count(),
            counts: BTreeMap::new(),
            columns: Vec::with_capacity(profile.priorities.len()),
            totals: Vec::new(),
            said,
        };
        for reason in board.said.iter().flatten().flatten() {
            *board.counts.entry(reason.clone()).or_default() += 1;
        }
        let candidates = board.candidates(snapshot);
        for priority in &profile.priorities {
            let reads = priority.rule.reads(pod, snapshot);
            let mut column = Column { reads, scores: vec![0; board.said.len()] };
            column.fill(snapshot, &candidates, &priority.rule.score(pod, snapshot, &candidates));
            board.columns.push(column);
        }
        board.add_up(profile, 0..board.said.len());
        board
    }

    /// Whether what is known stays known when pods come and go that have no rules about this one: whether no rule looks
    /// further than the node it is asked about.
    pub(super) fn can_be_kept(profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> bool {
        pod.nominated_node_name.is_empty()
            && !snapshot.has_nominated_pods()
            && profile.predicates.iter().all(|p| p.rule.reads(pod, snapshot) <= Reads::Node)
            && profile.priorities.iter().all(|p| p.rule.reads(pod, snapshot) <= Reads::Nodes)
    }

    /// Asks again about the nodes at these places.
    pub(super) fn refresh(
        &mut self,
        profile: &Profile,
        pod: &Pod,
        snapshot: &Snapshot,
        names: &[Name],
        mut places: Vec<usize>,
    ) {
        if self.rejection.is_some() {
            return;
        }
        places.sort_unstable();
        places.dedup();
        let cycle = Cycle::prepare_some(profile, pod, snapshot, &self.asked);
        let mut other_candidates = false;
        for place in &places {
            let Some(node) = names.get(*place).and_then(|name| snapshot.seat(name)) else { continue };
            let said = cycle.reasons(node);
            other_candidates |= said.is_none() != self.said[*place].is_none();
            self.say(*place, said);
            if self.said[*place].is_none() {
                for (priority, column) in profile.priorities.iter().zip(&mut self.columns) {
                    if column.reads == Reads::Node {
                        column.scores[*place] =
                            one(&priority.rule.score(pod, snapshot, &std::iter::once(node).collect()));
                    }
                }
            }
        }
        if other_candidates && self.columns.iter().any(|column| column.reads != Reads::Node) {
            let candidates = self.candidates(snapshot);
            for (priority, column) in profile.priorities.iter().zip(&mut self.columns) {
                match column.reads {
                    Reads::Node => {}
                    Reads::Nothing => {
                        let score = one(&priority.rule.score(pod, snapshot, &candidates.iter().take(1).collect()));
                        column.scores.fill(score);
                    }
                    _ => column.fill(snapshot, &candidates, &priority.rule.score(pod, snapshot, &candidates)),
                }
            }
            self.add_up(profile, 0..self.said.len());
        } else {
            self.add_up(profile, places);
        }
    }

    fn say(&mut self, place: usize, said: Said) {
        let before = std::mem::replace(&mut self.said[place], said);
        for reason in before.iter().flatten() {
            if let Some(count) = self.counts.get_mut(reason) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(reason);
                }
            }
        }
        for reason in self.said[place].iter().flatten() {
            *self.counts.entry(reason.clone()).or_default() += 1;
        }
        self.fitting = self.fitting + usize::from(before.is_some()) - usize::from(self.said[place].is_some());
    }

    fn candidates<'s>(&self, snapshot: &'s Snapshot) -> Seats<'s> {
        snapshot.seats().zip(&self.said).filter(|(_, said)| said.is_none()).map(|(node, _)| node).collect()
    }

    fn add_up(&mut self, profile: &Profile, places: impl IntoIterator<Item = usize>) {
        if profile.combination != Combination::WeightedSum {
            return;
        }
        self.totals.resize(self.said.len(), UNFIT);
        let one_for_all = i64::from(profile.priorities.is_empty());
        for place in places {
            self.totals[place] = if self.said[place].is_some() {
                UNFIT
            } else {
                profile.priorities.iter().zip(&self.columns).fold(one_for_all, |sum, (priority, column)| {
                    sum.saturating_add(column.scores[place].saturating_mul(priority.weight))
                })
            };
        }
    }

    /// How many nodes fit.
    pub(super) fn fitting(&self) -> usize {
        self.fitting
    }

    /// The best node for this pod, or the one that it is nominated to if that fits.
    pub(super) fn best(&self, profile: &Profile, pod: &Pod, names: &[Name], seed: u64) -> Option<Best> {
        let tie_break = TieBreak::new(seed, pod);
        let key = |place: usize| (tie_break.of(&names[place]), &names[place]);
        let fits = |place: &usize| self.said[*place].is_none();
        let nominated = (!pod.nominated_node_name.is_empty())
            .then(|| names.binary_search(&pod.nominated_node_name).ok().filter(fits))
            .flatten();
        if profile.combination == Combination::WeightedSum {
            let highest = *self.totals.iter().max().filter(|total| **total != UNFIT)?;
            let equals = self.totals.iter().enumerate().filter(|(_, total)| **total == highest);
            let place = nominated.or_else(|| equals.map(|(place, _)| place).min_by_key(|place| key(*place)))?;
            return Some(Best { place, total: self.totals[place], decided_at: None });
        }
        let places: Vec<usize> = (0..self.said.len()).filter(fits).collect();
        let scores = profile.priorities.iter().zip(&self.columns).map(|(priority, column)| PriorityScores {
            priority,
            scores: places.iter().map(|place| column.scores[*place]).collect(),
        });
        let ranking = Ranking::new(profile, &scores.collect::<Vec<_>>(), places.len());
        let nominated = nominated.and_then(|place| places.binary_search(&place).ok());
        let column = nominated.or_else(|| ranking.best(|column| key(places[column])))?;
        Some(Best { place: places[column], total: ranking.totals()[column], decided_at: ranking.decided_at() })
    }

    /// Why the pod fits nowhere, in kube-scheduler's words.
    pub(super) fn message(&self, profile: &Profile) -> String {
        cycle::told(profile.release, self.said.len(), &self.counts, self.rejection.as_ref())
    }
}

impl Column {
    /// Takes the scores of the candidates.
    fn fill(&mut self, snapshot: &Snapshot, candidates: &Seats<'_>, scores: &Scores) {
        match scores {
            Scores::Same(score) => self.scores.fill(*score),
            Scores::Each(each) => {
                for (score, seat) in self.scores.iter_mut().zip(snapshot.seats()) {
                    *score = candidates.position(seat).map_or(*score, |column| each[column]);
                }
            }
        }
    }
}

/// The score of the one candidate; 0 where there is none to score.
fn one(scores: &Scores) -> i64 {
    match scores {
        Scores::Same(score) => *score,
        Scores::Each(scores) => scores.first().copied().unwrap_or_default(),
    }
}
