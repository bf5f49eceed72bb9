//! The number of replicas by the ratio of measured to wanted use, and the treatment of pods that are not ready or have no metrics.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go` (`GetResourceReplicas`, `calcPlainMetricReplicas`, `groupPods`,
//! `getUsageRatioReplicaCount`), `metrics/utilization.go`.

use std::collections::BTreeMap;

use super::spec::{Options, Phase, PodState, Readiness};
use crate::{
    model::{Name, resources},
    work,
};

/// Nanoseconds of a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// Seconds in nanoseconds.
pub(super) fn seconds(count: i32) -> i64 {
    i64::from(count) * SECOND
}

/// The largest distance from 1, in each direction, of a ratio that needs no change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerances {
    /// `true` if the ratio needs no change. Both ends belong to it.
    pub(super) fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// The measured use of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) milli: i64,
    /// The end of the window.
    pub(super) timestamp: i64,
    pub(super) window: i64,
}

impl Sample {
    /// A value in the place of one that was not measured.
    fn assumed(milli: i64) -> Self {
        Self { milli, timestamp: 0, window: 0 }
    }
}

/// Samples by the name of the pod.
pub(super) type Samples<'a> = BTreeMap<&'a str, Sample>;

/// The measured values of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The value, in thousandths.
    pub value: Option<i64>,
    /// The average per pod, in thousandths.
    pub average: Option<i64>,
    /// The use in percent of the requests.
    pub utilization: Option<i32>,
}

/// The proposal of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposed {
    /// The number of replicas.
    pub replicas: i32,
    /// The measured values.
    pub values: Values,
    /// Measured by wanted use; `None` at zero replicas.
    pub ratio: Option<f64>,
    /// The ratio after values were assumed for pods without metrics and for pods that are not ready; `None` where none were.
    pub assumed_ratio: Option<f64>,
    /// `true` if the ratio is within the tolerance.
    pub is_within_tolerance: bool,
    /// The number of pods that count.
    pub ready: usize,
    /// Pods that do not count since they are not ready.
    pub unready: Vec<Name>,
    /// Pods without metrics.
    pub missing: Vec<Name>,
    /// Pods that are being deleted or failed.
    pub ignored: Vec<Name>,
}

/// The pods by the way in which they count.
#[derive(Debug, Default)]
pub(super) struct Groups<'a> {
    ready: usize,
    unready: Vec<&'a Name>,
    missing: Vec<&'a Name>,
    ignored: Vec<&'a Name>,
}

impl<'a> Groups<'a> {
    /// Sorts the pods. Readiness matters to CPU alone. The samples of pods that do not count are taken away.
    pub(super) fn of(
        pods: &[&'a PodState],
        samples: &mut Samples<'_>,
        resource: &str,
        options: &Options,
        now: i64,
    ) -> Self {
        work::spend_on(pods.len());
        let mut groups = Self::default();
        for pod in pods {
            if pod.is_deleted || pod.phase == Phase::Failed {
                groups.ignored.push(&pod.name);
                continue;
            }
            match samples.get(&*pod.name) {
                _ if pod.phase == Phase::Pending => groups.unready.push(&pod.name),
                None => groups.missing.push(&pod.name),
                Some(sample) if resource == resources::CPU && is_unready(pod, *sample, options, now) => {
                    groups.unready.push(&pod.name);
                }
                Some(_) => groups.ready += 1,
            }
        }
        for name in groups.ignored.iter().chain(&groups.unready) {
            samples.remove(&***name);
        }
        groups
    }
}

/// `true` if the CPU of a pod is that of its start, and says nothing of its load.
fn is_unready(pod: &PodState, sample: Sample, options: &Options, now: i64) -> bool {
    let (Some(ready), Some(started)) = (pod.ready, pod.started) else { return true };
    let is_false = ready.status == Readiness::False;
    if started.saturating_add(seconds(options.cpu_initialization_seconds)) > now {
        // A full window must have been measured since the last change.
        return is_false || sample.timestamp < ready.since.saturating_add(sample.window);
    }
    is_false && started.saturating_add(seconds(options.readiness_delay_seconds)) > ready.since
}

/// Measured by wanted use.
#[derive(Clone, Copy, Debug)]
struct Usage {
    ratio: f64,
    values: Values,
}

/// The inputs of a proposal by pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Basis {
    /// `scale.spec.replicas`.
    pub(super) current: i32,
    pub(super) tolerances: Tolerances,
}

/// The reason for a metric whose pods all are not ready, or ignored.
const NO_SAMPLES: &str =
    "there are no metrics of pods that count: the pods have none, are not ready, or are being deleted";

/// The proposal by use in percent of the requests. `requests` are those of all selected pods.
pub(super) fn by_utilization<'a>(
    basis: Basis,
    groups: &Groups<'a>,
    mut samples: Samples<'a>,
    requests: impl FnOnce() -> Result<BTreeMap<Name, i64>, String>,
    target: i32,
) -> Result<Proposed, String> {
    if samples.is_empty() {
        return Err(NO_SAMPLES.into());
    }
    let requests = requests()?;
    // The lack of a metric is taken for full use of the request when scaling down.
    let assumed = |name: &str| {
        let request = i128::from(requests.get(name).copied().unwrap_or_default());
        clamped(request * i128::from(target.max(100)) / 100)
    };
    let usage = |samples: &Samples<'_>| utilization(samples, &requests, target);
    by_pods(basis, groups, &mut samples, assumed, usage)
}

/// The proposal by an average per pod, in thousandths.
pub(super) fn by_average<'a>(
    basis: Basis,
    groups: &Groups<'a>,
    mut samples: Samples<'a>,
    target: i64,
) -> Result<Proposed, String> {
    if samples.is_empty() {
        return Err(NO_SAMPLES.into());
    }
    let usage = |samples: &Samples<'_>| {
        let total: i128 = samples.values().map(|sample| i128::from(sample.milli)).sum();
        let average = clamped(total / samples.len().max(1) as i128);
        Ok(Usage {
            ratio: average as f64 / target as f64,
            values: Values { average: Some(average), ..Values::default() },
        })
    };
    by_pods(basis, groups, &mut samples, |_| target, usage)
}

fn utilization(samples: &Samples<'_>, requests: &BTreeMap<Name, i64>, target: i32) -> Result<Usage, String> {
    let (mut used, mut requested, mut count) = (0_i128, 0_i128, 0_i128);
    for (pod, sample) in samples {
        // A metric of a pod that is not there.
        let Some(request) = requests.get(*pod) else { continue };
        used += i128::from(sample.milli);
        requested += i128::from(*request);
        count += 1;
    }
    if requested == 0 || count == 0 {
        return Err("the pods with metrics request nothing of the resource, or are not those of the target".into());
    }
    let percent = (used * 100 / requested).clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32;
    let values = Values { average: Some(clamped(used / count)), utilization: Some(percent), value: None };
    Ok(Usage { ratio: f64::from(percent) / f64::from(target), values })
}

/// The proposal of a metric that each pod has. `assumed` is the use of a pod without a metric when scaling down.
fn by_pods<'a>(
    basis: Basis,
    groups: &Groups<'a>,
    samples: &mut Samples<'a>,
    assumed: impl Fn(&str) -> i64,
    usage: impl Fn(&Samples<'_>) -> Result<Usage, String>,
) -> Result<Proposed, String> {
    let Basis { current, tolerances } = basis;
    let Usage { ratio, values } = usage(samples)?;
    let names = |names: &[&Name]| names.iter().map(|name| (*name).clone()).collect();
    let proposed = Proposed {
        replicas: current,
        values,
        ratio: Some(ratio),
        ready: groups.ready,
        unready: names(&groups.unready),
        missing: names(&groups.missing),
        ignored: names(&groups.ignored),
        ..Proposed::default()
    };
    let is_up_with_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !is_up_with_unready && groups.missing.is_empty() {
        let is_within_tolerance = tolerances.hold(ratio);
        let replicas = if is_within_tolerance { current } else { times(ratio, groups.ready) };
        return Ok(Proposed { replicas, is_within_tolerance, ..proposed });
    }
    // Against the direction of the change: whoever is not measured needs all when scaling down, and nothing when scaling up.
    for name in &groups.missing {
        if ratio < 1.0 {
            samples.insert(name, Sample::assumed(assumed(name)));
        } else if ratio > 1.0 {
            samples.insert(name, Sample::assumed(0));
        }
    }
    if is_up_with_unready {
        samples.extend(groups.unready.iter().map(|name| (&***name, Sample::assumed(0))));
    }
    let after = usage(samples)?.ratio;
    let is_within_tolerance = tolerances.hold(after);
    let proposed = Proposed { assumed_ratio: Some(after), is_within_tolerance, ..proposed };
    if is_within_tolerance || (ratio < 1.0 && after > 1.0) || (ratio > 1.0 && after < 1.0) {
        return Ok(proposed);
    }
    let replicas = times(after, samples.len());
    if (after < 1.0 && replicas > current) || (after > 1.0 && replicas < current) {
        return Ok(proposed);
    }
    Ok(Proposed { replicas, ..proposed })
}

/// The proposal by a value that is not one of pods. `ready` gives the number of pods that run and are ready.
pub(super) fn by_value(
    basis: Basis,
    usage: i64,
    target: i64,
    ready: impl FnOnce() -> Result<usize, String>,
) -> Result<Proposed, String> {
    let ratio = usage as f64 / target as f64;
    let values = Values { value: Some(usage), ..Values::default() };
    let proposed = Proposed { replicas: basis.current, values, ratio: Some(ratio), ..Proposed::default() };
    if basis.current == 0 {
        return Ok(Proposed { replicas: whole(ratio), ..proposed });
    }
    if basis.tolerances.hold(ratio) {
        return Ok(Proposed { is_within_tolerance: true, ..proposed });
    }
    let ready = ready()?;
    Ok(Proposed { replicas: times(ratio, ready), ready, ..proposed })
}

/// The proposal by a value that all replicas share. `replicas` is `scale.status.replicas`.
pub(super) fn by_share(tolerances: Tolerances, usage: i64, target: i64, replicas: i32) -> Proposed {
    let ratio = usage as f64 / (target as f64 * f64::from(replicas));
    let is_within_tolerance = tolerances.hold(ratio);
    let average = if usage == i64::MAX { usage } else { (usage as f64 / f64::from(replicas)).ceil() as i64 };
    Proposed {
        replicas: if is_within_tolerance { replicas } else { whole(usage as f64 / target as f64) },
        values: Values { average: Some(average), ..Values::default() },
        ratio: ratio.is_finite().then_some(ratio),
        is_within_tolerance,
        ..Proposed::default()
    }
}

/// A ratio of a number of pods, rounded up.
fn times(ratio: f64, pods: usize) -> i32 {
    whole(ratio * pods as f64)
}

/// Rounded up, and cut at the largest number of replicas.
pub(super) fn whole(replicas: f64) -> i32 {
    // The conversion saturates.
    replicas.ceil() as i32
}

/// Cut at the largest amount.
pub(super) fn clamped(amount: i128) -> i64 {
    amount.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
