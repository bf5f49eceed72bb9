//! Plugins that older KubeSchedulerConfigurations name and `v1` no longer has, and those from outside the tree.
//!
//! Source: `pkg/scheduler/apis/config/validation/validation.go` (`removedPluginsByVersion`), and
//! `pkg/scheduler/apis/config/v1beta1/defaults.go` of 1.22.

use super::reader::Field;
use podberth_core::{
    argument::{ResourceWeight, ScoringStrategy, ShapePoint},
    policy::{Plugin, PluginArguments, PluginSet, SchedulerProfile, is_plugin},
};

/// The plugin that scores by a strategy since v1beta2.
const FIT: &str = "NodeResourcesFit";

/// Plugins that `v1` removed, and their successors.
const GONE: [(&str, &str); 6] = [
    ("EBSLimits", "NodeVolumeLimits counts these volumes"),
    ("GCEPDLimits", "NodeVolumeLimits counts these volumes"),
    ("AzureDiskLimits", "NodeVolumeLimits counts these volumes"),
    ("CinderLimits", "NodeVolumeLimits counts these volumes"),
    ("NodePreferAvoidPods", "taints do its work, and the annotation that it read is not read any more"),
    ("SelectorSpread", "the default constraints of PodTopologySpread do its work"),
];

/// The strategy that an older plugin of its own became.
pub(super) fn strategy_of(plugin: &str) -> Option<&'static str> {
    ScoringStrategy::KINDS.iter().find(|(_, older)| *older == plugin).map(|(kind, _)| *kind)
}

/// The arguments of a plugin that became a strategy.
pub(super) struct StrategyArguments {
    pub(super) kind: &'static str,
    pub(super) resources: Vec<ResourceWeight>,
    pub(super) shape: Option<Vec<ShapePoint>>,
}

/// Replaces removed plugins by their successors, each with a warning. `pass_unknown`: plugins that do not exist are left out.
pub(super) fn translate(
    field: &Field<'_>,
    profile: &mut SchedulerProfile,
    arguments: Vec<StrategyArguments>,
    pass_unknown: bool,
) {
    let SchedulerProfile { plugins, arguments: configured, .. } = profile;
    for (point, set) in &mut plugins.points {
        translate_set(field, point, set, configured, pass_unknown);
    }
    translate_set(field, "multiPoint", &mut plugins.multi_point, configured, pass_unknown);
    for StrategyArguments { kind, resources, shape } in arguments {
        if configured.scoring_strategy().is_some_and(|strategy| &*strategy.kind == kind) {
            configured.set_scoring_strategy(ScoringStrategy { kind: kind.into(), resources, shape });
        }
    }
    let mut named = std::mem::take(&mut configured.named);
    named.retain(|name| match gone(name) {
        Some(instead) => {
            field.child_warning("pluginConfig", format!("{name} is gone: its arguments are passed over; {instead}"));
            false
        }
        None => true,
    });
    configured.named = named;
}

fn gone(plugin: &str) -> Option<&'static str> {
    GONE.iter().find(|(name, _)| *name == plugin).map(|(_, instead)| *instead)
}

fn translate_set(
    field: &Field<'_>,
    point: &str,
    set: &mut PluginSet,
    arguments: &mut PluginArguments,
    pass_unknown: bool,
) {
    let mut kept: Vec<Plugin> = Vec::with_capacity(set.enabled.len());
    let mut passed = false;
    for (i, plugin) in std::mem::take(&mut set.enabled).into_iter().enumerate() {
        let (name, at) = (plugin.name.clone(), format!("plugins.{point}.enabled[{i}]"));
        if let Some(kind) = strategy_of(&name) {
            match arguments.scoring_strategy().map(|chosen| chosen.kind.clone()) {
                None => {
                    let (resources, shape) = (Vec::new(), None);
                    arguments.set_scoring_strategy(ScoringStrategy { kind: kind.into(), resources, shape });
                }
                Some(chosen) if &*chosen != kind => {
                    let why = format!("{name} became the strategy {kind} of {FIT}, which has {chosen} already");
                    field.child_fault(&at, why);
                }
                Some(_) => {}
            }
            field.child_warning(&at, format!("{name} is read as {FIT} with scoringStrategy.type {kind}"));
            if !kept.iter().any(|other| &*other.name == FIT) {
                kept.push(Plugin { name: FIT.into(), weight: plugin.weight });
            }
        } else if let Some(instead) = gone(&name) {
            field.child_warning(&at, format!("{name} is gone and passed over: {instead}"));
        } else if pass_unknown && !is_plugin(&name) {
            field.child_warning(&at, format!("plugin {name:?} does not exist here and is passed over"));
            passed = true;
        } else {
            kept.push(plugin);
        }
    }
    // A plugin that is passed over leaves the default in its place.
    if passed && kept.is_empty() && matches!(point, "queueSort" | "bind") {
        set.disabled.clear();
    }
    let replaced = kept.iter().any(|plugin| &*plugin.name == FIT);
    if point == "score" && !replaced && set.disabled.iter().any(|name| strategy_of(name) == Some("LeastAllocated")) {
        field.child_warning(
            &format!("plugins.{point}.disabled"),
            format!("NodeResourcesLeastAllocated is read as {FIT}, whose default strategy it became"),
        );
        set.disabled.push(FIT.into());
    }
    // Plugins that were removed are off in any case.
    set.disabled.retain(|name| strategy_of(name).is_none() && gone(name).is_none());
    set.enabled = kept;
}
