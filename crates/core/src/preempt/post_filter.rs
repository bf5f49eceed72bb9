//! The end of an unschedulable pod's sentence: the words of the plugins that are asked once no node fits, `DynamicResources` before
//! `DefaultPreemption`.
//!
//! Source: `RunPostFilterPlugins` in `pkg/scheduler/framework/runtime/framework.go`; `PostFilter` in
//! `plugins/dynamicresources/dynamicresources.go` and `plugins/defaultpreemption/default_preemption.go`. Difference: devices are never taken from a
//! claim that no pod uses, so the sentence never says that they were.

use crate::{cycle::Cycle, devices::PodClaims, model::Pod, policy::Profile, snapshot::Snapshot};

const DYNAMIC_RESOURCES: &str = "DynamicResources";
/// Its words for a pod without claims, and for one whose claims have a fault.
const NO_CLAIMS: &str = "no new claims to deallocate";
/// Its words for a pod with claims.
const NO_CURE: &str = "still not schedulable";
/// Its words where an earlier plugin refused the pod before any node was looked at. This counts as an error, so preemption is not asked.
const NO_STATE: &str = "not found";

/// The words for a pod that preemption does not help, for the reason `preemption`; `None` where the release or the profile has none.
pub(super) fn note(
    profile: &Profile,
    pod: &Pod,
    snapshot: &Snapshot,
    cycle: &Cycle<'_, '_>,
    preemption: &str,
) -> Option<String> {
    if !profile.release.facts().tells_why_preemption_failed || snapshot.node_count() == 0 {
        return None;
    }
    let about_claims = profile.asks_about_claims.then(|| about_claims(pod, snapshot, cycle));
    if about_claims == Some(NO_STATE) {
        return Some(NO_STATE.into());
    }
    let about_preemption = profile.preemption.map(|_| format!("preemption: {preemption}"));
    let words: Vec<String> = about_claims.map(Into::into).into_iter().chain(about_preemption).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn about_claims(pod: &Pod, snapshot: &Snapshot, cycle: &Cycle<'_, '_>) -> &'static str {
    match cycle.rejection() {
        Some(rejection) if rejection.predicate.plugin == DYNAMIC_RESOURCES => NO_CLAIMS,
        Some(_) => NO_STATE,
        None => match PodClaims::of(pod, snapshot.devices()) {
            Ok(claims) if !claims.is_empty() => NO_CURE,
            _ => NO_CLAIMS,
        },
    }
}
