//! Plays a scenario on a server of its own, and compares.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt as _;
use podberth::{
    live::DEFAULT_CLUSTER,
    service::{lifecycle::Lifecycle, objects::create_built_in},
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    compare::{self, Told},
    server::{Server, Setup, memory},
    views::list,
};

/// The longest time that a watch has for the events of one step.
const PATIENCE: Duration = Duration::from_secs(2);

/// A scenario that is being played.
struct Run {
    server: Server,
    captured: BTreeMap<String, String>,
    /// Steps that count, each with its differences.
    compared: Vec<(String, Vec<String>)>,
}

/// The steps of a scenario that count, each by its place (`3`, or `3.1` within a watch), with its differences. A step that
/// prepares others counts where it fails.
pub(crate) async fn play(scenario: &Value) -> Vec<(String, Vec<String>)> {
    let store = memory(&[]).await;
    let server = Server::start(store.clone(), Setup::strict());
    create_built_in(&server.state, &DEFAULT_CLUSTER.into()).await.expect("what every cluster has");
    let _ends = Lifecycle::start(&store, Uuid::nil());
    let mut run = Run { server, captured: BTreeMap::new(), compared: Vec::new() };
    for (place, step) in list(&scenario["steps"]).enumerate() {
        if step["watch"].is_string() {
            run.watch(place, step).await;
        } else if step["do"].is_string() {
            run.step(place.to_string(), step).await;
        }
    }
    run.compared
}

impl Run {
    async fn step(&mut self, place: String, step: &Value) {
        let got = self.send(step).await;
        if step["setup"] == true {
            if got.status >= 400 {
                self.compared.push((place, vec![format!("preparation: status {} {}", got.status, got.body)]));
            }
            return;
        }
        let got = self.simplified(step, got);
        self.compared.push((place, compare::differences(step, &got)));
    }

    /// A text with what was captured in place of `${…}`.
    fn filled(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once('}') {
                Some((name, rest)) => {
                    filled.push_str(self.captured.get(name).map_or("missing", String::as_str));
                    filled.push_str(rest);
                }
                None => filled.push_str(part),
            }
        }
        filled
    }

    fn filled_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.filled(text).into(),
            Value::Array(items) => items.iter().map(|item| self.filled_in(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (self.filled(key), self.filled_in(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn request(&self, method: &str, path: &str, step: &Value) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(self.filled(path));
        let headers = step["headers"].as_object();
        if headers.is_none_or(|headers| !headers.contains_key("Accept")) {
            request = request.header("accept", "application/json");
        }
        if headers.is_none_or(|headers| !headers.contains_key("User-Agent")) {
            // Managers of fields are named after it.
            request = request.header("user-agent", "check_api");
        }
        for (name, value) in headers.into_iter().flatten() {
            request = request.header(name, self.filled(value.as_str().unwrap_or_default()));
        }
        let body = match (step["base64"].as_str(), step["text"].as_str(), step.get("body")) {
            (Some(base64), ..) => Some(BASE64_STANDARD.decode(base64).expect("base64")),
            (_, Some(text), _) => Some(self.filled(text).into_bytes()),
            (.., Some(body)) => Some(self.filled_in(body).to_string().into_bytes()),
            _ => None,
        };
        if body.is_some() {
            request = request.header("content-type", step["type"].as_str().unwrap_or("application/json"));
        }
        request.body(body.map(Body::from).unwrap_or_default()).expect("a request")
    }

    /// The reply to a step, of which values are captured.
    async fn send(&mut self, step: &Value) -> Told {
        let (method, path) = step["do"].as_str().and_then(|text| text.split_once(' ')).expect("a method and a path");
        let reply = self.server.send(self.request(method, path, step)).await;
        let told = told(reply.code, &reply.headers, &reply.body);
        for (name, at) in step["capture"].as_object().into_iter().flatten() {
            let pointer = format!("/{}", at.as_str().unwrap_or_default().replace('.', "/"));
            let value = told.body.pointer(&pointer).filter(|value| !value.is_null());
            if let Some(value) = value {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.captured.insert(name.clone(), text);
            }
        }
        told
    }

    fn simplified(&self, step: &Value, got: Told) -> Told {
        let body = if compare::is_error(&got.body) { got.body } else { compare::simplified(&got.body, step) };
        Told { body: self.without_captured(&body), ..got }
    }

    /// A value in which captured uids are `${…}` again, as they are recorded.
    fn without_captured(&self, value: &Value) -> Value {
        let is_uid = |text: &str| text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
        match value {
            Value::String(text) => {
                let uids = self.captured.iter().filter(|(_, value)| is_uid(value));
                uids.fold(text.clone(), |text, (name, uid)| text.replace(uid, &format!("${{{name}}}"))).into()
            }
            Value::Array(items) => items.iter().map(|item| self.without_captured(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (key.clone(), self.without_captured(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// A watch, during which other steps are sent: after each, its events are waited for.
    async fn watch(&mut self, place: usize, step: &Value) {
        let want = &step["want"];
        let request = self.request("GET", step["watch"].as_str().unwrap_or_default(), step);
        let response = self.server.router.clone().oneshot(request).await.expect("the router never fails");
        let code = response.status().as_u16();
        let mut watched = Watched::over(response.into_body());
        let during: Vec<Value> = list(&step["during"]).cloned().collect();
        let marks: Vec<usize> = list(&want["marks"]).filter_map(Value::as_u64).map(|mark| mark as usize).collect();
        let mark = |i: usize| marks.get(i).copied().unwrap_or_default();
        if code == 200 {
            watched.wait_for(mark(0)).await;
        }
        let mut inner = Vec::new();
        for (i, step) in during.iter().enumerate() {
            inner.push(self.send(step).await);
            if code == 200 {
                watched.wait_for(mark(i + 1)).await;
            }
        }
        let mut differences = Vec::new();
        if let Some(seconds) = step["toEnd"].as_f64() {
            let has_ended = watched.wait_for_end(Duration::from_secs_f64(seconds)).await;
            if want["ended"] == true && !has_ended {
                differences.push("the watch did not end".to_owned());
            }
        }
        if want["status"] == code {
            let events = self.events(&watched.events());
            differences.extend(compare::differences_of_events(want, &events));
        } else {
            differences.push(format!("status {code}, expected {}", want["status"]));
        }
        self.compared.push((place.to_string(), differences));
        for (i, (step, got)) in during.iter().zip(inner).enumerate() {
            if step["setup"] != true {
                let got = self.simplified(step, got);
                self.compared.push((format!("{place}.{i}"), compare::differences(step, &got)));
            }
        }
    }

    /// The events that count, simplified: no bookmarks but that which ends the initial events.
    fn events(&self, events: &[Value]) -> Vec<Value> {
        const END: &str = "/metadata/annotations/k8s.io~1initial-events-end";
        let counts = |event: &&Value| {
            let object = &event["object"];
            match event["type"].as_str() {
                Some("BOOKMARK") => object.pointer(END).is_some_and(|end| end == "true"),
                Some("ERROR") => true,
                _ => object["kind"] == "Table" || !compare::is_built_in(object),
            }
        };
        let simple = |event: &Value| {
            let object = &event["object"];
            let object = if compare::is_error(object) {
                object.clone()
            } else if event["type"] == "BOOKMARK" {
                let bookmark =
                    json!({"kind": object["kind"], "metadata": {"annotations": object["metadata"]["annotations"]}});
                compare::simplified(&bookmark, &Value::Null)
            } else {
                compare::simplified(object, &Value::Null)
            };
            json!({"type": event["type"], "object": self.without_captured(&object)})
        };
        events.iter().filter(counts).map(simple).collect()
    }
}

fn told(code: u16, headers: &HeaderMap, body: &Bytes) -> Told {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let media = texts("content-type").first().cloned().unwrap_or_default();
    let mut warnings = texts("warning");
    warnings.sort();
    Told {
        status: code,
        media: media.split(';').next().unwrap_or_default().trim().to_owned(),
        warnings,
        has_retry_after: headers.contains_key("retry-after"),
        body: match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(_) if body.is_empty() => Value::Null,
            Err(_) => String::from_utf8_lossy(body).into_owned().into(),
        },
    }
}

/// The events of a watch, read in the background.
struct Watched {
    seen: watch::Receiver<(Vec<Value>, bool)>,
    reading: JoinHandle<()>,
}

impl Watched {
    fn over(body: Body) -> Self {
        let (sender, seen) = watch::channel((Vec::new(), false));
        let reading = tokio::spawn(async move {
            let (mut stream, mut buffer) = (body.into_data_stream(), Vec::new());
            while let Some(Ok(part)) = stream.next().await {
                buffer.extend_from_slice(&part);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    if let Ok(event) = serde_json::from_slice(&line) {
                        sender.send_modify(|(events, _)| events.push(event));
                    }
                }
            }
            sender.send_modify(|(_, has_ended)| *has_ended = true);
        });
        Self { seen, reading }
    }

    /// Waits until so many events have come, or the watch has ended.
    async fn wait_for(&mut self, count: usize) {
        let arrived = self.seen.wait_for(|(events, has_ended)| events.len() >= count || *has_ended);
        let _ = timeout_at(Instant::now() + PATIENCE, arrived).await;
    }

    async fn wait_for_end(&mut self, patience: Duration) -> bool {
        let ended = self.seen.wait_for(|(_, has_ended)| *has_ended);
        timeout_at(Instant::now() + patience, ended).await.is_ok()
    }

    fn events(&self) -> Vec<Value> {
        self.seen.borrow().0.clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
