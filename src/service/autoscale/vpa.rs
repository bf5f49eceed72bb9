//! Recommended requests: of an autoscaler that comes with the request, of a stored one, or of all stored ones.
//!
//! A stored autoscaler's checkpoints carry its usage from one request to the next, and with `store` the request writes them anew, with the status. Writes name the revisions
//! that were read. Where another request was ahead, all is read and computed again; samples that it brought too are discarded then.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    clock,
    core::{
        access::ResourceAttributes,
        advise::vpa::{self, Resized},
        model::Pod,
        policy::Profiles,
        snapshot::Snapshot,
    },
    service::{
        Service,
        access::{Caller, sight::Sight},
        compute::compute_long,
        context::{self, DecisionContext},
        decide::brought_cluster,
        error::{Error, Result},
        objects::{self, ATTEMPTS, Intent, Manager, Options, Part, Selection, Target},
    },
    store::Record,
    wire::{
        autoscale::vpa::{
            EffectReport, PodSelector, VerticalPodAutoscaler, VerticalPodAutoscalerCheckpoint, VpaReport, VpaRequest,
            selector_of_workload,
        },
        explanation::PodName,
        fault::{Faults, Path},
        kinds::{self, StoredKind},
        patch::PatchType,
    },
};

const GROUP: &str = "autoscaling.k8s.io";
const AUTOSCALERS: &str = "verticalpodautoscalers";
const CHECKPOINTS: &str = "verticalpodautoscalercheckpoints";

/// The name of the request.
const KIND: &str = "VpaRequest";

/// The name under which fields are written.
const MANAGER: &str = "podberth-vpa";

/// Autoscalers that one request answers for.
const MOST_AUTOSCALERS: usize = 1_000;
/// Pods whose requests change at once.
const MOST_PODS: usize = 10_000;

/// The request's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The services.
    pub service: &'a Service,
    /// The sender.
    pub caller: &'a Caller,
    /// The cluster.
    pub cluster: &'a Arc<str>,
    /// Its state.
    pub context: &'a DecisionContext,
    /// The revision of that state, if it is of the past.
    pub at: Option<u64>,
    /// The policy that places pods; `None` for the one in force.
    pub policy: Option<&'a str>,
}

/// Recommends requests.
///
/// # Errors
/// The faults of the request by their fields; [`Error::NotFound`]; [`Error::Denied`]; [`Error::Conflict`] if others kept changing what is to be stored.
pub async fn recommend(asking: Asking<'_>, request: VpaRequest) -> Result<VpaReport> {
    if request.store && (request.name.is_none() || asking.at.is_some()) {
        let why = "only a stored autoscaler of the present can be written; name it in `name`, and leave out `revision` and `at`";
        return Err(fault("store", |faults, at| faults.invalid(at, true, why)));
    }
    match (&request.name, &request.vpa) {
        (Some(_), Some(_)) => Err(fault("vpa", |faults, at| faults.forbidden(at, "name and vpa exclude each other"))),
        (Some(name), None) => {
            let name = name.clone();
            asking.stored(&name, request).await
        }
        (None, Some(_)) => asking.answer(request, false).await,
        (None, None) => asking.all(&request).await,
    }
}

/// A stored autoscaler and what belongs to it.
struct Stored {
    vpa: VerticalPodAutoscaler,
    record: Record,
    checkpoints: Vec<VerticalPodAutoscalerCheckpoint>,
    /// By name.
    revisions: BTreeMap<String, u64>,
}

impl Asking<'_> {
    /// The answer for a stored autoscaler.
    async fn stored(self, name: &str, request: VpaRequest) -> Result<VpaReport> {
        self.context.is_there()?;
        if !request.checkpoints.is_empty() {
            let why = "a stored autoscaler has its own";
            return Err(fault("checkpoints", |faults, at| faults.forbidden(at, why)));
        }
        let (namespace, name) = PodName::parse(name);
        let of = |verb| ResourceAttributes::new(verb, GROUP, AUTOSCALERS).within(namespace).named(name);
        self.caller.check(self.service, self.cluster, of("get")).await?;
        if request.store {
            self.caller.check(self.service, self.cluster, of("update").below("status")).await?;
            for verb in ["create", "update"] {
                let checkpoints = ResourceAttributes::new(verb, GROUP, CHECKPOINTS).within(namespace);
                self.caller.check(self.service, self.cluster, checkpoints).await?;
            }
        }
        let mut conflict = None;
        for _ in 0..ATTEMPTS {
            let stored = self.read_stored(namespace, name).await?;
            let mut filled = request.clone();
            if filled.selector.is_none() {
                filled.selector = Some(self.selector(&stored.vpa, namespace).await?);
            }
            filled.vpa = Some(stored.vpa.clone());
            filled.checkpoints = stored.checkpoints.clone();
            let report = self.answer(filled, true).await?;
            let mut report = VpaReport { name: Some(format!("{namespace}/{name}")), ..report };
            if !request.store {
                return Ok(report);
            }
            match self.keep((namespace, name), &stored, &report).await {
                Ok(()) => {
                    report.stored = true;
                    return Ok(report);
                }
                Err(error @ (Error::Conflict { .. } | Error::AlreadyExists(_))) => conflict = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(conflict.unwrap_or_else(|| Error::BadRequest("others kept changing the autoscaler".into())))
    }

    /// The answer for an autoscaler that the request has in full. `is_stored`: it was filled in from a stored one.
    async fn answer(self, request: VpaRequest, is_stored: bool) -> Result<VpaReport> {
        let pods = if request.effect { self.pods(&request).await? } else { Vec::new() };
        let sight = Sight::of(self.caller, self.service, self.cluster).await?;
        let snapshot = self.context.view.snapshot.clone();
        let profiles = context::chosen(&self.context.view, self.policy)?.profiles();
        let work = move || -> Result<VpaReport> {
            let mut question = request.to_core(clock::now_nanoseconds()).map_err(super::refused(KIND))?;
            let namespace = request.vpa.as_ref().map(|vpa| vpa.metadata.namespace.clone()).unwrap_or_default();
            if is_stored {
                let is_meant = |pod: &&Arc<Pod>| *pod.namespace == *namespace && !pod.terminal;
                let selected = snapshot.pods().filter(is_meant).filter(|pod| question.selector.matches(&pod.labels));
                let count = selected.count();
                question.count_pods(count);
            }
            let mut report = question.answer();
            report.revision = snapshot.revision;
            if request.effect {
                let resizing = question.resizing(&report);
                let (snapshot, with, sight) = if let Some(brought) = &request.cluster {
                    (brought_cluster(brought)?, resizing.of_cluster(&brought.0), Sight::default())
                } else {
                    let read = pods.iter().filter_map(|record| resizing.of_stored(&record.body)).collect();
                    (snapshot, read, sight)
                };
                report.effect = Some(effect(snapshot, profiles, request.seed, with, sight)?);
            }
            Ok(report)
        };
        compute_long(false, work).await?
    }

    /// The answers for all stored autoscalers, from their checkpoints.
    async fn all(self, request: &VpaRequest) -> Result<VpaReport> {
        let VpaRequest { pods, checkpoints, selector, effect, cluster, .. } = request;
        if !pods.is_empty() || !checkpoints.is_empty() || selector.is_some() || *effect || cluster.is_some() {
            let why = "the autoscaler that this is about: `vpa` in full, or the `name` of a stored one";
            return Err(fault("vpa", |faults, at| faults.required(at, why)));
        }
        self.context.is_there()?;
        let list = ResourceAttributes::new("list", GROUP, AUTOSCALERS);
        self.caller.check(self.service, self.cluster, list).await?;
        let autoscalers = self.list(AUTOSCALERS, None).await?;
        if autoscalers.len() > MOST_AUTOSCALERS {
            let why = format!("there are more than {MOST_AUTOSCALERS} autoscalers; ask for one by its name");
            return Err(fault("name", |faults, at| faults.required(at, &why)));
        }
        let checkpoints = self.list(CHECKPOINTS, None).await?;
        let (request, revision) = (request.clone(), self.context.view.snapshot.revision);
        let work = move || -> Result<VpaReport> {
            let mut of_vpa: BTreeMap<(String, String), Vec<VerticalPodAutoscalerCheckpoint>> = BTreeMap::new();
            for record in &checkpoints {
                let checkpoint = checkpoint(record)?;
                let key = (record.key.namespace.clone(), checkpoint.spec.vpa_object_name.clone());
                of_vpa.entry(key).or_default().push(checkpoint);
            }
            let items = autoscalers.iter().map(|record| of_checkpoints(record, &mut of_vpa, &request));
            Ok(VpaReport { revision, items: items.collect::<Result<_>>()?, ..VpaReport::default() })
        };
        compute_long(false, work).await?
    }

    /// A stored autoscaler with its checkpoints.
    async fn read_stored(self, namespace: &str, name: &str) -> Result<Stored> {
        let target = self.target(by_plural(AUTOSCALERS)?, namespace, name);
        let record = self.read(&target).await?;
        let vpa = VerticalPodAutoscaler::stored(&record.body)?;
        let (mut checkpoints, mut revisions) = (Vec::new(), BTreeMap::new());
        for record in self.list(CHECKPOINTS, Some(namespace)).await? {
            let checkpoint = checkpoint(&record)?;
            if checkpoint.spec.vpa_object_name == name {
                revisions.insert(checkpoint.metadata.name.clone(), record.revision);
                checkpoints.push(checkpoint);
            }
        }
        Ok(Stored { vpa, record, checkpoints, revisions })
    }

    /// The selector of a stored autoscaler's target.
    async fn selector(self, vpa: &VerticalPodAutoscaler, namespace: &str) -> Result<PodSelector> {
        let missing = |why: String| {
            let why = format!("{why}; send the labels of the pods in `selector`");
            fault("selector", |faults, at| faults.required(at, &why))
        };
        let target = vpa.spec.target_ref.clone().unwrap_or_default();
        let called = format!("the target {} {:?}", target.kind, target.name);
        let kind = kinds::of_object(&target.api_version, &target.kind)
            .ok_or_else(|| missing(format!("{called} is of a kind that is not stored")))?;
        let record = match self.read(&self.target(kind, namespace, &target.name)).await {
            Err(Error::NotFound(_)) => return Err(missing(format!("{called} is not stored"))),
            record => record?,
        };
        let selector = std::str::from_utf8(&record.body).ok().and_then(selector_of_workload);
        selector.ok_or_else(|| missing(format!("{called} has no selector")))
    }

    /// The stored pods whose requests would change.
    async fn pods(self, request: &VpaRequest) -> Result<Vec<Record>> {
        if request.cluster.is_some() {
            return Ok(Vec::new());
        }
        self.context.is_there()?;
        let namespace = request.vpa.as_ref().map(|vpa| &*vpa.metadata.namespace).unwrap_or_default();
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        let list = ResourceAttributes::new("list", "", "pods").within(namespace);
        self.caller.check(self.service, self.cluster, list).await?;
        let target = self.target(objects::kind_of_pods()?, namespace, "");
        self.found(&target).await
    }

    /// Writes checkpoints and status.
    async fn keep(self, (namespace, name): (&str, &str), stored: &Stored, report: &VpaReport) -> Result<()> {
        let options = Options {
            manager: Manager { name: MANAGER.into(), is_named: true },
            by: self.caller.limited().cloned(),
            ..Options::default()
        };
        for checkpoint in &report.checkpoints {
            let revision = stored.revisions.get(&checkpoint.metadata.name);
            let mut body = serde_json::to_value(checkpoint).map_err(Error::internal)?;
            body["metadata"]["ownerReferences"] = json!([{
                "apiVersion": kinds::by_plural(GROUP, AUTOSCALERS).map(StoredKind::api_version), "kind": "VerticalPodAutoscaler",
                "name": name, "uid": stored.record.uid,
            }]);
            let target = self.target(by_plural(CHECKPOINTS)?, namespace, &checkpoint.metadata.name);
            let intent = match revision {
                None => Intent::Create(Bytes::from(body.to_string())),
                Some(revision) => {
                    body["metadata"]["resourceVersion"] = revision.to_string().into();
                    Intent::Replace { body: Bytes::from(body.to_string()), part: Part::Main }
                }
            };
            objects::write(self.service, &target, intent, &options).await?;
        }
        let target = self.target(by_plural(AUTOSCALERS)?, namespace, name);
        let status = serde_json::to_value(&report.status).map_err(Error::internal)?;
        if !is_changed(&stored.vpa, &status)? {
            return Ok(());
        }
        let body = Bytes::from(json!({ "status": status }).to_string());
        let intent = Intent::Patch { patch: PatchType::Merge, body, part: Part::Status };
        objects::write(self.service, &target, intent, &options).await.map(|_| ())
    }

    fn target(self, kind: &'static StoredKind, namespace: &str, name: &str) -> Target {
        Target { cluster: self.cluster.clone(), kind, namespace: Some(namespace.into()), name: name.into() }
    }

    async fn read(self, target: &Target) -> Result<Record> {
        match self.at {
            None => objects::read(self.service, target, None).await,
            Some(revision) => objects::read_at(self.service, target, revision).await,
        }
    }

    /// All objects of a kind, or those of a namespace.
    async fn list(self, plural: &str, namespace: Option<&str>) -> Result<Vec<Record>> {
        let target = self.target(by_plural(plural)?, namespace.unwrap_or_default(), "");
        self.found(&Target { namespace: namespace.map(Into::into), ..target }).await
    }

    async fn found(self, target: &Target) -> Result<Vec<Record>> {
        let selection = Selection { at: self.at, ..Selection::default() };
        objects::list(self.service, target, selection).await.map(|found| found.items)
    }
}

/// `true` if a status says something else than the stored one.
fn is_changed(vpa: &VerticalPodAutoscaler, status: &Value) -> Result<bool> {
    serde_json::to_value(&vpa.status).map(|before| before != *status).map_err(Error::internal)
}

fn by_plural(plural: &str) -> Result<&'static StoredKind> {
    kinds::by_plural(GROUP, plural).ok_or_else(|| Error::internal(format!("there is no kind {plural}")))
}

fn checkpoint(record: &Record) -> Result<VerticalPodAutoscalerCheckpoint> {
    crate::wire::decode::from_slice(&record.body).map_err(Error::from)
}

/// The error of a request with one fault.
fn fault(field: &str, tell: impl FnOnce(&mut Faults, &Path<'_>)) -> Error {
    super::fault(KIND, field, tell)
}

/// The answer for one of all stored autoscalers. One that breaks rules has its status alone.
fn of_checkpoints(
    record: &Record,
    checkpoints: &mut BTreeMap<(String, String), Vec<VerticalPodAutoscalerCheckpoint>>,
    request: &VpaRequest,
) -> Result<VpaReport> {
    let vpa = VerticalPodAutoscaler::stored(&record.body)?;
    let (namespace, name) = (vpa.metadata.namespace.clone(), vpa.metadata.name.clone());
    let asked = VpaRequest {
        vpa: Some(vpa.clone()),
        selector: Some(PodSelector::default()),
        checkpoints: checkpoints.remove(&(namespace.clone(), name.clone())).unwrap_or_default(),
        now: request.now.clone(),
        config: request.config.clone(),
        global_max_allowed: request.global_max_allowed.clone(),
        ..VpaRequest::default()
    };
    let report = asked.to_core(clock::now_nanoseconds()).map(|question| question.answer()).unwrap_or_default();
    Ok(VpaReport { name: Some(format!("{namespace}/{name}")), status: vpa.status, checkpoints: Vec::new(), ..report })
}

/// The consequences of new requests for a cluster.
fn effect(snapshot: Snapshot, profiles: Profiles, seed: u64, with: Vec<Pod>, mut sight: Sight) -> Result<EffectReport> {
    let there = |pod: &Pod| {
        let there = snapshot.pod(&pod.namespace, &pod.name)?;
        (!there.terminal && !there.terminating).then(|| there.clone())
    };
    let resized: Vec<Resized> =
        with.into_iter().filter_map(|with| Some(Resized { pod: there(&with)?, with })).collect();
    if resized.len() > MOST_PODS {
        let have = resized.len();
        let why = format!("Too many: the autoscaler has {have} pods, and an effect is told of {MOST_PODS}");
        return Err(fault("effect", |faults, at| faults.too_many(at, why)));
    }
    let effect = vpa::effect(snapshot, profiles, seed, &resized)
        .map_err(|error| fault("effect", |faults, at| faults.invalid(at, true, error)))?;
    let mut report = EffectReport::new(resized.len(), &effect);
    let placed = report.placements.iter_mut().map(|placed| &mut placed.pod);
    for pod in placed.chain(report.no_longer_fit.iter_mut().map(|stuck| &mut stuck.pod)).chain(&mut report.fit_now) {
        sight.mask(&mut pod.namespace, &mut pod.name, None);
    }
    Ok(report)
}
