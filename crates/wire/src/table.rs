//! A decision as a table for people.

use std::{collections::HashMap, fmt::Write as _};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::explanation::{CandidateExplanation, Explanation, NodeExplanation, ScoreExplanation, VerdictCode};

/// How many of the best nodes have a column of their own.
const COLUMNS: usize = 6;

/// So many further nodes with the reasons of one are counted with it.
const MANY_ALIKE: usize = 3;

/// The width of a text whose reader is not known.
pub const WIDTH: u16 = 80;

/// The shortest form that a long node name is given as the head of a column.
const SHORTEST_NAME: usize = 12;

/// A plain table with these heads, as kubectl prints it; nothing where there are no rows.
pub fn rows(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads.iter().map(|head| head.to_uppercase()));
    let mut is_empty = true;
    for row in rows {
        table.add_row(row);
        is_empty = false;
    }
    if is_empty { String::new() } else { format!("{}\n", table.trim_fmt()) }
}

/// The decision in three parts, in lines of at most `width` characters: the best nodes score by score, the nodes ruled out
/// and why, the outcome.
pub fn render(explanation: &Explanation, width: u16) -> String {
    let mut fitting: Vec<&NodeExplanation> = explanation.nodes.iter().filter(|n| n.fits).collect();
    fitting.sort_by_key(|n| n.rank);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}/{} on {} nodes, {} of them fit (policy {}{}, rules of kube-scheduler {})",
        explanation.pod.namespace,
        explanation.pod.name,
        explanation.nodes.len(),
        fitting.len(),
        explanation.policy.name,
        explanation.policy.profile.as_ref().map(|name| format!(", profile {name}")).unwrap_or_default(),
        explanation.policy.release,
    );
    if !fitting.is_empty() {
        let shown = shown(&fitting, width.into());
        let _ = writeln!(text, "\n{}", scores(shown, width).trim_fmt());
        if let Some(next) = fitting.get(shown.len()) {
            let but = if is_level(fitting[0], next) { "" } else { " but score less" };
            let _ = writeln!(text, "… and {} more that fit{but}", fitting.len() - shown.len());
        }
    }
    if fitting.len() < explanation.nodes.len() {
        let _ = writeln!(text, "\n{}", refusals(&explanation.nodes, width).trim_fmt());
    }
    let _ = writeln!(text, "\n{}", wrapped(&format!("→ {}", explanation.message), width.into()));
    let level = fitting.iter().filter(|node| is_level(fitting[0], node)).count();
    if level > 1 {
        let _ = writeln!(text, "  {level} nodes are equally good; the seed {} decides between them", explanation.seed);
    }
    if let Some(preemption) = &explanation.preemption {
        if !preemption.candidates.is_empty() {
            let _ = writeln!(text, "\n{}", candidates(&preemption.candidates, width).trim_fmt());
        }
        let _ = writeln!(text, "\n{}", wrapped(&format!("→ preemption: {}", preemption.message), width.into()));
    }
    for (place, suggestion) in explanation.suggestions.iter().enumerate() {
        let before = if place == 0 { "\n" } else { "" };
        let line = format!("→ it would fit on {}: {}", suggestion.node, suggestion.text);
        let _ = writeln!(text, "{before}{}", wrapped(&line, width.into()));
    }
    text
}

/// `true` if the scores do not tell two nodes that fit apart.
fn is_level(best: &NodeExplanation, other: &NodeExplanation) -> bool {
    best.total == other.total && best.lost_at == other.lost_at
}

/// A table that breaks the text of its last column between words; the other columns stay whole.
fn table(header: Vec<Cell>, width: u16) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table
}

/// Keeps all columns of a table whole but the last one.
fn keep_whole(table: &mut Table) {
    let count = table.column_count();
    for column in table.column_iter_mut().take(count.saturating_sub(1)) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

/// Text in lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

fn label(row: usize, score: &ScoreExplanation) -> String {
    match score.tolerance {
        None => format!("{} × {}", score.priority, score.weight),
        Some(tolerance) => format!("{}. {} ({tolerance})", row + 1, score.priority),
    }
}

/// The best nodes, as many as have room beside the labels with at least the shortest form of their names.
fn shown<'a, 'n>(fitting: &'a [&'n NodeExplanation], width: usize) -> &'a [&'n NodeExplanation] {
    let labels = fitting.first().map_or(0, |best| longest_label(best));
    let mut used = labels + 2;
    let room = |node: &&&NodeExplanation| {
        used += node.name.chars().count().clamp(8, SHORTEST_NAME.max(8)) + 2;
        used <= width
    };
    let count = fitting.iter().take(COLUMNS).take_while(room).count();
    fitting.get(..count.max(1)).unwrap_or(fitting)
}

fn longest_label(node: &NodeExplanation) -> usize {
    let labels = node.scores.iter().enumerate().map(|(row, score)| label(row, score).chars().count());
    labels.max().unwrap_or(0).max("level (tolerance)".len())
}

/// A name in at most `room` characters: without its domain, then without its middle, since names of one group differ at the beginning or at
/// the end.
fn shortened(name: &str, room: usize) -> String {
    let fits = |text: &str| text.chars().count() <= room;
    let host = name.split('.').next().unwrap_or(name);
    if fits(name) || fits(host) {
        return if fits(name) { name } else { host }.to_owned();
    }
    let (length, kept) = (host.chars().count(), room.saturating_sub(1));
    let (front, back) = (kept.div_ceil(2), kept / 2);
    host.chars().take(front).chain(['…']).chain(host.chars().skip(length - back)).collect()
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn scores(shown: &[&NodeExplanation], width: u16) -> Table {
    let labels = longest_label(shown[0]);
    let room = usize::from(width).saturating_sub(labels + 2) / shown.len();
    let room = room.saturating_sub(2).max(SHORTEST_NAME);
    let is_tree = shown[0].scores.iter().any(|score| score.tolerance.is_some());
    let title = if is_tree { "level (tolerance)" } else { "score × weight" };
    let header = std::iter::once(Cell::new(title)).chain(shown.iter().map(|n| right(shortened(&n.name, room))));
    let mut table = table(header.collect(), width);
    for (row, score) in shown[0].scores.iter().enumerate() {
        let cells = shown.iter().map(|n| right(n.scores.get(row).map_or(0, |s| s.score)));
        table.add_row(std::iter::once(Cell::new(label(row, score))).chain(cells));
    }
    if is_tree {
        let lost = |n: &&NodeExplanation| n.lost_at.as_ref().map_or_else(String::new, |at| at.level.to_string());
        table.add_row(std::iter::once(Cell::new("lost at level")).chain(shown.iter().map(|n| right(lost(n)))));
    } else {
        table.add_row(std::iter::once(Cell::new("total")).chain(shown.iter().map(|n| right(n.total))));
    }
    for column in table.column_iter_mut() {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

/// The predicates that rule a node out, each with its reasons.
type Reasons<'n> = Vec<(&'n str, String)>;

/// The nodes that are ruled out. Many with equal reasons are one row.
fn refusals(nodes: &[NodeExplanation], width: u16) -> Table {
    let mut table = table(["ruled out", "by", "because"].map(Cell::new).to_vec(), width);
    let mut alike: Vec<(Reasons<'_>, Vec<&str>)> = Vec::new();
    let mut places: HashMap<Reasons<'_>, usize> = HashMap::new();
    for node in nodes.iter().filter(|n| !n.fits) {
        let failed = node.verdicts.iter().filter(|v| v.verdict != VerdictCode::Fits);
        let why: Vec<_> = failed.map(|verdict| (&*verdict.predicate, verdict.reasons.join(", "))).collect();
        let place = *places.entry(why.clone()).or_insert_with(|| {
            alike.push((why, Vec::new()));
            alike.len() - 1
        });
        alike[place].1.push(&node.name);
    }
    for (why, names) in &alike {
        let rows: Vec<String> = match &names[..] {
            [first, others @ ..] if others.len() >= MANY_ALIKE => {
                let more = format!(" and {} more", others.len());
                let room = (usize::from(width) / 3).saturating_sub(more.len()).max(SHORTEST_NAME);
                vec![shortened(first, room) + &more]
            }
            names => names.iter().map(|name| shortened(name, usize::from(width) / 3)).collect(),
        };
        for name in rows {
            for (row, (predicate, reasons)) in why.iter().enumerate() {
                table.add_row([if row == 0 { &name } else { "" }, predicate, reasons]);
            }
        }
    }
    keep_whole(&mut table);
    table
}

fn candidates(candidates: &[CandidateExplanation], width: u16) -> Table {
    let mut table = table(["without", "priority", "room on", "budgets broken"].map(Cell::new).to_vec(), width);
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
    use crate::explanation::PolicyUsed;
    use podberth_core::{cycle, policy::Policy};
    use podberth_testkit::{cluster, node, pod};

    #[test]
    fn a_decision_tree_shows_its_levels() {
        let snapshot =
            cluster([node("big").cpu("8").memory("8Gi").into(), node("small").cpu("4").memory("4Gi").into()]);
        let text = include_str!("../../../examples/policies/decision-tree.yaml");
        let profile = crate::policy::parse_policy(text).and_then(|p| p.compile()).expect("a tree");
        let pod = pod("web").cpu("2").memory("1Gi").build();
        let decision = cycle::decide(&profile, &pod, &snapshot, 0);
        let policy = PolicyUsed { name: "tree".into(), revision: 1, release: "1.22".into(), ..PolicyUsed::default() };
        let text = render(&Explanation::new(&pod, &decision, policy, 0, 0), WIDTH);
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
    fn equal_nodes_are_told_together() {
        let profile = Policy::default().compile().expect("the default policy compiles");
        let text = |cpu: &str| {
            let nodes = (0..9).map(|at| node(&format!("n{at}")).cpu("1").into());
            let pod = pod("web").cpu(cpu).build();
            let decision = cycle::decide(&profile, &pod, &cluster(nodes), 7);
            let policy = PolicyUsed { name: "default".into(), release: "1.22".into(), ..PolicyUsed::default() };
            render(&Explanation::new(&pod, &decision, policy, 0, 7), WIDTH)
        };
        let fits = text("1");
        assert!(fits.contains("more that fit\n") && !fits.contains("score less"), "{fits}");
        assert!(fits.contains("9 nodes are equally good; the seed 7 decides between them"), "{fits}");
        let full = text("2");
        assert!(full.contains("n0 and 8 more  GeneralPredicates  Insufficient cpu"), "{full}");
        assert_eq!(full.matches("Insufficient cpu").count(), 2, "{full}");
    }

    #[test]
    fn the_best_node_stands_first_and_every_other_has_its_reason() {
        let nodes = [node("big").cpu("8").memory("8Gi"), node("small").cpu("2").memory("2Gi"), node("tiny").cpu("1")];
        let snapshot = cluster(nodes.map(Into::into));
        let profile = Policy::default().compile().expect("the default policy compiles");
        let pod = pod("web").cpu("2").memory("1Gi").build();
        let decision = cycle::decide(&profile, &pod, &snapshot, 0);
        let policy = PolicyUsed { name: "default".into(), release: "1.22".into(), ..PolicyUsed::default() };
        let text = render(&Explanation::new(&pod, &decision, policy, 0, 0), WIDTH);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "default/web on 3 nodes, 2 of them fit (policy default, rules of kube-scheduler 1.22)");
        assert!(lines[2].contains("big") && lines[2].find("big") < lines[2].find("small"), "{text}");
        assert!(text.contains("tiny       GeneralPredicates  Insufficient cpu, Insufficient memory"), "{text}");
        assert_eq!(lines[lines.len() - 1], "→ default/web would go to big: 2/3 nodes are available.");
    }

    #[test]
    fn no_line_exceeds_the_width_and_no_word_is_broken() {
        let long = |i: u32| format!("ip-10-0-7-{i}.eu-central-1.compute.internal");
        let nodes: Vec<_> = (0..9).map(|i| node(&long(i)).cpu(if i < 7 { "8" } else { "1" }).into()).collect();
        let profile = Policy::default().compile().expect("the default policy compiles");
        let pod = pod("web").cpu("2").build();
        let decision = cycle::decide(&profile, &pod, &cluster(nodes), 0);
        let policy = PolicyUsed { name: "default".into(), release: "1.22".into(), ..PolicyUsed::default() };
        let explanation = Explanation::new(&pod, &decision, policy, 0, 0);
        let whole = render(&explanation, u16::MAX);
        for width in [60, 80, 100, 200] {
            let text = render(&explanation, width);
            let widest = text.lines().skip(1).map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= width.into(), "{widest} > {width}:\n{text}");
            let told = text.lines().filter(|line| !line.contains("more that fit"));
            for word in told.flat_map(str::split_whitespace).filter(|word| !word.contains('…')) {
                assert!(whole.contains(word), "{word:?} of {width} is broken:\n{text}");
            }
            assert!(text.contains("more that fit\n"), "they are equally good: {text}");
        }
    }
}
