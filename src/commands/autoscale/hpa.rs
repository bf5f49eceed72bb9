//! The table of `podberth autoscale hpa`.

use std::fmt::Write;

use serde_json::Value;

use super::{list, text};
use crate::wire::table::rows;

/// The answer for people: all stored autoscalers, or one with the results of its metrics.
pub(super) fn table(answer: &Value) -> String {
    if let Some(items) = answer["items"].as_array() {
        let heads = ["namespace", "name", "target", "replicas", "wanted", "why"];
        let told = rows(
            &heads,
            items.iter().map(|item| {
                let named = ["namespace", "name", "target"].map(|field| text(&item[field]));
                named.into_iter().chain(numbers(item)).collect()
            }),
        );
        return if told.is_empty() { "there are no HorizontalPodAutoscalers\n".into() } else { told };
    }
    let steps = answer.get("steps").map_or(std::slice::from_ref(answer), list);
    let heads = ["time", "replicas", "wanted", "why"];
    let mut told =
        rows(&heads, steps.iter().map(|step| [text(&step["time"])].into_iter().chain(numbers(step)).collect()));
    let metrics = list(&answer["metrics"]).iter().map(|metric| {
        let pods = |field: &str| list(&metric[field]).len().to_string();
        vec![
            text(&metric["metric"]),
            text(&metric["replicas"]),
            text(&metric["ratio"]),
            text(&metric["ready"]),
            pods("unready"),
            pods("missing"),
            text(&metric["error"]),
        ]
    });
    let metrics = rows(&["metric", "replicas", "ratio", "ready", "unready", "missing", "error"], metrics);
    if !metrics.is_empty() {
        let _ = write!(told, "\n{metrics}");
    }
    told
}

/// The present and the wanted number of replicas, and the reason.
fn numbers(of: &Value) -> [String; 3] {
    let limit = of["limit"].as_str().map(|limit| format!(" ({limit})")).unwrap_or_default();
    let why = of["error"].as_str().map_or_else(|| text(&of["reason"]), str::to_owned);
    [text(&of["currentReplicas"]), text(&of["replicas"]), format!("{why}{limit}")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_is_told_with_its_metrics() {
        let told = table(
            &json!({"time": "2026-01-05T12:00:00Z", "currentReplicas": 2, "replicas": 3, "reason": "the use of cpu is above its target",
            "metrics": [{"metric": "the use of cpu", "replicas": 3, "ratio": 1.5, "ready": 2, "missing": ["web-7"]}]}),
        );
        assert!(told.contains("2026-01-05T12:00:00Z") && told.contains("above its target"), "{told}");
        let metric: Vec<&str> = told.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!(metric, ["the", "use", "of", "cpu", "3", "1.5", "2", "0", "1"], "{told}");
    }

    #[test]
    fn all_autoscalers_are_a_line_each() {
        let told = table(
            &json!({"items": [{"namespace": "shop", "name": "web", "target": "Deployment/web", "currentReplicas": 9, "replicas": 4,
            "reason": "all metrics are below their targets", "limit": "ScaleDownLimit"}]}),
        );
        assert!(told.contains("all metrics are below their targets (ScaleDownLimit)"), "{told}");
        assert!(table(&json!({"items": []})).contains("no HorizontalPodAutoscalers"));
    }
}
