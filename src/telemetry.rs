//! Logs, measurements and traces: how they leave the process, and the names they have.
//!
//! Metrics that kube-scheduler has too keep its names and labels behind [`PREFIX`], so that dashboards move over by one
//! substitution (Kubernetes: `pkg/scheduler/metrics/metrics.go`).

use std::{fs, io::IsTerminal, sync::OnceLock};

use clap::ValueEnum;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

#[cfg(feature = "otlp")]
mod collector;
pub mod labels;
pub mod process;
pub mod seldom;
#[cfg_attr(not(feature = "otlp"), path = "telemetry/untraced.rs")]
pub mod trace;

/// The prefix of every metric's name.
pub const PREFIX: &str = "podberth_";

/// The commit this binary was built from; empty where the build did not know.
pub const COMMIT: &str = env!("PODBERTH_COMMIT");

/// When that commit was made; empty where the build did not know.
pub const BUILD_DATE: &str = env!("PODBERTH_BUILD_DATE");

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error from now on. `filter` is a level, or directives as in
/// `info,podberth_store=debug`.
pub fn log(filter: EnvFilter, format: LogFormat) {
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    // A second call, as in tests, keeps what is installed.
    drop(installed);
}

/// The type of a metric.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// One line of the table of metrics.
#[derive(Clone, Copy, Debug)]
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

/// Seconds, from 10 µs (a filter on names) to 10 s.
const FAST: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Seconds, from a lost connection to an hour.
const OUTAGES: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
/// Nodes, pods or batch entries.
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0];

/// Declares the constants and the table that describes them in one go.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:expr, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = concat!("podberth_", $name);)*

        /// Every metric there is.
        const METRICS: &[Metric] = &[$(Metric { name: $constant, kind: $kind, help: $help }),*];
    };
}

metrics! {
    HTTP_REQUESTS = "http_requests_total", Kind::Counter, "Requests by method, route and status code.";
    HTTP_REQUEST_DURATION = "http_request_duration_seconds", Kind::Histogram(FAST),
        "Time to the beginning of the reply, by method and route.";
    BODY_BYTES = "request_body_bytes", Kind::Gauge,
        "Memory held by the bodies of requests at the moment, by lane (small, large).";
    DECODED_BYTES = "decoded_bytes", Kind::Gauge, "Memory held by parsed bodies at the moment.";
    BODIES_WAITING = "request_bodies_waiting", Kind::Gauge, "Requests whose bodies wait for room in memory, by lane.";
    BODIES_REFUSED = "request_bodies_refused_total", Kind::Counter,
        "Requests refused because no room became free for their bodies in time, by lane.";
    TLS_HANDSHAKES = "tls_handshakes_total", Kind::Counter,
        "Handshakes over TLS by result: completed, or the reason why there is no connection.";
    TLS_RELOADS = "tls_reloads_total", Kind::Counter, "Changes of the files with certificates, by result (loaded, refused).";
    TLS_CERTIFICATE_EXPIRY = "tls_certificate_expiry_timestamp_seconds", Kind::Gauge,
        "End of the server's own certificate, in seconds since 1970; absent without TLS.";
    EXTENDER_REQUESTS = "extender_requests_total", Kind::Counter,
        "Extender calls by verb, status code and form (nodes or names).";
    EXTENDER_REQUEST_DURATION = "extender_request_duration_seconds", Kind::Histogram(FAST),
        "Time for an extender call from its last byte to the reply, by verb.";
    DOWNSTREAM_REQUESTS = "downstream_extender_requests_total", Kind::Counter,
        "Calls of a policy's own extenders by extender (host and port), verb and code: the status code, or the reason why there is none.";
    DOWNSTREAM_REQUEST_DURATION = "downstream_extender_request_duration_seconds", Kind::Histogram(FAST),
        "Time for a call of a policy's own extender, by extender and verb.";
    EXTENSION_POINT_DURATION = "framework_extension_point_duration_seconds", Kind::Histogram(FAST),
        "Time for all plugins of an extension point, by extension point, status and profile.";
    PLUGIN_EXECUTION_DURATION = "plugin_execution_duration_seconds", Kind::Histogram(FAST),
        "Time for one plugin in one of ten cycles, for all nodes together, by plugin and extension point.";
    COMPUTATIONS_STOPPED = "computations_stopped_total", Kind::Counter,
        "Computations stopped because no client waited for their result any more.";
    SCHEDULE_ATTEMPTS = "schedule_attempts_total", Kind::Counter,
        "Pods that /schedule and --loop decided, by result (scheduled, unschedulable, error) and profile.";
    SCHEDULING_ATTEMPT_DURATION = "scheduling_attempt_duration_seconds", Kind::Histogram(FAST),
        "Time to decide for one pod of /schedule, without the commit, by result and profile.";
    PREEMPTION_ATTEMPTS = "preemption_attempts_total", Kind::Counter, "Pods for which /schedule evicted others.";
    PREEMPTION_VICTIMS = "preemption_victims", Kind::Histogram(COUNTS), "Pods evicted for one pod.";
    PENDING_PODS = "pending_pods", Kind::Gauge, "Pods that wait for a node, by queue.";
    CACHE_SIZE = "cache_size", Kind::Gauge, "Objects in the snapshot, by type (nodes, pods).";
    NODES_EVALUATED = "nodes_evaluated", Kind::Histogram(COUNTS), "Nodes that a decision considered.";
    NODE_REJECTIONS = "node_rejections_total", Kind::Counter, "Nodes refused, by plugin and reason code.";
    SNAPSHOT_AGE = "snapshot_age_seconds", Kind::Gauge,
        "Time since the database last confirmed that the snapshots are the newest.";
    FEED_LAG = "feed_lag_revisions", Kind::Gauge,
        "Revisions by which the oldest snapshot was behind the database at the last check.";
    FEED_DURATION = "feed_read_duration_seconds", Kind::Histogram(FAST),
        "Time from the start of a read of the change feed with changes to the published snapshot.";
    COMMIT_DURATION = "commit_duration_seconds", Kind::Histogram(FAST),
        "Time from a change's entry into the queue to its answer, by result (written, failed).";
    COMMITS_WAITING = "commits_waiting", Kind::Gauge, "Changes that wait to be written, by lane (binds, others).";
    COMMITS_REJECTED = "commits_rejected_total", Kind::Counter, "Changes refused because too many were queued.";
    BATCH_DURATION = "batch_duration_seconds", Kind::Histogram(FAST), "Time for the transaction of a batch of changes.";
    BATCH_ROWS = "batch_rows", Kind::Histogram(COUNTS), "Objects of a batch.";
    BATCH_CALLS = "batch_calls", Kind::Histogram(COUNTS), "Callers that shared a batch.";
    BATCHES_RETRIED = "batches_retried_total", Kind::Counter,
        "Batches tried again because the snapshot was too far behind to judge them.";
    BINDS_UNJUDGED = "binds_unjudged_total", Kind::Counter,
        "Binds refused because they could not be judged, by reason (TooLong, Panicked).";
    WRITERS_ENDED = "writers_ended_total", Kind::Counter,
        "Writer tasks of clusters that ended by a fault; each is replaced at the next request for its cluster.";
    JOURNALS_ENDED = "journals_ended_total", Kind::Counter,
        "Journals of clusters that ended by a fault; each begins anew with the next watch.";
    WATCHES = "watches", Kind::Gauge, "Watches in progress.";
    WATCHES_EXPIRED = "watches_expired_total", Kind::Counter,
        "Watches that ended with 410 Expired: too old a revision, or a client that was too slow.";
    QUEUED_PODS = "scheduler_queue_pods", Kind::Gauge,
        "Pods that wait for Podberth's own scheduler, by queue (active, backoff, unschedulable, gated).";
    REPORTS_DROPPED = "scheduler_reports_dropped_total", Kind::Counter,
        "Events and conditions of Podberth's own scheduler that were not written.";
    SYNC_EVENTS = "sync_events_total", Kind::Counter, "Events of watches of live clusters, by cluster and kind.";
    SYNC_BYTES = "sync_bytes_total", Kind::Counter, "Bytes of lists and events of live clusters, decompressed, by cluster and kind.";
    SYNC_RELISTS = "sync_relists_total", Kind::Counter,
        "Kinds of live clusters listed again, by kind and reason (expired, stale, order, refused).";
    SYNC_ERRORS = "sync_errors_total", Kind::Counter, "Failed requests of mirrors to API servers, by cluster and kind.";
    SYNC_UNREADABLE = "sync_unreadable_objects_total", Kind::Counter,
        "Objects of live clusters that cannot be read and are left out, by kind.";
    SYNC_LAG = "sync_lag_seconds", Kind::Gauge,
        "Time since the API server last told of a state that is in the mirror, by cluster and kind.";
    SYNC_OBJECTS = "sync_objects", Kind::Gauge, "Objects in the mirror, by cluster and kind.";
    API_BINDS = "api_server_binds_total", Kind::Counter,
        "Binds brought to the API servers of live clusters, by result (bound, taken, gone, refused, unknown).";
    NODES_OVERCOMMITTED = "nodes_overcommitted", Kind::Gauge,
        "Nodes of a cluster with own scheduling whose pods ask for more than there is, by cluster.";
    LOOPS_ENDED = "loops_ended_total", Kind::Counter,
        "Runs of background loops that ended by a fault; each begins again.";
    REQUESTS_INFLIGHT = "requests_inflight", Kind::Gauge, "Requests in progress that have a seat, by class (extender, read, write, heavy).";
    REQUESTS_QUEUED = "requests_queued", Kind::Gauge, "Requests that wait for a seat, by class.";
    REQUESTS_REJECTED = "requests_rejected_total", Kind::Counter,
        "Requests answered 429 because too many of their class waited, or because their user had too many watches (watch).";
    AUDIT_EVENTS = "audit_events_total", Kind::Counter, "Audit events that are recorded.";
    AUDIT_EVENTS_LOST = "audit_events_lost_total", Kind::Counter,
        "Audit events that are not recorded, by reason: dropped (reads, for which there was no room), unwritten (the file), refused (by the ledger).";
    AUDIT_EVENTS_WAITING = "audit_events_waiting", Kind::Gauge, "Audit events that wait to be recorded.";
    AUTOSCALE_NODES = "autoscale_nodes", Kind::Gauge,
        "Nodes of node groups, by cluster and state (ready, unready, coming, leaving, unneeded), and how many they are to be (target).";
    AUTOSCALE_ACTIONS = "autoscale_actions_total", Kind::Counter,
        "Steps of the loop over node groups, by action (setTargetSize, cordon, uncordon, deleteNode).";
    AUTOSCALE_GROUPS_AT_FAULT = "autoscale_groups_at_fault", Kind::Gauge,
        "Node groups that the loop leaves alone, since they share nodes or their sizes contradict each other, by cluster.";
    AUTOSCALE_TURNS = "autoscale_turns_total", Kind::Counter,
        "Turns of the loop over node groups, by result (watching, cooldown, unhealthy, failed).";
    AUTOSCALE_TURN_DURATION = "autoscale_turn_duration_seconds", Kind::Histogram(FAST), "Time for a turn of that loop.";
    AUTOSCALE_MESSAGES = "autoscale_messages_total", Kind::Counter,
        "Messages to the webhook of that loop, by outcome (accepted, failed).";
    HPA_TURNS = "hpa_turns_total", Kind::Counter, "Turns of the loop over HorizontalPodAutoscalers, by outcome (done, failed).";
    HPA_RESCALES = "hpa_rescales_total", Kind::Counter, "Workloads that this loop scaled, by direction (up, down).";
    HPA_QUERIES_FAILED = "hpa_queries_failed_total", Kind::Counter, "Queries that Prometheus did not answer.";
    RESCHEDULE_EVICTIONS = "reschedule_evictions_total", Kind::Counter,
        "Evictions that the rescheduling loop asked for, by result (evicted, refused by a disruption budget, stale).";
    RESCHEDULE_PROPOSED = "reschedule_proposed_moves", Kind::Gauge,
        "Moves of the last turn of the rescheduling loop, by cluster.";
    DECISIONS_RECORDED = "decisions_recorded_total", Kind::Counter, "Decisions that are recorded.";
    DECISIONS_DROPPED = "decisions_dropped_total", Kind::Counter,
        "Decisions that are not recorded, by reason: dropped (there was no room), refused (by the ledger), unreadable, removed (with their cluster).";
    DECISIONS_WAITING = "decisions_waiting", Kind::Gauge, "Decisions that wait to be recorded.";
    WRITES_REFUSED = "writes_refused_total", Kind::Counter, "Objects not written, by reason.";
    REPLICAS = "replicas", Kind::Gauge, "Replicas that share clusters, as this process sees them; absent where clusters are not shared.";
    REQUESTS_PASSED_ON = "requests_passed_on_total", Kind::Counter,
        "Requests for clusters of other replicas, by the one that answered: owner, other-owner, self (no owner could be reached), none (an owner went away meanwhile).";
    CLUSTERS_LIVE = "clusters_live", Kind::Gauge, "Clusters that this process keeps in memory.";
    CLUSTERS_AWAY = "clusters_away", Kind::Gauge, "Clusters in memory that cannot be read at the moment.";
    WATCHER_RESTARTS = "cluster_watcher_restarts_total", Kind::Counter, "Number of times that the watcher of the clusters ended by a fault.";
    OUTAGE_DURATION = "database_outage_duration_seconds", Kind::Histogram(OUTAGES),
        "Time for which the database did not answer, observed for each cluster once it does again.";
    JWKS_KEYS = "jwks_keys", Kind::Gauge, "Keys of an issuer of tokens, by issuer.";
    JWKS_READS = "jwks_reads_total", Kind::Counter, "Reads of the keys of an issuer of tokens, by issuer and result (ok, failed).";
    JWKS_READ_AT = "jwks_read_timestamp_seconds", Kind::Gauge,
        "Time at which the keys of an issuer of tokens were last read, since 1970, by issuer.";
    POLICY_REVISION = "policy_revision_info", Kind::Gauge, "1; the labels are a policy of the default cluster and its revision in force.";
    DB_POOL_CONNECTIONS = "db_pool_connections", Kind::Gauge, "Database connections, by state (idle, used).";
    BUILD_INFO = "build_info", Kind::Gauge, "1; version and commit are in the labels.";
    PROCESS_RESIDENT_MEMORY = "process_resident_memory_bytes", Kind::Gauge, "Memory of the process.";
    RUNTIME_TASKS = "runtime_tasks", Kind::Gauge, "Tasks of the asynchronous runtime that have not ended.";
    RUNTIME_QUEUE = "runtime_queue_depth", Kind::Gauge, "Tasks that wait for a thread.";
}

/// Reasons of [`BINDS_UNJUDGED`].
pub const TOO_LONG: &str = "TooLong";
/// See [`TOO_LONG`].
pub const PANICKED: &str = "Panicked";

/// The process's recorder, installed at the first call.
pub fn recorder() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), buckets)?;
        }
    }
    let handle = HANDLE.get_or_init(|| {
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Fails only if another recorder is installed: then this one stays empty.
        drop(metrics::set_global_recorder(recorder));
        handle
    });
    describe();
    begin_at_zero();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "commit" => COMMIT).set(1.0);
    Ok(handle.clone())
}

/// Shows the counters of faults at 0 from the start: Prometheus sees no increase in a series that begins with 1.
fn begin_at_zero() {
    for name in [
        COMMITS_REJECTED,
        BATCHES_RETRIED,
        WRITERS_ENDED,
        JOURNALS_ENDED,
        WATCHES_EXPIRED,
        LOOPS_ENDED,
        REPORTS_DROPPED,
        WATCHER_RESTARTS,
        COMPUTATIONS_STOPPED,
        PREEMPTION_ATTEMPTS,
        AUDIT_EVENTS,
        DECISIONS_RECORDED,
    ] {
        counter!(name).increment(0);
    }
    gauge!(CLUSTERS_AWAY).increment(0.0);
    for reason in [TOO_LONG, PANICKED] {
        counter!(BINDS_UNJUDGED, "reason" => reason).increment(0);
    }
    for class in ["extender", "read", "write", "watch", "heavy"] {
        counter!(REQUESTS_REJECTED, "class" => class).increment(0);
    }
    for reason in ["dropped", "unwritten", "refused"] {
        counter!(AUDIT_EVENTS_LOST, "reason" => reason).increment(0);
    }
    for reason in ["dropped", "refused", "unreadable", "removed"] {
        counter!(DECISIONS_DROPPED, "reason" => reason).increment(0);
    }
    for result in ["loaded", "refused"] {
        counter!(TLS_RELOADS, "result" => result).increment(0);
    }
    for lane in ["small", "large"] {
        counter!(BODIES_REFUSED, "lane" => lane).increment(0);
    }
}

/// Every metric that is recorded, and whether it is a histogram.
pub fn names() -> impl Iterator<Item = (&'static str, bool)> {
    METRICS.iter().map(|metric| (metric.name, matches!(metric.kind, Kind::Histogram(_))))
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The lines of [`POLICY_REVISION`] for policies by name and revision. They are written and not recorded, since a recorder
/// would go on showing every revision that there ever was.
pub fn policy_revisions<'p>(policies: impl IntoIterator<Item = (&'p str, u64)>) -> String {
    let help = METRICS.iter().find(|metric| metric.name == POLICY_REVISION).map_or("", |metric| metric.help);
    let head = format!("# HELP {POLICY_REVISION} {help}\n# TYPE {POLICY_REVISION} gauge\n");
    let line = |(policy, revision)| format!("{POLICY_REVISION}{{policy=\"{policy}\",revision=\"{revision}\"}} 1\n");
    policies.into_iter().map(line).fold(head, |text, line| text + &line)
}

/// The mirror of one kind of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Mirrored<'m> {
    /// The cluster.
    pub cluster: &'m str,
    /// The kind.
    pub kind: &'m str,
    /// Seconds since the API server last told of it; `None` before the first whole list.
    pub lag: Option<f64>,
    /// Objects.
    pub objects: u64,
}

/// The lines of [`SYNC_LAG`] and [`SYNC_OBJECTS`]. They are written and not recorded, since they are of the moment at which they are read.
pub fn mirrors<'m>(kinds: impl Iterator<Item = Mirrored<'m>> + Clone) -> String {
    let head = |name| {
        let help = METRICS.iter().find(|metric| metric.name == name).map_or("", |metric| metric.help);
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n")
    };
    let lags = kinds.clone().filter_map(|Mirrored { cluster, kind, lag, .. }| {
        lag.map(|lag| format!("{SYNC_LAG}{{cluster=\"{cluster}\",kind=\"{kind}\"}} {lag:.3}\n"))
    });
    let objects = kinds.map(|Mirrored { cluster, kind, objects, .. }| {
        format!("{SYNC_OBJECTS}{{cluster=\"{cluster}\",kind=\"{kind}\"}} {objects}\n")
    });
    let text = lags.fold(head(SYNC_LAG), |text, line| text + &line) + &head(SYNC_OBJECTS);
    objects.fold(text, |text, line| text + &line)
}

/// The metrics as text, without series of policies and extenders that are gone.
pub fn render(recorded: &PrometheusHandle) -> String {
    let text = recorded.render();
    let is_told = |line: &&str| {
        [&labels::PROFILES, &labels::EXTENDERS, &labels::CLUSTERS].into_iter().all(|label| label.tells(line))
    };
    text.split_inclusive('\n').filter(is_told).collect()
}

/// Measures memory and the runtime, which is done only when metrics are read.
pub fn sample_process() {
    if let Some(bytes) = resident_memory() {
        gauge!(PROCESS_RESIDENT_MEMORY).set(bytes);
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        gauge!(RUNTIME_TASKS).set(runtime.metrics().num_alive_tasks() as f64);
        gauge!(RUNTIME_QUEUE).set(runtime.metrics().global_queue_depth() as f64);
    }
}

/// Bytes; Linux only.
fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}
