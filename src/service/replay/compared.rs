//! The recorded answer compared with that of now.

use serde::Serialize;

use crate::{
    core::summary::Summary,
    service::{
        access::sight::Sight,
        decisions::{self, Answered, Said, effects},
    },
    wire::{
        decision::{CallKind, Decision, DecisionOutcome, Effects, NodeScore, ReplayedField},
        explanation::PodName,
    },
};

/// The answer of making a decision again.
pub(super) enum Replayed {
    Identical,
    /// The fields that differ, and the namespaces that the new values may tell of.
    Different {
        fields: Vec<ReplayedField>,
        namespaces: Vec<String>,
    },
    Skipped(String),
}

/// Fields that differ so far.
#[derive(Default)]
struct Differences(Vec<ReplayedField>);

impl Differences {
    fn field(&mut self, field: &str, recorded: String, now: String) {
        if recorded != now {
            self.0.push(ReplayedField { field: field.into(), recorded, now });
        }
    }

    /// Notes a field that is recorded only at times.
    fn where_recorded<T: Serialize + PartialEq>(&mut self, field: &str, recorded: Option<&T>, now: &T) {
        if let Some(recorded) = recorded.filter(|recorded| *recorded != now) {
            self.field(field, json(recorded), json(now));
        }
    }

    fn done(self, namespaces: Vec<String>) -> Replayed {
        if self.0.is_empty() { Replayed::Identical } else { Replayed::Different { fields: self.0, namespaces } }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

fn number(number: Option<i64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn names(pods: &[PodName]) -> String {
    pods.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect::<Vec<_>>().join(", ")
}

/// Compares a decision. `summary`: in short, where the record has it so.
pub(super) fn compared(decision: &Decision, said: &Said, summary: Option<&Summary>) -> Replayed {
    use DecisionOutcome::{Assumed, Bound, NotBound, Stale, Unschedulable};
    let mut differ = Differences::default();
    let (mut node, mut total, mut fitting, mut message) = (String::new(), None, None, String::new());
    let (mut victims, mut changes) = (Vec::new(), Effects::default());
    match said {
        Said::Placed(there) => {
            node = there.node.to_string();
            total = there.victims.is_empty().then_some(there.total);
            fitting = Some(there.fitting);
            let name = |pod: &std::sync::Arc<crate::core::model::Pod>| PodName {
                namespace: pod.namespace.to_string(),
                name: pod.name.to_string(),
            };
            victims = there.victims.iter().map(name).collect();
            changes = effects(there);
        }
        Said::Nowhere(why) => message.clone_from(why),
    }
    let is_placed = matches!(said, Said::Placed(_));
    let was_placed = matches!(decision.outcome, Bound | Assumed | Stale | NotBound);
    if was_placed != is_placed || !was_placed && decision.outcome != Unschedulable {
        let recorded = json(&decision.outcome).trim_matches('"').to_owned();
        differ.field("outcome", recorded, if is_placed { "placed" } else { "unschedulable" }.into());
    }
    differ.field("node", text(decision.node.as_ref()), node);
    differ.field("total", number(decision.total), number(total));
    let fitting = fitting.or(summary.map(|summary| summary.fitting));
    if let Some(recorded) = decision.fitting.or(is_placed.then_some(0)) {
        differ.field("fitting", recorded.to_string(), fitting.unwrap_or_default().to_string());
    }
    // Why a pod was not bound was found out later.
    if !matches!(decision.outcome, NotBound | Stale) {
        differ.field("message", text(decision.message.as_ref()), message);
    }
    differ.field("victims", names(&decision.victims), names(&victims));
    if decision.effects != changes {
        differ.field("effects", json(&decision.effects), json(&changes));
    }
    if let Some(summary) = summary {
        let mut now = Decision::default();
        decisions::summarized(&mut now, summary);
        differ.where_recorded("verdicts", decision.verdicts.as_ref(), &now.verdicts.unwrap_or_default());
        differ.where_recorded("scores", decision.scores.as_ref(), &now.scores.unwrap_or_default());
    }
    differ.field("digest", text(decision.digest.as_ref()), String::new());
    let charged = changes.charges.into_iter().map(|charge| charge.namespace);
    let pods = victims.into_iter().chain(changes.cleared).map(|pod| pod.namespace);
    differ.done(charged.chain(pods).collect())
}

/// Compares an answer of `/filter` or `/prioritize`.
pub(super) fn compared_call(decision: &Decision, answered: &Answered) -> Replayed {
    let mut differ = Differences::default();
    differ.field("digest", text(decision.digest.as_ref()), answered.digest());
    differ.field("message", text(decision.message.as_ref()), answered.error.clone());
    if decision.outcome != DecisionOutcome::Answered {
        differ.field("outcome", json(&decision.outcome).trim_matches('"').to_owned(), "answered".into());
    }
    let scores = answered.best();
    let node = if decision.call == CallKind::Filter { None } else { scores.first().map(|best| best.node.clone()) };
    differ.field("node", text(decision.node.as_ref()), node.unwrap_or_default());
    differ.where_recorded("fitting", decision.fitting.as_ref(), &answered.fitting.len());
    differ.where_recorded("verdicts", decision.verdicts.as_ref(), &answered.counts());
    differ.where_recorded::<Vec<NodeScore>>("scores", decision.scores.as_ref(), &scores);
    differ.done(Vec::new())
}

/// Takes the values of fields away that may tell of pods that the caller may not know; their names stay.
pub(super) fn masked_fields(
    decision: &Decision,
    mut fields: Vec<ReplayedField>,
    namespaces: &[String],
    sight: &mut Sight,
) -> Vec<ReplayedField> {
    let pods = decision.victims.iter().chain(&decision.effects.cleared).map(|pod| &pod.namespace);
    let charged = decision.effects.charges.iter().map(|charge| &charge.namespace);
    let mut all = std::iter::once(&decision.pod.namespace).chain(pods).chain(charged).chain(namespaces);
    if !all.all(|namespace| sight.knows(&namespace.as_str().into())) {
        for field in &mut fields {
            (field.recorded, field.now) = (String::new(), String::new());
        }
    }
    fields
}
