//! Evictions through the API server of a live cluster.
//!
//! A pod is evicted by the Eviction API, which charges its disruption budgets. Where a budget forbids it and the plan has accepted to break that budget, the
//! pod is deleted, as kube-scheduler deletes all victims. So is a pod under two budgets, which the Eviction API refuses. Each request names the uid, so that no later pod of the name goes.
//!
//! Source: `pkg/registry/core/pod/storage/eviction.go` (`Create`, `createTooManyRequestsError`), `pkg/scheduler/framework/preemption/preemption.go`
//! (`prepareCandidate`).

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::sleep;

use super::TWO_BUDGETS;
use crate::{
    clock,
    service::{
        Service,
        error::{Error, Result},
        objects::{self, Deletion, Target},
        source::{
            ApiServer,
            guard::refused,
            requests::{PodRef, Reply, message, send},
        },
    },
    store::Record,
    wire::{
        source::{BindMode, ClusterSource},
        status::Status,
    },
};

/// Requests for one eviction at most.
const MOST_REQUESTS: usize = 6;

/// Pause after a reply that does not tell, which doubles, and the longest that an API server may ask for.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The end of an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// The pod is leaving, or has left.
    Leaves,
    /// A disruption budget forbids it, in the API server's words.
    Forbidden(String),
    /// It is not known, or refused, and why.
    Failed(String),
}

/// The meaning of a reply to an eviction or a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Leaves,
    /// A budget forbids it.
    Budget(String),
    /// The Eviction API does not know how.
    Unsupported,
    Refused(String),
    Unclear(String, Option<Duration>),
}

fn read(reply: &Reply) -> Said {
    let reply = match reply {
        Ok(reply) => reply,
        Err(why) => return Said::Unclear(why.clone(), None),
    };
    let told = message(reply);
    let is_of_budget = || {
        let status: Option<Status> = serde_json::from_slice(&reply.body).ok();
        let causes = status.and_then(|status| status.details).map(|details| details.causes).unwrap_or_default();
        causes.iter().any(|cause| cause.reason == "DisruptionBudget") || told.contains("disruption budget")
    };
    match reply.code {
        200..=299 | 404 => Said::Leaves,
        // A later pod of the name: the one that is meant has left.
        409 if told.contains("Precondition failed: UID") || told.contains("the UID in the precondition") => {
            Said::Leaves
        }
        429 if is_of_budget() => Said::Budget(told),
        400 | 500 if told.contains(TWO_BUDGETS) => Said::Unsupported,
        408 | 409 | 429 | 500..=599 => Said::Unclear(told, reply.retry_after),
        _ => Said::Refused(told),
    }
}

/// Has a pod leave for another one. `may_break`: the plan accepts that a disruption budget is broken; `why`: the text of the condition that it then gets.
pub async fn evict_for(server: &dyn ApiServer, pod: &PodRef, may_break: bool, why: &str) -> Evicted {
    let (mut deletes, mut pause, mut last) = (false, PAUSE, String::new());
    for _ in 0..MOST_REQUESTS {
        let request = if deletes { pod.delete() } else { pod.evict(json!({})) };
        match read(&send(server, request).await) {
            Said::Leaves => return Evicted::Leaves,
            Said::Budget(told) if !may_break => return Evicted::Forbidden(told),
            Said::Budget(_) | Said::Unsupported if !deletes => {
                deletes = true;
                // It is told why it goes; that it cannot be told does not keep it.
                drop(send(server, pod.patch_status(&disruption_target(why))).await);
            }
            Said::Refused(told) | Said::Budget(told) => return Evicted::Failed(told),
            Said::Unsupported => return Evicted::Failed(TWO_BUDGETS.into()),
            Said::Unclear(told, after) => {
                last = told;
                sleep(after.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    Evicted::Failed(last)
}

/// Evicts a pod of a cluster that mirrors a live one, as a client asks for. Returns the pod as the mirror has it.
///
/// # Errors
/// As the API server refuses it: [`Error::NotFound`], [`Error::Disruption`], [`Error::Conflict`]; [`Error::ReadOnly`] where the source says
/// `bind: record`, [`Error::Unavailable`] if it is not known what came of it.
pub async fn evict(
    service: &Service,
    source: &Arc<ClusterSource>,
    target: &Target,
    deletion: &Deletion,
) -> Result<Record> {
    let title = source.title();
    if source.bind == BindMode::Record {
        return Err(refused(&target.cluster, source));
    }
    let unavailable = |why: String| Error::Unavailable {
        message: format!("the API server of {title} did not answer: {why}"),
        retry_after_seconds: 1,
    };
    let stored = objects::read(service, target, None).await?;
    deletion.preconditions.check(target, &stored)?;
    let pod =
        PodRef { namespace: stored.key.namespace.clone(), name: stored.key.name.clone(), uid: stored.uid.clone() };
    let mut options = json!({});
    if let Some(grace) = deletion.options.grace_period_seconds {
        options["gracePeriodSeconds"] = grace.into();
    }
    if deletion.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    let server = service.sources.server(&target.cluster, source).await.map_err(&unavailable)?;
    let reply = send(&*server, pod.evict(options)).await;
    let retry_after = reply.as_ref().ok().and_then(|reply| reply.retry_after);
    match read(&reply) {
        Said::Leaves => Ok(stored),
        Said::Budget(cause) => Err(Error::Disruption {
            cause,
            retry_after_seconds: retry_after.map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX)),
        }),
        Said::Unsupported => Err(Error::BadRequest(TWO_BUDGETS.into())),
        Said::Refused(message) => Err(target.conflict(message)),
        Said::Unclear(why, _) => Err(unavailable(why)),
    }
}

/// The condition of a pod that is preempted.
fn disruption_target(why: &str) -> serde_json::Value {
    json!({"conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": why,
        "lastTransitionTime": clock::now_rfc3339(),
    }]})
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::service::source::{ApiReply, ApiRequest};

    #[expect(clippy::unnecessary_wraps, reason = "that is what is read")]
    fn reply(code: u16, text: &str, cause: Option<&str>) -> Reply {
        let causes: Vec<_> = cause.iter().map(|reason| json!({"reason": reason, "message": "x"})).collect();
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text,
            "details": {"causes": causes}, "code": code});
        Ok(ApiReply { code, body: body.to_string().into(), ..ApiReply::default() })
    }

    #[test]
    fn each_reply_to_an_eviction_has_one_meaning() {
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        let table = [
            (reply(201, "", None), Said::Leaves),
            (reply(404, "pods \"p\" not found", None), Said::Leaves),
            (reply(409, "Precondition failed: UID in precondition: a, UID in object meta: b", None), Said::Leaves),
            (
                reply(409, "the object has been modified", None),
                Said::Unclear("the object has been modified".into(), None),
            ),
            (reply(429, budget, Some("DisruptionBudget")), Said::Budget(budget.into())),
            (reply(429, "too many requests", None), Said::Unclear("too many requests".into(), None)),
            (reply(500, TWO_BUDGETS, None), Said::Unsupported),
            (reply(503, "no", None), Said::Unclear("no".into(), None)),
            (reply(403, "denied", None), Said::Refused("denied".into())),
            (Err("reset".into()), Said::Unclear("reset".into(), None)),
        ];
        for (reply, said) in table {
            assert_eq!(read(&reply), said, "{reply:?}");
        }
    }

    /// Refuses evictions in one way, and takes all else; the requests.
    #[derive(Debug)]
    struct Refusing(u16, &'static str, Mutex<Vec<String>>);

    #[async_trait]
    impl ApiServer for Refusing {
        async fn send(&self, request: ApiRequest) -> Reply {
            let end = request.path.rsplit('/').next().unwrap_or_default();
            self.2.lock().expect("no test panics with it").push(format!("{} {end}", request.method));
            if end == "eviction" { reply(self.0, self.1, None) } else { reply(200, "", None) }
        }
    }

    #[tokio::test]
    async fn a_victim_is_deleted_only_to_break_a_budget_or_under_two() {
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        let pod = PodRef { namespace: "shop".into(), name: "p".into(), uid: "u".into() };
        let deleted = ["POST eviction", "PATCH status", "DELETE p"];
        let table = [
            (429, budget, false, Evicted::Forbidden(budget.into()), &deleted[..1]),
            (429, budget, true, Evicted::Leaves, &deleted[..]),
            (500, TWO_BUDGETS, false, Evicted::Leaves, &deleted[..]),
        ];
        for (code, text, may_break, expected, requests) in table {
            let server = Refusing(code, text, Mutex::default());
            assert_eq!(evict_for(&server, &pod, may_break, "why").await, expected, "{text} {may_break}");
            assert_eq!(server.2.into_inner().expect("no test panics with it"), requests, "{text} {may_break}");
        }
    }
}
