//! The table of `podberth autoscale up`.

use std::fmt::Write;

use serde_json::Value;

use super::{list, text};
use crate::wire::table::rows;

/// Pods of which each part of the table tells.
const MOST_TOLD: usize = 20;

/// The answer for people.
pub(super) fn table(answer: &Value) -> String {
    let mut told = format!("{}\n", text(&answer["result"]));
    let increase = entries(&answer["increase"]).map(|(group, by)| format!("{group} +{}", text(by))).collect::<Vec<_>>();
    if !increase.is_empty() {
        let _ = writeln!(told, "increase: {}", increase.join(", "));
    }
    let exact = &answer["exact"];
    if exact.is_object() {
        let proof = if exact["proven"] == true { "no plan has fewer" } else { "a plan with fewer may exist" };
        let (nodes, least) = (text(&exact["nodes"]), text(&exact["lowerBound"]));
        let _ = writeln!(told, "{nodes} nodes, at least {least} are needed: {proof}");
    }
    let options = list(&answer["options"]).iter().map(|option| {
        let is_best = option["nodeGroup"] == answer["best"];
        let wasted =
            |of: &str| option["waste"][of].as_f64().map_or_else(String::new, |part| format!("{:.0}%", part * 100.0));
        vec![
            format!("{}{}", if is_best { "*" } else { "" }, text(&option["nodeGroup"])),
            text(&option["nodeCount"]),
            list(&option["pods"]).len().to_string(),
            wasted("cpu"),
            wasted("memory"),
            text(&option["cost"]),
            text(&option["similar"]),
        ]
    });
    let heads = ["group", "nodes", "pods helped", "cpu unused", "memory unused", "cost", "similar"];
    let skipped = entries(&answer["skipped"]).map(|(group, why)| vec![group.clone(), text(why)]);
    let helpless = entries(&answer["podsRemainUnschedulable"]).take(MOST_TOLD).map(|(pod, reasons)| {
        let reasons = entries(reasons).map(|(group, why)| format!("{group}: {}", text(why))).collect::<Vec<_>>();
        vec![pod.clone(), reasons.join("; ")]
    });
    let parts = [
        rows(&heads, options),
        rows(&["group passed over", "why"], skipped),
        rows(&["pod without help", "why"], helpless),
    ];
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let _ = write!(told, "\n{part}");
    }
    for (field, what) in [("podsTriggered", "helped"), ("podsAwaitEvaluation", "helped by the next round")] {
        let pods = list(&answer[field]);
        if !pods.is_empty() {
            let more = pods.len().saturating_sub(MOST_TOLD);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names: Vec<String> = pods.iter().take(MOST_TOLD).map(text).collect();
            let _ = write!(told, "\n{what}: {}{more}", names.join(", "));
        }
    }
    told.truncate(told.trim_end().len());
    told + "\n"
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn groups_pods_and_reasons_are_told_in_lines() {
        let answer = json!({"result": "ScaleUpSuccessful", "increase": {"workers": 2}, "best": "workers",
            "options": [{"nodeGroup": "workers", "nodeCount": 2, "pods": ["default/web"], "waste": {"cpu": 0.25, "memory": 0.5}}],
            "skipped": {"old": ["max node group size reached"]}, "podsTriggered": ["default/web"],
            "podsRemainUnschedulable": {"default/big": {"workers": ["Insufficient cpu"]}},
            "exact": {"nodes": 2, "lowerBound": 2, "proven": true}});
        let told = super::table(&answer);
        for part in [
            "increase: workers +2",
            "2 nodes, at least 2 are needed: no plan has fewer",
            "*workers",
            "25%",
            "max node group size reached",
            "workers: Insufficient cpu",
            "helped: default/web",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
}
