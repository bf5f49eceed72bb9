use super::*;

fn documents() -> Documents {
    Documents::new().unwrap()
}

#[test]
fn every_kind_has_a_schema_under_its_name() {
    let documents = documents();
    for kind in kinds::shared() {
        let schema = &documents.schemas[&schema_name(kind)];
        let named = json!([{"group": kind.group, "kind": kind.kind, "version": kind.version}]);
        assert_eq!(schema["x-kubernetes-group-version-kind"], named, "{}", kind.kind);
        assert!(schema["properties"]["metadata"].is_object() && schema["description"].is_string(), "{}", kind.kind);
        let list = &documents.schemas[&format!("{}List", schema_name(kind))];
        assert_eq!(list["properties"]["items"]["items"], reference(&schema_name(kind)), "{}", kind.kind);
        for subresource in kind.subresources {
            let (group, version, of) = subresource.answers(kind);
            assert!(documents.schemas.contains_key(&name_of(group, version, of)), "{of}");
        }
    }
}

#[test]
fn lists_say_how_they_are_patched() {
    let documents = documents();
    let field = |of: &str, field: &str| documents.schemas[of]["properties"][field].clone();
    let containers = field("io.k8s.api.core.v1.PodSpec", "containers");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    let ports = field("io.k8s.api.core.v1.Container", "ports");
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    let tolerations = field("io.k8s.api.core.v1.PodSpec", "tolerations");
    assert_eq!(tolerations["x-kubernetes-list-type"], "atomic");
    assert!(tolerations["x-kubernetes-patch-strategy"].is_null());
    let finalizers = field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers");
    assert_eq!(
        (&finalizers["x-kubernetes-list-type"], &finalizers["x-kubernetes-patch-strategy"]),
        (&json!("set"), &json!("merge"))
    );
    assert_eq!(
        documents.schemas["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"],
        "atomic"
    );
}

/// Collects the references to schemas that are not known.
fn visit(value: &Value, known: &Map<String, Value>, missing: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| match value.as_str().filter(|_| name == "$ref") {
                Some(to) if !known.contains_key(to.trim_start_matches("#/components/schemas/")) => {
                    missing.push(to.into());
                }
                _ => visit(value, known, missing),
            });
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, known, missing)),
        _ => {}
    }
}

#[test]
fn a_group_version_has_the_schemas_that_it_needs() {
    let documents = documents();
    let apps = documents.v3("apps", "v1").expect("a group");
    let schemas = &apps["components"]["schemas"];
    assert!(schemas["io.k8s.api.core.v1.PodSpec"].is_object() && schemas["io.k8s.api.core.v1.Node"].is_null());
    let spec = &schemas["io.k8s.api.apps.v1.ReplicaSet"]["properties"]["spec"];
    assert_eq!(spec["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.api.apps.v1.ReplicaSetSpec"}]));
    assert!(documents.v3("apps", "v7").is_none());
    for (group, version, _) in group_versions() {
        let document = documents.v3(group, version).expect("it is served");
        let mut missing = Vec::new();
        let known = document["components"]["schemas"].as_object().expect("schemas");
        visit(&document, known, &mut missing);
        assert_eq!(missing, [] as [String; 0], "{group}/{version}");
    }
}

#[test]
fn patches_name_their_kind_and_queries() {
    let v2 = documents().v2();
    let patch = &v2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "", "kind": "Pod", "version": "v1"}));
    let names: Vec<&str> =
        patch["parameters"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"dryRun") && names.contains(&"fieldValidation"), "{names:?}");
    assert!(to_protobuf(&v2).len() > 300_000);
}
