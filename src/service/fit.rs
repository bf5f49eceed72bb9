//! How a stored pod fits on one node.

use std::sync::Arc;

use super::{
    access::sight::Sight,
    compute::compute_long,
    context,
    error::{Error, Result, Subject},
    explain::{self, ExplainRequest},
};
use crate::{
    core::model,
    live::View,
    wire::{
        explanation::PodName,
        fit::{FitReply, amounts},
    },
};

/// How a stored pod fits on a node of a view. A pod that runs already is treated as if it waited.
///
/// # Errors
/// [`Error::NotFound`] if there is no such node, pod or policy, [`Error::Denied`] if the caller may not read the pod.
pub async fn fit(view: Arc<View>, node: String, pod: String, policy: Option<String>, sight: Sight) -> Result<FitReply> {
    let (namespace, name) = PodName::parse(&pod);
    sight.check(namespace, name)?;
    compute_long(false, move || made(&view, &node, &pod, policy.as_deref())).await?
}

fn made(view: &View, node: &str, pod: &str, policy: Option<&str>) -> Result<FitReply> {
    let missing = || Error::NotFound(Subject::new("", "nodes", node));
    let request = ExplainRequest { pod_name: Some(pod.to_owned()), ..ExplainRequest::default() };
    if view.snapshot.node(node).is_none() {
        return Err(missing());
    }
    let explanation = explain::answer(&request, policy, view)?;
    let (namespace, name) = PodName::parse(pod);
    let stored = view.snapshot.pod(namespace, name).ok_or_else(missing)?;
    let chosen = context::chosen(view, policy)?.pick(&stored.spec.scheduler_name)?;
    let waiting = model::Pod { node_name: model::Name::default(), ..(**stored).clone() };
    let snapshot = view.snapshot.asked_about(&waiting);
    let info = snapshot.node(node).ok_or_else(missing)?;
    let held = info.held(chosen.profile().release);
    let amounts = amounts(&waiting, &info.node.allocatable, &held, info.pods.len());
    FitReply::new(explanation, node, amounts).ok_or_else(missing)
}
