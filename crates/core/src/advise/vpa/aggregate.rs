//! The usage of all containers of one name, added up.
//!
//! Source: `vertical-pod-autoscaler/pkg/recommender/model/aggregate_container_state.go`.

use super::{
    Amount,
    histogram::{Histogram, Stored, StoredError},
    options::Options,
};

/// The weight of a CPU sample.
const CPU_WEIGHT: f64 = 0.1;

/// The usage of the containers of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// CPU usage, in CPUs.
    pub cpu: Histogram,
    /// Memory peaks, in bytes.
    pub memory: Histogram,
    /// The time of the first CPU sample.
    pub first: Option<i64>,
    /// The time of the last CPU sample.
    pub last: Option<i64>,
    /// The number of CPU samples.
    pub samples: u64,
}

/// An aggregate in its stored form. `W` is `u32` in a checkpoint of the vertical pod autoscaler, and `f64` where nothing is rounded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredAggregate<W> {
    /// CPU usage.
    pub cpu: Stored<W>,
    /// Memory peaks.
    pub memory: Stored<W>,
    /// The time of the first CPU sample.
    pub first: Option<i64>,
    /// The time of the last CPU sample.
    pub last: Option<i64>,
    /// The number of CPU samples.
    pub samples: u64,
}

/// Why a stored aggregate cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AggregateError {
    /// Of its CPU usage.
    #[error("cpuHistogram.{0}")]
    Cpu(StoredError),
    /// Of its memory peaks.
    #[error("memoryHistogram.{0}")]
    Memory(StoredError),
}

impl Aggregate {
    /// No usage.
    pub fn new(options: &Options) -> Self {
        Self {
            cpu: Histogram::of_cpu(options.cpu_half_life),
            memory: Histogram::of_memory(options.memory_half_life),
            first: None,
            last: None,
            samples: 0,
        }
    }

    /// Usage that was stored.
    ///
    /// # Errors
    /// [`AggregateError`].
    pub fn restored<W: Copy + Into<f64>>(
        options: &Options,
        stored: &StoredAggregate<W>,
    ) -> Result<Self, AggregateError> {
        let empty = Self::new(options);
        Ok(Self {
            cpu: empty.cpu.restored(&stored.cpu).map_err(AggregateError::Cpu)?,
            memory: empty.memory.restored(&stored.memory).map_err(AggregateError::Memory)?,
            first: stored.first,
            last: stored.last,
            samples: stored.samples,
        })
    }

    /// The form of a checkpoint: weights are rounded.
    pub fn rounded(&self) -> StoredAggregate<u32> {
        self.stored(Histogram::rounded)
    }

    /// The form that restores all weights as they are.
    pub fn exact(&self) -> StoredAggregate<f64> {
        self.stored(Histogram::exact)
    }

    fn stored<W>(&self, form: impl Fn(&Histogram) -> Stored<W>) -> StoredAggregate<W> {
        let Self { cpu, memory, first, last, samples } = self;
        StoredAggregate { cpu: form(cpu), memory: form(memory), first: *first, last: *last, samples: *samples }
    }

    /// Adds a CPU sample, in milli-CPU.
    pub(super) fn add_cpu(&mut self, milli: Amount, at: i64) {
        self.cpu.add(milli as f64 / 1000.0, CPU_WEIGHT, at);
        self.last = self.last.max(Some(at));
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.samples = self.samples.saturating_add(1);
    }

    /// Adds a memory peak, in bytes.
    pub(super) fn add_peak(&mut self, bytes: Amount, at: i64) {
        self.memory.add(bytes as f64, 1.0, at);
    }

    /// Takes a memory peak away that was added before.
    pub(super) fn subtract_peak(&mut self, bytes: Amount, at: i64) {
        self.memory.subtract(bytes as f64, 1.0, at);
    }

    /// Adds the usage of others.
    pub(super) fn merge(&mut self, other: &Self) {
        self.cpu.merge(&other.cpu);
        self.memory.merge(&other.memory);
        self.first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.last = self.last.max(other.last);
        self.samples = self.samples.saturating_add(other.samples);
    }
}
