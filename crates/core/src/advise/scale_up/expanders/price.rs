//! Keeps the groups whose new nodes cost least for what the pods ask for.
//!
//! The cost of a group's node is `cost` of the group, or the value of the label that option `costLabel` names on its template. Compared is the
//! cost of all nodes that the group would add, divided by the worth of the pods that it would help: their CPU and memory, where a core is worth as
//! much as 7.5 GiB. Half a core and 500 MiB are added, so that pods without requests have a worth. Groups without a cost are left out, unless no
//! group has one.
//!
//! Source: `cluster-autoscaler/expander/price/price.go`, of which the preferred shape of nodes is left out.

use super::{Candidate, lowest};
use crate::advise::{Advice, scale_up::GroupOption};

pub(super) const ADVICE: Advice = Advice { name: "price", kind: "Expander", source: include_str!("price.rs") };

/// GiB of memory that are worth a core.
const GIB_OF_A_CORE: f64 = 7.5;
const GIB: f64 = (1_u64 << 30) as f64;

pub(super) fn filter(candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    if candidates.iter().all(|candidate| candidate.option.cost.is_none()) {
        return candidates;
    }
    let priced = candidates.into_iter().filter(|candidate| candidate.option.cost.is_some()).collect();
    lowest(priced, |option| option.cost.unwrap_or(f64::MAX) / worth(option))
}

fn worth(option: &GroupOption) -> f64 {
    let of = |milli_cpu: i64, memory: f64| milli_cpu as f64 / 1000.0 + memory / GIB / GIB_OF_A_CORE;
    let pods = option.pods.iter().map(|pod| of(pod.spec.requests.milli_cpu, pod.spec.requests.memory as f64));
    of(500, 500.0 * 1024.0 * 1024.0) + pods.sum::<f64>()
}
