//! Goals at 5,000 nodes and 150,000 pods on two cores, and the figures of other products on the same machine.

/// The scale that goals are about.
pub(super) const NODES: usize = 5_000;
/// The pods that run there.
pub(super) const PODS: usize = 150_000;

/// The goal of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    /// The figure's name.
    figure: &'static str,
    /// At most or, of a rate, at least.
    pub(super) goal: Option<f64>,
    /// Another product with a figure of this kind, and its figure; the best of it if it is a range.
    pub(super) others: Option<(&'static str, f64)>,
}

const KUBE_SCHEDULER: &str = "kube-scheduler 1.34.1";
const GO_EXTENDER: &str = "a Go extender";
const UPSTREAM: &str = "kube-scheduler's floor in CI";

const fn goal(figure: &'static str, goal: f64) -> Mark {
    Mark { figure, goal: Some(goal), others: None }
}

const fn both(figure: &'static str, goal: f64, who: &'static str, theirs: f64) -> Mark {
    Mark { figure, goal: Some(goal), others: Some((who, theirs)) }
}

const fn others(figure: &'static str, who: &'static str, theirs: f64) -> Mark {
    Mark { figure, goal: None, others: Some((who, theirs)) }
}

const MARKS: &[Mark] = &[
    both("engine/plain/1.22", 0.25, KUBE_SCHEDULER, 4.8),
    others("engine/anti-affinity/1.22", KUBE_SCHEDULER, 42.0),
    both("engine/anti-affinity-among-apart/1.22", 1.0, KUBE_SCHEDULER, 73.0),
    goal("growth/plain/50000", 5.0),
    goal("growth/anti-affinity-among-apart/50000", 5.0),
    others("SchedulingBasic/5000", UPSTREAM, 680.0),
    others("SchedulingPodAntiAffinity/5000", UPSTREAM, 60.0),
    others("SchedulingPodAffinity/5000", UPSTREAM, 35.0),
    others("TopologySpreading/5000", UPSTREAM, 460.0),
    others("MixedSchedulingBasePod/5000", UPSTREAM, 140.0),
    both("start/memory", 400.0, KUBE_SCHEDULER, 437.0),
    goal("filter-names/p50", 1.0),
    goal("filter-names/p99", 5.0),
    goal("prioritize-names/p50", 1.0),
    goal("prioritize-names/p99", 5.0),
    both("filter-full/p50", 80.0, GO_EXTENDER, 735.0),
    both("filter-full/peak-memory", 1.5, GO_EXTENDER, 9.9),
    goal("flood/peak-memory", 1_073.7),
    goal("flood/small-requests-p99", 50.0),
    both("schedule-plain/rate", 10_000.0, KUBE_SCHEDULER, 200.0),
    both("schedule-apart/rate", 1_500.0, KUBE_SCHEDULER, 22.0),
    goal("binds-16/rate", 5_000.0),
    goal("binds-16/p50", 3.0),
    goal("binds-16/p99", 15.0),
    goal("binds-128/rate", 5_000.0),
    goal("seen/same-replica-p99", 2.0),
    goal("seen/other-replica-p99", 20.0),
    goal("secured/certificate", 1.15),
    goal("secured/token", 1.15),
    goal("mixed/changes", 1_000.0),
    goal("mixed/memory-growth", 1.05),
    goal("clusters/memory", 1_000.0),
    goal("clusters/idle-statements", 10.0),
    goal("clusters/idle-cpu", 2.0),
    goal("clusters/feed-reads", 2.0),
    goal("clusters/write-p50", 1.2),
];

/// Cold start in seconds, by engine.
const START: [(&str, Mark); 2] = [("PostgreSQL", goal("start/ready", 2.0)), ("SQLite", goal("start/ready", 4.0))];

/// The goal of a figure on a database.
pub(super) fn mark(figure: &str, engine: &str) -> Option<Mark> {
    let start = START.iter().filter(|(name, _)| *name == engine).map(|(_, mark)| mark);
    start.chain(MARKS).find(|mark| mark.figure == figure).copied()
}

/// `true` if more of a unit is better.
pub(super) fn is_rate(unit: &str) -> bool {
    unit.ends_with("/s")
}

/// The ratio by which a figure is better than another one of the same unit.
pub(super) fn ratio(value: f64, other: f64, unit: &str) -> f64 {
    if is_rate(unit) { value / other } else { other / value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_unit_looks() {
        assert!((ratio(2.0, 4.0, "ms") - 2.0).abs() < 1e-9);
        assert!((ratio(2.0, 4.0, "pods/s") - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_start_is_held_against_its_engine() {
        assert_eq!(mark("start/ready", "SQLite").and_then(|m| m.goal), Some(4.0));
        assert_eq!(mark("start/ready", "PostgreSQL").and_then(|m| m.goal), Some(2.0));
        assert_eq!(mark("no-such-figure", "SQLite"), None);
    }
}
