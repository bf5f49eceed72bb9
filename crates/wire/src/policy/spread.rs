//! `PodTopologySpreadArgs`: constraints of pods that have none of their own.
//!
//! Source: `pkg/scheduler/apis/config/validation/validation_pluginargs.go` (`ValidatePodTopologySpreadArgs`).

use std::collections::BTreeSet;

use super::reader::Field;
use podberth_core::{
    model::{InclusionPolicy, TopologySpreadConstraint, WhenUnsatisfiable},
    policy::Fault,
};

const KEYS: [&str; 8] = [
    "maxSkew",
    "topologyKey",
    "whenUnsatisfiable",
    "labelSelector",
    "minDomains",
    "nodeAffinityPolicy",
    "nodeTaintsPolicy",
    "matchLabelKeys",
];

/// The constraints listed; `None` leaves them to the system.
pub(super) fn read(list: &Field<'_>, defaulting: &Field<'_>) -> Option<Vec<TopologySpreadConstraint>> {
    let entries = list.list().unwrap_or_default();
    let constraints: Vec<_> = entries.iter().filter_map(constraint).collect();
    let mut seen = BTreeSet::new();
    for (i, this) in constraints.iter().enumerate() {
        let action = format!("{:?}", this.when_unsatisfiable);
        if !seen.insert((&this.topology_key, action.clone())) {
            let why = format!("Duplicate value: \"{{{}, {action}}}\"", this.topology_key);
            list.push(Fault::new(format!("{}[{i}]", list.path()), why));
        }
    }
    match defaulting.text().unwrap_or("System") {
        "List" => return Some(constraints),
        "System" if entries.is_empty() => {}
        "System" => defaulting.fault("Invalid value: \"System\": when .defaultConstraints are not empty"),
        other => defaulting.fault(format!("Unsupported value: {other:?}: supported values: \"List\", \"System\"")),
    }
    None
}

fn constraint(field: &Field<'_>) -> Option<TopologySpreadConstraint> {
    let object = field.object(&KEYS)?;
    let (skew, key, action) = (object.get("maxSkew"), object.get("topologyKey"), object.get("whenUnsatisfiable"));
    let max_skew = skew.small_integer().unwrap_or_default();
    if max_skew <= 0 {
        skew.fault(format!("Invalid value: {max_skew}: not in valid range (0, inf)"));
    }
    if key.text().unwrap_or_default().is_empty() {
        key.fault("Required value: can not be empty");
    }
    let when_unsatisfiable = match action.text().unwrap_or_default() {
        "DoNotSchedule" => WhenUnsatisfiable::DoNotSchedule,
        "ScheduleAnyway" => WhenUnsatisfiable::ScheduleAnyway,
        other => {
            action.fault(if other.is_empty() {
                "Required value: can not be empty".to_owned()
            } else {
                format!("Unsupported value: {other:?}: supported values: \"DoNotSchedule\", \"ScheduleAnyway\"")
            });
            WhenUnsatisfiable::ScheduleAnyway
        }
    };
    let selector = object.get("labelSelector");
    if selector.is_present() {
        selector.fault("Forbidden: constraint must not define a selector, as they deduced for each pod");
    }
    Some(TopologySpreadConstraint {
        max_skew: max_skew as i32,
        topology_key: key.name(),
        when_unsatisfiable,
        selector: None,
        min_domains: object.get("minDomains").small_integer().map(|domains| domains as i32),
        node_affinity_policy: inclusion(&object.get("nodeAffinityPolicy")),
        node_taints_policy: inclusion(&object.get("nodeTaintsPolicy")),
        match_label_keys: object.get("matchLabelKeys").names(),
    })
}

fn inclusion(field: &Field<'_>) -> Option<InclusionPolicy> {
    match field.text()? {
        "Honor" => Some(InclusionPolicy::Honor),
        "Ignore" => Some(InclusionPolicy::Ignore),
        other => {
            field.fault(format!("Unsupported value: {other:?}: supported values: \"Honor\", \"Ignore\""));
            None
        }
    }
}
