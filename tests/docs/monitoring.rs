//! The alerts and the dashboard of `deploy/` ask for metrics that exist, by labels that they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use podberth::telemetry;
use serde_json::Value;

use crate::{in_repository, read, server::Server};

const RULES: &str = "deploy/prometheus/podberth.rules.yaml";
const DASHBOARD: &str = "deploy/grafana/podberth.json";

/// Labels that Prometheus itself adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// The PromQL of the alerts and of the dashboard.
fn expressions() -> Vec<String> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)).expect("YAML");
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let mut found = Vec::new();
    for root in [&rules, &dashboard] {
        gather(root, &mut found);
    }
    assert!(found.len() > 30, "{found:?}");
    found
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("expr").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| gather(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| gather(value, found)),
        _ => {}
    }
}

/// The metrics of an expression, each with the labels in its braces.
fn named(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(['p']) {
        let is_start = !expression[..at].ends_with(is_word);
        let word: String = expression[at..].chars().take_while(|c| is_word(*c)).collect();
        if !is_start || !["podberth_", "process_"].iter().any(|prefix| word.starts_with(prefix)) {
            continue;
        }
        let rest = &expression[at + word.len()..];
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = braces.split(',').filter_map(|pair| pair.split(['=', '!', '~']).next());
        let labels = labels.map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect();
        found.push((word, labels));
    }
    found
}

/// The metrics in a text of `/metrics`, each with the labels of its series.
fn shown(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_once(['{', ' ']).expect("a name and a value");
        let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned());
        metrics.entry(name.to_owned()).or_default().extend(labels);
    }
    metrics
}

#[tokio::test]
async fn alerts_and_dashboard_name_metrics_that_exist() {
    let server = Server::with(&[]).await;
    let asked = serde_json::json!({"Pod": {"metadata": {"name": "p"}}, "NodeNames": []});
    server.post("/filter", asked).await.is(200);
    let shown = shown(server.get("/metrics").await.text());
    let mut known = BTreeSet::new();
    for (name, is_histogram) in telemetry::names() {
        let suffixes: &[&str] = if is_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        known.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    known.extend(shown.keys().cloned());
    for expression in expressions() {
        for (metric, labels) in named(&expression) {
            assert!(known.contains(&metric), "{metric} is no metric of podberth: {expression}");
            let Some(has) = shown.get(&metric) else { continue };
            let missing: Vec<_> =
                labels.iter().filter(|label| !has.contains(*label) && !ADDED.contains(&label.as_str())).collect();
            assert!(missing.is_empty(), "{metric} has no label {missing:?}: {expression}");
        }
    }
}

/// An alert about a counter that appears with its first increase would miss that increase.
#[tokio::test]
async fn counters_that_alerts_watch_without_traffic_begin_at_zero() {
    let server = Server::with(&[]).await;
    let text = server.get("/metrics").await.text().to_owned();
    let shown = shown(&text);
    for expression in expressions().iter().filter(|expression| expression.ends_with("> 0")) {
        for (metric, _) in named(expression) {
            assert!(shown.contains_key(&metric), "{metric} is not shown from the start: {expression}");
        }
    }
}

#[test]
fn promtool_accepts_the_alerts() {
    // Debian has it in the package `prometheus`; without it the other tests of this file still hold.
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(in_repository(RULES)).output() else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn metrics_are_found_in_expressions() {
    let found = named("sum by (x) (rate(podberth_a_total{code=~\"5..\", verb!=\"b\"}[5m])) / process_b > podberth_c");
    let labels = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        found,
        [
            ("podberth_a_total".to_owned(), labels(&["code", "verb"])),
            ("process_b".to_owned(), labels(&[])),
            ("podberth_c".to_owned(), labels(&[])),
        ]
    );
}
