//! The cells of pods.
//!
//! Source: `printPod` in `pkg/printers/internalversion/printers.go` of 1.34.

use jiff::Timestamp;
use serde_json::Value;

use super::{condition, has_condition, is_terminating, list, number};
use crate::kinds::columns::{NONE, elapsed, instant, text};

/// The state of a pod in one word, with its containers counted.
struct Summary {
    status: String,
    ready: usize,
    containers: usize,
    restarts: i64,
    /// When a container ended that was started again since.
    last_restart: Option<Timestamp>,
}

/// Restarts, and when the last of them was.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count = self.count.saturating_add(number(status, "/restartCount"));
        self.last = self.last.max(instant(status, "/lastState/terminated/finishedAt"));
    }
}

/// The end of a container: its reason, or else its signal or exit code.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        (Some(reason), _) => reason.to_owned(),
        (None, 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        (None, signal) => format!("Signal:{signal}"),
    }
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = text(pod, "/status/phase").unwrap_or("Pending");
        // The API server writes the condition when it creates a pod with gates.
        let is_gated = condition(pod, "PodScheduled").map_or_else(
            || !list(pod, "/spec/schedulingGates").is_empty(),
            |found| found["reason"] == "SchedulingGated",
        );
        let reason = text(pod, "/status/reason");
        let status = if is_gated { "SchedulingGated" } else { reason.unwrap_or(phase) };

        let init = list(pod, "/spec/initContainers");
        let is_sidecar = |name: &Value| {
            init.iter().any(|container| container["name"] == *name && container["restartPolicy"] == "Always")
        };
        let sidecars = init.iter().filter(|container| container["restartPolicy"] == "Always").count();
        let mut summary = Self {
            status: status.to_owned(),
            ready: 0,
            containers: list(pod, "/spec/containers").len() + sidecars,
            restarts: 0,
            last_restart: None,
        };
        let (mut all, mut of_sidecars) = (Restarts::default(), Restarts::default());
        // The status of the init container that is waited for.
        let mut waits = None;
        for (at, container) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            all.add(container);
            let is_sidecar = is_sidecar(&container["name"]);
            if is_sidecar {
                of_sidecars.add(container);
            }
            let terminated = container.pointer("/state/terminated").filter(|state| state.is_object());
            if terminated.is_some_and(|state| number(state, "/exitCode") == 0) {
                continue;
            }
            if is_sidecar && container["started"] == true {
                summary.ready += usize::from(container["ready"] == true);
                continue;
            }
            let waiting = text(container, "/state/waiting/reason").filter(|reason| *reason != "PodInitializing");
            waits = Some(match (terminated, waiting) {
                (Some(terminated), _) => format!("Init:{}", ended(terminated)),
                (None, Some(reason)) => format!("Init:{reason}"),
                (None, None) => format!("Init:{at}/{}", init.len()),
            });
            break;
        }
        let is_initialized = waits.is_none() || has_condition(pod, "Initialized");
        summary.status = waits.unwrap_or(summary.status);
        if is_initialized {
            all = of_sidecars;
            summary.containers(pod, &mut all);
        }
        (summary.restarts, summary.last_restart) = (all.count, all.last);
        if is_terminating(pod) {
            if reason == Some("NodeLost") {
                summary.status = "Unknown".into();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.status = "Terminating".into();
            }
        }
        summary
    }

    fn containers(&mut self, pod: &Value, restarts: &mut Restarts) {
        let mut any_runs = false;
        for container in list(pod, "/status/containerStatuses").iter().rev() {
            restarts.add(container);
            let terminated = container.pointer("/state/terminated").filter(|state| state.is_object());
            if let Some(reason) = text(container, "/state/waiting/reason") {
                reason.clone_into(&mut self.status);
            } else if let Some(terminated) = terminated {
                self.status = ended(terminated);
            } else if container["ready"] == true && container.pointer("/state/running").is_some() {
                any_runs = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" && any_runs {
            self.status = if has_condition(pod, "Ready") { "Running" } else { "NotReady" }.into();
        }
    }
}

pub(crate) fn ready(pod: &Value, _: Timestamp) -> Value {
    let summary = Summary::of(pod);
    format!("{}/{}", summary.ready, summary.containers).into()
}

pub(crate) fn status(pod: &Value, _: Timestamp) -> Value {
    Summary::of(pod).status.into()
}

pub(crate) fn restarts(pod: &Value, now: Timestamp) -> Value {
    let summary = Summary::of(pod);
    match summary.last_restart.filter(|_| summary.restarts != 0) {
        Some(last) => format!("{} ({} ago)", summary.restarts, elapsed(last, now)).into(),
        None => summary.restarts.to_string().into(),
    }
}

pub(crate) fn readiness_gates(pod: &Value, _: Timestamp) -> Value {
    let gates = list(pod, "/spec/readinessGates");
    let open = gates.iter().filter_map(|gate| text(gate, "/conditionType")).filter(|of| has_condition(pod, of)).count();
    if gates.is_empty() { NONE.into() } else { format!("{open}/{}", gates.len()).into() }
}
