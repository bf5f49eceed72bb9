//! Which policy a request is about: the one that the path names, else the default one.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::conditions::tag;
use crate::{
    api::{cluster::ClusterName, extract::Path, state::AppState},
    core::policy::{Policy, Profile},
    service::{
        context::{self, Chosen, Fresh},
        error::{Error, Result},
        policies::{Conditions, New, PolicyRecords, Put},
    },
    wire::{
        objects::names,
        policy::{Document, PolicyState, Remark, revision, to_annotated_yaml},
    },
};

/// The form of [`super::ShowQuery`] that is not this server's own.
const CONFIGURATION: &str = "KubeSchedulerConfiguration";

/// The policy that a path names.
#[derive(Debug)]
pub struct Target {
    state: AppState,
    cluster: Arc<str>,
    name: String,
}

#[derive(Deserialize)]
struct Variables {
    name: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Target
where
    AppState: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Ok(ClusterName(cluster)) = ClusterName::from_request_parts(parts, state).await;
        let Path(Variables { name }) = Path::from_request_parts(parts, state).await?;
        let name = name.unwrap_or_else(|| revision::DEFAULT.into());
        names::dns_subdomain(&name).map_err(|rule| Error::BadRequest(format!("the policy's name {name:?}: {rule}")))?;
        Ok(Self { state: AppState::from_ref(state), cluster, name })
    }
}

impl Target {
    /// GET: from the live view, as decisions use it.
    pub(super) async fn show(&self, form: Option<&str>, fresh: Fresh) -> Result<Response> {
        let view = context::take(&self.state, &self.cluster, fresh).await?.view;
        let chosen = context::chosen(&view, Some(&self.name))?;
        match form {
            None => Ok(in_json(&self.with_uncalled(state_of(&chosen), chosen.profile()))),
            Some(CONFIGURATION) => in_yaml(&chosen),
            Some(other) => Err(Error::BadRequest(format!(
                "as: Unsupported value: {other:?}: supported values: \"{CONFIGURATION}\""
            ))),
        }
    }

    /// PUT, POST and rollback.
    pub(super) async fn put(&self, text: &New, conditions: &Conditions, dry_run: bool) -> Result<Response> {
        let put = self.records().put(text, conditions, dry_run).await?;
        let Put { revision, document, profile, stored_at } = put;
        let state = PolicyState::new(&self.name, &revision, &document, &profile);
        let state = self.with_uncalled(state, &profile);
        // What is not stored has no tag to come back with.
        Ok(if stored_at.is_some() { in_json(&state) } else { Json(state).into_response() })
    }

    /// Adds warnings of the extenders that this server does not call.
    fn with_uncalled(&self, mut state: PolicyState, profile: &Profile) -> PolicyState {
        for extender in &profile.extenders {
            if let Some(why) = self.state.extenders.refusal(extender) {
                let why = format!("{} is not called by this server: {why}", extender.url_prefix);
                state.warnings.push(Remark::new("extenders", why));
            }
        }
        state
    }

    /// The policy in the store.
    pub(super) fn records(&self) -> PolicyRecords {
        let clusters = self.state.clusters.clone();
        PolicyRecords { clusters, cluster: self.cluster.clone(), name: self.name.clone() }
    }
}

fn state_of(chosen: &Chosen) -> PolicyState {
    match chosen {
        Chosen::Stored(name, policy) => PolicyState::new(name, &policy.revision, &policy.document, &policy.profile),
        Chosen::BuiltIn | Chosen::Request(_) | Chosen::Picked(..) => PolicyState::built_in(chosen.profile()),
    }
}

fn in_json(state: &PolicyState) -> Response {
    ([(header::ETAG, tag(state.revision))], Json(state)).into_response()
}

/// As the file that kube-scheduler's `--config` takes.
fn in_yaml(chosen: &Chosen) -> Result<Response> {
    let conversion = match chosen {
        Chosen::Stored(_, policy) => policy.document.convert(),
        Chosen::BuiltIn | Chosen::Request(_) | Chosen::Picked(..) => Document::Policy(Policy::default()).convert(),
    };
    let yaml = to_annotated_yaml(&conversion.map_err(Error::internal)?).map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], yaml).into_response())
}
