//! Audit in JSON: [policies](policy) and [events](event), as kube-apiserver has them.
//!
//! Source: `apiserver/pkg/apis/audit/v1/types.go`.

pub mod event;
pub mod policy;

/// The API version of policies and events.
pub const API_VERSION: &str = "audit.k8s.io/v1";
