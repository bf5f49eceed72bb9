//! Diagnostics for operators: traces, the time of plugins, profiles.

#[path = "support/server.rs"]
mod server;

use std::{
    collections::HashSet,
    io::{Read, pipe},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, Uri},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use podberth::{
    api::Diagnostics,
    telemetry::trace::{Here, Tracing},
};
use prost::Message;
use serde_json::{Value, json};
use server::{Server, Setup, memory};
use tokio::{net::TcpListener, sync::mpsc};
use tracing::{Level, subscriber};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Takes spans.
struct Collector {
    endpoint: Uri,
    batches: mpsc::UnboundedReceiver<Bytes>,
}

impl Collector {
    async fn start() -> Self {
        let (sender, batches) = mpsc::unbounded_channel();
        let take = move |body: Bytes| {
            sender.send(body).expect("the test listens");
            async {}
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint: format!("http://{address}").parse().expect("a URL"), batches }
    }

    /// The spans received so far.
    fn spans(&mut self) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Ok(batch) = self.batches.try_recv() {
            let batch = ExportTraceServiceRequest::decode(batch).expect("OTLP in protobuf");
            for scope in batch.resource_spans.into_iter().flat_map(|resource| resource.scope_spans) {
                spans.extend(scope.spans);
            }
        }
        spans
    }
}

fn objects() -> Vec<(&'static str, Value)> {
    let node = |name| json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    vec![("nodes", node("a")), ("nodes", node("b"))]
}

fn question() -> Value {
    json!({"Pod": {"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}, "NodeNames": ["a", "b"]})
}

async fn watched(diagnostics: Diagnostics) -> Server {
    Server::start(memory(&objects()).await, Setup { diagnostics, ..Setup::default() })
}

async fn traced(tracing: &Tracing) -> Server {
    watched(Diagnostics { tracing: Some(tracing.clone()), profiling: false }).await
}

fn hex(id: &[u8]) -> String {
    use std::fmt::Write;
    id.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take all");
        text
    })
}

fn children<'s>(spans: &'s [Span], parent: &Span) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect()
}

fn names<'s>(spans: &[&'s Span]) -> HashSet<&'s str> {
    spans.iter().map(|span| &*span.name).collect()
}

#[tokio::test]
async fn a_request_is_a_span_under_the_clients_over_its_phases_over_their_plugins() {
    let mut collector = Collector::start().await;
    // Requests without a parent are not traced; requests that the client traces are.
    let tracing = Tracing::start(&collector.endpoint, 0.0).expect("tracing starts");
    let server = traced(&tracing).await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    for (path, phases) in [
        ("/filter", vec!["snapshot wait", "parse", "PreFilter", "Filter"]),
        ("/prioritize", vec!["snapshot wait", "parse", "PreFilter", "Score", "select"]),
    ] {
        server.ask("POST", path, ("traceparent", &traceparent), question()).await.json();
        tracing.flush().await;
        let spans = collector.spans();
        assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
        let name = format!("POST {path}");
        let request = spans.iter().find(|span| span.name == name).expect("the request's span");
        assert_eq!((hex(&request.parent_span_id), request.kind()), (PARENT.into(), SpanKind::Server));
        let attributes: Vec<_> = request.attributes.iter().map(|attribute| &*attribute.key).collect();
        assert_eq!(attributes, ["http.request.method", "http.route", "http.response.status_code"]);
        let under = children(&spans, request);
        assert_eq!(names(&under), phases.into_iter().collect(), "{path}");
        let mut plugins = 0;
        for phase in &under {
            assert!(request.start_time_unix_nano <= phase.start_time_unix_nano);
            assert!(phase.end_time_unix_nano <= request.end_time_unix_nano);
            let asked = children(&spans, phase);
            if matches!(&*phase.name, "PreFilter" | "Filter" | "Score") {
                let known = if phase.name == "Score" { "ImageLocality" } else { "NodeResourcesFit" };
                assert!(names(&asked).contains(known), "{:?} of {}", names(&asked), phase.name);
            }
            plugins += asked.len();
        }
        assert_eq!(spans.len(), 1 + under.len() + plugins, "and there are no others");
    }
}

#[tokio::test]
async fn streamed_schedule_requests_have_spans() {
    let mut collector = Collector::start().await;
    let tracing = Tracing::start(&collector.endpoint, 1.0).expect("tracing starts");
    let server = traced(&tracing).await;
    for form in ["application/json", "application/x-ndjson"] {
        let pod = json!({"metadata": {"name": form.len().to_string()}, "spec": {"containers": [{"name": "main"}]}});
        let reply = server.ask("POST", "/schedule", ("accept", form), json!({"pods": [pod]})).await;
        assert!(reply.text().contains("\"bound\":1"), "{}", reply.text());
        tracing.flush().await;
        let spans = collector.spans();
        let request = spans.iter().find(|span| span.name == "POST /schedule").expect("the request's span");
        let phases = ["snapshot wait", "parse", "decide", "commit"];
        assert_eq!(names(&children(&spans, request)), phases.into(), "{form}");
    }
}

#[tokio::test]
async fn unsampled_requests_are_not_traced() {
    let mut collector = Collector::start().await;
    let tracing = Tracing::start(&collector.endpoint, 0.0).expect("tracing starts");
    let server = traced(&tracing).await;
    server.post("/filter", question()).await.json();
    server.ask("POST", "/filter", ("traceparent", &format!("00-{TRACE}-{PARENT}-00")), question()).await.json();
    let untraced = Server::with(&objects()).await;
    untraced.ask("POST", "/filter", ("traceparent", &format!("00-{TRACE}-{PARENT}-01")), question()).await.json();
    tracing.flush().await;
    assert!(collector.spans().is_empty());
    assert!(Here::now().is_none());
}

#[tokio::test]
async fn the_last_spans_are_sent_when_the_process_stops() {
    let mut collector = Collector::start().await;
    let tracing = Tracing::start(&collector.endpoint, 1.0).expect("tracing starts");
    let server = traced(&tracing).await;
    assert_eq!(server.get("/nowhere").await.code, 404);
    tracing.stop().await;
    let spans = collector.spans();
    assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["GET"]);
    assert_eq!(hex(&spans[0].parent_span_id), "", "it is the first of its trace");
}

#[tokio::test]
async fn an_unreachable_collector_is_logged_once_and_harmless() {
    let (mut told, log) = pipe().expect("a pipe");
    let log = tracing_subscriber::fmt().with_max_level(Level::WARN).with_writer(Arc::new(log)).finish();
    let logging = subscriber::set_default(log);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    drop(listener);
    let tracing = Tracing::start(&endpoint, 1.0).expect("tracing starts");
    let server = traced(&tracing).await;
    server.post("/filter", question()).await.json();
    tracing.flush().await;
    assert_eq!(server.post("/filter", question()).await.json()["NodeNames"], json!(["a", "b"]));
    tracing.stop().await;
    drop(logging);
    let mut log = String::new();
    told.read_to_string(&mut log).expect("text");
    assert_eq!(log.matches("takes no spans").count(), 1, "{log}");
}

#[tokio::test]
async fn plugins_are_timed_in_one_of_ten_cycles_of_each_verb() {
    let server = Server::with(&objects()).await;
    for _ in 0..10 {
        server.post("/filter", question()).await.json();
        server.post("/prioritize", question()).await.json();
    }
    let metrics = server.get("/metrics").await;
    for (plugin, point) in [("NodeResourcesFit", "Filter"), ("ImageLocality", "Score")] {
        let count = format!(
            "podberth_plugin_execution_duration_seconds_count{{plugin=\"{plugin}\",extension_point=\"{point}\"}}"
        );
        assert!(metrics.text().contains(&count), "{count}: {}", metrics.text());
    }
}

const PROFILE: &str = "/debug/pprof/profile";

/// A part of a profile, as github.com/google/pprof has it in `proto/profile.proto`.
#[derive(Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<Pair>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// A type and its unit, the key and text of a label, or a function and a line in it.
#[derive(Message)]
struct Pair {
    #[prost(int64, tag = "1")]
    one: i64,
    #[prost(int64, tag = "2")]
    two: i64,
}

#[derive(Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Pair>,
}

#[derive(Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Pair>,
}

#[derive(Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[tokio::test]
async fn there_are_no_profiles_unless_that_is_switched_on() {
    assert_eq!(Server::with(&objects()).await.get(PROFILE).await.code, 404);
}

#[tokio::test]
async fn profiles_are_taken_one_at_a_time() {
    // The shortest is the one that is asked for. It takes its second; nothing waits for anything else here.
    let second = format!("{PROFILE}?seconds=1");
    let diagnostics = Diagnostics { profiling: true, ..Diagnostics::default() };
    let server = Server::start(memory(&objects()).await, Setup { diagnostics, ..Setup::default() });
    for seconds in ["0", "61"] {
        let message = server.get(&format!("{PROFILE}?seconds={seconds}")).await.refusal(400);
        assert_eq!(message, format!("seconds: Invalid value: {seconds}: must be 1 to 60"));
    }
    let busy = async {
        loop {
            server.post("/filter", question()).await.json();
        }
    };
    // The time of a request ends when its reply begins, and this one begins before the profile does.
    let first = server.open(Request::get(&second).body(Body::empty()).expect("a request")).await;
    assert_eq!(first.status(), 200);
    assert_eq!(server.get(&second).await.refusal(429), "another profile is being taken");
    let taken = to_bytes(first.into_body(), usize::MAX);
    let body = tokio::select! { taken = taken => taken.expect("a body"), never = busy => never };
    let profile = Profile::decode(&*body).expect("a profile");
    let text = |index: i64| &*profile.string_table[index as usize];
    assert_eq!(text(0), "");
    let types: Vec<_> = profile.sample_type.iter().map(|pair| (text(pair.one), text(pair.two))).collect();
    assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
    assert!(profile.duration_nanos >= 1_000_000_000 && profile.period == 1_000_000_000 / 99);
    assert!(!profile.sample.is_empty());
    for Sample { location_id, value, label } in &profile.sample {
        assert!(location_id.iter().all(|id| profile.location[*id as usize - 1].id == *id), "{location_id:?}");
        assert!(value[0] > 0 && value[1] == value[0] * profile.period, "{value:?}");
        assert!(label.iter().all(|label| text(label.one) == "thread" && !text(label.two).is_empty()));
    }
    for (location, function) in profile.location.iter().zip(&profile.function) {
        let lines: Vec<_> = location.line.iter().map(|line| line.one as u64).collect();
        assert_eq!((location.id, lines), (function.id, vec![function.id]));
        let texts = [function.name, function.system_name, function.filename].map(text);
        assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    }
    assert_eq!(profile.location.len(), profile.function.len());
    assert!(profile.function.iter().any(|function| text(function.name).contains("podberth")));
}
