//! Forks: clusters that begin as another one was at a revision, to work on without changing it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::explanation::PodName;

/// The store's kind of the one object that makes a cluster a fork.
pub const KIND: &str = "forks.podberth.io";

/// A fork as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The revision of the cluster that it is a fork of.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Stored {
    /// Reads a stored fork.
    ///
    /// # Errors
    /// Why it cannot be read, in one line.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    /// `true` if its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

/// A request for a fork.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ForkRequest {
    /// Its name, as in `/forks/{name}/…`: lower case letters, digits and `-`, 63 at most. One is made up where it is absent.
    #[schema(nullable = false, example = "upgrade")]
    pub name: Option<String>,
    /// The revision of the cluster that it begins with; the present where absent.
    #[schema(nullable = false, example = 42)]
    pub revision: Option<u64>,
    /// Instead of `revision` a time, RFC 3339: the newest revision of then.
    #[schema(nullable = false, example = "2026-01-02T15:04:05Z")]
    pub at: Option<String>,
    /// Seconds after which it is removed: 3600 where absent, at most 604800, which are seven days.
    #[schema(nullable = false, example = 3600)]
    pub ttl_seconds: Option<u64>,
}

/// A fork.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fork {
    /// Its name.
    #[schema(example = "upgrade")]
    pub name: String,
    /// The cluster that it is a fork of.
    #[schema(example = "default")]
    pub cluster: String,
    /// The revision of that cluster.
    #[schema(example = 42)]
    pub revision: u64,
    /// The path under which it is worked on.
    #[schema(example = "/forks/upgrade")]
    pub path: String,
    /// When it was made, RFC 3339.
    #[schema(value_type = String, example = "2026-01-02T15:04:05Z")]
    pub created_at: Timestamp,
    /// When it is removed, RFC 3339.
    #[schema(value_type = String, example = "2026-01-02T16:04:05Z")]
    pub expires_at: Timestamp,
}

/// The forks of a cluster.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ForkList {
    /// By name.
    pub items: Vec<Fork>,
}

/// The differences between a fork and what it began with.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForkDiff {
    /// The fork's name.
    #[schema(example = "upgrade")]
    pub name: String,
    /// The cluster that it is a fork of.
    #[schema(example = "default")]
    pub cluster: String,
    /// The revision of that cluster.
    #[schema(example = 42)]
    pub revision: u64,
    /// Objects that are in the fork alone.
    pub added: Vec<ForkObject>,
    /// Objects whose content differs.
    pub changed: Vec<ForkObject>,
    /// Objects that are not in the fork.
    pub removed: Vec<ForkObject>,
    /// Pods of both that are on different nodes.
    pub moved: Vec<ForkMove>,
    /// How many further differences there are in objects that the caller may not list.
    #[schema(example = 0)]
    pub hidden: usize,
}

/// An object that differs.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForkObject {
    /// Its kind.
    #[schema(example = "Pod")]
    pub kind: String,
    /// The group and version of the kind.
    #[schema(example = "v1")]
    pub api_version: String,
    /// Its namespace; absent if the kind has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "default")]
    pub namespace: Option<String>,
    /// Its name.
    #[schema(example = "web")]
    pub name: String,
}

/// A pod on another node than before.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ForkMove {
    /// The pod.
    pub pod: PodName,
    /// Its node before; `null` if it waited for one.
    pub from: Option<String>,
    /// Its node in the fork; `null` if it waits for one.
    pub to: Option<String>,
}
