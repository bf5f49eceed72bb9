use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A field of a message: its number, and a text or a message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(number) << 3 | 2);
    varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

/// A field of a message with a whole number.
fn whole(number: u8, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(number) << 3);
    varint(&mut out, value.cast_unsigned());
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn body(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC, &field(1, &meta), &field(2, message), &field(3, b""), &field(4, b"")].concat()
}

fn read(body: &[u8]) -> serde_json::Value {
    let json = to_json(body, ("", "")).expect("it is read");
    serde_json::from_str(&json).expect("it is JSON")
}

/// Bodies that kubectl 1.33 sent.
#[test]
fn bodies_of_kubectl_are_read() {
    let of = |base64: &str| read(&BASE64_STANDARD.decode(base64).expect("base64"));
    let budget = "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSSwolCgN3ZWISABoSdC1wcm90b2J1Zi1rdWJlY3RsIgAqADIAOABCABIWCgYIABABGgASDAoKCgNhcHASA3dlYhoKCAAYACAAKAAwABoAIgA=";
    let expected = json!({"kind": "PodDisruptionBudget", "apiVersion": "policy/v1", "metadata": {"name": "web", "namespace": "t-protobuf-kubectl"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}});
    assert_eq!(of(budget), expected);
    let class = "azhzAAolChRzY2hlZHVsaW5nLms4cy5pby92MRINUHJpb3JpdHlDbGFzcxJDCiAKEHByb3RvYnVmLWt1YmVjdGwSABoAIgAqADIAOABCABDoBxgAIgRoaWdoKhRQcmVlbXB0TG93ZXJQcmlvcml0eRoAIgA=";
    let expected = json!({"kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": "protobuf-kubectl"},
        "value": 1000, "description": "high", "preemptionPolicy": "PreemptLowerPriority"});
    assert_eq!(of(class), expected);
}

#[test]
fn values_of_every_type_become_json() {
    let meta = [
        field(1, b"web"),
        field(8, &[whole(1, 1_767_366_245), whole(2, 999)].concat()),
        whole(10, 0),
        field(11, &[field(1, b"b"), field(2, b"2")].concat()),
        field(11, &[field(1, b"a"), field(2, b"1")].concat()),
        field(11, &[field(1, b"b"), field(2, b"3")].concat()),
        field(17, &[field(1, b"kubectl"), field(7, &field(1, br#"{"f:a":{}}"#))].concat()),
        field(14, b"x"),
        field(14, b""),
    ]
    .concat();
    let requests = field(2, &[field(1, b"cpu"), field(2, &field(1, b"500m"))].concat());
    let container =
        [field(1, b"c"), field(8, &requests), field(6, &[field(1, b"web"), whole(2, 0), whole(3, 80)].concat())]
            .concat();
    let volume = [field(1, b"v"), field(2, &field(2, b""))].concat();
    let spec = [
        field(1, &volume),
        field(2, &container),
        whole(4, 0),
        whole(11, 0),
        whole(12, 1),
        whole(25, -5),
        field(14, &[whole(4, 7), whole(4, 8)].concat()),
        field(99, b"later"),
        field(8, b"first"),
        field(8, b"last"),
    ]
    .concat();
    let pod = [field(1, &meta), field(2, &spec), field(3, b"")].concat();
    let expected = json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "web", "creationTimestamp": "2026-01-02T15:04:05Z", "deletionGracePeriodSeconds": 0,
            "labels": {"a": "1", "b": "3"}, "finalizers": ["x", ""], "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:a": {}}}]},
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 80}], "resources": {"requests": {"cpu": "500m"}}}],
            "terminationGracePeriodSeconds": 0, "serviceAccountName": "last", "hostPID": true,
            "securityContext": {"supplementalGroups": [7, 8]}, "priority": -5}});
    assert_eq!(read(&body("v1", "Pod", &pod)), expected);

    let lease = [
        field(1, &field(1, b"l")),
        field(2, &[field(1, b""), field(4, &[whole(1, 1), whole(2, 5_000)].concat())].concat()),
    ]
    .concat();
    let spec = &read(&body("coordination.k8s.io/v1", "Lease", &lease))["spec"];
    assert_eq!(spec, &json!({"holderIdentity": "", "renewTime": "1970-01-01T00:00:01.000005Z"}));
    let budget = field(2, &field(3, &[whole(1, 1), field(3, b"50%")].concat()));
    assert_eq!(read(&body("policy/v1", "PodDisruptionBudget", &budget))["spec"]["maxUnavailable"], "50%");
    let config = field(3, &[field(1, b"k"), field(2, &[0, 255])].concat());
    assert_eq!(read(&body("v1", "ConfigMap", &config))["binaryData"]["k"], "AP8=");
    let options = [whole(1, 0), field(2, &field(1, b"u")), field(5, b"All")].concat();
    let expected = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "dryRun": ["All"]});
    assert_eq!(read(&body("v1", "DeleteOptions", &options)), expected);
    let extra =
        field(2, &field(5, &[field(1, b"scopes"), field(2, &[field(1, b"a"), field(1, b"b")].concat())].concat()));
    assert_eq!(
        read(&body("authorization.k8s.io/v1", "SubjectAccessReview", &extra))["spec"]["extra"],
        json!({"scopes": ["a", "b"]})
    );
}

/// A message of which parts stand in several places is their union.
#[test]
fn parts_of_a_message_are_merged() {
    let spec = [field(2, &field(10, b"node-a")), field(1, &field(1, b"p")), field(2, &field(19, b"mine"))].concat();
    let pod = read(&body("v1", "Pod", &spec));
    assert_eq!(pod["spec"], json!({"nodeName": "node-a", "schedulerName": "mine"}));
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let error = |body: &[u8]| to_json(body, ("v1", "ConfigMap")).expect_err("it is refused").to_string();
    assert_eq!(error(b"k8s\0"), "empty body");
    assert!(error(&[0; 6]).ends_with("expected prefix [107 56 115 0]") && error(b"").contains("expected prefix"));
    let whole_body = body("v1", "ConfigMap", &field(1, &field(1, b"cm")));
    assert_eq!(error(&whole_body[..whole_body.len() - 8]), "unexpected EOF");
    assert_eq!(error(&body("v1", "Secret", b"")), r#"no kind "Secret" is registered for version "v1""#);
    assert_eq!(error(&body("v1", "ConfigMap", &whole(1, 7))), "proto: wrong wireType for field metadata");
    assert_eq!(error(&body("v1", "ConfigMap", &[0x0b])), "proto: illegal wireType 3");
    assert_eq!(error(&body("v1", "ConfigMap", &[0x02, 0])), "proto: illegal tag 0");
    assert_eq!(error(&body("v1", "ConfigMap", &[0xff; 12])), "proto: integer overflow");
    assert_eq!(error(&body("v1", "ConfigMap", &field(1, &field(1, &[0xff])))), "field name is not UTF-8");
    let times = field(1, &field(8, &whole(1, i64::MAX)));
    assert_eq!(error(&body("v1", "ConfigMap", &times)), "field creationTimestamp is a time out of range");
    let unnamed = [MAGIC, &field(2, &field(1, &field(1, b"cm")))].concat();
    let json = to_json(&unnamed, ("v1", "ConfigMap")).expect("the kind of the path");
    assert!(json.contains(r#""kind":"ConfigMap""#) && json.contains(r#""name":"cm""#), "{json}");
}

/// Bytes of which most parts are messages of messages.
fn arbitrary_message() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        (1..40_u8, any::<i64>()).prop_map(|(number, value)| whole(number, value)),
        (1..40_u8, "[a-z{}\"\\\\]{0,8}").prop_map(|(number, text)| field(number, text.as_bytes())),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop::collection::vec((1..42_u8, inner), 0..6)
            .prop_map(|fields| fields.into_iter().flat_map(|(number, bytes)| field(number, &bytes)).collect())
    })
}

proptest! {
    #[test]
    fn any_bytes_are_json_within_the_weight_or_refused(message in arbitrary_message(), kind in 0..4_usize, cut in any::<prop::sample::Index>()) {
        let (api_version, kind) = [("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "Event"), ("resource.k8s.io/v1", "ResourceSlice")][kind];
        let whole = body(api_version, kind, &message);
        for body in [&whole[..], &whole[..cut.index(whole.len())], &message] {
            if let Ok(json) = to_json(body, ("v1", "Pod")) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
                prop_assert!(json.len() <= weight(body) + 64, "{} of {}", json.len(), body.len());
            }
        }
    }
}
