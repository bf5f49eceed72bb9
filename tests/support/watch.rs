//! The events of a watch, line by line.

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::server::Server;

/// The lines of a watch in progress.
pub(crate) struct Lines {
    body: BodyDataStream,
    unread: Vec<u8>,
}

impl Lines {
    pub(crate) async fn begin(server: &Server, path: &str) -> Self {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let reply = server.router.clone().oneshot(request).await.expect("the router never fails");
        let media = &reply.headers()["content-type"];
        let is_json = media == "application/json" || media == "application/x-ndjson";
        assert_eq!((reply.status().as_u16(), is_json), (200, true), "{path}");
        Self { body: reply.into_body().into_data_stream(), unread: Vec::new() }
    }

    /// The next event; `None` at the end. If the future is dropped, nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            self.unread.extend(self.body.next().await?.expect("the body can be read"));
        }
    }
}
