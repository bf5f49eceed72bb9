//! From a request to its answer.

use serde_json::value::RawValue;

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
    self as core, Before, History, Metrics, Observed, Options, PodState, Rival, Selection, advise,
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
    pub pods: Vec<PodState>,
    /// Metrics.
    pub metrics: Metrics,
    /// Other autoscalers of the namespace.
    pub rivals: Vec<Rival>,
    /// The memory of the controller.
    pub history: History,
    /// Settings of the controller.
    pub options: Options,
    /// The time of the first synchronization.
    pub now: i64,
}

impl Case {
    /// Carries out one synchronization, and what it asks for.
    pub fn sync(&mut self) -> core::Answer {
        let Self { hpa, replicas, observed_replicas, selection, pods, metrics, rivals, history, options, now } = self;
        let observed =
            Observed { replicas: *replicas, observed_replicas: *observed_replicas, selection, pods, metrics, rivals };
        let answer = advise(&hpa.core, &hpa.before, &observed, history, options, *now);
        if answer.is_rescaled() {
            history.changed(hpa.core.behavior.as_ref(), answer.current, answer.replicas, *now);
        }
        hpa.before = Before { desired: answer.desired, conditions: answer.conditions.clone() };
        (*replicas, *observed_replicas) = (answer.replicas, answer.replicas);
        answer
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

/// The answer to a request in which all is given. `now` is the time where the request has none.
///
/// # Errors
/// All faults, by their fields.
pub fn answer(request: &HpaRequest, now: i64) -> Result<HpaReport, Vec<Cause>> {
    let mut faults = Faults::default();
    let root = Path::ROOT;
    let hpa = read_hpa(request.hpa.as_deref(), &mut faults);
    if request.scale.is_none() {
        faults.required(&root.child("scale"), "the scale of the target");
    }
    let namespace = hpa.as_ref().map_or("default", |hpa| &*hpa.core.namespace).to_owned();
    let scale = request.scale.clone().unwrap_or_default();
    check_scale(&scale, &root.child("scale"), &mut faults);
    let case = hpa.map(|hpa| Case {
        hpa,
        replicas: scale.spec.replicas,
        observed_replicas: scale.status.replicas,
        selection: selection(&scale.status.selector),
        pods: pod_states(request.pods.as_deref().unwrap_or_default(), &namespace, &root.child("pods"), &mut faults),
        metrics: Metrics {
            pods: pod_usages(
                request.pod_metrics.as_deref().unwrap_or_default(),
                &namespace,
                &root.child("podMetrics"),
                &mut faults,
            ),
            custom: custom_values(
                request.custom_metrics.as_deref().unwrap_or_default(),
                &namespace,
                &root.child("customMetrics"),
                &mut faults,
            ),
            external: external_values(
                request.external_metrics.as_deref().unwrap_or_default(),
                &root.child("externalMetrics"),
                &mut faults,
            ),
        },
        rivals: Vec::new(),
        history: request
            .history
            .as_ref()
            .map(|history| history.to_core(&root.child("history"), &mut faults))
            .unwrap_or_default(),
        options: options(&request.controller, &root.child("controller"), &mut faults),
        now: request
            .now
            .as_ref()
            .map_or(Some(now), |text| instant(text, &root.child("now"), &mut faults))
            .unwrap_or(now),
    });
    match case {
        Some(case) if faults.count() == 0 => play(case, request.steps.as_deref()),
        _ => Err(faults.into_causes()),
    }
}

fn read_hpa(json: Option<&RawValue>, faults: &mut Faults) -> Option<Hpa> {
    let Some(json) = json else {
        faults.required(&Path::ROOT.child("hpa"), "a HorizontalPodAutoscaler, or the name of a stored one");
        return None;
    };
    Hpa::parse(json).map_err(|causes| faults.adopt("hpa", causes)).ok()
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
        let answer = case.sync();
        SyncReport::new(&case.hpa, &answer, case.now)
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
        last: reports.last().cloned().unwrap_or_default(),
        steps: steps.is_some().then_some(reports),
        history: (&case.history).into(),
    })
}

/// Replaces the metrics that a step has.
fn take(step: &HpaStep, case: &mut Case, at: &Path<'_>, faults: &mut Faults) {
    let namespace = case.hpa.core.namespace.clone();
    if let Some(list) = &step.pod_metrics {
        case.metrics.pods = pod_usages(list, &namespace, &at.child("podMetrics"), faults);
    }
    if let Some(list) = &step.custom_metrics {
        case.metrics.custom = custom_values(list, &namespace, &at.child("customMetrics"), faults);
    }
    if let Some(list) = &step.external_metrics {
        case.metrics.external = external_values(list, &at.child("externalMetrics"), faults);
    }
}
