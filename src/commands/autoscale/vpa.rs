//! The table of `podberth autoscale vpa`.

use std::fmt::Write;

use serde_json::Value;

use super::{bytes, list, text};
use crate::wire::table::rows as plain;

/// The answer for people.
pub(super) fn table(answer: &Value) -> String {
    let all = list(&answer["items"]);
    let reports: Vec<&Value> = if all.is_empty() { vec![answer] } else { all.iter().collect() };
    let rows: Vec<Vec<String>> = reports.iter().flat_map(|report| rows(report, !all.is_empty())).collect();
    if rows.is_empty() {
        return "nothing is recommended: no containers are known, or there are no autoscalers\n".into();
    }
    let heads = ["container", "cpu", "cpu bounds", "memory", "memory bounds", "samples", "days", "capped by"];
    let mut told = plain(&heads, rows);
    let discarded = answer["discarded"].as_u64().unwrap_or_default();
    if discarded > 0 {
        let _ = writeln!(told, "{discarded} samples were discarded: later ones of their containers are known");
    }
    if answer["effect"].is_object() {
        told.push_str(&effect(&answer["effect"]));
    }
    if answer["stored"] == true {
        told.push_str("status and checkpoints are stored\n");
    }
    told
}

/// A line for each container.
fn rows(report: &Value, is_named: bool) -> impl Iterator<Item = Vec<String>> {
    list(&report["containerRecommendations"]).iter().map(move |of| {
        let name = text(&of["containerName"]);
        let bounds = |resource: &str, told: fn(&Value) -> String| {
            format!("{}..{}", told(&of["lowerBound"][resource]), told(&of["upperBound"][resource]))
        };
        let history = &report["history"][&name];
        let days = history["confidence"].as_f64().unwrap_or_default();
        let capped = report["why"][&name]["capped"].as_object();
        let capped = capped.into_iter().flatten().map(|(resource, by)| format!("{resource}: {}", text(by)));
        let called = if is_named { format!("{} {name}", text(&report["name"])) } else { name.clone() };
        vec![
            called,
            text(&of["target"]["cpu"]),
            bounds("cpu", text),
            bytes(&of["target"]["memory"]),
            bounds("memory", bytes),
            text(&history["cpuSamples"]),
            format!("{days:.2}"),
            capped.collect::<Vec<_>>().join(", "),
        ]
    })
}

/// The consequences in lines.
fn effect(of: &Value) -> String {
    let requested = |when: &str, resource: &str| {
        let amount = &of[when]["resources"][resource]["requested"];
        if resource == "memory" { bytes(amount) } else { text(amount) }
    };
    let mut told = format!("with these requests, {} pods:\n", text(&of["pods"]));
    for resource in ["cpu", "memory"] {
        let _ = writeln!(
            told,
            "  {resource} requested: {} instead of {}",
            requested("after", resource),
            requested("before", resource)
        );
    }
    let _ = writeln!(
        told,
        "  nodes that could go: {} instead of {}",
        text(&of["removable"]["after"]),
        text(&of["removable"]["before"])
    );
    for stuck in list(&of["noLongerFit"]) {
        let pod = &stuck["pod"];
        let (namespace, name) = (text(&pod["namespace"]), text(&pod["name"]));
        let _ = writeln!(told, "  {namespace}/{name} would fit nowhere: {}", text(&stuck["message"]));
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recommendations_are_printed_as_a_table() {
        let answer = json!({
            "containerRecommendations": [{"containerName": "web", "target": {"cpu": "126m", "memory": "250Mi"},
                "lowerBound": {"cpu": "100m", "memory": "250Mi"}, "upperBound": {"cpu": "1", "memory": "87381333"}}],
            "history": {"web": {"cpuSamples": 60, "confidence": 0.0416}},
            "why": {"web": {"capped": {"cpu": "maxAllowed"}}},
            "discarded": 2,
            "effect": {"pods": 1, "before": {"resources": {"cpu": {"requested": "1"}, "memory": {"requested": "2"}}},
                "after": {"resources": {"cpu": {"requested": "500m"}, "memory": {"requested": "2"}}}, "removable": {"before": 0, "after": 1},
                "noLongerFit": [{"pod": {"namespace": "prod", "name": "web-0"}, "message": "0/1 nodes are available"}]},
            "stored": true
        });
        let told = table(&answer);
        for line in [
            "100m..1",
            "250Mi..83.3Mi",
            "cpu: maxAllowed",
            "0.04",
            "2 samples were discarded",
            "nodes that could go: 1 instead of 0",
            "prod/web-0 would fit nowhere",
            "are stored",
        ] {
            assert!(told.contains(line), "{line} in\n{told}");
        }
        assert!(table(&json!({})).starts_with("nothing is recommended"));
    }
}
