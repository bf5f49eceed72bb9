//! `pods/{name}/binding`: puts a pod on a node, as told. Whether it fits there is not asked: kube-apiserver does not ask
//! either.
//!
//! Kubernetes source: `pkg/registry/core/pod/storage/storage.go` (`BindingREST.Create`, `setPodNodeAndMetadata`).

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    door,
    read::current,
    show,
    target::Target,
    write::{ATTEMPTS, WriteQuery, commit_one},
};
use crate::{
    api::{
        error::{ApiError, Result, Subject},
        extract::{JsonBytes, Query},
        state::AppState,
    },
    store::{Change, Outcome, Precondition, Record, Refusal},
    wire::{
        document::Document,
        fault::{Faults, Path},
    },
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

/// The pod of a [`Binding`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BindingMetadata {
    /// The pod's name, as in the path.
    pub name: String,
    /// The pod's namespace, as in the path.
    pub namespace: String,
    /// The pod's uid: with it a binding may be repeated safely, and does not hit a later pod of the same name.
    pub uid: String,
}

/// The node of a [`Binding`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BindingTarget {
    /// `Node`
    pub kind: String,
    /// The node's name. It need not be there yet.
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

/// What a subresource's body says of its object agrees with the path.
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
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let dry_run = query.dry_run()?;
    let binding: Binding = door::decode(&body)?;
    binding.check(&target)?;
    for _ in 0..ATTEMPTS {
        let pod = current(&state, &target).await?;
        if !binding.metadata.uid.is_empty() && binding.metadata.uid != pod.uid {
            return Err(target.other_uid(&binding.metadata.uid, &pod.uid));
        }
        let repeated = !binding.metadata.uid.is_empty() && pod.node.as_deref() == Some(&binding.target.name);
        if !repeated {
            check_free(&target, &pod)?;
        }
        if !repeated && !dry_run {
            let change = Change::SetNode(Some(binding.target.name.clone()));
            match commit_one(&state, &target, Precondition::revision(pod.revision), change).await? {
                Outcome::Refused(Refusal::Conflict { .. }) => continue,
                Outcome::Refused(refusal) => return Err(target.refused(refusal, &pod.uid)),
                Outcome::Written { .. } | Outcome::Unchanged { .. } | Outcome::Deleted { .. } => {}
            }
        }
        return Ok(show::success(StatusCode::CREATED, &target, &pod.uid));
    }
    Err(target.modified())
}

/// The pod waits for a node.
fn check_free(target: &Target, pod: &Record) -> Result<()> {
    let name = &target.name;
    let document = Document::parse(&pod.body).map_err(ApiError::internal)?;
    let message = if document.metadata_text("deletionTimestamp").is_some() {
        format!("pod {name} is being deleted, cannot be assigned to a host")
    } else if let Some(node) = &pod.node {
        format!("pod {name} is already assigned to node {node:?}")
    } else {
        return Ok(());
    };
    Err(ApiError::Conflict { subject: Subject::new("", "pods/binding", name.as_str()), message })
}
