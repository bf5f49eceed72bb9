//! Turns the scores of the candidates into one order: by a weighted sum, or by a decision tree whose levels are the priorities.
//!
//! In the tree the most important priority decides, and the next one orders only nodes that come out equal. A level cuts each group of
//! equal nodes into bands:
//!
//! ```text
//! best = highest score in what is left of the group
//! band = the nodes whose score is at least best − tolerance     they stay equal, and the next level orders them
//! the rest forms the next band, whose best is its own highest score
//! ```
//!
//! "At most so far apart" holds for 50 and 45 and for 45 and 40 but not for 50 and 40, so it is no order. Bands counted from the best
//! down are one: each node is in exactly one band, so the order of the groups does not depend on the order of the nodes.

use std::cmp::Reverse;

use super::{
    policy::{ActivePriority, Combination, Profile},
    priorities::Scores,
    work,
};

/// One priority's scores, in the order of the candidates.
pub struct PriorityScores<'a> {
    /// The priority.
    pub priority: &'a ActivePriority,
    /// 0..=100 each.
    pub scores: Scores,
}

/// Candidates in order, by their columns: their places among the candidates whose scores were ranked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    totals: Vec<i64>,
    /// Under levels: of each candidate the level, from 0, at which it fell behind the best.
    lost_at: Option<Vec<Option<usize>>>,
}

impl Ranking {
    /// Ranks `count` candidates by their scores under a profile.
    pub fn new(profile: &Profile, scores: &[PriorityScores<'_>], count: usize) -> Self {
        match profile.combination {
            Combination::WeightedSum => {
                let rows = scores.iter().map(|s| (s.priority.weight, &s.scores));
                Self { totals: weighted_sum(rows, count), lost_at: None }
            }
            Combination::Lexicographic => by_levels(scores.iter().map(|s| (s.priority.tolerance, &s.scores)), count),
        }
    }

    /// Adds the sums of the extenders' scores, in the order of the candidates (none: nothing changes). A weighted sum grows by them; under
    /// levels they are one more level behind the last, without a priority.
    #[must_use]
    pub fn with_extenders(mut self, sums: &[i64]) -> Self {
        let Some(lost_at) = self.lost_at.as_mut().filter(|_| !sums.is_empty()) else {
            for (total, sum) in self.totals.iter_mut().zip(sums) {
                *total = total.saturating_add(*sum);
            }
            return self;
        };
        let keys: Vec<(i64, i64)> = self.totals.iter().copied().zip(sums.iter().copied()).collect();
        let mut groups = keys.clone();
        groups.sort_unstable();
        groups.dedup();
        let best = groups.last().copied();
        for ((key, total), lost) in keys.iter().zip(&mut self.totals).zip(lost_at) {
            if lost.is_none() && Some(*key) != best {
                *lost = Some(usize::MAX);
            }
            *total = groups.partition_point(|group| group < key) as i64;
        }
        self
    }

    /// The total of each candidate: the higher the better, and equal totals tie.
    ///
    /// Under a weighted sum it is Σ score × weight, or 1 for all without any priority. Under levels it is the number of groups of equal
    /// candidates behind the candidate's own group: 0 for the worst group, and one more for each better group.
    pub fn totals(&self) -> &[i64] {
        &self.totals
    }

    /// All columns, the best first. `tie_break` orders those that tie, the least first.
    pub fn order<K: Ord>(&self, mut tie_break: impl FnMut(usize) -> K) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.totals.len()).collect();
        order.sort_by_cached_key(|column| (Reverse(self.totals[*column]), tie_break(*column)));
        order
    }

    /// The first column of [`Self::order`], without sorting; `None` without candidates.
    pub fn best<K: Ord>(&self, mut tie_break: impl FnMut(usize) -> K) -> Option<usize> {
        let highest = self.totals.iter().max()?;
        let best = (0..self.totals.len()).filter(|column| self.totals[*column] == *highest);
        best.min_by_key(|column| tie_break(*column))
    }

    /// The level, from 0, at which a candidate fell behind the best; `None` for the best and those that tie with it, and
    /// always under a weighted sum. The profile's priority of that index is the one that parted them.
    pub fn lost_at(&self, column: usize) -> Option<usize> {
        *self.lost_at.as_ref()?.get(column)?
    }

    /// The level, from 0, that parted the best from the next best; `None` where they tie or there is but one, and always
    /// under a weighted sum.
    pub fn decided_at(&self) -> Option<usize> {
        let highest = self.totals.iter().max()?;
        let tied = self.totals.iter().filter(|total| *total == highest).count();
        // The next best node stayed equal to the best for longest.
        self.lost_at.iter().flatten().filter(|_| tied == 1).copied().flatten().max()
    }

    /// The order as whole numbers from 0 to `max`, at least 1, for clients that read a score in that range.
    ///
    /// Totals are spread over it ([`spread_over`]). Groups of levels are too, and stay distinct, if there are at most `max` + 1. If there are
    /// more, the best keep a number each (`max`, `max` − 1, … 1) and the rest get 0.
    pub fn extender_scores(&self, max: i64) -> Vec<i64> {
        let above = self.totals.iter().max().map_or(0, |highest| highest.saturating_sub(max));
        if self.lost_at.is_some() && above > 0 {
            self.totals.iter().map(|total| (total - above).max(0)).collect()
        } else {
            spread_over(&self.totals, max)
        }
    }
}

/// Rows of a weight and the scores, one for each candidate.
fn weighted_sum<'s>(rows: impl ExactSizeIterator<Item = (i64, &'s Scores)>, count: usize) -> Vec<i64> {
    if rows.len() == 0 {
        return vec![1; count];
    }
    // Scores that are equal on all nodes are added once. Scores and weights are not below 0, so that the order does not matter.
    let (alike, each): (Vec<_>, Vec<_>) = rows.partition(|(_, scores)| matches!(scores, Scores::Same(_)));
    let mut common = [0_i64];
    for (weight, scores) in alike {
        scores.add_to(&mut common, weight);
    }
    let mut totals = vec![common[0]; count];
    for (weight, scores) in each {
        scores.add_to(&mut totals, weight);
    }
    totals
}

/// Rows of a tolerance and the scores, one for each candidate, in order of importance.
fn by_levels<'s>(rows: impl Iterator<Item = (i64, &'s Scores)>, count: usize) -> Ranking {
    // The columns group by group, and where in `order` each group begins.
    let mut order: Vec<usize> = (0..count).collect();
    let mut starts = vec![0];
    let mut lost_at = vec![None; count];
    for (level, (tolerance, scores)) in rows.enumerate() {
        work::spend_on(count);
        // Equal scores separate no nodes.
        let Scores::Each(scores) = scores else { continue };
        let score = |column: &usize| scores.get(*column).copied().map_or(0, i64::from);
        let mut refined = Vec::with_capacity(starts.len());
        for (group, start) in starts.iter().enumerate() {
            let end = starts.get(group + 1).copied().unwrap_or(count);
            let columns = &mut order[*start..end];
            columns.sort_unstable_by_key(|column| Reverse(score(column)));
            let mut floor = None;
            for (place, column) in columns.iter().enumerate() {
                let score = score(column);
                if floor.is_none_or(|floor| score < floor) {
                    floor = Some(score.saturating_sub(tolerance));
                    refined.push(start + place);
                }
            }
        }
        let end_of_best = |starts: &[usize]| starts.get(1).copied().unwrap_or(count);
        for column in &order[end_of_best(&refined)..end_of_best(&starts)] {
            lost_at[*column] = Some(level);
        }
        starts = refined;
    }
    let mut totals = vec![0; count];
    for (group, start) in starts.iter().enumerate() {
        let end = starts.get(group + 1).copied().unwrap_or(count);
        for column in &order[*start..end] {
            totals[*column] = (starts.len() - 1 - group) as i64;
        }
    }
    Ranking { totals, lost_at: Some(lost_at) }
}

/// Totals as whole numbers from 0 to `max`, for clients that read a score in that range. The highest becomes `max`, the lowest 0, and the
/// rest lie in proportion between them, rounded to the nearest. If all are equal, all become `max`. Order is kept, but totals closer than
/// a `max`-th of the spread may become equal.
pub fn spread_over(totals: &[i64], max: i64) -> Vec<i64> {
    let (Some(lowest), Some(highest)) = (totals.iter().min(), totals.iter().max()) else { return Vec::new() };
    let spread = i128::from(*highest) - i128::from(*lowest);
    let place = |total: &i64| {
        if spread == 0 {
            return max;
        }
        let above = i128::from(*total) - i128::from(*lowest);
        ((above * i128::from(max) * 2 + spread) / (spread * 2)) as i64
    };
    totals.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    type Level = (i64, Vec<i64>);

    fn ranked(levels: &[Level]) -> Ranking {
        let count = levels.first().map_or(0, |(_, scores)| scores.len());
        let scores: Vec<_> = levels.iter().map(|(_, scores)| scores.iter().copied().collect::<Scores>()).collect();
        by_levels(levels.iter().map(|(tolerance, _)| *tolerance).zip(&scores), count)
    }

    #[test]
    fn the_next_level_orders_only_those_that_tie() {
        // The first level separates {a, b} from {c, d}; the second a from b and d from c.
        let ranking = ranked(&[(0, vec![90, 90, 80, 80]), (0, vec![1, 0, 50, 100])]);
        assert_eq!(ranking.totals(), [3, 2, 0, 1]);
        assert_eq!((0..4).map(|c| ranking.lost_at(c)).collect::<Vec<_>>(), [None, Some(1), Some(0), Some(0)]);
        assert_eq!((ranking.decided_at(), ranking.best(|column| column)), (Some(1), Some(0)));
        assert_eq!(ranking.order(|column| column), [0, 1, 3, 2]);
    }

    #[test]
    fn bands_are_counted_from_the_best_down() {
        // 50 and 45 are within 5, 40 is not within 5 of 50: bands 50..=45, then 40..=35, then 20.
        let scores = vec![45, 20, 50, 40, 38];
        let ranking = ranked(&[(5, scores)]);
        assert_eq!(ranking.totals(), [2, 0, 2, 1, 1]);
        assert_eq!(ranking.decided_at(), None, "two are best");
        // The second level reverses the band, but removes no node from it.
        let ranking = ranked(&[(5, vec![45, 20, 50, 40, 38]), (0, vec![100, 100, 0, 100, 100])]);
        assert_eq!(ranking.totals(), [3, 0, 2, 1, 1]);
        assert_eq!(ranking.decided_at(), Some(1));
    }

    #[test]
    fn extenders_are_one_more_level() {
        let tied = || ranked(&[(0, vec![90, 90, 80, 80])]);
        let ranking = tied().with_extenders(&[0, 20, 70, 70]);
        assert_eq!(ranking.totals(), [1, 2, 0, 0], "they part a from b, and lift nobody over a level");
        assert_eq!((ranking.lost_at(0), ranking.lost_at(1), ranking.lost_at(2)), (Some(usize::MAX), None, Some(0)));
        assert_eq!(tied().with_extenders(&[]), tied());
    }

    #[test]
    fn nothing_to_rank() {
        for levels in [vec![], vec![(0, vec![])]] {
            let ranking = ranked(&levels);
            assert_eq!((ranking.totals(), ranking.decided_at(), ranking.lost_at(0)), (&[][..], None, None));
            assert_eq!((ranking.best(|column| column), ranking.extender_scores(10)), (None, vec![]));
        }
        assert_eq!(by_levels(std::iter::empty(), 2).totals(), [0, 0], "without a level all tie");
        assert_eq!(weighted_sum(std::iter::empty(), 2), [1, 1]);
    }

    #[test]
    fn groups_keep_a_number_each_while_numbers_last() {
        let with = |groups: i64, max| ranked(&[(0, (0..groups).collect())]).extender_scores(max);
        // 3 groups: 0, 10/2 = 5, 10; 4 groups: 10/3 = 3.3 → 3, 20/3 = 6.7 → 7.
        assert_eq!(with(3, 10), [0, 5, 10]);
        assert_eq!(with(4, 10), [0, 3, 7, 10]);
        assert_eq!(with(11, 10), (0..=10).collect::<Vec<_>>());
        assert_eq!(with(13, 10), [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "the best ten are told apart");
        assert_eq!(with(1, 10), [10]);
    }

    #[test]
    fn totals_are_spread_over_the_range_asked_for() {
        // 612 is the lowest, 712 the highest: 637 is 25/100 of the way, 2.5 → 3.
        assert_eq!(spread_over(&[612, 712, 637, 613], 10), [0, 10, 3, 0]);
        assert_eq!(
            spread_over(&[1_000_612, 1_000_712], 10),
            [0, 10],
            "a weight that all share does not flatten the rest"
        );
        assert_eq!(spread_over(&[5, 5], 10), [10, 10]);
        assert_eq!(spread_over(&[], 10), [0_i64; 0]);
        assert_eq!(spread_over(&[i64::MIN, i64::MAX, 0], 100), [0, 100, 50]);
    }

    fn scores(count: usize) -> impl Strategy<Value = Vec<i64>> {
        prop_oneof![vec(0_i64..=100, count), vec(prop::sample::select(vec![0_i64, 50, 55, 60, 100]), count)]
    }

    fn levels(tolerance: impl Strategy<Value = i64> + Clone + 'static) -> impl Strategy<Value = Vec<Level>> {
        (1_usize..12).prop_flat_map(move |count| vec((tolerance.clone(), scores(count)), 1..5))
    }

    proptest! {
        #[test]
        fn a_lower_level_never_overturns_a_higher_one(levels in levels(Just(0_i64))) {
            let ranking = ranked(&levels);
            let told = |column: usize| levels.iter().map(|(_, scores)| scores[column]).collect::<Vec<_>>();
            for (a, of_a) in ranking.totals().iter().enumerate() {
                for (b, of_b) in ranking.totals().iter().enumerate() {
                    prop_assert_eq!(of_a.cmp(of_b), told(a).cmp(&told(b)), "as words in a dictionary");
                }
            }
        }

        #[test]
        fn later_levels_never_merge_groups(levels in levels(0_i64..=100)) {
            let (first, all) = (ranked(&levels[..1]), ranked(&levels));
            for (a, before) in first.totals().iter().enumerate() {
                for (b, other) in first.totals().iter().enumerate() {
                    prop_assert!(before <= other || all.totals()[a] > all.totals()[b]);
                }
            }
        }

        #[test]
        fn a_node_better_at_every_level_ranks_no_worse(levels in levels(0_i64..=100)) {
            let ranking = ranked(&levels);
            let count = ranking.totals().len();
            for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                let (first, rest) = (&levels[0], &levels[1..]);
                let ahead = first.1[a] >= first.1[b] && rest.iter().all(|(_, scores)| scores[a] >= scores[b]);
                prop_assert!(!ahead || ranking.totals()[a] >= ranking.totals()[b]);
            }
        }

        #[test]
        fn the_order_in_which_candidates_come_changes_nothing(
            (levels, columns) in levels(0_i64..=100).prop_flat_map(|levels| {
                let columns: Vec<usize> = (0..levels[0].1.len()).collect();
                (Just(levels), Just(columns).prop_shuffle())
            }),
        ) {
            let pick = |(tolerance, scores): &Level| (*tolerance, columns.iter().map(|c| scores[*c]).collect::<Vec<_>>());
            let (one, other) = (ranked(&levels), ranked(&levels.iter().map(pick).collect::<Vec<_>>()));
            for (place, column) in columns.iter().enumerate() {
                prop_assert_eq!(one.totals()[*column], other.totals()[place]);
                prop_assert_eq!(one.lost_at(*column), other.lost_at(place));
            }
            prop_assert_eq!(one.decided_at(), other.decided_at());
            prop_assert_eq!(one.best(|c| c).map(|c| one.totals()[c]), other.best(|c| c).map(|c| other.totals()[c]));
        }

        #[test]
        fn groups_are_numbered_without_gaps_and_name_their_deciding_level(levels in levels(0_i64..=100)) {
            let ranking = ranked(&levels);
            let mut numbers = ranking.totals().to_vec();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(&numbers, &(0..numbers.len() as i64).collect::<Vec<_>>());
            let order = ranking.order(|column| column);
            prop_assert_eq!(ranking.best(|column| column), order.first().copied());
            prop_assert_eq!(ranking.decided_at(), order.get(1).and_then(|next| ranking.lost_at(*next)));
            for (column, total) in ranking.totals().iter().enumerate() {
                prop_assert_eq!(ranking.lost_at(column).is_none(), *total == ranking.totals()[order[0]]);
                // With the levels before it alone the candidate still ties with the best, with that level it does not.
                if let Some(level) = ranking.lost_at(column) {
                    prop_assert_eq!(ranked(&levels[..=level]).lost_at(column), Some(level));
                    prop_assert_eq!(level == 0 || ranked(&levels[..level]).lost_at(column).is_none(), true);
                }
            }
        }

        #[test]
        fn one_level_is_the_order_of_its_priority(scores in (1_usize..12).prop_flat_map(scores)) {
            let one_level = ranked(&[(0, scores.clone())]);
            let row = [(1, &scores.iter().copied().collect())];
            let summed = Ranking { totals: weighted_sum(row.into_iter(), scores.len()), lost_at: None };
            prop_assert_eq!(one_level.order(|column| column), summed.order(|column| column));
        }

        #[test]
        fn weights_of_101_to_the_nth_do_the_same(levels in levels(Just(0_i64))) {
            let weights = (0..levels.len() as u32).rev().map(|n| 101_i64.pow(n));
            let scores: Vec<_> = levels.iter().map(|(_, scores)| scores.iter().copied().collect::<Scores>()).collect();
            let rows: Vec<_> = weights.zip(&scores).collect();
            let summed = Ranking { totals: weighted_sum(rows.into_iter(), levels[0].1.len()), lost_at: None };
            prop_assert_eq!(summed.order(|column| column), ranked(&levels).order(|column| column));
        }

        #[test]
        fn extender_scores_keep_the_order_and_the_best_alone(levels in levels(0_i64..=20), max in 1_i64..15) {
            let ranking = ranked(&levels);
            let (totals, scores) = (ranking.totals(), ranking.extender_scores(max));
            let highest = totals.iter().max().copied().unwrap_or_default();
            for (total, score) in totals.iter().zip(&scores) {
                prop_assert!((0..=max).contains(score));
                prop_assert_eq!(*total == highest, *score == max);
                for (other_total, other_score) in totals.iter().zip(&scores) {
                    prop_assert!(total < other_total || score >= other_score);
                    let few = highest <= max;
                    prop_assert!(!few || (total == other_total) == (score == other_score), "enough for one each");
                }
            }
        }
    }
}
