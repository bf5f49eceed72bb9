//! Reports of decisions as kube-scheduler writes them: conditions of pods, and events.
//!
//! Reports are written behind the decisions, some at a time. If they come faster than they can be written, further ones are dropped and counted,
//! as `EventBroadcaster` of client-go does.
//!
//! Source: `pkg/scheduler/schedule_one.go` (`handleSchedulingFailure`, `bind`), `tools/events/event_broadcaster.go` of client-go.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use metrics::counter;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};

use crate::{
    clock,
    core::{model::Pod, snapshot::Kind},
    service::{
        Service,
        error::{Error, Result},
        objects::{Intent, Manager, Options, Part, Target, generated, write},
        source::{
            ApiRequest, ApiServer,
            requests::{self, message, send},
        },
    },
    telemetry::{self, seldom::DROPPED_REPORTS},
    wire::{
        kinds::{self, StoredKind},
        patch::PatchType,
        schedule::{ScheduleResult, ScheduledPod},
    },
};

/// Reports that wait at most.
const MOST_WAITING: usize = 20_000;

/// Reports taken at a time, and written at the same time.
const AT_ONCE: usize = 64;

/// Longest note of an event (`pkg/apis/core/validation/events.go`).
const LONGEST_NOTE: usize = 1_024;

/// Time within which an event of the same text is one of a series.
const SERIES: Duration = Duration::from_mins(6);

/// Pods of which the last report is known.
const MOST_KNOWN: usize = 50_000;

/// Writes reports until it is dropped.
#[derive(Debug)]
pub(super) struct Reporter {
    reports: mpsc::Sender<Report>,
    running: AbortHandle,
}

/// A pod and what came of it.
type Report = (Arc<Pod>, ScheduledPod);

/// The last report about a pod that fits nowhere.
#[derive(Debug)]
struct Last {
    message: String,
    event: String,
    count: u32,
    at: Instant,
}

impl Reporter {
    /// Starts writing reports about pods of a cluster, to the API server of the live one that it mirrors, if it does.
    pub(super) fn start(service: &Service, cluster: &Arc<str>, server: Option<Arc<dyn ApiServer>>) -> Self {
        let (reports, waiting) = mpsc::channel(MOST_WAITING);
        let writer = Writer { service: service.clone(), cluster: cluster.clone(), server, last: HashMap::new() };
        let running = tokio::spawn(writer.run(waiting)).abort_handle();
        Self { reports, running }
    }

    /// Reports what came of a pod.
    pub(super) fn tell(&self, pod: Arc<Pod>, result: ScheduledPod) {
        if self.reports.try_send((pod, result)).is_err() {
            counter!(telemetry::REPORTS_DROPPED).increment(1);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Writer {
    service: Service,
    cluster: Arc<str>,
    server: Option<Arc<dyn ApiServer>>,
    /// By the uid of the pod.
    last: HashMap<String, Last>,
}

/// One write.
struct Task {
    target: Target,
    intent: Intent,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Report>) {
        let mut reports = Vec::new();
        while waiting.recv_many(&mut reports, AT_ONCE).await > 0 {
            let tasks: Vec<Task> = reports.drain(..).flat_map(|(pod, result)| self.tasks(&pod, &result)).collect();
            let (service, server) = (&self.service, self.server.as_deref());
            let carried = |task| async move {
                match server {
                    Some(server) => carry_out_there(server, task).await,
                    None => carry_out(service, task).await,
                }
            };
            let written = stream::iter(tasks).map(carried).buffer_unordered(AT_ONCE);
            written.for_each(|()| async {}).await;
        }
    }

    /// The writes of a report.
    fn tasks(&mut self, pod: &Pod, result: &ScheduledPod) -> Vec<Task> {
        let mut tasks = Vec::new();
        match result.result {
            ScheduleResult::Bound => {
                let node = result.node.as_deref().unwrap_or_default();
                let note = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                tasks.extend(self.event(pod, ("Normal", "Scheduled", "Binding"), &note, None));
                // An API server sets the condition with the bind.
                if self.last.remove(&*pod.uid).is_some() && self.server.is_none() {
                    tasks.extend(self.condition(pod, &json!({"status": "True"})));
                }
            }
            ScheduleResult::Unschedulable | ScheduleResult::Failed => {
                let message = result.message.as_deref().unwrap_or_default();
                let reason = if result.result == ScheduleResult::Failed { "SchedulerError" } else { "Unschedulable" };
                tasks.extend(self.failed(pod, message, reason));
            }
            _ => {}
        }
        let node = result.node.as_deref().or(result.nominated_node.as_deref()).unwrap_or_default();
        for victim in &result.victims {
            let victim = Pod { namespace: (*victim.namespace).into(), name: (*victim.name).into(), ..Pod::default() };
            let note = format!("Preempted by pod {} on node {node}", pod.uid);
            let how = ("Normal", "Preempted", "Preempting");
            tasks.extend(self.event(&victim, how, &note, Some(&pod.spec.scheduler_name)));
        }
        tasks
    }

    /// The event about a pod that is on no node, or the next one of a series; and its condition, if that is another one than before.
    fn failed(&mut self, pod: &Pod, message: &str, reason: &str) -> Vec<Task> {
        let now = Instant::now();
        if let Some(last) =
            self.last.get_mut(&*pod.uid).filter(|last| last.message == message && now < last.at + SERIES)
        {
            (last.count, last.at) = (last.count + 1, now);
            let series = json!({"series": {"count": last.count, "lastObservedTime": micros(clock::now())}});
            let (name, kind) = (last.event.clone(), event_kind());
            return kind.map(|kind| self.task(kind, pod, name, patch(&series, Part::Main))).into_iter().collect();
        }
        if self.last.len() >= MOST_KNOWN {
            self.last.retain(|_, last| now < last.at + SERIES);
        }
        let event = self.event(pod, ("Warning", "FailedScheduling", "Scheduling"), message, None);
        let Some(event) = event else { return Vec::new() };
        if self.last.len() < MOST_KNOWN {
            let last = Last { message: message.to_owned(), event: event.target.name.clone(), count: 1, at: now };
            self.last.insert(pod.uid.to_string(), last);
        }
        let told = json!({"status": "False", "reason": reason, "message": message});
        [Some(event), self.condition(pod, &told)].into_iter().flatten().collect()
    }

    /// The write of the condition `PodScheduled`.
    fn condition(&self, pod: &Pod, told: &Value) -> Option<Task> {
        let mut condition =
            json!({"type": "PodScheduled", "lastProbeTime": null, "lastTransitionTime": clock::now_rfc3339()});
        for (field, value) in told.as_object()? {
            condition[field] = value.clone();
        }
        if told.get("reason").is_none() {
            // They were those of the refusal.
            condition["reason"] = Value::Null;
            condition["message"] = Value::Null;
        }
        let body = json!({"metadata": {"uid": *pod.uid}, "status": {"conditions": [condition]}});
        Some(self.task(kinds::by_core(Kind::Pod)?, pod, pod.name.to_string(), patch(&body, Part::Status)))
    }

    /// The write of an event about a pod.
    fn event(
        &self,
        pod: &Pod,
        (level, reason, action): (&str, &str, &str),
        note: &str,
        controller: Option<&str>,
    ) -> Option<Task> {
        let kind = event_kind()?;
        let name = generated(&format!("{}.", pod.name));
        let cut = note.floor_char_boundary(LONGEST_NOTE);
        let body = json!({
            "kind": kind.kind, "apiVersion": kind.api_version(),
            "metadata": {"name": name, "namespace": *pod.namespace},
            "eventTime": micros(clock::now()),
            "reportingController": controller.unwrap_or(&pod.spec.scheduler_name),
            "reportingInstance": "podberth",
            "action": action, "reason": reason, "type": level,
            "regarding": {"kind": "Pod", "apiVersion": "v1", "namespace": *pod.namespace, "name": *pod.name, "uid": *pod.uid},
            "note": note.get(..cut).unwrap_or_default(),
        });
        Some(self.task(kind, pod, name, Intent::Create(body.to_string().into())))
    }

    fn task(&self, kind: &'static StoredKind, pod: &Pod, name: String, intent: Intent) -> Task {
        let namespace = Some(pod.namespace.to_string());
        Task { target: Target { cluster: self.cluster.clone(), kind, namespace, name }, intent }
    }
}

fn event_kind() -> Option<&'static StoredKind> {
    kinds::by_api_version("events.k8s.io/v1", "Event")
}

fn patch(body: &Value, part: Part) -> Intent {
    Intent::Patch { patch: PatchType::Strategic, body: body.to_string().into(), part }
}

/// As `MicroTime` is written.
fn micros(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// The request for a write to an API server; `None` if reports make no such write.
fn request(Task { target, intent }: &Task) -> Option<ApiRequest> {
    let collection = requests::collection(target.kind, target.namespace.as_deref().unwrap_or_default());
    let (method, path, content_type, body) = match intent {
        Intent::Create(body) => ("POST", collection, "application/json", body),
        Intent::Patch { body, part, .. } => {
            let part = if *part == Part::Status { "/status" } else { "" };
            let path = format!("{collection}/{}{part}", target.name);
            ("PATCH", path, "application/strategic-merge-patch+json", body)
        }
        Intent::Replace { .. } => return None,
    };
    Some(ApiRequest { method, path, content_type, body: body.clone() })
}

/// Carries a write out through the API server. A report that cannot be written is dropped.
async fn carry_out_there(server: &dyn ApiServer, task: Task) {
    let Some(request) = request(&task) else { return };
    let why = match send(server, request).await {
        // The pod is gone or another one, or the event has expired.
        Ok(reply) if reply.code < 300 || matches!(reply.code, 404 | 409) => return,
        Ok(reply) => message(&reply),
        Err(why) => why,
    };
    counter!(telemetry::REPORTS_DROPPED).increment(1);
    if let Some(left_out) = DROPPED_REPORTS.turn() {
        let Target { cluster, kind, name, .. } = &task.target;
        tracing::warn!(
            cluster = &**cluster,
            kind = kind.kind,
            name,
            why,
            left_out,
            "an event or a condition cannot be written: see podberth rbac loop for the rights"
        );
    }
}

/// Carries a write out. A report that cannot be written is dropped.
async fn carry_out(service: &Service, Task { target, intent }: Task) {
    let manager = Manager { name: "podberth-scheduler".into(), is_named: true };
    let options = Options { manager, ..Options::default() };
    let written: Result<_> = write(service, &target, intent, &options).await;
    match written {
        Ok(_) | Err(Error::NotFound(_) | Error::Conflict { .. }) => {}
        Err(error) => {
            counter!(telemetry::REPORTS_DROPPED).increment(1);
            tracing::debug!(cluster = &*target.cluster, name = target.name, %error, "a report cannot be written");
        }
    }
}
