//! `podberth test`: policy tests, without a server.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;

use self::files::{Case, File};
use super::{explain::terminal_width, junit};
use crate::{
    service::scenario::{Outcome, Parts, Ran, run as place},
    wire::{
        scenario::{Answer, Scenario},
        table,
    },
};

mod files;

/// The options of the command.
#[derive(Debug, Args)]
pub struct Options {
    /// Files of scenarios in YAML or JSON, or folders that are searched for them
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Run only scenarios whose file or name has this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Store the outcomes of scenarios with `snapshot: true` in FILE.snap.json beside their files, instead of comparing them
    #[arg(long)]
    pub update: bool,
}

/// Lines about one scenario that are printed; the report in JUnit XML has all.
const MOST_LINES: usize = 50;

/// The results of a run.
#[derive(Debug, Default)]
pub struct Said {
    /// Text for standard output.
    pub output: String,
    /// Text for standard error.
    pub remarks: String,
    /// The exit code: 0 if all is as expected, 1 if something is not, 2 if a file cannot be read.
    pub code: u8,
}

/// The result of one scenario.
enum Verdict {
    Good,
    /// The expectations and what came, in one line each, and a decision.
    Failed(Vec<String>, String),
    Unreadable(String),
}

/// Stored outcomes of a file, by the names of its scenarios.
type Snapshots = BTreeMap<String, Outcome>;

/// Runs the scenarios.
pub fn run(options: &Options) -> Said {
    let mut said = Said::default();
    let (mut suites, mut counts) = (Vec::new(), [0_usize; 3]);
    for mut file in files::find(&options.paths) {
        let shown = file.path.display().to_string();
        if let Some(filter) = options.filter.as_deref().filter(|filter| !shown.contains(filter)) {
            file.cases.retain(|case| case.name.contains(filter));
        }
        if file.cases.is_empty() {
            continue;
        }
        let suite = run_file(&file, options, &mut said, &mut counts);
        suites.push(junit::Suite { name: shown, cases: suite });
    }
    let [good, failed, unreadable] = counts;
    if good + failed + unreadable == 0 {
        said.remarks.push_str("error: there is no scenario: name files with some, and check --filter\n");
        said.code = 2;
        return said;
    }
    // No terminal is told to do anything.
    for text in [&mut said.output, &mut said.remarks] {
        *text = text.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}");
    }
    let total = good + failed + unreadable;
    let unreadable = if unreadable > 0 { format!(", {unreadable} unreadable") } else { String::new() };
    let noun = if total == 1 { "scenario" } else { "scenarios" };
    let _ = writeln!(said.output, "{total} {noun}: {good} ok, {failed} failed{unreadable}");
    if let Some(path) = &options.junit
        && let Err(error) = fs::write(path, junit::render(&suites))
    {
        let _ = writeln!(said.remarks, "error: --junit {}: {error}", path.display());
        said.code = 2;
    }
    said
}

fn run_file(file: &File, options: &Options, said: &mut Said, counts: &mut [usize; 3]) -> Vec<junit::Case> {
    let _ = writeln!(said.output, "{}", file.path.display());
    let stored = snapshots(&file.path);
    let (mut fresh, mut cases) = (Snapshots::new(), Vec::new());
    for case in &file.cases {
        let begun = Instant::now();
        let mut warnings = Vec::new();
        let verdict = verdict(&file.path, case, options.update, (&stored, &mut fresh), &mut warnings);
        for warning in warnings {
            let _ = writeln!(said.remarks, "warning: {}: {}: {warning}", file.path.display(), case.name);
        }
        let mut told = junit::Case {
            class: file.path.display().to_string(),
            name: case.name.clone(),
            seconds: Some(begun.elapsed().as_secs_f64()),
            ..junit::Case::default()
        };
        match verdict {
            Verdict::Good => {
                counts[0] += 1;
                let _ = writeln!(said.output, "  ok    {}", case.name);
            }
            Verdict::Failed(lines, details) => {
                counts[1] += 1;
                said.code = said.code.max(1);
                let _ = writeln!(said.output, "  FAIL  {}", case.name);
                for line in lines.iter().take(MOST_LINES) {
                    let _ = writeln!(said.output, "        {line}");
                }
                if lines.len() > MOST_LINES {
                    let _ = writeln!(said.output, "        … and {} more", lines.len() - MOST_LINES);
                }
                said.output.push_str(&indented(&details));
                let message = lines.first().cloned().unwrap_or_default();
                told.failure = Some((message, format!("{}\n{details}", lines.join("\n"))));
            }
            Verdict::Unreadable(why) => {
                counts[2] += 1;
                said.code = 2;
                let _ = writeln!(said.output, "  ERROR {}", case.name);
                let _ = writeln!(said.remarks, "error: {}: {}: {why}", file.path.display(), case.name);
                told.error = Some(why);
            }
        }
        cases.push(told);
    }
    if options.update
        && !fresh.is_empty()
        && let Err(why) = stored.and_then(|stored| update(&file.path, &stored, fresh))
    {
        let _ = writeln!(said.remarks, "error: {why}");
        said.code = 2;
    }
    cases
}

/// The lines of a text, set off.
fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("        {line}\n") });
    lines.collect()
}

fn verdict(
    path: &Path,
    case: &Case,
    updates: bool,
    (stored, fresh): (&Result<Snapshots, String>, &mut Snapshots),
    warnings: &mut Vec<String>,
) -> Verdict {
    let scenario = match &case.read {
        Ok(scenario) => scenario,
        Err(why) => return Verdict::Unreadable(why.clone()),
    };
    if scenario.expect.is_empty() && !scenario.snapshot && scenario.answer.is_none() {
        return Verdict::Unreadable("nothing is expected: add expect, or snapshot: true".into());
    }
    let ran = match ran(path, scenario, warnings) {
        Ok(ran) => ran,
        Err(why) => return Verdict::Unreadable(why),
    };
    let failures = match ran.check(&scenario.expect) {
        Ok(failures) => failures,
        Err(error) => return Verdict::Unreadable(error.to_string()),
    };
    let mut lines: Vec<String> =
        failures.iter().map(|failure| format!("{}: {}", failure.at, failure.message)).collect();
    let mut shown = failures.iter().find_map(|failure| failure.pod);
    if let Some(line) = scenario.answer.as_ref().and_then(|answer| differs(answer, &ran)) {
        lines.push(line);
        shown = shown.or(Some(0));
    }
    if scenario.snapshot {
        let outcome = ran.outcome();
        if !updates {
            match stored {
                Ok(stored) => lines.extend(changes(stored.get(&case.name), &outcome)),
                Err(why) => return Verdict::Unreadable(why.clone()),
            }
        }
        fresh.insert(case.name.clone(), outcome);
    }
    if lines.is_empty() {
        return Verdict::Good;
    }
    let details = shown.and_then(|index| ran.explain(index));
    Verdict::Failed(lines, details.map(|told| table::render(&told, terminal_width().min(120))).unwrap_or_default())
}

fn ran(path: &Path, scenario: &Scenario, warnings: &mut Vec<String>) -> Result<Ran, String> {
    let mut texts = files::texts(path, scenario)?;
    warnings.append(&mut texts.warnings);
    let parts = Parts {
        cluster: texts.cluster.as_deref(),
        policy: texts.policy.as_deref(),
        profile: texts.profile.as_deref(),
        pods: texts.pods.as_ref().map(|pods| pods.iter().map(|pod| &**pod).collect()),
        seed: scenario.seed,
        preempt: scenario.preempt.unwrap_or(scenario.answer.is_none()),
    };
    place(&parts).map_err(|error| error.to_string())
}

/// The difference between a recorded answer and that of now.
fn differs(answer: &Answer, ran: &Ran) -> Option<String> {
    let Some(told) = ran.explain(0) else {
        return Some("expected the recorded answer, and no pod is decided".into());
    };
    if told.selected == answer.selected && (answer.selected.is_some() || told.message == answer.message) {
        return None;
    }
    Some(format!("expected the recorded answer: {}; and it is: {}", answer.message, told.message))
}

/// The differences between a stored outcome and that of now.
fn changes(stored: Option<&Outcome>, now: &Outcome) -> Vec<String> {
    let Some(stored) = stored else {
        return vec!["there is no stored outcome yet: run with --update".into()];
    };
    if stored == now {
        return Vec::new();
    }
    let text = |pod: &crate::service::scenario::PodOutcome| serde_json::to_string(pod).unwrap_or_default();
    let mut lines = vec!["the outcome differs from the stored one; if that is meant, run with --update".to_owned()];
    for place in 0..stored.pods.len().max(now.pods.len()) {
        let (old, new) = (stored.pods.get(place), now.pods.get(place));
        if old != new {
            lines.extend(old.map(|pod| format!("- {}", text(pod))));
            lines.extend(new.map(|pod| format!("+ {}", text(pod))));
        }
    }
    if stored.nodes_in_use != now.nodes_in_use {
        lines.push(format!("nodes in use: {} before, {} now", stored.nodes_in_use, now.nodes_in_use));
    }
    lines
}

fn snapshot_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(files::SNAPSHOT);
    path.with_file_name(name)
}

fn snapshots(path: &Path) -> Result<Snapshots, String> {
    let file = snapshot_file(path);
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Snapshots::new()),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// Stores outcomes, in place of those before of the same names.
fn update(path: &Path, stored: &Snapshots, fresh: Snapshots) -> Result<(), String> {
    let mut all = stored.clone();
    all.extend(fresh);
    if all == *stored {
        return Ok(());
    }
    let file = snapshot_file(path);
    let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
    fs::write(&file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))
}
