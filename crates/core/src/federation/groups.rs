//! Selection by groups of clusters: a set of regions, or of values of a label, then the best clusters of these.
//!
//! Source: `karmada/pkg/scheduler/core/spreadconstraint/select_clusters_by_region.go`, `…/select_groups.go`, `…/group_clusters.go` (`calcGroupScore`).

use std::collections::BTreeMap;

use super::{
    Division, Reason, Request, Spread, SpreadBy,
    selected::{Selected, in_order},
};
use crate::{model::Name, work};

/// A replica that a group holds weighs more in its score than all that its clusters score.
const REPLICA: i64 = 1000;

/// The sets of groups that are looked at. Karmada looks at all of them, however many there are.
const MOST_SETS: usize = 1_000_000;

/// A group.
struct Group<'a> {
    name: Name,
    /// In order. Never empty.
    clusters: Vec<Selected<'a>>,
    score: i64,
}

/// Sizes of the sets: groups at least and at most, clusters at least.
#[derive(Clone, Copy)]
struct Bounds {
    min: usize,
    max: usize,
    clusters: usize,
}

/// The clusters that take part. `clusters` are in order.
pub(super) fn select<'a>(
    request: &Request,
    by_group: &Spread,
    by_cluster: Option<&Spread>,
    clusters: Vec<Selected<'a>>,
) -> Result<Vec<Selected<'a>>, Reason> {
    let is_by_region = by_group.by == SpreadBy::Region;
    let mut members: BTreeMap<Name, Vec<Selected<'a>>> = BTreeMap::new();
    for one in clusters {
        if let Some(group) = by_group.by.group(one.cluster()).cloned() {
            members.entry(group).or_default().push(one);
        }
    }
    // A skew is one among all groups that there may be.
    let min = match by_group.max_skew {
        Some(_) => members.len().min(by_group.max.unwrap_or(usize::MAX)).max(by_group.min),
        None => by_group.min,
    };
    if members.len() < min {
        return Err(if is_by_region { Reason::TooFewRegions } else { Reason::TooFewGroups });
    }
    let clusters_min = by_cluster.map_or(1, |spread| spread.min);
    let group = |(name, clusters): (Name, Vec<Selected<'a>>)| {
        let score = score(request, min, clusters_min.max(min), &clusters);
        Group { name, clusters, score }
    };
    let mut groups: Vec<Group<'a>> = members.into_iter().map(group).collect();
    let in_listing = |one: &Group<'_>| (one.clusters.len(), std::cmp::Reverse(one.score), one.name.clone());
    groups.sort_by_key(in_listing);
    let bounds = Bounds { min, max: by_group.max.unwrap_or(usize::MAX), clusters: clusters_min };
    let mut chosen =
        best(&groups, bounds).ok_or(if is_by_region { Reason::RegionsTooSmall } else { Reason::GroupsTooSmall })?;
    by_score(&groups, &mut chosen);
    let mut groups: Vec<Option<Group<'a>>> = groups.into_iter().map(Some).collect();
    let (mut selected, mut rest) = (Vec::new(), Vec::new());
    for group in chosen.into_iter().filter_map(|at| groups[at].take()) {
        let mut clusters = group.clusters.into_iter();
        selected.extend(clusters.next());
        rest.extend(clusters);
    }
    in_order(&mut rest);
    let most = by_cluster.and_then(|spread| spread.max).unwrap_or(usize::MAX);
    rest.truncate(most.saturating_sub(selected.len()));
    selected.append(&mut rest);
    Ok(selected)
}

/// The score of a group: the replicas that it holds, and then the scores of its clusters.
fn score(request: &Request, min: usize, clusters_min: usize, clusters: &[Selected<'_>]) -> i64 {
    work::spend(clusters.len() as u64);
    if request.division == Division::Duplicated {
        let (count, sum) = clusters
            .iter()
            .filter(|of| of.holds() >= request.replicas)
            .fold((0, 0), |(count, sum), of| (count + 1, sum + of.score()));
        return if count == 0 { 0 } else { count * REPLICA + sum / count };
    }
    let min = i64::try_from(min.max(1)).unwrap_or(i64::MAX);
    let target = request.replicas / min + i64::from(request.replicas % min > 0);
    let (mut holds, mut sum, mut count) = (0_i64, 0, 0);
    for of in clusters {
        holds += of.holds();
        sum += of.score();
        count += 1;
        if count >= clusters_min && holds >= target {
            break;
        }
    }
    let over = if holds < target { clusters.len() } else { count };
    holds.min(target).saturating_mul(REPLICA) + sum / i64::try_from(over).unwrap_or(1).max(1)
}

/// Sorts groups as their sets are compared: by score, then by name.
fn by_score(groups: &[Group<'_>], set: &mut [usize]) {
    set.sort_by(|one, other| {
        let (one, other) = (&groups[*one], &groups[*other]);
        other.score.cmp(&one.score).then_with(|| one.name.cmp(&other.name))
    });
}

/// The best set of groups: of the listed ones that with the highest score, then with more clusters, then the first. If a listed set is a
/// beginning of it, the smallest such set.
fn best(groups: &[Group<'_>], bounds: Bounds) -> Option<Vec<usize>> {
    let mut search = Search { groups, bounds, path: Vec::new(), best: None, left: MOST_SETS };
    search.walk();
    let Search { best, left, .. } = search;
    let Some((_, _, mut set)) = best else {
        return if left == 0 { largest(groups, bounds) } else { None };
    };
    by_score(groups, &mut set);
    (1..set.len())
        .map(|length| &set[..length])
        .find(|start| is_listed(groups, bounds, start))
        .map_or_else(|| Some(set.clone()), |start| Some(start.to_vec()))
}

/// A walk over the listed sets, depth first: a set that is enough is not grown.
struct Search<'a, 'r> {
    groups: &'a [Group<'r>],
    bounds: Bounds,
    path: Vec<usize>,
    best: Option<(i64, usize, Vec<usize>)>,
    left: usize,
}

impl Search<'_, '_> {
    fn walk(&mut self) {
        // Of each set on the path: its clusters, its score, and the group to add next. No recursion: a set may have thousands of groups.
        let mut sets = Vec::new();
        if self.grows(0, 0) {
            sets.push((0, 0, 0));
        }
        while let Some((clusters, score, next)) = sets.last_mut() {
            let Some(group) = self.groups.get(*next) else {
                sets.pop();
                self.path.pop();
                continue;
            };
            let (clusters, score) = (*clusters + group.clusters.len(), *score + group.score);
            self.path.push(*next);
            let begin = *next + 1;
            *next = if self.groups.len() == self.bounds.min { self.groups.len() } else { begin };
            if self.grows(clusters, score) {
                sets.push((clusters, score, begin));
            } else {
                self.path.pop();
            }
        }
    }

    /// Looks at the set on the path; `true` if it is to be grown.
    fn grows(&mut self, clusters: usize, score: i64) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        work::spend(1);
        let Bounds { min, max, clusters: least } = self.bounds;
        let is_enough = clusters >= least && (min..=max).contains(&self.path.len());
        if is_enough && self.best.as_ref().is_none_or(|(most, many, _)| (score, clusters) > (*most, *many)) {
            self.best = Some((score, clusters, self.path.clone()));
        }
        !is_enough && self.path.len() < max
    }
}

/// `true` if the walk lists this set: it is enough, and no beginning of it is, in the order of the walk.
fn is_listed(groups: &[Group<'_>], bounds: Bounds, set: &[usize]) -> bool {
    let mut walk = set.to_vec();
    walk.sort_unstable();
    let mut clusters = 0;
    let enough = |(index, at): (usize, &usize)| {
        clusters += groups[*at].clusters.len();
        clusters >= bounds.clusters && (bounds.min..=bounds.max).contains(&(index + 1))
    };
    let first = walk.iter().enumerate().map(enough).position(|enough| enough);
    let is_walked = groups.len() != bounds.min || set.len() == groups.len();
    first == Some(set.len() - 1) && is_walked
}

/// The groups with the most clusters, as few as are enough: where there are too many sets to look at.
fn largest(groups: &[Group<'_>], bounds: Bounds) -> Option<Vec<usize>> {
    let (mut set, mut clusters) = (Vec::new(), 0);
    for at in (0..groups.len()).rev().take(bounds.max) {
        set.push(at);
        clusters += groups[at].clusters.len();
        if clusters >= bounds.clusters && set.len() >= bounds.min {
            return Some(set);
        }
    }
    None
}
