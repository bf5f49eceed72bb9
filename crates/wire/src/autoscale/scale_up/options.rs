//! The options of `POST /autoscale/scale-up`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    decode,
    fault::{Cause, Faults, Path},
    yaml,
};
use podberth_core::{
    advise::scale_up::{
        Options,
        exact::Goal,
        expanders::{Expander, Priorities},
    },
    model::Name,
};

/// Options, by the names of cluster-autoscaler's flags.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScaleUpOptions {
    /// Expanders, separated by commas, applied one after the other until one group is left; by default `least-waste`. `GET /plugins` lists them.
    #[schema(nullable = false, example = "priority,least-waste")]
    pub expander: Option<String>,
    /// The text of cluster-autoscaler's ConfigMap of priorities, for the expander `priority`.
    #[schema(nullable = false, example = "10: [.*]\n50: [spot]")]
    pub priorities: Option<String>,
    /// `true` if new nodes are spread over similar groups.
    pub balance_similar_node_groups: bool,
    /// Labels that may differ between similar groups.
    pub balancing_ignore_labels: Vec<String>,
    /// Nodes that one scale-up may add; 0 for any number, by default 1000.
    #[schema(nullable = false)]
    pub max_nodes_per_scale_up: Option<i64>,
    /// Nodes that the cluster may have; 0 (the default) for any number.
    #[schema(nullable = false)]
    pub max_nodes_total: Option<i64>,
    /// Cores that the nodes may have together; by default 320000.
    #[schema(nullable = false)]
    pub max_cores_total: Option<i64>,
    /// Bytes of memory that the nodes may have together; by default 6400000 GiB.
    #[schema(nullable = false)]
    pub max_memory_total: Option<i64>,
    /// Pods of a lower priority are passed over, and those that run count for nothing; by default -10.
    #[schema(nullable = false)]
    pub expendable_pods_priority_cutoff: Option<i32>,
    /// The label of nodes with their price, for groups without a cost; by default `autoscaling.podberth.io/cost`.
    #[schema(nullable = false)]
    pub cost_label: Option<String>,
    /// Groups that failed to grow a short while ago and are passed over.
    pub backed_off: BTreeSet<String>,
}

impl ScaleUpOptions {
    /// The options.
    ///
    /// # Errors
    /// All faults, by their fields: `options.expander`.
    pub fn to_core(&self, seed: u64) -> Result<Options, Vec<Cause>> {
        let mut faults = Faults::default();
        let at = Path::ROOT.child("options");
        let defaults = Options::default();
        let mut number = |value: Option<i64>, name, default: i64| {
            let value = value.unwrap_or(default);
            if value < 0 {
                faults.unreadable(&at.child(name), value, "must be greater than or equal to 0");
            }
            value.max(0)
        };
        let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let per_scale_up = i64::try_from(defaults.max_nodes_per_scale_up).unwrap_or(i64::MAX);
        let options = Options {
            max_nodes_per_scale_up: count(number(self.max_nodes_per_scale_up, "maxNodesPerScaleUp", per_scale_up)),
            max_nodes_total: count(number(self.max_nodes_total, "maxNodesTotal", 0)),
            max_cores_total: number(self.max_cores_total, "maxCoresTotal", defaults.max_cores_total),
            max_memory_total: number(self.max_memory_total, "maxMemoryTotal", defaults.max_memory_total),
            expendable_below: self.expendable_pods_priority_cutoff.unwrap_or(defaults.expendable_below),
            balance_similar: self.balance_similar_node_groups,
            ignored_labels: self.balancing_ignore_labels.iter().map(|label| Name::from(&**label)).collect(),
            cost_label: self.cost_label.as_deref().map_or(defaults.cost_label, Name::from),
            backed_off: self.backed_off.iter().map(|group| Name::from(&**group)).collect(),
            expanders: expanders(self.expander.as_deref(), &at.child("expander"), &mut faults),
            priorities: priorities(self.priorities.as_deref(), &at.child("priorities"), &mut faults),
            seed,
        };
        let causes = faults.into_causes();
        if causes.is_empty() { Ok(options) } else { Err(causes) }
    }
}

fn expanders(text: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Vec<Expander> {
    let names: Vec<&str> = text.unwrap_or("least-waste").split(',').map(str::trim).collect();
    let mut expanders = Vec::new();
    for name in names {
        match Expander::named(name) {
            Some(expander) if expanders.contains(&expander) => faults.duplicate(at, name),
            Some(expander) => expanders.push(expander),
            None => faults.not_supported(at, name, &Expander::names().collect::<Vec<_>>()),
        }
    }
    expanders
}

fn priorities(text: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Option<Priorities> {
    let text = text?;
    let shape = "must be YAML: whole numbers, each with a list of patterns";
    let json = match yaml::to_json(text.as_bytes(), true) {
        Ok(json) => json,
        Err(error) => {
            faults.unreadable(at, text, format!("{shape}: {error}"));
            return None;
        }
    };
    let Ok(patterns) = decode::from_slice::<BTreeMap<i64, Vec<String>>>(&json) else {
        faults.unreadable(at, text, shape);
        return None;
    };
    let patterns = patterns.iter().flat_map(|(number, list)| list.iter().map(|pattern| (*number, &**pattern)));
    Priorities::new(patterns).map_err(|error| faults.unreadable(at, text, error)).ok()
}

/// Options of the exact engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExactOptions {
    /// `placement` (the default): the smallest number of nodes on which the pods fit, each where `exact.newNodes` puts it. `scheduler`: the
    /// smallest number found on which the scheduler places them all by itself, in its own order.
    pub goal: GoalName,
    /// Steps that the search may take, 200000 by default; where they are used up the plan is the best one found, and `proven` is `false`.
    #[schema(nullable = false, maximum = 5_000_000)]
    pub max_steps: Option<u64>,
}

/// Aim of the exact engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum GoalName {
    #[default]
    Placement,
    Scheduler,
}

/// Steps of a search, by default and at most.
const STEPS: u64 = 200_000;
const MOST_STEPS: u64 = 5_000_000;

impl ExactOptions {
    /// The goal, and the steps.
    ///
    /// # Errors
    /// A number of steps that is too large.
    pub fn to_core(&self) -> Result<(Goal, u64), Vec<Cause>> {
        let steps = self.max_steps.unwrap_or(STEPS);
        if steps > MOST_STEPS {
            let mut faults = Faults::default();
            let at = Path::ROOT.child("exact");
            faults.unreadable(&at.child("maxSteps"), steps, format!("must be less than or equal to {MOST_STEPS}"));
            return Err(faults.into_causes());
        }
        let goal = match self.goal {
            GoalName::Placement => Goal::Placement,
            GoalName::Scheduler => Goal::Scheduler,
        };
        Ok((goal, steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(options: &str) -> Vec<String> {
        let options: ScaleUpOptions = serde_json::from_str(options).unwrap();
        options.to_core(0).err().unwrap_or_default().into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn options_that_mean_nothing_are_refused_with_their_fields() {
        for (options, field) in [
            (r#"{"expander": "cheapest"}"#, "options.expander"),
            (r#"{"expander": ""}"#, "options.expander"),
            (r#"{"expander": "price,price"}"#, "options.expander"),
            (r#"{"priorities": "10: ["}"#, "options.priorities"),
            (r#"{"priorities": "[a, b]"}"#, "options.priorities"),
            (r#"{"priorities": "high: [a]"}"#, "options.priorities"),
            (r#"{"priorities": "10: ['(']"}"#, "options.priorities"),
            (r#"{"maxNodesTotal": -1}"#, "options.maxNodesTotal"),
            (r#"{"maxCoresTotal": -9223372036854775808}"#, "options.maxCoresTotal"),
        ] {
            assert_eq!(faults(options), [field], "{options}");
        }
        let valid = r#"{"expander": "priority, least-waste", "priorities": "10:\n- .*\n50:\n- spot"}"#;
        assert_eq!(faults(valid), [""; 0]);
    }

    #[test]
    fn a_search_is_bounded() {
        let options = ExactOptions { max_steps: Some(MOST_STEPS + 1), ..ExactOptions::default() };
        assert_eq!(options.to_core().unwrap_err()[0].field, "exact.maxSteps");
    }
}
