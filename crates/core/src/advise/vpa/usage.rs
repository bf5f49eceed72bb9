//! Samples of usage, and their way into histograms: in the order of their times.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{
    Amount,
    aggregate::Aggregate,
    memory_peak::Window,
    oom_bump_up::Bump,
    options::Options,
    policy::{Policies, Policy},
};
use crate::{
    model::{Labels, Name},
    work,
};

/// Samples at equal distances. Values begin anew where there are fewer than samples; a resource without values has no samples. Times are in nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The time of the first sample.
    pub start: i64,
    /// Nanoseconds from one sample to the next.
    pub every: i64,
    /// The number of samples of each resource.
    pub count: u64,
    /// CPU usage, in milli-CPU.
    pub cpu: Vec<Amount>,
    /// Memory usage, in bytes.
    pub memory: Vec<Amount>,
}

/// The event that a container was killed for want of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oom {
    /// Its time, in nanoseconds since 1970.
    pub at: i64,
    /// The bytes that the container had requested, where that is not its present request.
    pub requested: Option<Amount>,
}

/// The usage of one container of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerUsage {
    /// The pod's name.
    pub pod: Name,
    /// The pod's labels: usage of equal labels is kept together.
    pub labels: Labels,
    /// The container's name.
    pub container: Name,
    /// `true` if the autoscaler's selector matches the pod.
    pub matched: bool,
    /// The memory that it requests, in bytes.
    pub memory_request: Amount,
    /// Its samples.
    pub series: Vec<Series>,
    /// Its kills for want of memory.
    pub ooms: Vec<Oom>,
    /// Memory of it from before.
    pub window: Window,
}

/// The usage of the containers that an autoscaler looks after.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    /// By container name: what was used together, in the order of the pods' labels.
    pub(super) by_container: BTreeMap<Name, Vec<Aggregate>>,
    /// Memory of each container, in the order of the usage.
    pub(super) windows: Vec<Window>,
    /// Samples that were discarded.
    pub(super) discarded: u64,
}

/// The sort of a sample. Of one container and time CPU comes first and kills come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Cpu,
    Memory,
    Oom,
}

/// The place of a sample in the order: time, container, sort, series, number.
type Place = (i64, usize, Sort, usize, u64);

/// Takes all samples in, by time.
pub(super) fn collect(usage: &[ContainerUsage], policies: &Policies, options: &Options) -> Collected {
    let mut groups = BTreeMap::<(&Labels, &Name), usize>::new();
    let mut aggregates = Vec::new();
    let mut of_container = Vec::with_capacity(usage.len());
    let mut next = BinaryHeap::new();
    for (index, container) in usage.iter().enumerate() {
        let group = *groups.entry((&container.labels, &container.container)).or_insert_with(|| {
            aggregates.push(Aggregate::new(options));
            aggregates.len() - 1
        });
        of_container.push(group);
        if let Some(end) = container.window.end.filter(|_| container.window.open) {
            aggregates[group].add_peak(container.window.highest(), end);
        }
        for (number, series) in container.series.iter().enumerate().filter(|(_, series)| series.count > 0) {
            let sorts = [(Sort::Cpu, &series.cpu), (Sort::Memory, &series.memory)];
            for (sort, _) in sorts.into_iter().filter(|(_, values)| !values.is_empty()) {
                next.push(Reverse((series.start, index, sort, number, 0)));
            }
        }
        let ooms = container.ooms.iter().enumerate();
        next.extend(ooms.map(|(number, oom)| Reverse((oom.at, index, Sort::Oom, number, 0))));
    }
    let mut windows: Vec<Window> = usage.iter().map(|container| container.window).collect();
    let rules: Vec<Rules> = usage.iter().map(|container| Rules::of(container, policies, options)).collect();
    let mut discarded = 0;
    while let Some(Reverse((at, index, sort, number, count))) = next.pop() {
        work::spend(4);
        let container = &usage[index];
        let (window, to, rules) = (&mut windows[index], &mut aggregates[of_container[index]], &rules[index]);
        let taken = match sort {
            Sort::Oom => {
                let requested = container.ooms[number].requested.unwrap_or(container.memory_request);
                window.oom(requested, at, rules.interval, rules.bump, to)
            }
            Sort::Cpu => window.cpu(value(&container.series[number].cpu, count), at, to),
            Sort::Memory => window.memory(value(&container.series[number].memory, count), at, rules.interval, to),
        };
        discarded += u64::from(!taken);
        if sort != Sort::Oom {
            next.extend(after(&container.series[number], (at, index, sort, number, count)).map(Reverse));
        }
    }
    let mut by_container = BTreeMap::<Name, Vec<Aggregate>>::new();
    let matched: BTreeMap<usize, bool> =
        usage.iter().zip(&of_container).map(|(container, group)| (*group, container.matched)).collect();
    for ((_, container), group) in groups {
        if matched.get(&group) == Some(&true) {
            let aggregate = std::mem::replace(&mut aggregates[group], Aggregate::new(options));
            by_container.entry(container.clone()).or_default().push(aggregate);
        }
    }
    Collected { by_container, windows, discarded }
}

/// The rules of one container.
struct Rules {
    interval: i64,
    bump: Bump,
}

impl Rules {
    fn of(container: &ContainerUsage, policies: &Policies, options: &Options) -> Self {
        let policy = policies.of(&container.container).filter(|_| container.matched);
        let own = |of: fn(&Policy) -> Option<f64>| policy.and_then(of);
        Self {
            interval: policy.and_then(|policy| policy.memory_interval).unwrap_or(options.memory_interval),
            bump: Bump {
                ratio: own(|policy| policy.oom_bump_up_ratio).unwrap_or(options.oom_bump_up_ratio),
                least: own(|policy| policy.oom_min_bump_up).unwrap_or(options.oom_min_bump_up),
            },
        }
    }
}

fn value(values: &[Amount], number: u64) -> Amount {
    let length = values.len().max(1) as u64;
    values.get((number % length) as usize).copied().unwrap_or_default()
}

/// The next sample of a series.
fn after(series: &Series, (at, index, sort, number, count): Place) -> Option<Place> {
    let count = count + 1;
    (count < series.count).then(|| (at.saturating_add(series.every), index, sort, number, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(usage: &[ContainerUsage]) -> Collected {
        collect(usage, &Policies::default(), &Options::default())
    }

    fn of(pod: &str, matched: bool, series: Vec<Series>) -> ContainerUsage {
        let labels = [("app", if matched { "web" } else { "other" })].into_iter().collect();
        ContainerUsage {
            pod: pod.into(),
            labels,
            container: "main".into(),
            matched,
            series,
            ..ContainerUsage::default()
        }
    }

    #[test]
    fn overlapping_series_are_taken_in_order_of_time() {
        let series = |start, every, count| Series { start, every, count, cpu: vec![1, 2], memory: vec![] };
        // 0 10 20 and 5 10 15: the second sample of 10 is discarded.
        let all = collected(&[of("a", true, vec![series(0, 10, 3), series(5, 5, 3)])]);
        assert_eq!(all.discarded, 1);
        assert_eq!(all.by_container["main"][0].samples, 5);
    }

    #[test]
    fn pods_that_are_not_selected_do_not_count() {
        let series = || vec![Series { start: 0, every: 1, count: 3, cpu: vec![5], memory: vec![5] }];
        let all = collected(&[of("a", false, series()), of("b", true, series())]);
        assert_eq!(all.by_container["main"].len(), 1);
        assert!(collected(&[of("a", false, series())]).by_container.is_empty());
    }
}
