//! `podberth test`: the examples, and the outcome of scenarios of each kind.

use std::{fs, path::Path};

use podberth::commands::test::{Options, Said, run};

fn options(path: &Path) -> Options {
    Options { paths: vec![path.to_owned()], filter: None, junit: None, update: false }
}

/// Runs one file in a folder of its own, which a function may prepare.
fn tested(text: &str) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("case.yaml");
    fs::write(&file, text).expect("a file");
    let said = run(&options(&file));
    Said { output: said.output.replace(&*folder.path().to_string_lossy(), "."), ..said }
}

const CLUSTER: &str = "cluster:
  nodes:
  - {metadata: {name: a, labels: {zone: x}}, status: {allocatable: {cpu: '2', memory: 4Gi, pods: '10'}}}
  - {metadata: {name: b, labels: {zone: y}}, status: {allocatable: {cpu: '1', memory: 4Gi, pods: '10'}}}
pods:
- count: 2
  pod: {metadata: {name: web, labels: {app: web}}, spec: {containers: [{name: c, resources: {requests: {cpu: '1'}}}]}}
";

#[test]
fn the_examples_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios");
    let said = run(&options(&folder));
    assert_eq!((said.code, &*said.remarks), (0, ""), "{}", said.output);
    assert!(said.output.ends_with("5 scenarios: 5 ok, 0 failed\n"), "{}", said.output);
}

#[test]
fn what_is_expected_and_what_came_is_told_with_the_matrix() {
    for (expect, line) in [
        ("{pod: web-1, node: b}", "expect[0]: default/web-1: expected to go to b, and it goes to a"),
        ("{pod: web-*, notNode: [a, b]}", "expect[0]: default/web-1: expected not to go to a or b, and it goes to a"),
        ("{unschedulable: true}", "expect[0]: default/web-1: expected to fit nowhere, and it goes to a"),
        ("{pod: web-1, order: [b, a]}", "expect[0]: default/web-1: expected the order b, a, and it is a, b"),
        ("{pod: web-1, scores: {a: 7}}", "expect[0]: default/web-1: expected a to score 7, and it scores "),
        (
            "{pod: web-1, scores: {c: 7}}",
            "expect[0]: default/web-1: expected c to score 7, and it scores nothing, since there is no such node",
        ),
        ("{pod: db, node: a}", "expect[0]: no pod of the scenario is \"db\": nothing is checked"),
        ("{nodesInUse: 1}", "expect[0]: expected 1 nodes in use, and there are 2"),
        ("{scheduled: {max: 1}}", "expect[0]: expected at most 1 of 2 pods to find a node, and 2 did"),
        (
            "{selector: app=web, spread: {topologyKey: zone, maxSkew: 0}}, {pod: web-1, spread: {topologyKey: zone, maxSkew: 0}}",
            "expect[1]: expected a skew of at most 0 over zone, and it is 1 (x: 1, y: 0)",
        ),
        (
            "{spread: {topologyKey: rack, maxSkew: 0}}",
            "expect[0]: expected pods spread over rack, and no node has this label",
        ),
    ] {
        let said = tested(&format!("{CLUSTER}expect: [{expect}]\n"));
        assert_eq!((said.code, &*said.remarks), (1, ""), "{expect}: {}", said.output);
        assert!(said.output.contains(line), "{expect}: {}", said.output);
        assert_eq!(said.output.contains("2 of them fit"), line.contains("default/web-1"), "{expect}: {}", said.output);
    }
    let full = "- {pod: web-3, unschedulable: no room}\n";
    let said = tested(&format!(
        "{}expect:\n{full}",
        CLUSTER.replace("count: 2", "count: 3").replace("b, labels: {zone: y}}", "b}, spec: {unschedulable: true}")
    ));
    let line = "expected to fit nowhere for \"no room\", and it fits nowhere: 0/2 nodes are available: ";
    assert!(said.output.contains(line), "{}", said.output);
}

#[test]
fn faults_name_the_file_the_document_and_the_field() {
    for (text, told) in [
        ("name: x\nexpekt: []\n", "case.yaml: case: expekt: unknown field; did you mean \"expect\"?"),
        (
            "name: a\n---\nname: b\nexpect: [{nod: a}]\n",
            "case.yaml: case, document 2: expect[0].nod: unknown field; did you mean \"node\"?",
        ),
        ("name: x\n", "case.yaml: x: nothing is expected: add expect, or snapshot: true"),
        ("name: [\n", "case.yaml: case: "),
        ("expect: [{scheduled: 0}]\nclusterFile: no.yaml\n", "case.yaml: case: clusterFile: "),
        ("expect: [{scheduled: 0}]\npolicy: {kind: Policy, predicates: [{name: Nope}]}\n", "predicates[0].name"),
        ("expect: [{selector: '=', scheduled: 0}]\n", "expect[0].selector: "),
        (
            "pods: [{metadata: {name: p}, spec: {nodeSelektor: {a: b}}}]\nexpect: [{scheduled: 0}]\n",
            "case.yaml: case: unknown field \"pods[0].spec.nodeSelektor\"",
        ),
        ("cluster: {nods: []}\nexpect: [{scheduled: 0}]\n", "unknown field \"cluster.nods\"; did you mean \"nodes\"?"),
        (
            "pods: [{metadata: {name: p}}, {metadata: {name: p}}]\nexpect: [{scheduled: 0}]\n",
            "pods: Duplicate value: \"default/p\"",
        ),
        (
            "pods: [{metadata: {name: p, annotations: {a: '\"kind\" \"count\"'}}, spec: {nodeSelektor: {a: b}}}]\nexpect: [{scheduled: 0}]\n",
            "unknown field \"pods[0].spec.nodeSelektor\"",
        ),
        (
            "pods: [{kind: Deployment, apiVersion: apps/v1, spec: {template: {spec: {nodeSelektor: {}}}}}]\nexpect: [{scheduled: 0}]\n",
            "unknown field \"pods[0].spec.template.spec.nodeSelektor\"",
        ),
        (
            "pods: [{count: 2, pod: {metadata: {name: p}, spec: {nodeSelektor: {}}}}]\nexpect: [{scheduled: 0}]\n",
            "unknown field \"pods[0].spec.nodeSelektor\"",
        ),
        ("pods: [{count: 2, metadata: {name: p}}]\nexpect: [{scheduled: 0}]\n", "unknown field \"pods[0].count\""),
        (
            "pods: [{count: 99999999999999999999, pod: {metadata: {name: p}}}]\nexpect: [{scheduled: 0}]\n",
            "pods[0].count: ",
        ),
        ("pods: [{metadata: {name: p}}]\nexpect: [{pod: p}]\n", "expect[0]: nothing is expected of the pods"),
        ("name: a\nname: b\n", "duplicate mapping key: name at line 2"),
        (
            "name: x\nexpect: [{scheduled: 0}]\n---\nname: x\nexpect: [{scheduled: 0}]\n",
            "case.yaml: x: another scenario of the file has this name",
        ),
    ] {
        let said = tested(text);
        assert_eq!(said.code, 2, "{text}: {}", said.output);
        assert!(said.remarks.contains(told), "{text}: {}", said.remarks);
    }
}

#[test]
fn outcomes_are_stored_beside_the_file_and_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("case.yaml");
    let text = format!("# a comment\nname: kept\nsnapshot: true\n{CLUSTER}");
    fs::write(&file, &text).expect("a file");
    let missing = run(&options(&file));
    assert!(missing.code == 1 && missing.output.contains("there is no stored outcome yet: run with --update"));
    let updated = run(&Options { update: true, ..options(&file) });
    assert_eq!((updated.code, &*updated.remarks), (0, ""));
    let stored = fs::read_to_string(folder.path().join("case.yaml.snap.json")).expect("an outcome");
    assert!(stored.contains("\"default/web-1\"") && stored.contains("\"nodesInUse\": 2"), "{stored}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), text, "comments stay");
    assert_eq!(run(&options(folder.path())).code, 0);
    fs::write(&file, text.replace("cpu: '2'", "cpu: '1'")).expect("a file");
    let other = run(&options(&file));
    assert!(
        other.code == 1 && other.output.contains("run with --update") && other.output.contains("+ {\"pod\""),
        "{}",
        other.output
    );
}

#[test]
fn a_folder_is_searched_and_parts_are_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("parts/cluster.yaml", "nodes: [{metadata: {name: a}, status: {allocatable: {cpu: '1', pods: '10'}}}]\n");
    write("parts/pod.yaml", "kind: Pod\napiVersion: v1\nmetadata: {name: web}\n");
    write(
        "b.yaml",
        "name: second\nclusterFile: parts/cluster.yaml\npodsFile: parts/pod.yaml\nexpect: [{pod: web, node: a}]\n",
    );
    write("a/first.json", r#"{"expect": [{"scheduled": 0}]}"#);
    let junit = folder.path().join("out.xml");
    let said = run(&Options { junit: Some(junit.clone()), ..options(folder.path()) });
    assert_eq!((said.code, &*said.remarks), (0, ""), "{}", said.output);
    assert!(
        said.output.find("first").is_some_and(|first| said.output.find("second").is_some_and(|second| first < second))
    );
    let report = fs::read_to_string(junit).expect("a report");
    assert_eq!((report.matches("<testsuite ").count(), report.matches("<testcase ").count()), (2, 2), "{report}");
    let filtered = run(&Options { filter: Some("second".into()), ..options(folder.path()) });
    assert!(filtered.output.ends_with("1 scenario: 1 ok, 0 failed\n"), "{}", filtered.output);
    let none = run(&Options { filter: Some("third".into()), ..options(folder.path()) });
    assert!(none.code == 2 && none.remarks.contains("there is no scenario"));
}

#[test]
fn a_bundle_of_a_decision_is_held_against_its_answer() {
    let bundle = |selected: &str| {
        format!(
            r#"{{"pod": {{"metadata": {{"name": "web"}}}}, "seed": 3, "policy": {{"kind": "Policy", "apiVersion": "v1"}},
            "cluster": {{"nodes": [{{"metadata": {{"name": "a"}}, "status": {{"allocatable": {{"cpu": "1", "pods": "10"}}}}}}]}},
            "answer": {{"selected": "{selected}", "message": "default/web would go to {selected}: 1/1 nodes are available.", "nodes": []}}}}"#
        )
    };
    assert_eq!(tested(&bundle("a")).code, 0);
    let said = tested(&bundle("b"));
    assert!(
        said.code == 1 && said.output.contains("expected the recorded answer: default/web would go to b"),
        "{}",
        said.output
    );
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

#[test]
fn unknown_fields_of_files_are_refused_in_pods_and_warned_of_in_clusters() {
    let files = folder(&[
        ("parts/pods.json", r#"{"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "a"}}]}"#),
        ("parts/odd.yaml", "kind: Pod\nmetadata: {name: a}\nspec: {nodeSelektor: {}}\n"),
        ("parts/cluster.yaml", "kind: Node\napiVersion: v1\nmetadata: {name: n}\nspec: {newField: 1}\n"),
        ("a.yaml", "name: list\npodsFile: parts/pods.json\nexpect: [{pod: a, unschedulable: true}]\n"),
        ("b.yaml", "name: odd\npodsFile: parts/odd.yaml\nexpect: [{scheduled: 0}]\n"),
        ("c.yaml", "name: newer\nclusterFile: parts/cluster.yaml\nexpect: [{scheduled: 0}]\n"),
    ]);
    let said = run(&options(files.path()));
    assert!(said.output.ends_with("3 scenarios: 2 ok, 0 failed, 1 unreadable\n"), "{}", said.output);
    assert!(said.remarks.contains("odd: unknown field \"pods[0].spec.nodeSelektor\""), "{}", said.remarks);
    assert!(said.remarks.contains("warning: ") && said.remarks.contains("spec.newField"), "{}", said.remarks);
}

#[test]
fn files_of_one_stem_have_outcomes_of_their_own() {
    let yaml = format!("name: kept\nsnapshot: true\n{CLUSTER}");
    let files = folder(&[("case.yaml", &yaml), ("case.json", r#"{"name": "other", "snapshot": true}"#)]);
    assert_eq!(run(&Options { update: true, ..options(files.path()) }).code, 0);
    assert_eq!(run(&options(files.path())).code, 0);
    for name in ["case.yaml.snap.json", "case.json.snap.json"] {
        assert!(files.path().join(name).exists(), "{name}");
    }
}

#[test]
fn an_update_keeps_stored_outcomes_that_cannot_be_read() {
    let yaml = format!("name: kept\nsnapshot: true\n{CLUSTER}");
    let files = folder(&[("case.yaml", &yaml), ("case.yaml.snap.json", "<<<<<<< HEAD")]);
    let said = run(&Options { update: true, ..options(files.path()) });
    assert!(said.code == 2 && said.remarks.contains("case.yaml.snap.json: "), "{}", said.remarks);
    let stored = fs::read_to_string(files.path().join("case.yaml.snap.json")).expect("a file");
    assert_eq!(stored, "<<<<<<< HEAD");
}

#[test]
fn nothing_checked_is_no_success() {
    for (text, code, told) in [
        ("expect: [{unschedulable: false}]\n", 1, "the scenario places no pod: nothing is checked"),
        ("cluster: {}\nanswer: {message: fits}\n", 1, "expected the recorded answer, and no pod is decided"),
        ("# empty\n", 2, "there is no scenario in the file"),
    ] {
        let said = tested(text);
        assert_eq!(said.code, code, "{text}: {} {}", said.output, said.remarks);
        assert!(said.output.contains(told) || said.remarks.contains(told), "{text}: {} {}", said.output, said.remarks);
    }
    let files = folder(&[("good.yaml", "expect: [{scheduled: 0}]\n"), ("none/readme.txt", "")]);
    let paths = vec![files.path().join("good.yaml"), files.path().join("none")];
    let said = run(&Options { paths, ..options(files.path()) });
    assert!(said.code == 2 && said.remarks.contains("there is no scenario in the folder"), "{}", said.remarks);
}

#[test]
fn explanations_are_of_the_cluster_that_each_pod_was_decided_on() {
    let order = "{pod: web-1, scores: {a: 72}}, {pod: web-2, scores: {a: 45}}, {pod: web-1, scores: {a: 72}}";
    let policy = "policy: {kind: Policy, apiVersion: v1, predicates: [{name: PodFitsResources}], priorities: [{name: LeastRequestedPriority, weight: 1}]}";
    let said = tested(&format!("{CLUSTER}{policy}\nexpect: [{order}]\n"));
    assert!(said.code < 2, "{}", said.remarks);
    // A pod without a memory request counts as 200 of 4096Mi. First 1 of 2 CPUs stays free: (50 + 95) / 2; then none: (0 + 90) / 2.
    assert_eq!(said.code, 0, "{}", said.output);
}

#[test]
fn long_lists_of_failures_are_cut() {
    let said = tested(&format!("{}expect: [{{node: none}}]\n", CLUSTER.replace("count: 2", "count: 60")));
    assert!(said.code == 1 && said.output.contains("        … and 10 more\n"), "{}", said.output);
}

#[test]
fn names_do_not_control_the_terminal() {
    let said = tested("name: \"a\\nb\\e[31m\"\nexpect: [{scheduled: 0}]\n");
    assert!(said.output.contains("  ok    a b [31m\n"), "{}", said.output);
}

#[cfg(unix)]
#[test]
fn links_that_lead_back_are_entered_once() {
    let files = folder(&[("deep/a.yaml", "expect: [{scheduled: 0}]\n")]);
    for name in ["up", "again"] {
        std::os::unix::fs::symlink("..", files.path().join("deep").join(name)).expect("a link");
    }
    let said = run(&options(files.path()));
    assert_eq!((said.code, &*said.remarks), (0, ""), "{}", said.output);
    assert!(said.output.ends_with("1 scenario: 1 ok, 0 failed\n"), "{}", said.output);
}
