//! Scaling policies: how fast a HorizontalPodAutoscaler may change the number of replicas.
//!
//! ```yaml
//! behavior:
//!   scaleUp:
//!     selectPolicy: Max
//!     policies: [{type: Pods, value: 4, periodSeconds: 60}, {type: Percent, value: 100, periodSeconds: 60}]
//! ```
//!
//! Each policy looks at the changes of its period: from the number of replicas at the period's beginning, it permits a change by so many pods
//! or by so many percent. More are rounded up, fewer are cut to a whole number. `selectPolicy` takes the policy with the largest change (`Max`),
//! with the smallest (`Min`), or stops the direction (`Disabled`). The defaults are: up by 4 pods or 100 % per 15 seconds, whichever is more;
//! down by 100 % per 15 seconds.
//!
//! Without `behavior`, the number at most doubles, or rises to 4. `minReplicas` and `maxReplicas` hold in any case.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` (`convertDesiredReplicasWithBehaviorRate`, `convertDesiredReplicasWithRules`,
//! `calculateScaleUpLimitWithScalingRules`, `calculateScaleDownLimitWithBehaviors`), `pkg/apis/autoscaling/v2/defaults.go`.

use super::{
    calculate::{seconds, whole},
    context::Limit,
    history::{Event, History},
    spec::{Autoscaler, Behavior, PolicyKind, Rules, Select},
};

/// The number of replicas within the limits, and the limit that cut it.
pub(super) fn limited(
    hpa: &Autoscaler,
    history: &History,
    current: i32,
    wanted: i32,
    now: i64,
) -> (i32, Option<Limit>) {
    match &hpa.behavior {
        None => by_default(hpa, current, wanted),
        Some(behavior) => by_rate(hpa, behavior, history, current, wanted, now),
    }
}

fn by_default(hpa: &Autoscaler, current: i32, wanted: i32) -> (i32, Option<Limit>) {
    let fastest = current.saturating_mul(2).max(4);
    let (most, limit) = if hpa.max > fastest { (fastest, Limit::ScaleUp) } else { (hpa.max, Limit::Maximum) };
    if wanted < hpa.min {
        (hpa.min, Some(Limit::Minimum))
    } else if wanted > most {
        (most, Some(limit))
    } else {
        (wanted, None)
    }
}

fn by_rate(
    hpa: &Autoscaler,
    behavior: &Behavior,
    history: &History,
    current: i32,
    wanted: i32,
    now: i64,
) -> (i32, Option<Limit>) {
    if wanted > current {
        let fastest = up_limit(&behavior.up, history, current, now).max(current);
        let (most, limit) = if hpa.max > fastest { (fastest, Limit::ScaleUp) } else { (hpa.max, Limit::Maximum) };
        if wanted > most {
            return (most, Some(limit));
        }
    } else if wanted < current {
        let fastest = down_limit(&behavior.down, history, current, now).min(current);
        let (least, limit) = if hpa.min < fastest { (fastest, Limit::ScaleDown) } else { (hpa.min, Limit::Minimum) };
        if wanted < least {
            return (least, Some(limit));
        }
    }
    (wanted, None)
}

fn up_limit(rules: &Rules, history: &History, current: i32, now: i64) -> i32 {
    let each = rules.policies.iter().map(|policy| {
        let start = at_start(history, current, policy.period_seconds, now);
        match policy.kind {
            PolicyKind::Pods => start.saturating_add(policy.value),
            PolicyKind::Percent => whole(f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)),
        }
    });
    match rules.select {
        Select::Disabled => Some(current),
        Select::Min => each.min(),
        Select::Max => each.max(),
    }
    .unwrap_or(current)
}

fn down_limit(rules: &Rules, history: &History, current: i32, now: i64) -> i32 {
    let each = rules.policies.iter().map(|policy| {
        let start = at_start(history, current, policy.period_seconds, now);
        match policy.kind {
            PolicyKind::Pods => start.saturating_sub(policy.value),
            // Cut to a whole number; the conversion saturates.
            PolicyKind::Percent => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
        }
    });
    match rules.select {
        Select::Disabled => Some(current),
        // The smallest change leaves the most replicas.
        Select::Min => each.max(),
        Select::Max => each.min(),
    }
    .unwrap_or(current)
}

/// The number of replicas at the beginning of a period that ends now.
fn at_start(history: &History, current: i32, period_seconds: i32, now: i64) -> i32 {
    let cutoff = now.saturating_sub(seconds(period_seconds));
    let sum = |events: &[Event]| -> i64 {
        let recent = events.iter().filter(|event| event.time > cutoff);
        recent.map(|event| i64::from(event.change)).fold(0, i64::saturating_add)
    };
    let start = i64::from(current).saturating_sub(sum(&history.ups)).saturating_add(sum(&history.downs));
    start.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}
