//! The table of `podberth autoscale status`.

use std::fmt::Write;

use serde_json::Value;

use super::{list, text};
use crate::wire::table::rows;

/// The answer for people.
pub(super) fn table(answer: &Value) -> String {
    let mut told = format!(
        "loop: {}{}, {} pods wait, {} messages to the webhook are not accepted yet\n\n",
        text(&answer["loop"]),
        answer["mood"].as_str().map(|mood| format!(" ({mood})")).unwrap_or_default(),
        text(&answer["waitingPods"]),
        text(&answer["messagesWaiting"]),
    );
    let groups = list(&answer["groups"]).iter().map(|group| {
        ["name", "minSize", "maxSize", "targetSize", "ready", "unready", "coming", "leaving", "pausesUntil"]
            .map(|field| text(&group[field]))
            .to_vec()
    });
    let heads = ["group", "min", "max", "target", "ready", "unready", "coming", "leaving", "pauses until"];
    told.push_str(&rows(&heads, groups));
    let unneeded =
        list(&answer["unneeded"]).iter().map(|node| ["node", "group", "since"].map(|f| text(&node[f])).to_vec());
    let unneeded = rows(&["unneeded node", "group", "since"], unneeded);
    let leaving = list(&answer["leaving"])
        .iter()
        .map(|node| ["node", "group", "state", "since"].map(|field| text(&node[field])).to_vec());
    let leaving = rows(&["leaving node", "group", "state", "since"], leaving);
    for part in [unneeded, leaving] {
        if !part.is_empty() {
            let _ = write!(told, "\n{part}");
        }
    }
    for fault in list(&answer["faults"]) {
        let _ = write!(told, "\nleft alone: {}", text(&fault["message"]));
    }
    for step in list(&answer["steps"]) {
        let _ = write!(told, "\n{}", text(step));
    }
    told.truncate(told.trim_end().len());
    told + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn groups_nodes_and_steps_are_told_in_lines() {
        let answer = json!({"loop": "act", "mood": "watching", "waitingPods": 0, "messagesWaiting": 1,
            "groups": [{"name": "big", "minSize": 0, "maxSize": 5, "targetSize": 2, "ready": 2, "unready": 0, "coming": 0, "leaving": 1}],
            "unneeded": [{"node": "n1", "group": "big", "since": "2026-01-02T15:04:05Z"}],
            "faults": [{"groups": ["a", "b"], "message": "node \"n9\" is in the node groups \"a\" and \"b\": a node belongs to one group at most"}],
            "steps": ["node n1 of big is not needed: its pods are evicted"]});
        let told = super::table(&answer);
        for part in
            ["loop: act (watching)", "GROUP", "big", "UNNEEDED NODE", "n1", "its pods are evicted", "left alone: node"]
        {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
}
