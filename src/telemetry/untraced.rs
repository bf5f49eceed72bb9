//! The module `trace` of a binary without the feature `otlp`: nothing is traced, and asking for it is refused.

use std::{future::Future, time::SystemTime};

use hyper::{HeaderMap, StatusCode, Uri};

use crate::features;

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TraceError(String);

/// The way out for spans: there is none.
#[derive(Clone, Debug)]
pub struct Tracing(());

impl Tracing {
    /// Refuses.
    pub fn start(_: &Uri, _: f64) -> Result<Self, TraceError> {
        Err(TraceError(features::built_in("otlp").err().unwrap_or_default()))
    }

    /// Begins the span of a request.
    pub fn request(&self, _: &str, _: &str, _: &HeaderMap) -> Here {
        Here(())
    }

    /// Sends what waits to be sent.
    #[expect(clippy::unused_async, reason = "has the signature of the traced one")]
    pub async fn flush(&self) {}

    /// Sends what waits to be sent, and nothing after that.
    #[expect(clippy::unused_async, reason = "has the signature of the traced one")]
    pub async fn stop(&self) {}
}

/// The span that the work under way belongs to: there is none.
#[derive(Clone, Debug)]
pub struct Here(());

/// A span ends when it is dropped.
impl Drop for Here {
    fn drop(&mut self) {}
}

impl Here {
    /// `None`: nothing is traced.
    pub fn now() -> Option<Self> {
        None
    }

    /// Does the work.
    pub fn within<T>(_: Option<Self>, work: impl FnOnce() -> T) -> T {
        work()
    }

    /// Waits for the work.
    pub async fn carry<T>(_: Option<Self>, work: impl Future<Output = T>) -> T {
        work.await
    }

    /// Ends the span of a request.
    pub fn answered(&self, _: StatusCode) {}

    pub(crate) fn tell(&self, _: &'static str, _: SystemTime, _: SystemTime) -> Self {
        self.clone()
    }
}

/// `None`: nothing is traced.
#[must_use = "the span ends when this is dropped"]
pub fn phase(_: &'static str) -> Option<Here> {
    None
}
