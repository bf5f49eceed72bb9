//! Writes of objects that mirror those of a live cluster: they may change Podberth's own annotations and nothing else.
//!
//! The object is stored as the mirror wrote it, with the new annotations in it. Nothing is filled in or admitted: its API server did that.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    ATTEMPTS,
    commit::{as_read, commit},
    examine::{self, Accepted},
    mode::AdmissionMode,
    patched::{Part, Patched, Patching},
    revision,
    target::Target,
    with_node,
    write::{Intent, Options, Written, opened, whole},
};
use crate::{
    service::{
        Service,
        compute::read_on,
        error::{Error, Result},
        source::guard::refused,
    },
    store::Record,
    wire::{
        document::Document,
        patch::{Patch, PatchType},
        source::{ClusterSource, OWN_ANNOTATIONS},
    },
};

/// Carries out a write in a cluster that mirrors a live one.
///
/// # Errors
/// [`Error::ReadOnly`] if it would change anything but own annotations; else those of every write.
pub(super) async fn write(
    service: &Service,
    target: &Target,
    intent: Intent,
    options: &Options,
    source: &ClusterSource,
) -> Result<Written> {
    let read_only = || refused(&target.cluster, source);
    if !matches!(intent, Intent::Replace { part: Part::Main, .. } | Intent::Patch { part: Part::Main, .. }) {
        return Err(read_only());
    }
    for _ in 0..ATTEMPTS {
        let Some(stored) = service.store.get(&target.cluster, &target.key()).await? else {
            let is_new = !matches!(&intent, Intent::Patch { patch, .. } if *patch != PatchType::Apply);
            return Err(if is_new { read_only() } else { target.not_found() });
        };
        options.preconditions.check(target, &stored)?;
        let (next, warnings) = next(target, &intent, options, &stored).await?;
        let Some(accepted) = next else { return Err(read_only()) };
        let change = accepted.put();
        let Accepted { body, uid, .. } = accepted;
        let done = if options.dry_run {
            Ok(stored.revision)
        } else {
            commit(service, target, as_read(Some(&stored)), change, Vec::new()).await?
        };
        if let Ok(revision) = done {
            return Ok(Written {
                target: target.clone(),
                uid,
                body,
                revision: Some(revision),
                is_new: false,
                warnings,
            });
        }
    }
    Err(target.modified())
}

/// The stored object with the annotations of the write, and warnings for the client; `None` if the write would change something else.
async fn next(
    target: &Target,
    intent: &Intent,
    options: &Options,
    stored: &Record,
) -> Result<(Option<Accepted>, Vec<String>)> {
    let (wanted, warnings) = match intent.clone() {
        Intent::Patch { patch, body, part } => {
            let (target, manager, record) = (target.clone(), options.manager.clone(), stored.clone());
            let (force, fields) = (options.force, options.fields);
            let patched = read_on(body.len().max(stored.body.len()), move || -> Result<Patched> {
                let patching = Patching { patch: Patch::parse(patch, &body)?, part, force, fields };
                patching.patched(&target, &manager, Some(&record))
            });
            let Patched { document, warnings, .. } = patched.await??;
            (document, warnings)
        }
        Intent::Replace { body, .. } | Intent::Create(body) => replaced(target, body, options, stored).await?,
    };
    let (kind, record) = (target.kind, stored.clone());
    let merged = read_on(stored.body.len(), move || -> Result<_> {
        let before = Document::parse(with_node(&record)?.as_bytes()).map_err(Error::internal)?;
        if facts(&before)? != facts(&wanted)? {
            return Ok(None);
        }
        let before = Document::parse(&record.body).map_err(Error::internal)?;
        let mut next = before.clone();
        set_own(&mut next, &wanted)?;
        let mut accepted = match examine::check_update(kind, next, &before, &before, AdmissionMode::None) {
            Ok(accepted) => accepted,
            Err(refused) => return Ok(Some(Err(refused))),
        };
        accepted.node.clone_from(&record.node);
        accepted.uid.clone_from(&record.uid);
        Ok(Some(Ok(accepted)))
    });
    let merged = merged.await??;
    let merged = merged.transpose().map_err(|refused| refused.into_error(target))?;
    Ok((merged, warnings))
}

/// The object of a PUT, which keeps the identity of the stored one.
async fn replaced(target: &Target, body: Bytes, options: &Options, stored: &Record) -> Result<(Document, Vec<String>)> {
    let (sent, warnings) = opened(target, body, options.fields).await?;
    target.agrees_in_name(&sent.metadata_text("name").unwrap_or_default())?;
    let based_on = revision(&sent.metadata_text("resourceVersion").unwrap_or_default())?;
    if based_on.is_some_and(|revision| revision != stored.revision) {
        return Err(target.modified());
    }
    if let Some(uid) = sent.metadata_text("uid").filter(|uid| !uid.is_empty() && *uid != stored.uid) {
        return Err(target.other_uid(&uid, &stored.uid));
    }
    let before = Document::parse(&stored.body).map_err(Error::internal)?;
    let mut document = whole(&sent, &before);
    document.copy("status", &before);
    Ok((document, warnings))
}

/// The object but for Podberth's own annotations, its revision and the managers of its fields.
fn facts(document: &Document) -> Result<Value> {
    let mut value: Value = serde_json::from_str(&document.to_json()).map_err(Error::internal)?;
    for field in ["kind", "apiVersion"] {
        value.as_object_mut().and_then(|object| object.remove(field));
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let is_empty = annotations.is_none_or(|annotations| {
            annotations.retain(|key, _| !key.starts_with(OWN_ANNOTATIONS));
            annotations.is_empty()
        });
        if is_empty {
            metadata.remove("annotations");
        }
    }
    Ok(value)
}

/// Gives an object the own annotations of another one, and no others of its own.
fn set_own(next: &mut Document, wanted: &Document) -> Result<()> {
    let of = |document: &Document| -> Result<Map<String, Value>> {
        let raw =
            document.metadata("annotations").map(|raw| serde_json::from_str::<Option<Map<String, Value>>>(raw.get()));
        Ok(raw
            .transpose()
            .map_err(|error| Error::BadRequest(format!("metadata.annotations: {error}")))?
            .flatten()
            .unwrap_or_default())
    };
    let (is_own, stored) = (|key: &str| key.starts_with(OWN_ANNOTATIONS), of(next)?);
    let kept = stored.into_iter().filter(|(key, _)| !is_own(key));
    let own = of(wanted)?.into_iter().filter(|(key, _)| is_own(key));
    let all: BTreeMap<String, Value> = kept.chain(own).collect();
    if all.is_empty() {
        next.remove_metadata("annotations");
    } else {
        next.set_metadata("annotations", serde_json::value::to_raw_value(&all).map_err(Error::internal)?);
    }
    Ok(())
}
