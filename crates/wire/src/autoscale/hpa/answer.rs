//! From a request to its answer.

use std::sync::Arc;

use super::{
    convert::Hpa,
    metrics::{custom_values, external_values, pod_usages},
    pods::pod_states,
    reply::{HpaReport, SyncReport},
    spec::{ControllerOptions, HpaRequest, HpaStep, ScaleDocument},
};
use crate::{
    fault::{Cause, Faults, Path},
    objects::meta::instant,
    selector::parse_labels,
};
use podberth_core::advise::hpa::{
    self as core, Before, CustomValue, ExternalValue, History, Metrics, Observed, Options, PodState, PodUsage, Rival,
    Selection, advise,
};

/// The most synchronizations of a request.
const MOST_STEPS: usize = 10_000;

/// The longest pause between two synchronizations, in seconds.
const LONGEST_PAUSE: i64 = 366 * 24 * 3600;

/// A question with all that answers it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The autoscaler.
    pub hpa: Hpa,
    /// `scale.spec.replicas` of the target.
    pub replicas: i32,
    /// `scale.status.replicas` of the target.
    pub observed_replicas: i32,
    /// `scale.status.selector` of the target.
    pub selection: Selection,
    /// Pods.
    pub pods: Arc<Vec<PodState>>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Other autoscalers of the namespace.
    pub rivals: Arc<Vec<Rival>>,
    /// The memory of the controller.
    pub history: History,
    /// Settings of the controller.
    pub options: Options,
    /// The time of the first synchronization.
    pub now: i64,
}

impl Case {
    /// One synchronization: what should be done. Its proposal becomes a part of the history.
    pub fn advise(&mut self) -> core::Answer {
        let Self { hpa, replicas, observed_replicas, selection, pods, metrics, rivals, history, options, now } = self;
        let observed =
            Observed { replicas: *replicas, observed_replicas: *observed_replicas, selection, pods, metrics, rivals };
        advise(&hpa.core, &hpa.before, &observed, history, options, *now)
    }

    /// Takes in that the answer was carried out.
    pub fn done(&mut self, answer: &core::Answer) {
        if answer.is_rescaled() {
            self.history.changed(self.hpa.core.behavior.as_ref(), answer.current, answer.replicas, self.now);
        }
        self.hpa.before = Before { desired: answer.desired, conditions: answer.conditions.clone() };
        (self.replicas, self.observed_replicas) = (answer.replicas, answer.replicas);
    }
}

/// The settings, checked.
pub fn options(of: &ControllerOptions, at: &Path<'_>, faults: &mut Faults) -> Options {
    let default = Options::default();
    let mut seconds = |field: &str, given: Option<i32>, default: i32| {
        let seconds = given.unwrap_or(default);
        if seconds < 0 {
            faults.invalid(&at.child(field), seconds, "must be greater than or equal to 0");
        }
        seconds.max(0)
    };
    let (window, start, delay) = (
        seconds("downscaleStabilizationSeconds", of.downscale_stabilization_seconds, default.downscale_window_seconds),
        seconds("cpuInitializationSeconds", of.cpu_initialization_seconds, default.cpu_initialization_seconds),
        seconds("initialReadinessDelaySeconds", of.initial_readiness_delay_seconds, default.readiness_delay_seconds),
    );
    let tolerance = of.tolerance.unwrap_or(default.tolerance);
    if !(tolerance.is_finite() && tolerance >= 0.0) {
        faults.invalid(&at.child("tolerance"), tolerance, "must be a number that is not negative");
    }
    Options {
        tolerance,
        downscale_window_seconds: window,
        cpu_initialization_seconds: start,
        readiness_delay_seconds: delay,
    }
}

/// The selector of a scale.
pub fn selection(text: &str) -> Selection {
    if text.is_empty() {
        return Selection::Missing;
    }
    parse_labels(text).map_or_else(|error| Selection::Invalid(error.to_string()), Selection::Of)
}

/// The parts of a request, checked. What is absent is to be looked up.
#[derive(Clone, Debug)]
pub struct Given {
    /// The autoscaler.
    pub hpa: Option<Hpa>,
    /// The namespace of the autoscaler, or of the one that is named.
    pub namespace: String,
    /// The scale of the target.
    pub scale: Option<ScaleDocument>,
    /// Pods.
    pub pods: Option<Vec<PodState>>,
    /// The use of resources.
    pub pod_usages: Option<Vec<PodUsage>>,
    /// Values of objects.
    pub custom_values: Option<Vec<CustomValue>>,
    /// Values of things outside of the cluster.
    pub external_values: Option<Vec<ExternalValue>>,
    /// The memory of the controller.
    pub history: Option<History>,
    /// Settings of the controller.
    pub options: Options,
    /// The time.
    pub now: i64,
}

impl Given {
    /// The parts of a request. `now` is the time where the request has none.
    ///
    /// # Errors
    /// All faults, by their fields.
    pub fn read(request: &HpaRequest, now: i64) -> Result<Self, Vec<Cause>> {
        let mut faults = Faults::default();
        let faults = &mut faults;
        let root = Path::ROOT;
        if request.hpa.is_some() {
            for (field, other) in [("name", &request.name), ("namespace", &request.namespace)] {
                if other.is_some() {
                    faults.forbidden(&root.child(field), "may not be set together with hpa, which has its own");
                }
            }
        }
        let hpa =
            request.hpa.as_deref().and_then(|json| Hpa::parse(json).map_err(|causes| faults.adopt("hpa", causes)).ok());
        let named = request.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        let namespace = hpa.as_ref().map_or(named, |hpa| &*hpa.core.namespace).to_owned();
        if let Some(scale) = &request.scale {
            check_scale(scale, &root.child("scale"), faults);
        }
        let pods = request.pods.as_ref().map(|pods| pod_states(pods, &namespace, &root.child("pods"), faults));
        let usages = request.pod_metrics.as_ref();
        let usages = usages.map(|list| pod_usages(list, &namespace, &root.child("podMetrics"), faults));
        let custom = request.custom_metrics.as_ref();
        let custom = custom.map(|list| custom_values(list, &namespace, &root.child("customMetrics"), faults));
        let external = request.external_metrics.as_ref();
        let external = external.map(|list| external_values(list, &root.child("externalMetrics"), faults));
        let history = request.history.as_ref().map(|history| history.to_core(&root.child("history"), faults));
        let options = options(&request.controller, &root.child("controller"), faults);
        let now = request.now.as_ref().map_or(Some(now), |text| instant(text, &root.child("now"), faults));
        let given = Self {
            hpa,
            namespace,
            scale: request.scale.clone(),
            pods,
            pod_usages: usages,
            custom_values: custom,
            external_values: external,
            history,
            options,
            now: now.unwrap_or_default(),
        };
        if faults.count() == 0 { Ok(given) } else { Err(std::mem::take(faults).into_causes()) }
    }
}

/// The answer to a request in which all is given; what is absent is nothing. `now` is the time where the request has none.
///
/// # Errors
/// All faults, by their fields.
pub fn answer(request: &HpaRequest, now: i64) -> Result<HpaReport, Vec<Cause>> {
    let given = Given::read(request, now)?;
    let mut faults = Faults::default();
    if given.hpa.is_none() {
        faults.required(&Path::ROOT.child("hpa"), "a HorizontalPodAutoscaler");
    }
    if given.scale.is_none() {
        faults.required(&Path::ROOT.child("scale"), "the scale of the target");
    }
    let (Some(hpa), Some(scale)) = (given.hpa, given.scale) else { return Err(faults.into_causes()) };
    let case = Case {
        hpa,
        replicas: scale.spec.replicas,
        observed_replicas: scale.status.replicas,
        selection: selection(&scale.status.selector),
        pods: Arc::new(given.pods.unwrap_or_default()),
        metrics: Arc::new(Metrics {
            pods: given.pod_usages.unwrap_or_default(),
            custom: given.custom_values.unwrap_or_default(),
            external: given.external_values.unwrap_or_default(),
        }),
        rivals: Arc::default(),
        history: given.history.unwrap_or_default(),
        options: given.options,
        now: given.now,
    };
    play(case, request.steps.as_deref())
}

fn check_scale(scale: &ScaleDocument, at: &Path<'_>, faults: &mut Faults) {
    for (part, replicas) in [("spec", scale.spec.replicas), ("status", scale.status.replicas)] {
        if replicas < 0 {
            faults.invalid(&at.child(part).child("replicas"), replicas, "must be greater than or equal to 0");
        }
    }
}

/// Carries out the synchronizations of a request.
///
/// # Errors
/// The faults of the steps.
pub fn play(mut case: Case, steps: Option<&[HpaStep]>) -> Result<HpaReport, Vec<Cause>> {
    let mut faults = Faults::default();
    let at = Path::ROOT.child("steps");
    let further = steps.unwrap_or_default();
    if further.len() > MOST_STEPS {
        faults.too_many(&at, format!("Too many: {}: must have at most {MOST_STEPS} items", further.len()));
        return Err(faults.into_causes());
    }
    let sync = |case: &mut Case| {
        let answer = case.advise();
        let report = SyncReport::new(&case.hpa, &answer, case.now);
        case.done(&answer);
        report
    };
    let mut reports = vec![sync(&mut case)];
    for (i, step) in further.iter().enumerate() {
        let at = at.index(i);
        if !(0..=LONGEST_PAUSE).contains(&step.after_seconds) {
            let rule = format!("must be from 0 to {LONGEST_PAUSE}");
            faults.invalid(&at.child("afterSeconds"), step.after_seconds, rule);
        }
        take(step, &mut case, &at, &mut faults);
        if faults.count() > 0 {
            return Err(faults.into_causes());
        }
        case.now = case.now.saturating_add(step.after_seconds.saturating_mul(1_000_000_000));
        reports.push(sync(&mut case));
    }
    Ok(HpaReport {
        items: None,
        last: reports.last().cloned().unwrap_or_default(),
        steps: steps.is_some().then_some(reports),
        history: (&case.history).into(),
    })
}

/// Replaces the metrics that a step has.
fn take(step: &HpaStep, case: &mut Case, at: &Path<'_>, faults: &mut Faults) {
    let namespace = &case.hpa.core.namespace;
    let metrics = Arc::make_mut(&mut case.metrics);
    if let Some(list) = &step.pod_metrics {
        metrics.pods = pod_usages(list, namespace, &at.child("podMetrics"), faults);
    }
    if let Some(list) = &step.custom_metrics {
        metrics.custom = custom_values(list, namespace, &at.child("customMetrics"), faults);
    }
    if let Some(list) = &step.external_metrics {
        metrics.external = external_values(list, &at.child("externalMetrics"), faults);
    }
}
