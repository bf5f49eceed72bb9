//! A decision as a table for people.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::explanation::{CandidateExplanation, Explanation, NodeExplanation, VerdictCode};

/// How many of the best nodes have a column of their own.
const COLUMNS: usize = 6;

/// The decision in three parts: the best nodes score by score, the nodes ruled out and why, the outcome.
pub fn render(explanation: &Explanation) -> String {
    let mut fitting: Vec<&NodeExplanation> = explanation.nodes.iter().filter(|n| n.fits).collect();
    fitting.sort_by_key(|n| n.rank);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}/{} on {} nodes, {} of them fit (policy {}, rules of kube-scheduler {})",
        explanation.pod.namespace,
        explanation.pod.name,
        explanation.nodes.len(),
        fitting.len(),
        explanation.policy.name,
        explanation.policy.release,
    );
    if !fitting.is_empty() {
        let _ = writeln!(text, "\n{}", scores(&fitting).trim_fmt());
        if fitting.len() > COLUMNS {
            let _ = writeln!(text, "… and {} more that fit but score less", fitting.len() - COLUMNS);
        }
    }
    if fitting.len() < explanation.nodes.len() {
        let _ = writeln!(text, "\n{}", refusals(&explanation.nodes).trim_fmt());
    }
    let _ = writeln!(text, "\n→ {}", explanation.message);
    if let Some(preemption) = &explanation.preemption {
        if !preemption.candidates.is_empty() {
            let _ = writeln!(text, "\n{}", candidates(&preemption.candidates).trim_fmt());
        }
        let _ = writeln!(text, "\n→ preemption: {}", preemption.message);
    }
    text
}

fn table(header: Vec<Cell>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn scores(fitting: &[&NodeExplanation]) -> Table {
    let shown = &fitting[..fitting.len().min(COLUMNS)];
    let is_tree = shown[0].scores.iter().any(|score| score.tolerance.is_some());
    let title = if is_tree { "level (tolerance)" } else { "score × weight" };
    let header = std::iter::once(Cell::new(title)).chain(shown.iter().map(|n| right(&n.name)));
    let mut table = table(header.collect());
    for (row, score) in shown[0].scores.iter().enumerate() {
        let cells = shown.iter().map(|n| right(n.scores.get(row).map_or(0, |s| s.score)));
        let label = match score.tolerance {
            None => format!("{} × {}", score.priority, score.weight),
            Some(tolerance) => format!("{}. {} ({tolerance})", row + 1, score.priority),
        };
        table.add_row(std::iter::once(Cell::new(label)).chain(cells));
    }
    if is_tree {
        let lost = |n: &&NodeExplanation| n.lost_at.as_ref().map_or_else(String::new, |at| at.level.to_string());
        table.add_row(std::iter::once(Cell::new("lost at level")).chain(shown.iter().map(|n| right(lost(n)))));
    } else {
        table.add_row(std::iter::once(Cell::new("total")).chain(shown.iter().map(|n| right(n.total))));
    }
    table
}

fn refusals(nodes: &[NodeExplanation]) -> Table {
    let mut table = table(["ruled out", "by", "because"].map(Cell::new).to_vec());
    for node in nodes.iter().filter(|n| !n.fits) {
        for (row, verdict) in node.verdicts.iter().filter(|v| v.verdict != VerdictCode::Fits).enumerate() {
            let name = if row == 0 { &node.name } else { "" };
            table.add_row([name, &verdict.predicate, &verdict.reasons.join(", ")]);
        }
    }
    table
}

fn candidates(candidates: &[CandidateExplanation]) -> Table {
    let mut table = table(["without", "priority", "room on", "budgets broken"].map(Cell::new).to_vec());
    for candidate in candidates {
        for (row, victim) in candidate.victims.iter().enumerate() {
            let (node, broken) = (candidate.node.clone(), candidate.pdb_violations.to_string());
            let (node, broken) = if row == 0 { (node, broken) } else { Default::default() };
            let pod = format!("{}/{}", victim.namespace, victim.name);
            table.add_row([Cell::new(pod), right(victim.priority), Cell::new(node), right(broken)]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{cycle, policy::Policy},
        testing::{cluster, node, pod},
        wire::explanation::PolicyUsed,
    };

    #[test]
    fn a_decision_tree_shows_its_levels() {
        let snapshot =
            cluster([node("big").cpu("8").memory("8Gi").into(), node("small").cpu("4").memory("4Gi").into()]);
        let text = include_str!("../../examples/policies/decision-tree.yaml");
        let profile = crate::wire::policy::parse_policy(text).and_then(|p| p.compile()).expect("a tree");
        let pod = pod("web").cpu("2").memory("1Gi").build();
        let decision = cycle::decide(&profile, &pod, &snapshot, 0);
        let policy = PolicyUsed { name: "tree".into(), revision: 1, release: "1.22".into() };
        let text = render(&Explanation::new(&pod, &decision, policy, 0, 0));
        // CPU and memory left: big 75 and 87, small 50 and 75; means 81 and 62.
        let lines: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines[2..7],
            [
                "level (tolerance) big small",
                "1. TaintTolerationPriority (0) 100 100",
                "2. LeastRequestedPriority (10) 81 62",
                "3. Cheap (0) 0 0",
                "lost at level 2",
            ]
        );
    }

    #[test]
    fn the_best_node_stands_first_and_every_other_has_its_reason() {
        let nodes = [node("big").cpu("8").memory("8Gi"), node("small").cpu("2").memory("2Gi"), node("tiny").cpu("1")];
        let snapshot = cluster(nodes.map(Into::into));
        let profile = Policy::default().compile().expect("the default policy compiles");
        let pod = pod("web").cpu("2").memory("1Gi").build();
        let decision = cycle::decide(&profile, &pod, &snapshot, 0);
        let policy = PolicyUsed { name: "default".into(), revision: 0, release: "1.22".into() };
        let text = render(&Explanation::new(&pod, &decision, policy, 0, 0));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "default/web on 3 nodes, 2 of them fit (policy default, rules of kube-scheduler 1.22)");
        assert!(lines[2].contains("big") && lines[2].find("big") < lines[2].find("small"), "{text}");
        assert!(text.contains("tiny       GeneralPredicates  Insufficient cpu, Insufficient memory"), "{text}");
        assert_eq!(lines[lines.len() - 1], "→ default/web would go to big: 2/3 nodes are available.");
    }
}
