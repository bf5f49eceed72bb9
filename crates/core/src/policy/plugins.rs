//! The in-tree plugins of 1.34 as a table, and how the plugin sets of a profile become one list per extension point.
//!
//! Source: `pkg/scheduler/apis/config/v1/default_plugins.go` (`getDefaultPlugins`, `mergePluginSet`) and
//! `pkg/scheduler/framework/runtime/framework.go` (`updatePluginList`, `expandMultiPointPlugins`, `getScoreWeights`).

use std::collections::{BTreeMap, BTreeSet};

use super::Fault;
use crate::{model::Name, near::near};

/// Where plugins run, in the order of a scheduling attempt.
pub const EXTENSION_POINTS: [&str; 12] = [
    "preEnqueue",
    "queueSort",
    "preFilter",
    "filter",
    "postFilter",
    "preScore",
    "score",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
];

/// A plugin of kube-scheduler itself.
pub(super) struct Known {
    /// Its name.
    pub name: &'static str,
    /// Where it runs.
    pub points: &'static [&'static str],
    /// Its weight in the default profile; 0 where it scores nothing there.
    pub weight: i64,
}

const fn known(name: &'static str, points: &'static [&'static str], weight: i64) -> Known {
    Known { name, points, weight }
}

const FILTERS: &[&str] = &["preFilter", "filter"];
const FILTERS_AND_SCORES: &[&str] = &["preFilter", "filter", "preScore", "score"];

/// Every in-tree plugin, in the order of the default profile, of which all are part.
pub(super) const KNOWN: &[Known] = &[
    known("SchedulingGates", &["preEnqueue"], 0),
    known("PrioritySort", &["queueSort"], 0),
    known("NodeUnschedulable", &["filter"], 0),
    known("NodeName", &["filter"], 0),
    known("TaintToleration", &["filter", "preScore", "score"], 3),
    known("NodeAffinity", FILTERS_AND_SCORES, 2),
    known("NodePorts", FILTERS, 0),
    known("NodeResourcesFit", FILTERS_AND_SCORES, 1),
    known("VolumeRestrictions", FILTERS, 0),
    known("NodeVolumeLimits", FILTERS, 0),
    known("VolumeBinding", &["preFilter", "filter", "preScore", "score", "reserve", "preBind"], 0),
    known("VolumeZone", FILTERS, 0),
    known("PodTopologySpread", FILTERS_AND_SCORES, 2),
    known("InterPodAffinity", FILTERS_AND_SCORES, 2),
    known("DynamicResources", &["preEnqueue", "preFilter", "filter", "postFilter", "reserve", "preBind"], 0),
    known("DefaultPreemption", &["preEnqueue", "postFilter"], 0),
    known("NodeResourcesBalancedAllocation", &["preScore", "score"], 1),
    known("ImageLocality", &["score"], 1),
    known("DefaultBinder", &["bind"], 0),
];

/// Plugins that `kubescheduler.config.k8s.io/v1` took out.
const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

/// `true` if kube-scheduler 1.34 has a plugin of that name.
pub fn is_plugin(name: &str) -> bool {
    find(name).is_some()
}

/// The plugin of that name.
pub(super) fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.name == name)
}

/// A plugin that a profile turns on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugin {
    /// Its name.
    pub name: Name,
    /// The factor of its scores; 0 if none is written.
    pub weight: i64,
}

/// The plugins of one extension point in a profile, or of all points for `multiPoint`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSet {
    /// Turned on, in addition to the default plugins.
    pub enabled: Vec<Plugin>,
    /// Turned off, though on by default; `*` turns all of those off.
    pub disabled: Vec<Name>,
}

/// `plugins` of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSets {
    /// At every extension point where a plugin can run.
    pub multi_point: PluginSet,
    /// At one of [`EXTENSION_POINTS`].
    pub points: BTreeMap<&'static str, PluginSet>,
}

/// The plugins of a profile, worked out.
#[derive(Default)]
pub(super) struct Expanded {
    points: BTreeMap<&'static str, Vec<&'static str>>,
    weights: BTreeMap<&'static str, i64>,
}

impl Expanded {
    /// The plugins that run at an extension point, in order.
    pub(super) fn at(&self, point: &str) -> &[&'static str] {
        self.points.get(point).map_or(&[], Vec::as_slice)
    }

    /// The weight of a plugin that scores.
    pub(super) fn weight(&self, plugin: &str) -> i64 {
        self.weights.get(plugin).copied().unwrap_or(1)
    }
}

impl PluginSets {
    /// `true` if an unknown plugin is turned on at the extension point.
    pub(super) fn names_unknown(&self, point: &str) -> bool {
        let sets = self.points.get(point).into_iter().chain([&self.multi_point]);
        sets.flat_map(|set| &set.enabled).any(|plugin| find(&plugin.name).is_none())
    }

    /// The plugins at each extension point. `field` is the path of the profile.
    pub(super) fn expand(&self, field: &str, faults: &mut Vec<Fault>) -> Expanded {
        let multi_at = format!("{field}plugins.multiPoint");
        check_names(&multi_at, &self.multi_point, None, faults);
        let multi = merged_with_default(&self.multi_point);
        let mut expanded = Expanded::default();
        let none = PluginSet::default();
        for point in EXTENSION_POINTS {
            let set = self.points.get(point).unwrap_or(&none);
            check_names(&format!("{field}plugins.{point}"), set, Some(point), faults);
            expanded.points.insert(point, expand_point(point, set, &multi));
        }
        repeated(&multi_at, &multi, faults);
        // A weight at the extension point itself goes before one of multiPoint; 0 stands for 1.
        let own = self.points.get("score").map_or(&[][..], |set| &set.enabled);
        for plugin in own.iter().chain(&multi) {
            if let Some(known) = find(&plugin.name).filter(|k| k.points.contains(&"score")) {
                expanded.weights.entry(known.name).or_insert(if plugin.weight == 0 { 1 } else { plugin.weight });
            }
        }
        expanded
    }
}

/// Reports plugins that do not exist, were removed, cannot run there, or are listed twice.
fn check_names(field: &str, set: &PluginSet, point: Option<&str>, faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for (i, plugin) in set.enabled.iter().enumerate() {
        let at = format!("{field}.enabled[{i}]");
        let name = &plugin.name;
        match find(name) {
            _ if REMOVED.contains(&&**name) => faults.push(removed(&at, name)),
            None => faults.push(Fault::new(format!("{at}.name"), unknown(name))),
            Some(known) => {
                if let Some(point) = point.filter(|point| !known.points.contains(point)) {
                    let why = format!("plugin {name:?} does not extend {point} plugin");
                    faults.push(Fault::new(format!("{at}.name"), why));
                }
            }
        }
        if point.is_some() && !seen.insert(name) {
            faults.push(Fault::new(format!("{at}.name"), format!("plugin {name:?} already registered")));
        }
    }
}

/// The fault of a plugin that does not exist, with a remedy.
fn unknown(name: &str) -> String {
    let meant = KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name));
    match (meant, name) {
        (Some(known), _) => format!("plugin {name:?} does not exist (it is written {})", known.name),
        (None, "NodeLabel" | "ServiceAffinity") => {
            format!("plugin {name:?} does not exist any more (a kind: Policy still has its predicates and priorities)")
        }
        (None, _) => {
            let near = near(KNOWN.iter().map(|known| known.name), name);
            let meant = near.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"));
            format!("plugin {name:?} does not exist{meant} (unknownPlugins=warn goes on without it)")
        }
    }
}

/// Reports plugins that multiPoint turns on twice.
fn repeated(field: &str, multi: &[Plugin], faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for plugin in multi.iter().filter(|plugin| !seen.insert(&plugin.name)) {
        faults.push(Fault::new(field, format!("plugin {:?} already registered", plugin.name)));
    }
}

/// A plugin that is gone.
pub(super) fn removed(field: &str, name: &str) -> Fault {
    let why = "was invalid in version \"kubescheduler.config.k8s.io/v1\"";
    Fault::invalid_text(field, name, why)
}

/// `true` if the plugin was removed.
pub(super) fn is_removed(name: &str) -> bool {
    REMOVED.contains(&name)
}

/// `mergePluginSet`: the default plugins less those turned off, re-configured ones in their place, then the others.
fn merged_with_default(custom: &PluginSet) -> Vec<Plugin> {
    let off = |name: &str| custom.disabled.iter().any(|d| &**d == name || &**d == "*");
    let mut merged = Vec::new();
    let mut placed = BTreeSet::new();
    for default in KNOWN.iter().filter(|k| !off(k.name)) {
        // Of a repeated entry the last re-configures, and the first remains to be reported.
        match custom.enabled.iter().rposition(|p| &*p.name == default.name) {
            Some(i) => {
                merged.extend(custom.enabled.get(i).cloned());
                placed.insert(i);
            }
            None => merged.push(Plugin { name: default.name.into(), weight: default.weight }),
        }
    }
    let rest = custom.enabled.iter().enumerate().filter(|(i, _)| !placed.contains(i));
    merged.extend(rest.map(|(_, plugin)| plugin.clone()));
    merged
}

/// `expandMultiPointPlugins` at one point: first what the point re-configures, then multiPoint's plugins, then the
/// point's own.
fn expand_point(point: &str, set: &PluginSet, multi: &[Plugin]) -> Vec<&'static str> {
    let runs_here = |name: &Name| find(name).filter(|k| k.points.contains(&point)).map(|k| k.name);
    let own: Vec<_> = set.enabled.iter().filter_map(|p| runs_here(&p.name)).collect();
    if set.disabled.iter().any(|d| &**d == "*") {
        return own;
    }
    let off = |name: &str| set.disabled.iter().any(|d| &**d == name);
    let by_multi: Vec<_> = multi.iter().filter_map(|p| runs_here(&p.name)).filter(|name| !off(name)).collect();
    let (overriding, further): (Vec<_>, Vec<_>) = own.iter().copied().partition(|name| by_multi.contains(name));
    let plain = by_multi.into_iter().filter(|name| !own.contains(name));
    overriding.iter().copied().chain(plain).chain(further.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(enabled: &[(&str, i64)], disabled: &[&str]) -> PluginSet {
        PluginSet {
            enabled: enabled.iter().map(|(name, weight)| Plugin { name: (*name).into(), weight: *weight }).collect(),
            disabled: disabled.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn scores(sets: &PluginSets) -> Vec<(&'static str, i64)> {
        let mut faults = Vec::new();
        let expanded = sets.expand("", &mut faults);
        assert_eq!(faults, []);
        expanded.at("score").iter().map(|name| (*name, expanded.weight(name))).collect()
    }

    #[test]
    fn a_point_overrides_multi_point_and_goes_first() {
        let mut sets = PluginSets {
            multi_point: set(&[("ImageLocality", 4), ("NodeResourcesFit", 0)], &["*"]),
            ..PluginSets::default()
        };
        assert_eq!(scores(&sets), [("ImageLocality", 4), ("NodeResourcesFit", 1)]);
        sets.points.insert("score", set(&[("TaintToleration", 7), ("NodeResourcesFit", 9)], &[]));
        assert_eq!(scores(&sets), [("NodeResourcesFit", 9), ("ImageLocality", 4), ("TaintToleration", 7)]);
        sets.points.insert("score", set(&[("TaintToleration", 7)], &["*"]));
        assert_eq!(scores(&sets), [("TaintToleration", 7)]);
    }

    #[test]
    fn a_default_plugin_is_re_configured_in_its_place() {
        let sets = PluginSets { multi_point: set(&[("TaintToleration", 8)], &["NodeAffinity"]), ..Default::default() };
        assert_eq!(scores(&sets)[..2], [("TaintToleration", 8), ("NodeResourcesFit", 1)]);
    }

    #[test]
    fn plugins_that_cannot_run_are_named() {
        let mut sets = PluginSets { multi_point: set(&[("Coscheduling", 0)], &[]), ..Default::default() };
        sets.points
            .insert("filter", set(&[("ImageLocality", 0), ("EBSLimits", 0), ("NodeName", 0), ("NodeName", 0)], &[]));
        let mut faults = Vec::new();
        sets.expand("profiles[0].", &mut faults);
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                r#"profiles[0].plugins.multiPoint.enabled[0].name: plugin "Coscheduling" does not exist (unknownPlugins=warn goes on without it)"#,
                r#"profiles[0].plugins.filter.enabled[0].name: plugin "ImageLocality" does not extend filter plugin"#,
                r#"profiles[0].plugins.filter.enabled[1]: Invalid value: "EBSLimits": was invalid in version "kubescheduler.config.k8s.io/v1""#,
                r#"profiles[0].plugins.filter.enabled[3].name: plugin "NodeName" already registered"#,
            ]
        );
    }
}
