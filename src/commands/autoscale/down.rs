//! The table of `podberth autoscale down`.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::Value;

use super::{list, text};
use crate::wire::table::rows;

/// The answer for people: what goes now, all nodes in the order in which they were examined, and where pods would go.
pub(super) fn table(answer: &Value) -> String {
    let delete = &answer["delete"];
    let (empty, drain) = (list(&delete["empty"]), list(&delete["drain"]));
    let mut told = match (empty.len(), drain.len()) {
        (0, 0) => "no node goes now\n".to_owned(),
        (empty, drain) => format!("nodes that go now: {empty} empty, {drain} with pods that move\n"),
    };
    let going: BTreeSet<&str> = empty.iter().chain(drain).filter_map(Value::as_str).collect();
    let order: Vec<&str> = list(&answer["order"]).iter().filter_map(Value::as_str).collect();
    let examined: BTreeSet<&str> = order.iter().copied().collect();
    let all = answer["nodes"].as_object();
    let others = all.into_iter().flatten().map(|(name, _)| name.as_str()).filter(|name| !examined.contains(name));
    let lines = order.iter().copied().chain(others).map(|name| {
        let node = &answer["nodes"][name];
        let used = match (node["utilization"]["value"].as_f64(), &node["utilization"]["resource"]) {
            (Some(value), resource) => format!("{:.0} % {}", value * 100.0, text(resource)),
            (None, _) => String::new(),
        };
        vec![name.to_owned(), text(&node["nodeGroup"]), used, state(node, going.contains(name)), text(&node["message"])]
    });
    let _ = write!(told, "\n{}", rows(&["node", "group", "utilization", "state", "why it stays"], lines));
    let moves = list(&answer["plan"]).iter().flat_map(|removal| {
        list(&removal["moves"]).iter().map(|one| vec![text(&one["pod"]), text(&removal["node"]), text(&one["to"])])
    });
    let moves = rows(&["pod", "from", "to"], moves);
    if !moves.is_empty() {
        let _ = write!(told, "\n{moves}");
    }
    told
}

/// The state of a node in a word or two.
fn state(node: &Value, goes: bool) -> String {
    match (goes, node["unneeded"] == true, node["reason"].as_str()) {
        (true, ..) if list(&node["podsToMove"]).is_empty() => "goes".into(),
        (true, ..) => "is drained".into(),
        (_, true, Some("NotUnneededLongEnough" | "NotUnreadyLongEnough")) => {
            let at = text(&node["removableAt"]);
            let second = at.split_once('.').map_or(at.as_str(), |(second, _)| second);
            format!("unneeded, may go after {}", second.trim_end_matches('Z'))
        }
        (_, true, None) => "unneeded, in a later round".into(),
        (_, true, Some(_)) => "unneeded".into(),
        (_, _, Some(reason)) => reason.into(),
        (_, _, None) => "not examined".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn nodes_come_in_order_with_what_keeps_them_and_pods_with_their_places() {
        let answer = json!({
            "delete": {"count": 1, "empty": [], "drain": ["b"]},
            "order": ["b", "a", "c"],
            "nodes": {
                "a": {"nodeGroup": "g", "unneeded": true, "reason": "NotUnneededLongEnough", "message": "it is not unneeded for long enough",
                    "removableAt": "2026-01-05T12:10:00.5Z", "utilization": {"value": 0.254, "resource": "cpu"}},
                "b": {"nodeGroup": "g", "unneeded": true, "podsToMove": ["default/web"], "utilization": {"value": 0.1, "resource": "memory"}},
                "c": {"nodeGroup": "g", "unneeded": false},
                "d": {"unneeded": false, "reason": "NotAutoscaled", "message": "no node group has it"}
            },
            "plan": [{"node": "b", "moves": [{"pod": "default/web", "to": "d"}]}]
        });
        let told = super::table(&answer);
        let lines: Vec<&str> = told.lines().map(str::trim).collect();
        assert_eq!(lines[0], "nodes that go now: 0 empty, 1 with pods that move");
        let place = |node: &str| lines.iter().position(|line| line.starts_with(&format!("{node} "))).unwrap_or(99);
        assert!(place("b") < place("a") && place("a") < place("c") && place("c") < place("d"), "{told}");
        for part in
            ["25 % cpu", "is drained", "may go after 2026-01-05T12:10:00", "not examined", "no node group has it"]
        {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        assert!(lines.last().is_some_and(|line| line.starts_with("default/web")), "{told}");
        assert!(super::table(&json!({})).starts_with("no node goes now"));
    }
}
