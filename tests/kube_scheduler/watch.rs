//! A watch that is followed until something has happened.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use crate::server::Server;

/// A watch of a collection, from its present objects on.
pub(crate) struct Watch {
    path: String,
    body: BodyDataStream,
    unread: Vec<u8>,
}

impl Watch {
    /// `path` has a query.
    pub(crate) async fn begin(server: &Server, path: &str) -> Self {
        let path = format!("{path}&watch=true&timeoutSeconds=600");
        let request = Request::get(&path).body(Body::empty()).expect("a request");
        let reply = server.router.clone().oneshot(request).await.expect("the router never fails");
        assert_eq!(reply.status().as_u16(), 200, "{path}");
        Self { path, body: reply.into_body().into_data_stream(), unread: Vec::new() }
    }

    /// Hands each event (its type and its object) to `is_done`, until that returns `true`.
    pub(crate) async fn until(&mut self, within: Duration, goal: &str, mut is_done: impl FnMut(&str, &Value) -> bool) {
        let deadline = Instant::now() + within;
        loop {
            while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).expect("a line is JSON");
                if is_done(event["type"].as_str().expect("a type"), &event["object"]) {
                    return;
                }
            }
            let Ok(frame) = timeout_at(deadline, self.body.next()).await else {
                panic!("{}: not within {within:?}: {goal}", self.path)
            };
            self.unread.extend(frame.expect("the watch goes on").expect("its body can be read"));
        }
    }
}
