//! The live cluster that a cluster mirrors, and how far its mirror is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kinds::{self, StoredKind};
use podberth_core::snapshot::Kind;

mod validation;

/// The store's kind under which a cluster's source is kept, as its one object [`NAME`].
pub const KIND: &str = "sources.podberth.io";

/// The name of that object.
pub const NAME: &str = "source";

/// The ledger's kind of [`SyncStatus`].
pub const STATUS: &str = "sync";

/// The beginning of the keys of annotations that are Podberth's own: those of a mirrored object stay when the mirror writes it.
pub const OWN_ANNOTATIONS: &str = "podberth.io/";

/// The kinds that are mirrored unless a source names some of them: those that decisions read. Node groups are Podberth's own.
pub fn mirrored() -> impl Iterator<Item = &'static StoredKind> {
    let is_own = |kind: &StoredKind| kind.is(Kind::NodeGroup);
    kinds::shared().filter(move |kind| kind.core().is_some() && kind.is_stored_form() && !is_own(kind))
}

/// The name of a kind in [`ClusterSource::kinds`]: `pods`, `replicasets.apps`.
pub fn kind_name(kind: &StoredKind) -> String {
    if kind.group.is_empty() { kind.plural.to_owned() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// The state of a live cluster that a reply was computed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceRead {
    /// The cluster that mirrors it, by its name here.
    #[schema(example = "prod")]
    pub cluster: String,
    /// The time of which the mirror is at least the state; `null` before the first whole list.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2026-01-02T15:04:05Z")]
    pub as_of: Option<Timestamp>,
    /// The mirror is older than `--max-sync-lag` allows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_stale: bool,
}

/// A live Kubernetes cluster that a cluster mirrors. Credentials are named by file, never held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterSource {
    /// A kubeconfig file on each machine that runs Podberth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/etc/podberth/prod.kubeconfig")]
    pub kubeconfig_file: Option<String>,
    /// The context of that file; its current one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub context: Option<String>,
    /// `true` for the cluster in which Podberth runs as a pod, by the pod's service account.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_cluster: bool,
    /// The kinds to mirror, by plural and group (`pods`, `replicasets.apps`); all that decisions read if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kinds: Option<Vec<String>>,
    /// The parts of objects that are kept.
    pub trim: Trim,
    /// The way in which binds become facts.
    pub bind: BindMode,
    /// Names of schedulers (`spec.schedulerName`) whose pods Podberth schedules by itself.
    #[serde(rename = "loop", skip_serializing_if = "Vec::is_empty")]
    pub schedulers: Vec<String>,
    /// The Lease in the live cluster, `namespace/name`, that keeps other schedulers of its name out; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "kube-system/podberth")]
    pub lease: Option<String>,
}

/// The parts of mirrored objects that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Trim {
    /// Those that decisions and people who ask why may need: no managedFields, last-applied configuration, environment, commands, statuses of containers.
    #[default]
    Scheduling,
    /// All.
    Full,
}

/// The way in which binds become facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BindMode {
    /// They are noted here; whoever asked for one carries it out.
    #[default]
    Record,
    /// Podberth carries them out through the API server.
    ApiServer,
}

/// The fields of a source that name its API server. Versions and times of another one say nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceServer {
    /// [`ClusterSource::kubeconfig_file`]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kubeconfig_file: Option<String>,
    /// [`ClusterSource::context`]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub context: Option<String>,
    /// [`ClusterSource::in_cluster`]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_cluster: bool,
}

/// How far the mirror of a cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncStatus {
    /// The API server that it is the mirror of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub server: Option<SourceServer>,
    /// Each mirrored kind, by plural and group.
    pub kinds: BTreeMap<String, KindStatus>,
}

/// How far the mirror of one kind is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KindStatus {
    /// When the API server last told of a state that is in the mirror, by an event, a bookmark or a whole list; `null` before the first whole list.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2026-01-02T15:04:05Z")]
    pub as_of: Option<Timestamp>,
    /// The `resourceVersion` of that state, which is the API server's, not Podberth's.
    #[serde(default)]
    pub source_version: String,
    /// Objects in the mirror.
    #[serde(default)]
    pub objects: u64,
    /// Whole lists since the process that mirrors began.
    #[serde(default)]
    pub relists: u64,
    /// Why it does not go on at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub trouble: Option<String>,
}

impl SyncStatus {
    /// The status of the mirror of an API server of which nothing is known yet.
    pub fn of(server: SourceServer) -> Self {
        Self { server: Some(server), kinds: BTreeMap::new() }
    }

    /// The time of which the whole mirror is at least the state; `None` before the first whole list of each kind.
    pub fn as_of(&self) -> Option<Timestamp> {
        let known: Option<Vec<Timestamp>> = self.kinds.values().map(|kind| kind.as_of).collect();
        known?.into_iter().min()
    }
}

impl ClusterSource {
    /// Reads a stored source.
    ///
    /// # Errors
    /// When the body is none.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Its API server.
    pub fn server(&self) -> SourceServer {
        let (kubeconfig_file, context) = (self.kubeconfig_file.clone(), self.context.clone());
        SourceServer { kubeconfig_file, context, in_cluster: self.in_cluster }
    }

    /// The name by which people are told of the live cluster.
    pub fn title(&self) -> String {
        match (&self.kubeconfig_file, &self.context) {
            (Some(file), Some(context)) => format!("context {context} of {file}"),
            (Some(file), None) => file.clone(),
            (None, _) => "the cluster that Podberth runs in".to_owned(),
        }
    }
}
