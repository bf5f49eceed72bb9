use std::collections::BTreeSet;

use super::*;
use crate::{
    document::{Document, shown},
    policy::revision,
    reservation,
};

#[test]
fn rows_are_found_by_every_name() {
    for row in ALL {
        assert_eq!(by_plural(row.group, row.plural).unwrap().kind, row.kind);
        assert_eq!(by_key(&row.key()).unwrap().kind, row.kind);
        if row.is_shared() {
            assert_eq!(by_api_version(&row.api_version(), row.kind).unwrap().key(), row.key());
        }
        if let Some(core) = row.core() {
            assert_eq!(by_core(core).unwrap().kind, row.kind);
            let object = row.parse(br#"{"metadata":{"name":"x"}}"#).unwrap().object;
            assert_eq!(object_kind(&object), core, "the row's parse function gives the row's kind");
        }
    }
    for (old, kind, version) in [
        ("policy/v1beta1", "PodDisruptionBudget", "policy/v1"),
        ("extensions/v1beta1", "ReplicaSet", "apps/v1"),
        ("extensions/v1beta1", "NetworkPolicy", "networking.k8s.io/v1"),
        ("apps/v1beta2", "StatefulSet", "apps/v1"),
        ("storage.k8s.io/v1beta1", "CSINode", "storage.k8s.io/v1"),
        ("v1", "Event", "v1"),
        ("events.k8s.io/v1beta1", "Event", "events.k8s.io/v1"),
    ] {
        assert_eq!(by_api_version(old, kind).unwrap().api_version(), version);
    }
    assert!(by_api_version("apps/v1", "Pod").is_none() && by_api_version("v1", "Secret").is_none());
    assert!(by_api_version("", "").is_none() && by_plural("apps", "pods").is_none());
    assert!(by_api_version("podberth.io/v1", "Policy").is_none(), "policies are not imported");
}

#[test]
fn rows_are_apart_and_whole() {
    let (mut keys, mut words, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in ALL {
        assert!(matches!(row.served, Served::View(_)) || keys.insert(row.key()), "{} is stored twice", row.key());
        assert!(words.insert(row.word()) && words.insert(row.many()), "the words of {} are taken", row.word());
        let is_event = row.kind == "Event";
        let short = row.short_names.iter().filter(|_| !is_event);
        assert!(short.into_iter().all(|short| names.insert(*short)), "a short name of {} is taken", row.kind);
        let example: Value = serde_json::from_str(row.example).expect("an example is JSON");
        assert!(example.is_object() && example.get("metadata").is_none(), "{}", row.kind);
        assert_eq!(row.columns.iter().filter(|column| column.format == "name").count(), 1, "{}", row.kind);
    }
}

#[test]
fn plurals_have_the_letters_of_their_kinds() {
    let many = |group: &str, plural: &str| by_plural(group, plural).map(StoredKind::many);
    for (group, plural, word) in [
        ("", "pods", "Pods"),
        ("networking.k8s.io", "networkpolicies", "NetworkPolicies"),
        ("storage.k8s.io", "csistoragecapacities", "CSIStorageCapacities"),
        ("resource.k8s.io", "deviceclasses", "DeviceClasses"),
        ("events.k8s.io", "events", "EventsV1Events"),
    ] {
        assert_eq!(many(group, plural).as_deref(), Some(word));
    }
}

#[test]
fn kinds_with_handlers_of_their_own_are_the_stores() {
    let own: Vec<String> = ALL.iter().filter(|row| !row.is_shared()).map(StoredKind::key).collect();
    assert_eq!(own, [revision::IN_FORCE, revision::HISTORY, reservation::KIND]);
}

#[test]
fn examples_are_valid() {
    for row in shared() {
        let mut document = Document::parse(row.example().to_string().as_bytes()).unwrap();
        document.to_stored(row);
        let body = document.into_body();
        assert_eq!(row.validate(body.as_bytes()).unwrap().causes, [], "{}", row.kind);
    }
}

#[test]
fn unread_kinds_are_validated_by_their_metadata_alone() {
    let causes = |plural: &str, json: &str| {
        let row = shared().find(|row| row.plural == plural).unwrap();
        row.validate(json.as_bytes()).map(|converted| {
            assert_eq!(converted.object, None);
            converted.causes.into_iter().map(|cause| cause.field).collect::<Vec<_>>()
        })
    };
    let fields = |plural: &str, json: &str| causes(plural, json).unwrap();
    for good in [r#"{"metadata":{"name":"a.b"},"data":7}"#, r#"{"metadata":{"name":"a"},"spec":{"replicas":"many"}}"#] {
        assert_eq!(fields("configmaps", good), [] as [&str; 0], "{good}");
    }
    assert_eq!(fields("configmaps", r#"{"metadata":{"name":"A b"}}"#), ["metadata.name"]);
    assert_eq!(fields("configmaps", r"{}"), ["metadata.name"]);
    assert_eq!(fields("roles", r#"{"metadata":{"name":"system:Node x"}}"#), [] as [&str; 0], "a path segment");
    assert_eq!(fields("roles", r#"{"metadata":{"name":"a/b"}}"#), ["metadata.name"]);
    assert_eq!(fields("roles", r#"{"metadata":{"name":"system:a","generateName":"system:"}}"#), [] as [&str; 0]);
    assert_eq!(fields("leases", r#"{"metadata":{"name":"a","generateName":"system:"}}"#), ["metadata.generateName"]);
    let odd = r#"{"metadata":{"name":"a","labels":{"-":"b c"},"annotations":{"a b":""},"ownerReferences":[{}]}}"#;
    let told: BTreeSet<String> = fields("deployments", odd).into_iter().collect();
    for field in ["metadata.labels", "metadata.annotations", "metadata.ownerReferences.uid"] {
        assert!(told.contains(field), "{field} is not in {told:?}");
    }
    assert!(causes("deployments", r#"{"metadata":{"name":7}}"#).is_err(), "metadata is typed");
}

#[test]
fn both_forms_of_an_event_are_one_object() {
    let (core, view) = (by_plural("", "events").unwrap(), by_plural("events.k8s.io", "events").unwrap());
    assert!(std::ptr::eq(view.stored(), core));
    let sent =
        r#"{"metadata":{"name":"e"},"note":"n","x":1,"message":"lost","regarding":{"name":"p"},"deprecatedCount":2}"#;
    let mut document = Document::parse(sent.as_bytes()).unwrap();
    document.to_stored(view);
    let body = document.into_body();
    assert_eq!(body, r#"{"metadata":{"name":"e"},"message":"n","x":1,"involvedObject":{"name":"p"},"count":2}"#);
    let told = r#"{"metadata":{"name":"e"},"note":"n","x":1,"regarding":{"name":"p"},"deprecatedCount":2}"#;
    assert_eq!((shown(&body, view).as_ref(), shown(&body, core).as_ref()), (told, body.as_str()));
}

/// One line an object: what the API server 1.34.1 printed of it.
#[test]
fn cells_are_those_of_the_api_server() {
    let recorded = include_str!("../../../../tests/data/tables-1.34.jsonl");
    let now: jiff::Timestamp = "2026-11-26T12:00:00Z".parse().expect("an instant");
    // Ages are told apart from other texts by nobody who recorded them.
    let ageless = |cells: Vec<Value>| -> Vec<Value> {
        let is_age =
            |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h', 'd', 'y']);
        let cell = |cell: Value| match cell.as_str() {
            Some(text) if is_age(text) || text == "<unknown>" => "<age>".into(),
            _ => cell,
        };
        cells.into_iter().map(cell).collect()
    };
    let mut seen = BTreeSet::new();
    for line in recorded.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let text = |field: &str| case[field].as_str().expect("a text");
        let row = by_plural(text("group"), text("plural")).expect("a row");
        seen.insert(row.kind);
        let column = |column: &Column| json!({"name": column.name, "type": column.of, "format": column.format, "priority": column.priority});
        let columns: Vec<Value> = row.columns.iter().map(column).collect();
        assert_eq!(case["columns"], Value::from(columns), "{}", row.kind);
        let mut document = Document::parse(case["object"].to_string().as_bytes()).unwrap();
        document.to_stored(row);
        let object: Value = serde_json::from_str(&document.into_body()).unwrap();
        assert_eq!(case["cells"], Value::from(ageless(row.cells(&object, now))), "{line}");
    }
    assert!(seen.len() > 12, "{seen:?}");
}

#[test]
fn cells_that_take_several_fields() {
    let now: jiff::Timestamp = "2026-01-01T01:00:00Z".parse().expect("an instant");
    let cells = |plural: &str, object: Value| {
        let row = shared().find(|row| row.plural == plural).unwrap();
        let cells = row.cells(&object, now).into_iter().map(|cell| match cell {
            Value::String(text) => text,
            other => other.to_string(),
        });
        cells.collect::<Vec<_>>().join(" | ")
    };
    let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
    for (plural, object, told) in [
        (
            "jobs",
            json!({"metadata": {"name": "j", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"completions": 3, "template": template, "selector": {"matchLabels": {"b": "1"}, "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]}},
                "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:05:05Z"}}),
            "j | Running | 1/3 | 5m5s | 60m | a,b | x,y | a in (x,y),b=1,!c",
        ),
        (
            "jobs",
            json!({"metadata": {"name": "j"}, "spec": {"parallelism": 2}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}),
            "j | Failed | 0/1 of 2 |  | <unknown> |  |  | <none>",
        ),
        (
            "horizontalpodautoscalers",
            json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                {"type": "Pods", "pods": {"target": {"averageValue": "1k"}}},
                {"type": "External", "external": {"target": {"value": "7"}}}]},
                "status": {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 30}}}]}}),
            "h | Deployment/web | cpu: 30%/80%, <unknown>/1k + 1 more... | 1 | 5 | 2 | <unknown>",
        ),
        (
            "resourcequotas",
            json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "5", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "3"}}}),
            "q | cpu: 0/1, pods: 3/5 | limits.cpu: 0/2 | <unknown>",
        ),
        (
            "rolebindings",
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [
                {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
            "b | Role/r | <unknown> | u, v |  | n/s",
        ),
        (
            "services",
            json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["9.9.9.9"],
                "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]},
                "status": {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "1.1.1.1"}]}}}),
            "s | LoadBalancer | 10.0.0.1 | 1.1.1.1,b,9.9.9.9 | 80:30080/TCP,53/UDP | <unknown> | <none>",
        ),
        (
            "events",
            json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "R", "message": " m\n",
                "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-01-01T00:00:00Z",
                "series": {"count": 4, "lastObservedTime": "2026-01-01T00:59:00.000000Z"}}),
            "60s | Normal | R | pod/p |  | kubelet, n | m | 60m | 4 | e",
        ),
        (
            "resourceclaims",
            json!({"metadata": {"name": "c"}, "status": {"allocation": {}, "reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}}),
            "c | allocated,reserved | <unknown>",
        ),
        (
            "resourceclaims",
            json!({"metadata": {"name": "c", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            "c | deleted | <unknown>",
        ),
        (
            "resourceslices",
            json!({"metadata": {"name": "s"}, "spec": {"nodeName": "n", "driver": "gpu.example.com", "pool": {"name": "p"}}}),
            "s | n | gpu.example.com | p | <unknown>",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "c"}, "data": {"a": "", "b": ""}, "binaryData": {"c": ""}}),
            "c | 3 | <unknown>",
        ),
        (
            "roles",
            json!({"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}}),
            "r | 2026-01-01T00:00:00Z",
        ),
    ] {
        assert_eq!(cells(plural, object), told);
    }
}

fn object_kind(object: &Object) -> Kind {
    match object {
        Object::Node(_) => Kind::Node,
        Object::Pod(_) => Kind::Pod,
        Object::Namespace(_) => Kind::Namespace,
        Object::Workload(w) => Kind::Workload(w.kind),
        Object::PersistentVolume(_) => Kind::PersistentVolume,
        Object::PersistentVolumeClaim(_) => Kind::PersistentVolumeClaim,
        Object::StorageClass(_) => Kind::StorageClass,
        Object::CsiNode(_) => Kind::CsiNode,
        Object::CsiDriver(_) => Kind::CsiDriver,
        Object::CsiStorageCapacity(_) => Kind::CsiStorageCapacity,
        Object::VolumeAttachment(_) => Kind::VolumeAttachment,
        Object::PodDisruptionBudget(_) => Kind::PodDisruptionBudget,
        Object::PriorityClass(_) => Kind::PriorityClass,
        Object::RuntimeClass(_) => Kind::RuntimeClass,
        Object::DeviceClass(_) => Kind::DeviceClass,
        Object::ResourceClaim(_) => Kind::ResourceClaim,
        Object::ResourceSlice(_) => Kind::ResourceSlice,
        Object::NodeGroup(_) => Kind::NodeGroup,
    }
}

#[test]
fn a_row_has_at_most_one_other_form() {
    // Watches of a row share their events by form, and tell two forms apart.
    let views: Vec<String> =
        ALL.iter().chain(EARLIER).filter(|row| !row.is_stored_form()).map(StoredKind::key).collect();
    let distinct: std::collections::BTreeSet<&String> = views.iter().collect();
    assert_eq!(distinct.len(), views.len(), "{views:?}");
    assert!(EARLIER.iter().all(|row| row.stored().version == "v1" && row.stored().plural == row.plural));
}
