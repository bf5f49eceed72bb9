//! Requests to the API server of a live cluster, and what its replies say.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ApiReply, ApiRequest, ApiServer};
use crate::{
    core::model::Pod,
    wire::{kinds::StoredKind, status::Status},
};

/// Longest wait for the whole reply to a request; then it is lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// The content type of a patch that merges lists by their keys.
const STRATEGIC: &str = "application/strategic-merge-patch+json";

const JSON: &str = "application/json";

/// A reply, or the reason why there is none.
pub type Reply = Result<ApiReply, String>;

/// Sends a request and waits for the reply for a bounded time.
pub async fn send(server: &dyn ApiServer, request: ApiRequest) -> Reply {
    let within = timeout(PATIENCE, server.send(request)).await;
    within.unwrap_or_else(|_| Err(format!("no reply within {} s", PATIENCE.as_secs())))
}

/// Names a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl PodRef {
    /// Names a pod of a snapshot.
    pub fn of(pod: &Pod) -> Self {
        Self { namespace: pod.namespace.to_string(), name: pod.name.to_string(), uid: pod.uid.to_string() }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }

    /// Reads it.
    pub fn get(&self) -> ApiRequest {
        ApiRequest { method: "GET", path: self.path(), ..ApiRequest::default() }
    }

    /// Binds it to a node, if it has the uid.
    pub fn bind(&self, node: &str) -> ApiRequest {
        let body = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        post(format!("{}/binding", self.path()), &body)
    }

    /// Evicts it, if it has the uid and its disruption budgets allow it. `options` are further fields of `deleteOptions`.
    pub fn evict(&self, options: Value) -> ApiRequest {
        let mut options = options;
        if !self.uid.is_empty() {
            options["preconditions"]["uid"] = self.uid.as_str().into();
        }
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"namespace": self.namespace, "name": self.name},
            "deleteOptions": options,
        });
        post(format!("{}/eviction", self.path()), &body)
    }

    /// Deletes it with its own grace, if it has the uid.
    pub fn delete(&self) -> ApiRequest {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": self.uid}});
        ApiRequest { method: "DELETE", ..post(self.path(), &body) }
    }

    /// Merges fields into its status, if it has the uid.
    pub fn patch_status(&self, status: &Value) -> ApiRequest {
        let body = json!({"metadata": {"uid": self.uid}, "status": status});
        patch(format!("{}/status", self.path()), &body)
    }
}

/// The path of the objects of a kind, in a namespace or, if that is empty, of the whole cluster.
pub fn collection(kind: &StoredKind, namespace: &str) -> String {
    let root = if kind.group.is_empty() { "/api" } else { "/apis" };
    let (version, plural) = (kind.api_version(), kind.plural);
    if namespace.is_empty() {
        format!("{root}/{version}/{plural}")
    } else {
        format!("{root}/{version}/namespaces/{namespace}/{plural}")
    }
}

/// Creates an object below a path.
pub fn post(path: String, body: &Value) -> ApiRequest {
    ApiRequest { method: "POST", path, content_type: JSON, body: body.to_string().into() }
}

/// Replaces the object of a path.
pub fn put(path: String, body: &Value) -> ApiRequest {
    ApiRequest { method: "PUT", ..post(path, body) }
}

/// Merges into the object of a path.
pub fn patch(path: String, body: &Value) -> ApiRequest {
    ApiRequest { method: "PATCH", content_type: STRATEGIC, ..post(path, body) }
}

/// The text of a refusal: that of its `Status`, or the beginning of the body.
pub fn message(reply: &ApiReply) -> String {
    match serde_json::from_slice::<Status>(&reply.body) {
        Ok(status) if !status.message.is_empty() => status.message,
        _ => {
            let text = String::from_utf8_lossy(&reply.body);
            let start = text.get(..text.floor_char_boundary(200)).unwrap_or_default();
            format!("HTTP {} {start}", reply.code).trim_end().to_owned()
        }
    }
}

/// A pod, as far as a bind of it is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodShown {
    metadata: ShownMetadata,
    spec: ShownSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct ShownMetadata {
    uid: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ShownSpec {
    node_name: String,
}

impl PodShown {
    /// Reads a pod as the API server shows it.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Its uid and its node, which is empty if it is on none.
    pub fn place(&self) -> (&str, &str) {
        (&self.metadata.uid, &self.spec.node_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kinds;

    #[test]
    fn requests_name_the_pod_by_path_and_uid() {
        let pod = PodRef { namespace: "shop".into(), name: "web".into(), uid: "u".into() };
        let body = |request: &ApiRequest| -> Value { serde_json::from_slice(&request.body).unwrap_or_default() };
        let bind = pod.bind("n");
        assert_eq!((bind.method, &*bind.path), ("POST", "/api/v1/namespaces/shop/pods/web/binding"));
        assert_eq!((&body(&bind)["metadata"]["uid"], &body(&bind)["target"]["name"]), (&json!("u"), &json!("n")));
        let evict = pod.evict(json!({"gracePeriodSeconds": 3}));
        assert_eq!(body(&evict)["deleteOptions"], json!({"gracePeriodSeconds": 3, "preconditions": {"uid": "u"}}));
        let delete = pod.delete();
        assert_eq!((delete.method, &*delete.path), ("DELETE", "/api/v1/namespaces/shop/pods/web"));
        assert_eq!(body(&delete)["preconditions"]["uid"], "u");
        let patch = pod.patch_status(&json!({"nominatedNodeName": "n"}));
        assert_eq!((patch.method, &*patch.path), ("PATCH", "/api/v1/namespaces/shop/pods/web/status"));
        assert_eq!(body(&patch), json!({"metadata": {"uid": "u"}, "status": {"nominatedNodeName": "n"}}));
    }

    #[test]
    fn paths_have_the_group_of_the_kind() {
        let of = |group, plural, namespace| kinds::by_plural(group, plural).map(|kind| collection(kind, namespace));
        assert_eq!(of("", "nodes", "").as_deref(), Some("/api/v1/nodes"));
        assert_eq!(of("apps", "replicasets", "a").as_deref(), Some("/apis/apps/v1/namespaces/a/replicasets"));
    }

    #[test]
    fn refusals_are_told_in_the_servers_words() {
        let of = |body: &'static str| message(&ApiReply { code: 409, body: body.into(), ..ApiReply::default() });
        let status =
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","code":409}"#;
        assert_eq!(of(status), "no");
        assert_eq!(of("<html>"), "HTTP 409 <html>");
        assert_eq!(of(""), "HTTP 409");
    }
}
