//! Liveness, readiness, version and metrics of the process.
//!
//! Replies read like those of the Kubernetes components (`staging/src/k8s.io/apiserver/pkg/server/healthz/healthz.go`).

use std::fmt::Write as _;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use metrics::gauge;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    check::{Check, CheckResult},
    extract::{Path, Query},
    state::AppState,
};
use crate::{
    clock,
    core::snapshot::Snapshot,
    service::{error::Result, policies},
    telemetry,
};

/// The paths whose replies are plain text, errors too.
const PLAIN_TEXT: [&str; 4] = ["/livez", "/readyz", "/healthz", "/metrics"];

/// `true` for a path whose replies are plain text, errors too: a health endpoint, one of its checks, or the metrics.
pub fn is_plain_text(path: &str) -> bool {
    PLAIN_TEXT.iter().any(|plain| path.strip_prefix(plain).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The query of a health endpoint.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HealthQuery {
    /// Any value but `false` and `0`: list every check, also if all pass.
    #[param(required = false, value_type = String, nullable = false)]
    verbose: Option<String>,
}

impl HealthQuery {
    fn verbose(&self) -> bool {
        self.verbose.as_deref().is_some_and(|value| !matches!(value, "false" | "0"))
    }
}

/// Check that the process lives
///
/// Touches nothing else: restarting Podberth does not bring a database back.
#[utoipa::path(get, path = "/livez", operation_id = "getLiveness", tag = "health", params(HealthQuery), responses(
    (status = 200, description = "It lives.", body = String, content_type = "text/plain", example = "ok"),
))]
pub async fn livez(Query(query): Query<HealthQuery>) -> Result<Response> {
    Ok(report(&query, "livez", &[("ping", Ok(()))], &[]))
}

/// Check that the process is ready for traffic
///
/// Not ready while the database takes no writes, the schema is outdated, the snapshot is too old, or the process is stopping.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "health", params(HealthQuery), responses(
    (status = 200, description = "It is ready.", body = String, content_type = "text/plain", example = "ok"),
    (status = 503, description = "It is not ready; the reply lists every check.", body = String, content_type = "text/plain",
     example = "[-]database failed: connection refused\nreadyz check failed\n"),
))]
pub async fn readyz(State(state): State<AppState>, Query(query): Query<HealthQuery>) -> Result<Response> {
    Ok(report(&query, "readyz", &run(&state).await, &state.checks))
}

/// Check that the process is ready for traffic (older name)
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "health", params(HealthQuery), responses(
    (status = 200, description = "It is ready.", body = String, content_type = "text/plain", example = "ok"),
    (status = 503, description = "It is not ready; the reply lists every check.", body = String, content_type = "text/plain",
     example = "[-]database failed: connection refused\nhealthz check failed\n"),
))]
pub async fn healthz(State(state): State<AppState>, Query(query): Query<HealthQuery>) -> Result<Response> {
    Ok(report(&query, "healthz", &run(&state).await, &state.checks))
}

/// A check by its name.
async fn check(state: &AppState, name: &str) -> Response {
    let (ping, results) = ([("ping", Ok(()))], run(state).await);
    match ping.iter().chain(&results).find(|(known, _)| *known == name) {
        Some((_, Ok(()))) => "ok".into_response(),
        Some((_, Err(reason))) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("check failed: {reason}\n")).into_response()
        }
        None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}

/// Check one thing that readiness needs
#[utoipa::path(get, path = "/readyz/{check}", operation_id = "getReadinessCheck", tag = "health",
    params(("check" = String, Path, description = "A check, as `verbose` lists them, or `ping`.", example = "ping")), responses(
    (status = 200, description = "It passes.", body = String, content_type = "text/plain", example = "ok"),
    (status = 404, description = "No such check.", body = String, content_type = "text/plain"),
    (status = 503, description = "It fails; the reply has the reason.", body = String, content_type = "text/plain"),
))]
pub async fn readyz_check(State(state): State<AppState>, Path(name): Path<String>) -> Response {
    check(&state, &name).await
}

/// Check one thing that readiness needs (older name)
#[utoipa::path(get, path = "/healthz/{check}", operation_id = "getHealthCheck", tag = "health",
    params(("check" = String, Path, description = "A check, as `verbose` lists them, or `ping`.", example = "ping")), responses(
    (status = 200, description = "It passes.", body = String, content_type = "text/plain", example = "ok"),
    (status = 404, description = "No such check.", body = String, content_type = "text/plain"),
    (status = 503, description = "It fails; the reply has the reason.", body = String, content_type = "text/plain"),
))]
pub async fn healthz_check(State(state): State<AppState>, Path(name): Path<String>) -> Response {
    check(&state, &name).await
}

/// Check one thing that life needs
#[utoipa::path(get, path = "/livez/{check}", operation_id = "getLivenessCheck", tag = "health",
    params(("check" = String, Path, description = "`ping`.", example = "ping")), responses(
    (status = 200, description = "It passes.", body = String, content_type = "text/plain", example = "ok"),
    (status = 404, description = "No such check.", body = String, content_type = "text/plain"),
))]
pub async fn livez_check(Path(name): Path<String>) -> Response {
    if name == "ping" {
        return "ok".into_response();
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn run(state: &AppState) -> Vec<(&'static str, CheckResult)> {
    let stopping = if state.is_stopping() { Err("the process is shutting down".into()) } else { Ok(()) };
    let mut results = vec![("shutdown", stopping)];
    for check in &state.checks {
        results.push(check.result().await);
    }
    results
}

/// The results as Kubernetes components report them; a remark of a check stands behind its result.
fn report(query: &HealthQuery, endpoint: &str, results: &[(&str, CheckResult)], checks: &[Check]) -> Response {
    let ready = results.iter().all(|(_, result)| result.is_ok());
    if ready && !query.verbose() {
        return "ok".into_response();
    }
    let mut text = String::new();
    let remarks: Vec<_> = checks.iter().filter_map(Check::remark).collect();
    for (name, result) in results {
        let remark = remarks.iter().find(|(of, _)| of == name).map(|(_, remark)| format!(": {remark}"));
        let _ = match result {
            Ok(()) => writeln!(text, "[+]{name} ok{}", remark.unwrap_or_default()),
            Err(reason) => writeln!(text, "[-]{name} failed: {reason}"),
        };
    }
    let _ = writeln!(text, "{endpoint} check {}", if ready { "passed" } else { "failed" });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text).into_response()
}

/// The version of this server: `version.Info` of `apimachinery`, for kubectl.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Podberth's major version.
    #[schema(example = "0")]
    major: &'static str,
    /// Podberth's minor version.
    #[schema(example = "1")]
    minor: &'static str,
    /// The Kubernetes release whose API it follows: major.
    #[schema(example = "1")]
    emulation_major: &'static str,
    /// The Kubernetes release whose API it follows: minor.
    #[schema(example = "34")]
    emulation_minor: &'static str,
    /// Podberth's version.
    #[schema(example = "v0.1.0")]
    git_version: &'static str,
    /// The commit it was built from; empty if unknown.
    git_commit: &'static str,
    /// Always empty.
    git_tree_state: &'static str,
    /// When that commit was made: builds are reproducible.
    build_date: &'static str,
    /// Always empty: this is no Go program.
    go_version: &'static str,
    /// The compiler.
    #[schema(example = "rustc")]
    compiler: &'static str,
    /// Operating system and processor.
    #[schema(example = "linux/x86_64")]
    platform: String,
}

/// Show the version
#[utoipa::path(get, path = "/version", operation_id = "getVersion", tag = "health", responses(
    (status = 200, description = "Podberth's version in the shape that Kubernetes clients read.", body = VersionInfo),
))]
pub async fn version() -> Json<VersionInfo> {
    Json(VersionInfo {
        major: env!("CARGO_PKG_VERSION_MAJOR"),
        minor: env!("CARGO_PKG_VERSION_MINOR"),
        emulation_major: "1",
        emulation_minor: "34",
        git_version: concat!("v", env!("CARGO_PKG_VERSION")),
        git_commit: telemetry::COMMIT,
        git_tree_state: "",
        build_date: telemetry::BUILD_DATE,
        go_version: "",
        compiler: "rustc",
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// Measures the live clusters and the database's connections, which is done only when metrics are read.
fn sample(state: &AppState) {
    let live = state.clusters.live();
    gauge!(telemetry::CLUSTERS_LIVE).set(live.len() as f64);
    let waiting = live.iter().map(|cluster| cluster.waiting()).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    gauge!(telemetry::COMMITS_WAITING, "lane" => "binds").set(waiting.0 as f64);
    gauge!(telemetry::COMMITS_WAITING, "lane" => "others").set(waiting.1 as f64);
    let views: Vec<_> = live.iter().map(|cluster| cluster.view()).collect();
    let total = |count: fn(&Snapshot) -> usize| views.iter().map(|v| count(&v.snapshot)).sum::<usize>() as f64;
    gauge!(telemetry::CACHE_SIZE, "type" => "nodes").set(total(Snapshot::node_count));
    gauge!(telemetry::CACHE_SIZE, "type" => "pods").set(total(Snapshot::pod_count));
    let pending = |s: &Snapshot| s.pods().filter(|p| !p.is_assigned() && !p.terminal).count();
    gauge!(telemetry::PENDING_PODS, "queue" => "active").set(total(pending));
    gauge!(telemetry::SNAPSHOT_AGE).set(state.clusters.staleness().as_secs_f64());
    let connections = state.store.connections();
    gauge!(telemetry::DB_POOL_CONNECTIONS, "state" => "idle").set(connections.idle as f64);
    gauge!(telemetry::DB_POOL_CONNECTIONS, "state" => "used").set(connections.used as f64);
}

/// Show the metrics
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "health", responses(
    (status = 200, description = "Metrics in the Prometheus text format.", body = String, content_type = "text/plain"),
))]
pub async fn metrics(State(state): State<AppState>) -> Response {
    telemetry::sample_process();
    sample(&state);
    policies::retain_labels(&state);
    let of_mirrors = state.sources.metrics(clock::now());
    let text =
        telemetry::render(&state.metrics) + &policies::metrics(&state) + &of_mirrors + &telemetry::process::metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use super::*;
    use crate::{live::Clusters, service::Freshness, store};

    /// The reply of `/readyz?verbose`.
    async fn ready(state: &AppState) -> (StatusCode, String) {
        let query = HealthQuery { verbose: Some(String::new()) };
        let response = readyz(State(state.clone()), Query(query)).await.expect("it always answers");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn readiness_follows_each_check_and_the_end() {
        let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("a database in memory");
        let well = Arc::new(AtomicBool::new(true));
        let check = Check::new("weather", {
            let well = well.clone();
            move || {
                let well = well.load(Ordering::Relaxed);
                async move { if well { Ok(()) } else { Err("it rains".into()) } }
            }
        });
        let state = AppState::new(
            Clusters::new(store, Duration::MAX),
            Freshness::default(),
            vec![check],
            telemetry::recorder().expect("a recorder"),
        );

        assert_eq!(
            ready(&state).await,
            (StatusCode::OK, "[+]shutdown ok\n[+]weather ok\nreadyz check passed\n".into())
        );
        well.store(false, Ordering::Relaxed);
        let (status, text) = ready(&state).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("[-]weather failed: it rains\n"), "{text}");
        well.store(true, Ordering::Relaxed);
        state.stop();
        let (status, text) = ready(&state).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("[-]shutdown failed"), "{text}");
    }

    #[test]
    fn remark_stands_behind_a_check_that_passes() {
        let query = HealthQuery { verbose: Some(String::new()) };
        let checks = [Check::remarking("tls", || Some("old".into())), Check::remarking("other", || None)];
        let response = report(&query, "readyz", &[("tls", Ok(())), ("other", Ok(()))], &checks);
        assert_eq!(response.status(), StatusCode::OK);
        let body = futures_util::FutureExt::now_or_never(axum::body::to_bytes(response.into_body(), 1_000));
        assert_eq!(body.expect("it is there").expect("a body"), "[+]tls ok: old\n[+]other ok\nreadyz check passed\n");
    }

    #[test]
    fn readyz_is_verbose_on_failure_or_request() {
        let query = |verbose: Option<&str>| HealthQuery { verbose: verbose.map(Into::into) };
        for (given, told) in
            [(None, false), (Some(""), true), (Some("true"), true), (Some("0"), false), (Some("false"), false)]
        {
            assert_eq!(query(given).verbose(), told, "{given:?}");
        }
    }
}
