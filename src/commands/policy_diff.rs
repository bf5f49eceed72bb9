//! `podberth policy diff`: asks a server what would change under another policy.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{json, value::RawValue};

use super::{asked::Asked, explain::documents, junit};
use crate::wire::policy_diff::{FillReport, PolicyDiffPod, PolicyDiffReport, SpreadReport};

/// Pods of each list that are asked for.
const LISTED: usize = 10_000;

/// Pods of each list, and reasons, that people are shown.
const SHOWN: usize = 20;

/// The options of the command.
#[derive(Args)]
pub struct Options {
    /// The policy that may come into force, JSON or YAML; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Compare on the pods that wait, which is the default
    #[arg(long, conflicts_with_all = ["last", "since", "pods"])]
    pending: bool,
    /// Compare on so many of the newest recorded decisions
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Compare on the recorded decisions from this time on, as 2026-01-02T15:04:05Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Compare on this stored pod, as namespace/name; may be repeated
    #[arg(long = "pod", value_name = "NAME", conflicts_with_all = ["last", "since"])]
    pods: Vec<String>,
    /// The cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    cluster: String,
    /// Exit with 1 if a pod goes elsewhere or fits nowhere any more, or if no decision could be compared
    #[arg(long)]
    fail: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    asked: Asked,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// The reply of the server.
    Json,
    /// JUnit XML: each pod that goes elsewhere or fits nowhere any more is a failure.
    Junit,
}

/// The printed differences.
#[derive(Debug)]
pub struct Said {
    /// Text for standard output.
    pub output: String,
    /// Text for standard error.
    pub remarks: String,
    /// `true` unless a change counts as a failure.
    pub good: bool,
}

/// Asks the server.
///
/// # Errors
/// In one line.
pub async fn run(options: &Options) -> Result<Said, String> {
    let file = options.file.display();
    let mut texts = documents(&options.file)?;
    let (Some(candidate), true) = (texts.pop(), texts.is_empty()) else {
        return Err(format!("{file}: expected one policy"));
    };
    let candidate = RawValue::from_string(candidate).map_err(|error| format!("{file}: {error}"))?;
    let over = if options.last.is_some() || options.since.is_some() {
        let mut decisions = json!({});
        options.last.iter().for_each(|last| decisions["last"] = (*last).into());
        options.since.iter().for_each(|since| decisions["since"] = since.as_str().into());
        json!({"decisions": decisions})
    } else if options.pods.is_empty() {
        json!({"pending": true})
    } else {
        json!({"podNames": options.pods})
    };
    let body = format!("{{\"candidate\":{},\"over\":{over},\"limit\":{LISTED}}}", candidate.get());
    let path = match &*options.cluster {
        "default" => "/policy/diff".to_owned(),
        name => format!("/clusters/{name}/policy/diff"),
    };
    let report: PolicyDiffReport = options.asked.ask(Method::POST, &path, body.into_bytes()).await?;
    let output = match options.output {
        Output::Text => render(&report),
        Output::Json => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
        Output::Junit => junit::render(&[suite(&report)]),
    };
    let remarks = remarks(&report, over.get("decisions").is_some());
    Ok(Said { output, remarks, good: !(options.fail && is_worse(&report, over.get("decisions").is_some())) })
}

/// `true` if a pod goes elsewhere or fits nowhere any more, or if nothing can be said: no decision could be made again, or none is recorded.
fn is_worse(report: &PolicyDiffReport, of_decisions: bool) -> bool {
    let counts = report.counts;
    counts.moved + counts.newly_unschedulable > 0 || report.total == 0 && (of_decisions || counts.skipped > 0)
}

/// Notes for people, in any output format.
fn remarks(report: &PolicyDiffReport, of_decisions: bool) -> String {
    let mut remarks = String::new();
    for note in &report.notes {
        let _ = writeln!(remarks, "note: {note}");
    }
    let why = match (report.total, report.counts.skipped) {
        (0, 0) if of_decisions => "no such decision is recorded",
        (0, 0) => "no pod waits for a node",
        (0, _) => "none of the decisions could be made again",
        _ => return remarks,
    };
    let _ = writeln!(remarks, "warning: nothing was compared: {why}");
    remarks
}

/// The report for people.
fn render(report: &PolicyDiffReport) -> String {
    let mut text = String::new();
    let counts = report.counts;
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} decided under {} and under the candidate", pods(report.total), report.before.name);
    for (count, what) in [
        (report.same, "stay where they are"),
        (counts.moved, "go to another node"),
        (counts.newly_unschedulable, "fit nowhere any more"),
        (counts.newly_schedulable, "fit now, and did not before"),
        (counts.skipped, "could not be decided again"),
    ] {
        if count > 0 || what != "could not be decided again" {
            let _ = writeln!(text, "{count:>8} {what}");
        }
    }
    if !report.by_reason.is_empty() {
        text.push_str("\nbecause of\n");
        let mut reasons: Vec<_> = report.by_reason.iter().collect();
        reasons.sort_by_key(|(rule, count)| (std::cmp::Reverse(**count), (*rule).clone()));
        for (rule, count) in reasons {
            let _ = writeln!(text, "{count:>8} {rule}");
        }
    }
    for (list, count, title) in [
        (&report.newly_unschedulable, counts.newly_unschedulable, "fit nowhere any more"),
        (&report.moved, counts.moved, "go to another node"),
        (&report.newly_schedulable, counts.newly_schedulable, "fit now"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "\n{title}");
            list.iter().take(SHOWN).for_each(|pod| text.push_str(&line(pod)));
            let left = count - list.len().min(SHOWN);
            if left > 0 {
                let _ = writeln!(text, "  … and {left} more: -o json has them");
            }
        }
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    report.skipped.iter().for_each(|skipped| *reasons.entry(&skipped.why).or_default() += 1);
    if !reasons.is_empty() {
        text.push_str("\ncould not be decided again, since\n");
        for (why, count) in reasons.iter().take(SHOWN) {
            let _ = writeln!(text, "{count:>8} {why}");
        }
        let left = reasons.len().saturating_sub(SHOWN);
        if left > 0 {
            let _ = writeln!(text, "  … and {left} more reasons: -o json has them");
        }
    }
    packing(&mut text, report);
    text
}

fn pods(count: usize) -> String {
    format!("{count} {}", if count == 1 { "pod" } else { "pods" })
}

fn node(name: Option<&String>) -> &str {
    name.map_or("nowhere", String::as_str)
}

fn line(told: &PolicyDiffPod) -> String {
    let name = &told.pod;
    let (from, to) = (node(told.from.as_ref()), node(told.to.as_ref()));
    let message = told.message.iter().filter(|_| told.to.is_none()).map(|message| format!("\n      {message}"));
    format!("  {name}: {from} → {to}\n      {}{}\n", told.why, message.collect::<String>())
}

/// How full and how even it becomes.
fn packing(text: &mut String, report: &PolicyDiffReport) {
    let mut row = |name: &str, before: &str, after: &str| {
        let _ = writeln!(text, "  {name:<40} {before:>16} {after:>16}");
    };
    if report.packing.is_some() || !report.spread.is_empty() {
        row("", "before", "candidate");
    }
    if let Some(packing) = &report.packing {
        let nodes = |of: usize, all: usize| format!("{of} of {all}");
        let (before, after) = (&packing.before, &packing.after);
        row("nodes in use", &nodes(before.nodes_in_use, before.nodes), &nodes(after.nodes_in_use, after.nodes));
        for (resource, fill) in &before.resources {
            let Some(other) = after.resources.get(resource) else { continue };
            let part = |fill: &FillReport| format!("{:.0}% / {:.0}%", 100.0 * fill.mean, 100.0 * fill.p95);
            row(&format!("{resource}, mean / p95 of nodes in use"), &part(fill), &part(other));
            if let (Some(before), Some(after)) = (&fill.stranded, &other.stranded) {
                row(&format!("{resource} stranded"), before, after);
            }
        }
    }
    for (key, spread) in &report.spread {
        let skew = |of: &SpreadReport| of.max_skew.to_string();
        row(&format!("max skew over {key}"), &skew(&spread.before), &skew(&spread.after));
    }
}

/// The report as test cases: one for the pods that stay, and one for each other.
fn suite(report: &PolicyDiffReport) -> junit::Suite {
    let class = "podberth policy diff".to_owned();
    let stay = format!("{} where they are", pods(report.same));
    let mut cases = vec![junit::Case { class: class.clone(), name: stay, ..junit::Case::default() }];
    let mut add = |list: &[PolicyDiffPod], is_failure: bool| {
        for told in list {
            let name = told.decision.iter().fold(told.pod.to_string(), |name, id| format!("{name} ({id})"));
            let message = format!("{} → {}", node(told.from.as_ref()), node(told.to.as_ref()));
            let details = [Some(told.why.clone()), told.message.clone()].into_iter().flatten().collect::<Vec<_>>();
            let failure = is_failure.then(|| (message, details.join("\n")));
            cases.push(junit::Case { class: class.clone(), name, failure, ..junit::Case::default() });
        }
    };
    add(&report.moved, true);
    add(&report.newly_unschedulable, true);
    add(&report.newly_schedulable, false);
    for skipped in &report.skipped {
        let error = Some(skipped.why.clone());
        cases.push(junit::Case { class: class.clone(), name: skipped.id.clone(), error, ..junit::Case::default() });
    }
    junit::Suite { name: class, cases }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::wire::policy_diff::{PolicyDiffCounts, SkippedDecision};

    fn report() -> PolicyDiffReport {
        let pod = |name: &str| json!({"namespace": "default", "name": name});
        let packing = |nodes: usize| json!({"nodes": 2, "nodesInUse": nodes, "resources": {"cpu": {"mean": 0.5, "p95": 1.0, "stranded": "2"}}});
        let value: Value = json!({
            "revision": 3, "seed": 0, "total": 5, "same": 3,
            "before": {"name": "default", "revision": 1, "release": "1.22"},
            "candidate": {"name": "(request)", "revision": 0, "release": "1.22"},
            "counts": {"moved": 1, "newlyUnschedulable": 1, "newlySchedulable": 0, "skipped": 0},
            "moved": [{"pod": pod("web"), "from": "a", "to": "b", "reason": "R", "why": "R prefers the new node by 30 (before: -10)"}],
            "newlyUnschedulable": [{"pod": pod("db"), "from": "a", "reason": "P", "why": "P of the candidate rejects a: <full>",
                "message": "0/2 nodes are available: 2 <full>."}],
            "newlySchedulable": [], "byReason": {"P": 1, "R": 1},
            "packing": {"before": packing(2), "after": packing(1)},
            "spread": {"zone": {"before": {"domains": 2, "maxSkew": 0}, "after": {"domains": 2, "maxSkew": 4}}},
        });
        serde_json::from_value(value).expect("a report")
    }

    #[test]
    fn people_see_counts_causes_and_packing() {
        let text = render(&report());
        for part in [
            "5 pods decided under default and under the candidate\n       3 stay where they are\n",
            "because of\n       1 P\n       1 R\n",
            "  default/db: a → nowhere\n      P of the candidate rejects a: <full>\n      0/2 nodes are available: 2 <full>.\n",
            "  default/web: a → b\n",
            "2 of 2           1 of 2\n",
            "50% / 100%",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn nothing_compared_is_a_failure_of_decisions() {
        let of = |total, counts| PolicyDiffReport { total, counts, ..PolicyDiffReport::default() };
        let skipped = PolicyDiffCounts { skipped: 2, ..PolicyDiffCounts::default() };
        let (all, some) = (of(0, skipped), of(5, skipped));
        assert!(is_worse(&all, true) && !is_worse(&some, true));
        assert_eq!(remarks(&all, true), "warning: nothing was compared: none of the decisions could be made again\n");
        let none = of(0, PolicyDiffCounts::default());
        assert!(is_worse(&none, true) && !is_worse(&none, false), "that no pod waits is no failure");
        assert_eq!(remarks(&none, false), "warning: nothing was compared: no pod waits for a node\n");
        assert!(is_worse(&report(), false) && remarks(&report(), false).is_empty());
    }

    #[test]
    fn decisions_that_are_skipped_are_told_with_the_reason() {
        let skip = |id: &str| SkippedDecision { id: id.into(), why: "revision 3 is not kept".into() };
        let counts = PolicyDiffCounts { skipped: 2, ..PolicyDiffCounts::default() };
        let report = PolicyDiffReport { counts, skipped: vec![skip("d1"), skip("d2")], ..PolicyDiffReport::default() };
        assert!(render(&report).contains("could not be decided again, since\n       2 revision 3 is not kept\n"));
        assert!(
            junit::render(&[suite(&report)])
                .contains("name=\"d1\">\n      <error message=\"revision 3 is not kept\"/>")
        );
    }

    #[test]
    fn each_pod_that_goes_elsewhere_or_nowhere_is_a_failure() {
        let text = junit::render(&[suite(&report())]);
        assert!(text.contains("tests=\"3\" failures=\"2\" errors=\"0\""), "{text}");
        assert!(
            text.contains("<failure message=\"a → nowhere\">P of the candidate rejects a: &lt;full&gt;&#10;"),
            "{text}"
        );
    }
}
