//! Renders a configuration; default and empty values are left out.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    argument,
    json::{number_unless, object},
};
use podberth_core::policy::{
    Configuration, Conversion, EXTENSION_POINTS, Extender, PluginArguments, PluginSet, PreemptionLimits,
    SchedulerProfile, TlsConfig, Warning, plugin_arguments as declared_arguments,
};

/// A configuration as JSON; every version is written as `v1`.
pub fn to_json(configuration: &Configuration) -> Value {
    object([
        ("apiVersion", Configuration::API_VERSION.into()),
        ("kind", super::configuration::KIND.into()),
        ("profiles", configuration.profiles.iter().map(profile).collect()),
        ("extenders", configuration.extenders.iter().map(extender).collect()),
    ])
}

/// Renders the configuration as YAML text.
///
/// # Errors
/// If the text cannot be written. No known configuration causes this.
pub fn to_yaml(configuration: &Configuration) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&to_json(configuration))
}

/// Renders the configuration as YAML text, with the notes of the conversion as comments at the top.
///
/// # Errors
/// As [`to_yaml`].
pub fn to_annotated_yaml(conversion: &Conversion) -> Result<String, serde_saphyr::ser::Error> {
    Ok(comments(&conversion.notes) + &to_yaml(&conversion.configuration)?)
}

/// Notes as comment lines of YAML. A note can quote user text, so no line feed may end its comment.
pub fn comments(notes: &[Warning]) -> String {
    let line = |note: &Warning| format!("# {}\n", note.to_string().replace(char::is_control, " "));
    notes.iter().map(line).fold(String::new(), |text, line| text + &line)
}

fn profile(profile: &SchedulerProfile) -> Value {
    let mut points = Map::new();
    let sets = &profile.plugins;
    let listed = EXTENSION_POINTS.iter().filter_map(|point| Some((*point, sets.points.get(point)?)));
    for (point, set) in [("multiPoint", &sets.multi_point)].into_iter().chain(listed) {
        if *set != PluginSet::default() {
            points.insert(point.to_owned(), plugin_set(set));
        }
    }
    object([
        ("schedulerName", (&*profile.scheduler_name).into()),
        ("plugins", Value::Object(points)),
        ("pluginConfig", plugin_config(&profile.arguments)),
    ])
}

fn plugin_set(set: &PluginSet) -> Value {
    let enabled = set
        .enabled
        .iter()
        .map(|plugin| object([("name", (&*plugin.name).into()), ("weight", number_unless(0, plugin.weight))]));
    let disabled = set.disabled.iter().map(|name| json!({"name": &**name}));
    object([("disabled", disabled.collect()), ("enabled", enabled.collect())])
}

fn plugin_config(arguments: &PluginArguments) -> Value {
    let entries = arguments.named.iter().filter_map(|name| {
        let mut args = plugin_arguments(name, arguments)?;
        if let Value::Object(args) = &mut args {
            let own = std::mem::take(args);
            args.insert("apiVersion".to_owned(), Configuration::API_VERSION.into());
            args.insert("kind".to_owned(), format!("{name}Args").into());
            args.extend(own);
        }
        Some(json!({"name": &**name, "args": args}))
    });
    entries.collect()
}

/// `None` for plugins whose arguments are not kept.
fn plugin_arguments(plugin: &str, arguments: &PluginArguments) -> Option<Value> {
    if plugin == "DefaultPreemption" {
        let PreemptionLimits { min_candidate_nodes_percentage, min_candidate_nodes_absolute } = arguments.preemption;
        return Some(json!({
            "minCandidateNodesPercentage": min_candidate_nodes_percentage,
            "minCandidateNodesAbsolute": min_candidate_nodes_absolute,
        }));
    }
    let declared: Vec<_> = declared_arguments().filter(|argument| argument.plugin() == plugin).collect();
    if declared.is_empty() {
        return None;
    }
    Some(object(declared.into_iter().flat_map(|declared| argument::write(declared, arguments.values.of(declared)))))
}

/// The Policy whose only contents are these extenders, as `--policy-config-file` takes it: predicates and priorities are the default ones.
///
/// Source: `kube-scheduler/config/v1/types.go` of 1.22 (`LegacyExtender`: `enableHttps`, and `httpTimeout` in nanoseconds).
pub fn extenders_policy(extenders: &[Extender]) -> Value {
    let entry = |extender: &Extender| entry(extender, "enableHttps", number_unless(0, extender.http_timeout_nanos));
    object([
        ("kind", "Policy".into()),
        ("apiVersion", "v1".into()),
        ("extenders", extenders.iter().map(entry).collect()),
    ])
}

fn extender(extender: &Extender) -> Value {
    let nanos = extender.http_timeout_nanos;
    let timeout = match nanos {
        0 => String::new(),
        _ if nanos % 1_000_000_000 == 0 => format!("{}s", nanos / 1_000_000_000),
        _ if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        _ => format!("{nanos}ns"),
    };
    entry(extender, "enableHTTPS", timeout.into())
}

/// An extender, in the form that names its TLS and writes its timeout so.
fn entry(extender: &Extender, https: &str, timeout: Value) -> Value {
    let managed = extender.managed_resources.iter();
    let managed = managed.map(|resource| {
        object([("name", (&*resource.name).into()), ("ignoredByScheduler", resource.ignored_by_scheduler.into())])
    });
    object([
        ("urlPrefix", extender.url_prefix.as_str().into()),
        ("filterVerb", extender.filter_verb.as_str().into()),
        ("preemptVerb", extender.preempt_verb.as_str().into()),
        ("prioritizeVerb", extender.prioritize_verb.as_str().into()),
        ("weight", number_unless(0, extender.weight)),
        ("bindVerb", extender.bind_verb.as_str().into()),
        (https, extender.enable_https.into()),
        ("tlsConfig", extender.tls.as_ref().map_or(Value::Null, tls_config)),
        ("httpTimeout", timeout),
        ("nodeCacheCapable", extender.node_cache_capable.into()),
        ("managedResources", managed.collect()),
        ("ignorable", extender.ignorable.into()),
    ])
}

fn tls_config(tls: &TlsConfig) -> Value {
    object([
        ("insecure", tls.insecure.into()),
        ("serverName", tls.server_name.as_str().into()),
        ("certFile", tls.files.cert.as_str().into()),
        ("keyFile", tls.files.key.as_str().into()),
        ("caFile", tls.files.ca.as_str().into()),
        ("certData", STANDARD.encode(&tls.cert_data).into()),
        ("keyData", STANDARD.encode(&tls.key_data).into()),
        ("caData", STANDARD.encode(&tls.ca_data).into()),
    ])
}
