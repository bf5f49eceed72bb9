//! The table of `podberth reschedule`.

use std::fmt::Write as _;

use serde_json::Value;

use super::{list, text};

/// Reasons for which pods were spared, and pods that are kept, that people are shown.
const SHOWN: usize = 20;

/// The answer for people.
pub(super) fn table(answer: &Value) -> String {
    let mut printed = String::new();
    // Writing to a String cannot fail.
    for note in list(&answer["notes"]) {
        let _ = writeln!(printed, "note: {}", text(note));
    }
    let name = |pod: &Value| format!("{}/{}", text(&pod["namespace"]), text(&pod["name"]));
    let moves = list(&answer["moves"]);
    if moves.is_empty() {
        printed.push_str("no pod should move\n");
    } else {
        let mut rows = vec![["POD", "FROM", "TO", "STRATEGY", "WHY"].map(str::to_owned)];
        for one in moves {
            let to = if one["to"].is_null() { "-".to_owned() } else { text(&one["to"]) };
            let why = match text(&one["message"]) {
                message if message.is_empty() => text(&one["why"]),
                message => format!("{}; {message}", text(&one["why"])),
            };
            rows.push([name(&one["pod"]), text(&one["from"]), to, text(&one["strategy"]), why]);
        }
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..4).map(width).collect();
        for row in &rows {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(printed, "{cell:<width$}  ");
            }
            let _ = writeln!(printed, "{}", row[4]);
        }
    }
    for kept in list(&answer["kept"]).iter().take(SHOWN) {
        let _ = writeln!(printed, "kept: {}: {}", name(&kept["pod"]), text(&kept["why"]));
    }
    for spared in list(&answer["spared"]).iter().take(SHOWN) {
        let (strategy, reason, pods) = (text(&spared["strategy"]), text(&spared["reason"]), text(&spared["pods"]));
        let _ = writeln!(printed, "spared: {pods} by {strategy}: {reason}");
    }
    let (before, after) = (&answer["before"], &answer["after"]);
    let lines = [
        ("nodes in use", "/nodesInUse"),
        ("pods that wait", "/waiting"),
        ("taints not tolerated", "/violations/taints"),
        ("node affinity broken", "/violations/nodeAffinity"),
        ("anti-affinity broken", "/violations/antiAffinity"),
        ("pods above maxSkew", "/violations/spread"),
        ("duplicates", "/duplicates"),
        ("evictions still wanted", "/wanted"),
        ("cpu, highest %", "/utilization/cpu/highest"),
        ("memory, highest %", "/utilization/memory/highest"),
        ("cost", "/cost"),
    ];
    let _ = writeln!(printed, "\n{:<24}{:>10}{:>10}", "", "BEFORE", "AFTER");
    for (what, at) in lines {
        let told = |of: &Value| of.pointer(at).map(text);
        if let (Some(before), Some(after)) = (told(before), told(after)) {
            let _ = writeln!(printed, "{what:<24}{before:>10}{after:>10}");
        }
    }
    printed
}
