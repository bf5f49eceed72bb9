//! How objects end, as the API server rules it. No I/O: a stored object, options and the time become the object's next state.
//!
//! - [`Options`] are those of a deletion, from a body or a query.
//! - [`end`] is a deletion: the object goes at once ([`End::Removed`]), or it stays and says that it is being deleted ([`End::Marked`]), until
//!   nobody waits for it any more.
//! - [`keep`] and [`ends`] are the part of an update: no client takes a mark off, and the update that takes the last finalizer off a marked
//!   object removes it.
//!
//! Source: `staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go` (`Delete`, `updateForGracefulDeletionAndFinalizers`,
//! `deletionFinalizersForGarbageCollection`, `markAsDeleting`, `ShouldDeleteDuringUpdate`), `registry/rest/delete.go` (`BeforeDelete`).

use jiff::{SignedDuration, Timestamp};
use serde_json::value::{RawValue, to_raw_value};

use crate::{decode::DecodeError, document::Document, kinds::StoredKind};
use podberth_core::snapshot::Kind;

mod meta;
mod options;
mod update;

pub use self::{
    meta::{Meta, Owner},
    options::{Options, Propagation},
    update::{ends, keep},
};

/// The finalizer of an object whose dependents are to lose it as their owner.
pub const ORPHAN: &str = "orphan";

/// The finalizer of an object that waits for its dependents to go.
pub const FOREGROUND: &str = "foregroundDeletion";

/// The finalizer, in its `spec`, of a namespace that waits for its content to go.
pub const KUBERNETES: &str = "kubernetes";

/// Namespaces that cannot be deleted (`plugin/namespace/lifecycle/admission.go`).
pub const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The effect of a deletion on an object.
#[derive(Clone, Debug)]
pub enum End {
    /// It goes at once; this is the object as a reply shows it.
    Removed(Document),
    /// It stays, as this, until its finalizers are gone and its grace period is over.
    Marked(Document),
    /// It is being deleted already, and this deletion asks for nothing more.
    Pending,
}

/// Deletes an object.
///
/// # Errors
/// If a field that the rules read has the wrong type.
pub fn end(kind: &StoredKind, stored: &Document, options: Options, now: Timestamp) -> Result<End, DecodeError> {
    let meta = Meta::of(stored)?;
    let mut next = stored.clone();
    if kind.is(Kind::Namespace) {
        if meta.deletion_timestamp.is_none() {
            next.set_metadata_text("deletionTimestamp", &rfc3339(now));
            next.set_text_in("status", "phase", "Terminating")?;
            if let Some(finalizers) = collection_finalizers(kind, &meta, options) {
                set_finalizers(&mut next, &finalizers)?;
            }
            return Ok(End::Marked(next));
        }
        if !namespace_finalizers(stored)?.is_empty() {
            return Ok(End::Pending);
        }
    }
    let graceful = if kind.is(Kind::Pod) { graceful(&mut next, &meta, options, now)? } else { Graceful::No };
    if matches!(graceful, Graceful::Pending) {
        return Ok(End::Pending);
    }
    let finalizers = match collection_finalizers(kind, &meta, options) {
        Some(finalizers) => {
            set_finalizers(&mut next, &finalizers)?;
            finalizers
        }
        None => meta.finalizers.clone(),
    };
    Ok(match graceful {
        Graceful::For(seconds) if seconds > 0 || !finalizers.is_empty() => End::Marked(next),
        Graceful::No if !finalizers.is_empty() => {
            mark(&mut next, &meta, now)?;
            End::Marked(next)
        }
        Graceful::No | Graceful::For(_) | Graceful::Pending => End::Removed(next),
    })
}

/// Finalizers in the `spec` of a namespace.
///
/// # Errors
/// If they are no list of texts.
pub fn namespace_finalizers(namespace: &Document) -> Result<Vec<String>, DecodeError> {
    match namespace.get_in("spec", "finalizers")? {
        Some(list) => meta::read(&list, "spec.finalizers"),
        None => Ok(Vec::new()),
    }
}

/// The object without some of its finalizers.
///
/// # Errors
/// If its finalizers are no list of texts.
pub fn without_finalizers(stored: &Document, taken: &[&str]) -> Result<Document, DecodeError> {
    let mut left = Meta::of(stored)?.finalizers;
    left.retain(|finalizer| !taken.contains(&finalizer.as_str()));
    let mut next = stored.clone();
    set_finalizers(&mut next, &left)?;
    Ok(next)
}

/// Grace of a deletion, for the kind that has some.
enum Graceful {
    /// The object has none: it is deleted at once.
    No,
    /// It is marked now, and has so many seconds left.
    For(i64),
    /// It was marked before, and is not to go any sooner.
    Pending,
}

/// Marks a pod, as kubelets and clients are to see it. A pod that runs nowhere has no grace.
///
/// Source: `rest/delete.go` (`BeforeDelete`), `pkg/registry/core/pod/strategy.go` (`CheckGracefulDelete`).
fn graceful(pod: &mut Document, meta: &Meta, options: Options, now: Timestamp) -> Result<Graceful, DecodeError> {
    let wanted = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    if let Some(until) = meta.deletion_timestamp {
        let Some(before) = meta.grace_seconds().filter(|seconds| *seconds != 0) else { return Ok(Graceful::No) };
        let Some(seconds) = wanted.filter(|seconds| *seconds < before) else { return Ok(Graceful::Pending) };
        set_grace(pod, after(until, seconds.saturating_sub(before)), seconds)?;
        return Ok(Graceful::For(seconds));
    }
    let number = |raw: Option<Box<RawValue>>| raw.and_then(|raw| raw.get().parse::<i64>().ok());
    let text = |raw: Option<Box<RawValue>>| raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let own = number(pod.get_in("spec", "terminationGracePeriodSeconds")?);
    let is_bound = text(pod.get_in("spec", "nodeName")?).is_some_and(|node| !node.is_empty());
    let is_over = text(pod.get_in("status", "phase")?).is_some_and(|phase| matches!(&*phase, "Succeeded" | "Failed"));
    let seconds = wanted.or(own).filter(|_| is_bound && !is_over).unwrap_or(0);
    let seconds = if seconds < 0 { 1 } else { seconds };
    set_grace(pod, after(now, seconds), seconds)?;
    raise_generation(pod, meta)?;
    Ok(Graceful::For(seconds))
}

/// Marks an object that waits for its finalizers.
fn mark(object: &mut Document, meta: &Meta, now: Timestamp) -> Result<(), DecodeError> {
    if meta.deletion_timestamp.is_none() {
        raise_generation(object, meta)?;
    }
    let at = meta.deletion_timestamp.filter(|at| *at <= now).unwrap_or(now);
    set_grace(object, at, 0)
}

fn set_grace(object: &mut Document, until: Timestamp, seconds: i64) -> Result<(), DecodeError> {
    object.set_metadata_text("deletionTimestamp", &rfc3339(until));
    object.set_metadata("deletionGracePeriodSeconds", raw(&seconds)?);
    Ok(())
}

fn raise_generation(object: &mut Document, meta: &Meta) -> Result<(), DecodeError> {
    if meta.generation > 0 {
        object.set_metadata("generation", raw(&meta.generation.saturating_add(1))?);
    }
    Ok(())
}

fn set_finalizers(object: &mut Document, finalizers: &[String]) -> Result<(), DecodeError> {
    if finalizers.is_empty() {
        object.remove_metadata("finalizers");
    } else {
        object.set_metadata("finalizers", raw(&finalizers)?);
    }
    Ok(())
}

/// The finalizers of an object that is deleted with these options; `None` if they stay as they are.
fn collection_finalizers(kind: &StoredKind, meta: &Meta, options: Options) -> Option<Vec<String>> {
    let has = |finalizer: &str| meta.finalizers.iter().any(|own| own == finalizer);
    // Nothing depends on events (`pkg/registry/core/event/strategy.go`).
    let propagation = if kind.kind == "Event" {
        Propagation::Background
    } else {
        options.propagation().unwrap_or_else(|| match () {
            () if has(ORPHAN) => Propagation::Orphan,
            () if has(FOREGROUND) => Propagation::Foreground,
            // As it was before there was a choice (`replicationcontroller/strategy.go`, `batch/job/strategy.go`).
            () if matches!(kind.kind, "ReplicationController" | "Job") => Propagation::Orphan,
            () => Propagation::Background,
        })
    };
    let mut wanted: Vec<String> =
        meta.finalizers.iter().filter(|own| *own != ORPHAN && *own != FOREGROUND).cloned().collect();
    match propagation {
        Propagation::Orphan => wanted.push(ORPHAN.into()),
        Propagation::Foreground => wanted.push(FOREGROUND.into()),
        Propagation::Background => {}
    }
    let is_same = wanted.len() == meta.finalizers.len() && wanted.iter().all(|finalizer| has(finalizer));
    (!is_same).then_some(wanted)
}

/// An instant some seconds later; the end of time if there is none.
fn after(instant: Timestamp, seconds: i64) -> Timestamp {
    instant.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// An instant, to the second, in RFC 3339.
fn rfc3339(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, DecodeError> {
    to_raw_value(value).map_err(|error| DecodeError { field: "metadata".into(), message: error.to_string() })
}

#[cfg(test)]
mod tests;
