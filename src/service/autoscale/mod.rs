//! Autoscaling: what `/autoscale/…` answers, and the loops that act on it.

use std::sync::LazyLock;

use super::{
    access::sight::Sight,
    context::Chosen,
    decide::brought_cluster,
    error::{Error, Result},
};
use crate::{
    core::{
        advise::groups::Groups,
        model::Pod,
        policy::{Configuration, Profiles},
        snapshot::Snapshot,
    },
    live::View,
    wire::{
        cluster::Brought,
        fault::{Cause, Faults, Path},
    },
};

mod advised;
pub mod hpa;
pub mod machine;
pub mod metrics;
pub mod nodes;
#[cfg(feature = "externalgrpc")]
pub mod provider;
pub mod reschedule;
pub mod scale_down;
pub mod scale_up;
pub mod status;
pub mod vpa;
pub mod webhook;

/// The error of a request of this kind with faults: [`Error::Invalid`], which has each by its field. Bodies that cannot be read are another one
/// ([`Error::BadRequest`]).
fn refused(kind: &'static str) -> impl Fn(Vec<Cause>) -> Error {
    move |causes| Error::invalid(kind, "", causes)
}

/// The error of a request with one fault.
fn fault(kind: &'static str, field: &str, tell: impl FnOnce(&mut Faults, &Path<'_>)) -> Error {
    let mut faults = Faults::default();
    tell(&mut faults, &Path::ROOT.child(field));
    refused(kind)(faults.into_causes())
}

/// The cluster that a request is about: the one that it brings, of which its sender may see everything, or the stored one.
fn asked_about(brought: Option<&Brought>, view: &View, is_there: Result<()>, sight: &mut Sight) -> Result<Snapshot> {
    if let Some(cluster) = brought {
        *sight = Sight::default();
        return brought_cluster(cluster);
    }
    is_there?;
    Ok(view.snapshot.clone())
}

/// The groups of a cluster that are stored, for a request of this kind that brings none.
fn stored_groups(snapshot: &Snapshot, kind: &'static str) -> Result<Groups> {
    let (groups, wrong) = Groups::stored(snapshot);
    match wrong.first() {
        None => Ok(groups),
        Some(wrong) => Err(fault(kind, "nodeGroups", |faults, at| faults.forbidden(at, &wrong.to_string()))),
    }
}

/// The name of a pod with its namespace, as far as `sight` goes.
fn name(pod: &Pod, sight: &mut Sight) -> String {
    let (mut namespace, mut name) = (pod.namespace.to_string(), pod.name.to_string());
    sight.mask(&mut namespace, &mut name, None);
    format!("{namespace}/{name}")
}

/// The default configuration of the newest release, for clusters that come with a request.
static NEWEST: LazyLock<Option<Profiles>> = LazyLock::new(|| Configuration::default().compile_all().ok());

/// The policy that decides: of a cluster that came with the request, where none is named, the defaults of the newest release.
fn newest(chosen: Chosen, is_brought: bool) -> Chosen {
    match (chosen, &*NEWEST) {
        (Chosen::BuiltIn, Some(newest)) if is_brought => Chosen::Request(newest.clone()),
        (chosen, _) => chosen,
    }
}
