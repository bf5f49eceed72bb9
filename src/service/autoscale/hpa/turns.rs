//! The loop over stored HorizontalPodAutoscalers (`--hpa`): each turn reads their targets, pods and metrics, writes the scales that should change, and
//! the status of each autoscaler.
//!
//! One process does it for a cluster: the one that leads it. A scale is written for the revision that was read, so that a process that lost the lead
//! unnoticed undoes nothing. Clusters that mirror live ones are left alone: there the live cluster's own controller scales.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go`; `--horizontal-pod-autoscaler-sync-period` of kube-controller-manager.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use metrics::counter;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{
    case, memory,
    prometheus::Prometheus,
    stored::{Read, Stored, kind},
};
use crate::{
    clock,
    core::advise::hpa::{Answer, History, Metrics, Options, PodState, Rival, Selection, unreachable},
    service::{
        Service,
        access::Caller,
        autoscale::metrics as posted,
        compute::compute,
        decisions::Action,
        error::{Error, Result},
        lead::{Lead, Leads, lead},
        objects::{self, Intent, Manager, Options as WriteOptions, Part, Scaling, Target},
        source::guard,
    },
    store::Entry,
    telemetry::{self, seldom::Texts},
    wire::{
        autoscale::hpa::{Case, Hpa, selection, status},
        decision::CallKind,
        patch::PatchType,
    },
};

/// The name of the duty.
const DUTY: &str = "hpa";

/// The manager of the fields that the loop writes.
const MANAGER: &str = "podberth-hpa";

/// Why turns fail, by cluster.
static TROUBLE: Texts = Texts::new();

/// The settings of the loop.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between two turns.
    pub interval: Duration,
    /// Settings of the calculation.
    pub options: Options,
    /// The Prometheus that is asked, if there is one.
    pub prometheus: Option<Prometheus>,
}

/// Starts the loop in some clusters. `holder` names this process.
pub fn start(service: &Service, holder: Uuid, clusters: BTreeSet<Arc<str>>, settings: Settings) -> Leads {
    let wanted = move |_: Service| {
        let clusters = clusters.clone();
        async move { Ok(clusters) }
    };
    let of = service.clone();
    let run = move |lead: Lead| follow(of.clone(), settings.clone(), lead);
    lead(service, holder, DUTY, wanted, run)
}

/// Takes turns for as long as this process leads.
async fn follow(service: Service, settings: Settings, lead: Lead) {
    let mut turns = Turns::new(&service, lead.cluster(), settings.clone());
    let mut ticks = interval(settings.interval.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let done = turns.turn().await;
        let outcome = if done.is_ok() { "done" } else { "failed" };
        counter!(telemetry::HPA_TURNS, "outcome" => outcome).increment(1);
        if let Err(error) = done {
            let (cluster, why) = (&**lead.cluster(), error.for_log());
            if TROUBLE.is_new(cluster, &why) {
                tracing::warn!(cluster, why, "workloads cannot be scaled by their metrics; it is tried again");
            }
        }
    }
}

/// The turns over the autoscalers of a cluster.
#[derive(Debug)]
struct Turns {
    service: Service,
    cluster: Arc<str>,
    settings: Settings,
    caller: Caller,
    /// The memories by namespace and name; `None` until they are read.
    memories: Option<HashMap<String, History>>,
}

/// The autoscalers of a turn, and what they share.
struct Shared {
    pods: BTreeMap<String, Arc<Vec<PodState>>>,
    metrics: BTreeMap<String, Arc<Metrics>>,
    rivals: BTreeMap<String, Arc<Vec<Rival>>>,
}

impl Turns {
    /// Turns that know nothing yet.
    fn new(service: &Service, cluster: &Arc<str>, settings: Settings) -> Self {
        let (service, cluster) = (service.clone(), cluster.clone());
        Self { service, cluster, settings, caller: Caller::default(), memories: None }
    }

    fn stored(&self) -> Stored<'_> {
        Stored { service: &self.service, cluster: &self.cluster, caller: &self.caller, at: None }
    }

    /// One turn; returns the number of targets that were scaled.
    ///
    /// # Errors
    /// Those of the store. An autoscaler that cannot be carried out does not keep the others from it.
    async fn turn(&mut self) -> Result<usize> {
        let now = self.service.clusters.now().await?;
        if guard::source_for(&self.service, &self.cluster, kind()?).await?.is_some() {
            return Ok(0);
        }
        let hpas = self.stored().autoscalers(None).await?;
        if self.memories.is_none() {
            self.memories = Some(memory::all(&self.service, &self.cluster).await?);
        }
        if let Some(memories) = &mut self.memories {
            let names: HashSet<String> = hpas.iter().map(word).collect();
            memories.retain(|name, _| names.contains(name));
        }
        if hpas.is_empty() {
            return Ok(0);
        }
        let mut reads = Vec::new();
        for hpa in hpas {
            let read = self.stored().scale(&hpa).await?;
            reads.push((hpa, read));
        }
        let shared = self.shared(&reads, now).await?;
        let (mut scaled, mut entries) = (0, Vec::new());
        for (hpa, read) in reads {
            match self.one(hpa, read, &shared, now).await {
                Ok((is_scaled, entry)) => {
                    scaled += usize::from(is_scaled);
                    entries.extend(entry);
                }
                Err(error) => tracing::debug!(cluster = &*self.cluster, error = error.for_log(), "not scaled"),
            }
        }
        memory::append(&self.service, &self.cluster, &entries, now).await?;
        Ok(scaled)
    }

    /// Reads what several autoscalers share.
    async fn shared(&self, reads: &[(Hpa, std::result::Result<Read, String>)], now: Timestamp) -> Result<Shared> {
        let mut newest = posted::newest(&self.service, &self.cluster).await?;
        if let Some(prometheus) = &self.settings.prometheus {
            let (pods, custom, external) = prometheus.values(now).await;
            newest.add(pods, custom, external);
        }
        let metrics = compute(move || newest.by_namespace()).await?;
        let (mut pods, mut rivals) = (BTreeMap::new(), BTreeMap::<String, Vec<Rival>>::new());
        for (hpa, read) in reads {
            let namespace = hpa.core.namespace.to_string();
            if !pods.contains_key(&namespace) {
                pods.insert(namespace.clone(), self.stored().pods(&namespace).await?);
            }
            if let Ok(read) = read
                && let Selection::Of(selector) = selection(&read.scale.status.selector)
            {
                rivals.entry(namespace).or_default().push(Rival { name: hpa.core.name.clone(), selector });
            }
        }
        let rivals = rivals.into_iter().map(|(namespace, list)| (namespace, Arc::new(list))).collect();
        Ok(Shared { pods, metrics, rivals })
    }

    /// Carries one autoscaler out: `true` if its target was scaled, and what is to be remembered.
    async fn one(
        &mut self,
        hpa: Hpa,
        read: std::result::Result<Read, String>,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<(bool, Option<Entry>)> {
        let (namespace, name) = (hpa.core.namespace.clone(), hpa.core.name.clone());
        let word = word(&hpa);
        let at = clock::nanoseconds(now);
        let read = match read {
            Ok(read) => read,
            Err(why) => {
                let answer = Answer {
                    desired: hpa.before.desired,
                    conditions: unreachable(&hpa.before, &why, at),
                    ..Answer::default()
                };
                self.write_status(&hpa, &answer, at).await?;
                return Ok((false, None));
            }
        };
        let pods = shared.pods.get(&*namespace).cloned().unwrap_or_default();
        let metrics = posted::of_namespace(&shared.metrics, &namespace);
        let history = self.memories.as_mut().and_then(|memories| memories.remove(&word)).unwrap_or_default();
        let mut case: Case = case(hpa, &read.scale, history, at, (pods, metrics, self.settings.options));
        case.rivals = shared.rivals.get(&*namespace).cloned().unwrap_or_default();
        let (mut case, mut answer) = compute(move || {
            let answer = case.advise();
            (case, answer)
        })
        .await?;
        if answer.is_rescaled()
            && let Err(error) = self.scale(&read, answer.replicas).await
        {
            answer = answer.refused(&error.to_string(), at);
            answer.desired = case.hpa.before.desired;
        }
        let hpa = case.hpa.clone();
        case.done(&answer);
        if let Some(memories) = &mut self.memories {
            memories.insert(word, case.history);
        }
        self.write_status(&hpa, &answer, at).await?;
        let is_scaled = answer.is_rescaled();
        if is_scaled {
            self.note(&hpa, &answer).await?;
        }
        let change = (is_scaled && hpa.core.behavior.is_some()).then(|| answer.replicas.saturating_sub(answer.current));
        let entry = memory::entry(&self.cluster, (&namespace, &name), answer.proposed, change, &answer.reason, now);
        Ok((is_scaled, entry))
    }

    /// Writes the scale of a target, for the revision that was read.
    async fn scale(&self, read: &Read, replicas: i32) -> Result<()> {
        let mut scale: Value = serde_json::from_str(&read.json).map_err(Error::internal)?;
        scale["spec"]["replicas"] = replicas.into();
        let scaling = Scaling::Replace(Bytes::from(scale.to_string()));
        objects::set_scale(&self.service, &read.target, &scaling, &options()).await.map(drop)
    }

    /// Writes the status of an autoscaler, if another one is stored.
    async fn write_status(&self, hpa: &Hpa, answer: &Answer, now: i64) -> Result<()> {
        let mut status = status(hpa, answer, now);
        if status == hpa.status {
            return Ok(());
        }
        // A field that is gone is taken away.
        for (field, _) in hpa.status.as_object().into_iter().flatten() {
            if status.get(field).is_none() && field != "observedGeneration" {
                status[field] = Value::Null;
            }
        }
        let (namespace, name) = (hpa.core.namespace.to_string(), hpa.core.name.to_string());
        let target = Target { cluster: self.cluster.clone(), kind: kind()?, namespace: Some(namespace), name };
        let body = Bytes::from(json!({ "status": status }).to_string());
        let intent = Intent::Patch { patch: PatchType::Merge, body, part: Part::Status };
        objects::write(&self.service, &target, intent, &options()).await.map(drop)
    }

    /// Records a change with its reason.
    async fn note(&self, hpa: &Hpa, answer: &Answer) -> Result<()> {
        let (from, to) = (answer.current, answer.replicas);
        let direction = if to > from { "up" } else { "down" };
        counter!(telemetry::HPA_RESCALES, "direction" => direction).increment(1);
        let (_, _, name) = hpa.target();
        let Some(step) = answer.step(hpa.workload()) else { return Ok(()) };
        let message = format!("autoscaler {}: {step}", hpa.core.name);
        tracing::info!(cluster = &*self.cluster, namespace = &*hpa.core.namespace, "{message}");
        let live = self.service.clusters.get(&self.cluster).await?;
        self.service.decisions.acted(Action {
            cluster: self.cluster.clone(),
            epoch: live.progress().epoch(),
            revision: live.view().snapshot.revision,
            call: CallKind::Hpa,
            object: (hpa.core.namespace.to_string(), name.to_owned()),
            message,
            ..Action::default()
        });
        Ok(())
    }
}

/// Namespace and name of an autoscaler.
fn word(hpa: &Hpa) -> String {
    format!("{}/{}", hpa.core.namespace, hpa.core.name)
}

fn options() -> WriteOptions {
    WriteOptions { manager: Manager { name: MANAGER.into(), is_named: true }, ..WriteOptions::default() }
}

#[cfg(test)]
mod tests;
