//! The writes that carry out choices for claims, in the commit of the bind.
//!
//! The judge makes the choices again on the very state that they are written to, and accepts the bind only if they are equal. Volumes and claims are
//! written only if they are unchanged since they were read here. So no volume is bound to two claims, on any replicas.

use std::collections::HashMap;

use crate::{
    core::{snapshot::Kind, volume_choice::VolumeChoice},
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Change, Key, Precondition, Record, Write},
    wire::{
        decode::DecodeError,
        kinds,
        volume_choice::{bound_claim, bound_volume, claim_for_node},
    },
};

/// The stored volumes and claims that choices are about.
#[derive(Debug, Default)]
pub(super) struct Stored(HashMap<Key, Record>);

impl Stored {
    /// Reads those of all these choices at once; nothing is read where there are none.
    pub(super) async fn read<'c>(
        service: &Service,
        cluster: &str,
        choices: impl Iterator<Item = &'c VolumeChoice>,
    ) -> Result<Self> {
        let mut keys = Vec::new();
        for choice in choices {
            keys.push(claim_key(choice)?);
            keys.extend(volume_key(choice)?);
        }
        if keys.is_empty() {
            return Ok(Self::default());
        }
        keys.sort_unstable();
        keys.dedup();
        let records = service.store.find(cluster, &keys).await?;
        Ok(Self(records.into_iter().map(|record| (record.key.clone(), record)).collect()))
    }

    /// The writes by which a choice becomes so; `None` where the volume or the claim is gone or cannot be read.
    pub(super) fn writes(&self, choice: &VolumeChoice) -> Result<Option<Vec<Write>>> {
        let Some(claim) = self.0.get(&claim_key(choice)?) else { return Ok(None) };
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
    choice: &VolumeChoice,
    claim: &Record,
    volume: Option<&Record>,
) -> std::result::Result<Vec<Write>, DecodeError> {
    let put = |record: &Record, body: String| Write {
        key: record.key.clone(),
        precondition: Precondition::revision(record.revision),
        change: Change::Put { body: body.into(), uid: record.uid.clone(), node: None },
    };
    match (choice, volume) {
        (VolumeChoice::Bind { volume: chosen, claim: of }, Some(volume)) => Ok(vec![
            put(volume, bound_volume(&volume.body, chosen, of, claim.revision)?),
            put(claim, bound_claim(&claim.body, &chosen.name, &volume.body)?),
        ]),
        (VolumeChoice::Bind { .. }, None) => Ok(Vec::new()),
        (VolumeChoice::Make { node, .. }, _) => Ok(vec![put(claim, claim_for_node(&claim.body, node)?)]),
    }
}

fn claim_key(choice: &VolumeChoice) -> Result<Key> {
    let claim = choice.claim();
    Ok(Key::new(plural(Kind::PersistentVolumeClaim)?, &*claim.namespace, &*claim.name))
}

fn volume_key(choice: &VolumeChoice) -> Result<Option<Key>> {
    match choice {
        VolumeChoice::Bind { volume, .. } => Ok(Some(Key::new(plural(Kind::PersistentVolume)?, "", &*volume.name))),
        VolumeChoice::Make { .. } => Ok(None),
    }
}

fn plural(kind: Kind) -> Result<String> {
    let kind = kinds::by_core(kind).ok_or_else(|| Error::internal("volumes and claims are no stored kinds"))?;
    Ok(kind.key())
}
