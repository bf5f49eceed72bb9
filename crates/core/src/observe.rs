//! Observers of a cycle. An observer is called when a plugin begins and when it ends, so that it can take the time. The core itself
//! has no clock.
//!
//! [`Cycle::prepare_observed`](super::cycle::Cycle::prepare_observed) takes an observer. It is called for each predicate that is
//! prepared, for each predicate that filters a set of nodes ([`Cycle::fitting_of`](super::cycle::Cycle::fitting_of)), and for each
//! priority that scores ([`Cycle::scores`](super::cycle::Cycle::scores)): once for all nodes, never node by node. Calls come in pairs
//! that do not overlap, on the calling thread. Without an observer this costs one look at an `Option` per plugin.

/// Where in the cycle a plugin is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// A predicate is prepared for the pod.
    PreFilter,
    /// A predicate filters nodes.
    Filter,
    /// A priority scores the nodes that fit.
    Score,
}

impl Point {
    /// kube-scheduler's name for it (`extension_point` of its metrics).
    pub fn name(self) -> &'static str {
        match self {
            Self::PreFilter => "PreFilter",
            Self::Filter => "Filter",
            Self::Score => "Score",
        }
    }
}

/// A receiver of begin and end.
pub trait Observer: Sync {
    /// A plugin begins.
    fn begin(&self, point: Point, plugin: &'static str);

    /// The plugin that began last is done.
    fn end(&self, point: Point, plugin: &'static str);
}

/// Does the work, and reports its begin and end to the observer, if there is one.
pub(super) fn observed<T>(
    observer: Option<&dyn Observer>,
    point: Point,
    plugin: &'static str,
    work: impl FnOnce() -> T,
) -> T {
    let Some(observer) = observer else { return work() };
    observer.begin(point, plugin);
    let done = work();
    observer.end(point, plugin);
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::testing::{cluster, node, pod};
    use crate::{cycle::Cycle, policy::Policy};

    #[derive(Default)]
    struct Log(Mutex<Vec<(bool, Point, &'static str)>>);

    impl Observer for Log {
        fn begin(&self, point: Point, plugin: &'static str) {
            self.0.lock().unwrap().push((true, point, plugin));
        }

        fn end(&self, point: Point, plugin: &'static str) {
            self.0.lock().unwrap().push((false, point, plugin));
        }
    }

    #[test]
    fn each_plugin_is_observed_once_for_all_nodes() {
        let snapshot = cluster([node("a").cpu("1").into(), node("b").cpu("1").into()]);
        let (profile, pod, log) = (Policy::default().compile().unwrap(), pod("p").cpu("1").build(), Log::default());
        let cycle = Cycle::prepare_observed(&profile, &pod, &snapshot, Some(&log));
        let fitting = cycle.fitting();
        assert_eq!(cycle.scores(&fitting).len(), profile.priorities.len());
        let told = log.0.lock().unwrap();
        assert!(told.chunks(2).all(|pair| pair[0].0 && !pair[1].0 && pair[0].1 == pair[1].1 && pair[0].2 == pair[1].2));
        let plugins =
            |point| told.iter().filter(move |(begun, at, _)| *begun && *at == point).map(|(.., plugin)| *plugin);
        let prepared: Vec<_> = profile.predicates.iter().map(|predicate| predicate.plugin).collect();
        assert_eq!(plugins(Point::PreFilter).collect::<Vec<_>>(), prepared);
        // Those that demand nothing of this pod are not asked.
        assert_eq!(
            plugins(Point::Filter).collect::<Vec<_>>(),
            ["NodeUnschedulable", "NodeResourcesFit", "TaintToleration"]
        );
        let scoring: Vec<_> = profile.priorities.iter().map(|priority| priority.plugin).collect();
        assert_eq!(plugins(Point::Score).collect::<Vec<_>>(), scoring);
    }
}
