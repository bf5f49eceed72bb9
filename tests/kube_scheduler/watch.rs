//! A watch that is followed until something has happened.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::{lines::Lines, server::Server};

/// A watch of a collection, from its present objects on.
pub(crate) struct Watch {
    path: String,
    lines: Lines,
}

impl Watch {
    /// `path` has a query.
    pub(crate) async fn begin(server: &Server, path: &str) -> Self {
        let path = format!("{path}&watch=true&timeoutSeconds=600");
        Self { lines: Lines::begin(server, &path).await, path }
    }

    /// Hands each event (its type and its object) to `is_done`, until that returns `true`.
    pub(crate) async fn until(&mut self, within: Duration, goal: &str, mut is_done: impl FnMut(&str, &Value) -> bool) {
        let deadline = Instant::now() + within;
        loop {
            let Ok(event) = timeout_at(deadline, self.lines.next()).await else {
                panic!("{}: not within {within:?}: {goal}", self.path)
            };
            let event = event.expect("the watch goes on");
            if is_done(event["type"].as_str().expect("a type"), &event["object"]) {
                return;
            }
        }
    }
}
