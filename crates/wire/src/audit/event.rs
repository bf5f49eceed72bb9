//! Audit events: `kind: Event` of `audit.k8s.io/v1`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::API_VERSION;
use crate::access::review::user_to_json;
use podberth_core::{
    access::{Attributes, User},
    audit::{Level, Stage},
};

/// The annotation of an event from which bodies were left out.
pub const TRUNCATED: &str = "audit.k8s.io/truncated";
/// The annotation with the answer of authorization: `allow` or `forbid`.
pub const DECISION: &str = "authorization.k8s.io/decision";
/// The annotation with its reason.
pub const REASON: &str = "authorization.k8s.io/reason";
/// The annotation with the cluster that the request is about.
pub const CLUSTER: &str = "podberth.io/cluster";
/// The annotation with the node of a bind.
pub const NODE: &str = "podberth.io/node";
/// The annotation with the policy that decided and its revision: `default/3`.
pub const POLICY_REVISION: &str = "podberth.io/policy-revision";

/// One event.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The amount that was to be recorded.
    pub level: Level,
    /// Names the request.
    pub audit_id: &'a str,
    /// The moment.
    pub stage: Stage,
    /// The path and the query.
    pub request_uri: &'a str,
    /// The action and its object.
    pub attributes: &'a Attributes<'a>,
    /// The sender; `None` if it could not be known.
    pub user: Option<&'a User>,
    /// The user as whom the sender acted.
    pub impersonated: Option<&'a User>,
    /// The addresses from which the request came, the client's first.
    pub source_ips: &'a [String],
    /// The client's program, as it calls itself.
    pub user_agent: &'a str,
    /// The outcome; `None` before there is one.
    pub status: Option<&'a Outcome>,
    /// The body of the request.
    pub request_object: Option<&'a RawValue>,
    /// The body of the reply.
    pub response_object: Option<&'a RawValue>,
    /// When the request came.
    pub received: Timestamp,
    /// The time of the moment.
    pub at: Timestamp,
    /// Anything else.
    pub annotations: &'a BTreeMap<&'static str, String>,
}

/// The outcome of a request: the fields of a `Status` that are bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    metadata: BTreeMap<String, String>,
    /// `Failure`; empty where the code tells all.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub status: &'static str,
    /// The error, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The error in one word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The HTTP status code.
    pub code: u16,
}

impl Outcome {
    /// The outcome of a request that was answered with this code.
    pub fn of_code(code: u16) -> Self {
        Self { code, ..Self::default() }
    }

    /// A failure.
    pub fn failure(code: u16, reason: &str, message: String) -> Self {
        Self { code, status: "Failure", reason: reason.into(), message, ..Self::default() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<Value>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectReference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<&'a Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<&'a RawValue>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReference<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
}

/// An instant as `MicroTime` has it.
fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

impl Event<'_> {
    /// The event as one line of JSON, without the line feed. From one of more than `most` bytes the bodies are left out, then the groups and the
    /// other attributes of its users, which a client can make long.
    pub fn to_json(&self, most: usize) -> String {
        let whole = self.render();
        if whole.len() <= most {
            return whole;
        }
        let mut annotations = self.annotations.clone();
        annotations.insert(TRUNCATED, "true".into());
        let without = Event { request_object: None, response_object: None, annotations: &annotations, ..self.clone() };
        let text = without.render();
        if text.len() <= most {
            return text;
        }
        let bare = |user: Option<&User>| user.map(|user| User { name: user.name.clone(), ..User::default() });
        let (user, impersonated) = (bare(self.user), bare(self.impersonated));
        Event { user: user.as_ref(), impersonated: impersonated.as_ref(), ..without }.render()
    }

    fn render(&self) -> String {
        let (verb, object_ref) = match self.attributes {
            Attributes::Path { verb, .. } => (&**verb, None),
            Attributes::Resource(of) => {
                let reference = ObjectReference {
                    resource: &of.resource,
                    namespace: &of.namespace,
                    name: &of.name,
                    api_group: &of.group,
                    api_version: &of.version,
                    subresource: &of.subresource,
                };
                (&*of.verb, Some(reference))
            }
        };
        let sent = Sent {
            kind: "Event",
            api_version: API_VERSION,
            level: self.level.name(),
            audit_id: self.audit_id,
            stage: self.stage.name(),
            request_uri: self.request_uri,
            verb,
            user: self.user.map_or_else(|| Value::Object(serde_json::Map::new()), user_to_json),
            impersonated_user: self.impersonated.map(user_to_json),
            source_ips: self.source_ips,
            user_agent: self.user_agent,
            object_ref,
            response_status: self.status,
            request_object: self.request_object,
            response_object: self.response_object,
            request_received_timestamp: micro_time(self.received),
            stage_timestamp: micro_time(self.at),
            annotations: self.annotations,
        };
        serde_json::to_string(&sent).unwrap_or_default()
    }
}

/// A body as an event has it, without `managedFields` if they are to be left out; `None` if it is no JSON.
pub fn body(json: &[u8], omit_managed_fields: bool) -> Option<Box<RawValue>> {
    if !omit_managed_fields {
        return serde_json::from_slice(json).ok();
    }
    let mut value: Value = serde_json::from_slice(json).ok()?;
    let without = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    without(&mut value);
    value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(without);
    serde_json::value::to_raw_value(&value).ok()
}

/// The name of an object, from its JSON.
pub fn name_in(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    serde_json::from_slice(json).ok().map(|Named { metadata }| metadata.name)
}

/// The fields of an event by which it is looked up.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Found {
    /// The action.
    pub verb: String,
    /// The object.
    pub object_ref: FoundObject,
}

/// The object of an event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FoundObject {
    /// `pods`
    pub resource: String,
    /// `binding`
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Found {
    /// Reads an event; one that cannot be read has no fields.
    pub fn parse(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use podberth_core::access::ResourceAttributes;
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn an_event_has_the_fields_of_kubernetes() {
        let attributes = Attributes::Resource(ResourceAttributes {
            version: "v1".into(),
            ..ResourceAttributes::new("create", "", "pods").within("ns").named("p").below("binding")
        });
        let annotations = BTreeMap::from([(DECISION, "allow".to_owned())]);
        let outcome = Outcome::failure(409, "Conflict", "taken".into());
        // Longer than the annotation that tells that it is left out.
        let long = "x".repeat(100);
        let object = body(json!({"a": long}).to_string().as_bytes(), false).expect("JSON");
        let (jane, robot) = (User::new("jane", ["dev"]), User::new("robot", []));
        let event = Event {
            level: Level::Request,
            audit_id: "id",
            stage: Stage::ResponseComplete,
            request_uri: "/api/v1/namespaces/ns/pods/p/binding?x=y",
            attributes: &attributes,
            user: Some(&jane),
            impersonated: Some(&robot),
            source_ips: &["10.0.0.1".to_owned()],
            user_agent: "kubectl",
            status: Some(&outcome),
            request_object: Some(&object),
            response_object: None,
            received: at("2026-11-27T03:00:00.000001Z"),
            at: at("2026-11-27T03:00:01Z"),
            annotations: &annotations,
        };
        let whole = event.to_json(usize::MAX);
        let read: Value = serde_json::from_str(&whole).expect("JSON");
        let expected = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request", "auditID": "id", "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/ns/pods/p/binding?x=y", "verb": "create",
            "user": {"username": "jane", "groups": ["dev"]}, "impersonatedUser": {"username": "robot"},
            "sourceIPs": ["10.0.0.1"], "userAgent": "kubectl",
            "objectRef": {"resource": "pods", "namespace": "ns", "name": "p", "apiVersion": "v1", "subresource": "binding"},
            "responseStatus": {"metadata": {}, "status": "Failure", "message": "taken", "reason": "Conflict", "code": 409},
            "requestObject": {"a": long},
            "requestReceivedTimestamp": "2026-11-27T03:00:00.000001Z", "stageTimestamp": "2026-11-27T03:00:01.000000Z",
            "annotations": {"authorization.k8s.io/decision": "allow"},
        });
        assert_eq!(read, expected);
        let found = Found::parse(event.to_json(usize::MAX).as_bytes());
        assert_eq!((&*found.verb, &*found.object_ref.subresource, &*found.object_ref.name), ("create", "binding", "p"));
        let short: Value = serde_json::from_str(&event.to_json(whole.len() - 1)).expect("JSON");
        assert_eq!((short.get("requestObject"), &short["annotations"][TRUNCATED]), (None, &json!("true")));
        assert_eq!((&short["user"], &short["auditID"]), (&read["user"], &json!("id")));
        let shorter: Value = serde_json::from_str(&event.to_json(0)).expect("JSON");
        assert_eq!(shorter["user"], json!({"username": "jane"}));
        let path = Attributes::Path { verb: "get".into(), path: "/metrics".into() };
        let bare = Event { attributes: &path, user: None, status: Some(&Outcome::of_code(401)), ..event };
        let read: Value = serde_json::from_str(&bare.to_json(usize::MAX)).expect("JSON");
        assert_eq!((&read["user"], read.get("objectRef"), &read["verb"]), (&json!({}), None, &json!("get")));
        assert_eq!(read["responseStatus"], json!({"metadata": {}, "code": 401}));
    }

    #[test]
    fn managed_fields_are_left_out_of_objects_and_lists() {
        let text = br#"{"metadata":{"name":"a","managedFields":[1]},"items":[{"metadata":{"managedFields":[2]}}]}"#;
        let of = |omit| body(text, omit).map(|raw| raw.get().to_owned()).unwrap_or_default();
        assert_eq!(of(true), r#"{"metadata":{"name":"a"},"items":[{"metadata":{}}]}"#);
        assert_eq!(of(false).as_bytes(), text);
        assert!(body(b"a: b", false).is_none() && body(b"{", true).is_none());
        assert_eq!(name_in(text).as_deref(), Some("a"));
        assert_eq!(name_in(br#"{"metadata":{}}"#), None);
    }
}
