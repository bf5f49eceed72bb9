//! A published view: a snapshot and the policies to decide with, of one revision.

use std::sync::{Arc, LazyLock};

use imbl::OrdMap;

use super::{
    access,
    fleet::{self, Members, Place},
    parsed,
    reserved::Reserved,
};
use crate::{
    core::{
        claim_choice::ClaimChoice,
        cycle::Cycle,
        model::{Name, Pod},
        policy::{Policy, Profile, Profiles},
        rule::Release,
        snapshot::{Kind, Object, Snapshot},
    },
    store::{Bodies, Body, Record},
    wire::{
        kinds::{self, StoredKind},
        objects::member_cluster,
        policy::{
            Document,
            revision::{self, Revision},
        },
        reservation,
        source::{self, ClusterSource},
    },
};

/// The policy of a cluster that has none: kube-scheduler 1.22's default predicates and priorities.
pub static BUILT_IN: LazyLock<Arc<Profile>> =
    LazyLock::new(|| Arc::new(Policy::default().compile().unwrap_or_else(|_| Profile::empty(Release::V1_22))));

/// The kinds whose bodies a view reads.
pub(super) static BODIES: LazyLock<Bodies> = LazyLock::new(|| {
    let own = [revision::IN_FORCE, reservation::KIND, source::KIND, member_cluster::KIND].map(str::to_owned);
    let mut kinds: Vec<String> = kinds::ALL.iter().filter(|kind| kind.core().is_some()).map(StoredKind::key).collect();
    kinds.extend(own);
    kinds.extend(access::kinds().map(str::to_owned));
    kinds.sort_unstable();
    kinds.dedup();
    Bodies::Of(kinds.into_iter().map(|kind| &*kind.leak()).collect::<Vec<_>>().leak())
});

/// One cluster at one revision. Cloning it costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The cluster, reserved nodes counted as taken.
    pub snapshot: Snapshot,
    policies: OrdMap<Name, Arc<ActivePolicy>>,
    reserved: Reserved,
    /// Roles, bindings and tokens.
    pub access: access::Stored,
    /// The live cluster that this one mirrors, as earlier releases have stored it.
    earlier_source: Option<Arc<ClusterSource>>,
    /// The Cluster objects: of the system cluster alone.
    members: Members,
    place: Place,
}

/// A policy in force, compiled.
#[derive(Debug)]
pub struct ActivePolicy {
    /// The text and its number.
    pub revision: Revision,
    /// The parsed text.
    pub document: Document,
    /// The compiled profile for pods that ask for no particular one.
    pub profile: Arc<Profile>,
    /// All that it compiles to.
    pub profiles: Profiles,
}

impl View {
    /// The live cluster that the cluster mirrors now. Its Cluster object tells; where there is none, what an earlier release has stored.
    pub fn source(&self) -> Option<Arc<ClusterSource>> {
        match self.place.member() {
            Some(member) => member.source.clone(),
            None => self.earlier_source.clone(),
        }
    }

    /// The Cluster objects, if it is a view of the system cluster.
    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// This view, as one of the cluster at this place.
    pub(super) fn at(&self, place: &Place) -> Self {
        Self { place: place.clone(), ..self.clone() }
    }

    /// This view, as one of a cluster that mirrors nothing.
    pub(super) fn without_source(&self) -> Self {
        Self { place: Place::default(), earlier_source: None, ..self.clone() }
    }

    /// The reservations.
    #[cfg(test)]
    pub(super) fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    /// A policy in force by name.
    pub fn policy(&self, name: &str) -> Option<&Arc<ActivePolicy>> {
        self.policies.get(name)
    }

    /// All policies in force, by name.
    pub fn policies(&self) -> impl Iterator<Item = (&Name, &Arc<ActivePolicy>)> {
        self.policies.iter()
    }

    /// The profile of the default policy in force, or the built-in one.
    pub fn profile(&self) -> &Arc<Profile> {
        self.policy(revision::DEFAULT).map_or(&BUILT_IN, |policy| &policy.profile)
    }

    /// The default profile for judging a pod: that of its scheduler in the default policy, or the first.
    pub fn profile_of(&self, namespace: &str, name: &str) -> &Arc<Profile> {
        let several = self.policy(revision::DEFAULT).filter(|policy| policy.profiles.are_several());
        let pod = several.and_then(|policy| Some((policy, self.snapshot.pod(namespace, name)?)));
        let own = pod.and_then(|(policy, pod)| policy.profiles.of(&pod.spec.scheduler_name).ok());
        own.unwrap_or_else(|| self.profile())
    }

    /// All pods in order of namespace and name, reservations left out of the account.
    pub fn stored_pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.reserved.all_unreserved(&self.snapshot)
    }

    /// The node that a pod is on, reservations left out of the account.
    pub fn bound_to(&self, namespace: &str, name: &str) -> Option<&str> {
        let pod = self.reserved.unreserved(&self.snapshot, namespace, name)?;
        pod.is_assigned().then_some(&*pod.node_name)
    }

    /// A pod's uid and the node that it is on, reservations left out of the account.
    pub(super) fn stored_pod(&self, namespace: &str, name: &str) -> Option<(String, Option<String>)> {
        let pod = self.reserved.unreserved(&self.snapshot, namespace, name)?;
        Some((pod.uid.to_string(), pod.is_assigned().then(|| pod.node_name.to_string())))
    }

    /// `Ok` if a pod may be bound to a node now: all predicates of the profile accept it. The pod itself is not counted, if the node is
    /// reserved for it.
    ///
    /// # Errors
    /// The reason in one line.
    pub fn may_bind(&self, namespace: &str, name: &str, node: &str, profile: &Profile) -> Result<(), String> {
        self.judge(namespace, name, node, profile, None)
    }

    /// `Ok` if a pod may be bound to a node now, as for [`Self::may_bind`], and the profile would now make these choices for its claims.
    ///
    /// # Errors
    /// The reason in one line.
    pub fn may_bind_with(
        &self,
        namespace: &str,
        name: &str,
        node: &str,
        profile: &Profile,
        volumes: &[ClaimChoice],
    ) -> Result<(), String> {
        self.judge(namespace, name, node, profile, Some(volumes))
    }

    fn judge(
        &self,
        namespace: &str,
        name: &str,
        node: &str,
        profile: &Profile,
        volumes: Option<&[ClaimChoice]>,
    ) -> Result<(), String> {
        let Some(pod) = self.reserved.unreserved(&self.snapshot, namespace, name) else {
            return Err(format!("pod {name} cannot be read"));
        };
        if pod.is_assigned() {
            return Err(format!("pod {name} is already assigned to node {:?}", &*pod.node_name));
        }
        if pod.terminating {
            return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if pod.terminal {
            return Err(format!("pod {name} has run to its end, cannot be assigned to a host"));
        }
        if let Some(gate) = pod.spec.scheduling_gates.first() {
            return Err(format!("pod {name} has the scheduling gate {gate}, cannot be assigned to a host"));
        }
        if let Some(excess) = &pod.excess {
            return Err(format!("pod {name} asks for too much to be decided on: {excess}"));
        }
        let snapshot = self.snapshot.asked_about(pod);
        let Some(target) = snapshot.node(node) else { return Err(format!("node {node} is not known")) };
        if let Some(failure) = Cycle::prepare(profile, pod, &snapshot).first_failure(target) {
            return Err(format!("pod {name} does not fit on node {node}: {}", failure.verdict.reasons().join(", ")));
        }
        if volumes.is_some_and(|volumes| profile.claim_choices(pod, &self.snapshot, node) != volumes) {
            return Err(format!(
                "the volumes and devices chosen for pod {name} on node {node} are not the ones that it would get now: try again"
            ));
        }
        Ok(())
    }

    /// The choices for the claims of a pod, should it be bound to a node, on which it fits; none for those that are settled.
    pub fn choices(&self, namespace: &str, name: &str, node: &str, profile: &Profile) -> Vec<ClaimChoice> {
        let Some(pod) = self.reserved.unreserved(&self.snapshot, namespace, name) else { return Vec::new() };
        profile.claim_choices(pod, &self.snapshot, node)
    }

    /// Takes in a page of the change feed.
    pub(super) fn apply_all(&mut self, page: Page) {
        for (record, object) in page.records {
            self.apply_parsed(&record, object, page.complete);
        }
    }

    /// Takes in one record of the change feed; `complete` is the last revision of which this was the exact state.
    pub(super) fn apply(&mut self, record: &Record, complete: u64) {
        self.apply_parsed(record, parse(record, complete), complete);
    }

    fn apply_parsed(&mut self, record: &Record, object: Option<Object>, complete: u64) {
        if &*record.key.kind == revision::IN_FORCE {
            let name = Name::from(&*record.key.name);
            if record.body_is_known(complete) {
                return;
            }
            match compile(record) {
                Some(policy) => drop(self.policies.insert(name, Arc::new(policy))),
                None => drop(self.policies.remove(&name)),
            }
            return;
        }
        if &*record.key.kind == reservation::KIND {
            self.reserved.apply(record, complete, &mut self.snapshot);
            return;
        }
        if &*record.key.kind == source::KIND {
            if !record.body_is_known(complete) {
                self.earlier_source = read_source(record);
            }
            return;
        }
        if &*record.key.kind == member_cluster::KIND {
            if !record.body_is_known(complete) {
                let name = Name::from(&*record.key.name);
                match fleet::read(record) {
                    Some(member) => drop(self.members.insert(name, member)),
                    None => drop(self.members.remove(&name)),
                }
            }
            return;
        }
        if access::is_read(&record.key.kind) {
            self.access.apply(record, complete);
            return;
        }
        let Some(core) = kinds::by_key(&record.key.kind).and_then(StoredKind::core) else {
            return; // A kind that decisions do not read.
        };
        if record.body_is_known(complete) {
            self.rebind(record);
            return;
        }
        match object {
            Some(Object::Pod(pod)) => self.reserved.apply_pod(*pod, &mut self.snapshot),
            Some(object) => self.snapshot.apply(object),
            None => {
                let (namespace, name) = (Name::from(&*record.key.namespace), Name::from(&*record.key.name));
                self.snapshot.delete(core, &namespace, &name);
                if core == Kind::Pod {
                    self.reserved.forget_pod(&namespace, &name);
                }
            }
        }
    }
}

/// Changes that leave the body as it was.
impl View {
    /// Moves a pod to the node of the record, since a bind writes the column and not the body.
    fn rebind(&mut self, record: &Record) {
        if kinds::by_key(&record.key.kind).is_none_or(|kind| !kind.is(Kind::Pod)) {
            return;
        }
        if let Some(pod) = self.reserved.unreserved(&self.snapshot, &record.key.namespace, &record.key.name) {
            let pod = Pod { node_name: record.node.as_deref().unwrap_or_default().into(), ..(**pod).clone() };
            self.reserved.apply_pod(pod, &mut self.snapshot);
        }
    }
}

/// The compiled policy of a record; `None` for a tombstone. Only policies that compile were stored.
fn compile(record: &Record) -> Option<ActivePolicy> {
    if record.deleted {
        return None;
    }
    let revision: Result<Revision, String> = serde_json::from_slice(&record.body).map_err(|e| e.to_string());
    let compiled = revision.and_then(|revision| match revision.compile() {
        Ok((document, profiles)) => {
            Ok(ActivePolicy { revision, document, profile: profiles.first().clone(), profiles })
        }
        Err(faults) => Err(faults.to_string()),
    });
    compiled
        .inspect_err(|error| tracing::error!(policy = record.key.name, error, "a stored policy cannot be read"))
        .ok()
}

/// The source in a record; `None` for a tombstone.
fn read_source(record: &Record) -> Option<Arc<ClusterSource>> {
    if record.deleted {
        return None;
    }
    let source = ClusterSource::parse(&record.body);
    let source = source.inspect_err(|error| tracing::error!(%error, "a stored source of a cluster cannot be read"));
    source.ok().map(Arc::new)
}

/// A page of the change feed with its objects parsed. Parsing needs no view, so one page is parsed while the one before is applied.
#[derive(Debug)]
pub(super) struct Page {
    records: Vec<(Record, Option<Object>)>,
    /// The last revision of which the view that is to take it in was the exact state.
    complete: u64,
}

impl Page {
    pub(super) fn parse(records: Vec<Record>, complete: u64) -> Self {
        let parsed = records.into_iter().map(|mut record| {
            let object = parse(&record, complete);
            if object.is_some() || is_unread(&record) {
                record.body = Body::default(); // Nobody reads it again.
            }
            (record, object)
        });
        Self { records: parsed.collect(), complete }
    }

    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}

/// `true` if no decision reads objects of the record's kind.
fn is_unread(record: &Record) -> bool {
    let is_unread = |kind: &StoredKind| kind.is_shared() && !kind.is_of_all() && kind.core().is_none();
    kinds::by_key(&record.key.kind).is_some_and(is_unread) && !access::is_read(&record.key.kind)
}

/// The object of a record, if the snapshot has objects of its kind; see [`View::apply`].
fn parse(record: &Record, complete: u64) -> Option<Object> {
    let kind = kinds::by_key(&record.key.kind).filter(|kind| kind.core().is_some())?;
    let is_told = !record.deleted && !record.body_is_known(complete);
    is_told.then(|| read(kind, record)).flatten()
}

/// The object in a record.
///
/// Validation let it in, so it can be read again. If a body cannot (it was written by another release, or by hand), the log says so
/// and the object counts as deleted, since a half-read one would lead to wrong decisions.
fn read(kind: &StoredKind, record: &Record) -> Option<Object> {
    let parse = || kind.parse(&record.body).map_err(|e| e.to_string());
    let object = match parsed::take(kind, &record.body) {
        Some(object) => Ok(object),
        None => parse().and_then(|c| c.lenient().map_err(|causes| format!("{causes:?}"))),
    };
    match object {
        Ok(Object::Pod(mut pod)) => {
            // A bind writes the column, not the body.
            pod.node_name = record.node.as_deref().unwrap_or_default().into();
            Some(Object::Pod(pod))
        }
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key = ?record.key, revision = record.revision, error, "a stored object cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_of_the_kinds_that_views_read() {
        for kind in kinds::shared() {
            let is_read = kind.core().is_some() || kind.is_of_all() || access::is_read(&kind.key());
            assert_eq!(BODIES.has(&kind.key()), is_read, "{}", kind.key());
        }
        assert!(BODIES.has(revision::IN_FORCE) && BODIES.has(reservation::KIND) && BODIES.has(source::KIND));
        assert!(!BODIES.has(revision::HISTORY), "no decision reads the revisions of the past");
    }
}
