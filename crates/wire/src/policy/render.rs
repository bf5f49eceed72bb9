//! Renders a configuration; default and empty values are left out.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use podberth_core::{
    model::{InclusionPolicy, NodeSelectorTerm, Operator, Requirement, TopologySpreadConstraint, WhenUnsatisfiable},
    policy::{
        Configuration, Conversion, EXTENSION_POINTS, Extender, PluginArguments, PluginSet, PreemptionLimits,
        SchedulerProfile, TlsConfig, Warning,
    },
    rule::ResourceWeight,
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

/// The pairs whose values are not empty.
fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(_) => false,
    };
    let filled = pairs.into_iter().filter(|(_, value)| !empty(value));
    Value::Object(filled.map(|(key, value)| (key.to_owned(), value)).collect())
}

fn texts<'t>(items: impl IntoIterator<Item = &'t podberth_core::model::Name>) -> Value {
    items.into_iter().map(|item| Value::from(&**item)).collect()
}

fn number_unless(default: i64, value: i64) -> Value {
    if value == default { Value::Null } else { value.into() }
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
    Some(match plugin {
        "NodeResourcesFit" => {
            let strategy = arguments.scoring_strategy.as_ref().map_or(Value::Null, |strategy| {
                let shape = strategy.shape.iter().flatten();
                let shape: Value = shape.map(|p| json!({"utilization": p.utilization, "score": p.score})).collect();
                object([
                    ("type", (&*strategy.kind).into()),
                    ("resources", resources(&strategy.resources)),
                    ("requestedToCapacityRatio", object([("shape", shape)])),
                ])
            });
            object([
                ("ignoredResources", texts(&arguments.ignored_resources)),
                ("ignoredResourceGroups", texts(&arguments.ignored_resource_groups)),
                ("scoringStrategy", strategy),
            ])
        }
        "NodeResourcesBalancedAllocation" => object([("resources", resources(&arguments.balanced_resources))]),
        "NodeAffinity" => {
            let required = arguments.added_affinity.as_ref().map_or(
                Value::Null,
                |selector| json!({"nodeSelectorTerms": selector.0.iter().map(selector_term).collect::<Vec<_>>()}),
            );
            let preferred = arguments.added_preferences.iter();
            let preferred = preferred.map(|p| json!({"weight": p.weight, "preference": selector_term(&p.term)}));
            let affinity = object([
                ("requiredDuringSchedulingIgnoredDuringExecution", required),
                ("preferredDuringSchedulingIgnoredDuringExecution", preferred.collect()),
            ]);
            object([("addedAffinity", affinity)])
        }
        "PodTopologySpread" => match &arguments.default_constraints {
            None => json!({"defaultingType": "System"}),
            Some(list) => object([
                ("defaultingType", "List".into()),
                ("defaultConstraints", list.iter().map(constraint).collect()),
            ]),
        },
        "InterPodAffinity" => object([
            ("hardPodAffinityWeight", arguments.hard_pod_affinity_weight.into()),
            ("ignorePreferredTermsOfExistingPods", arguments.ignore_preferred_terms_of_existing_pods.into()),
        ]),
        "DefaultPreemption" => {
            let PreemptionLimits { min_candidate_nodes_percentage, min_candidate_nodes_absolute } =
                arguments.preemption;
            json!({
                "minCandidateNodesPercentage": min_candidate_nodes_percentage,
                "minCandidateNodesAbsolute": min_candidate_nodes_absolute,
            })
        }
        _ => return None,
    })
}

fn resources(resources: &[ResourceWeight]) -> Value {
    let one = |r: &ResourceWeight| object([("name", (&*r.name).into()), ("weight", number_unless(0, r.weight))]);
    resources.iter().map(one).collect()
}

fn selector_term(term: &NodeSelectorTerm) -> Value {
    object([
        ("matchExpressions", term.match_expressions.iter().map(requirement).collect()),
        ("matchFields", term.match_fields.iter().map(requirement).collect()),
    ])
}

fn requirement(requirement: &Requirement) -> Value {
    let (operator, values) = match &requirement.operator {
        Operator::In(values) => ("In", texts(values)),
        Operator::NotIn(values) => ("NotIn", texts(values)),
        Operator::Exists => ("Exists", Value::Null),
        Operator::DoesNotExist => ("DoesNotExist", Value::Null),
        Operator::Gt(bound) => ("Gt", json!([bound.to_string()])),
        Operator::Lt(bound) => ("Lt", json!([bound.to_string()])),
    };
    object([("key", (&*requirement.key).into()), ("operator", operator.into()), ("values", values)])
}

fn constraint(constraint: &TopologySpreadConstraint) -> Value {
    let action = match constraint.when_unsatisfiable {
        WhenUnsatisfiable::DoNotSchedule => "DoNotSchedule",
        WhenUnsatisfiable::ScheduleAnyway => "ScheduleAnyway",
    };
    let inclusion = |policy: Option<InclusionPolicy>| match policy {
        None => "",
        Some(InclusionPolicy::Honor) => "Honor",
        Some(InclusionPolicy::Ignore) => "Ignore",
    };
    object([
        ("maxSkew", constraint.max_skew.into()),
        ("topologyKey", (&*constraint.topology_key).into()),
        ("whenUnsatisfiable", action.into()),
        ("minDomains", constraint.min_domains.into()),
        ("nodeAffinityPolicy", inclusion(constraint.node_affinity_policy).into()),
        ("nodeTaintsPolicy", inclusion(constraint.node_taints_policy).into()),
        ("matchLabelKeys", texts(&constraint.match_label_keys)),
    ])
}

fn extender(extender: &Extender) -> Value {
    let nanos = extender.http_timeout_nanos;
    let timeout = if nanos == 0 { String::new() } else { format!("{nanos}ns") };
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
        ("enableHTTPS", extender.enable_https.into()),
        ("tlsConfig", extender.tls.as_ref().map_or(Value::Null, tls_config)),
        ("httpTimeout", timeout.into()),
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
