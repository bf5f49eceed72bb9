//! The reply of `POST /autoscale/vpa`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    EffectReport,
    checkpoint::{VerticalPodAutoscalerCheckpoint, written},
    object::{
        ContainerRecommendation, Recommendation, VerticalPodAutoscaler, VerticalPodAutoscalerStatus, VpaCondition,
    },
};
use crate::{
    autoscale::step::AdviceStepReport,
    defaults::{binary, decimal},
};
use podberth_core::{
    advise::{
        plan::StepKind,
        vpa::{Advised, Limits, Recommended, Why},
    },
    model::{Name, Pod, Quantity},
};

/// The recommended requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VpaReport {
    /// The revision of the stored cluster that was read.
    pub revision: u64,
    /// Namespace and name of a stored autoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// By container name. Containers whose policy is `Off` are left out.
    pub container_recommendations: Vec<ContainerRecommendation>,
    /// The steps to take: the requests that each container is to have.
    pub plan_steps: Vec<AdviceStepReport>,
    /// Samples that were discarded, since later ones of their containers were known.
    pub discarded: u64,
    /// The history that each recommendation comes from, by container name.
    pub history: BTreeMap<String, HistoryReport>,
    /// The reasons of each recommendation, by container name.
    pub why: BTreeMap<String, WhyReport>,
    /// The status that the autoscaler has after this.
    pub status: VerticalPodAutoscalerStatus,
    /// The usage known after this, for a later request. Of a stored autoscaler they are stored where the request says so.
    pub checkpoints: Vec<VerticalPodAutoscalerCheckpoint>,
    /// `true` if status and checkpoints are stored.
    pub stored: bool,
    /// Consequences of the recommended requests for the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub effect: Option<EffectReport>,
    /// All stored autoscalers, where the request is about none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub items: Vec<VpaReport>,
}

/// The history of one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VpaHistory)]
pub struct HistoryReport {
    /// CPU samples.
    pub cpu_samples: u64,
    /// The history in days, as far as its samples fill it.
    pub confidence: f64,
    /// The time of the first CPU sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub first_sample: Option<String>,
    /// The time of the last CPU sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_sample: Option<String>,
}

/// The reasons of one recommendation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VpaWhy)]
pub struct WhyReport {
    /// The percentile of usage that the target comes from, without margin.
    pub usage: BTreeMap<String, String>,
    /// The container's share of the least that a pod gets.
    pub minimum: BTreeMap<String, String>,
    /// The limit that cut the target, by resource: `minAllowed`, `maxAllowed` or `globalMaxAllowed`.
    pub capped: BTreeMap<String, String>,
}

/// Amounts as texts. Those of a policy are printed as they are written there.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<(Quantity, String)>);

impl Texts {
    /// Keeps the text of an amount.
    pub(super) fn keep(&mut self, quantity: Quantity, text: &str) {
        self.0.push((quantity, text.trim().to_owned()));
    }

    fn of(&self, limits: &Limits) -> BTreeMap<String, String> {
        let kept = |quantity: Quantity| self.0.iter().find(|(of, _)| *of == quantity).map(|(_, text)| text.clone());
        let cpu = limits.cpu.map(|cpu| ("cpu".to_owned(), kept(cpu).unwrap_or_else(|| decimal(cpu))));
        let memory = limits.memory.map(|memory| ("memory".into(), kept(memory).unwrap_or_else(|| binary(memory))));
        cpu.into_iter().chain(memory).collect()
    }

    fn recommendation(&self, of: &Recommended) -> ContainerRecommendation {
        ContainerRecommendation {
            container_name: of.container.to_string(),
            target: self.of(&of.target),
            lower_bound: self.of(&of.lower),
            upper_bound: self.of(&of.upper),
            uncapped_target: Self::default().of(&of.uncapped),
        }
    }
}

impl VpaReport {
    /// The reply without checkpoints. `matched`: the number of pods that the selector matches; `vpa`: the autoscaler up to now.
    pub(super) fn new(advised: &Advised, texts: &Texts, matched: usize, vpa: &VerticalPodAutoscaler, now: i64) -> Self {
        let (target, before) = (vpa.target(), &vpa.status);
        let step = |of: &Recommended| {
            let requests = texts.of(&of.target).into_iter().map(|(name, amount)| (Name::from(name), amount)).collect();
            let step = StepKind::Resize { target: target.clone()?, container: of.container.clone(), requests };
            let why = format!("the usage of {} samples over {:.1} days", of.why.samples, of.why.confidence);
            Some(AdviceStepReport::new(&step.because(why), Pod::full_name))
        };
        let plan_steps = advised.recommended.iter().filter_map(step).collect();
        let recommendations: Vec<_> = advised.recommended.iter().map(|of| texts.recommendation(of)).collect();
        let named = advised.recommended.iter().map(|of| (of.container.to_string(), &of.why));
        Self {
            plan_steps,
            discarded: advised.discarded,
            history: named.clone().map(|(name, why)| (name, HistoryReport::from(why))).collect(),
            why: named.map(|(name, why)| (name, WhyReport::from(why))).collect(),
            status: status(&recommendations, matched, before, now),
            container_recommendations: recommendations,
            ..Self::default()
        }
    }
}

impl From<&Why> for HistoryReport {
    fn from(why: &Why) -> Self {
        let (first, last) = why.between.unzip();
        Self {
            cpu_samples: why.samples,
            confidence: why.confidence,
            first_sample: first.map(written),
            last_sample: last.map(written),
        }
    }
}

impl From<&Why> for WhyReport {
    fn from(why: &Why) -> Self {
        let plain = Texts::default();
        let capped = why.capped.iter().map(|(resource, cap)| ((*resource).to_owned(), cap.field().to_owned()));
        Self { usage: plain.of(&why.used), minimum: plain.of(&why.least), capped: capped.collect() }
    }
}

/// The status of an autoscaler (`model/vpa.go`, `updateConditionsLocked`).
fn status(
    recommendations: &[ContainerRecommendation],
    matched: usize,
    before: &VerticalPodAutoscalerStatus,
    now: i64,
) -> VerticalPodAutoscalerStatus {
    let mut conditions: BTreeMap<String, VpaCondition> =
        before.conditions.iter().map(|of| (of.r#type.clone(), of.clone())).collect();
    let mut set = |name: &str, is_true: bool, (reason, message): (&str, &str)| {
        let status = if is_true { "True" } else { "False" };
        let since = conditions.get(name).filter(|of| of.status == status).map(|of| of.last_transition_time.clone());
        let last_transition_time = since.unwrap_or_else(|| written(now));
        let (reason, message) = (reason.into(), message.into());
        let condition =
            VpaCondition { r#type: name.into(), status: status.into(), last_transition_time, reason, message };
        conditions.insert(name.into(), condition);
    };
    let none = ("NoPodsMatched", "No pods match this VPA object");
    let why = if matched == 0 { none } else { ("", "") };
    if matched == 0 {
        set("NoPodsMatched", true, none);
    }
    let provided = !recommendations.is_empty();
    set("RecommendationProvided", provided, if provided { ("", "") } else { why });
    if matched > 0 {
        conditions.remove("NoPodsMatched");
    }
    VerticalPodAutoscalerStatus {
        recommendation: Some(Recommendation { container_recommendations: recommendations.to_vec() }),
        conditions: conditions.into_values().collect(),
        observed_generation: before.observed_generation,
    }
}
