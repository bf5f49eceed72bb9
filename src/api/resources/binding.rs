//! `pods/{name}/binding`: puts a pod on a node. Under `--admission=kubernetes` it does what kube-apiserver does, which does not ask if the
//! pod fits. With a policy in the query, and under `--admission=none`, the pod has to fit at the moment of the commit, by the whole filter
//! of the policy: two schedulers that decide at once do not overcommit a node.
//!
//! Kubernetes source: `pkg/registry/core/pod/storage/storage.go` (`BindingREST.Create`, `setPodNodeAndMetadata`).

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{queries::WriteQuery, show, subresource::BindingMetadata};
use crate::{
    api::{
        context::PolicyQuery,
        extract::{JsonBytes, Query},
        state::AppState,
    },
    service::{
        audit,
        bind::{bind_stored, bind_unjudged},
        error::{Error, Result},
        objects::{AdmissionMode, Target},
    },
    wire::{
        audit::event::NODE,
        decode,
        fault::{Faults, Path},
    },
};

/// Puts a pod on a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Binding {
    /// `Binding`
    pub kind: String,
    /// `v1`
    pub api_version: String,
    /// The pod.
    pub metadata: BindingMetadata,
    /// The node.
    pub target: BindingTarget,
}

/// The node of a Binding.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct BindingTarget {
    /// `Node`
    pub kind: String,
    /// The node's name.
    pub name: String,
}

impl Binding {
    fn check(&self, target: &Target) -> Result<()> {
        for (said, expected) in [(&self.kind, "Binding"), (&self.api_version, "v1")] {
            if !said.is_empty() && said != expected {
                return Err(Error::BadRequest(format!("the object is a {said}; this path takes a Binding of v1")));
            }
        }
        self.metadata.agrees_with(target, "Binding")?;
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

/// POST of a binding, below its pod or beside it: then its own name is the pod's.
pub(super) async fn bind(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    Query(policy): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let dry_run = query.dry_run()?;
    let binding: Binding = decode::from_slice(&body)?;
    let target = if target.name.is_empty() { target.named(&binding.metadata.name) } else { target };
    if target.name.is_empty() {
        return Err(Error::BadRequest("Name parameter required.".into()));
    }
    binding.check(&target)?;
    let (uid, node) = (&binding.metadata.uid, &binding.target.name);
    audit::named(&target.namespace.clone().unwrap_or_default(), &target.name);
    audit::note(NODE, || node.clone());
    let (policy, annotations) = (policy.policy.as_deref(), &binding.metadata.annotations);
    if state.admission == AdmissionMode::Kubernetes && policy.is_none() {
        bind_unjudged(&state, &target, uid, node, annotations, dry_run).await?;
    } else {
        bind_stored(&state, &target, uid, node, policy, dry_run).await?;
    }
    Ok(show::done(StatusCode::CREATED))
}
