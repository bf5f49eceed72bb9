//! The limits of one pod and of one policy, in one table.
//!
//! Kubernetes limits only the size of an object. The cost of a decision grows with the demands of the pod times the nodes and pods
//! of the cluster, so a few megabytes could demand minutes of work. The limits are far above the needs of pods and policies in use.
//! A pod beyond them is refused when it is created or sent for a decision. A pod that a cluster already runs is stored as a fact
//! and counts for others.

/// One limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most there may be.
    pub most: usize,
    /// The alternative to suggest.
    pub remedy: &'static str,
}

const fn limit(most: usize, remedy: &'static str) -> Limit {
    Limit { most, remedy }
}

const SPLIT: &str = "split the pod";
const JOIN: &str = "terms that differ in one value can be one term with the operator In";
const LABEL: &str = "give what is meant a label of its own and select that";

/// Containers of a pod, and init containers.
pub const CONTAINERS: Limit = limit(256, SPLIT);
/// Ports of one container.
pub const PORTS: Limit = limit(512, SPLIT);
/// Resources that one container, or the pod as a whole, asks for or is limited in.
pub const RESOURCES: Limit = limit(128, SPLIT);
/// Volumes of a pod.
pub const VOLUMES: Limit = limit(512, SPLIT);
/// Labels of a pod.
pub const LABELS: Limit = limit(512, "annotations hold what no selector reads");
/// Tolerations of a pod.
pub const TOLERATIONS: Limit = limit(256, "one toleration with the operator Exists covers every value of a key");
/// Topology spread constraints of a pod.
pub const SPREAD_CONSTRAINTS: Limit = limit(64, "one constraint for each topology key is enough");
/// Claims of a pod to devices.
pub const RESOURCE_CLAIMS: Limit = limit(64, "one claim can have several requests");
/// Scheduling gates of a pod.
pub const SCHEDULING_GATES: Limit = limit(64, "one gate can stand for several reasons to wait");
/// Terms in one list of an affinity: of nodes or pods, required or preferred.
pub const AFFINITY_TERMS: Limit = limit(128, JOIN);
/// Conditions of all selectors of a pod together: pairs of `matchLabels` and `nodeSelector`, expressions, label keys.
pub const CONDITIONS: Limit = limit(1_024, LABEL);
/// Values in all selectors of a pod together.
pub const VALUES: Limit = limit(8_192, LABEL);
/// Namespaces in all affinity terms of a pod together.
pub const NAMESPACES: Limit = limit(1_024, "select namespaces by a label with namespaceSelector");

/// Priorities that are levels of a policy's decision tree.
pub const LEVELS: Limit = limit(64, "a tree decides long before its last level");
/// Extenders of a policy.
pub const EXTENDERS: Limit = limit(32, "each is called for every pod: let one answer for several");
/// Items of any other list in a policy.
pub const POLICY_ITEMS: Limit = limit(256, "each is asked about every node: leave out what decides nothing");

impl Limit {
    /// The reason to refuse so many items, in the words of `field.TooMany` of `apimachinery/pkg/util/validation/field/errors.go`; `None` if
    /// they are within the limit.
    pub fn refusal(&self, count: usize) -> Option<String> {
        let Self { most, remedy } = self;
        (count > *most).then(|| format!("Too many: {count}: must have at most {most} items: {remedy}"))
    }

    /// The warning for a count within the limit, but above three quarters of it.
    pub fn warning(&self, count: usize) -> Option<String> {
        let Self { most, remedy } = self;
        let is_near = count <= *most && count > *most / 4 * 3;
        is_near.then(|| format!("{count} items are near the limit of {most}: {remedy}"))
    }
}

/// The limit of a list in a policy, by its key.
pub fn of_policy_list(key: &str) -> &'static Limit {
    match key {
        "levels" => &LEVELS,
        "extenders" => &EXTENDERS,
        "values" => &VALUES,
        _ => &POLICY_ITEMS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_limit_and_remedy_and_a_warning_comes_before() {
        let limit = limit(8, "do less");
        assert_eq!((limit.refusal(8), limit.warning(6)), (None, None));
        assert_eq!(limit.warning(7).expect("it is near"), "7 items are near the limit of 8: do less");
        assert_eq!(limit.warning(9), None, "it is refused");
        assert_eq!(limit.refusal(9).expect("too many"), "Too many: 9: must have at most 8 items: do less");
    }
}
