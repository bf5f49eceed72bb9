//! Requests of real kube-schedulers, recorded on the wire and sent again: each is answered with the recorded status and in its shape.
//!
//! A file of `tests/data/kube-scheduler` has one request a line, in the order of their replies. Those with a `uid` made an object, which
//! gets another uid now. Of the renewals of the lease only a few are kept.

use std::collections::BTreeMap;

use axum::{body::Body, http::Request};
use base64::{Engine, prelude::BASE64_STANDARD};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

use crate::{LEASE, PODS, cluster, items, server::Server, text};

#[derive(Deserialize)]
struct Recorded {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    base64: Option<String>,
    status: u16,
    uid: Option<String>,
}

/// Begins a body in protobuf.
const MAGIC: &[u8] = b"k8s\0";
/// `resourceVersion` in `metadata` in the object in a `runtime.Unknown`.
const REVISION: &[u32] = &[2, 1, 6];

#[tokio::test]
async fn kube_scheduler_1_34() {
    let requests = include_str!("../data/kube-scheduler/1.34.jsonl");
    let server = replay(requests, &["dra", "urgent", "web"]).await;
    let claim = server.get("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/rc0").await.json();
    assert_eq!(text(&claim, "/status/allocation/devices/results/0/device"), "d0");
    assert_eq!(text(&claim, "/status/reservedFor/0/name"), "dra");
}

#[tokio::test]
async fn kube_scheduler_1_34_with_an_extender() {
    replay(include_str!("../data/kube-scheduler/1.34-extender.jsonl"), &["dra", "urgent", "web"]).await;
}

#[tokio::test]
async fn kube_scheduler_1_22() {
    replay(include_str!("../data/kube-scheduler/1.22.jsonl"), &["urgent", "web"]).await;
}

#[tokio::test]
async fn kube_scheduler_1_20() {
    replay(include_str!("../data/kube-scheduler/1.20.jsonl"), &["urgent", "web"]).await;
}

/// Sends all requests to a new server. These pods are bound in the end, `impossible` is not, and `low` is gone.
async fn replay(requests: &str, bound: &[&str]) -> Server {
    let server = cluster().await;
    let mut uids = Vec::new();
    for (line, recorded) in requests.lines().enumerate() {
        let recorded: Recorded = serde_json::from_str(recorded).expect("a line is a request");
        recorded.send(&server, &mut uids, &format!("line {}", line + 1)).await;
    }
    let pods = items(&server, PODS).await;
    let names: BTreeMap<&str, &Value> = pods.iter().map(|pod| (text(pod, "/metadata/name"), pod)).collect();
    let on_nodes: Vec<&str> =
        names.iter().filter(|(_, pod)| !text(pod, "/spec/nodeName").is_empty()).map(|(name, _)| *name).collect();
    assert_eq!(on_nodes, bound);
    assert_eq!(names.len(), bound.len() + 1, "low is gone: {:?}", names.keys());
    let conditions = names["impossible"].pointer("/status/conditions");
    assert_eq!(conditions.and_then(|all| all[0]["reason"].as_str()), Some("Unschedulable"));
    let lease = server.get(LEASE).await.json();
    assert!(!text(&lease, "/spec/renewTime").is_empty(), "{lease}");
    let events = items(&server, "/api/v1/namespaces/default/events").await;
    let reasons = |reason: &str| events.iter().filter(|event| text(event, "/reason") == reason).count();
    assert_eq!((reasons("Scheduled"), reasons("Preempted")), (bound.len() + 1, 1), "{events:?}");
    assert!(reasons("FailedScheduling") >= 2, "{events:?}");
    server
}

impl Recorded {
    async fn send(self, server: &Server, uids: &mut Vec<(String, String)>, at: &str) {
        let told = format!("{at}: {} {}", self.method, self.path);
        let is_watch = self.path.contains("watch=true");
        let mut path = self.path.clone();
        if is_watch {
            let (collection, query) = path.split_once('?').expect("a query");
            let newest = revision(&server.get(collection).await.json());
            let others = query.split('&').filter(|pair| !pair.starts_with("resourceVersion="));
            path = others.fold(format!("{collection}?resourceVersion={newest}"), |path, pair| format!("{path}&{pair}"));
        }
        let mut body = match (&self.body, &self.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).expect("base64"),
            (None, None) => Vec::new(),
        };
        for (recorded, present) in &*uids {
            replace(&mut body, recorded.as_bytes(), present.as_bytes());
        }
        if self.method == "PUT" {
            let object = server.get(path.trim_end_matches("/status")).await.json();
            let message = body.strip_prefix(MAGIC).expect("updates are in protobuf");
            body = [MAGIC, &with_text(message, REVISION, &revision(&object))].concat();
        }
        let mut request = Request::builder().method(&*self.method).uri(&path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        if is_watch {
            // It has no events yet.
            let reply = server.router.clone().oneshot(request).await.expect("the router never fails");
            assert_eq!(
                (reply.status().as_u16(), &reply.headers()["content-type"] == "application/json"),
                (200, true),
                "{told}"
            );
            return;
        }
        let reply = server.send(request).await;
        assert_eq!(reply.code, self.status, "{told}: {}", reply.text());
        let object: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{told}: {error}"));
        has_shape(&self, &object, &told);
        if let Some(uid) = self.uid {
            uids.push((uid, text(&object, "/metadata/uid").to_owned()));
        }
    }
}

/// Kubernetes' clients decode a reply by its kind and version; both must be those of the path.
fn has_shape(asked: &Recorded, object: &Value, told: &str) {
    let Some(rest) = asked.path.strip_prefix("/api") else { return };
    let (kind, version) = (text(object, "/kind"), text(object, "/apiVersion"));
    if kind == "Status" || kind == "APIResourceList" {
        assert_eq!(version, "v1", "{told}");
        return;
    }
    let of_path: Vec<&str> = rest.trim_start_matches('s').trim_start_matches('/').split(['/', '?']).collect();
    let expected = if of_path[0] == "v1" { "v1".to_owned() } else { format!("{}/{}", of_path[0], of_path[1]) };
    assert_eq!(version, expected, "{told}");
    assert!(!revision(object).is_empty(), "{told}: no resourceVersion");
    if let Some(items) = object.get("items") {
        assert!(kind.ends_with("List") && items.is_array(), "{told}: {object}");
    }
}

fn revision(object: &Value) -> String {
    text(object, "/metadata/resourceVersion").to_owned()
}

/// Replaces a text by one of equal length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
        bytes[at + found..][..to.len()].copy_from_slice(to);
        at += found + to.len();
    }
}

/// A protobuf message with another text in a field. `path`: the field's number, below those of the messages that it is in.
fn with_text(message: &[u8], path: &[u32], value: &str) -> Vec<u8> {
    let (mut rest, mut out, mut is_set) = (message, Vec::new(), false);
    while !rest.is_empty() {
        let before = rest;
        let (field, form) = decode_key(&mut rest).expect("a key");
        let contents = match form {
            WireType::LengthDelimited => {
                let length = decode_varint(&mut rest).expect("a length");
                let (contents, after) = rest.split_at(usize::try_from(length).expect("a length"));
                rest = after;
                Some(contents)
            }
            WireType::Varint => {
                decode_varint(&mut rest).expect("a number");
                None
            }
            other => panic!("kube-scheduler sends no {other:?}"),
        };
        match contents {
            Some(contents) if field == path[0] => {
                is_set = true;
                let changed = match &path[1..] {
                    [] => value.as_bytes().to_vec(),
                    below => with_text(contents, below, value),
                };
                encode_key(field, form, &mut out);
                encode_varint(changed.len() as u64, &mut out);
                out.extend(changed);
            }
            _ => out.extend_from_slice(&before[..before.len() - rest.len()]),
        }
    }
    assert!(is_set, "the message has no field {}", path[0]);
    out
}
