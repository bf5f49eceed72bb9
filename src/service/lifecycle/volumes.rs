//! Volumes and the claims that they name: what the volume controller of Kubernetes would do about binds that others begin.
//!
//! - A volume without a claim becomes `Available`, so that schedulers use it. One whose claim is gone is `Released`, until its user takes the
//!   claim off.
//! - A volume that names a claim, as kube-scheduler leaves it (`PreBind` of its plugin VolumeBinding), is bound to it, and the claim to the
//!   volume; kube-scheduler waits for that.
//!
//! No I/O: [`Volumes::apply`] takes in a record of the feed, [`Volumes::due`] says what is to be written. Claims that wait for no pod, volumes to be
//! made, and the content of released ones are left to whoever provides storage. Imported volumes keep the phase that they have elsewhere.
//!
//! Source: `pkg/controller/volume/persistentvolume/pv_controller.go` (`syncVolume`, `syncUnboundClaim`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    core::claim_choice::BIND_COMPLETED,
    store::{Change, Key, Record, Write},
    wire::{
        decode::{self, DecodeError},
        volume_controller::{bound_claim, bound_volume, volume_in_phase},
    },
};

const VOLUMES: &str = "persistentvolumes";
const CLAIMS: &str = "persistentvolumeclaims";

/// Time for which a volume is left alone after a change before it becomes available.
const SETTLES: SignedDuration = SignedDuration::from_millis(1_500);

/// Namespace and name of a claim.
type ClaimName = (String, String);

/// The volumes and claims of a cluster.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    by_name: BTreeMap<String, Volume>,
    claims: BTreeMap<ClaimName, Claim>,
    /// The volumes that name a claim.
    naming: BTreeMap<ClaimName, BTreeSet<String>>,
    /// Volumes to examine.
    dirty: BTreeSet<String>,
    /// Volumes to examine later, and when.
    later: BTreeSet<(Timestamp, String)>,
}

#[derive(Debug)]
struct Volume {
    revision: u64,
    /// When it may become available: a new volume is left alone for a moment, so that whoever made it can go on.
    settled: Timestamp,
    is_ending: bool,
    /// A client made it here.
    is_own: bool,
    phase: String,
    claim: Option<Reference>,
}

#[derive(Debug)]
struct Claim {
    uid: String,
    revision: u64,
    is_ending: bool,
    /// It is bound to the volume that it names.
    is_bound: bool,
    volume: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl Reference {
    fn claim(&self) -> ClaimName {
        (self.namespace.clone().unwrap_or_default(), self.name.clone().unwrap_or_default())
    }

    fn uid(&self) -> &str {
        self.uid.as_deref().unwrap_or_default()
    }
}

/// Something to write, if the objects are still those of these revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VolumeTask {
    pub(super) volume: (Key, u64),
    pub(super) becomes: Becomes,
}

/// The state that a volume gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// That of this phase.
    Free(&'static str),
    /// Bound to this claim.
    Bound((Key, u64)),
}

impl VolumeTask {
    /// The objects that it is about.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let claim = if let Becomes::Bound((claim, _)) = &self.becomes { Some(claim.clone()) } else { None };
        std::iter::once(self.volume.0.clone()).chain(claim)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    deletion_timestamp: Option<String>,
    managed_fields: Option<Vec<IgnoredAny>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    claim_ref: Option<Reference>,
    volume_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Option<String>,
}

impl Volumes {
    /// Takes in a record. One that cannot be read stays as it is.
    pub(super) fn apply(&mut self, record: &Record, now: Timestamp) {
        let is_volume = match &*record.key.kind {
            VOLUMES => true,
            CLAIMS => false,
            _ => return,
        };
        if !record.deleted && record.body.is_empty() {
            self.moves_on(record, is_volume);
            return;
        }
        let body = if record.deleted { None } else { decode::from_slice::<Body>(&record.body).ok() };
        if is_volume {
            self.put_volume(record, body, now);
        } else {
            self.put_claim(record, body);
        }
    }

    /// A new revision with the same body.
    fn moves_on(&mut self, record: &Record, is_volume: bool) {
        let revision = if is_volume {
            self.by_name.get_mut(&record.key.name).map(|volume| &mut volume.revision)
        } else {
            self.claims.get_mut(&claim_of(&record.key)).map(|claim| &mut claim.revision)
        };
        if let Some(revision) = revision {
            *revision = record.revision;
        }
    }

    fn put_volume(&mut self, record: &Record, body: Option<Body>, now: Timestamp) {
        let name = record.key.name.clone();
        let before = self.by_name.remove(&name).and_then(|volume| volume.claim);
        if let Some(claim) = before.map(|reference| reference.claim())
            && let Some(names) = self.naming.get_mut(&claim)
        {
            names.remove(&name);
            if names.is_empty() {
                self.naming.remove(&claim);
            }
        }
        self.dirty.remove(&name);
        let Some(body) = body else { return };
        if let Some(reference) = &body.spec.claim_ref {
            self.naming.entry(reference.claim()).or_default().insert(name.clone());
        }
        let volume = Volume {
            revision: record.revision,
            settled: now.checked_add(SETTLES).unwrap_or(now),
            is_ending: body.metadata.deletion_timestamp.is_some(),
            is_own: body.metadata.managed_fields.is_some_and(|managers| !managers.is_empty()),
            phase: body.status.phase.unwrap_or_default(),
            claim: body.spec.claim_ref,
        };
        self.by_name.insert(name.clone(), volume);
        self.dirty.insert(name);
    }

    fn put_claim(&mut self, record: &Record, body: Option<Body>) {
        let name = claim_of(&record.key);
        match body {
            None => {
                self.claims.remove(&name);
            }
            Some(body) => {
                let annotations = body.metadata.annotations.unwrap_or_default();
                let claim = Claim {
                    uid: record.uid.clone(),
                    revision: record.revision,
                    is_ending: body.metadata.deletion_timestamp.is_some(),
                    is_bound: annotations.contains_key(BIND_COMPLETED) && body.status.phase.as_deref() == Some("Bound"),
                    volume: body.spec.volume_name.unwrap_or_default(),
                };
                self.claims.insert(name.clone(), claim);
            }
        }
        if let Some(volumes) = self.naming.get(&name) {
            self.dirty.extend(volumes.iter().cloned());
        }
    }

    /// `true` if something may have to be written.
    pub(super) fn has_work(&self, now: Timestamp) -> bool {
        !self.dirty.is_empty() || self.next().is_some_and(|next| next <= now)
    }

    /// When a volume is to be examined again.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Things to write, at most `most`. What is not done is said again, once the feed shows the object changed or [`Self::again`] is called.
    pub(super) fn due(&mut self, most: usize, now: Timestamp) -> Vec<VolumeTask> {
        while self.next().is_some_and(|next| next <= now)
            && let Some((_, name)) = self.later.pop_first()
        {
            self.dirty.insert(name);
        }
        let mut tasks = Vec::new();
        while tasks.len() < most
            && let Some(name) = self.dirty.pop_first()
        {
            let Some(task) = self.examine(&name) else { continue };
            match self.by_name.get(&name).map(|volume| volume.settled) {
                Some(settled) if matches!(task.becomes, Becomes::Free(_)) && settled > now => {
                    self.later.insert((settled, name));
                }
                _ => tasks.push(task),
            }
        }
        tasks
    }

    /// Has these volumes examined once more: the store failed.
    pub(super) fn again(&mut self, keys: impl IntoIterator<Item = Key>) {
        let names = keys.into_iter().map(|key| key.name).filter(|name| self.by_name.contains_key(name));
        self.dirty.extend(names.collect::<Vec<_>>());
    }

    fn examine(&self, name: &str) -> Option<VolumeTask> {
        let volume = self.by_name.get(name).filter(|volume| !volume.is_ending)?;
        let key = (Key::new(VOLUMES, "", name), volume.revision);
        let is_new = matches!(&*volume.phase, "" | "Pending");
        let free = |phase: &'static str| {
            let changes = is_new || (volume.is_own && volume.phase != phase);
            changes.then(|| VolumeTask { volume: key.clone(), becomes: Becomes::Free(phase) })
        };
        let Some(reference) = &volume.claim else { return free("Available") };
        let (namespace, claim_name) = reference.claim();
        let claim = self.claims.get(&(namespace.clone(), claim_name.clone()));
        let Some(claim) = claim.filter(|claim| reference.uid().is_empty() || reference.uid() == claim.uid) else {
            // Its user keeps it for a claim that does not exist yet, or its claim is gone.
            return match (reference.uid(), &*volume.phase) {
                ("", _) => free("Available"),
                (_, "Failed") => None,
                _ => free("Released"),
            };
        };
        if claim.is_ending || !(claim.volume.is_empty() || claim.volume == name) {
            return None;
        }
        let is_bound = volume.phase == "Bound" && !reference.uid().is_empty();
        if is_bound && claim.is_bound && claim.volume == name {
            return None;
        }
        let claim = (Key::new(CLAIMS, namespace, claim_name), claim.revision);
        Some(VolumeTask { volume: key, becomes: Becomes::Bound(claim) })
    }
}

fn claim_of(key: &Key) -> ClaimName {
    (key.namespace.clone(), key.name.clone())
}

impl VolumeTask {
    /// The writes, if the objects are as they were. An object that cannot be read stays as it is.
    pub(super) fn writes(&self, stored: &[Record]) -> Vec<Write> {
        let of = |(key, revision): &(Key, u64)| {
            stored.iter().find(|record| record.key == *key && record.revision == *revision)
        };
        let Some(volume) = of(&self.volume) else { return Vec::new() };
        let written = match &self.becomes {
            Becomes::Free(phase) => volume_in_phase(&volume.body, phase).map(|body| vec![put(volume, body)]),
            Becomes::Bound(claim) => match of(claim) {
                Some(claim) => bind(volume, claim),
                None => Ok(Vec::new()),
            },
        };
        written.unwrap_or_else(|error| {
            tracing::warn!(name = self.volume.0.name, %error, "the volume cannot be bound");
            Vec::new()
        })
    }
}

fn bind(volume: &Record, claim: &Record) -> Result<Vec<Write>, DecodeError> {
    let bound = [
        put(volume, bound_volume(&volume.body, &claim.uid)?),
        put(claim, bound_claim(&claim.body, &volume.key.name, &volume.body)?),
    ];
    Ok(bound.into())
}

fn put(record: &Record, body: String) -> Write {
    Write::of(record, Change::body(record, body))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("an instant")
    }

    fn record(key: Key, uid: &str, body: Option<&Value>) -> Record {
        Record {
            key,
            uid: uid.into(),
            revision: 1,
            create_revision: 1,
            node: None,
            deleted: body.is_none(),
            body_revision: 1,
            body: body.map(ToString::to_string).unwrap_or_default().into(),
        }
    }

    /// The phases that a volume of a client gets when its claim comes and goes; those of an imported one stay.
    #[test]
    fn a_volume_whose_claim_is_gone_is_released_and_one_without_a_claim_is_available() {
        let volume = |managers: &Value, claim: &Value, phase: &str| json!({"metadata": {"name": "pv", "managedFields": managers}, "spec": {"claimRef": claim}, "status": {"phase": phase}});
        let (own, imported) = (json!([{"manager": "kubectl"}]), Value::Null);
        let reference = json!({"namespace": "shop", "name": "data", "uid": "u"});
        let becomes = |body: &Value, claim_uid: Option<&str>| {
            let mut volumes = Volumes::default();
            volumes.apply(&record(Key::new(VOLUMES, "", "pv"), "v", Some(body)), at(0));
            if let Some(uid) = claim_uid {
                let body = json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
                volumes.apply(&record(Key::new(CLAIMS, "shop", "data"), uid, Some(&body)), at(0));
            }
            assert!(volumes.due(9, at(0)).is_empty(), "it is left alone for a moment");
            volumes.due(9, at(2)).pop().map(|task| task.becomes)
        };
        assert_eq!(becomes(&volume(&own, &reference, "Bound"), Some("u")), None);
        for claim in [None, Some("of another")] {
            assert_eq!(becomes(&volume(&own, &reference, "Bound"), claim), Some(Becomes::Free("Released")));
        }
        for phase in ["Bound", "Released", "Pending", ""] {
            assert_eq!(becomes(&volume(&own, &Value::Null, phase), None), Some(Becomes::Free("Available")), "{phase}");
        }
        assert_eq!(becomes(&volume(&own, &reference, "Failed"), None), None);
        assert_eq!(becomes(&volume(&imported, &reference, "Bound"), None), None);
        assert_eq!(becomes(&volume(&imported, &Value::Null, "Bound"), None), None);
        assert_eq!(becomes(&volume(&imported, &Value::Null, ""), None), Some(Becomes::Free("Available")));
    }
}
