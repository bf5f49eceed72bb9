//! `kind: KubeSchedulerConfiguration`, or one profile of it.
//!
//! Source: `kube-scheduler/config/v1/types.go` and `types_pluginargs.go` of 1.34; decoding is strict. Arguments that
//! validation refuses by their mere presence are refused here.

use super::{
    argument::{self, resources, shape},
    extender,
    older_plugins::{self, StrategyArguments},
    reader::{FaultList, Field, Object},
    tree::Tree,
};
use podberth_core::policy::{
    Configuration, DEFAULT_SCHEDULER, EXTENSION_POINTS, Extender, Faults, Plugin, PluginArguments, PluginSet,
    PluginSets, PreemptionLimits, SchedulerProfile, plugin_arguments as declared_arguments,
};

/// The kind of a configuration.
pub(super) const KIND: &str = "KubeSchedulerConfiguration";
/// Its group.
pub(super) const GROUP: &str = "kubescheduler.config.k8s.io/";
/// The versions read; all as `v1`.
const VERSIONS: [&str; 4] = ["v1", "v1beta3", "v1beta2", "v1beta1"];

const TOP: [&str; 15] = [
    "kind",
    "apiVersion",
    "profiles",
    "extenders",
    "parallelism",
    "percentageOfNodesToScore",
    "podInitialBackoffSeconds",
    "podMaxBackoffSeconds",
    "leaderElection",
    "clientConnection",
    "enableProfiling",
    "enableContentionProfiling",
    "delayCacheUntilActive",
    "healthzBindAddress",
    "metricsBindAddress",
];
const TLS: [&str; 8] = ["insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"];

/// Reads and judges a configuration.
pub(super) fn from_tree(tree: &Tree, pass_unknown: bool) -> Result<Configuration, Faults> {
    judged(tree, |root| {
        if tree.has("algorithmSource") {
            root.fault("algorithmSource names where a Policy is kept: send that Policy itself");
            return Configuration::default();
        }
        let Some(object) = root.object(&TOP) else { return Configuration::default() };
        type_meta(&object);
        queueing(&object);
        let profiles = object.get("profiles").list().unwrap_or_default();
        let alone = profiles.len() == 1;
        let mut profiles: Vec<_> = profiles.iter().map(|field| profile(field, alone, pass_unknown)).collect();
        if profiles.is_empty() {
            profiles.push(SchedulerProfile::default());
        }
        let extenders = object.get("extenders").list().unwrap_or_default();
        Configuration {
            api_version: object.get("apiVersion").name(),
            profiles,
            extenders: extenders.iter().map(modern_extender).collect(),
            remarks: Vec::new(),
        }
    })
}

/// Reads and judges one profile as a configuration that has no other.
pub(super) fn from_profile_tree(tree: &Tree, pass_unknown: bool) -> Result<Configuration, Faults> {
    let profiles = |root: &Field<'_>| vec![profile(root, true, pass_unknown)];
    judged(tree, |root| Configuration { profiles: profiles(root), ..Configuration::default() })
}

fn judged(tree: &Tree, read: impl FnOnce(&Field<'_>) -> Configuration) -> Result<Configuration, Faults> {
    let gathered = FaultList::default();
    let mut configuration = read(&Field::root(tree, &gathered));
    let (mut faults, warnings) = gathered.into_parts();
    configuration.remarks = warnings;
    let any = configuration.profiles.first().map(|p| p.scheduler_name.clone());
    if let Err(Faults(more)) = configuration.compile(any.as_deref()) {
        faults.extend(more);
    }
    Faults::or(faults, configuration)
}

fn type_meta(object: &Object<'_>) {
    let (kind, version) = (object.get("kind"), object.get("apiVersion"));
    let (kind_name, version_name) = (kind.text().unwrap_or_default(), version.text().unwrap_or_default());
    let unknown = format!("no kind {kind_name:?} is registered for version {version_name:?}");
    if kind_name != KIND {
        kind.fault(unknown);
    } else if version_name.strip_prefix(GROUP).is_none_or(|version| !VERSIONS.contains(&version)) {
        version.fault(unknown);
    }
}

/// Checks the parts of a configuration other than profiles as kube-scheduler does; they are not used.
fn queueing(object: &Object<'_>) {
    let parallelism = object.get("parallelism");
    if parallelism.small_integer().is_some_and(|value| value <= 0) {
        parallelism.fault("Invalid value: should be an integer value greater than zero");
    }
    percentage(&object.get("percentageOfNodesToScore"));
    let (initial, max) = (object.get("podInitialBackoffSeconds"), object.get("podMaxBackoffSeconds"));
    let (first, last) = (initial.integer().unwrap_or(1), max.integer().unwrap_or(10));
    if first <= 0 {
        initial.fault(format!("Invalid value: {first}: must be greater than 0"));
    }
    if last < first {
        max.fault(format!("Invalid value: {last}: must be greater than or equal to PodInitialBackoffSeconds"));
    }
}

fn percentage(field: &Field<'_>) {
    match field.small_integer() {
        Some(value) if !(0..=100).contains(&value) => {
            field.fault(format!("Invalid value: {value}: not in valid range [0-100]"));
        }
        // 0 leaves it to kube-scheduler, and 100 is what is done here.
        Some(1..=99) => field.warning("is passed over: every node that fits is scored"),
        _ => {}
    }
}

/// `alone`: the only profile needs no name.
fn profile(field: &Field<'_>, alone: bool, pass_unknown: bool) -> SchedulerProfile {
    let keys = ["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"];
    let Some(object) = field.object(&keys) else { return SchedulerProfile::default() };
    percentage(&object.get("percentageOfNodesToScore"));
    let name = object.get("schedulerName");
    let scheduler_name = if alone && !name.is_present() { DEFAULT_SCHEDULER.into() } else { name.name() };
    let plugins = object.get("plugins").object(&plugin_keys()).map(|sets| plugin_sets(&sets)).unwrap_or_default();
    let mut arguments = PluginArguments::default();
    let mut strategies = Vec::new();
    for entry in object.get("pluginConfig").list().unwrap_or_default() {
        if let Some(entry) = entry.object(&["name", "args"]) {
            let name = entry.get("name").name();
            if let Some(kind) = older_plugins::strategy_of(&name) {
                strategies.push(strategy_arguments(kind, &entry.get("args")));
                continue;
            }
            plugin_arguments(&name, &entry.get("args"), &mut arguments);
            arguments.named.push(name);
        }
    }
    let mut profile = SchedulerProfile { scheduler_name, plugins, arguments };
    older_plugins::translate(field, &mut profile, strategies, pass_unknown);
    profile
}

/// The arguments of a plugin of v1beta1 that became a strategy of NodeResourcesFit.
fn strategy_arguments(kind: &'static str, args: &Field<'_>) -> StrategyArguments {
    let object = args.object(&["kind", "apiVersion", "resources", "shape"]);
    let object = object.as_ref();
    StrategyArguments {
        kind,
        resources: object.map(|args| resources(&args.get("resources"))).unwrap_or_default(),
        shape: object.map(|args| args.get("shape")).filter(Field::is_present).map(|field| shape(&field)),
    }
}

fn plugin_keys() -> Vec<&'static str> {
    EXTENSION_POINTS.into_iter().chain(["multiPoint"]).collect()
}

fn plugin_sets(object: &Object<'_>) -> PluginSets {
    let set = |key: &str| plugin_set(&object.get(key));
    PluginSets {
        multi_point: set("multiPoint"),
        points: EXTENSION_POINTS.into_iter().map(|point| (point, set(point))).collect(),
    }
}

fn plugin_set(field: &Field<'_>) -> PluginSet {
    let Some(object) = field.object(&["enabled", "disabled"]) else { return PluginSet::default() };
    let plugins = |key: &str| -> Vec<Plugin> {
        let list = object.get(key).list().unwrap_or_default();
        let objects = list.iter().filter_map(|plugin| plugin.object(&["name", "weight"]));
        objects
            .map(|plugin| Plugin {
                name: plugin.get("name").name(),
                weight: plugin.get("weight").small_integer().unwrap_or_default(),
            })
            .collect()
    };
    PluginSet {
        enabled: plugins("enabled"),
        disabled: plugins("disabled").into_iter().map(|plugin| plugin.name).collect(),
    }
}

/// The arguments of one plugin. Those of a plugin outside the tree are passed over, as kube-scheduler does.
fn plugin_arguments(plugin: &str, field: &Field<'_>, into: &mut PluginArguments) {
    let open = |keys: &[&str]| {
        let object = field.object(&[&["kind", "apiVersion"], keys].concat())?;
        let kind = object.get("kind");
        if kind.text().is_some_and(|kind| kind.strip_suffix("Args") != Some(plugin)) {
            kind.fault("has to match plugin args");
        }
        Some(object)
    };
    match plugin {
        "DefaultPreemption" => {
            if let Some(args) = open(&["minCandidateNodesPercentage", "minCandidateNodesAbsolute"]) {
                let limits = PreemptionLimits::default();
                let number = |key: &str, default| args.get(key).small_integer().unwrap_or(default);
                into.preemption = PreemptionLimits {
                    min_candidate_nodes_percentage: number(
                        "minCandidateNodesPercentage",
                        limits.min_candidate_nodes_percentage,
                    ),
                    min_candidate_nodes_absolute: number(
                        "minCandidateNodesAbsolute",
                        limits.min_candidate_nodes_absolute,
                    ),
                };
            }
        }
        "VolumeBinding" => {
            if let Some(args) = open(&["bindTimeoutSeconds", "shape"]) {
                let (timeout, shape) = (args.get("bindTimeoutSeconds"), args.get("shape"));
                if timeout.integer().is_some_and(|seconds| seconds < 0) {
                    timeout.fault("invalid BindTimeoutSeconds, should not be a negative value");
                }
                if shape.is_present() {
                    shape.fault(
                        "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring",
                    );
                }
            }
        }
        "DynamicResources" => {
            if let Some(timeout) = open(&["filterTimeout"]).map(|args| args.get("filterTimeout"))
                && extender::duration(&timeout).is_some_and(|nanos| nanos < 0)
            {
                timeout.fault("must be zero or positive");
            }
        }
        _ => {
            let declared: Vec<_> = declared_arguments().filter(|argument| argument.plugin() == plugin).collect();
            let members: Vec<_> = declared.iter().flat_map(|argument| argument::members(*argument)).collect();
            if let Some(args) = (!declared.is_empty()).then(|| open(&members)).flatten() {
                for declared in declared {
                    if let Some(value) = argument::read(declared, &args) {
                        into.values.put(declared, value);
                    }
                }
            }
        }
    }
}

/// Unlike in a Policy, keys are read strictly, and the timeout is a Go duration (`"5s"`).
fn modern_extender(field: &Field<'_>) -> Extender {
    let Some(object) = field.object(&extender::KEYS) else { return Extender::default() };
    object.get("urlPrefix").warn_of_placeholder();
    extender::extender(&object, extender::duration, |inner| {
        let keys: &[&str] = if inner.path().ends_with("tlsConfig") { &TLS } else { &["name", "ignoredByScheduler"] };
        inner.object(keys)
    })
}
