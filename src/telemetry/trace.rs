//! Traces: spans of requests and of their phases, sent to an OpenTelemetry collector.
//!
//! The span of the current request travels in OpenTelemetry's context, across awaits and (by [`Here::within`]) to the threads that compute.
//! Without a span (no collector, or a request that is not sampled) [`phase`] does nothing.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use hyper::{HeaderMap, StatusCode, Uri};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    propagation::TextMapPropagator,
    trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::collector::Collector;

/// Spans that wait to be sent at most; further ones are lost.
const WAITING: usize = 16_384;

/// Spans that are sent in one piece at most.
const BATCH: usize = 2_048;

/// How long the last spans may take to leave when the process stops.
const LAST: Duration = Duration::from_secs(5);

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The exporter does not take its settings.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// There is no TLS to reach the collector by.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The exporter of spans.
#[derive(Clone, Debug)]
pub struct Tracing {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Tracing {
    /// Sends spans to the collector at a URL, to which `/v1/traces` is appended: this share of the traces that begin here; for a trace that a
    /// client began, the client's decision counts. Must be called on the asynchronous runtime.
    ///
    /// # Errors
    /// The exporter or its TLS cannot be set up. The collector is not contacted.
    pub fn start(endpoint: &Uri, ratio: f64) -> Result<Self, TraceError> {
        let endpoint = format!("{}/v1/traces", endpoint.to_string().trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(Handle::current())?)
            .with_endpoint(endpoint)
            .build()?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING).with_max_export_batch_size(BATCH);
        let resource = Resource::builder().with_service_name("podberth");
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self { tracer: provider.tracer("podberth"), provider })
    }

    /// Begins the span of a request, whose parent is the client's span where the request names one (`traceparent`).
    pub fn request(&self, method: &str, route: &str, headers: &HeaderMap) -> Here {
        let client = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let mut attributes = vec![KeyValue::new("http.request.method", method.to_owned())];
        if !route.is_empty() {
            attributes.push(KeyValue::new("http.route", route.to_owned()));
        }
        let name = format!("{method} {route}").trim_end().to_owned();
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = self.tracer.build_with_context(span, &client);
        Here(client.with_span(span).with_value(self.tracer.clone()))
    }

    /// Sends the queued spans.
    pub async fn flush(&self) {
        let provider = self.provider.clone();
        // That something could not be sent has been logged where it was tried.
        drop(spawn_blocking(move || provider.force_flush()).await);
    }

    /// Sends the queued spans, and none after that.
    pub async fn stop(&self) {
        let provider = self.provider.clone();
        // As above.
        drop(spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await);
    }
}

/// The span of the current work.
#[derive(Clone, Debug)]
pub struct Here(Context);

impl Here {
    /// `None` where nothing is traced. That a span has ended is no reason: work may go on after the reply has begun.
    pub fn now() -> Option<Self> {
        Context::map_current(|context| context.span().span_context().is_sampled().then(|| Self(context.clone())))
    }

    /// Does the work in a span, on any thread.
    pub fn within<T>(here: Option<Self>, work: impl FnOnce() -> T) -> T {
        let _attached = here.map(|here| here.0.attach());
        work()
    }

    /// Like [`Self::within`], for work that waits, or that goes on after the reply to its request.
    pub async fn carry<T>(here: Option<Self>, work: impl Future<Output = T>) -> T {
        match here {
            Some(here) => work.with_context(here.0).await,
            None => work.await,
        }
    }

    /// Ends the span of a request.
    pub fn answered(&self, code: StatusCode) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(code.as_u16())));
        if code.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// Records finished work as a span below this one.
    pub(crate) fn tell(&self, name: &'static str, begun: SystemTime, ended: SystemTime) -> Self {
        let told = self.child(SpanBuilder::from_name(name).with_start_time(begun));
        told.0.span().end_with_timestamp(ended);
        told
    }

    fn child(&self, span: SpanBuilder) -> Self {
        match self.0.get::<SdkTracer>() {
            Some(tracer) => Self(self.0.with_span(tracer.build_with_context(span, &self.0))),
            None => self.clone(),
        }
    }
}

/// A span of that name, below the request's, until the returned value is dropped.
#[must_use = "the span ends when this is dropped"]
pub fn phase(name: &'static str) -> Option<Here> {
    Here::now().map(|here| here.child(SpanBuilder::from_name(name)))
}
