//! Stabilization: a HorizontalPodAutoscaler follows its metrics only when they have asked for the change for some time.
//!
//! Without `behavior`, the highest proposal of the last 300 seconds counts (`--horizontal-pod-autoscaler-downscale-stabilization`). With
//! `behavior`, each direction has a window (`stabilizationWindowSeconds`; up 0, down as above): more replicas need all proposals of the window of
//! `scaleUp` to be above the present number, and the lowest of them counts; fewer need all of the window of `scaleDown` to be below it, and
//! the highest counts.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` (`stabilizeRecommendation`, `stabilizeRecommendationWithBehaviors`).

use super::{
    calculate::seconds,
    history::History,
    spec::{Behavior, Options},
};

/// The highest proposal of the controller's window. The proposal becomes a part of the history.
pub(super) fn by_window(history: &mut History, proposed: i32, options: &Options, now: i64) -> i32 {
    let cutoff = now.saturating_sub(seconds(options.downscale_window_seconds));
    let recent = history.recommendations.iter().filter(|entry| entry.time >= cutoff);
    let highest = recent.map(|entry| entry.replicas).max().map_or(proposed, |most| most.max(proposed));
    history.proposed(proposed, now, |time| time < cutoff);
    highest
}

/// The present number of replicas, moved into the bounds that the windows of the rules set. The proposal becomes a part of the history.
pub(super) fn by_behavior(
    history: &mut History,
    behavior: &Behavior,
    current: i32,
    proposed: i32,
    options: &Options,
    now: i64,
) -> i32 {
    let up_window = behavior.up.window_seconds.unwrap_or_default();
    let down_window = behavior.down.window_seconds.unwrap_or(options.downscale_window_seconds);
    let (up, down) = (now.saturating_sub(seconds(up_window)), now.saturating_sub(seconds(down_window)));
    let within = |cutoff: i64| {
        history.recommendations.iter().filter(move |entry| entry.time > cutoff).map(|entry| entry.replicas)
    };
    let lowest = within(up).fold(proposed, i32::min);
    let highest = within(down).fold(proposed, i32::max);
    history.proposed(proposed, now, |time| time < up && time < down);
    current.max(lowest).min(highest)
}
