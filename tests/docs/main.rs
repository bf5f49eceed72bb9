//! The guides are correct: every command in them is run unchanged, and its output is compared with the one shown.
//!
//! A fenced `sh` block holds `curl` and `podberth` commands. They run in the order of the guide, in the folder of this
//! repository, against one server in this process that stands for every host. A block right behind it shows the output:
//! `json` the last command's as a value, `json part` the same with whatever keys it has besides, anything else all
//! output as text. Without such a block a command only has to succeed.
//!
//! Two comments may stand before a block: `<!-- skip: why -->` and, of a block that shows a file, `<!-- file: path -->`.

#[path = "../support/server.rs"]
mod server;

mod blocks;
mod commands;
mod links;
mod monitoring;
mod threats;

use std::{fs, path::PathBuf, time::Duration};

use blocks::{Block, Mark};
use podberth::{
    store::{self, Options},
    wire::decision::Share,
};
use serde_json::Value;
use server::{Server, Setup};

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a guide on a server that begins with the objects of some files.
async fn runs(guide: &str, state: &[&str]) {
    let options = Options { history: Some(Duration::from_hours(1)), ..Options::default() };
    let store = store::open("sqlite::memory:", &options).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    let server = Server::start(store, Setup { decisions: Share::Binds, ..Setup::default() });
    for path in state {
        let import = format!("curl --data-binary @{path} http://localhost:8080/import");
        let imported = commands::run(&server, &import).await;
        assert!(imported.succeeded, "{import}\n{}", imported.text);
    }
    let text = read(guide);
    let blocks = blocks::of(&text);
    let mut ran = 0;
    for (i, block) in blocks.iter().enumerate() {
        let at = format!("{guide}:{}", block.line);
        if let Mark::File(path) = block.mark {
            assert_eq!(block.text, read(path).trim_end(), "{at} is not {path}");
            continue;
        }
        if block.language != "sh" || block.mark == Mark::Skip {
            continue;
        }
        let mut outputs = Vec::new();
        for command in commands::split(block.text) {
            outputs.push((command.clone(), commands::run(&server, &command).await));
            ran += 1;
        }
        match blocks.get(i + 1).filter(|next| next.follows && next.language != "sh") {
            Some(expected) => shows(&format!("{guide}:{}", expected.line), expected, &outputs),
            None => {
                for (command, output) in &outputs {
                    assert!(output.succeeded, "{at}: {command}\n{}", output.text);
                }
            }
        }
    }
    assert!(ran > 0, "{guide} has no commands");
}

fn shows(at: &str, expected: &Block<'_>, outputs: &[(String, commands::Output)]) {
    let (command, last) = outputs.last().expect("a block of commands has one");
    if !matches!(expected.language, "json" | "json part") {
        let text: String = outputs.iter().map(|(_, output)| &*output.text).collect();
        assert_eq!(lines(expected.text), lines(&text), "{at}");
        return;
    }
    let wanted: Value = serde_json::from_str(expected.text).unwrap_or_else(|error| panic!("{at}: {error}"));
    let found = serde_json::from_str(&last.text).unwrap_or_else(|error| panic!("{at}: {error}: {}", last.text));
    let mut differences = Vec::new();
    differ("", &wanted, &found, expected.language == "json part", &mut differences);
    assert!(differences.is_empty(), "{at}: {command}\n{}\nin {found:#}", differences.join("\n"));
}

/// Without the blanks at the ends of lines and the empty lines at the end.
fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

/// Where two values differ. Of a `part` only the keys wanted are looked at; lists are always whole.
fn differ(at: &str, wanted: &Value, found: &Value, part: bool, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let more = found.keys().filter(|key| !part && !wanted.contains_key(*key));
            differences.extend(more.map(|key| format!("{at}.{key} is not shown")));
            for (key, value) in wanted {
                differ(&format!("{at}.{key}"), value, found.get(key).unwrap_or(&Value::Null), part, differences);
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (i, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                differ(&format!("{at}[{i}]"), wanted, found, part, differences);
            }
        }
        _ if wanted == found => {}
        _ => differences.push(format!("{at} is {found}, shown as {wanted}")),
    }
}

#[tokio::test]
async fn readme() {
    runs("README.md", &[]).await;
}

#[tokio::test]
async fn decision_tree() {
    runs("docs/decision-tree.md", &[]).await;
}

#[tokio::test]
async fn own_scheduler() {
    runs("docs/own-scheduler.md", &[]).await;
}

#[tokio::test]
async fn clusters() {
    runs("docs/clusters.md", &[]).await;
}

#[tokio::test]
async fn live_clusters() {
    runs("docs/live-clusters.md", &[]).await;
}

#[tokio::test]
async fn placements() {
    runs("docs/placements.md", &[]).await;
}

#[tokio::test]
async fn fleet_schedulers() {
    runs("docs/fleet-schedulers.md", &[]).await;
}

#[tokio::test]
async fn security() {
    runs("docs/security.md", &[]).await;
}

#[tokio::test]
async fn kubernetes_api() {
    runs("docs/kubernetes-api.md", &[]).await;
}

#[tokio::test]
async fn evictions() {
    runs("docs/evictions.md", &[]).await;
}

#[tokio::test]
async fn preemption() {
    runs("docs/preemption.md", &[]).await;
}

#[tokio::test]
async fn extender() {
    runs("docs/extender.md", &[]).await;
}

#[tokio::test]
async fn kube_scheduler() {
    runs("docs/kube-scheduler.md", &[]).await;
}

#[tokio::test]
async fn policies() {
    // The state of `podberth demo`.
    let demo = ["examples/cluster.yaml", "examples/pods/web.yaml", "examples/pods/impossible.yaml"];
    runs("docs/policies.md", &demo).await;
}

#[tokio::test]
async fn schedule() {
    runs("docs/schedule.md", &[]).await;
}

#[tokio::test]
async fn autoscale_down() {
    runs("docs/autoscale-down.md", &[]).await;
}

#[tokio::test]
async fn reschedule() {
    runs("docs/reschedule.md", &[]).await;
}

#[tokio::test]
async fn ui() {
    runs("docs/ui.md", &[]).await;
}

#[tokio::test]
async fn autoscale_up() {
    runs("docs/autoscale-up.md", &[]).await;
}

#[tokio::test]
async fn what_if() {
    runs("docs/what-if.md", &[]).await;
}

#[tokio::test]
async fn autoscale_hpa() {
    runs("docs/autoscale-hpa.md", &[]).await;
}

#[tokio::test]
async fn decisions() {
    runs("docs/decisions.md", &[]).await;
}

#[tokio::test]
async fn policy_diff() {
    runs("docs/policy-diff.md", &[]).await;
}

#[tokio::test]
async fn policy_tests() {
    runs("docs/policy-tests.md", &[]).await;
}

#[tokio::test]
async fn autoscale() {
    runs("docs/autoscale.md", &[]).await;
}

#[tokio::test]
async fn autoscale_vpa() {
    runs("docs/autoscale-vpa.md", &[]).await;
}

#[tokio::test]
async fn replicas() {
    runs("docs/replicas.md", &[]).await;
}

#[tokio::test]
async fn time_travel() {
    runs("docs/time-travel.md", &[]).await;
}

#[test]
fn the_check_itself_sees() {
    let differences = |wanted: Value, found: Value, part| {
        let mut differences = Vec::new();
        differ("", &wanted, &found, part, &mut differences);
        differences
    };
    let found = serde_json::json!({"a": [1, {"b": 2, "c": 3}], "d": null});
    assert_eq!(differences(found.clone(), found.clone(), false), [""; 0]);
    let wanted = serde_json::json!({"a": [1, {"b": 2}]});
    assert_eq!(differences(wanted.clone(), found.clone(), true), [""; 0]);
    assert_eq!(differences(wanted, found.clone(), false), [".d is not shown", ".a[1].c is not shown"]);
    assert_eq!(differences(serde_json::json!({"a": [1]}), found, true), [".a is [1,{\"b\":2,\"c\":3}], shown as [1]"]);
}
