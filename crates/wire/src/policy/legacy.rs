//! `kind: Policy`, `apiVersion: v1`.
//!
//! Source: `kube-scheduler/config/v1/types.go` of 1.22; strictness as in
//! `apimachinery/pkg/runtime/serializer/json/json.go` (`Decode` with `Strict`).

use super::{
    argument, extender,
    reader::{FaultList, Field, Object},
    tree::Tree,
};
use podberth_core::policy::{
    Combination, DEFAULT_EXTENDER_MAX_SCORE, Faults, LevelEntry, Policy, PredicateEntry, PriorityEntry, Scoring,
    predicate_arguments, priority_arguments,
};

/// The API versions under which a Policy is known.
const API_VERSIONS: [&str; 2] = ["v1", "kubescheduler.config.k8s.io/v1"];

/// Reads and judges a Policy.
pub(super) fn from_tree(tree: &Tree) -> Result<Policy, Faults> {
    let gathered = FaultList::default();
    let mut policy = policy(&Field::root(tree, &gathered));
    let (mut faults, warnings) = gathered.into_parts();
    policy.remarks = warnings;
    if let Err(Faults(more)) = policy.compile() {
        faults.extend(more);
    }
    Faults::or(faults, policy)
}

fn policy(root: &Field<'_>) -> Policy {
    let Some(object) = root.object(&[
        "kind",
        "apiVersion",
        "predicates",
        "priorities",
        "extenders",
        "hardPodAffinitySymmetricWeight",
        "alwaysCheckAllPredicates",
        "scoring",
    ]) else {
        return Policy::default();
    };
    type_meta(&object);
    Policy {
        predicates: object.get("predicates").list().map(|list| list.iter().map(predicate).collect()),
        priorities: object.get("priorities").list().map(|list| list.iter().map(priority).collect()),
        extenders: object.get("extenders").list().unwrap_or_default().iter().map(extender::legacy).collect(),
        hard_pod_affinity_symmetric_weight: object
            .get("hardPodAffinitySymmetricWeight")
            .small_integer()
            .unwrap_or_default(),
        always_check_all_predicates: object.get("alwaysCheckAllPredicates").boolean().unwrap_or_default(),
        scoring: scoring(&object.get("scoring")),
        remarks: Vec::new(),
    }
}

fn type_meta(object: &Object<'_>) {
    let (kind, version) = (object.get("kind"), object.get("apiVersion"));
    let kind_name = kind.text().filter(|text| !text.is_empty()).unwrap_or("Policy");
    let version_name = version.text().filter(|text| !text.is_empty()).unwrap_or("v1");
    let unknown = format!("no kind {kind_name:?} is registered for version {version_name:?}");
    if kind_name != "Policy" {
        kind.fault(unknown);
    } else if !API_VERSIONS.contains(&version_name) {
        version.fault(unknown);
    }
}

/// Podberth's own extension.
fn scoring(field: &Field<'_>) -> Scoring {
    let Some(object) = field.object(&["strategy", "levels", "extenderMaxScore"]) else {
        return Scoring::default();
    };
    let (strategy, levels) = (object.get("strategy"), object.get("levels"));
    let name = strategy.text();
    let known = Combination::ALL.into_iter().find(|combination| Some(combination.name()) == name);
    if let (Some(name), None) = (name, known) {
        let supported = Combination::ALL.map(|combination| format!("{:?}", combination.name())).join(", ");
        strategy.fault(format!("Unsupported value: {name:?}: supported values: {supported}"));
    }
    let listed: Option<Vec<_>> = levels.list().map(|list| list.iter().map(level).collect());
    // A fault in one of the two fields must not cause a second fault in the other.
    let strategy = match known {
        Some(_) if levels.is_present() && listed.is_none() => Combination::WeightedSum,
        Some(known) => known,
        None if strategy.is_present() && listed.is_some() => Combination::Lexicographic,
        None => Combination::WeightedSum,
    };
    Scoring {
        strategy,
        levels: listed,
        extender_max_score: object.get("extenderMaxScore").integer().unwrap_or(DEFAULT_EXTENDER_MAX_SCORE),
    }
}

fn level(field: &Field<'_>) -> LevelEntry {
    let Some(object) = field.object(&["priority", "tolerance"]) else {
        return LevelEntry::default();
    };
    LevelEntry {
        priority: object.get("priority").name(),
        tolerance: object.get("tolerance").integer().unwrap_or_default(),
    }
}

fn predicate(field: &Field<'_>) -> PredicateEntry {
    let Some(object) = field.object(&["name", "argument"]) else {
        return PredicateEntry::default();
    };
    let argument = argument::read_entry(&object.get("argument"), &predicate_arguments().collect::<Vec<_>>());
    PredicateEntry { name: object.get("name").name(), argument }
}

fn priority(field: &Field<'_>) -> PriorityEntry {
    let Some(object) = field.object(&["name", "weight", "argument"]) else {
        return PriorityEntry::default();
    };
    let argument = argument::read_entry(&object.get("argument"), &priority_arguments().collect::<Vec<_>>());
    // A weight of the wrong type is reported already; its replacement must not be a second fault.
    let weight = object.get("weight");
    let weight = weight.integer().unwrap_or(i64::from(weight.is_present()));
    PriorityEntry { name: object.get("name").name(), weight, argument }
}
