//! Tables of conversions: JSON, the resulting object, and its faults.

use proptest::prelude::*;

use crate::{cluster::Cluster, decode, extender::ExtenderArgs, kinds, objects::Converted};
use podberth_core::{
    model::{self, Effect, HostPort, Operator, Protocol, VolumeSource},
    snapshot::Object,
};

fn convert(plural: &str, json: &str) -> Converted<Object> {
    let row = kinds::ALL.iter().find(|k| k.plural == plural).unwrap();
    row.parse(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"))
}

/// The pod of this spec and these labels, and its faults as `field: message`.
fn pod(spec: &str) -> (model::Pod, Vec<String>) {
    let json = format!(r#"{{"metadata":{{"name":"p","labels":{{"app":"web"}}}},"spec":{spec}}}"#);
    let converted = convert("pods", &json);
    let faults = converted.causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
    let Object::Pod(pod) = converted.object else { panic!("a pod") };
    (*pod, faults)
}

/// The faults of an object as `field reason`.
fn faults(plural: &str, json: &str) -> Vec<String> {
    let row = kinds::ALL.iter().find(|k| k.plural == plural).unwrap();
    let causes = row.validate(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}")).causes;
    causes.into_iter().map(|c| format!("{} {}", c.field, c.reason)).collect()
}

#[test]
fn all_faults_are_reported_at_once() {
    for (plural, json, expected) in [
        ("nodes", "{}", vec!["metadata.name FieldValueRequired"]),
        (
            "nodes",
            r#"{"metadata":{"name":"N_1","namespace":"x","labels":{"a b":"1","ok":"-"}},
                "spec":{"taints":[{"key":"","effect":"NoRun"},{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoSchedule"},{"key":"b","timeAdded":"now"}]},
                "status":{"allocatable":{"cpu":"two","memory":"-1"}}}"#,
            vec![
                "spec.taints[3].timeAdded FieldValueInvalid",
                "metadata.namespace FieldValueForbidden",
                "metadata.name FieldValueInvalid",
                "metadata.labels FieldValueInvalid",
                "metadata.labels FieldValueInvalid",
                "status.allocatable[cpu] FieldValueInvalid",
                "metadata.taints[0].key FieldValueInvalid",
                "metadata.taints[0].effect FieldValueNotSupported",
                "metadata.taints[2] FieldValueDuplicate",
                "metadata.taints[3].effect FieldValueRequired",
                "status.allocatable.memory FieldValueInvalid",
            ],
        ),
        (
            "pods",
            r#"{"metadata":{"name":"p","namespace":"A"},"spec":{"priority":1,"preemptionPolicy":"Maybe","containers":[
                {"name":"c","ports":[{"hostPort":70000},{"hostPort":-1},{"hostPort":80,"protocol":"ICMP"}],
                 "resources":{"requests":{"cpu":"2"},"limits":{"cpu":1}}}],
                "tolerations":[{"operator":"Equal"},{"key":"a","operator":"Exists","value":"x"},{"key":"a","operator":"Like"},{"key":"a","effect":"No","tolerationSeconds":1}],
                "topologySpreadConstraints":[{"maxSkew":0,"whenUnsatisfiable":"Never","minDomains":0,"nodeTaintsPolicy":"X"}]}}"#,
            vec![
                "metadata.namespace FieldValueInvalid",
                "spec.preemptionPolicy FieldValueNotSupported",
                "spec.containers[0].ports[0].hostPort FieldValueInvalid",
                "spec.containers[0].ports[1].hostPort FieldValueInvalid",
                "spec.containers[0].ports[2].protocol FieldValueNotSupported",
                "spec.tolerations[0].operator FieldValueInvalid",
                "spec.tolerations[1].operator FieldValueInvalid",
                "spec.tolerations[2].operator FieldValueNotSupported",
                "spec.tolerations[3].effect FieldValueInvalid",
                "spec.tolerations[3].effect FieldValueNotSupported",
                "spec.topologySpreadConstraints[0].maxSkew FieldValueInvalid",
                "spec.topologySpreadConstraints[0].topologyKey FieldValueRequired",
                "spec.topologySpreadConstraints[0].whenUnsatisfiable FieldValueNotSupported",
                "spec.topologySpreadConstraints[0].minDomains FieldValueInvalid",
                "spec.topologySpreadConstraints[0].minDomains FieldValueInvalid",
                "spec.topologySpreadConstraints[0].nodeTaintsPolicy FieldValueNotSupported",
                "spec.containers[0].ports[0].containerPort FieldValueRequired",
                "spec.containers[0].ports[1].containerPort FieldValueRequired",
                "spec.containers[0].ports[2].containerPort FieldValueRequired",
                "spec.containers[0].resources.requests FieldValueInvalid",
            ],
        ),
        ("pods", r#"{"metadata":{"name":"p"}}"#, vec!["spec.containers FieldValueRequired"]),
        (
            "storageclasses",
            r#"{"metadata":{"name":"s"},"volumeBindingMode":"Later"}"#,
            vec!["provisioner FieldValueRequired", "volumeBindingMode FieldValueNotSupported"],
        ),
        (
            "csinodes",
            r#"{"metadata":{"name":"n"},"spec":{"drivers":[{"allocatable":{"count":-1}}]}}"#,
            vec!["spec.drivers[0].name FieldValueRequired", "spec.drivers[0].allocatable.count FieldValueInvalid"],
        ),
        (
            "persistentvolumeclaims",
            r#"{"metadata":{"name":"c"},"spec":{"accessModes":["Sometimes"],"volumeMode":"Tape","resources":{"requests":{"storage":"1X"}}}}"#,
            vec![
                "spec.resources.requests[storage] FieldValueInvalid",
                "spec.accessModes FieldValueNotSupported",
                "spec.volumeMode FieldValueNotSupported",
            ],
        ),
        (
            "poddisruptionbudgets",
            r#"{"metadata":{"name":"b"},"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"In"}]}}}"#,
            vec!["spec.selector.matchExpressions[0].values FieldValueRequired"],
        ),
        ("priorityclasses", r#"{"metadata":{"name":"c"},"value":1,"preemptionPolicy":"Never"}"#, vec![]),
        (
            "services",
            r#"{"metadata":{"name":"s"},"spec":{"selector":{"a/b/c":"1"}}}"#,
            vec!["spec.selector FieldValueInvalid"],
        ),
        ("namespaces", r#"{"metadata":{"name":"a.b"}}"#, vec!["metadata.name FieldValueInvalid"]),
    ] {
        assert_eq!(faults(plural, json), expected, "{plural} {json}");
    }
}

#[test]
fn only_unreadable_objects_refuse_a_request() {
    let faulty = r#"{"metadata":{"name":"N_1"},"spec":{"taints":[{"key":"a","effect":"NoRun"}]}}"#;
    let Object::Node(node) = convert("nodes", faulty).lenient().unwrap() else { panic!("a node") };
    assert!(node.taints.is_empty(), "an unknown effect has none");
    for unreadable in [
        r#"{"metadata":{"name":"p","deletionTimestamp":"soon"}}"#,
        r#"{"metadata":{"name":"p"},"status":{"startTime":"1 o'clock"}}"#,
        r#"{"metadata":{"name":"p"},"spec":{"overhead":{"cpu":""}}}"#,
    ] {
        assert_eq!(convert("pods", unreadable).lenient().unwrap_err().len(), 1, "{unreadable}");
    }
}

#[test]
fn node_selectors_with_faults_select_nothing() {
    let expressions = |list: &str| {
        let (pod, faults) = pod(&format!(
            r#"{{"containers":[{{}}],"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[{{"matchExpressions":[{list}]}}]}}}}}}}}"#
        ));
        (pod.spec.affinity.node_required.clone().unwrap().0, faults)
    };
    for (list, fault) in [
        (r#"{"key":"a","operator":"In"}"#, ".values: Required value"),
        (r#"{"key":"a","operator":"Exists","values":["x"]}"#, ".values: Forbidden"),
        (r#"{"key":"a","operator":"Lt","values":["1","2"]}"#, ".values: Required value"),
        (r#"{"key":"a","operator":"Is","values":["1"]}"#, ".operator: Invalid value: \"Is\""),
        (r#"{"key":"a","operator":"Gt","values":["-3"]}"#, ".values[0]: Invalid value"),
        (r#"{"key":"a b","operator":"Exists"}"#, ".key: Invalid value"),
        (r#"{"key":"a","operator":"In","values":["x y"]}"#, ".values[0]: Invalid value"),
    ] {
        let (terms, faults) = expressions(list);
        assert!(terms.is_empty(), "{list}");
        assert_eq!(faults.len(), 1, "{list}: {faults:?}");
        let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]";
        assert!(faults[0].starts_with(&format!("{at}{fault}")), "{}", faults[0]);
    }
    let (terms, faults) = expressions(r#"{"key":"a","operator":"Gt","values":["150.1"]}"#);
    assert_eq!((terms.len(), faults.len()), (0, 0), "what is no number is let in, and no node has more");
    let (terms, faults) = expressions(r#"{"key":"a","operator":"Gt","values":["3"]}"#);
    assert_eq!((&terms[0].match_expressions[0].operator, faults.len()), (&Operator::Gt(3), 0));
    let (terms, faults) = expressions("");
    assert_eq!((terms.len(), faults.len()), (1, 0), "an empty term is there, and matches nothing");
    assert!(!terms[0].matches("n", &model::Labels::default()));
}

#[test]
fn affinity_terms_mean_the_pods_own_namespace_and_labels() {
    let term = |fields: &str| {
        let (pod, faults) = pod(&format!(
            r#"{{"containers":[{{}}],"affinity":{{"podAntiAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":[{{"topologyKey":"zone",{fields}}}]}}}}}}"#
        ));
        assert_eq!(faults, Vec::<String>::new());
        pod.spec.affinity.anti_required[0].clone()
    };
    let own = term(r#""labelSelector":{"matchLabels":{"a":"1"}}"#);
    assert_eq!((&*own.namespaces[0], own.namespaces.len()), ("default", 1));
    assert!(term(r#""labelSelector":null"#).selector.is_none(), "an absent selector means no pod");
    assert!(term(r#""labelSelector":{}"#).selector.unwrap().is_empty(), "an empty one means all");
    let everywhere = term(r#""labelSelector":{},"namespaceSelector":{}"#);
    assert!(everywhere.namespaces.is_empty() && everywhere.namespace_selector.unwrap().is_empty());
    assert_eq!(&*term(r#""namespaces":["x"]"#).namespaces[0], "x");
    let shared = term(r#""labelSelector":{},"matchLabelKeys":["app","missing"],"mismatchLabelKeys":["app"]"#);
    let operators: Vec<_> = shared.selector.unwrap().0.into_iter().map(|r| r.operator).collect();
    assert_eq!(operators, [Operator::In(vec!["web".into()]), Operator::NotIn(vec!["web".into()])]);
    let merged = term(
        r#""labelSelector":{"matchExpressions":[{"key":"app","operator":"In","values":["web"]}]},"matchLabelKeys":["app"]"#,
    );
    assert_eq!(merged.selector.unwrap().0.len(), 1, "what the API server merged is not asked twice");
}

#[test]
fn a_pod_in_full() {
    let (pod, faults) = pod(r#"{"nodeName":"n","containers":[
              {"image":"a","ports":[{"hostPort":80,"containerPort":80},{"containerPort":90}],
               "resources":{"requests":{"cpu":"100m"},"limits":{"cpu":1,"memory":"1Gi"}}},{"image":"b"}],
            "initContainers":[{"image":"i","ports":[{"hostPort":81}],"resources":{"requests":{"cpu":2}}},
                              {"image":"s","restartPolicy":"Always","ports":[{"hostPort":82,"hostIP":"10.0.0.1","protocol":"UDP"}]}],
            "overhead":{"cpu":"0.25"},"tolerations":[{"operator":"Exists","effect":"NoExecute","tolerationSeconds":3}],
            "volumes":[{"name":"c","persistentVolumeClaim":{"claimName":"x","readOnly":true}},{"name":"e","ephemeral":{"volumeClaimTemplate":{}}},
                       {"name":"r","rbd":{"monitors":["m"],"image":"i"}},{"name":"o","emptyDir":{}}],
            "schedulingGates":[{"name":"wait"}],"priorityClassName":"high"}"#);
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(
        (&*pod.namespace, &*pod.name, &*pod.node_name, &*pod.spec.scheduler_name),
        ("default", "p", "n", "default-scheduler")
    );
    assert_eq!(
        (pod.spec.requests.milli_cpu, pod.spec.requests.memory),
        (2250, 1 << 30),
        "the init container is the peak"
    );
    assert_eq!((pod.spec.limits.milli_cpu, pod.spec.limits.memory), (1000, 1 << 30));
    let port = |ip: &str, protocol, port| HostPort { ip: ip.into(), protocol, port };
    assert_eq!(pod.spec.host_ports, [port("10.0.0.1", Protocol::Udp, 82), port("0.0.0.0", Protocol::Tcp, 80)]);
    assert_eq!(pod.spec.images.iter().map(|i| &**i).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(pod.spec.tolerations[0].effect, Some(Effect::NoExecute));
    assert_eq!(pod.spec.priority, None);
    assert!(
        matches!(&pod.volumes[0].source, VolumeSource::PersistentVolumeClaim { claim_name, read_only: true } if &**claim_name == "x")
    );
    assert!(matches!(pod.volumes[1].source, VolumeSource::Ephemeral));
    assert!(matches!(&pod.volumes[2].source, VolumeSource::Rbd { pool, .. } if &**pool == "rbd"));
    assert!(matches!(pod.volumes[3].source, VolumeSource::Other));
}

#[test]
fn metadata_and_status_of_pods() {
    let json = r#"{"metadata":{"name":"p","namespace":"x","uid":"u","deletionTimestamp":"2026-01-01T00:00:00Z",
                    "ownerReferences":[{"kind":"Node","uid":"1"},{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"2","controller":true}]},
                   "spec":{"containers":[{}]},"status":{"phase":"Succeeded","startTime":"1970-01-01T00:00:01.5Z","nominatedNodeName":"n"}}"#;
    let Object::Pod(pod) = convert("pods", json).strict().unwrap() else { panic!("a pod") };
    assert_eq!((pod.terminating, pod.terminal, pod.start_time), (true, true, Some(1_500_000_000)));
    assert_eq!(&*pod.controller.unwrap().uid, "2");
    assert_eq!(&*pod.nominated_node_name, "n");
}

#[test]
fn nodes_offer_their_capacity_where_they_say_nothing_else() {
    let node = |json: &str| match convert("nodes", json).object {
        Object::Node(node) => node,
        _ => panic!("a node"),
    };
    let capacity = node(r#"{"status":{"capacity":{"cpu":"4"}}}"#);
    assert_eq!(capacity.allocatable.milli_cpu, 4000);
    assert_eq!(node(r#"{"status":{"capacity":{"cpu":"4"},"allocatable":{}}}"#).allocatable.milli_cpu, 0);
    let avoid = |annotation: &str| {
        let value = serde_json::to_string(annotation).unwrap();
        let key = model::PREFER_AVOID_PODS;
        node(&format!(r#"{{"metadata":{{"annotations":{{"{key}":{value}}}}}}}"#)).avoid_controllers
    };
    let entry = r#"{"preferAvoidPods":[{"podSignature":{"podController":{"kind":"ReplicaSet","uid":"u","controller":true}}},{}]}"#;
    assert_eq!(avoid(entry).iter().map(|c| &*c.uid).collect::<Vec<_>>(), ["u"]);
    assert!(avoid("not json").is_empty() && avoid("[]").is_empty());
}

#[test]
fn storage_reads_old_and_new_ways_to_name_a_class() {
    let claim = |json: &str| match convert("persistentvolumeclaims", json).object {
        Object::PersistentVolumeClaim(claim) => claim,
        _ => panic!("a claim"),
    };
    assert_eq!(claim("{}").storage_class_name, None);
    assert_eq!(claim(r#"{"spec":{"storageClassName":""}}"#).storage_class_name.as_deref(), Some(""));
    let old = claim(
        r#"{"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":"old","pv.kubernetes.io/bind-completed":"yes","note":"x"},
                        "ownerReferences":[{"kind":"Pod","uid":"u","controller":true}]},
            "spec":{"storageClassName":"new","resources":{"requests":{"storage":"1Gi"}}},"status":{"phase":"Bound"}}"#,
    );
    assert_eq!(old.storage_class_name.as_deref(), Some("old"));
    assert_eq!(old.annotations.iter().count(), 2);
    assert_eq!(
        (old.owner_pod_uid.as_deref(), old.request.value(), old.phase),
        (Some("u"), 1 << 30, model::VolumePhase::Bound)
    );
    let Object::CsiNode(csi) = convert(
        "csinodes",
        r#"{"metadata":{"name":"n","annotations":{"storage.alpha.kubernetes.io/migrated-plugins":"a,b"}},"spec":{"drivers":[{"name":"d","nodeID":"i","allocatable":{"count":3}},{"name":"e","allocatable":null}]}}"#,
    )
    .object
    else {
        panic!("a CSI node")
    };
    assert_eq!(csi.migrated_plugins.len(), 2);
    assert_eq!(csi.drivers.iter().map(|d| d.allocatable_count).collect::<Vec<_>>(), [Some(3), None]);
}

#[test]
fn every_schema_that_is_named_is_there() {
    use utoipa::ToSchema;
    let mut schemas = Vec::new();
    Cluster::schemas(&mut schemas);
    ExtenderArgs::schemas(&mut schemas);
    let text = serde_json::to_string(&schemas).unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.iter().any(|(known, _)| known == name), "{name}");
    }
}

/// JSON made of the field names that matter, so that conversions are reached.
fn near_objects() -> impl Strategy<Value = serde_json::Value> {
    const NAMES: &[&str] = &[
        "metadata",
        "spec",
        "status",
        "name",
        "labels",
        "containers",
        "initContainers",
        "resources",
        "requests",
        "limits",
        "cpu",
        "ports",
        "hostPort",
        "affinity",
        "nodeAffinity",
        "podAffinity",
        "tolerations",
        "operator",
        "key",
        "values",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
        "matchExpressions",
        "matchFields",
        "matchLabels",
        "labelSelector",
        "podAffinityTerm",
        "topologySpreadConstraints",
        "taints",
        "effect",
        "allocatable",
        "capacity",
        "volumes",
        "startTime",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "(In|Exists|Gt|NoSchedule|1Gi|-5m|x|\\PC{0,5})".prop_map(Into::into),
    ];
    leaf.prop_recursive(8, 64, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            3 => prop::collection::btree_map(prop::sample::select(NAMES), inner, 0..5)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_panics(value in near_objects()) {
        let json = value.to_string();
        for row in kinds::ALL {
            if let Ok(converted) = row.parse(json.as_bytes()) {
                let strict = converted.clone().strict().is_ok();
                prop_assert!(!strict || converted.lenient().is_ok(), "what the state door lets in can be read");
            }
        }
    }

    #[test]
    fn quantities_read_the_same_as_text_and_number(number in any::<i32>()) {
        let text: super::quantity::QuantityText = decode::from_slice(format!("\"{number}\"").as_bytes()).unwrap();
        let plain: super::quantity::QuantityText = decode::from_slice(number.to_string().as_bytes()).unwrap();
        prop_assert_eq!(text, plain);
    }
}
