//! Policy files as the binary meets them: `policy check`, `policy convert` and `--policy-config-file`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use podberth::{
    store::{Key, ListQuery},
    wire::policy::{parse_configuration, revision},
};
use tempfile::TempDir;

use crate::database::{Engine, with_database};

#[path = "support/database.rs"]
#[allow(dead_code, reason = "the store's suite uses the rest")]
mod database;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// The binary with nothing of our environment.
fn podberth(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Standard output, standard error, and `true` for exit code 0.
fn run(command: &mut Command) -> (String, String, bool) {
    let Output { status, stdout, stderr } = command.output().expect("the binary starts");
    (String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"), status.success())
}

/// Like [`run`], with text on standard input.
fn run_with(command: &mut Command, input: &str) -> (String, String, bool) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    (String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"), status.success())
}

#[test]
fn check_reports_all_faults_of_every_file() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("good.yaml", "priorities:\n- {name: LeastRequestedPriority, weight: 1}\n");
    write("old.json", r#"{"predicates": [{"name": "CheckNodeCondition"}]}"#);
    write("bad.json", r#"{"predicates": [{"name": "Nope"}], "priorities": [{"name": "EqualPriority", "weight": 0}]}"#);
    write("broken.yaml", "priorities: [\n");
    let check = |files: &[&str]| run(podberth(folder.path()).args(["policy", "check"]).args(files));

    assert_eq!(check(&["good.yaml"]), ("good.yaml: ok\n".into(), String::new(), true));
    let (output, remarks, good) = check(&["old.json", "good.yaml"]);
    assert!(good && remarks.is_empty(), "{remarks}");
    assert!(output.contains("old.json: warning: predicates[0].name: "), "{output}");
    assert!(output.ends_with("good.yaml: ok\n"), "{output}");

    let (output, remarks, good) = check(&["bad.json", "broken.yaml", "absent.json", "good.yaml"]);
    assert!(!good && remarks.is_empty(), "{remarks}");
    for begin in [
        "bad.json: error: predicates[0].name: ",
        "bad.json: error: priorities[0].weight: ",
        "broken.yaml: error: yaml parse error: ",
        "absent.json: error: No such file",
        "good.yaml: ok",
    ] {
        assert!(output.lines().any(|line| line.starts_with(begin)), "{begin:?} is not in\n{output}");
    }

    let (output, _, good) = run_with(podberth(folder.path()).args(["policy", "check", "-"]), "{}");
    assert_eq!((output.as_str(), good), ("-: ok\n", true));
    assert!(!run(podberth(folder.path()).args(["policy", "check"])).2, "at least one file");
}

#[test]
fn the_examples_are_right() {
    let folder = folder();
    let files = ["policies/bin-packing.json", "policies/default.json", "policies/rack-aware.yaml"];
    let configurations = ["kube-scheduler/policy-with-extender.json", "kube-scheduler/scheduler-config.yaml"];
    let paths = files.iter().chain(&configurations).map(|file| format!("{EXAMPLES}/{file}"));
    let (output, _, good) = run(podberth(folder.path()).args(["policy", "check"]).args(paths));
    assert!(good, "{output}");
}

#[test]
fn convert_prints_a_configuration_for_kube_scheduler() {
    let folder = folder();
    let policy = format!("{EXAMPLES}/policies/rack-aware.yaml");
    let (yaml, notes, good) = run(podberth(folder.path()).args(["policy", "convert", &policy]));
    assert!(good && yaml.contains("kind: KubeSchedulerConfiguration"), "{yaml}");
    assert!(notes.contains("# priorities: serviceAntiAffinity is gone"), "{notes}");
    assert!(notes.lines().all(|line| line.starts_with("# ")), "{notes}");
    let from_yaml = parse_configuration(&yaml).expect("kube-scheduler would take it");
    assert_eq!(from_yaml.profiles.len(), 1);

    let text = fs::read_to_string(&policy).expect("the example");
    let (json, _, good) = run_with(podberth(folder.path()).args(["policy", "convert", "-", "-o", "json"]), &text);
    assert!(good && json.starts_with('{'), "{json}");
    assert_eq!(parse_configuration(&json).expect("the same"), from_yaml);

    let (output, errors, good) =
        run_with(podberth(folder.path()).args(["policy", "convert", "-"]), "{\"predicate\": 1}");
    assert!(!good && output.is_empty() && errors.starts_with("-: error: "), "{errors}");
    let (output, errors, good) = run(podberth(folder.path()).args(["policy", "convert", "absent"]));
    assert!(!good && output.is_empty() && errors.starts_with("absent: error: No such file"), "{errors}");
}

#[test]
fn a_wrong_policy_file_is_one_line_and_the_end() {
    let folder = folder();
    let serve = |text: Option<&str>| {
        if let Some(text) = text {
            fs::write(folder.path().join("policy.json"), text).expect("a file");
        }
        let arguments = ["serve", "--listen=127.0.0.1:0", "--policy-config-file=policy.json"];
        let (_, errors, good) = run(podberth(folder.path()).args(arguments));
        assert!(!good && errors.lines().count() == 1, "{errors}");
        assert!(!folder.path().join("podberth.db").exists(), "it opened the database first");
        errors
    };
    assert!(serve(None).starts_with("error: cannot use the policy policy.json: No such file"));
    let errors = serve(Some(r#"{"predicates": [{"name": "A"}, {"name": "B"}]}"#));
    assert!(errors.contains("predicates[0].name") && errors.contains("predicates[1].name"), "{errors}");
}

/// A server that is stopped when the test is over.
struct Server(Child);

impl Server {
    fn start(folder: &Path, database: &str) -> Self {
        let arguments =
            ["serve", "--listen=127.0.0.1:0", "--policy-config-file=policy.yaml", "--database-url", database];
        let child = podberth(folder).args(arguments).stderr(Stdio::piped()).spawn().expect("the binary starts");
        Self(child)
    }

    /// The log up to the line with its address.
    fn log(&mut self) -> String {
        let mut log = String::new();
        let mut lines = BufReader::new(self.0.stderr.take().expect("a pipe"));
        while !log.contains("listening on http://") {
            assert_ne!(lines.read_line(&mut log).expect("text"), 0, "it ended before it listened: {log}");
        }
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone only where the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_with_one_file_store_it_once() {
    with_database(Engine::Postgres, async |database| {
        let folder = folder();
        let file = |weight: u8| {
            let text = format!("# {weight}\npriorities:\n- {{name: LeastRequestedPriority, weight: {weight}}}\n");
            fs::write(folder.path().join("policy.yaml"), &text).expect("a file");
            text
        };
        let store = database.store().await;
        // Each round starts three at once; the second round finds the same file, the third another.
        for (weight, revisions) in [(1, 1), (1, 1), (2, 2)] {
            let text = file(weight);
            let mut servers: Vec<_> = (0..3).map(|_| Server::start(folder.path(), &database.url)).collect();
            for server in &mut servers {
                let log = server.log();
                assert!(log.contains("the policy of the file is in force"), "{log}");
            }
            let history = store.list("default", &ListQuery::all(revision::HISTORY)).await.expect("the store answers");
            assert_eq!(history.items.len(), revisions - 1, "the one in force is not kept twice");
            let key = Key::new(revision::IN_FORCE, "", revision::DEFAULT);
            let in_force = store.get("default", &key).await.expect("the store answers").expect("a policy");
            let newest: revision::Revision = serde_json::from_slice(&in_force.body).expect("a revision");
            assert_eq!((newest.revision, newest.text), (revisions as u64, text));
        }
    })
    .await;
}
