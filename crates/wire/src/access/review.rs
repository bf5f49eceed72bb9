//! Reviews: questions about rights, and about the sender of a request.
//!
//! Source: `staging/src/k8s.io/api/authorization/v1/types.go`, `pkg/apis/authorization/validation/validation.go`,
//! `pkg/registry/authorization/util/helpers.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    decode::{self, DecodeError},
    fault::{Cause, Faults, Path},
};
use podberth_core::{
    access::{Attributes, ResourceAttributes, User},
    model::Name,
};

/// The kinds of reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewKind {
    /// Asks if a user may do something.
    SubjectAccess,
    /// Like that, in one namespace.
    LocalSubjectAccess,
    /// Asks if the sender may do something.
    SelfSubjectAccess,
    /// The rights of the sender in a namespace.
    SelfSubjectRules,
    /// The sender.
    SelfSubject,
}

impl ReviewKind {
    /// The kinds.
    pub const ALL: [Self; 5] = [
        Self::LocalSubjectAccess,
        Self::SelfSubjectAccess,
        Self::SelfSubjectRules,
        Self::SubjectAccess,
        Self::SelfSubject,
    ];

    /// `SubjectAccessReview`
    pub fn kind(self) -> &'static str {
        match self {
            Self::SubjectAccess => "SubjectAccessReview",
            Self::LocalSubjectAccess => "LocalSubjectAccessReview",
            Self::SelfSubjectAccess => "SelfSubjectAccessReview",
            Self::SelfSubjectRules => "SelfSubjectRulesReview",
            Self::SelfSubject => "SelfSubjectReview",
        }
    }

    /// The API group.
    pub fn group(self) -> &'static str {
        if self == Self::SelfSubject { "authentication.k8s.io" } else { "authorization.k8s.io" }
    }

    /// `true` if it is asked in a namespace.
    pub fn is_namespaced(self) -> bool {
        self == Self::LocalSubjectAccess
    }
}

/// A review as it is sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Review {
    /// As it came: it comes back.
    metadata: Option<Value>,
    /// The question.
    pub spec: Spec,
}

/// The question of a review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// An action on resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_attributes: Option<SentResource>,
    /// A path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_resource_attributes: Option<SentPath>,
    /// The user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The user's groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Anything else about the user.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
    /// The user's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Of a [`ReviewKind::SelfSubjectRules`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// An action on resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields are those of ResourceAttributes in the core")]
pub struct SentResource {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verb: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<Value>,
}

/// A path that is no resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SentPath {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verb: String,
}

impl Review {
    /// Reads a review.
    ///
    /// # Errors
    /// If the text is not JSON or a field has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(json)
    }

    /// The namespace of its metadata.
    pub fn namespace(&self) -> &str {
        let metadata = self.metadata.as_ref();
        metadata.and_then(|metadata| metadata.get("namespace")?.as_str()).unwrap_or_default()
    }

    /// Sets the namespace of its metadata.
    pub fn set_namespace(&mut self, namespace: &str) {
        let metadata = self.metadata.get_or_insert_with(|| serde_json::json!({}));
        if let Some(fields) = metadata.as_object_mut() {
            fields.insert("namespace".into(), namespace.into());
        }
    }

    /// The faults of a review of a kind.
    pub fn check(&self, kind: ReviewKind) -> Vec<Cause> {
        let (mut faults, spec) = (Faults::default(), Path::ROOT.child("spec"));
        if matches!(kind, ReviewKind::SelfSubject | ReviewKind::SelfSubjectRules) {
            return Vec::new();
        }
        let Spec { resource_attributes: resource, non_resource_attributes: path, user, groups, .. } = &self.spec;
        let at_path = spec.child("nonResourceAttributes");
        match (resource, path) {
            (Some(_), Some(path)) => {
                faults.invalid_json(
                    &at_path,
                    &path.as_go(),
                    "cannot be specified in combination with resourceAttributes",
                );
            }
            (None, None) => {
                let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                faults.invalid_json(&spec.child("resourceAttributes"), &Value::Null, why);
            }
            _ => {}
        }
        if kind != ReviewKind::SelfSubjectAccess && user.is_empty() && groups.is_empty() {
            faults.invalid(&spec.child("user"), "", "at least one of user or group must be specified");
        }
        if kind == ReviewKind::LocalSubjectAccess {
            if let Some(resource) = resource.as_ref().filter(|resource| resource.namespace != self.namespace()) {
                let at = spec.child("resourceAttributes");
                faults.invalid(&at.child("namespace"), &resource.namespace, "must match metadata.namespace");
            }
            if let Some(path) = path {
                faults.invalid_json(&at_path, &path.as_go(), "disallowed on this kind of request");
            }
        }
        let mut metadata = self.metadata.clone().unwrap_or_default();
        if let Some(fields) = metadata.as_object_mut() {
            fields.retain(|name, value| {
                let is_kept =
                    name != "managedFields" && (name != "namespace" || kind != ReviewKind::LocalSubjectAccess);
                is_kept && !is_empty(value)
            });
            if !fields.is_empty() {
                faults.invalid_json(&Path::ROOT.child("metadata"), &metadata, "must be empty");
            }
        }
        faults.into_causes()
    }

    /// The user that it asks about.
    pub fn user(&self) -> User {
        let Spec { user, groups, extra, uid, .. } = &self.spec;
        User {
            name: user.as_str().into(),
            uid: uid.clone(),
            groups: groups.iter().map(|group| Name::from(group.as_str())).collect(),
            extra: extra.clone(),
        }
    }

    /// The reply: the review with its answer.
    pub fn answered(&self, kind: ReviewKind, status: Value) -> Value {
        let mut reply = serde_json::Map::new();
        reply.insert("kind".into(), kind.kind().into());
        reply.insert("apiVersion".into(), format!("{}/v1", kind.group()).into());
        let metadata = self.metadata.clone().filter(|metadata| !is_empty(metadata));
        reply.insert("metadata".into(), metadata.unwrap_or_else(|| serde_json::json!({})));
        if kind != ReviewKind::SelfSubject {
            reply.insert("spec".into(), serde_json::to_value(&self.spec).unwrap_or_default());
        }
        reply.insert("status".into(), status);
        reply.into()
    }
}

/// `true` if a value says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

impl SentPath {
    /// The value in a fault, with the names that it has in Go.
    fn as_go(&self) -> Value {
        serde_json::json!({"Path": self.path, "Verb": self.verb})
    }
}

impl Spec {
    /// The attributes that are asked for. Reviews that were checked have one.
    pub fn attributes(&self) -> Option<Attributes<'_>> {
        let path = self.non_resource_attributes.as_ref();
        let path = path.map(|SentPath { path, verb }| Attributes::Path { verb: verb.into(), path: path.into() });
        let resource = self.resource_attributes.as_ref().map(|of| {
            Attributes::Resource(ResourceAttributes {
                verb: (&of.verb).into(),
                group: (&of.group).into(),
                version: (&of.version).into(),
                resource: (&of.resource).into(),
                subresource: (&of.subresource).into(),
                namespace: (&of.namespace).into(),
                name: (&of.name).into(),
            })
        });
        resource.or(path)
    }
}

/// A user as reviews tell of it: `UserInfo`.
pub fn user_to_json(user: &User) -> Value {
    let mut info = serde_json::Map::new();
    info.insert("username".into(), (&*user.name).into());
    if !user.uid.is_empty() {
        info.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), user.groups.iter().map(|group| &**group).collect());
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), serde_json::to_value(&user.extra).unwrap_or_default());
    }
    info.into()
}
