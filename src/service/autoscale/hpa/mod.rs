//! The number of replicas that a workload needs: the answer to `/autoscale/hpa`, and the loop (`--hpa`).

mod memory;
pub mod prometheus;
mod stored;
mod turns;

use std::{collections::BTreeMap, sync::Arc};

use self::stored::Stored;
pub use self::turns::{Settings, start};
use super::metrics;
use crate::{
    core::{
        access::ResourceAttributes,
        advise::hpa::{History, Metrics, Options, PodState},
        model::Name,
    },
    service::{
        Service,
        access::Caller,
        compute::{compute, compute_long},
        error::Result,
    },
    wire::autoscale::hpa::{
        Case, Given, Hpa, HpaAnswer, HpaList, HpaReport, HpaRequest, HpaStep, NamedReport, ScaleDocument, SyncReport,
        play, selection,
    },
};

/// The name of the request.
const KIND: &str = "HpaRequest";

/// Autoscalers that one answer is about.
const MOST_AUTOSCALERS: usize = 1_000;

/// The answer to a request. Of what it does not bring, the stored state is asked, as of a revision if there is one.
///
/// # Errors
/// `Error::Invalid` with all faults of the request, `Error::NotFound` if the named autoscaler is not stored, and those of the store.
pub async fn answer(
    service: &Service,
    cluster: &Arc<str>,
    caller: &Caller,
    at: Option<u64>,
    request: HpaRequest,
    now: i64,
) -> Result<HpaAnswer> {
    let is_about_all = request.hpa.is_none() && request.name.is_none();
    let (given, request) = compute(move || (Given::read(&request, now), request)).await?;
    let mut given = given.map_err(super::refused(KIND))?;
    let from = Stored { service, cluster, caller, at };
    if is_about_all {
        let namespace = request.namespace.clone().filter(|namespace| !namespace.is_empty());
        return all(&from, namespace, given).await.map(HpaAnswer::All);
    }
    let mut is_stored = false;
    let hpa = match (given.hpa.take(), &request.name) {
        (Some(hpa), _) => hpa,
        (None, name) => {
            is_stored = true;
            from.autoscaler(&given.namespace, name.as_deref().unwrap_or_default()).await?
        }
    };
    if is_stored && given.history.is_none() {
        given.history = Some(memory::of(service, cluster, &hpa.core.namespace, &hpa.core.name).await?);
    }
    let case = match case_of(&from, hpa, given, &mut Known::default()).await? {
        Ok(case) => case,
        Err(report) => return Ok(one(*report)),
    };
    let steps = request.steps;
    // Each step counts all pods.
    let is_long = steps.as_ref().map_or(1, Vec::len).saturating_mul(case.pods.len()) > 100_000;
    let played = move || -> Result<HpaReport> { played(case, steps.as_deref()) };
    let report = if is_long { compute_long(false, played).await?? } else { compute(played).await?? };
    Ok(HpaAnswer::One(Box::new(report)))
}

fn played(case: Case, steps: Option<&[HpaStep]>) -> Result<HpaReport> {
    play(case, steps).map_err(super::refused(KIND))
}

fn one(last: SyncReport) -> HpaAnswer {
    HpaAnswer::One(Box::new(HpaReport { last, ..HpaReport::default() }))
}

/// The question with what was given and what is stored; the report instead if the target has no scale.
async fn case_of(
    from: &Stored<'_>,
    hpa: Hpa,
    given: Given,
    known: &mut Known,
) -> Result<std::result::Result<Case, Box<SyncReport>>> {
    let scale = match given.scale {
        Some(scale) => scale,
        None => match from.scale(&hpa).await? {
            Ok(read) => read.scale,
            Err(why) => return Ok(Err(Box::new(SyncReport::unreachable(&hpa.before, &why, given.now)))),
        },
    };
    let pods = match given.pods {
        Some(pods) => Arc::new(pods),
        None => known.pods(from, &hpa.core.namespace).await?,
    };
    let mut found = Metrics::default();
    if given.pod_usages.is_none() || given.custom_values.is_none() || given.external_values.is_none() {
        from.caller_may(ResourceAttributes::new("list", "metrics.k8s.io", "pods").within(&hpa.core.namespace)).await?;
        found = Arc::unwrap_or_clone(known.metrics(from, &hpa.core.namespace).await?);
    }
    let metrics = Metrics {
        pods: given.pod_usages.unwrap_or(found.pods),
        custom: given.custom_values.unwrap_or(found.custom),
        external: given.external_values.unwrap_or(found.external),
    };
    Ok(Ok(case(hpa, &scale, given.history.unwrap_or_default(), given.now, (pods, Arc::new(metrics), given.options))))
}

/// Stored state that several autoscalers need, read once.
#[derive(Default)]
struct Known {
    pods: BTreeMap<Name, Arc<Vec<PodState>>>,
    metrics: Option<BTreeMap<String, Arc<Metrics>>>,
}

impl Known {
    /// The pods of a namespace.
    async fn pods(&mut self, from: &Stored<'_>, namespace: &Name) -> Result<Arc<Vec<PodState>>> {
        if let Some(pods) = self.pods.get(namespace) {
            return Ok(pods.clone());
        }
        let pods = from.pods(namespace).await?;
        self.pods.insert(namespace.clone(), pods.clone());
        Ok(pods)
    }

    /// The newest metrics of a namespace.
    async fn metrics(&mut self, from: &Stored<'_>, namespace: &str) -> Result<Arc<Metrics>> {
        if self.metrics.is_none() {
            let newest = metrics::newest(from.service, from.cluster).await?;
            self.metrics = Some(compute(move || newest.by_namespace()).await?);
        }
        Ok(metrics::of_namespace(self.metrics.get_or_insert_default(), namespace))
    }
}

/// The parts of a question that several autoscalers share.
type Shared = (Arc<Vec<PodState>>, Arc<Metrics>, Options);

fn case(hpa: Hpa, scale: &ScaleDocument, history: History, now: i64, (pods, metrics, options): Shared) -> Case {
    Case {
        hpa,
        replicas: scale.spec.replicas,
        observed_replicas: scale.status.replicas,
        selection: selection(&scale.status.selector),
        pods,
        metrics,
        rivals: Arc::default(),
        history,
        options,
        now,
    }
}

/// The answers for all stored autoscalers.
async fn all(from: &Stored<'_>, namespace: Option<String>, given: Given) -> Result<HpaList> {
    let (mut list, mut known) = (HpaList::default(), Known::default());
    let autoscalers = from.autoscalers(namespace).await?;
    if autoscalers.len() > MOST_AUTOSCALERS {
        let why =
            format!("there are more than {MOST_AUTOSCALERS} autoscalers; ask for one, or for those of a namespace");
        return Err(super::fault(KIND, "name", |faults, at| faults.required(at, &why)));
    }
    for hpa in autoscalers {
        let named = |report: SyncReport, hpa: &Hpa| NamedReport {
            namespace: hpa.core.namespace.to_string(),
            name: hpa.core.name.to_string(),
            target: format!("{}/{}", hpa.core.target.kind, hpa.core.target.name),
            report,
        };
        let history = memory::of(from.service, from.cluster, &hpa.core.namespace, &hpa.core.name).await?;
        let given = Given { history: Some(history), ..given.clone() };
        let of = hpa.clone();
        let report = match case_of(from, hpa, given, &mut known).await? {
            Ok(case) => compute(move || played(case, None)).await??.last,
            Err(report) => *report,
        };
        list.items.push(named(report, &of));
    }
    Ok(list)
}
