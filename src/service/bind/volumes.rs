//! The writes that carry out choices of volumes and devices for claims, in the commit of the bind.
//!
//! The judge makes the choices again on the very state that they are written to, and accepts the bind only if they are equal. Volumes and claims are
//! written only if they are unchanged since they were read here. So no volume is bound to two claims, and no device given to two, on any
//! replicas.

use std::collections::HashMap;

use crate::{
    core::{claim_choice::ClaimChoice, snapshot::Kind},
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Change, Key, Precondition, Record, Write},
    wire::{
        allocation::{ReservedFor, allocated_claim, classes_of},
        decode::DecodeError,
        kinds,
        volume_choice::{bound_claim, bound_volume, claim_for_node},
    },
};

/// The stored volumes, claims and classes of devices that choices are about.
#[derive(Debug, Default)]
pub(super) struct Stored(HashMap<Key, Record>);

impl Stored {
    /// Reads those of all these choices at once; nothing is read where there are none.
    pub(super) async fn read<'c>(
        service: &Service,
        cluster: &str,
        choices: impl Iterator<Item = &'c ClaimChoice>,
    ) -> Result<Self> {
        let mut keys = Vec::new();
        for choice in choices {
            keys.push(claim_key(choice)?);
            keys.extend(volume_key(choice)?);
            keys.extend(class_keys(choice)?);
        }
        if keys.is_empty() {
            return Ok(Self::default());
        }
        keys.sort_unstable();
        keys.dedup();
        let records = service.store.find(cluster, &keys).await?;
        Ok(Self(records.into_iter().map(|record| (record.key.clone(), record)).collect()))
    }

    /// The writes by which a choice becomes so, behind others of its call; `None` where the volume or the claim is gone or cannot be read.
    pub(super) fn writes(&self, choice: &ClaimChoice, before: &[Write]) -> Result<Option<Vec<Write>>> {
        let Some(claim) = self.0.get(&claim_key(choice)?) else { return Ok(None) };
        if let ClaimChoice::Devices { allocation, pod, pod_uid, .. } = choice {
            let mut classes = Vec::new();
            if let Some(allocation) = allocation {
                let Ok(names) = classes_of(&claim.body, allocation) else { return Ok(None) };
                for name in names {
                    let class = self.0.get(&Key::new(plural(Kind::DeviceClass)?, "", &*name));
                    let Some(class) = class else { return Ok(None) };
                    classes.push(&*class.body);
                }
            }
            // The pods of a gang may share a claim.
            let shared = before.iter().rev().find_map(|write| match &write.change {
                Change::Put { body, .. } if write.key == claim.key => Some(body),
                _ => None,
            });
            let body = shared.unwrap_or(&claim.body);
            let after = allocated_claim(body, allocation.as_ref(), &classes, ReservedFor { name: pod, uid: pod_uid });
            let Ok(after) = after else { return Ok(None) };
            let precondition = match shared {
                None => Precondition::revision(claim.revision),
                Some(_) => Precondition { uid: Some(claim.uid.clone()), ..Precondition::default() },
            };
            let change = Change::body(claim, after);
            return Ok(Some(vec![Write { key: claim.key.clone(), precondition, change }]));
        }
        let volume = match volume_key(choice)? {
            Some(key) => match self.0.get(&key) {
                Some(volume) => Some(volume),
                None => return Ok(None),
            },
            None => None,
        };
        // What cannot be read is not there for decisions either.
        Ok(written(choice, claim, volume).ok())
    }
}

fn written(
    choice: &ClaimChoice,
    claim: &Record,
    volume: Option<&Record>,
) -> std::result::Result<Vec<Write>, DecodeError> {
    let put = |record: &Record, body: String| Write {
        key: record.key.clone(),
        precondition: Precondition::revision(record.revision),
        change: Change::body(record, body),
    };
    match (choice, volume) {
        (ClaimChoice::Bind { volume: chosen, claim: of }, Some(volume)) => Ok(vec![
            put(volume, bound_volume(&volume.body, chosen, of, claim.revision)?),
            put(claim, bound_claim(&claim.body, &chosen.name, &volume.body)?),
        ]),
        (ClaimChoice::Make { node, .. }, _) => Ok(vec![put(claim, claim_for_node(&claim.body, node)?)]),
        (ClaimChoice::Bind { .. } | ClaimChoice::Devices { .. }, _) => Ok(Vec::new()),
    }
}

fn claim_key(choice: &ClaimChoice) -> Result<Key> {
    let (kind, namespace, name) = choice.claim();
    Ok(Key::new(plural(kind)?, &**namespace, &**name))
}

fn volume_key(choice: &ClaimChoice) -> Result<Option<Key>> {
    match choice {
        ClaimChoice::Bind { volume, .. } => Ok(Some(Key::new(plural(Kind::PersistentVolume)?, "", &*volume.name))),
        ClaimChoice::Make { .. } | ClaimChoice::Devices { .. } => Ok(None),
    }
}

/// The classes whose configurations go into the claim with the devices.
fn class_keys(choice: &ClaimChoice) -> Result<Vec<Key>> {
    let ClaimChoice::Devices { claim, allocation: Some(_), .. } = choice else { return Ok(Vec::new()) };
    let classes = plural(Kind::DeviceClass)?;
    let requests = claim.requests.iter().flat_map(|request| request.wants.alternatives());
    Ok(requests.map(|request| Key::new(classes.clone(), "", &*request.class)).collect())
}

fn plural(kind: Kind) -> Result<String> {
    let kind = kinds::by_core(kind).ok_or_else(|| Error::internal("volumes and claims are no stored kinds"))?;
    Ok(kind.key())
}
