//! The status of a disruption budget, counted from the pods that it covers.
//!
//! Source: `pkg/controller/disruption/disruption.go` (`trySync`, `getExpectedPodCount`, `buildDisruptedPodMap`, `updatePdbStatus`),
//! `staging/src/k8s.io/component-helpers/apps/poddisruptionbudget/helpers.go`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// Time after which an evicted pod that is still there counts as staying.
const EVICTED_FOR: SignedDuration = SignedDuration::from_mins(2);

/// A workload: the number of its pods, and the workload that owns it.
#[derive(Clone, Debug)]
pub struct Workload {
    /// `spec.replicas`
    pub replicas: i64,
    /// The uid of its controller.
    pub controller: Option<String>,
}

/// The uid of the controller that an object names.
pub fn controller(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
}

/// `true` if the status depends on the workloads of the pods.
pub fn needs_workloads(budget: &Value) -> bool {
    let spec = &budget["spec"];
    !spec["maxUnavailable"].is_null() || spec["minAvailable"].is_string()
}

/// The status of a budget. `pods` are those that it covers, `workloads` those of its namespace by their uids.
pub fn status(budget: &Value, pods: &[Value], workloads: &BTreeMap<String, Workload>, now: Timestamp) -> Value {
    let (expected, desired) = demands(&budget["spec"], pods, workloads);
    let disrupted = disrupted(budget, pods, now);
    let healthy = pods.iter().filter(|pod| is_healthy(pod) && !disrupted.contains_key(name(pod))).count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let allowed = if expected > 0 { healthy.saturating_sub(desired).max(0) } else { 0 };
    let generation = budget["metadata"]["generation"].clone();
    let mut status = json!({
        "observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired,
        "expectedPods": expected, "conditions": conditions(budget, allowed, &generation, now),
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = disrupted.into();
    }
    status
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// The number of pods that there should be, and of those that must be healthy.
fn demands(spec: &Value, pods: &[Value], workloads: &BTreeMap<String, Workload>) -> (i64, i64) {
    let scaled = || -> i64 {
        let mut owners: BTreeSet<&str> = BTreeSet::new();
        for mut uid in pods.iter().filter_map(controller) {
            // A replica set of a deployment is as large as that says.
            if let Some(above) = workloads.get(uid).and_then(|one| one.controller.as_deref())
                && workloads.contains_key(above)
            {
                uid = above;
            }
            owners.insert(uid);
        }
        owners.into_iter().filter_map(|uid| workloads.get(uid)).fold(0_i64, |sum, one| sum.saturating_add(one.replicas))
    };
    match (&spec["maxUnavailable"], &spec["minAvailable"]) {
        (Value::Null, Value::Null) => (0, 0),
        (Value::Null, Value::Number(least)) => {
            (i64::try_from(pods.len()).unwrap_or(i64::MAX), least.as_i64().unwrap_or_default())
        }
        (Value::Null, share) => {
            let expected = scaled();
            (expected, part(share, expected))
        }
        (most, _) => {
            let expected = scaled();
            (expected, expected.saturating_sub(part(most, expected)).max(0))
        }
    }
}

/// A number, or a percentage of a number, rounded up.
fn part(of: &Value, whole: i64) -> i64 {
    let percent = of.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) => percent.saturating_mul(whole).saturating_add(99) / 100,
        None => of.as_i64().unwrap_or_default(),
    }
}

fn is_healthy(pod: &Value) -> bool {
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    pod["metadata"]["deletionTimestamp"].is_null()
        && pod["status"]["conditions"].as_array().is_some_and(|conditions| conditions.iter().any(is_ready))
}

/// The evicted pods that are still expected to go.
fn disrupted(budget: &Value, pods: &[Value], now: Timestamp) -> Map<String, Value> {
    let noted = budget["status"]["disruptedPods"].as_object().into_iter().flatten();
    let counts = |pod: &str, since: &Value| {
        let since = since.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        since.is_some_and(|since| now.duration_since(since) <= EVICTED_FOR)
            && pods.iter().any(|one| name(one) == pod && one["metadata"]["deletionTimestamp"].is_null())
    };
    noted.filter(|(pod, since)| counts(pod, since)).map(|(pod, since)| (pod.clone(), since.clone())).collect()
}

/// The conditions, with that about disruptions as it is now.
fn conditions(budget: &Value, allowed: i64, generation: &Value, now: Timestamp) -> Value {
    const TYPE: &str = "DisruptionAllowed";
    let stored = budget["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let before = stored.iter().find(|condition| condition["type"] == TYPE);
    let since = before.filter(|before| before["status"] == status).map(|before| before["lastTransitionTime"].clone());
    let since = since.unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    let mut conditions: Vec<Value> = stored.iter().filter(|condition| condition["type"] != TYPE).cloned().collect();
    conditions
        .push(json!({"type": TYPE, "status": status, "reason": reason, "message": "", "lastTransitionTime": since,
        "observedGeneration": generation}));
    conditions.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: bool, owner: &str) -> Value {
        let ready = if ready { "True" } else { "False" };
        let mut pod =
            json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        if !owner.is_empty() {
            pod["metadata"]["ownerReferences"] = json!([{"uid": owner, "controller": true}]);
        }
        pod
    }

    fn counted(spec: &Value, pods: &[Value]) -> [i64; 4] {
        let workload =
            |replicas, controller: Option<&str>| Workload { replicas, controller: controller.map(str::to_owned) };
        let workloads =
            [("rs", workload(9, Some("deployment"))), ("deployment", workload(5, None)), ("set", workload(2, None))];
        let workloads = workloads.into_iter().map(|(uid, one)| (uid.to_owned(), one)).collect();
        let budget = json!({"metadata": {"generation": 3}, "spec": spec});
        let now = "2026-11-26T10:00:00Z".parse().expect("an instant");
        let status = status(&budget, pods, &workloads, now);
        assert_eq!(status["observedGeneration"], 3);
        ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"]
            .map(|field| status[field].as_i64().expect("a number"))
    }

    #[test]
    fn allowed_disruptions_are_the_healthy_pods_beyond_those_needed() {
        let pods = [pod("a", true, "rs"), pod("b", true, "rs"), pod("c", false, "set"), pod("d", true, "")];
        // A number counts the pods that there are; 3 of 4 are ready.
        assert_eq!(counted(&json!({"minAvailable": 2}), &pods), [4, 3, 2, 1]);
        assert_eq!(counted(&json!({"minAvailable": 4}), &pods), [4, 3, 4, 0]);
        // A share counts the pods that the workloads want: 5 of the deployment and 2 of the set. 30 % of 7 is 2.1, so 3.
        assert_eq!(counted(&json!({"minAvailable": "30%"}), &pods), [7, 3, 3, 0]);
        assert_eq!(counted(&json!({"minAvailable": "20%"}), &pods), [7, 3, 2, 1]);
        assert_eq!(counted(&json!({"maxUnavailable": 5}), &pods), [7, 3, 2, 1]);
        assert_eq!(counted(&json!({"maxUnavailable": 1}), &[]), [0, 0, 0, 0]);
    }

    #[test]
    fn an_evicted_pod_does_not_count_until_it_stays() {
        let at = |now: &str| {
            let budget = json!({"metadata": {"generation": 1}, "spec": {"minAvailable": 1},
                "status": {"disruptedPods": {"a": "2026-11-26T10:00:00Z", "gone": "2026-11-26T10:00:00Z"}}});
            let pods = [pod("a", true, ""), pod("b", true, "")];
            status(&budget, &pods, &BTreeMap::new(), now.parse().expect("an instant"))
        };
        let soon = at("2026-11-26T10:01:00Z");
        assert_eq!((&soon["currentHealthy"], &soon["disruptionsAllowed"]), (&json!(1), &json!(0)));
        assert_eq!(soon["disruptedPods"], json!({"a": "2026-11-26T10:00:00Z"}));
        let later = at("2026-11-26T10:02:01Z");
        assert_eq!((&later["disruptionsAllowed"], &later["disruptedPods"]), (&json!(1), &Value::Null));
    }
}
