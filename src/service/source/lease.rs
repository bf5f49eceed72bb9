//! A Lease in the live cluster (`coordination.k8s.io`), which people see with kubectl, and which keeps out schedulers that do not share our database.
//!
//! Whoever finds it held by another one waits until it has not been renewed for its duration, by the own clock. Which process of a database
//! leads is not decided here ([`crate::service::lead`]).
//!
//! Source: `k8s.io/client-go/tools/leaderelection/leaderelection.go` (`tryAcquireOrRenew`, `renew`, `release`).

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{
    ApiRequest, ApiServer,
    requests::{message, post, put, send},
};
use crate::{clock, service::lead::Lead};

/// Time that the Lease lasts, time after which a holder that could not renew it gives up, and time between two attempts (`LeaseDuration`,
/// `RenewDeadline`, `RetryPeriod`).
const LASTS: Duration = Duration::from_secs(15);
const RENEWED_WITHIN: Duration = Duration::from_secs(10);
const RETRIED_AFTER: Duration = Duration::from_secs(2);

/// How often it is tried to give the Lease back: a renewal that was under way may come in between.
const RELEASES: u32 = 3;

/// A Lease, as one process wants it.
#[derive(Clone, Debug)]
pub struct Lease {
    server: Arc<dyn ApiServer>,
    namespace: String,
    name: String,
    /// Names the process.
    identity: String,
    /// The spec as it was seen last, and since when.
    seen: Option<(Value, Instant)>,
    /// When it was asked for last, which is not after the time that the API server counts from.
    asked: Instant,
}

/// The next step about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// It is taken.
    Take,
    /// It is renewed.
    Renew,
    /// Another one has it.
    Wait,
}

/// The rule for a Lease that has been as it is for some time.
fn due(spec: &Value, identity: &str, unchanged_for: Duration) -> Due {
    let holder = spec["holderIdentity"].as_str().unwrap_or_default();
    let lasts = spec["leaseDurationSeconds"].as_u64().map_or(LASTS, Duration::from_secs);
    if holder == identity {
        Due::Renew
    } else if holder.is_empty() || unchanged_for >= lasts {
        Due::Take
    } else {
        Due::Wait
    }
}

/// The spec that a holder writes; `before`: the one that was there.
fn held(before: &Value, identity: &str, due: Due) -> Value {
    let now = format!("{:.6}", clock::now());
    let transitions = before["leaseTransitions"].as_i64().unwrap_or(0);
    let (acquired, transitions) = match due {
        Due::Renew => (before["acquireTime"].clone(), transitions),
        Due::Take | Due::Wait => (json!(now), if before.is_null() { 0 } else { transitions.saturating_add(1) }),
    };
    json!({"holderIdentity": identity, "leaseDurationSeconds": LASTS.as_secs(), "acquireTime": acquired, "renewTime": now,
        "leaseTransitions": transitions})
}

impl Lease {
    /// The Lease `namespace/name`, for the process that is named so.
    ///
    /// # Errors
    /// If that names none.
    pub fn new(server: Arc<dyn ApiServer>, named: &str, identity: String) -> Result<Self, String> {
        let (namespace, name) = named
            .split_once('/')
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'))
            .ok_or_else(|| format!("lease: {named:?} is not of the form namespace/name"))?;
        let (namespace, name) = (namespace.into(), name.into());
        Ok(Self { server, namespace, name, identity, seen: None, asked: Instant::now() })
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// Takes or renews it; `false` if another one has it.
    async fn has_it(&mut self) -> Result<bool, String> {
        self.asked = Instant::now();
        let reply =
            send(&*self.server, ApiRequest { method: "GET", path: self.path(), ..ApiRequest::default() }).await?;
        let metadata = json!({"namespace": self.namespace, "name": self.name});
        let wanted = match reply.code {
            404 => {
                let spec = held(&Value::Null, &self.identity, Due::Take);
                let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
                post(self.collection(), &lease)
            }
            200 => {
                let mut lease: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
                let spec = lease["spec"].clone();
                let since = match &self.seen {
                    Some((seen, since)) if *seen == spec => *since,
                    _ => Instant::now(),
                };
                self.seen = Some((spec.clone(), since));
                let due = due(&spec, &self.identity, since.elapsed());
                if due == Due::Wait {
                    return Ok(false);
                }
                // With its resourceVersion: whoever is slower is refused.
                lease["spec"] = held(&spec, &self.identity, due);
                put(self.path(), &lease)
            }
            _ => return Err(message(&reply)),
        };
        let reply = send(&*self.server, wanted).await?;
        match reply.code {
            200 | 201 => Ok(true),
            409 => Ok(false),
            _ => Err(message(&reply)),
        }
    }

    /// Waits until it is held. Why it is not is logged when that changes.
    pub async fn acquired(&mut self) {
        let mut told = None;
        loop {
            let why = match self.has_it().await {
                Ok(true) => {
                    tracing::info!(lease = self.path(), identity = self.identity, "the Lease is held");
                    return;
                }
                Ok(false) => {
                    let holder = self.seen.as_ref().and_then(|(spec, _)| spec["holderIdentity"].as_str());
                    format!("{} has it", holder.unwrap_or("another scheduler"))
                }
                Err(why) => why,
            };
            if told.as_ref() != Some(&why) {
                tracing::warn!(lease = self.path(), why, "nothing is scheduled: the Lease cannot be had");
                told = Some(why);
            }
            sleep(jittered(RETRIED_AFTER)).await;
        }
    }

    /// Renews it; ends when it is lost, or could not be renewed in time.
    pub async fn kept(&mut self) {
        let mut ends = self.asked + RENEWED_WITHIN;
        loop {
            sleep(RETRIED_AFTER).await;
            match timeout_at(ends, self.has_it()).await {
                Ok(Ok(true)) => ends = self.asked + RENEWED_WITHIN,
                Ok(Ok(false)) => {
                    let holder = self.seen.as_ref().and_then(|(spec, _)| spec["holderIdentity"].as_str());
                    // Refused: it was written meanwhile, and the next look tells by whom.
                    if holder != Some(&*self.identity) {
                        tracing::warn!(lease = self.path(), "the Lease is lost");
                        return;
                    }
                }
                Ok(Err(why)) => tracing::debug!(lease = self.path(), why, "the Lease could not be renewed yet"),
                Err(_) => {
                    tracing::warn!(lease = self.path(), "the Lease could not be renewed in time");
                    return;
                }
            }
        }
    }

    /// Gives it back, so that others need not wait.
    async fn released(self) {
        for _ in 0..RELEASES {
            if !matches!(self.release().await, Ok(409)) {
                return;
            }
        }
    }

    /// Tries so; the code of the reply.
    async fn release(&self) -> Result<u16, String> {
        let now = format!("{:.6}", clock::now());
        let reply =
            send(&*self.server, ApiRequest { method: "GET", path: self.path(), ..ApiRequest::default() }).await?;
        let mut lease: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
        if lease["spec"]["holderIdentity"] != *self.identity {
            return Ok(reply.code);
        }
        let transitions = lease["spec"]["leaseTransitions"].clone();
        lease["spec"] = json!({"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now,
            "leaseTransitions": transitions});
        Ok(send(&*self.server, put(self.path(), &lease)).await?.code)
    }
}

/// A Lease that is given back when this is dropped. The end of the lead waits for that.
#[derive(Debug)]
pub struct Held {
    /// It.
    pub lease: Lease,
    lead: Lead,
}

impl Held {
    /// A Lease, in a lead of this process.
    pub fn new(lease: Lease, lead: Lead) -> Self {
        Self { lease, lead }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (lease, lead) = (self.lease.clone(), self.lead.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                lease.released().await;
                drop(lead);
            });
        }
    }
}

/// A time up to 2.2 times as long, so that processes do not ask in step (`JitterFactor`).
fn jittered(time: Duration) -> Duration {
    let chance = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    time.mul_f64(1.2_f64.mul_add(chance, 1.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::service::source::ApiReply;

    #[test]
    fn a_lease_is_taken_when_its_holder_has_been_silent_for_its_duration() {
        let spec = |holder: &str| json!({"holderIdentity": holder, "leaseDurationSeconds": 15});
        let seconds = Duration::from_secs;
        for (holder, silent, expected) in [
            ("me", seconds(0), Due::Renew),
            ("me", seconds(99), Due::Renew),
            ("", seconds(0), Due::Take),
            ("other", seconds(14), Due::Wait),
            ("other", seconds(15), Due::Take),
        ] {
            assert_eq!(due(&spec(holder), "me", silent), expected, "{holder} {silent:?}");
        }
        let before = json!({"acquireTime": "then", "leaseTransitions": 4});
        let renewed = held(&before, "me", Due::Renew);
        assert_eq!((&renewed["acquireTime"], &renewed["leaseTransitions"]), (&json!("then"), &json!(4)));
        let taken = held(&before, "me", Due::Take);
        assert_eq!((&taken["leaseTransitions"], &taken["holderIdentity"]), (&json!(5), &json!("me")));
        assert_eq!(held(&Value::Null, "me", Due::Take)["leaseTransitions"], 0);
    }

    /// An API server with one Lease, which compares versions.
    #[derive(Debug, Default)]
    struct Fake(Mutex<(u64, Option<Value>)>, Duration);

    #[async_trait]
    impl ApiServer for Fake {
        async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
            sleep(self.1).await;
            let mut state = self.0.lock().expect("no test panics with it");
            let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let (code, body) = match (request.method, state.1.clone()) {
                ("GET", Some(lease)) => (200, lease),
                ("GET", None) => (404, json!({})),
                ("POST", None) => {
                    body["metadata"]["resourceVersion"] = json!("1");
                    *state = (1, Some(body.clone()));
                    (201, body)
                }
                ("PUT", Some(lease)) if lease["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"] => {
                    state.0 += 1;
                    body["metadata"]["resourceVersion"] = json!(state.0.to_string());
                    state.1 = Some(body.clone());
                    (200, body)
                }
                _ => (409, json!({})),
            };
            Ok(ApiReply { code, body: body.to_string().into(), ..ApiReply::default() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_never_hold_it_at_once_and_the_other_one_follows() {
        let server: Arc<dyn ApiServer> = Arc::new(Fake::default());
        let of = |who: &str| Lease::new(server.clone(), "kube-system/podberth", who.into()).expect("a name");
        let (mut one, mut other) = (of("one"), of("other"));
        assert_eq!(one.has_it().await, Ok(true));
        assert_eq!(other.has_it().await, Ok(false));
        sleep(LASTS.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(one.has_it().await, Ok(true), "renewed in time");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(other.has_it().await, Ok(false));
        sleep(LASTS).await;
        assert_eq!(other.has_it().await, Ok(true), "it was silent for the whole time");
        assert_eq!(one.has_it().await, Ok(false));
        other.clone().released().await;
        assert_eq!(one.has_it().await, Ok(true), "given back, it can be had at once");
        assert!(Lease::new(server, "podberth", "one".into()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_gives_up_before_others_may_take_it_however_late_replies_are() {
        let slow: Arc<dyn ApiServer> = Arc::new(Fake(Mutex::default(), Duration::from_millis(3_500)));
        let mut lease = Lease::new(slow, "kube-system/podberth", "one".into()).expect("a name");
        lease.acquired().await;
        let began = lease.asked;
        lease.kept().await;
        // Taken at 0 s and renewed at 9 s, with replies at 7 s and 16 s, the first of which comes too late for the next one.
        assert_eq!(began.elapsed(), RENEWED_WITHIN);
    }
}
