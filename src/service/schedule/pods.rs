//! Which pods a request is about.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use serde_json::value::RawValue;

use crate::{
    core::{
        batch,
        model::{Name, Pod, Selector},
        snapshot::{Object, Snapshot},
        work,
    },
    live::{self, Validated},
    service::{
        access::sight::Sight,
        error::{Error, Result, Subject},
        objects::{generated, is_absent, kind_of_pods, stamp},
    },
    store::Change,
    wire::{
        allowance, asked, defaults,
        document::Document,
        explanation::{ExtenderError, PodName},
        extender_calls::PodDocument,
        fault::Cause,
        kinds::StoredKind,
        objects::Converted,
        schedule::{ScheduleRequest, ScheduleResult, ScheduledPod},
        selector,
    },
};

/// Steps of work that reading one pod takes.
const ITEM: u64 = 256;

/// Memory of the result of one pod, for any size of the request.
const ANSWER: usize = 2 << 10;

/// The end of the name of a pod in a trial whose namespace the caller may not know. No stored pod has such a name, so the reply is the same if there is
/// one of the name that was sent.
pub(super) const APART: char = '\u{0}';

/// A pod to be scheduled.
pub(super) struct Task {
    /// Its place in the reply.
    pub(super) index: usize,
    pub(super) pod: Arc<Pod>,
    /// The change that stores it, if it is not stored yet.
    pub(super) new: Option<Change>,
    /// How often its plan was stale.
    pub(super) stale: usize,
    /// The pod for extenders, if one of them handles it.
    pub(super) document: Option<PodDocument>,
    /// `true` if extenders were called for nodes that it fits.
    pub(super) is_asked_about: bool,
    /// The calls of extenders that failed.
    pub(super) errors: Vec<ExtenderError>,
}

impl Task {
    pub(super) fn new(index: usize, pod: Arc<Pod>, new: Option<Change>) -> Self {
        Self { index, pod, new, stale: 0, document: None, is_asked_about: false, errors: Vec::new() }
    }
}

/// An answer about which there is nothing to decide, and its place in the reply.
pub(super) type Settled = (usize, ScheduledPod);

/// The pods of a request.
pub(super) struct Found {
    /// Those to be scheduled, in their order.
    pub(super) tasks: Vec<Task>,
    /// The answers for those about which there is nothing to decide.
    pub(super) settled: Vec<Settled>,
    /// The namespaces of all of them, also of those that do not exist.
    pub(super) namespaces: BTreeSet<Name>,
    /// The namespaces of those that are to be stored.
    pub(super) creates_in: BTreeSet<Name>,
}

/// The pods of a request. A trial tells nothing of stored pods that the caller may not know; what is no trial needs the right to bind pods in
/// all their namespaces, whether there are such pods or not.
pub(super) fn asked(
    request: &ScheduleRequest,
    snapshot: &Snapshot,
    is_bound: &dyn Fn(&Pod) -> bool,
    sight: &mut Sight,
    is_strict: bool,
) -> Result<Found> {
    let by_query = request.selector.is_some() || request.namespace.is_some() || request.scheduler_name.is_some();
    let answers = request.pods.as_ref().map_or(0, Vec::len) + request.pod_names.as_ref().map_or(0, Vec::len);
    allowance::charge(answers.saturating_mul(ANSWER)).map_err(|_| Error::TooMuch)?;
    let found =
        Found { tasks: Vec::new(), settled: Vec::new(), namespaces: BTreeSet::new(), creates_in: BTreeSet::new() };
    let is_trial = request.dry_run;
    let is_strict = is_strict && !is_trial;
    let mut asked = Asked { snapshot, is_bound, sight, is_trial, is_strict, found, seen: HashSet::new(), next: 0 };
    match (&request.pods, &request.pod_names, by_query) {
        (Some(pods), None, false) => asked.sent(pods)?,
        (None, Some(names), false) => names.iter().for_each(|name| asked.named(name)),
        (None, None, true) => asked.waiting(request)?,
        (None, None, false) => {
            let message = "one of pods, podNames, selector, namespace or schedulerName is needed";
            return Err(Error::BadRequest(message.into()));
        }
        _ => {
            let message = "pods, podNames and a query (selector, namespace, schedulerName) exclude each other";
            return Err(Error::BadRequest(message.into()));
        }
    }
    let mut found = asked.found;
    batch::in_order(&mut found.tasks, snapshot, |task| &task.pod);
    Ok(found)
}

struct Asked<'s> {
    snapshot: &'s Snapshot,
    /// Tells if a stored pod is bound to its node, and not only reserved.
    is_bound: &'s dyn Fn(&Pod) -> bool,
    sight: &'s mut Sight,
    is_trial: bool,
    /// `true` if pods that are to be stored are held to the rules of the API server.
    is_strict: bool,
    found: Found,
    seen: HashSet<(Name, Name)>,
    next: usize,
}

impl Asked<'_> {
    fn add(&mut self, pod: Arc<Pod>, new: Option<Change>) {
        let index = self.next;
        self.next += 1;
        if !self.seen.insert((pod.namespace.clone(), pod.name.clone())) {
            self.found
                .settled
                .push((index, failed(&pod.namespace, &pod.name, "the request names the pod twice".into())));
        } else if pod.is_assigned() && (self.is_bound)(&pod) {
            self.found.settled.push((index, already_bound(&pod.namespace, &pod.name, &pod.node_name)));
        } else if let Some(excess) = &pod.excess {
            let why = format!("the pod asks for too much to be decided on: {excess}");
            self.found.settled.push((index, failed(&pod.namespace, &pod.name, why)));
        } else if pod.terminal || pod.terminating {
            let why = if pod.terminal { "has ended" } else { "is being deleted" };
            self.found.settled.push((index, failed(&pod.namespace, &pod.name, format!("the pod {why}"))));
        } else {
            self.found.tasks.push(Task::new(index, pod, new));
        }
    }

    fn settle(&mut self, namespace: &str, name: &str, message: String) {
        self.found.settled.push((self.next, failed(namespace, name, message)));
        self.next += 1;
    }

    /// `true` if a pod of a namespace may be told of, or its bind is checked.
    fn is_known(&mut self, namespace: &Name) -> bool {
        self.found.namespaces.insert(namespace.clone());
        !self.is_trial || self.sight.knows(namespace)
    }

    fn named(&mut self, name: &str) {
        let (namespace, name) = PodName::parse(name);
        if !self.is_known(&namespace.into())
            && let Err(error) = self.sight.check(namespace, name)
        {
            self.settle(namespace, name, error.to_string());
        } else if let Some(pod) = self.snapshot.pod(namespace, name) {
            self.add(pod.clone(), None);
        } else {
            let error = Error::NotFound(Subject::new("", "pods", name));
            self.settle(namespace, name, error.to_string());
        }
    }

    fn waiting(&mut self, request: &ScheduleRequest) -> Result<()> {
        let text = request.selector.as_deref().unwrap_or_default();
        let selector: Selector =
            selector::parse_labels(text).map_err(|error| Error::BadRequest(format!("selector: {error}")))?;
        let says = |asked: &Option<String>, said: &str| asked.as_deref().is_none_or(|asked| asked == said);
        let snapshot = self.snapshot;
        let cost = selector.cost();
        let mut found: Vec<&Arc<Pod>> = Vec::new();
        for pod in snapshot.pods() {
            work::spend(cost);
            let waits = !((pod.is_assigned() && (self.is_bound)(pod)) || pod.terminal || pod.terminating);
            let asked =
                says(&request.namespace, &pod.namespace) && says(&request.scheduler_name, &pod.spec.scheduler_name);
            if waits && asked && selector.matches(&pod.labels) {
                found.push(pod);
            }
        }
        // Those of a cluster in the request waited in its order; stored ones stay by namespace and name.
        found.sort_by_key(|pod| pod.arrival);
        for pod in found {
            if self.sight.knows(&pod.namespace) {
                self.found.namespaces.insert(pod.namespace.clone());
                self.add(pod.clone(), None);
            }
        }
        Ok(())
    }

    fn sent(&mut self, pods: &[Box<RawValue>]) -> Result<()> {
        let kind = kind_of_pods()?;
        let mut faults = Vec::new();
        for (place, raw) in pods.iter().enumerate() {
            work::spend(ITEM);
            if let Err(causes) = self.one_sent(kind, raw) {
                faults.extend(causes.into_iter().map(|cause| {
                    let dot = if cause.field.is_empty() { "" } else { "." };
                    Cause { field: format!("pods[{place}]{dot}{}", cause.field), ..cause }
                }));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::invalid("ScheduleRequest", "", faults)) }
    }

    fn one_sent(&mut self, kind: &StoredKind, raw: &RawValue) -> std::result::Result<(), Vec<Cause>> {
        let is_trial = self.is_trial;
        let undecodable = |error: crate::wire::decode::DecodeError| {
            let error = error.without_place();
            vec![cause(&error.field, "FieldValueTypeInvalid", error.message)]
        };
        // What stores nothing may ask about a controller's template.
        let json = if is_trial { asked::pod(raw.get())?.json } else { raw.get().into() };
        let mut document = Document::parse(json.as_bytes()).map_err(undecodable)?;
        for (field, expected) in [("kind", kind.kind.to_owned()), ("apiVersion", kind.api_version())] {
            if let Some(said) = document.text(field).filter(|said| !said.is_empty() && *said != expected) {
                let hint =
                    if field == "kind" && !is_trial { "; with dryRun a controller's template will do" } else { "" };
                let message = format!("Invalid value: {said:?}: must be {expected}{hint}");
                return Err(vec![cause(field, "FieldValueInvalid", message)]);
            }
        }
        if is_absent(document.metadata("namespace")) {
            document.set_metadata_text("namespace", "default");
        }
        if is_absent(document.metadata("name"))
            && let Some(prefix) = document.metadata_text("generateName").filter(|prefix| !prefix.is_empty())
        {
            document.set_metadata_text("name", &generated(&prefix));
        }
        let text = |field| document.metadata_text(field).unwrap_or_default();
        let (namespace, name, said_uid) = (text("namespace"), text("name"), text("uid"));
        let is_known = self.is_known(&namespace.as_str().into());
        let stored = self.snapshot.pod(&namespace, &name).filter(|_| is_known);
        if let Some(stored) = stored {
            if said_uid.is_empty() || said_uid == *stored.uid {
                self.add(stored.clone(), None);
            } else {
                let message = format!("the uid is {said_uid}, that of the stored pod {}", stored.uid);
                self.settle(&namespace, &name, message);
            }
            return Ok(());
        }
        for field in ["resourceVersion", "uid", "creationTimestamp"] {
            document.remove_metadata(field);
        }
        defaults::admit(kind, &mut document, self.snapshot, self.is_strict).map_err(|denied| {
            vec![cause(denied.field, "FieldValueForbidden", format!("Forbidden: {}", denied.message))]
        })?;
        stamp(&mut document);
        let uid = document.metadata_text("uid").unwrap_or_default();
        let pod = |object: Option<&Object>| if let Some(Object::Pod(pod)) = object { Some(pod.clone()) } else { None };
        let Validated { body, read, causes } = live::validate(kind, document.into_body(), pod).map_err(undecodable)?;
        let Some(pod) = (Converted { object: read, causes }).strict()? else { return Ok(()) };
        if pod.is_assigned() {
            let message = "Forbidden: a pod that is not stored yet is given its node here".into();
            return Err(vec![cause("spec.nodeName", "FieldValueForbidden", message)]);
        }
        if !self.is_trial {
            self.found.creates_in.insert(pod.namespace.clone());
        }
        let name = if is_known { pod.name.clone() } else { format!("{}{APART}", pod.name).into() };
        self.add(Arc::new(Pod { name, ..*pod }), Some(Change::Put { body, uid, node: None }));
        Ok(())
    }
}

fn cause(field: &str, reason: &str, message: String) -> Cause {
    Cause { field: field.into(), reason: reason.into(), message, unreadable: false }
}

/// A result with only the pod and its outcome.
pub(super) fn answer(namespace: &str, name: &str, result: ScheduleResult) -> ScheduledPod {
    ScheduledPod { namespace: namespace.into(), name: name.into(), result, ..ScheduledPod::default() }
}

pub(super) fn failed(namespace: &str, name: &str, message: String) -> ScheduledPod {
    ScheduledPod { message: Some(message), ..answer(namespace, name, ScheduleResult::Failed) }
}

pub(super) fn already_bound(namespace: &str, name: &str, node: &str) -> ScheduledPod {
    ScheduledPod { node: Some(node.into()), ..answer(namespace, name, ScheduleResult::AlreadyBound) }
}
