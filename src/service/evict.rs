//! Eviction: pods go, unless a disruption budget forbids it.
//!
//! If several budgets protect one pod, kube-apiserver gives up with an internal error, and so does `--admission=kubernetes`; otherwise all of them
//! must allow the eviction and all are charged.
//! A budget is charged by lowering `status.disruptionsAllowed` in the commit that deletes the pod, so two evictions never share one allowance.
//!
//! Kubernetes source: `pkg/registry/core/pod/storage/eviction.go` (`Create`, `canIgnorePDB`, `checkAndDecrement`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json, value::to_raw_value};

use super::{
    Service,
    error::{Error, Result, Subject},
    objects::{self, ATTEMPTS, AdmissionMode, Deletion, Target, delete::deletion_of},
    source::mirrored,
};
use crate::{
    clock,
    core::{
        model::Pod,
        snapshot::{Kind, Object},
    },
    store::{Atomicity, Call, Change, ListQuery, Outcome, Precondition, Record, Refusal, Write},
    wire::{
        decode,
        document::Document,
        kinds::{self, StoredKind},
    },
};

pub mod moves;
pub mod taints;
pub mod through;

/// kube-apiserver's retry time for a budget that lags.
const BEHIND_RETRY_SECONDS: u32 = 10;

/// kube-apiserver's answer if two budgets cover a pod.
const TWO_BUDGETS: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// The fields of a budget that only eviction reads.
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
            return Err(Error::Disruption {
                cause: format!("The disruption budget {name} is still being processed by the server."),
                retry_after_seconds: Some(BEHIND_RETRY_SECONDS),
            });
        }
        if status.disruptions_allowed <= 0 {
            let (needed, has) = (status.desired_healthy, status.current_healthy);
            return Err(Error::Disruption {
                cause: format!("The disruption budget {name} needs {needed} healthy pods and has {has} currently"),
                retry_after_seconds: None,
            });
        }
        Ok(status.disruptions_allowed.saturating_sub(1))
    }
}

/// Deletes a pod for which the preconditions hold, and charges its budgets. Returns the pod as it was.
///
/// # Errors
/// [`Error::NotFound`] if there is no such pod, [`Error::Disruption`] if a budget forbids it, [`Error::Conflict`] if a precondition does not hold or
/// others kept changing the pod or its budgets; [`Error::ReadOnly`] in a cluster that mirrors a live one.
pub async fn evict(service: &Service, target: &Target, deletion: &Deletion) -> Result<Record> {
    let Deletion { options, preconditions, dry_run } = deletion;
    if let Some(source) = mirrored::of(service, &target.cluster).await? {
        return through::evict(service, &source, target, deletion).await;
    }
    for _ in 0..ATTEMPTS {
        let pod = objects::read(service, target, None).await?;
        if let Some(uid) = preconditions.uid.as_ref().filter(|uid| **uid != pod.uid) {
            let message = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
                 deleted and then recreated",
                pod.uid
            );
            return Err(Error::Conflict { subject: Subject::new("", "Pod", &*target.name), message });
        }
        preconditions.check(target, &pod)?;
        let mut writes = charges(service, &target.cluster, &pod).await?;
        // One that is being deleted already is charged for once more, as kube-apiserver does.
        writes.extend(deletion_of(service, target.kind, &pod, *options)?);
        if !dry_run {
            let call = Call { writes, atomicity: Atomicity::AllOrNothing };
            let outcomes = service.clusters.commit(&target.cluster, call, None).await?.outcomes;
            let refusal = outcomes.into_iter().find_map(|outcome| match outcome {
                Outcome::Refused(refusal) if refusal != Refusal::NotAttempted => Some(refusal),
                _ => None,
            });
            // Pod or budget has changed in between: judge anew.
            if refusal.is_some() {
                continue;
            }
        }
        return Ok(pod);
    }
    Err(target.modified())
}

/// The writes that charge the budgets of an evicted pod.
async fn charges(service: &Service, cluster: &str, pod: &Record) -> Result<Vec<Write>> {
    let Some(budgets) = kinds::by_core(Kind::PodDisruptionBudget) else { return Ok(Vec::new()) };
    let Some(pods) = kinds::by_core(Kind::Pod) else { return Ok(Vec::new()) };
    let Object::Pod(parsed) = pods.parse(&pod.body).map_err(Error::internal)?.object else {
        return Ok(Vec::new());
    };
    let query = ListQuery { namespace: Some(pod.key.namespace.clone()), ..ListQuery::all(budgets.key()) };
    let stored = service.store.list(cluster, &query).await?.items;
    let charged: Vec<&Record> = stored.iter().filter(|record| charges_for(budgets, record, &parsed)).collect();
    if service.admission == AdmissionMode::Kubernetes && charged.len() > 1 {
        return Err(Error::BadRequest(TWO_BUDGETS.into()));
    }
    charged.into_iter().map(|budget| charge(budget, &pod.key.name)).collect()
}

/// `true` if the eviction of a pod costs a budget anything.
fn charges_for(kind: &StoredKind, record: &Record, pod: &Pod) -> bool {
    match kind.parse(&record.body).map(|converted| converted.object) {
        Ok(Object::PodDisruptionBudget(budget)) => budget.covers(pod) && budget.charges_for(pod),
        _ => false,
    }
}

/// The write that lowers a budget's allowance by one for a pod of this name.
fn charge(record: &Record, pod: &str) -> Result<Write> {
    let budget: Budget = decode::from_slice(&record.body).map_err(Error::internal)?;
    let left = budget.after(&record.key.name)?;
    let mut document = Document::parse(&record.body).map_err(Error::internal)?;
    let disrupted = document.get_in("status", "disruptedPods").map_err(Error::internal)?;
    let mut disrupted: BTreeMap<String, String> =
        disrupted.and_then(|pods| decode::from_slice(pods.get().as_bytes()).ok()).unwrap_or_default();
    let now = clock::now_rfc3339();
    disrupted.insert(pod.into(), now.clone());
    let mut fields = vec![
        ("disruptionsAllowed", to_raw_value(&left).map_err(Error::internal)?),
        ("disruptedPods", to_raw_value(&disrupted).map_err(Error::internal)?),
    ];
    if left == 0 {
        let condition = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": budget.status.observed_generation, "lastTransitionTime": now});
        let conditions = document.get_in("status", "conditions").map_err(Error::internal)?;
        let mut conditions: Vec<Value> =
            conditions.and_then(|list| decode::from_slice(list.get().as_bytes()).ok()).unwrap_or_default();
        conditions.retain(|other| other["type"] != condition["type"]);
        conditions.push(condition);
        fields.push(("conditions", to_raw_value(&conditions).map_err(Error::internal)?));
    }
    document.set_all_in("status", fields).map_err(Error::internal)?;
    Ok(put(record, document))
}

/// The write that puts a text in the place of a stored one.
fn put(record: &Record, document: Document) -> Write {
    Write {
        key: record.key.clone(),
        precondition: Precondition::revision(record.revision),
        change: Change::body(record, document.into_body()),
    }
}

/// The write that sets the allowed disruptions of a budget, if it is unchanged since it was read.
pub(super) fn with_allowance(record: &Record, left: i32) -> Result<Write> {
    let mut document = Document::parse(&record.body).map_err(Error::internal)?;
    let left = to_raw_value(&left).map_err(Error::internal)?;
    document.set_in("status", "disruptionsAllowed", left).map_err(Error::internal)?;
    Ok(put(record, document))
}
