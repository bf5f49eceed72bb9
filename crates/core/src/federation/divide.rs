//! Division of replicas among the selected clusters.
//!
//! Source: `karmada/pkg/scheduler/core/assignment.go`, `karmada/pkg/scheduler/core/division_algorithm.go`, `karmada/pkg/scheduler/core/common.go`
//! (`assignWorkloadReplicas`).

use super::{
    Division, Reason, Request, Spread,
    selected::{SOURCES, Selected},
    skew::{self, Group},
    webster::{Party, Ties, allocate},
};
use crate::model::Name;

/// Replicas of clusters, each cluster once.
pub(super) type Shares = Vec<(Name, i64)>;

/// Divides the replicas. The clusters are in their order; those that get nothing are left out.
///
/// # Errors
/// [`Reason::InsufficientReplicas`]
pub(super) fn divide(request: &Request, selected: &[Selected<'_>], overflows: bool) -> Result<Shares, Reason> {
    let mut shares = if request.replicas == 0 {
        return Ok(selected.iter().map(|of| (of.name().clone(), 0)).collect());
    } else if overflows {
        by_tiers(request, selected)?
    } else {
        among(request, selected, request.replicas)?
    };
    shares.retain(|(_, replicas)| *replicas > 0);
    Ok(shares)
}

/// Tier after tier, each as much as it holds.
fn by_tiers(request: &Request, selected: &[Selected<'_>]) -> Result<Shares, Reason> {
    let last = selected.iter().map(|of| of.tier).max().unwrap_or(0);
    let (mut rest, mut shares) = (request.replicas, Shares::new());
    for tier in 0..=last {
        let members: Vec<Selected<'_>> = selected.iter().filter(|of| of.tier == tier).cloned().collect();
        if members.is_empty() || rest == 0 {
            continue;
        }
        let holds: i64 = members.iter().map(Selected::holds).sum();
        let replicas = rest.min(holds);
        shares.extend(among(request, &members, replicas)?);
        rest -= replicas;
    }
    if rest > 0 && !request.partial {
        return Err(Reason::InsufficientReplicas);
    }
    Ok(shares)
}

/// Divides so many replicas among these clusters.
fn among(request: &Request, selected: &[Selected<'_>], replicas: i64) -> Result<Shares, Reason> {
    match request.by_skew() {
        Some((spread, max_skew)) => by_groups(request, selected, spread, max_skew, replicas),
        None => within(request, selected, replicas),
    }
}

/// Divides so many replicas among groups of these clusters, none of which gets more than `max_skew` more than another.
fn by_groups(
    request: &Request,
    selected: &[Selected<'_>],
    spread: &Spread,
    max_skew: i64,
    replicas: i64,
) -> Result<Shares, Reason> {
    let weights = match &request.division {
        Division::Static(rules) => by_weight(selected, rules),
        _ => vec![1; selected.len()],
    };
    let groups = Group::all(request, spread, selected.iter().zip(weights));
    let counts = skew::among(request, &groups, max_skew, replicas);
    if counts.iter().sum::<i64>() < replicas && !request.partial {
        return Err(Reason::InsufficientReplicas);
    }
    let mut shares = Shares::new();
    for (group, count) in groups.iter().zip(counts) {
        shares.extend(within(request, &group.clusters, count)?);
    }
    Ok(shares)
}

/// Divides so many replicas among these clusters, whatever groups they are in.
fn within(request: &Request, selected: &[Selected<'_>], replicas: i64) -> Result<Shares, Reason> {
    match &request.division {
        Division::Duplicated => Ok(selected.iter().map(|of| (of.name().clone(), replicas)).collect()),
        Division::Static(rules) => by_rules(request, selected, rules, replicas),
        Division::Aggregated | Division::Dynamic => by_room(request, selected, replicas),
    }
}

/// The weight of each cluster by rules; all alike where none has any.
fn by_weight(selected: &[Selected<'_>], rules: &[(super::Affinity, i64)]) -> Vec<i64> {
    let weight = |of: &Selected<'_>| {
        let matching = rules.iter().filter(|(affinity, _)| affinity.matches(of.cluster()));
        matching.map(|(_, weight)| *weight).max().unwrap_or(0)
    };
    let mut weights: Vec<i64> = selected.iter().map(weight).collect();
    if weights.iter().all(|weight| *weight <= 0) {
        weights.fill(1);
    }
    weights
}

/// By the weights of rules. Of live clusters none gets more than it holds.
fn by_rules(
    request: &Request,
    selected: &[Selected<'_>],
    rules: &[(super::Affinity, i64)],
    replicas: i64,
) -> Result<Shares, Reason> {
    let weights = by_weight(selected, rules);
    let party = |(of, weight): (&Selected<'_>, i64)| (of.name().clone(), weight, request.live.map(|_| of.holds()));
    let weighted: Vec<_> = selected.iter().zip(weights).map(party).collect();
    webster(request, &weighted, replicas)
}

/// By the room that clusters have: first that on nodes that are there, then the rest.
fn by_room(request: &Request, selected: &[Selected<'_>], replicas: i64) -> Result<Shares, Reason> {
    let stays = |name: &Name| selected.iter().any(|of| of.name() == name);
    let there: Shares = request.previous.iter().filter(|(name, _)| stays(name)).cloned().collect();
    let assigned: i64 = there.iter().map(|(_, replicas)| *replicas).sum();
    if !request.fresh && assigned > replicas {
        return shared(request, most_first(there), replicas);
    }
    if !request.fresh && assigned == replicas {
        return Ok(there);
    }
    let (mut shares, mut left) = if request.fresh { (Shares::new(), replicas) } else { (there, replicas - assigned) };
    for source in 0..SOURCES {
        let room = selected.iter().map(|of| {
            let kept = if request.fresh && source == 0 { of.previous } else { 0 };
            (of.name().clone(), of.rooms[source] + kept)
        });
        let mut room = most_first(room.collect());
        let part = left.min(room.iter().map(|(_, room)| room).sum());
        if part == 0 {
            continue;
        }
        if request.division == Division::Aggregated {
            // Clusters with replicas first; otherwise in their order.
            let has_some = |name: &Name| shares.iter().any(|(of, replicas)| of == name && *replicas > 0);
            room.sort_by_key(|(name, _)| !has_some(name));
        }
        let more = shared(request, room, part)?;
        shares = merged(shares, more);
        left -= part;
    }
    if left > 0 && !request.partial { Err(Reason::InsufficientReplicas) } else { Ok(shares) }
}

/// Most replicas first; equal ones stay in their order.
fn most_first(mut shares: Shares) -> Shares {
    shares.sort_by_key(|(_, replicas)| std::cmp::Reverse(*replicas));
    shares
}

fn merged(mut there: Shares, more: Shares) -> Shares {
    for (name, replicas) in more {
        match there.iter_mut().find(|(of, _)| *of == name) {
            Some((_, has)) => *has += replicas,
            None => there.push((name, replicas)),
        }
    }
    there
}

/// Shares out so many replicas by these weights, which are room as well.
fn shared(request: &Request, mut room: Shares, replicas: i64) -> Result<Shares, Reason> {
    if request.division == Division::Aggregated {
        let mut sum = 0;
        let full = room.iter().position(|(_, more)| {
            sum += more;
            sum >= replicas
        });
        room.truncate(full.map_or(room.len(), |last| last + 1));
    }
    let weighted: Vec<_> = room.into_iter().map(|(name, room)| (name, room, Some(room))).collect();
    webster(request, &weighted, replicas)
}

/// Shares out so many replicas to clusters by weight, none more than its bound.
fn webster(request: &Request, weighted: &[(Name, i64, Option<i64>)], replicas: i64) -> Result<Shares, Reason> {
    let parties: Vec<Party<'_>> =
        weighted.iter().map(|(name, weight, most)| Party { name, weight: *weight, most: *most }).collect();
    let seats = allocate(replicas, &parties, Ties::of(&request.uid));
    if seats.iter().sum::<i64>() < replicas && !request.partial {
        return Err(Reason::InsufficientReplicas);
    }
    Ok(weighted.iter().map(|(name, ..)| name.clone()).zip(seats).collect())
}
