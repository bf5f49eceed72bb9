//! Rules that every binder keeps in a mirrored cluster: the live cluster is changed through its API server only.
//!
//! Victims are evicted there, and the pod is nominated to the node and waits until they have left, as with kube-scheduler. It may then be decided otherwise.
//! A process that lost the lead evicts nobody: its snapshot is old. Static pods (owned by a `Node`) are not evicted, since their kubelet runs them again.
//! Binds that Podberth cannot make there yet are refused, and say so: of pods that come with the request, claims that wait for their first consumer, devices.
//!
//! Source: `pkg/scheduler/framework/preemption/preemption.go` (`prepareCandidate`), `pkg/scheduler/schedule_one.go` (`updatePod`).

use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};

use super::{Bind, BindOutcome, Binder, check_lead};
use crate::{
    core::{claim_choice::ClaimChoice, model::Pod, plan::Step, snapshot::Snapshot},
    service::{
        Service,
        error::{Error, Result},
        evict::through::{Evicted, evict_for},
        source::{
            ApiServer,
            requests::{PodRef, message, send},
        },
    },
    store::Write,
    wire::source::{BindMode, ClusterSource},
};

/// Ends the reason why a pod cannot be bound in a mirrored cluster. The scheduler's queue knows it.
const NOT_YET: &str = "in a mirrored cluster yet";

/// A binder in a cluster that mirrors a live one.
pub(super) struct InMirror<'s> {
    pub(super) service: &'s Service,
    pub(super) cluster: &'s str,
    pub(super) source: Arc<ClusterSource>,
    /// As [`super::InStore::fence`].
    pub(super) fence: Option<Write>,
    /// Makes the binds that need nothing else.
    pub(super) inner: Box<dyn Binder + 's>,
}

impl Binder for InMirror<'_> {
    fn bind<'a>(&'a self, binds: &'a mut [Bind], together: bool) -> BoxFuture<'a, Result<Vec<BindOutcome>>> {
        Box::pin(async move {
            if self.service.sources.as_of(self.cluster).is_none() {
                // There may be pods on the nodes that are not known yet.
                let message = format!("the mirror of {} is not whole yet", self.source.title());
                return Err(Error::Unavailable { message, retry_after_seconds: 1 });
            }
            let mut outcomes: Vec<Option<BindOutcome>> = binds.iter().map(|bind| self.refused(bind)).collect();
            if together && outcomes.iter().any(Option::is_some) {
                let why = "another pod of the request cannot be bound";
                let or_other =
                    |outcome: Option<BindOutcome>| outcome.unwrap_or_else(|| BindOutcome::NotBound(why.into()));
                return Ok(outcomes.into_iter().map(or_other).collect());
            }
            let victims_of = |bind: &Bind| bind.plan.steps.iter().any(|step| matches!(step, Step::Evict(_)));
            if binds.iter().any(victims_of) {
                let snapshot = self.service.clusters.get(self.cluster).await?.view().snapshot.clone();
                for (bind, outcome) in binds.iter().zip(&mut outcomes) {
                    if outcome.is_none() && (together || victims_of(bind)) {
                        *outcome = Some(self.make_room(bind, &snapshot).await?);
                    }
                }
            }
            let mut rest: Vec<&mut Bind> = binds
                .iter_mut()
                .zip(&outcomes)
                .filter(|(_, outcome)| outcome.is_none())
                .map(|(bind, _)| bind)
                .collect();
            let mut alone: Vec<Bind> = rest.iter().map(|bind| (**bind).clone()).collect();
            let made = self.inner.bind(&mut alone, together).await?;
            for (bind, done) in rest.iter_mut().zip(alone) {
                bind.errors = done.errors;
            }
            let mut made = made.into_iter();
            Ok(outcomes
                .into_iter()
                .map(|outcome| outcome.or_else(|| made.next()).unwrap_or(BindOutcome::STALE))
                .collect())
        })
    }
}

impl InMirror<'_> {
    /// Why a bind cannot be made in a mirrored cluster, if so.
    fn refused(&self, bind: &Bind) -> Option<BindOutcome> {
        let waits = |why| Some(BindOutcome::Waits { why, is_nominated: false });
        if bind.new.is_some() {
            let title = self.source.title();
            return Some(BindOutcome::NotBound(format!("the cluster mirrors {title}: create the pod there")));
        }
        bind.plan.steps.iter().find_map(|step| match step {
            Step::Choose(ClaimChoice::Devices { claim, .. }) => {
                waits(format!("resourceclaim {:?}: devices are not allocated {NOT_YET}", &*claim.name))
            }
            Step::Choose(choice) => {
                let (_, _, name) = choice.claim();
                waits(format!(
                    "persistentvolumeclaim {:?} waits for its first consumer: volumes are not bound {NOT_YET}",
                    &**name
                ))
            }
            _ => None,
        })
    }

    /// Has the victims leave, and nominates the pod to the node.
    async fn make_room(&self, bind: &Bind, snapshot: &Snapshot) -> Result<BindOutcome> {
        let victims: Vec<&Arc<Pod>> = bind
            .plan
            .steps
            .iter()
            .filter_map(|step| if let Step::Evict(victim) = step { Some(victim) } else { None })
            .collect();
        let (node, count) = (&bind.node, victims.len());
        if self.source.bind == BindMode::Record {
            let names: Vec<String> = victims.iter().map(|pod| pod.full_name()).collect();
            let why = format!(
                "it fits on node {node} when these pods have left, which Podberth does not evict there: {}",
                names.join(", ")
            );
            return Ok(BindOutcome::Waits { why, is_nominated: false });
        }
        if let Some(pod) = victims.iter().find(|victim| is_static(victim)) {
            let why =
                format!("it fits on node {node} without the static pod {}/{}, which stays", pod.namespace, pod.name);
            return Ok(BindOutcome::Waits { why, is_nominated: false });
        }
        // Others that were told to leave for it are on their way: nobody else has to.
        if let Some((node, count)) = self.service.sources.rooms().of(self.cluster, &bind.pod, snapshot) {
            return Ok(when_left(&node, count));
        }
        let server = match self.service.sources.server(self.cluster, &self.source).await {
            Ok(server) => server,
            Err(why) => return Ok(BindOutcome::NotBound(format!("the API server cannot be asked: {why}"))),
        };
        check_lead(self.service, self.cluster, self.fence.as_ref()).await?;
        let is_leaving = |victim: &Pod| {
            let now = snapshot.pod(&victim.namespace, &victim.name);
            now.is_none_or(|now| now.uid != victim.uid || now.terminating)
        };
        let why = format!("{}: preempting to accommodate a higher priority pod", bind.pod.spec.scheduler_name);
        let staying: Vec<&Arc<Pod>> = victims.iter().copied().filter(|victim| !is_leaving(victim)).collect();
        let evictions = staying.iter().map(|victim| {
            let (server, why) = (&server, &why);
            let may_break = breaks_a_budget(victim, &victims, snapshot);
            async move {
                let Ok(_turn) = self.service.sources.turn(self.cluster).await else {
                    return Evicted::Failed("the server stops".into());
                };
                let evicted = evict_for(&**server, &PodRef::of(victim), may_break, why).await;
                match evicted {
                    Evicted::Leaves => Evicted::Leaves,
                    Evicted::Forbidden(why) => {
                        Evicted::Forbidden(format!("{}/{}: {why}", victim.namespace, victim.name))
                    }
                    Evicted::Failed(why) => Evicted::Failed(format!("{}/{}: {why}", victim.namespace, victim.name)),
                }
            }
        });
        let evicted = join_all(evictions).await;
        let left = staying.iter().zip(&evicted).filter(|(_, evicted)| matches!(evicted, Evicted::Leaves));
        let told = left.map(|(victim, _)| (*victim).clone()).collect();
        self.service.sources.rooms().note(self.cluster, &bind.pod, node, told);
        for evicted in evicted {
            if let Evicted::Forbidden(why) | Evicted::Failed(why) = evicted {
                let why = format!("a pod could not be evicted from node {node} for it: {why}");
                return Ok(BindOutcome::Waits { why, is_nominated: false });
            }
        }
        let cleared = bind.plan.steps.iter().filter_map(|step| match step {
            Step::ClearNomination(waiting) => Some(self.nominate(&*server, waiting, Value::Null)),
            _ => None,
        });
        join_all(cleared).await;
        if *bind.pod.nominated_node_name != **node {
            self.nominate(&*server, &bind.pod, json!(**node)).await;
        }
        Ok(when_left(node, count))
    }

    /// Notes the nomination of a pod. Without the note the pod is decided like any other.
    async fn nominate(&self, server: &dyn ApiServer, pod: &Pod, node: Value) {
        let reply = send(server, PodRef::of(pod).patch_status(&json!({"nominatedNodeName": node}))).await;
        let why = match reply {
            Ok(reply) if reply.code < 300 || reply.code == 404 => return,
            Ok(reply) => message(&reply),
            Err(why) => why,
        };
        tracing::warn!(
            cluster = self.cluster,
            namespace = &*pod.namespace,
            pod = &*pod.name,
            why,
            "a nomination could not be noted"
        );
    }
}

/// The outcome for a pod for which others leave a node.
fn when_left(node: &str, count: usize) -> BindOutcome {
    let pods = if count == 1 { "1 pod has".to_owned() } else { format!("{count} pods have") };
    BindOutcome::Waits { why: format!("it fits on node {node} when {pods} left"), is_nominated: true }
}

/// `true` if the pod is the API server's picture of one that a kubelet runs by itself (`pkg/kubelet/pod/mirror_client.go`).
fn is_static(pod: &Pod) -> bool {
    pod.controller.as_ref().is_some_and(|controller| *controller.kind == *"Node")
}

/// `true` if the plan accepts that the eviction of a victim breaks a disruption budget.
fn breaks_a_budget(victim: &Pod, victims: &[&Arc<Pod>], snapshot: &Snapshot) -> bool {
    snapshot.disruption_budgets().filter(|budget| budget.protects(victim)).any(|budget| {
        let protected = victims.iter().filter(|pod| budget.protects(pod) && !budget.disrupted_pods.contains(&pod.name));
        protected.count() > usize::try_from(budget.disruptions_allowed).unwrap_or(0)
    })
}
