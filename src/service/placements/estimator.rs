//! The answers of Karmada's estimator: how many pods a cluster takes, and how many of a workload wait.
//!
//! They are those of the node engine on one snapshot of the cluster. Karmada's own estimator adds up requests, node affinity and tolerations, and is asked
//! for one cluster alone.
//!
//! Source: `karmada/pkg/estimator/server/server.go`, `karmada/pkg/estimator/server/replica/replica.go`.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;

use super::{own, refused};
use crate::{
    core::{
        access::ResourceAttributes,
        federation::{
            count::Workload,
            estimate::{self, Assumed},
        },
        model::{Name, Pod},
        snapshot::Snapshot,
    },
    live::View,
    service::{
        Service,
        access::{Caller, sight::Sight},
        compute::compute_long,
        context::{self, Fresh},
        error::{Error, Result, Subject},
        objects::{Selection, Target, kind_of_pods, list, read},
    },
    store::{Key, Record},
    wire::{
        fault::Cause,
        federation::{
            estimator::{Pods, Question, Reference, Unschedulable},
            unschedulable::{has_template_of, is_controlled_by, since},
        },
        kinds::{self, StoredKind},
    },
};

/// Pods that are counted.
const MOST_COUNTED: usize = 200_000;

/// Documents of pods that are read at a time.
const READ_AT_ONCE: usize = 500;

/// The kinds of which only the pods of the newest template count.
const DEPLOYMENTS: (&str, &str) = ("apps", "Deployment");
const REPLICA_SETS: (&str, &str) = ("apps/v1", "ReplicaSet");

/// How many sets of pods the cluster takes besides what it has, each as a whole. Counting ends at 200,000 pods; a set without pods fits as often as one
/// likes, where there are nodes.
///
/// # Errors
/// The faults of the request, by their fields; [`Error::NotFound`] if there is no such cluster; [`Error::Denied`] where the caller may not know the pods of
/// a namespace of it.
pub async fn sets(
    service: &Service,
    caller: &Caller,
    cluster: &Arc<str>,
    question: std::result::Result<Question, Vec<Cause>>,
) -> Result<usize> {
    let question = question.map_err(|causes| refused(&causes))?;
    let view = view(service, cluster).await?;
    let mut sight = Sight::of(caller, service, cluster).await?;
    let work = move || -> Result<usize> {
        let snapshot = &view.snapshot;
        let mut read = |pods: &Pods| -> Result<(Arc<Pod>, usize)> {
            let pod = own::template_of(&pods.template, &pods.at, snapshot)?;
            known(&mut sight, &pod.namespace)?;
            Ok((Arc::new(pod), pods.count))
        };
        let pods: Vec<_> = question.set.iter().map(&mut read).collect::<Result<_>>()?;
        let assumed = question.assumed.iter().map(&mut read);
        let assumed: Vec<Assumed> =
            assumed.map(|read| read.map(|(pod, replicas)| Assumed { pod, replicas })).collect::<Result<_>>()?;
        let profiles = context::chosen(&view, None)?.profiles();
        Ok(count(snapshot, &Workload { pods }, |workload| {
            estimate::sets(snapshot.clone(), &profiles, &assumed, workload, MOST_COUNTED)
        }))
    };
    compute_long(false, work).await?
}

/// The count of a workload; without pods it is bounded by nothing.
fn count(snapshot: &Snapshot, workload: &Workload, counted: impl FnOnce(&Workload) -> usize) -> usize {
    match (snapshot.node_count(), workload.size()) {
        (0, _) => 0,
        (_, 0) => usize::MAX,
        _ => counted(workload),
    }
}

/// How many pods of a workload wait because they fit nowhere, by their conditions, for longer than the request's threshold at `now`. Of a Deployment those of
/// its newest template count.
///
/// # Errors
/// [`Error::BadRequest`] if no workload of the kind is stored, [`Error::NotFound`] if there is no such workload or cluster; [`Error::Denied`] if the caller
/// may not read it.
pub async fn unschedulable(
    service: &Service,
    caller: &Caller,
    cluster: &Arc<str>,
    asked: &Unschedulable,
    now: Timestamp,
) -> Result<usize> {
    let Reference { api_version, kind, namespace, name } = &asked.resource;
    let kind = kinds::by_api_version(api_version, kind).filter(|kind| kind.namespaced);
    let kind = kind.ok_or_else(|| {
        Error::BadRequest(format!("resource.kind: Unsupported value: {:?} of {api_version:?}", asked.resource.kind))
    })?;
    if namespace.is_empty() || name.is_empty() {
        return Err(Error::BadRequest("resource: Required value: the namespace and name of a workload".into()));
    }
    let get = ResourceAttributes::new("get", kind.group, kind.plural).within(namespace).named(name);
    caller.check(service, cluster, get).await?;
    let view = view(service, cluster).await?;
    known(&mut Sight::of(caller, service, cluster).await?, &Name::from(namespace.as_str()))?;
    let target = |kind: &'static StoredKind, name: &str| Target {
        cluster: cluster.clone(),
        kind,
        namespace: Some(namespace.clone()),
        name: name.to_owned(),
    };
    let workload = read(service, &target(kind, name), None).await?;
    let owners: HashSet<String> = if (kind.group, kind.kind) == DEPLOYMENTS {
        let (api_version, kind) = REPLICA_SETS;
        let sets = kinds::by_api_version(api_version, kind).ok_or_else(|| Error::internal("no ReplicaSets"))?;
        let found = list(service, &target(sets, ""), Selection::default()).await?;
        let is_new =
            |set: &&Record| is_controlled_by(&set.body, &workload.uid) && has_template_of(&set.body, &workload.body);
        found.items.iter().find(is_new).map(|set| set.uid.clone()).into_iter().collect()
    } else {
        [workload.uid].into()
    };
    let threshold = i128::from(asked.unschedulable_threshold.max(0));
    let age = |since: Timestamp| now.as_nanosecond() - since.as_nanosecond();
    let waits = |pod: &Record| since(&pod.body).is_some_and(|since| age(since) > threshold);
    let mut count = 0;
    for keys in waiting(&view, namespace, &owners)?.chunks(READ_AT_ONCE) {
        count += service.store.find(cluster, keys).await?.iter().filter(|pod| waits(pod)).count();
    }
    Ok(count)
}

/// The pods of a namespace that are on no node and have one of these controllers.
fn waiting(view: &View, namespace: &str, owners: &HashSet<String>) -> Result<Vec<Key>> {
    let kind = kind_of_pods()?;
    let is_owned = |pod: &&Arc<Pod>| pod.controller.as_ref().is_some_and(|owner| owners.contains(&*owner.uid));
    let is_it = |pod: &&Arc<Pod>| *pod.namespace == *namespace && !pod.is_assigned() && !pod.terminal && is_owned(pod);
    Ok(view.snapshot.pods().filter(is_it).map(|pod| Key::new(kind.key(), &*pod.namespace, &*pod.name)).collect())
}

/// The newest view of a cluster on which something may be decided.
async fn view(service: &Service, cluster: &Arc<str>) -> Result<Arc<View>> {
    let context = context::take(service, cluster, Fresh::default()).await?;
    context.is_there()?;
    context.may_decide()?;
    Ok(context.view)
}

/// Refuses to tell of pods of a namespace that the caller may not know.
fn known(sight: &mut Sight, namespace: &Name) -> Result<()> {
    if sight.knows(namespace) {
        return Ok(());
    }
    let message = format!("the pods of the namespace {namespace:?} are counted, which you may not list");
    Err(Error::Denied { subject: Subject::default(), message })
}
