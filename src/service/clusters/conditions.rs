//! The conditions of mirrored clusters in their objects, for those who read the objects: one process writes them when they change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::derived::told;
use crate::{
    clock,
    core::{federation::Condition, model::ConditionStatus},
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        error::{Error, Result},
        lead::{self, Lead, Leads},
        objects::{self, Intent, Options, Part, Target},
        source::mirrored,
    },
    telemetry::seldom::Texts,
    wire::{
        objects::member_cluster::{ClusterSummary, Member, SYNCED},
        source::SyncStatus,
    },
};

/// The name of the duty.
const DUTY: &str = "conditions";

/// Pause between two turns.
const EVERY: Duration = Duration::from_secs(5);

/// Shortest time between two writes of how much there is in a cluster.
const COUNTED_EVERY: Duration = Duration::from_mins(1);

/// Why turns fail, by cluster.
static TROUBLE: Texts = Texts::new();

/// Starts the writer of conditions. `holder` names this process.
pub fn keep(service: &Service, holder: Uuid) -> Leads {
    let wanted = |service: Service| async move {
        let members = service.clusters.fleet().await?.members();
        let has_mirrors = members.values().any(|member| member.source.is_some());
        Ok(has_mirrors.then(|| SYSTEM_CLUSTER.into()).into_iter().collect())
    };
    let of = service.clone();
    lead::lead(service, holder, DUTY, wanted, move |lead| follow(of.clone(), lead))
}

async fn follow(service: Service, _lead: Lead) {
    let mut writer = Writer::default();
    loop {
        if let Err(error) = writer.turn(&service).await {
            note(SYSTEM_CLUSTER, &error);
        }
        sleep(EVERY).await;
    }
}

fn note(cluster: &str, error: &Error) {
    let why = error.for_log();
    if TROUBLE.is_new(cluster, &why) {
        tracing::warn!(cluster, why, "the conditions of clusters cannot be written; it is tried again");
    }
}

/// The writer, which knows when it counted last.
#[derive(Debug, Default)]
pub struct Writer {
    counted: BTreeMap<Arc<str>, Instant>,
}

impl Writer {
    /// Writes what has changed.
    ///
    /// # Errors
    /// If the clusters cannot be listed. What cannot be written is logged, and tried again in the next turn.
    pub async fn turn(&mut self, service: &Service) -> Result<()> {
        let members = service.clusters.fleet().await?.members();
        self.counted.retain(|cluster, _| members.contains_key(&**cluster));
        for (name, member) in members.iter().filter(|(_, member)| member.source.is_some()) {
            let sync = service.sources.status(name);
            let now = clock::now();
            let told = told(sync.as_ref(), now);
            let is_news = told.iter().any(|(kind, told)| {
                let before = member.cluster.condition(kind);
                before.is_none_or(|before| before.status != told.status || before.reason != told.reason)
            });
            let name: Arc<str> = (&**name).into();
            let is_counted = self.counted.get(&name).is_some_and(|at| at.elapsed() < COUNTED_EVERY);
            let is_known = told.iter().any(|(kind, told)| *kind == SYNCED && told.status == ConditionStatus::True);
            if !is_news && (is_counted || !is_known) {
                continue;
            }
            match write(service, &name, &told, sync.as_ref()).await {
                Ok(()) => {
                    self.counted.insert(name, Instant::now());
                }
                // The others are not to suffer for it.
                Err(error) => note(&name, &error),
            }
        }
        Ok(())
    }
}

/// Writes conditions, and how much there is, into an object. Another writer's conditions stay.
async fn write(service: &Service, cluster: &str, told: &[(&str, Condition)], sync: Option<&SyncStatus>) -> Result<()> {
    let kind = Member::kind().ok_or_else(|| Error::internal("Cluster objects are not stored"))?;
    let target = Target { cluster: SYSTEM_CLUSTER.into(), kind, namespace: None, name: cluster.to_owned() };
    let Some(record) = service.store.get(SYSTEM_CLUSTER, &mirrored::object_key(cluster)).await? else { return Ok(()) };
    let mut object: Value = serde_json::from_slice(&record.body).map_err(Error::internal)?;
    let before = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut after = before.clone();
    for (kind, told) in told {
        let status = match told.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        };
        let old = before.iter().find(|old| old["type"] == **kind && old["status"] == status);
        let since = old.map(|old| old["lastTransitionTime"].clone()).filter(Value::is_string);
        let since = since.unwrap_or_else(|| clock::now_rfc3339().into());
        let (reason, message) = (&*told.reason, &*told.message);
        let condition =
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
        after.retain(|old| old["type"] != **kind);
        after.push(condition);
    }
    object["status"]["conditions"] = after.into();
    if let Some(summary) = sync.and_then(summary) {
        object["status"]["summary"] = json!(summary);
    }
    object["metadata"]["resourceVersion"] = record.revision.to_string().into();
    let intent = Intent::Replace { body: object.to_string().into(), part: Part::Status };
    match objects::write(service, &target, intent, &Options::default()).await {
        // It has been changed or deleted meanwhile: the next turn looks again.
        Err(Error::Conflict { .. } | Error::NotFound(_)) => Ok(()),
        done => done.map(drop),
    }
}

/// How much there is in a mirror, if it counts both nodes and pods.
fn summary(sync: &SyncStatus) -> Option<ClusterSummary> {
    let count = |kind: &str| sync.kinds.get(kind).and_then(|kind| i64::try_from(kind.objects).ok());
    Some(ClusterSummary { nodes: count("nodes")?, pods: count("pods")? })
}
