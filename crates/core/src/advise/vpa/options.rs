//! The recommender's settings, with the defaults of the vertical pod autoscaler.
//!
//! Source: `vertical-pod-autoscaler/pkg/recommender/config/config.go`, `model/aggregations_config.go`.

/// One second in nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// One day in nanoseconds.
const DAY: i64 = 24 * 3600 * SECOND;

/// A percentile for each of the three amounts of a recommendation, as a part of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// Of the lower bound.
    pub lower: f64,
    /// Of the target.
    pub target: f64,
    /// Of the upper bound.
    pub upper: f64,
}

impl Default for Percentiles {
    fn default() -> Self {
        Self { lower: 0.5, target: 0.9, upper: 0.95 }
    }
}

/// Settings of the recommender. Durations are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The part of the usage that is added to it.
    pub safety_margin: f64,
    /// The least CPU of a pod, in milli-CPU.
    pub pod_min_cpu: f64,
    /// The least memory of a pod, in MiB.
    pub pod_min_memory: f64,
    /// Percentiles of CPU usage.
    pub cpu: Percentiles,
    /// Percentiles of memory peaks.
    pub memory: Percentiles,
    /// History of CPU usage that counts as one unit of confidence.
    pub cpu_confidence: i64,
    /// Like [`Self::cpu_confidence`], for the bounds of memory.
    pub memory_confidence: i64,
    /// Half-life of CPU samples.
    pub cpu_half_life: i64,
    /// Half-life of memory peaks.
    pub memory_half_life: i64,
    /// The time in which one memory peak is kept of each container.
    pub memory_interval: i64,
    /// The factor by which memory grows after a container was killed for want of it.
    pub oom_bump_up_ratio: f64,
    /// The bytes by which memory grows at least then.
    pub oom_min_bump_up: f64,
    /// CPU is rounded up to a multiple of so many milli-CPU.
    pub round_cpu: i64,
    /// Memory is rounded up to a multiple of so many bytes.
    pub round_memory: i64,
    /// Memory is cut to two decimals of its largest unit.
    pub humanize_memory: bool,
    /// CPU is rounded up to whole CPUs where the autoscaler's annotation asks for it.
    pub integer_cpu: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            safety_margin: 0.15,
            pod_min_cpu: 25.0,
            pod_min_memory: 250.0,
            cpu: Percentiles::default(),
            memory: Percentiles::default(),
            cpu_confidence: DAY,
            memory_confidence: DAY,
            cpu_half_life: DAY,
            memory_half_life: DAY,
            memory_interval: DAY,
            oom_bump_up_ratio: 1.2,
            oom_min_bump_up: 100.0 * 1024.0 * 1024.0,
            round_cpu: 1,
            round_memory: 1,
            humanize_memory: false,
            integer_cpu: false,
        }
    }
}
