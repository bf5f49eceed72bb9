//! VerticalPodAutoscalerCheckpoint (`autoscaling.k8s.io/v1`): the usage of one container name, as the recommender keeps it.
//!
//! The status is that of the vertical pod autoscaler: weights are whole numbers, and peaks of memory whose interval is not over are left out. So that nothing is lost from one
//! request to the next, an annotation keeps both beside it. Where another program wrote the status since, the annotation does not count.
//!
//! Source: `vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go`, `pkg/recommender/checkpoint/checkpoint_writer.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    objects::meta::instant,
};
use podberth_core::{
    advise::vpa::{Aggregate, AggregateError, ContainerUsage, Options, Stored, StoredAggregate, StoredError, Window},
    model::Name,
};

/// The version of the status that is read and written.
const VERSION: &str = "v3";
/// The annotation with what the status has no room for.
pub(super) const EXACT: &str = "autoscaling.podberth.io/exact-usage";
/// Windows that are kept in the annotation. Open peaks of others are lost, as the vertical pod autoscaler loses all of them when it starts anew.
const MOST_WINDOWS: usize = 500;

/// The usage of one container name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerticalPodAutoscalerCheckpoint {
    /// `autoscaling.k8s.io/v1`
    pub api_version: String,
    /// `VerticalPodAutoscalerCheckpoint`
    pub kind: String,
    /// Its name is that of the autoscaler, a dash and that of the container.
    pub metadata: CheckpointMeta,
    /// The container.
    pub spec: CheckpointSpec,
    /// Its usage.
    pub status: CheckpointStatus,
}

/// Metadata of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckpointMeta {
    /// Its name.
    pub name: String,
    /// The autoscaler's namespace.
    pub namespace: String,
    /// The annotation with exact weights.
    pub annotations: BTreeMap<String, String>,
}

/// The container of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckpointSpec {
    /// The autoscaler's name.
    pub vpa_object_name: String,
    /// The container's name.
    pub container_name: String,
}

/// The usage in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckpointStatus {
    /// When it was written, RFC 3339.
    pub last_update_time: Option<String>,
    /// `v3`
    pub version: String,
    /// CPU usage.
    pub cpu_histogram: HistogramCheckpoint,
    /// Memory peaks.
    pub memory_histogram: HistogramCheckpoint,
    /// The time of the first CPU sample.
    pub first_sample_start: Option<String>,
    /// The time of the last CPU sample.
    pub last_sample_start: Option<String>,
    /// The number of CPU samples.
    pub total_samples_count: i64,
}

/// The weights of usage by its size.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistogramCheckpoint {
    /// A sample of this time has its own weight.
    pub reference_timestamp: Option<String>,
    /// By the number of the bucket; weights are ten-thousandths of the heaviest.
    pub bucket_weights: BTreeMap<String, u64>,
    /// The sum of all weights, by which they are scaled.
    pub total_weight: f64,
}

/// Memory that the status has no room for. Times are in nanoseconds since 1970.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Exact {
    /// The `lastUpdateTime` of the status that it stands beside.
    at: String,
    cpu: ExactHistogram,
    memory: ExactHistogram,
    first: Option<i64>,
    last: Option<i64>,
    samples: u64,
    windows: BTreeMap<String, ExactWindow>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct ExactHistogram {
    reference: Option<i64>,
    weights: BTreeMap<String, f64>,
    total: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct ExactWindow {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    peak: i64,
    oom: i64,
    open: bool,
}

/// The usage of a checkpoint.
pub(super) struct Restored {
    pub(super) container: Name,
    pub(super) usage: Aggregate,
    /// By pod name.
    pub(super) windows: BTreeMap<String, Window>,
}

impl VerticalPodAutoscalerCheckpoint {
    /// The usage; `None` with a fault.
    pub(super) fn restored(&self, options: &Options, at: &Path<'_>, faults: &mut Faults) -> Option<Restored> {
        let (spec_at, status_at) = (at.child("spec"), at.child("status"));
        if self.spec.container_name.is_empty() {
            faults.required(&spec_at.child("containerName"), "the container whose usage it is");
        }
        if self.status.version != VERSION {
            faults.not_supported(&status_at.child("version"), &self.status.version, &[VERSION]);
            return None;
        }
        let before = faults.count();
        let stored = self.status.read(&status_at, faults);
        let exact = self.exact();
        if faults.count() > before {
            return None;
        }
        let usage = match &exact {
            Some(exact) => Aggregate::restored(options, &exact.read()),
            None => Aggregate::restored(options, &stored),
        };
        let told = |histogram: &str, error: StoredError, faults: &mut Faults| {
            let at = status_at.child(histogram);
            match error {
                StoredError::Total(total) => {
                    let at = at.child("totalWeight");
                    faults.invalid(&at, format_args!("{total}"), "must be a number that is not negative");
                }
                StoredError::Bucket(bucket) => {
                    let why = "must be the number of a bucket, from 0 to 175";
                    faults.invalid(&at.child("bucketWeights"), bucket, why);
                }
            }
        };
        let usage = match usage {
            Ok(usage) => usage,
            Err(error) => {
                match error {
                    AggregateError::Cpu(error) => told("cpuHistogram", error, faults),
                    AggregateError::Memory(error) => told("memoryHistogram", error, faults),
                }
                return None;
            }
        };
        let windows = exact.map(|exact| exact.windows).unwrap_or_default();
        let windows = windows.into_iter().map(|(pod, window)| (pod, window.read())).collect();
        Some(Restored { container: self.spec.container_name.as_str().into(), usage, windows })
    }

    /// The annotation, if it belongs to this status.
    fn exact(&self) -> Option<Exact> {
        let exact: Exact = serde_json::from_str(self.metadata.annotations.get(EXACT)?).ok()?;
        let is_of_status = Some(&exact.at) == self.status.last_update_time.as_ref()
            && i64::try_from(exact.samples).is_ok_and(|samples| samples == self.status.total_samples_count);
        is_of_status.then_some(exact)
    }

    /// The checkpoint of a container name of an autoscaler. `windows`: those of its containers, of which each pod has one.
    pub(super) fn of(
        (namespace, vpa): (&str, &str),
        container: &Name,
        known: &Aggregate,
        windows: &[(&ContainerUsage, Window)],
        now: i64,
    ) -> Self {
        let at = written(now);
        let exact = Exact::of(at.clone(), known, windows);
        let StoredAggregate { cpu, memory, first, last, samples } = known.rounded();
        let annotation = serde_json::to_string(&exact).ok().map(|text| (EXACT.to_owned(), text));
        Self {
            api_version: super::object::API_VERSION.into(),
            kind: "VerticalPodAutoscalerCheckpoint".into(),
            metadata: CheckpointMeta {
                name: format!("{vpa}-{container}"),
                namespace: namespace.into(),
                annotations: annotation.into_iter().collect(),
            },
            spec: CheckpointSpec { vpa_object_name: vpa.into(), container_name: container.to_string() },
            status: CheckpointStatus {
                last_update_time: Some(at),
                version: VERSION.into(),
                cpu_histogram: HistogramCheckpoint::of(cpu),
                memory_histogram: HistogramCheckpoint::of(memory),
                first_sample_start: first.map(written),
                last_sample_start: last.map(written),
                total_samples_count: i64::try_from(samples).unwrap_or(i64::MAX),
            },
        }
    }
}

impl CheckpointStatus {
    fn read(&self, at: &Path<'_>, faults: &mut Faults) -> StoredAggregate<u32> {
        let mut time = |text: &Option<String>, field: &str| {
            text.as_deref().and_then(|text| instant(text, &at.child(field), faults))
        };
        let (first, last) =
            (time(&self.first_sample_start, "firstSampleStart"), time(&self.last_sample_start, "lastSampleStart"));
        let samples = u64::try_from(self.total_samples_count).unwrap_or_else(|_| {
            let at = at.child("totalSamplesCount");
            faults.invalid(&at, self.total_samples_count, "must be greater than or equal to 0");
            0
        });
        StoredAggregate {
            cpu: self.cpu_histogram.read(&at.child("cpuHistogram"), faults),
            memory: self.memory_histogram.read(&at.child("memoryHistogram"), faults),
            first,
            last,
            samples,
        }
    }
}

impl HistogramCheckpoint {
    fn of(stored: Stored<u32>) -> Self {
        let weights = stored.weights.into_iter();
        Self {
            reference_timestamp: stored.reference.map(written),
            bucket_weights: weights.map(|(bucket, weight)| (bucket.to_string(), weight.into())).collect(),
            total_weight: stored.total,
        }
    }

    fn read(&self, at: &Path<'_>, faults: &mut Faults) -> Stored<u32> {
        let (mut weights, weights_at) = (BTreeMap::new(), at.child("bucketWeights"));
        for (bucket, weight) in &self.bucket_weights {
            match (bucket.parse(), u32::try_from(*weight)) {
                (Ok(bucket), Ok(weight)) => {
                    weights.insert(bucket, weight);
                }
                (Err(_), _) => faults.invalid(&weights_at, bucket, "must be the number of a bucket, from 0 to 175"),
                (_, Err(_)) => faults.invalid(&weights_at.key(bucket), weight, "must be at most 4294967295"),
            }
        }
        let reference_at = at.child("referenceTimestamp");
        let reference = self.reference_timestamp.as_deref().and_then(|text| instant(text, &reference_at, faults));
        Stored { reference, weights, total: self.total_weight }
    }
}

impl Exact {
    fn of(at: String, known: &Aggregate, windows: &[(&ContainerUsage, Window)]) -> Self {
        let StoredAggregate { cpu, memory, first, last, samples } = known.exact();
        let mut newest: Vec<_> = windows.iter().collect();
        newest.sort_by_key(|(usage, window)| (std::cmp::Reverse(window.last_memory.max(window.last_cpu)), &usage.pod));
        let kept = newest.into_iter().take(MOST_WINDOWS);
        Self {
            at,
            cpu: ExactHistogram::of(cpu),
            memory: ExactHistogram::of(memory),
            first,
            last,
            samples,
            windows: kept.map(|(usage, window)| (usage.pod.to_string(), ExactWindow::of(*window))).collect(),
        }
    }

    fn read(&self) -> StoredAggregate<f64> {
        StoredAggregate {
            cpu: self.cpu.read(),
            memory: self.memory.read(),
            first: self.first,
            last: self.last,
            samples: self.samples,
        }
    }
}

impl ExactHistogram {
    fn of(stored: Stored<f64>) -> Self {
        let weights = stored.weights.into_iter().map(|(bucket, weight)| (bucket.to_string(), weight));
        Self { reference: stored.reference, weights: weights.collect(), total: stored.total }
    }

    fn read(&self) -> Stored<f64> {
        let weights = self.weights.iter().filter(|(_, weight)| **weight > 0.0);
        let weights = weights.filter_map(|(bucket, weight)| Some((bucket.parse().ok()?, *weight))).collect();
        Stored { reference: self.reference, weights, total: self.total }
    }
}

impl ExactWindow {
    fn of(window: Window) -> Self {
        let Window { last_cpu, last_memory, end, peak, oom_peak, open } = window;
        Self { cpu: last_cpu, memory: last_memory, end, peak, oom: oom_peak, open }
    }

    fn read(self) -> Window {
        let Self { cpu, memory, end, peak, oom, open } = self;
        let (peak, oom_peak) = (peak.max(0), oom.max(0));
        Window { last_cpu: cpu, last_memory: memory, end, peak, oom_peak, open }
    }
}

/// A time in whole seconds, RFC 3339.
pub(super) fn written(nanoseconds: i64) -> String {
    let seconds = jiff::Timestamp::from_second(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default();
    seconds.to_string()
}
