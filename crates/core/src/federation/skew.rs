//! Division with a bound for the skew: first among groups of clusters, then within each group as without a bound.
//!
//! The bound is that of a pod's `topologySpreadConstraints` with `DoNotSchedule`, with groups of the selected clusters in place of domains: a group gets a further replica only if it
//! then has at most `maxSkew` more than the group with the fewest. All selected groups count, also one that has no room left: the others may then have `maxSkew` more than it. Replicas that
//! are there already are not moved, so a skew among them stays until further replicas even it out; where replicas go, they go from the groups with the most.

use std::collections::{BTreeMap, BinaryHeap};

use super::{
    Division, Request, Spread,
    selected::{SOURCES, Selected},
    webster::{Claim, Ties},
};
use crate::{model::Name, work};

/// A group of selected clusters.
pub(super) struct Group<'a> {
    name: Name,
    /// In their order. Never empty.
    pub(super) clusters: Vec<Selected<'a>>,
    /// Replicas that stay there.
    kept: i64,
    /// Room for further ones, by source.
    rooms: [i64; SOURCES],
    /// Its claim on replicas of each source.
    weights: [i64; SOURCES],
}

impl<'a> Group<'a> {
    /// The groups of a constraint, by name, of clusters with their weights. A cluster without weight takes no part.
    pub(super) fn all<'s>(
        request: &Request,
        spread: &Spread,
        selected: impl Iterator<Item = (&'s Selected<'a>, i64)>,
    ) -> Vec<Self>
    where
        'a: 's,
    {
        let mut groups: BTreeMap<&Name, Self> = BTreeMap::new();
        for (one, weight) in selected.filter(|(_, weight)| *weight > 0) {
            if let Some(name) = spread.by.value(one.cluster()) {
                groups.entry(name).or_insert_with(|| Self::empty(name)).push(request, one, weight);
            }
        }
        groups.into_values().collect()
    }

    fn empty(name: &Name) -> Self {
        Self { name: name.clone(), clusters: Vec::new(), kept: 0, rooms: [0; SOURCES], weights: [0; SOURCES] }
    }

    fn push(&mut self, request: &Request, one: &Selected<'a>, weight: i64) {
        let is_by_rules = matches!(request.division, Division::Static(_));
        let mut rooms = one.rooms;
        if is_by_rules {
            // By the weights of rules all is divided anew, it does not matter which nodes there are, and only live clusters are known to be full.
            rooms = [request.live.map_or(request.replicas, |_| one.holds()), 0, 0];
        } else if request.fresh {
            rooms[0] += one.previous;
        } else {
            self.kept += one.previous;
        }
        let weights = if is_by_rules { [weight, 0, 0] } else { rooms };
        for source in 0..SOURCES {
            self.rooms[source] += rooms[source];
            self.weights[source] += weights[source];
        }
        self.clusters.push(one.clone());
    }
}

/// The replicas of each group, in their order; fewer than asked for where no group may take more.
pub(super) fn among(request: &Request, groups: &[Group<'_>], max_skew: i64, replicas: i64) -> Vec<i64> {
    let kept: Vec<i64> = groups.iter().map(|group| group.kept).collect();
    let over = kept.iter().sum::<i64>() - replicas;
    if over > 0 { fewer(kept, over) } else { more(groups, kept, -over, max_skew, Ties::of(&request.uid)) }
}

/// Takes so many replicas away, each from the group that has the most.
fn fewer(mut counts: Vec<i64>, over: i64) -> Vec<i64> {
    let mut largest: BinaryHeap<(i64, usize)> = counts.iter().copied().zip(0..).collect();
    for _ in 0..over {
        work::spend(1);
        let Some((count, at)) = largest.pop() else { break };
        counts[at] = count - 1;
        largest.push((count - 1, at));
    }
    counts
}

/// The claim of a group that has got so many: on a node that is there, then on others; `None` if it has no room for more.
fn claim<'a>(groups: &'a [Group<'_>], at: usize, given: i64, ties: Ties) -> Option<Claim<'a>> {
    let Group { name, rooms, weights, .. } = &groups[at];
    let mut within = given;
    for source in 0..SOURCES {
        if within < rooms[source] && weights[source] > 0 {
            return Some(Claim::new((at, name), (source, weights[source]), (given, within), ties));
        }
        within -= rooms[source];
    }
    None
}

/// Gives so many replicas away.
fn more(groups: &[Group<'_>], mut counts: Vec<i64>, replicas: i64, max_skew: i64, ties: Ties) -> Vec<i64> {
    let mut given = vec![0_i64; groups.len()];
    let claim = |group: usize, given: i64| claim(groups, group, given, ties);
    let mut claims: BinaryHeap<Claim<'_>> = (0..groups.len()).filter_map(|group| claim(group, 0)).collect();
    // Claims of groups that have as many as they may have until the group with the fewest has more.
    let mut waiting = Vec::new();
    let fewest = |counts: &[i64]| {
        work::spend(counts.len() as u64);
        let least = counts.iter().copied().min().unwrap_or(0);
        (least, counts.iter().filter(|count| **count == least).count())
    };
    let (mut least, mut with_least) = fewest(&counts);
    let mut left = replicas;
    while left > 0 {
        let Some(first) = claims.pop() else { break };
        work::spend(1);
        let group = first.party;
        if counts[group] + 1 - least > max_skew {
            waiting.push(first);
            continue;
        }
        left -= 1;
        given[group] += 1;
        counts[group] += 1;
        claims.extend(claim(group, given[group]));
        if counts[group] == least + 1 {
            with_least -= 1;
            if with_least == 0 {
                (least, with_least) = fewest(&counts);
                claims.extend(waiting.drain(..));
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{collection::vec, prelude::*};

    use super::super::{Candidate, Cluster, Live, Reason, Room, SpreadBy, place};
    use super::*;

    fn candidate(name: &str, region: usize, room: Room) -> Candidate {
        let cluster = Cluster { region: Some(format!("r{region}").into()), ..Cluster::named(name) };
        Candidate { cluster: Arc::new(cluster), room, price: None }
    }

    fn free(on_existing: i64) -> Room {
        Room { on_existing: Some(on_existing), ..Room::default() }
    }

    fn bounded(by: SpreadBy, max_skew: i64) -> Vec<Spread> {
        vec![Spread { by, min: 1, max: None, max_skew: Some(max_skew) }]
    }

    fn shares(request: &Request, candidates: &[Candidate]) -> Vec<(String, i64)> {
        let outcome = place(request, candidates);
        let mut shares: Vec<_> =
            outcome.shares.into_iter().map(|share| (share.cluster.to_string(), share.replicas)).collect();
        shares.sort();
        shares
    }

    fn of(shares: &[(&str, i64)]) -> Vec<(String, i64)> {
        shares.iter().map(|(name, replicas)| ((*name).to_owned(), *replicas)).collect()
    }

    #[test]
    fn groups_differ_by_max_skew_at_most() {
        let clusters = [candidate("a", 0, free(90)), candidate("b", 0, free(10)), candidate("c", 1, free(10))];
        let request = Request { replicas: 11, division: Division::Dynamic, ..Request::default() };
        assert_eq!(shares(&request, &clusters), of(&[("a", 9), ("b", 1), ("c", 1)]));
        // 11 = 6 + 5 of the regions; within the first one 90 to 10.
        let by_region = Request { spread: bounded(SpreadBy::Region, 1), ..request.clone() };
        assert_eq!(shares(&by_region, &clusters), of(&[("a", 5), ("b", 1), ("c", 5)]));
        let by_region = Request { spread: bounded(SpreadBy::Region, 3), ..request.clone() };
        assert_eq!(shares(&by_region, &clusters), of(&[("a", 6), ("b", 1), ("c", 4)]));
        let by_cluster = Request { spread: bounded(SpreadBy::Cluster, 1), ..request };
        assert_eq!(shares(&by_cluster, &clusters), of(&[("a", 4), ("b", 4), ("c", 3)]));
    }

    #[test]
    fn a_full_group_bounds_the_others() {
        let clusters = [candidate("a", 0, free(90)), candidate("c", 1, free(2))];
        let spread = bounded(SpreadBy::Region, 3);
        let request = Request { replicas: 8, division: Division::Dynamic, spread, ..Request::default() };
        let outcome = place(&request, &clusters);
        assert_eq!((outcome.reason, outcome.unplaced), (Some(Reason::InsufficientReplicas), 8));
        // 2 + 3 beside 2.
        let request = Request { partial: true, ..request };
        assert_eq!(shares(&request, &clusters), of(&[("a", 5), ("c", 2)]));
    }

    #[test]
    fn what_is_there_stays_and_is_evened_out() {
        let clusters = [candidate("a", 0, free(90)), candidate("c", 1, free(90))];
        let request = |replicas, a, c| Request {
            replicas,
            division: Division::Aggregated,
            spread: bounded(SpreadBy::Region, 1),
            previous: vec![("a".into(), a), ("c".into(), c)],
            ..Request::default()
        };
        assert_eq!(shares(&request(10, 8, 0), &clusters), of(&[("a", 8), ("c", 2)]));
        assert_eq!(shares(&request(16, 8, 2), &clusters), of(&[("a", 8), ("c", 8)]));
        assert_eq!(shares(&request(7, 8, 2), &clusters), of(&[("a", 5), ("c", 2)]));
        let fresh = Request { fresh: true, ..request(10, 8, 0) };
        assert_eq!(shares(&fresh, &clusters), of(&[("a", 5), ("c", 5)]));
    }

    #[test]
    fn nodes_that_are_there_go_first_within_the_skew() {
        let grows = Room { on_existing: Some(0), after_scale_up: 90, ..Room::default() };
        let clusters = [candidate("a", 0, free(90)), candidate("c", 1, grows)];
        let spread = bounded(SpreadBy::Region, 4);
        let request = Request { replicas: 10, division: Division::Dynamic, spread, ..Request::default() };
        assert_eq!(shares(&request, &clusters), of(&[("a", 7), ("c", 3)]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// No two selected groups differ by more; and no more replicas could be placed without a greater difference.
        #[test]
        fn no_two_groups_differ_by_more_and_no_room_is_left(
            rooms in vec((0_i64..20, 0_i64..4, 0_usize..3), 1..7), replicas in 1_i64..50, max_skew in 1_i64..6, is_by_region in any::<bool>(),
            sort in 0_u8..3, partial in any::<bool>(),
        ) {
            let clusters: Vec<Candidate> = rooms.iter().enumerate().map(|(at, (there, grows, region))| {
                candidate(&format!("c{at}"), *region, Room { on_existing: Some(*there), after_scale_up: *grows, by_preemption: 0 })
            }).collect();
            let by = if is_by_region { SpreadBy::Region } else { SpreadBy::Cluster };
            let division = [Division::Dynamic, Division::Aggregated, Division::Static(Vec::new())][usize::from(sort)].clone();
            let request = Request { replicas, division, spread: bounded(by.clone(), max_skew), partial, live: Some(Live { max_lag: i64::MAX }), ..Request::default() };
            let outcome = place(&request, &clusters);
            let mut groups: BTreeMap<Name, (i64, i64)> = BTreeMap::new();
            for one in clusters.iter().filter(|one| outcome.selected.contains(&one.cluster.name)) {
                let share = outcome.shares.iter().find(|share| share.cluster == one.cluster.name).map_or(0, |share| share.replicas);
                prop_assert!(share <= one.free(replicas));
                let group = groups.entry(by.value(&one.cluster).expect("a group").clone()).or_default();
                *group = (group.0 + share, group.1 + one.free(replicas));
            }
            let smallest = groups.values().map(|(_, room)| *room).min().unwrap_or(0);
            let most: i64 = groups.values().map(|(_, room)| (*room).min(smallest + max_skew)).sum();
            let placed: i64 = groups.values().map(|(count, _)| count).sum();
            let expected = if most >= replicas { replicas } else if partial { most } else { 0 };
            prop_assert_eq!(placed, expected, "{:?}", outcome);
            prop_assert_eq!(outcome.reason.is_none(), most >= replicas);
            let counts = || groups.values().map(|(count, _)| *count);
            prop_assert!(counts().max().unwrap_or(0) - counts().min().unwrap_or(0) <= max_skew, "{:?}", outcome);
        }
    }
}
