//! `pods/{name}/binding`: puts a pod on a node if it fits there at the moment of the commit, by the whole filter of the
//! policy in force. kube-apiserver does not ask; here two schedulers that decide at once must not overcommit a node.
//!
//! Kubernetes source: `pkg/registry/core/pod/storage/storage.go` (`BindingREST.Create`, `setPodNodeAndMetadata`).

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{examine, show, target::Target, write::WriteQuery};
use crate::{
    api::{
        context::PolicyQuery,
        error::{ApiError, Result, Subject},
        extract::{JsonBytes, Query},
        state::AppState,
    },
    live::View,
    service::{
        bind::{BindOutcome, bind_pod},
        context,
    },
    store::Refusal,
    wire::fault::{Faults, Path},
};

/// Puts a pod on a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    /// `Binding`
    pub kind: String,
    /// `v1`
    pub api_version: String,
    /// The pod.
    pub metadata: BindingMetadata,
    /// The node.
    pub target: BindingTarget,
}

/// The pod of a Binding.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BindingMetadata {
    /// The pod's name, as in the path.
    pub name: String,
    /// The pod's namespace, as in the path.
    pub namespace: String,
    /// The pod's uid: with it a binding may be repeated safely, and does not affect a later pod of this name.
    pub uid: String,
}

/// The node of a Binding.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BindingTarget {
    /// `Node`
    pub kind: String,
    /// The node's name.
    pub name: String,
}

impl Binding {
    fn check(&self, target: &Target) -> Result<()> {
        for (said, expected) in [(&self.kind, "Binding"), (&self.api_version, "v1")] {
            if !said.is_empty() && said != expected {
                return Err(ApiError::BadRequest(format!("the object is a {said}; this path takes a Binding of v1")));
            }
        }
        same_object(target, &self.metadata.name, &self.metadata.namespace, "Binding")?;
        let mut faults = Faults::default();
        let at = Path::ROOT.child("target");
        if !matches!(self.target.kind.as_str(), "" | "Node") {
            faults.not_supported(&at.child("kind"), &self.target.kind, &["Node", "<empty>"]);
        }
        if self.target.name.is_empty() {
            faults.required(&at.child("name"), "");
        }
        let causes = faults.into_causes();
        if causes.is_empty() { Ok(()) } else { Err(target.invalid(causes)) }
    }
}

/// Checks that the object in a subresource's body agrees with the path.
pub fn same_object(target: &Target, name: &str, namespace: &str, kind: &str) -> Result<()> {
    let agrees = |said: &str, path: &str| said.is_empty() || said == path;
    if agrees(name, &target.name) && agrees(namespace, target.namespace.as_deref().unwrap_or_default()) {
        Ok(())
    } else {
        Err(ApiError::BadRequest(format!("name or namespace in URL does not match that in the {kind} object")))
    }
}

/// POST of a binding.
pub async fn bind(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    Query(policy): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let dry_run = query.dry_run()?;
    let binding: Binding = examine::decode(&body)?;
    binding.check(&target)?;
    let Binding { metadata: BindingMetadata { uid, .. }, target: BindingTarget { name: node, .. }, .. } = binding;
    let policy = policy.policy.as_deref();
    if dry_run {
        let view = context::view(&state, &target.cluster).await?;
        return try_bind(&target, &uid, &node, &view, policy);
    }
    let pod = (target.namespace.as_deref().unwrap_or_default(), target.name.as_str());
    let judged_by = context::judged_by(&state, &target.cluster, policy, pod).await?;
    match bind_pod(&state, &target.cluster, &target.key(), &uid, &node, judged_by).await? {
        // Only with the uid is it known to be the same binding, repeated.
        BindOutcome::Bound { is_new: false, .. } if uid.is_empty() => {
            Err(refused(&target, Refusal::AlreadyBound { node }, &uid))
        }
        BindOutcome::Refused(refusal) => Err(refused(&target, refusal, &uid)),
        _ => Ok(show::success(StatusCode::CREATED, &target, &uid)),
    }
}

/// Judges a binding as it would be judged now.
fn try_bind(target: &Target, uid: &str, node: &str, view: &View, policy: Option<&str>) -> Result<Response> {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let pod = view.snapshot.pod(namespace, &target.name);
    let pod = pod.ok_or_else(|| ApiError::NotFound(target.subject()))?;
    if !uid.is_empty() && *uid != *pod.uid {
        return Err(target.other_uid(uid, &pod.uid));
    }
    let chosen = context::chosen(view, policy)?.pick_or_first(Some(pod));
    let repeated = !uid.is_empty() && view.bound_to(namespace, &target.name) == Some(node);
    if !repeated && let Err(why) = view.may_bind(namespace, &target.name, node, chosen.profile()) {
        return Err(refused(target, Refusal::Rejected(why), uid));
    }
    Ok(show::success(StatusCode::CREATED, target, &pod.uid))
}

fn refused(target: &Target, refusal: Refusal, uid: &str) -> ApiError {
    match target.refused(refusal, uid) {
        ApiError::Conflict { message, .. } => {
            ApiError::Conflict { subject: Subject::new("", "pods/binding", &*target.name), message }
        }
        other => other,
    }
}
