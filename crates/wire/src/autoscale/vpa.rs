//! The request and the reply of `POST /autoscale/vpa`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use utoipa::ToSchema;

use self::{checkpoint::Restored, report::Texts};
pub use self::{
    checkpoint::VerticalPodAutoscalerCheckpoint,
    config::RecommenderConfig,
    effect::{EffectReport, Removable, Resizing, selector_of_workload},
    object::{ContainerRecommendation, TargetRef, VerticalPodAutoscaler, VerticalPodAutoscalerStatus, check},
    report::{HistoryReport, VpaReport, WhyReport},
    usage::{Measured, VpaContainerUsage, VpaOom, VpaPodUsage, VpaSample, VpaSeries},
};
use crate::{
    cluster::{Brought, Cluster},
    fault::{Cause, Faults, Path},
    objects::{
        meta::{LabelSelector, instant},
        quantity::QuantityText,
    },
};
use podberth_core::{
    advise::vpa::{self, Asked, Options, Policies, Window},
    model::{Labels, Name, Selector},
};

mod checkpoint;
mod config;
mod effect;
mod object;
mod report;
mod usage;

/// Checkpoints of a request.
const MOST_CHECKPOINTS: usize = 1_000;

/// Asks for requests that fit the usage of pods.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VpaRequest {
    /// The time that the answer is for, RFC 3339; absent: the server's.
    #[schema(nullable = false)]
    pub now: Option<String>,
    /// The autoscaler, in full.
    #[schema(nullable = false)]
    pub vpa: Option<VerticalPodAutoscaler>,
    /// In place of `vpa`: the stored autoscaler of this namespace and name. Its checkpoints and the selector of its target are read too. With neither, all stored autoscalers are
    /// answered for.
    #[schema(nullable = false, example = "prod/web")]
    pub name: Option<String>,
    /// Of a stored autoscaler: writes the checkpoints and the status.
    pub store: bool,
    /// Tells what the recommended requests would do to the cluster.
    pub effect: bool,
    /// The cluster that they would do it to, in full; absent: the stored one.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Brought>,
    /// The revision of the stored cluster to answer for, as the query `revision`; the present where absent.
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// Breaks ties between nodes: equal seeds give equal effects.
    pub seed: u64,
    /// The pods of the workload, by their labels. Of a stored autoscaler: in place of its target's selector.
    #[schema(nullable = false, value_type = LabelSelector)]
    pub selector: Option<PodSelector>,
    /// The usage of pods. Those that the selector does not match are passed over.
    pub pods: Vec<VpaPodUsage>,
    /// Usage from before, as a reply has it.
    pub checkpoints: Vec<VerticalPodAutoscalerCheckpoint>,
    /// The most that is recommended where the autoscaler has no maximum.
    pub global_max_allowed: BTreeMap<String, QuantityText>,
    /// Settings.
    pub config: RecommenderConfig,
}

/// A selector of pods: labels with their values, or a label selector with its fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PodSelector(pub LabelSelector);

impl<'de> Deserialize<'de> for PodSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let is_selector = value.get("matchLabels").is_some() || value.get("matchExpressions").is_some();
        let read = if is_selector {
            serde_json::from_value(value)
        } else {
            serde_json::from_value(value).map(|match_labels| LabelSelector { match_labels, ..LabelSelector::default() })
        };
        read.map(Self).map_err(D::Error::custom)
    }
}

/// A request in the core's terms.
#[derive(Debug)]
pub struct VpaQuestion {
    /// The time that the answer is for, in nanoseconds since 1970.
    pub now: i64,
    /// The pods of the workload.
    pub selector: Selector,
    vpa: VerticalPodAutoscaler,
    usage: Vec<vpa::ContainerUsage>,
    /// Number of pods that the selector matches.
    matched: usize,
    history: Vec<(Name, vpa::Aggregate)>,
    policies: Policies,
    options: Options,
    texts: Texts,
}

impl VpaRequest {
    /// The question. `now`: the server's time, in nanoseconds since 1970.
    ///
    /// # Errors
    /// All faults, by their fields.
    pub fn to_core(&self, now: i64) -> Result<VpaQuestion, Vec<Cause>> {
        let mut faults = Faults::default();
        let root = Path::ROOT;
        let now = self.now.as_deref().map_or(Some(now), |text| instant(text, &root.child("now"), &mut faults));
        let nothing = VerticalPodAutoscaler::default();
        let vpa = self.vpa.as_ref().unwrap_or_else(|| {
            faults.required(&root.child("vpa"), "the autoscaler in full, or `name` for a stored one");
            &nothing
        });
        let mut policies = vpa.policies(&root.child("vpa"), &mut faults);
        let global_at = root.child("globalMaxAllowed");
        policies.global_max = object::limits(&self.global_max_allowed, &global_at, &mut faults);
        let options = self.config.to_core(&root.child("config"), &mut faults);
        let selector_at = root.child("selector");
        if self.selector.is_none() {
            faults.required(&selector_at, "the labels of the workload's pods");
        }
        let selector = self.selector.as_ref().and_then(|of| of.0.to_core(&selector_at, &mut faults));
        let selector = selector.unwrap_or_default();
        let (restored, mut windows) = self.restored(&options, vpa, &mut faults);
        let own = &vpa.metadata.namespace;
        let is_matched = |pod: &VpaPodUsage, labels: &Labels| {
            (pod.namespace.is_empty() || pod.namespace == *own) && selector.matches(labels)
        };
        let mut usage = usage::Reading::new(&mut faults).pods(&self.pods, &root.child("pods"), is_matched);
        for container in usage.iter_mut().filter(|container| container.matched) {
            let key = (container.pod.to_string(), container.container.clone());
            container.window = windows.remove(&key).unwrap_or_default();
        }
        let matched: BTreeSet<&Name> = usage.iter().filter(|of| of.matched).map(|of| &of.pod).collect();
        let matched = matched.len();
        let Some(now) = now.filter(|_| faults.count() == 0) else { return Err(faults.into_causes()) };
        // Windows of pods that send nothing now stay as they are, until they are over.
        let interval = options.memory_interval;
        let absent = windows
            .into_iter()
            .filter(|(_, window)| window.open || window.end.is_some_and(|end| end.saturating_add(interval) > now));
        usage.extend(absent.map(|((pod, container), window)| {
            let pod = pod.as_str().into();
            vpa::ContainerUsage { pod, container, matched: true, window, ..vpa::ContainerUsage::default() }
        }));
        Ok(VpaQuestion {
            now,
            selector,
            vpa: vpa.clone(),
            usage,
            matched,
            history: restored.into_iter().map(|one| (one.container, one.usage)).collect(),
            policies,
            options,
            texts: self.texts(vpa),
        })
    }

    /// The usage of all checkpoints, and the windows of their containers.
    fn restored(
        &self,
        options: &Options,
        vpa: &VerticalPodAutoscaler,
        faults: &mut Faults,
    ) -> (Vec<Restored>, BTreeMap<(String, Name), Window>) {
        let at = Path::ROOT.child("checkpoints");
        if self.checkpoints.len() > MOST_CHECKPOINTS {
            faults.too_many(&at, format!("Too many: must have at most {MOST_CHECKPOINTS} items"));
            return Default::default();
        }
        let (mut restored, mut windows, mut named) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for (index, checkpoint) in self.checkpoints.iter().enumerate() {
            let at = at.index(index);
            let spec_at = at.child("spec");
            let of = &checkpoint.spec.vpa_object_name;
            if !of.is_empty() && *of != vpa.metadata.name {
                let why = format!("must be a checkpoint of {:?}", vpa.metadata.name);
                faults.invalid(&spec_at.child("vpaObjectName"), of, why);
            }
            if !named.insert(&checkpoint.spec.container_name) {
                faults.duplicate(&spec_at.child("containerName"), &checkpoint.spec.container_name);
            }
            if let Some(mut one) = checkpoint.restored(options, &at, faults) {
                let of_pods = std::mem::take(&mut one.windows).into_iter();
                windows.extend(of_pods.map(|(pod, window)| ((pod, one.container.clone()), window)));
                restored.push(one);
            }
        }
        (restored, windows)
    }

    /// The amounts of policies as they are written.
    fn texts(&self, vpa: &VerticalPodAutoscaler) -> Texts {
        let mut texts = Texts::default();
        let policies = vpa.spec.resource_policy.iter().flat_map(|policy| &policy.container_policies);
        let limits = policies.flat_map(|policy| [&policy.min_allowed, &policy.max_allowed]);
        for QuantityText(text) in limits.chain([&self.global_max_allowed]).flat_map(BTreeMap::values) {
            if let Ok(quantity) = text.trim().parse() {
                texts.keep(quantity, text);
            }
        }
        texts
    }
}

impl VpaQuestion {
    /// Counts pods that send no usage now.
    pub fn count_pods(&mut self, pods: usize) {
        self.matched = self.matched.max(pods);
    }

    /// The pods of the autoscaler with the recommended requests.
    pub fn resizing(&self, report: &VpaReport) -> Resizing {
        Resizing::new(&self.vpa, &self.selector, &report.container_recommendations)
    }

    /// The answer.
    pub fn answer(&self) -> VpaReport {
        let Self { usage, history, policies, options, now, .. } = self;
        let mut advised = vpa::recommend(Asked { usage, history, policies, options });
        let mut report = VpaReport::new(&advised, &self.texts, self.matched, &self.vpa, *now);
        vpa::without_open_peaks(&mut advised, usage, *now);
        let mut windows = BTreeMap::<&Name, Vec<_>>::new();
        for (container, window) in usage.iter().zip(&advised.windows).filter(|(container, _)| container.matched) {
            windows.entry(&container.container).or_default().push((container, *window));
        }
        report.checkpoints = advised
            .known
            .iter()
            .map(|(name, known)| {
                let windows = windows.get(name).map(Vec::as_slice).unwrap_or_default();
                let of = (self.vpa.metadata.namespace.as_str(), self.vpa.metadata.name.as_str());
                VerticalPodAutoscalerCheckpoint::of(of, name, known, windows, *now)
            })
            .collect();
        report
    }
}
