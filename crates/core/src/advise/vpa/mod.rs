//! Requests that fit the usage: what a vertical pod autoscaler recommends.
//!
//! Samples of CPU and memory come in ([`ContainerUsage`]) beside what is known from before ([`Aggregate`]), and each container gets a target between two bounds ([`Recommended`]). Each rule
//! on the way is a file: usage is kept in decaying histograms of which memory gives its peaks; percentiles of them get a margin and are widened by missing confidence; then
//! minimums, rounding and the policies of the autoscaler hold.
//!
//! Source: `vertical-pod-autoscaler/pkg/recommender` of `kubernetes/autoscaler`, 1.8.0.

use std::collections::BTreeMap;

use crate::{
    advise::Advice,
    model::{Name, Quantity},
};

pub use self::{
    aggregate::{Aggregate, AggregateError, StoredAggregate},
    allowed_range::Cap,
    effect::{Effect, Resized, effect},
    histogram::{BUCKETS, Histogram, Stored, StoredError},
    integer_cpu::container as integer_cpu_container,
    memory_peak::Window,
    options::{Options, Percentiles},
    policy::{Limits, Policies, Policy},
    usage::{ContainerUsage, Oom, Series},
};

mod aggregate;
mod allowed_range;
mod confidence;
mod effect;
mod histogram;
mod integer_cpu;
mod memory_peak;
mod oom_bump_up;
mod options;
mod percentile;
mod pod_minimum;
mod policy;
mod rounding;
mod safety_margin;
mod usage;

/// The sort of these rules.
const KIND: &str = "VerticalPodAutoscaling";

/// The rules, in the order in which they apply.
pub static ALL: &[Advice] = &[
    histogram::ADVICE,
    memory_peak::ADVICE,
    oom_bump_up::ADVICE,
    percentile::ADVICE,
    safety_margin::ADVICE,
    confidence::ADVICE,
    pod_minimum::ADVICE,
    rounding::ADVICE,
    integer_cpu::ADVICE,
    allowed_range::ADVICE,
];

/// Milli-CPU or bytes.
pub type Amount = i64;

/// The largest amount (`model/types.go`, `MaxResourceAmount`).
pub const MOST: Amount = 100_000_000_000_000;

/// The whole amount below a number, from 0 to [`MOST`].
fn amount(number: f64) -> Amount {
    // A number that is none is nothing.
    if number > MOST as f64 { MOST } else { (number as Amount).max(0) }
}

/// All that a recommendation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The usage.
    pub usage: &'a [ContainerUsage],
    /// The usage from before, by container name.
    pub history: &'a [(Name, Aggregate)],
    /// The policies of the autoscaler.
    pub policies: &'a Policies,
    /// Settings.
    pub options: &'a Options,
}

/// The recommended requests of a container. What is not controlled is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommended {
    /// The container's name.
    pub container: Name,
    /// The requests that it should have.
    pub target: Limits,
    /// Requests below this are too low.
    pub lower: Limits,
    /// Requests above this are a waste.
    pub upper: Limits,
    /// The target without the policy.
    pub uncapped: Limits,
    /// The reasons.
    pub why: Why,
}

/// The reasons of a recommendation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Why {
    /// CPU samples.
    pub samples: u64,
    /// The history of CPU samples, in days unless the setting says otherwise.
    pub confidence: f64,
    /// The times of the first and the last CPU sample.
    pub between: Option<(i64, i64)>,
    /// The percentile of usage that the target comes from.
    pub used: Limits,
    /// The amounts that each container gets at least.
    pub least: Limits,
    /// Limits that cut the target, by resource.
    pub capped: Vec<(&'static str, Cap)>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Advised {
    /// By container name. Those whose policy is `Off` are left out.
    pub recommended: Vec<Recommended>,
    /// Samples that were discarded.
    pub discarded: u64,
    /// All usage that is known now, by container name, with the peaks of intervals that are not over.
    pub known: BTreeMap<Name, Aggregate>,
    /// Memory of each container, in the order of the usage.
    pub windows: Vec<Window>,
}

/// Recommends requests.
pub fn recommend(asked: Asked<'_>) -> Advised {
    let Asked { usage, history, policies, options } = asked;
    let usage::Collected { by_container, windows, discarded } = usage::collect(usage, policies, options);
    let mut known = BTreeMap::<Name, Aggregate>::new();
    let parts = by_container.iter().flat_map(|(name, parts)| parts.iter().map(move |part| (name, part)));
    for (name, part) in parts.chain(history.iter().map(|(name, part)| (name, part))) {
        known.entry(name.clone()).or_insert_with(|| Aggregate::new(options)).merge(part);
    }
    let is_on = |name: &Name| policies.of(name).is_none_or(|policy| !policy.off);
    let shown: Vec<(&Name, &Aggregate)> = known.iter().filter(|(name, _)| is_on(name)).collect();
    let least = pod_minimum::of(options, shown.len());
    let recommended = shown.iter().map(|(name, usage)| of_container(name, usage, least, policies, options)).collect();
    Advised { recommended, discarded, known, windows }
}

/// Takes the peaks of intervals that are not over out of what is known: a checkpoint is without them (`checkpoint_writer.go`), since their containers may yet report higher ones.
pub fn without_open_peaks(advised: &mut Advised, usage: &[ContainerUsage], now: i64) {
    for (container, window) in usage.iter().zip(&mut advised.windows).filter(|(container, _)| container.matched) {
        let end = window.end.filter(|end| now < *end);
        window.open = end.is_some();
        if let (Some(end), Some(known)) = (end, advised.known.get_mut(&container.container)) {
            known.subtract_peak(window.highest(), end);
        }
    }
}

/// The three amounts of one resource.
struct Three {
    lower: Amount,
    target: Amount,
    upper: Amount,
}

impl Three {
    fn of(parts: Percentiles, margin: f64, confidence: f64, least: Amount, used: impl Fn(f64) -> Amount) -> Self {
        let with = |part| safety_margin::with(used(part), margin);
        Self {
            lower: confidence::narrowed(with(parts.lower), confidence).max(least),
            target: with(parts.target).max(least),
            upper: confidence::widened(with(parts.upper), confidence).max(least),
        }
    }
}

fn of_container(
    name: &Name,
    usage: &Aggregate,
    least: (Amount, Amount),
    policies: &Policies,
    options: &Options,
) -> Recommended {
    let policy = policies.of(name);
    let confidence = confidence::of(usage, options.cpu_confidence);
    let for_memory = confidence::of(usage, options.memory_confidence);
    let (used_cpu, used_memory) = (|part| percentile::cpu(usage, part), |part| percentile::memory(usage, part));
    let cpu = Three::of(options.cpu, options.safety_margin, confidence, least.0, used_cpu);
    let memory = Three::of(options.memory, options.safety_margin, for_memory, least.1, used_memory);
    let (with_cpu, with_memory) = policy.map_or((true, true), |policy| (policy.cpu, policy.memory));
    let whole = options.integer_cpu && policies.integer_cpu.contains(name);
    let limits = |milli: Amount, bytes: Amount| {
        let cpu = rounding::cpu(milli, options);
        Limits {
            cpu: with_cpu.then(|| if whole { integer_cpu::rounded(cpu) } else { cpu }),
            memory: with_memory.then(|| rounding::memory(bytes, options)),
        }
    };
    let mut capped = Vec::new();
    let mut cap = |of: Limits, is_target: bool| {
        let global = &policies.global_max;
        let mut within = |resource, amount: Option<Quantity>, field: fn(&Limits) -> Option<Quantity>| {
            let (amount, cut) = allowed_range::capped(amount?, policy, global, field);
            capped.extend(cut.filter(|_| is_target).map(|cut| (resource, cut)));
            Some(amount)
        };
        let cpu = within("cpu", of.cpu, |limits| limits.cpu);
        let memory = within("memory", of.memory, |limits| limits.memory);
        Limits { cpu, memory }
    };
    let uncapped = limits(cpu.target, memory.target);
    Recommended {
        container: name.clone(),
        target: cap(uncapped, true),
        lower: cap(limits(cpu.lower, memory.lower), false),
        upper: cap(limits(cpu.upper, memory.upper), false),
        uncapped,
        why: Why {
            samples: usage.samples,
            confidence,
            between: usage.first.zip(usage.last),
            used: Limits {
                cpu: Some(Quantity::from_milli(used_cpu(options.cpu.target))),
                memory: Some(Quantity::from_units(used_memory(options.memory.target))),
            },
            least: Limits { cpu: Some(Quantity::from_milli(least.0)), memory: Some(Quantity::from_units(least.1)) },
            capped,
        },
    }
}

#[cfg(test)]
mod tests;
