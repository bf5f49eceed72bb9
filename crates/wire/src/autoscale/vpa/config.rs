//! Settings of the recommender in a request, named as its flags.
//!
//! Source: `vertical-pod-autoscaler/pkg/recommender/config/config.go`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    span,
};
use podberth_core::advise::vpa::Options;

/// The largest number of a setting.
const MOST: f64 = 1e12;
/// The shortest duration of a setting.
const SECOND: i64 = 1_000_000_000;

/// Settings of the recommender. Those absent have the defaults of the vertical pod autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RecommenderConfig {
    /// The part of the usage that is added to it: 0.15.
    #[schema(nullable = false)]
    pub safety_margin_fraction: Option<f64>,
    /// The least milli-CPU of a pod: 25.
    #[serde(rename = "podMinCPUMillicores")]
    #[schema(nullable = false)]
    pub pod_min_cpu_millicores: Option<f64>,
    /// The least memory of a pod in MiB: 250.
    #[schema(nullable = false)]
    pub pod_min_memory_mb: Option<f64>,
    /// The percentile of CPU usage for the target: 0.9.
    #[serde(rename = "targetCPUPercentile")]
    #[schema(nullable = false)]
    pub target_cpu_percentile: Option<f64>,
    /// The percentile of CPU usage for the lower bound: 0.5.
    #[serde(rename = "lowerBoundCPUPercentile")]
    #[schema(nullable = false)]
    pub lower_bound_cpu_percentile: Option<f64>,
    /// The percentile of CPU usage for the upper bound: 0.95.
    #[serde(rename = "upperBoundCPUPercentile")]
    #[schema(nullable = false)]
    pub upper_bound_cpu_percentile: Option<f64>,
    /// The percentile of memory peaks for the target: 0.9.
    #[schema(nullable = false)]
    pub target_memory_percentile: Option<f64>,
    /// The percentile of memory peaks for the lower bound: 0.5.
    #[schema(nullable = false)]
    pub lower_bound_memory_percentile: Option<f64>,
    /// The percentile of memory peaks for the upper bound: 0.95.
    #[schema(nullable = false)]
    pub upper_bound_memory_percentile: Option<f64>,
    /// History that counts as confidence 1 for the bounds of CPU: `24h`.
    #[serde(rename = "confidenceIntervalCPU")]
    #[schema(nullable = false)]
    pub confidence_interval_cpu: Option<String>,
    /// History that counts as confidence 1 for the bounds of memory: `24h`.
    #[schema(nullable = false)]
    pub confidence_interval_memory: Option<String>,
    /// The half-life of CPU samples: `24h`.
    #[schema(nullable = false)]
    pub cpu_histogram_decay_half_life: Option<String>,
    /// The half-life of memory peaks: `24h`.
    #[schema(nullable = false)]
    pub memory_histogram_decay_half_life: Option<String>,
    /// The time in which one memory peak is kept of each container: `24h`.
    #[schema(nullable = false)]
    pub memory_aggregation_interval: Option<String>,
    /// The factor by which memory grows after a container was killed for want of it: 1.2.
    #[schema(nullable = false)]
    pub oom_bump_up_ratio: Option<f64>,
    /// The bytes by which memory grows at least then: 104857600.
    #[serde(alias = "oomMinBumpUp")]
    #[schema(nullable = false)]
    pub oom_min_bump_up_bytes: Option<f64>,
    /// CPU is rounded up to a multiple of so many milli-CPU: 1.
    #[serde(rename = "roundCPUMillicores")]
    #[schema(nullable = false)]
    pub round_cpu_millicores: Option<i64>,
    /// Memory is rounded up to a multiple of so many bytes: 1.
    #[schema(nullable = false)]
    pub round_memory_bytes: Option<i64>,
    /// Memory is cut to two decimals of its largest unit.
    #[schema(nullable = false)]
    pub humanize_memory: Option<bool>,
    /// CPU is rounded up to whole CPUs where the autoscaler's annotation asks for it.
    #[schema(nullable = false)]
    pub cpu_integer_post_processor_enabled: Option<bool>,
}

impl RecommenderConfig {
    /// The settings.
    pub fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Options {
        let mut options = Options::default();
        let whole = 0.0..=1.0;
        let many = 0.0..=MOST;
        let mut numbers = [
            ("safetyMarginFraction", self.safety_margin_fraction, &mut options.safety_margin, &many),
            ("podMinCPUMillicores", self.pod_min_cpu_millicores, &mut options.pod_min_cpu, &many),
            ("podMinMemoryMb", self.pod_min_memory_mb, &mut options.pod_min_memory, &many),
            ("targetCPUPercentile", self.target_cpu_percentile, &mut options.cpu.target, &whole),
            ("lowerBoundCPUPercentile", self.lower_bound_cpu_percentile, &mut options.cpu.lower, &whole),
            ("upperBoundCPUPercentile", self.upper_bound_cpu_percentile, &mut options.cpu.upper, &whole),
            ("targetMemoryPercentile", self.target_memory_percentile, &mut options.memory.target, &whole),
            ("lowerBoundMemoryPercentile", self.lower_bound_memory_percentile, &mut options.memory.lower, &whole),
            ("upperBoundMemoryPercentile", self.upper_bound_memory_percentile, &mut options.memory.upper, &whole),
            ("oomBumpUpRatio", self.oom_bump_up_ratio, &mut options.oom_bump_up_ratio, &(1.0..=1000.0)),
            ("oomMinBumpUpBytes", self.oom_min_bump_up_bytes, &mut options.oom_min_bump_up, &many),
        ];
        for (field, given, setting, range) in &mut numbers {
            let Some(number) = given else { continue };
            if range.contains(number) {
                **setting = *number;
            } else {
                let (least, most) = (range.start(), range.end());
                faults.invalid(&at.child(field), *number, format!("must be from {least} to {most}"));
            }
        }
        let mut spans = [
            ("confidenceIntervalCPU", &self.confidence_interval_cpu, &mut options.cpu_confidence),
            ("confidenceIntervalMemory", &self.confidence_interval_memory, &mut options.memory_confidence),
            ("cpuHistogramDecayHalfLife", &self.cpu_histogram_decay_half_life, &mut options.cpu_half_life),
            ("memoryHistogramDecayHalfLife", &self.memory_histogram_decay_half_life, &mut options.memory_half_life),
            ("memoryAggregationInterval", &self.memory_aggregation_interval, &mut options.memory_interval),
        ];
        for (field, given, setting) in &mut spans {
            match span::read(given.as_deref(), &at.child(field), faults) {
                Some(span) if span < SECOND => faults.invalid(&at.child(field), given, "must be at least 1s"),
                Some(span) => **setting = span,
                None => {}
            }
        }
        let mut steps = [
            ("roundCPUMillicores", self.round_cpu_millicores, &mut options.round_cpu),
            ("roundMemoryBytes", self.round_memory_bytes, &mut options.round_memory),
        ];
        for (field, given, setting) in &mut steps {
            match *given {
                Some(step) if !(1..=1 << 40).contains(&step) => {
                    faults.invalid(&at.child(field), step, format!("must be from 1 to {}", 1_i64 << 40));
                }
                Some(step) => **setting = step,
                None => {}
            }
        }
        options.humanize_memory = self.humanize_memory.unwrap_or_default();
        options.integer_cpu = self.cpu_integer_post_processor_enabled.unwrap_or_default();
        options
    }
}
