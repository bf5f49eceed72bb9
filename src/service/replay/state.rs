//! The state on which a decision was made, put together again from its revision and the records of its batch.

use std::sync::Arc;

use bytes::Bytes;

use super::Replayed;
use crate::{
    core::{
        batch::{Batch, Options, Placed},
        model::{Name, Pod},
        snapshot::{Object, Snapshot},
    },
    live::{self, View},
    service::{
        Service,
        context::Chosen,
        decisions,
        error::{Error, Result},
        objects::kind_of_pods,
        past,
        policies::PolicyRecords,
        schedule::{Again, Batched, avoiding, decide_again},
    },
    wire::{
        decision::{Carried, Decision, DecisionOutcome, ReplayedField},
        policy::{self, revision},
    },
};

/// The profile of a request that decided under its own policy.
const REQUEST: &str = "(request)";

/// Revisions of a policy that are looked through.
const MOST_REVISIONS: u64 = 100_000;

/// All that decisions of a batch were made on. A reason in place of one tells why they cannot be made again.
pub(super) struct Context {
    pub(super) view: Arc<View>,
    /// The view with the pod as it was judged, where that is another one.
    read_at: Option<(u64, Arc<View>)>,
    pub(super) chosen: Chosen,
    /// The policy's text; `None` for the built-in one, and for one that came with its request.
    text: Option<String>,
    pub(super) options: Options,
    avoided: Vec<Name>,
    batch: String,
    place: usize,
    /// The placements before, in their order; `true` for those that were carried from the batch before.
    before: Vec<(Decision, bool)>,
}

/// A working copy of the cluster, as the next decision of a batch sees it.
pub(super) struct Working {
    batch: Batched,
    of: String,
    placed: usize,
}

type Found<T> = std::result::Result<T, String>;

/// A reason why a decision cannot be made again, if an error is one.
fn as_reason<T>(found: Result<T>) -> Result<Found<T>> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(error @ (Error::Expired(_) | Error::TooNew { .. } | Error::NotFound(_))) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

macro_rules! or_reason {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        }
    };
}

impl Context {
    /// The context of a decision, or why it cannot be made again.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn of(service: &Service, cluster: &Arc<str>, decision: &Decision) -> Result<Found<Self>> {
        if let Some(why) = &decision.unrepeatable {
            return Ok(Err(why.clone()));
        }
        let view = or_reason!(as_reason(past::view_at(service, cluster, decision.revision).await)?);
        let read_at = match decision.pod.revision {
            Some(revision) => Some((revision, or_reason!(as_reason(past::view_at(service, cluster, revision).await)?))),
            None => None,
        };
        let (chosen, text) = or_reason!(chosen(service, cluster, decision, &view).await?);
        let mut context = Self {
            view,
            read_at,
            chosen,
            text,
            options: Options { seed: decision.seed, preempt: decision.preempt, reuse: true },
            avoided: decision.avoided.iter().map(|name| Name::from(&**name)).collect(),
            batch: String::new(),
            place: 0,
            before: Vec::new(),
        };
        let Some(of) = &decision.batch else { return Ok(Ok(context)) };
        (context.batch, context.place) = (of.id.clone(), of.place);
        if of.place == 0 {
            return Ok(Ok(context));
        }
        let own = of.place - of.carried.as_ref().map_or(0, |carried| carried.count);
        if let Some(Carried { batch, from, count }) = &of.carried {
            let carried = decisions::batch(service, cluster, batch).await?;
            let placed = carried.into_iter().filter(|decision| {
                decision.batch.as_ref().is_some_and(|batch| (*from..from + count).contains(&batch.place))
            });
            context.before.extend(placed.map(|decision| (decision, true)));
        }
        if own > 0 {
            let placed = decisions::batch(service, cluster, &of.id).await?.into_iter();
            let before = placed.filter(|one| one.batch.as_ref().is_some_and(|batch| batch.place < of.place));
            context.before.extend(before.map(|decision| (decision, false)));
        }
        if context.before.len() != of.place {
            let missing = of.place.saturating_sub(context.before.len());
            return Ok(Err(format!(
                "{missing} of the {} placements before it in its batch are not recorded",
                of.place
            )));
        }
        Ok(Ok(context))
    }

    /// The placements before it in its batch.
    pub(super) fn placed_before(&self) -> impl Iterator<Item = &Decision> {
        self.before.iter().map(|(decision, _)| decision)
    }

    /// The text of the policy that decided; `None` for the built-in one, and for one that came with its request.
    pub(super) fn policy_text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The cluster before the batch.
    pub(super) fn base(&self) -> Snapshot {
        avoiding(self.view.snapshot.clone(), &self.avoided)
    }

    /// The cluster as the decision saw it.
    pub(super) fn working(&self) -> Found<Working> {
        let mut batch = Batch::new(self.chosen.profile().clone(), self.base(), self.options);
        for (decision, is_carried) in &self.before {
            let (pod, _) = self.pod(decision)?;
            let placed = placed(decision, batch.snapshot());
            if decision.effects.claims == 0 {
                batch.put(&pod, &placed);
            } else if *is_carried {
                return Err("a placement before it, of another batch, chose volumes or devices".into());
            } else {
                batch.settle(&pod, placed);
            }
        }
        Ok(Working { batch, of: self.batch.clone(), placed: self.place })
    }

    /// The pod that a decision judged; `true` if it came with its request.
    pub(super) fn pod(&self, decision: &Decision) -> Found<(Arc<Pod>, bool)> {
        let of = &decision.pod;
        if let Some(body) = &of.body {
            return sent(body.get()).map(|pod| (pod, true));
        }
        let view = match (of.revision, &self.read_at) {
            (None, _) => &self.view,
            (Some(revision), Some((at, view))) if revision == *at => view,
            (Some(revision), _) => return Err(format!("its pod was read at revision {revision}")),
        };
        let stored = view.snapshot.pod(&of.namespace, &of.name).filter(|stored| *stored.uid == *of.uid);
        let stored =
            stored.ok_or_else(|| format!("the pod is not in the cluster at revision {}", decision.revision))?;
        Ok((stored.clone(), false))
    }

    /// Judges a bind again.
    pub(super) fn bind_again(&self, decision: &Decision) -> Replayed {
        let (namespace, name) = (&decision.pod.namespace, &decision.pod.name);
        let node = decision.node.as_deref().unwrap_or_default();
        match self.view.may_bind(namespace, name, node, self.chosen.profile()) {
            Ok(()) => Replayed::Identical,
            Err(now) => {
                Replayed::Different(vec![ReplayedField { field: "outcome".into(), recorded: "bound".into(), now }])
            }
        }
    }
}

/// The recorded placement of a decision.
fn placed(decision: &Decision, snapshot: &Snapshot) -> Placed {
    // Of victims the names alone count where a placement is put, of budgets too.
    let stub = |namespace: &str, name: &str| {
        Arc::new(Pod { namespace: namespace.into(), name: name.into(), ..Pod::default() })
    };
    let charges = decision.effects.charges.iter().filter_map(|charge| {
        let (namespace, name) = (Name::from(&*charge.namespace), Name::from(&*charge.name));
        Some((snapshot.disruption_budget(&namespace, &name)?.clone(), charge.used))
    });
    let cleared = decision.effects.cleared.iter().filter_map(|pod| snapshot.pod(&pod.namespace, &pod.name).cloned());
    Placed {
        node: decision.node.as_deref().unwrap_or_default().into(),
        victims: decision.victims.iter().map(|pod| stub(&pod.namespace, &pod.name)).collect(),
        nominations_to_clear: cleared.collect(),
        charges: charges.collect(),
        ..Placed::default()
    }
}

/// A pod that came with a request, as it was to be stored.
fn sent(text: &str) -> Found<Arc<Pod>> {
    let unreadable = "the recorded pod cannot be read";
    let kind = kind_of_pods().map_err(|error| error.to_string())?;
    let read = |object: Option<&Object>| if let Some(Object::Pod(pod)) = object { Some(pod.clone()) } else { None };
    let validated = live::validate(kind, Bytes::copy_from_slice(text.as_bytes()), read);
    let validated = validated.map_err(|error| format!("{unreadable}: {error}"))?;
    validated.read.map(|pod| Arc::new(*pod)).ok_or_else(|| unreadable.into())
}

/// The policy that decided, and its text if it is stored.
async fn chosen(
    service: &Service,
    cluster: &Arc<str>,
    decision: &Decision,
    view: &View,
) -> Result<Found<(Chosen, Option<String>)>> {
    let used = &decision.policy;
    let mut text = None;
    let chosen = if used.name == REQUEST {
        let Some(text) = &decision.policy_text else { return Ok(Err("its policy is not recorded".into())) };
        let parsed = policy::parse(text.get()).and_then(|document| document.compile_all());
        let parsed = parsed.or_else(|_| policy::parse_configuration(text.get()).and_then(|c| c.compile_all()));
        match parsed {
            Ok(profiles) => Chosen::Request(profiles),
            Err(faults) => return Ok(Err(format!("its policy cannot be read: {faults}"))),
        }
    } else if used.revision == 0 {
        Chosen::BuiltIn
    } else if let Some(policy) = view.policy(&used.name).filter(|policy| policy.revision.revision == used.revision) {
        text = Some(policy.revision.text.clone());
        Chosen::Stored((&*used.name).into(), policy.clone())
    } else {
        let found = or_reason!(earlier(service, cluster, &used.name, used.revision).await?);
        text = Some(found.text.clone());
        match found.compile() {
            Ok((_, profiles)) => Chosen::Request(profiles),
            Err(faults) => return Ok(Err(faults.to_string())),
        }
    };
    let Some(profile) = &used.profile else { return Ok(Ok((chosen, text))) };
    Ok(chosen.pick(profile).map(|chosen| (chosen, text)).map_err(|error| error.to_string()))
}

/// A revision of a policy that was not in force any more.
async fn earlier(service: &Service, cluster: &Arc<str>, name: &str, wanted: u64) -> Result<Found<revision::Revision>> {
    let records = PolicyRecords { clusters: service.clusters.clone(), cluster: cluster.clone(), name: name.into() };
    let history = or_reason!(as_reason(records.history(None, MOST_REVISIONS).await)?);
    let found = history.items.into_iter().find(|revision| revision.revision == wanted);
    Ok(found.ok_or_else(|| format!("revision {wanted} of the policy {name:?} is not kept any more")))
}

impl Working {
    /// `true` if this is the state of a decision.
    pub(super) fn is_at(&self, decision: &Decision) -> bool {
        match &decision.batch {
            Some(batch) => batch.id == self.of && batch.place == self.placed,
            None => self.of.is_empty(),
        }
    }

    /// The cluster.
    pub(super) fn snapshot(&self) -> &Snapshot {
        self.batch.snapshot()
    }

    /// Puts the pod of a decision where that was recorded to go.
    pub(super) fn put(&mut self, pod: &Pod, decision: &Decision) {
        let has_place = decision.node.is_some() && decision.outcome != DecisionOutcome::Unschedulable;
        if !has_place {
            return;
        }
        let placed = placed(decision, self.batch.snapshot());
        if decision.effects.claims == 0 {
            self.batch.put(pod, &placed);
        } else {
            self.batch.settle(pod, placed);
        }
        self.placed += 1;
    }

    /// Makes a decision, and puts the pod where it goes.
    pub(super) fn decide(&mut self, pod: &Arc<Pod>, is_sent: bool) -> Again {
        let again = decide_again(&mut self.batch, pod.clone(), is_sent);
        self.placed += usize::from(matches!(again, Again::Said(decisions::Said::Placed(_))));
        again
    }
}
