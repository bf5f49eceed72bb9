//! Failover between clusters: the pods of placements that are to leave clusters that are not ready, and their moves.
//!
//! Nothing here runs by itself: a client lists the moves that are proposed, and has those carried out that are due. The rules are those of
//! [`failover`]. A move is carried out in three steps:
//!
//! 1. the turn is taken, by a write of the Cluster object for the revision that was read: processes that are asked at once make one move;
//! 2. room is reserved: a copy of the pod is created and bound in another cluster, by one commit that the whole filter judges;
//! 3. the pod is evicted, within its disruption budgets. If it stays, the copy is deleted again.
//!
//! The copy names its original by the label [`MOVED_FROM`]. So a process that dies between two steps leaves no second copy: the next call goes on with
//! the one that is there, or deletes it if the original's cluster is ready again.
//!
//! A cluster that mirrors a live one is written by that alone: moves out of it and into it are proposed, and left to whoever placed the pods. A cluster
//! without an object and without nodes takes no part.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    evict,
    taints::{
        EvictedPod, EvictingTaint, EvictionItem, EvictionList, EvictionOutcome, EvictionReport, EvictionResult, Meant,
        rfc3339,
    },
};
use crate::{
    clock,
    core::{
        access::{OWN, ResourceAttributes},
        cycle::Cycle,
        federation::{
            Cluster,
            failover::{self, Held, PLACEMENT, Proposal, Settings, Site},
        },
        model::{ConditionStatus, Effect, Name, Pod, first_untolerated},
        snapshot::{Kind, Snapshot},
    },
    live::{SYSTEM_CLUSTER, View},
    service::{
        Service,
        access::{Caller, sight::Sight},
        clusters,
        compute::compute_long,
        error::{Error, Result},
        objects::{Deletion, Preconditions, Target, delete},
        source::mirrored,
    },
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Record, Refusal, Write},
    wire::{
        kinds,
        objects::member_cluster::{MOVED_AT, Member, READY},
    },
};

/// The label of a copy; its value is the uid of the original.
pub const MOVED_FROM: &str = "podberth.io/moved-from";

/// The clusters at a moment.
struct Fleet {
    sites: Vec<Site>,
    /// Those that are ready, with what decides there.
    ready: Vec<Ready>,
    /// The clusters of copies, by [`copy_key`].
    copies: BTreeMap<(Name, Name, Name), (Name, Arc<Pod>)>,
    /// Those that mirror a live one.
    mirrors: BTreeSet<Name>,
}

/// The uid of the original, and the name that a copy has in common with it: one of another name is none, whatever its label says.
fn copy_key(original: &Name, pod: &Pod) -> (Name, Name, Name) {
    (original.clone(), pod.namespace.clone(), pod.name.clone())
}

/// A cluster that may take pods.
struct Ready {
    cluster: Arc<Cluster>,
    view: Arc<View>,
}

/// A move with its place.
struct Move {
    proposal: Proposal,
    /// The cluster and the node where there is room. One that is due has them.
    to: Option<(Name, Name)>,
}

/// A cluster as it was found.
struct Found {
    cluster: Arc<Cluster>,
    view: Arc<View>,
    /// Its object, if it has one.
    member: Option<Arc<Member>>,
}

/// The clusters at a moment, their moves that are meant, and how many more there are.
async fn moves(service: &Service, meant: Meant, now: i64) -> Result<(Fleet, Vec<Move>, usize)> {
    let members = service.clusters.fleet().await?.members();
    let mut all = Vec::new();
    for cluster in clusters::all(service).await? {
        let view = service.clusters.get(&cluster.name).await?.view();
        let member = members.get(&cluster.name).cloned();
        all.push(Found { cluster, view, member });
    }
    compute_long(true, move || {
        let fleet = Fleet::of(all);
        let (moves, remaining) = fleet.moves(&meant, now);
        (fleet, moves, remaining)
    })
    .await
}

impl Fleet {
    fn of(all: Vec<Found>) -> Self {
        let (mut sites, mut ready, mut copies, mut mirrors) =
            (Vec::new(), Vec::new(), BTreeMap::new(), BTreeSet::new());
        for Found { cluster, view, member } in all {
            if member.is_none() && view.snapshot.nodes().next().is_none() {
                continue;
            }
            let is_ready = |status: ConditionStatus| status == ConditionStatus::True;
            let down = cluster.condition(READY).filter(|condition| !is_ready(condition.status));
            // One that has ended, or is to, goes nowhere, and stands for nobody.
            let is_there = |pod: &Pod| pod.is_assigned() && !pod.terminal && !pod.terminating;
            let placed = |pod: &&Arc<Pod>| pod.labels.has(PLACEMENT) && is_there(pod);
            let pods: Vec<Arc<Pod>> = view.snapshot.pods().filter(placed).cloned().collect();
            for pod in &pods {
                if let Some(from) = pod.labels.get(MOVED_FROM) {
                    copies.insert(copy_key(from, pod), (cluster.name.clone(), pod.clone()));
                }
            }
            if view.source().is_some() {
                mirrors.insert(cluster.name.clone());
            }
            sites.push(Site {
                name: cluster.name.clone(),
                // One of which it is not known since when is never due.
                down_since: down.map(|condition| condition.since.unwrap_or(i64::MAX)),
                last_move: member.and_then(|member| member.moved_at),
                taints: cluster.taints.clone(),
                pods,
                budgets: view.snapshot.disruption_budgets().cloned().collect(),
            });
            if down.is_none() && cluster.deleted.is_none() {
                ready.push(Ready { cluster, view });
            }
        }
        // A copy whose original is there yet is half of a move, and none to move itself.
        let originals: BTreeSet<Name> = sites.iter().flat_map(|site| &site.pods).map(|pod| pod.uid.clone()).collect();
        let is_half = |pod: &Pod| pod.labels.get(MOVED_FROM).is_some_and(|from| originals.contains(from));
        for site in &mut sites {
            site.pods.retain(|pod| !is_half(pod));
        }
        // Mirrors last: nothing can be moved there from here.
        ready.sort_by_key(|ready: &Ready| mirrors.contains(&ready.cluster.name));
        Self { sites, ready, copies, mirrors }
    }

    /// The moves that are meant, each with its place, and how many more there are.
    fn moves(&self, meant: &Meant, now: i64) -> (Vec<Move>, usize) {
        let (mut taken, mut places) = (BTreeMap::new(), BTreeMap::new());
        let room = |proposal: &Proposal| {
            let Some(to) = self.place(proposal, &mut taken) else { return Some(Held::NoRoom) };
            let is_of_mirror = self.mirrors.contains(&proposal.from) || self.mirrors.contains(&to.0);
            places.insert(proposal.pod.uid.clone(), to);
            is_of_mirror.then_some(Held::Mirror)
        };
        let mut found = failover::proposals(&self.sites, &Settings::default(), now, room);
        let before = meant.before.map(clock::nanoseconds);
        found.retain(|of| {
            meant.node.as_ref().is_none_or(|node| *of.pod.node_name == **node)
                && meant.namespace.as_ref().is_none_or(|namespace| *of.pod.namespace == **namespace)
                && before.is_none_or(|before| of.at.is_some_and(|at| at <= before))
        });
        let remaining = found.len().saturating_sub(meant.limit);
        found.truncate(meant.limit);
        let moves = found.into_iter().map(|proposal| Move { to: places.remove(&proposal.pod.uid), proposal });
        (moves.collect(), remaining)
    }

    fn copy_of(&self, pod: &Pod) -> Option<&(Name, Arc<Pod>)> {
        self.copies.get(&copy_key(&pod.uid, pod))
    }

    fn is_ready(&self, cluster: &Name) -> bool {
        self.ready.iter().any(|ready| ready.cluster.name == *cluster)
    }

    /// The first cluster with room for a pod, beside the pods that were placed before; the one of its copy if there is one.
    fn place(&self, proposal: &Proposal, taken: &mut BTreeMap<Name, Snapshot>) -> Option<(Name, Name)> {
        if let Some((cluster, copy)) = self.copy_of(&proposal.pod) {
            // One in a cluster that went away as well is no place to go to.
            return self.is_ready(cluster).then(|| (cluster.clone(), copy.node_name.clone()));
        }
        let keeps_off = |effect: Effect| effect != Effect::PreferNoSchedule;
        self.ready.iter().find_map(|ready| {
            let name = &ready.cluster.name;
            let pod = &proposal.pod;
            if first_untolerated(&ready.cluster.taints, &pod.spec.tolerations, keeps_off).is_some() {
                return None;
            }
            let snapshot = taken.entry(name.clone()).or_insert_with(|| ready.view.snapshot.clone());
            if snapshot.pod(&pod.namespace, &pod.name).is_some() {
                return None;
            }
            let mut copy = Pod::clone(pod);
            (copy.node_name, copy.nominated_node_name) = (Name::default(), Name::default());
            let cycle = Cycle::prepare(ready.view.profile(), &copy, snapshot);
            let node = snapshot.nodes().find(|node| cycle.first_failure(node).is_none())?.name().clone();
            drop(cycle);
            copy.node_name = node.clone();
            *snapshot = snapshot.with_pod(copy);
            Some((name.clone(), node))
        })
    }

    /// Why nothing is moved, if that is so, in one line.
    fn message(&self, moves: &[Move]) -> Option<String> {
        let count =
            |held: fn(&Held) -> bool| moves.iter().filter(|of| of.proposal.held.as_ref().is_some_and(held)).count();
        if count(|held| *held == Held::AllDown) > 0 {
            let all = self.sites.len();
            return Some(format!("all {all} clusters are not ready: the fault is most likely here, and nothing moves"));
        }
        let (budgets, homeless) = (count(|held| matches!(held, Held::Budget(_))), count(|held| *held == Held::NoRoom));
        match moves.len() {
            0 => None,
            all if budgets == all => Some(format!("disruption budgets forbid all {all} moves")),
            _ => (homeless > 0).then(|| format!("no other cluster has room for {homeless} of the pods")),
        }
    }
}

/// Why a pod stays, in words.
fn reason(held: &Held) -> String {
    match held {
        Held::Budget(name) => format!("the disruption budget {name} allows no more disruptions"),
        Held::AllDown => "no cluster is ready".into(),
        Held::NoRoom => "no other cluster has room for it".into(),
        Held::Mirror => "a mirror is written by its live cluster alone: move the pod there".into(),
    }
}

/// Refuses callers who may not do this in all clusters.
async fn check(service: &Service, caller: &Caller, verb: &'static str) -> Result<()> {
    caller.check(service, SYSTEM_CLUSTER, ResourceAttributes::new(verb, OWN, "evictions")).await
}

/// The moves that are proposed, the soonest first.
///
/// # Errors
/// [`Error::Denied`], and those of the store.
pub async fn list(service: &Service, caller: &Caller, meant: Meant) -> Result<EvictionList> {
    check(service, caller, "list").await?;
    let now = clock::now_nanoseconds();
    let (fleet, moves, remaining) = moves(service, meant, now).await?;
    let message = fleet.message(&moves);
    let mut sights = Sights::new(service, caller);
    let mut items = Vec::new();
    for Move { proposal, to } in moves {
        let pod = sights.shown(&proposal.from, &proposal.pod).await?;
        let is_known = sights.know(&proposal.from, &proposal.pod);
        let held = proposal.held.as_ref().map(|held| match held {
            Held::Budget(_) if !is_known => "a disruption budget allows no more disruptions".to_owned(),
            held => reason(held),
        });
        items.push(EvictionItem {
            pod,
            node: proposal.pod.node_name.to_string(),
            at: proposal.at.filter(|at| *at != i64::MAX).map(rfc3339),
            due: proposal.is_due(now),
            taints: proposal.taints.iter().map(EvictingTaint::new).collect(),
            toleration_seconds: None,
            placement: is_known.then(|| proposal.placement().to_owned()),
            cluster: Some(proposal.from.to_string()),
            to: to.map(|(cluster, _)| cluster.to_string()),
            held,
        });
    }
    Ok(EvictionList { items, remaining, revision: 0, message })
}

/// Carries out the moves that are due: at most one out of each cluster, since moves are paced. `dry_run`: returns only the outcomes.
///
/// # Errors
/// As for [`list`].
pub async fn carry_out(service: &Service, caller: &Caller, meant: Meant, dry_run: bool) -> Result<EvictionReport> {
    check(service, caller, "create").await?;
    let now = clock::now_nanoseconds();
    let (fleet, moves, remaining) = moves(service, meant, now).await?;
    if !dry_run {
        release(service, &fleet).await?;
    }
    let mut sights = Sights::new(service, caller);
    let mut items = Vec::new();
    for of in moves.iter().filter(|of| of.proposal.is_due(now)) {
        let (outcome, why) = carry(service, &fleet, of, now, dry_run).await?;
        let pod = sights.shown(&of.proposal.from, &of.proposal.pod).await?;
        items.push(EvictionResult {
            pod,
            node: of.proposal.pod.node_name.to_string(),
            outcome,
            cluster: Some(of.proposal.from.to_string()),
            to: of.to.as_ref().map(|(cluster, _)| cluster.to_string()),
            why: why.filter(|_| sights.know(&of.proposal.from, &of.proposal.pod)),
        });
    }
    Ok(EvictionReport { items, remaining, revision: 0, message: fleet.message(&moves) })
}

/// Deletes the copies that are of no use: their original stays, since its cluster is ready again, or their own cluster went away as well.
async fn release(service: &Service, fleet: &Fleet) -> Result<()> {
    for site in &fleet.sites {
        for pod in &site.pods {
            let Some((cluster, copy)) = fleet.copy_of(pod) else { continue };
            let is_needed = site.down_since.is_some() && fleet.is_ready(cluster);
            if !is_needed && mirrored::of(service, cluster).await?.is_none() {
                delete_copy(service, cluster, copy).await?;
            }
        }
    }
    Ok(())
}

/// One move: its outcome, and why it is no other.
async fn carry(
    service: &Service,
    fleet: &Fleet,
    of: &Move,
    now: i64,
    dry_run: bool,
) -> Result<(EvictionOutcome, Option<String>)> {
    let (from, pod) = (&of.proposal.from, &of.proposal.pod);
    let Some((to, node)) = &of.to else { return Err(Error::internal("a move that is due has a place")) };
    if dry_run {
        return Ok((EvictionOutcome::Moved, None));
    }
    let known = fleet.sites.iter().find(|site| site.name == *from).and_then(|site| site.last_move);
    if !take_turn(service, from, known, now).await? {
        return Ok((
            EvictionOutcome::Contended,
            Some("another move out of the cluster was begun at the same time".into()),
        ));
    }
    let copy = match fleet.copy_of(pod) {
        Some((_, copy)) => copy.uid.to_string(),
        None => match reserve(service, from, pod, (to, node)).await? {
            Ok(uid) => uid,
            Err(why) => return Ok((EvictionOutcome::Stays, Some(why))),
        },
    };
    let target = target_of(from, pod)?;
    let preconditions = Preconditions { uid: Some(pod.uid.to_string()), ..Preconditions::default() };
    let evicted = evict(service, &target, &Deletion { preconditions, ..Deletion::default() }).await;
    match evicted {
        // It went by itself meanwhile: its copy stands for it.
        Ok(_) | Err(Error::NotFound(_)) => Ok((EvictionOutcome::Moved, None)),
        Err(
            error
            @ (Error::Disruption { .. } | Error::Conflict { .. } | Error::BadRequest(_) | Error::Forbidden { .. }),
        ) => {
            let copy = Pod { uid: copy.into(), ..Pod::clone(pod) };
            delete_copy(service, to, &copy).await?;
            Ok((EvictionOutcome::Stays, Some(error.for_log())))
        }
        // It is not known what came of it: the next call goes on with the copy.
        Err(error) => Err(error),
    }
}

/// Notes the time of a move in the Cluster object; `false` if the object has changed since it was read, or there is none.
async fn take_turn(service: &Service, cluster: &str, known: Option<i64>, now: i64) -> Result<bool> {
    let Some(record) = service.store.get(SYSTEM_CLUSTER, &mirrored::object_key(cluster)).await? else {
        return Ok(false);
    };
    let mut object: Value = serde_json::from_slice(&record.body).map_err(Error::internal)?;
    let before = Member::parse(&record.body).map_err(Error::internal)?.moved_at;
    if before != known {
        return Ok(false);
    }
    object["metadata"]["annotations"][MOVED_AT] = rfc3339(now).into();
    let change = Change::body(&record, object.to_string());
    let precondition = Precondition::revision(record.revision);
    let call =
        Call { writes: vec![Write { key: record.key, precondition, change }], atomicity: Atomicity::AllOrNothing };
    let outcomes = service.clusters.commit(SYSTEM_CLUSTER, call, None).await?.outcomes;
    Ok(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))))
}

/// Creates and binds the copy of a pod; the uid of the copy, or why there is no room.
async fn reserve(
    service: &Service,
    from: &str,
    pod: &Pod,
    (to, node): (&str, &str),
) -> Result<std::result::Result<String, String>> {
    let target = target_of(from, pod)?;
    let Some(record) = service.store.get(from, &target.key()).await?.filter(|record| *record.uid == *pod.uid) else {
        return Ok(Err("it is gone".into()));
    };
    let uid = uuid::Uuid::new_v4().to_string();
    let body = copied(&record, &uid)?;
    let key = Key::new(target.kind.key(), &*pod.namespace, &*pod.name);
    let put = Change::Put { body: body.into(), uid: uid.clone(), node: None };
    let bind = Change::Bind { node: node.to_owned() };
    let writes = vec![
        Write { key: key.clone(), precondition: Precondition::absent(), change: put },
        Write { key, precondition: Precondition::exists(), change: bind },
    ];
    let call = Call { writes, atomicity: Atomicity::AllOrNothing };
    let outcomes = service.clusters.commit(to, call, None).await?.outcomes;
    let refused = outcomes.into_iter().find_map(|outcome| match outcome {
        Outcome::Refused(refusal) if refusal != Refusal::NotAttempted => Some(refusal),
        _ => None,
    });
    Ok(match refused {
        None => Ok(uid),
        Some(Refusal::Rejected(why)) => Err(why),
        Some(_) => Err(format!("the cluster {to:?} has a pod of its name by now")),
    })
}

/// A pod as it begins in another cluster.
fn copied(record: &Record, uid: &str) -> Result<String> {
    let mut pod: Value = serde_json::from_slice(&record.body).map_err(Error::internal)?;
    let (metadata, labels) = (pod["metadata"].clone(), pod["metadata"]["labels"].clone());
    let mut kept = json!({"name": metadata["name"], "namespace": metadata["namespace"], "labels": labels});
    if metadata["annotations"].is_object() {
        kept["annotations"] = metadata["annotations"].clone();
    }
    kept["labels"][MOVED_FROM] = (*record.uid).into();
    (kept["uid"], kept["creationTimestamp"]) = (uid.into(), clock::now_rfc3339().into());
    // The metadata stands first.
    let mut copy = json!({"metadata": kept});
    let mut spec = pod["spec"].take();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("nodeName");
    }
    copy["spec"] = spec;
    Ok(copy.to_string())
}

async fn delete_copy(service: &Service, cluster: &str, copy: &Pod) -> Result<()> {
    let preconditions = Preconditions { uid: Some(copy.uid.to_string()), ..Preconditions::default() };
    let deletion = Deletion { preconditions, ..Deletion::default() };
    match delete(service, &target_of(cluster, copy)?, &deletion).await {
        Ok(_) | Err(Error::NotFound(_) | Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn target_of(cluster: &str, pod: &Pod) -> Result<Target> {
    let kind = kinds::by_core(Kind::Pod).ok_or_else(|| Error::internal("pods are not stored"))?;
    Ok(Target { cluster: cluster.into(), kind, namespace: Some(pod.namespace.to_string()), name: pod.name.to_string() })
}

/// The pods that a caller may know, by cluster.
struct Sights<'s> {
    service: &'s Service,
    caller: &'s Caller,
    of: BTreeMap<Name, Sight>,
}

impl<'s> Sights<'s> {
    fn new(service: &'s Service, caller: &'s Caller) -> Self {
        Self { service, caller, of: BTreeMap::new() }
    }

    /// A pod as the caller may know it.
    async fn shown(&mut self, cluster: &Name, pod: &Pod) -> Result<EvictedPod> {
        if !self.of.contains_key(cluster) {
            let sight = Sight::of(self.caller, self.service, &Arc::from(&**cluster)).await?;
            self.of.insert(cluster.clone(), sight);
        }
        let mut shown = EvictedPod::new(pod);
        if let Some(sight) = self.of.get_mut(cluster) {
            shown.mask(sight);
        }
        Ok(shown)
    }
    /// `true` if the caller may know a pod of a cluster that was shown.
    fn know(&mut self, cluster: &Name, pod: &Pod) -> bool {
        self.of.get_mut(cluster).is_some_and(|sight| sight.knows(&pod.namespace))
    }
}
