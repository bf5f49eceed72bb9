//! `pods/{name}/eviction`: deletes a pod unless a disruption budget forbids it.
//!
//! Where several budgets protect one pod, kube-apiserver gives up with an internal error; here all of them must allow
//! the eviction and all are charged. A budget is charged by lowering `status.disruptionsAllowed` in the same commit that
//! deletes the pod, so two evictions can never share one allowance.
//!
//! Kubernetes source: `pkg/registry/core/pod/storage/eviction.go` (`Create`, `canIgnorePDB`, `checkAndDecrement`).

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use utoipa::ToSchema;

use super::{
    binding::{BindingMetadata, same_object},
    examine,
    read::current,
    show,
    target::Target,
    write::{ATTEMPTS, DeleteOptions, WriteQuery, commit},
};
use crate::{
    api::{
        error::{ApiError, Result},
        extract::{JsonBytes, Query},
        state::AppState,
    },
    core::{
        model::Pod,
        snapshot::{Kind, Object},
    },
    store::{Atomicity, Change, ListQuery, Outcome, Precondition, Record, Refusal, Write},
    wire::{
        decode,
        document::Document,
        kinds::{self, StoredKind},
    },
};

/// When kube-apiserver tells clients to come back for a budget that is behind.
const BEHIND_RETRY_SECONDS: u32 = 10;

/// Asks for a pod to go.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Eviction {
    /// `Eviction`
    pub kind: String,
    /// `policy/v1`
    pub api_version: String,
    /// The pod.
    pub metadata: BindingMetadata,
    /// `preconditions` (`uid`, `resourceVersion`) and `dryRun`, as for a deletion.
    #[serde(skip_serializing)]
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub delete_options: Option<DeleteOptions>,
}

/// What eviction reads of a budget besides what decisions do.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Budget {
    metadata: BudgetMetadata,
    status: BudgetStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BudgetMetadata {
    generation: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BudgetStatus {
    observed_generation: i64,
    disruptions_allowed: i32,
    current_healthy: i32,
    desired_healthy: i32,
}

impl Budget {
    /// The allowance after an eviction that is charged for.
    fn after(&self, name: &str) -> Result<i32> {
        let status = &self.status;
        if status.observed_generation < self.metadata.generation {
            return Err(ApiError::Disruption {
                cause: format!("The disruption budget {name} is still being processed by the server."),
                retry_after_seconds: Some(BEHIND_RETRY_SECONDS),
            });
        }
        if status.disruptions_allowed <= 0 {
            let (needed, has) = (status.desired_healthy, status.current_healthy);
            return Err(ApiError::Disruption {
                cause: format!("The disruption budget {name} needs {needed} healthy pods and has {has} currently"),
                retry_after_seconds: None,
            });
        }
        Ok(status.disruptions_allowed.saturating_sub(1))
    }
}

/// POST of an eviction.
pub async fn evict(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let eviction: Eviction = examine::decode(&body)?;
    if !matches!(eviction.kind.as_str(), "" | "Eviction")
        || !matches!(eviction.api_version.as_str(), "" | "policy/v1" | "policy/v1beta1")
    {
        return Err(ApiError::BadRequest("this path takes an Eviction of policy/v1".into()));
    }
    same_object(&target, &eviction.metadata.name, &eviction.metadata.namespace, "Eviction")?;
    let options = eviction.delete_options.unwrap_or_default();
    let dry_run = query.dry_run()? | options.dry_run()?;

    for _ in 0..ATTEMPTS {
        let pod = current(&state, &target).await?;
        options.check(&target, &pod)?;
        let mut writes = charges(&state, &target, &pod).await?;
        writes.push(Write {
            key: pod.key.clone(),
            precondition: Precondition::revision(pod.revision),
            change: Change::Delete,
        });
        if !dry_run {
            let outcomes = commit(&state, &target.cluster, writes, Atomicity::AllOrNothing).await?.outcomes;
            let refusal = outcomes.into_iter().find_map(|outcome| match outcome {
                Outcome::Refused(refusal) if refusal != Refusal::NotAttempted => Some(refusal),
                _ => None,
            });
            // Pod or budget has changed in between: judge anew.
            if refusal.is_some() {
                continue;
            }
        }
        return Ok(show::success(StatusCode::CREATED, &target, &pod.uid));
    }
    Err(target.modified())
}

/// What the eviction of a pod costs its budgets.
async fn charges(state: &AppState, target: &Target, pod: &Record) -> Result<Vec<Write>> {
    let Some(budgets) = kinds::by_core(Kind::PodDisruptionBudget) else { return Ok(Vec::new()) };
    let Object::Pod(parsed) = target.kind.parse(&pod.body).map_err(ApiError::internal)?.object else {
        return Ok(Vec::new());
    };
    let query = ListQuery { namespace: target.namespace.clone(), ..ListQuery::all(budgets.key()) };
    let stored = state.store.list(&target.cluster, &query).await?.items;
    stored.iter().filter(|record| charges_for(budgets, record, &parsed)).map(charge).collect()
}

/// Whether the eviction of a pod costs a budget anything.
fn charges_for(kind: &StoredKind, record: &Record, pod: &Pod) -> bool {
    match kind.parse(&record.body).map(|converted| converted.object) {
        Ok(Object::PodDisruptionBudget(budget)) => budget.covers(pod) && budget.charges_for(pod),
        _ => false,
    }
}

/// The write that lowers a budget's allowance by one.
fn charge(record: &Record) -> Result<Write> {
    let budget: Budget = decode::from_slice(&record.body).map_err(ApiError::internal)?;
    with_allowance(record, budget.after(&record.key.name)?)
}

/// The write that leaves a budget, if it still is as it was read, with so many disruptions that it allows.
pub(in crate::api) fn with_allowance(record: &Record, left: i32) -> Result<Write> {
    let mut document = Document::parse(&record.body).map_err(ApiError::internal)?;
    let left = to_raw_value(&left).map_err(ApiError::internal)?;
    document.set_in("status", "disruptionsAllowed", left).map_err(ApiError::internal)?;
    Ok(Write {
        key: record.key.clone(),
        precondition: Precondition::revision(record.revision),
        change: Change::Put { body: document.into_body().into(), uid: record.uid.clone(), node: None },
    })
}
