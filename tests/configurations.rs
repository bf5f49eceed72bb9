//! KubeSchedulerConfigurations, conversions to them, and their treatment of arbitrary input.

use podberth::{
    core::{policy::Profile, rule::Release},
    wire::policy::{self, Document, Reading},
};
use proptest::prelude::*;

fn profile(text: &str) -> Profile {
    let document = policy::parse(text).unwrap_or_else(|faults| panic!("{text}: {faults}"));
    document.compile(None).unwrap_or_else(|faults| panic!("{text}: {faults}"))
}

fn faults(text: &str) -> Vec<String> {
    let faults = policy::parse(text).expect_err(text);
    faults.0.iter().map(ToString::to_string).collect()
}

fn filters(profile: &Profile) -> Vec<&'static str> {
    profile.predicates.iter().map(|p| p.plugin).collect()
}

fn weights(profile: &Profile) -> Vec<(&'static str, i64)> {
    profile.priorities.iter().map(|p| (p.plugin, p.weight)).collect()
}

const DEFAULT_FILTERS: [&str; 14] = [
    "SchedulingGates",
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
];
/// VolumeBinding has a weight too, but scores nothing unless the gate StorageCapacityScoring is on.
const DEFAULT_WEIGHTS: [(&str, i64); 7] = [
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodeResourcesFit", 1),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
];

#[test]
fn the_default_profile_is_that_of_1_34() {
    for text in [
        r#"{"schedulerName": "default-scheduler"}"#,
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n",
        r#"{"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": [{}]}"#,
    ] {
        let profile = profile(text);
        assert_eq!(profile.release, Release::V1_34);
        assert_eq!(filters(&profile), DEFAULT_FILTERS);
        assert_eq!(weights(&profile), DEFAULT_WEIGHTS);
        assert!(profile.preemption.is_some());
    }
}

const BIN_PACKING: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: bin-packing
  plugins:
    multiPoint:
      disabled: [{name: DefaultPreemption}]
    score:
      disabled: [{name: ImageLocality}]
      enabled: [{name: NodeResourcesFit, weight: 9}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: RequestedToCapacityRatio
        resources: [{name: cpu, weight: 3}]
        requestedToCapacityRatio:
          shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]
";

#[test]
fn a_profile_is_chosen_by_name() {
    let document = policy::parse(BIN_PACKING).expect("a configuration");
    assert_eq!(weights(&document.compile(None).expect("the default")), DEFAULT_WEIGHTS);
    let packing = document.compile(Some("bin-packing")).expect("the other");
    assert_eq!(packing.priorities[0].name, "RequestedToCapacityRatioPriority");
    assert_eq!(weights(&packing)[..2], [("NodeResourcesFit", 9), ("TaintToleration", 3)]);
    assert!(weights(&packing).iter().all(|(plugin, _)| *plugin != "ImageLocality"));
    assert!(packing.preemption.is_none());
    let unknown = document.compile(Some("other")).expect_err("no such profile").to_string();
    assert_eq!(unknown, r#"profiles: no profile has the schedulerName "other""#);
}

#[test]
fn every_fault_of_a_configuration_at_once() {
    let told = faults(
        r#"{"apiVersion": "kubescheduler.config.k8s.io/v2", "kind": "KubeSchedulerConfiguration", "paralelism": 1,
            "percentageOfNodesToScore": 101,
            "profiles": [{"schedulerName": "a", "pluginConfig": [
                {"name": "NodeResourcesFit", "args": {"ignoredResources": ["a b"], "scoringStrategy": {"type": "Best"}}},
                {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 101}},
                {"name": "NodeAffinity", "args": {"kind": "OtherArgs", "addedAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
                {"name": "PodTopologySpread", "args": {"defaultConstraints": [{"maxSkew": 0, "topologyKey": "zone",
                    "whenUnsatisfiable": "Never", "labelSelector": {}}]}}]},
              {"schedulerName": "a", "plugins": {"queueSort": {"disabled": [{"name": "*"}]}}}],
            "extenders": [{"urlPrefix": "http://x", "httpTimeout": 5, "EnableHTTPS": true}]}"#,
    );
    let expected = [
        "paralelism: found unknown field",
        "apiVersion: no kind \"KubeSchedulerConfiguration\" is registered for version",
        "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
        "profiles[0].pluginConfig[2].args.kind: has to match plugin args",
        "profiles[0].pluginConfig[2].args.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        "profiles[0].pluginConfig[3].args.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
        "profiles[0].pluginConfig[3].args.defaultConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\"",
        "profiles[0].pluginConfig[3].args.defaultConstraints[0].labelSelector: Forbidden: ",
        "profiles[0].pluginConfig[3].args.defaultingType: Invalid value: \"System\": when .defaultConstraints are not",
        "extenders[0].EnableHTTPS: found unknown field: EnableHTTPS (it is written enableHTTPS)",
        "extenders[0].httpTimeout: expected a string, found a number",
        "profiles[0].pluginConfig[0].args.ignoredResources[0]: Invalid value: \"a b\": name part must consist of",
        "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Best\"",
        "profiles[0].pluginConfig[1].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        "profiles[1].schedulerName: Duplicate value: \"a\"",
        "profiles[1].plugins.queueSort: only one queue sort plugin is required for scheduler name \"a\", but got 0",
    ];
    for words in expected {
        assert!(told.iter().any(|fault| fault.contains(words)), "{words:?} is not told:\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), expected.len(), "{}", told.join("\n"));
}

fn warnings(document: &Document) -> Vec<String> {
    document.lint().iter().map(ToString::to_string).collect()
}

/// Source: `apimachinery/pkg/util/yaml/decoder.go`: text that begins with a brace is JSON.
#[test]
fn text_in_braces_is_json_unless_stored_before() {
    let texts = [
        r#"{"kind":"Policy","apiVersion":"v1","predicates":[{"name":"PodFitsResources"},]}"#,
        "{'kind': 'Policy', 'apiVersion': 'v1'}",
        "{\"kind\":\"Policy\",\"apiVersion\":\"v1\"} # note",
        " {kind: Policy}",
    ];
    for text in texts {
        assert!(faults(text).concat().contains("json parse error"), "{text}");
        assert!(policy::parse_as(text, Reading::STORED).is_ok(), "{text}");
    }
    assert!(policy::parse("kind: Policy\npredicates: [{name: HostName},]").is_ok(), "YAML has its own rules");
}

#[test]
fn score_plugins_of_v1beta1_are_read_as_strategies_of_node_resources_fit() {
    let of = |score: &str, config: &str| {
        format!(
            "apiVersion: kubescheduler.config.k8s.io/v1beta1\nkind: KubeSchedulerConfiguration\nprofiles:\n- plugins: \
             {{score: {score}}}\n  pluginConfig: {config}\n"
        )
    };
    let most = of(
        "{disabled: [{name: NodeResourcesLeastAllocated}, {name: NodeResourcesBalancedAllocation}],
                  enabled: [{name: NodeResourcesMostAllocated, weight: 5}]}",
        "[{name: NodeResourcesMostAllocated, args: {resources: [{name: cpu, weight: 3}]}}]",
    );
    let document = policy::parse(&most).expect("it is accepted");
    let profile = document.compile(None).expect("it compiles");
    let fit = profile.priorities.iter().find(|p| p.plugin == "NodeResourcesFit").expect("it scores");
    assert_eq!((&*fit.name, fit.weight), ("MostRequestedPriority", 5));
    let told = warnings(&document);
    assert!(
        told.iter().any(|w| w.contains("read as NodeResourcesFit with scoringStrategy.type MostAllocated")),
        "{told:?}"
    );
    let Document::Configuration(configuration) = &document else { panic!("a configuration") };
    let strategy = configuration.profiles[0].arguments.scoring_strategy().expect("a strategy");
    assert_eq!((&*strategy.resources[0].name, strategy.resources[0].weight), ("cpu", 3));

    let none = policy::parse(&of("{disabled: [{name: NodeResourcesLeastAllocated}]}", "[]")).expect("it is accepted");
    let profile = none.compile(None).expect("it compiles");
    assert!(profile.priorities.iter().all(|p| p.plugin != "NodeResourcesFit"), "its only score was turned off");
    assert!(filters(&profile).contains(&"NodeResourcesFit"), "the filter stays");

    let both = of("{enabled: [{name: NodeResourcesMostAllocated}, {name: RequestedToCapacityRatio}]}", "[]");
    assert!(faults(&both).concat().contains("became the strategy RequestedToCapacityRatio"), "one strategy at most");
}

/// kube-scheduler up to 1.33 writes these into the file of `--write-config-to`.
#[test]
fn volume_limit_plugins_that_v1_took_out_are_passed_over_with_a_warning() {
    let text = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- plugins: {multiPoint: {enabled: [{name: EBSLimits}, {name: GCEPDLimits}, {name: AzureDiskLimits}, {name: NodeVolumeLimits}]}}
";
    let document = policy::parse(text).expect("it is accepted");
    assert_eq!(filters(&document.compile(None).expect("it compiles")), DEFAULT_FILTERS);
    let told = warnings(&document);
    assert_eq!(told.iter().filter(|w| w.contains("NodeVolumeLimits counts these volumes")).count(), 3, "{told:?}");
}

#[test]
fn unknown_plugins_are_refused_with_a_remedy_or_passed_over() {
    let text = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- plugins:
    queueSort: {enabled: [{name: Coscheduling}], disabled: [{name: '*'}]}
    score: {enabled: [{name: noderesourcesfit}]}
  pluginConfig: [{name: Coscheduling, args: {permitWaitingTimeSeconds: 10}}]
";
    assert_eq!(
        faults(text),
        [
            "profiles[0].plugins.queueSort.enabled[0].name: plugin \"Coscheduling\" does not exist (unknownPlugins=warn goes \
             on without it)",
            "profiles[0].plugins.score.enabled[0].name: plugin \"noderesourcesfit\" does not exist (it is written \
             NodeResourcesFit)",
        ]
    );
    let reading = Reading { pass_unknown_plugins: true, ..Reading::default() };
    let document = policy::parse_as(text, reading).expect("it is accepted");
    let profile = document.compile(None).expect("it compiles");
    assert_eq!(filters(&profile), DEFAULT_FILTERS);
    let told = warnings(&document);
    assert!(told.iter().any(|w| w.contains("\"Coscheduling\" does not exist here and is passed over")), "{told:?}");
    assert!(policy::parse_as(text, Reading::STORED).is_ok(), "what was let through is read again");
}

#[test]
fn policies_are_read_out_of_config_maps() {
    let map = "kind: ConfigMap\napiVersion: v1\ndata:\n  policy.cfg: |\n    {\"kind\": \"Policy\", \"predicates\": [{\"name\": \"HostName\"}]}\n";
    assert!(filters(&profile(map)).contains(&"NodeName"));
    assert_eq!(
        faults("{\"kind\": \"ConfigMap\", \"data\": {\"other\": \"\"}}"),
        ["data: a ConfigMap has its policy under policy.cfg"]
    );
    let source = "apiVersion: kubescheduler.config.k8s.io/v1beta1\nkind: KubeSchedulerConfiguration\nalgorithmSource: {policy: {file: {path: /etc/policy.cfg}}}\n";
    assert!(faults(source).concat().contains("send that Policy itself"), "{:?}", faults(source));
}

#[test]
fn lint_reports_unused_keys_placeholders_and_taints() {
    let text = r#"{"kind": "Policy", "predicates": [{"name": "PodFitsPorts"}], "extenders": [
        {"urlPrefix": "http://x", "filterVreb": "f", "FILTERVERB": "f"}, {"urlPrefix": "<extender-endpoint>", "filterVerb": "f"}]}"#;
    let told = warnings(&policy::parse(text).expect("it is accepted"));
    let expected = ["extenders[0].filterVreb: filterVreb is not read", "extenders[1].urlPrefix: ", "taints count"];
    for words in expected {
        assert_eq!(told.iter().filter(|w| w.contains(words)).count(), 1, "{words}: {told:?}");
    }
    assert!(told[1].contains("is no URL"), "{told:?}");
    let twice = r#"{"kind": "Policy", "priorities": [{"name": "SelectorSpreadPriority", "weight": 1}, {"name": "ServiceSpreadingPriority", "weight": 1}]}"#;
    let told = warnings(&policy::parse(twice).expect("it is accepted"));
    assert!(
        told[0].contains("ServiceSpreadingPriority is SelectorSpreadPriority, which is listed already"),
        "{told:?}"
    );
}

#[test]
fn every_fault_of_a_policy_at_once() {
    let told = faults(
        "predicates:
- name: HostName
  foo: 1
- name: Rack
  argument: {labelsPresence: {labels: zone, presence: 'yes'}}
- name: Nope
priorities:
- {name: Mine, weight: -1}
hardPodAffinitySymmetricWeight: 101
scoring:
  strategy: Lexicographic
  levels:
  - {priority: Nope}
  - {priority: LeastRequestedPriority, tolerance: 0.5}
  - {priority: LeastRequestedPriority, tolerance: 101, weight: 1}
  extenderMaxScore: 0
",
    );
    assert_eq!(
        told,
        [
            "predicates[0].foo: found unknown field: foo",
            "predicates[1].argument.labelsPresence.labels: expected a list, found a string",
            "predicates[1].argument.labelsPresence.presence: expected a boolean, found a string",
            "scoring.levels[1].tolerance: can not decode float as int",
            "scoring.levels[2].weight: found unknown field: weight",
            "predicates[2].name: predicate type not found for \"Nope\"",
            "priorities[0].name: priority type not found for \"Mine\"",
            "hardPodAffinitySymmetricWeight: Invalid value: 101: not in valid range [0-100]",
            "scoring.extenderMaxScore: Invalid value: 0: not in valid range [1-1000]",
            "scoring.levels[0].priority: priority type not found for \"Nope\"",
            "scoring.levels[2].tolerance: Invalid value: 101: not in valid range [0-100]",
            "scoring.levels[2].priority: Duplicate value: \"LeastRequestedPriority\" is level scoring.levels[1] already",
        ]
    );
    let summed = faults("priorities: [{name: Mine, weight: -1}]\nscoring: {strategy: Best}");
    assert_eq!(
        summed,
        [
            "scoring.strategy: Unsupported value: \"Best\": supported values: \"WeightedSum\", \"Lexicographic\"",
            "priorities[0].weight: priority Mine should have a positive weight applied to it or it has overflown",
            "priorities[0].name: priority type not found for \"Mine\"",
        ]
    );
    for (scoring, fault) in [
        (
            "{strategy: Lexicographic}",
            "scoring.levels: Required value: the strategy \"Lexicographic\" needs at least one level",
        ),
        ("{strategy: Lexicographic, levels: 1}", "scoring.levels: expected a list, found a number"),
        ("{levels: []}", "scoring.levels: only the strategy \"Lexicographic\" has levels"),
    ] {
        assert_eq!(faults(&format!("scoring: {scoring}"))[..], [fault], "{scoring}");
    }
    let in_profile = faults("{\"schedulerName\": \"a\", \"scoring\": {\"strategy\": \"Lexicographic\"}}");
    assert_eq!(
        in_profile,
        ["scoring: found unknown field: scoring"],
        "kube-scheduler's own files have no place for it"
    );
}

const OLD: &str = r#"{"kind": "Policy", "apiVersion": "v1",
    "predicates": [{"name": "GeneralPredicates"}, {"name": "MaxEBSVolumeCount"}, {"name": "EvenPodsSpread"},
        {"name": "Rack", "argument": {"labelsPresence": {"labels": ["rack"], "presence": true}}}],
    "priorities": [{"name": "MostRequestedPriority", "weight": 5}, {"name": "LeastRequestedPriority", "weight": 2},
        {"name": "SelectorSpreadPriority", "weight": 3}, {"name": "TaintTolerationPriority", "weight": 7}],
    "hardPodAffinitySymmetricWeight": 10,
    "extenders": [{"urlPrefix": "http://x", "filterVerb": "filter", "httpTimeout": 1500000000}]}"#;

#[test]
fn a_policy_converts_to_an_equivalent_configuration() {
    let conversion = policy::parse_policy(OLD).expect("a policy").convert().expect("it compiles");
    let yaml = policy::to_yaml(&conversion.configuration).expect("YAML");
    let read = policy::parse_configuration(&yaml).unwrap_or_else(|faults| panic!("{yaml}: {faults}"));
    assert_eq!(
        Document::Configuration(read.clone()).compile(None).map(|p| filters(&p)).expect("it compiles"),
        [
            "SchedulingGates",
            "NodeUnschedulable",
            "NodeResourcesFit",
            "NodeName",
            "NodePorts",
            "NodeAffinity",
            "TaintToleration",
            "NodeVolumeLimits",
            "PodTopologySpread",
        ]
    );
    let profile = read.compile(None).expect("it compiles");
    assert_eq!(weights(&profile), [("NodeResourcesFit", 5), ("PodTopologySpread", 3), ("TaintToleration", 7)]);
    assert_eq!(profile.priorities[0].name, "MostRequestedPriority");
    assert_eq!(profile.extenders[0].http_timeout_nanos, 1_500_000_000);
    assert!(yaml.contains("addedAffinity") && yaml.contains("key: rack") && yaml.contains("hardPodAffinityWeight: 10"));
    let notes: Vec<_> = conversion.notes.iter().map(ToString::to_string).collect();
    for words in ["MaxEBSVolumeCount", "LeastAllocated: NodeResourcesFit has one", "SelectorSpread becomes"] {
        assert!(notes.iter().any(|note| note.contains(words)), "{words:?} is not noted: {notes:?}");
    }
}

#[test]
fn keys_that_no_label_can_have_are_left_out_of_a_conversion() {
    let many: Vec<String> = (0..256).map(|number| format!("label-{number}")).collect();
    let text = serde_json::json!({
        "predicates": [
            {"name": "A", "argument": {"labelsPresence": {"labels": [",ssd", "rack", ""], "presence": true}}},
            {"name": "B", "argument": {"labelsPresence": {"labels": ["a/b/c"], "presence": false}}},
            {"name": "C", "argument": {"labelsPresence": {"labels": many, "presence": false}}},
        ],
        "priorities": [{"name": "P", "weight": 1, "argument": {"labelPreference": {"label": "-x", "presence": true}}}],
    });
    let policy = policy::parse_policy(&text.to_string()).expect("1.22 takes these keys");
    let conversion = policy.convert().expect("it compiles");
    let json = policy::to_json(&conversion.configuration).to_string();
    let read = policy::parse_configuration(&json);
    assert!(read.is_ok(), "{:?}", read.err());
    assert!(json.contains("rack") && !json.contains("a/b/c"), "{json}");
    let notes: Vec<_> = conversion.notes.iter().map(ToString::to_string).collect();
    for key in [",ssd", "", "a/b/c", "-x"] {
        let note = format!("no node can have the label {key:?}: it is left out");
        assert!(notes.iter().any(|said| said.ends_with(&note)), "{note}: {notes:?}");
    }
}

const TREE: &str = r#"{"kind": "Policy", "apiVersion": "v1",
    "priorities": [{"name": "Ssd", "argument": {"labelPreference": {"label": "ssd", "presence": true}}},
        {"name": "Rack", "weight": 3, "argument": {"serviceAntiAffinity": {"label": "rack"}}},
        {"name": "ImageLocalityPriority", "weight": 1}],
    "scoring": {"strategy": "Lexicographic", "extenderMaxScore": 100, "levels": [
        {"priority": "TaintTolerationPriority"}, {"priority": "LeastRequestedPriority", "tolerance": 10},
        {"priority": "Ssd", "tolerance": 100}, {"priority": "MostRequestedPriority"}, {"priority": "Rack"},
        {"priority": "EqualPriority"}, {"priority": "InterPodAffinityPriority"}]}}"#;

#[test]
fn doubtful_decision_trees_get_warnings() {
    let told: Vec<_> = policy::parse(TREE).expect("a tree").lint().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "scoring.levels[2].tolerance: with a tolerance of 100 all nodes tie: the level orders nothing",
            "scoring.levels[5].priority: EqualPriority scores all nodes alike: the level orders nothing",
            "priorities[2]: ImageLocalityPriority is no level of scoring.levels: it decides nothing",
            "priorities[1].weight: levels have an order instead of weights: 3 is not read",
        ]
    );
}

#[test]
fn levels_convert_to_weights_with_the_same_order() {
    let conversion = policy::parse_policy(TREE).expect("a tree").convert().expect("it compiles");
    let profile = conversion.configuration.compile(None).expect("a configuration");
    let mut weights = weights(&profile);
    weights.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    assert_eq!(
        weights,
        [("TaintToleration", 104_060_401), ("NodeResourcesFit", 1_030_301), ("NodeAffinity", 10_201)],
        "101 to the fourth, third, second; the rack and EqualPriority have no counterpart"
    );
    let notes: Vec<_> = conversion.notes.iter().map(ToString::to_string).collect();
    for words in [
        "scoring.levels[1].tolerance: has no counterpart: the smallest difference by LeastRequestedPriority decides",
        "scoring.levels[3]: MostRequestedPriority is left out: its plugin, NodeResourcesFit, carries an earlier level",
        "scoring.levels[6]: InterPodAffinityPriority is left out: weights of 32 bits have room for 5 levels",
        "scoring.strategy: levels have no counterpart; weights of 104060401, 1030301, 10201, 101, 1 stand in for them",
        "scoring.extenderMaxScore: is Podberth's own",
        "serviceAntiAffinity is gone",
    ] {
        assert!(notes.iter().any(|note| note.contains(words)), "{words:?} is not noted: {notes:#?}");
    }
}

#[test]
fn the_default_policy_converts_and_its_output_parses_to_itself() {
    let conversion = policy::parse_policy("").expect("a policy").convert().expect("it compiles");
    let json = policy::to_json(&conversion.configuration).to_string();
    let again = policy::parse_configuration(&json).unwrap_or_else(|faults| panic!("{json}: {faults}"));
    assert_eq!(policy::to_json(&again), policy::to_json(&conversion.configuration));
    let packing = policy::parse_configuration(BIN_PACKING).expect("a configuration");
    let yaml = policy::to_yaml(&packing).expect("YAML");
    assert_eq!(policy::to_json(&policy::parse_configuration(&yaml).expect("the same")), policy::to_json(&packing));
}

#[test]
fn doubtful_settings_get_warnings() {
    let text = r#"{"apiVersion": "kubescheduler.config.k8s.io/v1beta3", "kind": "KubeSchedulerConfiguration",
        "profiles": [{"plugins": {"preFilter": {"disabled": [{"name": "NodePorts"}]},
                                  "score": {"enabled": [{"name": "ImageLocality", "weight": 2000}]}},
                      "pluginConfig": [{"name": "Coscheduling", "args": {}}, {"name": "DynamicResources", "args": {}}]}]}"#;
    let warnings = policy::parse(text).expect("a configuration").lint();
    let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "apiVersion: v1beta3 is read as v1, with the defaults of v1",
            "profiles[0].pluginConfig[0]: there is no plugin \"Coscheduling\": its arguments are passed over",
            "profiles[0].plugins.preFilter: NodePorts runs at filter without preFilter; here both are one step and run",
            "profiles[0].plugins.score: ImageLocality outvotes all other priorities together: one point of it weighs \
             2000, theirs at most 1200",
        ]
    );
}

#[test]
fn the_examples_are_accepted() {
    for text in [
        include_str!("../examples/policies/default.json"),
        include_str!("../examples/policies/bin-packing.json"),
        include_str!("../examples/policies/rack-aware.yaml"),
        include_str!("../examples/policies/decision-tree.yaml"),
        include_str!("../examples/kube-scheduler/scheduler-config.yaml"),
        include_str!("../examples/kube-scheduler/policy-with-extender.json"),
    ] {
        profile(text);
    }
}

#[test]
fn invalid_documents_are_refused_without_stack_overflow() {
    for text in ["[]", "5", "kind", "{", "{]", "predicates: [", "a: &x [*x]", "a: *x", "\u{0}", "--- a\n--- b\n"] {
        assert!(policy::parse(text).is_err(), "{text:?}");
    }
    for open in ["[", "{\"predicates\":[", "- ", "? ", "{a: "] {
        assert!(policy::parse(&open.repeat(100_000)).is_err(), "{open:?}");
    }
    assert_eq!(faults("kind: Policy\nkind: Policy\n"), ["kind: line 2: key \"kind\" already set in map"]);
    let many = r#"{"name": "P", "weight": 0},"#.repeat(20_000);
    let told = faults(&format!("{{\"priorities\": [{many}{{}}]}}"));
    assert!(told.len() == 1 && told[0].starts_with("priorities"), "what is too long is not looked into: {}", told[0]);
}

/// Documents with something wrong at a random place.
fn mangled() -> impl Strategy<Value = String> {
    let documents = prop::sample::select(vec![OLD, BIN_PACKING, TREE]);
    (documents, any::<prop::sample::Index>(), 0..40_usize, "[\\[\\]{}:,\"a-z0-9 \n-]{0,12}").prop_map(
        |(document, at, length, instead)| {
            let start = at.index(document.len());
            let end = (start + length).min(document.len());
            format!("{}{instead}{}", &document[..start], &document[end..])
        },
    )
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = policy::parse(&text);
    }

    #[test]
    fn no_mangled_document_panics(text in mangled()) {
        if let Ok(document) = policy::parse(&text) {
            document.lint();
            prop_assert!(document.compile(None).is_ok(), "what is let through compiles: {}", text);
            if let Document::Policy(policy) = document {
                let conversion = policy.convert().expect("what compiles converts");
                let json = policy::to_json(&conversion.configuration).to_string();
                let read = policy::parse_configuration(&json);
                prop_assert!(read.is_ok(), "a conversion compiles: {}\n{:?}", json, read.err());
            }
        }
    }
}
