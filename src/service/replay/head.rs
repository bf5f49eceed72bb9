//! The common part of the decisions of a batch: the state, the policy, and how they were made.

use std::sync::Arc;

use bytes::Bytes;

use super::compared::Replayed;
use crate::{
    core::{
        batch::{Options, Placed},
        model::{Name, Pod},
        snapshot::{Object, Snapshot},
    },
    live::{self, View},
    service::{
        Service,
        context::Chosen,
        error::{Error, Result},
        objects::kind_of_pods,
        past,
        policies::PolicyRecords,
        schedule::avoiding,
    },
    wire::{
        decision::{Carried, Decision, ReplayedField},
        explanation::PolicyUsed,
        policy::{self, revision},
    },
};

/// The profile of a request that decided under its own policy.
const REQUEST: &str = "(request)";

/// Revisions of a policy that are looked through.
const MOST_REVISIONS: u64 = 100_000;

/// All that decisions of a batch were made on.
pub(super) struct Head {
    /// The revision of the state.
    pub(super) revision: u64,
    /// The state.
    pub(super) view: Arc<View>,
    /// The policy and the profile.
    pub(super) chosen: Chosen,
    /// The policy's text; `None` for the built-in one, and for one that came with its request.
    pub(super) text: Option<String>,
    pub(super) options: Options,
    avoided: Vec<String>,
    used: PolicyUsed,
    sent: Option<String>,
    batch: Option<(String, Option<Carried>)>,
}

/// A result, or a reason why a decision cannot be made again.
pub(super) type Found<T> = std::result::Result<T, String>;

/// A reason why a decision cannot be made again, if an error is one.
pub(super) fn as_reason<T>(found: Result<T>) -> Result<Found<T>> {
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

impl Head {
    /// The common part of a decision and those of its batch, or why they cannot be made again.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn of(service: &Service, cluster: &Arc<str>, decision: &Decision) -> Result<Found<Self>> {
        let view = or_reason!(as_reason(past::view_at(service, cluster, decision.revision).await)?);
        let (chosen, text) = or_reason!(chosen(service, cluster, decision, &view).await?);
        Ok(Ok(Self {
            revision: decision.revision,
            view,
            chosen,
            text,
            options: Options { seed: decision.seed, preempt: decision.preempt, reuse: true },
            avoided: decision.avoided.clone(),
            used: decision.policy.clone(),
            sent: decision.policy_text.as_ref().map(|text| text.get().to_owned()),
            batch: decision.batch.as_ref().map(|batch| (batch.id.clone(), batch.carried.clone())),
        }))
    }

    /// Checks that a decision has this common part.
    pub(super) fn check(&self, decision: &Decision) -> Found<()> {
        let batch = decision.batch.as_ref().map(|batch| (&batch.id, &batch.carried));
        let odd = [
            (decision.revision != self.revision, "revision"),
            (decision.seed != self.options.seed, "seed"),
            (decision.preempt != self.options.preempt, "preempt"),
            (decision.policy != self.used, "policy"),
            (decision.policy_text.as_ref().map(|text| text.get()) != self.sent.as_deref(), "policyText"),
            (decision.avoided != self.avoided, "avoided"),
            (batch != self.batch.as_ref().map(|(id, carried)| (id, carried)), "batch"),
        ];
        match odd.iter().find(|(is_odd, _)| *is_odd) {
            None => Ok(()),
            Some((_, field)) => Err(format!("its record is odd: {field} is not that of its batch")),
        }
    }

    /// The cluster before the batch.
    pub(super) fn base(&self) -> Snapshot {
        let avoided: Vec<Name> = self.avoided.iter().map(|name| Name::from(&**name)).collect();
        avoiding(self.view.snapshot.clone(), &avoided)
    }

    /// Judges a bind again.
    pub(super) fn bind_again(&self, decision: &Decision) -> Replayed {
        let (namespace, name) = (&decision.pod.namespace, &decision.pod.name);
        let node = decision.node.as_deref().unwrap_or_default();
        match self.view.may_bind(namespace, name, node, self.chosen.profile()) {
            Ok(()) => Replayed::Identical,
            Err(now) => {
                let field = ReplayedField { field: "outcome".into(), recorded: "bound".into(), now };
                Replayed::Different { fields: vec![field], namespaces: Vec::new() }
            }
        }
    }
}

/// The recorded placement of a decision.
pub(super) fn placed(decision: &Decision, snapshot: &Snapshot) -> Placed {
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
pub(super) fn sent(text: &str) -> Found<Arc<Pod>> {
    let unreadable = "the recorded pod cannot be read";
    let kind = kind_of_pods().map_err(|error| error.to_string())?;
    let read = |object: Option<&Object>| if let Some(Object::Pod(pod)) = object { Some(pod.clone()) } else { None };
    let validated = live::validate(kind, Bytes::copy_from_slice(text.as_bytes()), read);
    let validated = validated.map_err(|_| unreadable)?;
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
            Err(_) => return Ok(Err("its policy cannot be read by this release".into())),
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
            Err(_) => return Ok(Err("its policy cannot be read by this release".into())),
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
