//! Common parts of deciding: the policy, the cluster and the pods of a request.

use serde_json::value::RawValue;

use super::{
    context::{self, Chosen},
    error::{Error, Result},
};
use crate::{
    core::{
        model::Pod,
        policy::{Faults, Profiles},
        snapshot::Snapshot,
    },
    live::View,
    wire::{
        asked::{self, AskedPod, TemplateOwner},
        cluster::Brought,
        decode, defaults,
        fault::{Cause, TOO_MANY},
        objects::pod,
        policy,
    },
};

/// The policy or profile that came with a request, else the one that it names, else the one in force.
pub fn decided_under(
    sent_policy: Option<&RawValue>,
    profile: Option<&RawValue>,
    policy: Option<&str>,
    view: &View,
) -> Result<Chosen> {
    match (sent_policy, profile) {
        (Some(_), Some(_)) => Err(Error::BadRequest("policy and profile exclude each other".into())),
        (Some(text), None) => brought(policy::parse(text.get()).and_then(|d| d.compile_all()), "Policy"),
        (None, Some(text)) => {
            let compiled = policy::parse_configuration(text.get()).and_then(|c| c.compile_all());
            brought(compiled, "KubeSchedulerConfiguration")
        }
        (None, None) => context::chosen(view, policy),
    }
}

/// A cluster that came with a request.
pub fn brought_cluster(Brought(cluster): &Brought) -> Result<Snapshot> {
    cluster.to_snapshot().map_err(|causes| Error::invalid("Cluster", "", causes))
}

/// A policy that came with the request.
fn brought(compiled: std::result::Result<Profiles, Faults>, kind: &str) -> Result<Chosen> {
    compiled.map(Chosen::Request).map_err(|faults| Error::invalid_policy(kind, "", faults))
}

/// Checks a pod against the limits.
///
/// # Errors
/// The exceeded limit.
pub fn decidable(pod: &Pod) -> Result<()> {
    let Some(excess) = &pod.excess else { return Ok(()) };
    let (field, message) = excess.split_once(": ").unwrap_or(("spec", excess));
    let (field, reason) = (field.into(), TOO_MANY.into());
    Err(Error::invalid("Pod", &pod.name, vec![Cause { field, reason, message: message.into(), unreadable: false }]))
}

/// A pod that came with a request, as if it were new in the cluster, and the owner of its template if it is that of one. `at` is its place in the
/// request.
///
/// # Errors
/// The faults of the pod.
pub fn sent_pod(sent: &RawValue, at: &str, snapshot: &Snapshot) -> Result<(Pod, Option<TemplateOwner>)> {
    let AskedPod { json, template } = asked::pod(sent.get()).map_err(|causes| Error::invalid("Pod", "", causes))?;
    let mut sent: pod::Pod = decode::from_slice(json.as_bytes())
        .map_err(|error| Error::BadRequest(error.without_place().within(at).to_string()))?;
    defaults::ask(&mut sent.spec, snapshot);
    let mut pod = sent.to_core().bounded().map_err(|causes| Error::invalid("Pod", &sent.metadata.name, causes))?;
    defaults::fill_new(&mut pod, snapshot);
    Ok((pod, template))
}
