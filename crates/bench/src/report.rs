//! The measured figures: a table for people, JSON for machines.

use std::{fmt::Write as _, fs, thread};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::goals;
use podberth::clock;
use podberth::telemetry;

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    /// Its name, which begins with that of the part that measured it.
    name: String,
    /// A description, for people.
    what: String,
    value: f64,
    unit: &'static str,
    more_is_better: bool,
    /// At most or, where more is better, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<Held>,
    /// How it came to be.
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// The goal of a figure.
#[derive(Clone, Debug, Serialize)]
struct Held {
    /// The name of the measured party; empty for a goal.
    #[serde(skip_serializing_if = "str::is_empty")]
    who: &'static str,
    value: f64,
    /// How many times better the measured one is.
    ratio: f64,
}

/// A part that came to no end.
#[derive(Clone, Debug, Serialize)]
struct Failed {
    name: String,
    why: String,
}

/// Everything about a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    commit: &'static str,
    begun: String,
    machine: Machine,
    /// The kind of the database.
    engine: &'static str,
    nodes: usize,
    pods: usize,
    figures: Vec<Figure>,
    failed: Vec<Failed>,
}

/// The machine of the run.
#[derive(Clone, Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
}

impl Machine {
    fn this() -> Self {
        let value = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':').map(|(_, v)| v.to_owned()));
            line.map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        Self {
            processor: value("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: value("/proc/meminfo", "MemTotal"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

impl Report {
    pub(super) fn new(engine: &'static str, nodes: usize, pods: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: telemetry::COMMIT,
            begun: clock::now_rfc3339(),
            machine: Machine::this(),
            engine,
            nodes,
            pods,
            figures: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Takes a figure down. Goals are about one scale: a run at another one is held against nothing.
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        what: impl Into<String>,
        (value, unit): (f64, &'static str),
        note: impl Into<String>,
    ) {
        let name = name.into();
        let is_full_scale = self.nodes == goals::NODES && self.pods == goals::PODS;
        let mark = goals::mark(&name, self.engine).filter(|_| is_full_scale);
        let held = |who, other| Held { who, value: other, ratio: goals::ratio(value, other, unit) };
        self.figures.push(Figure {
            goal: mark.and_then(|mark| mark.goal).map(|goal| held("", goal)),
            others: mark.and_then(|mark| mark.others).map(|(who, theirs)| held(who, theirs)),
            more_is_better: goals::is_rate(unit),
            what: what.into(),
            note: note.into(),
            name,
            value,
            unit,
        });
    }

    /// Takes down that a part came to no end.
    pub(super) fn fail(&mut self, name: &str, why: String) {
        self.failed.push(Failed { name: name.to_owned(), why });
    }

    /// How many parts came to no end.
    pub(super) fn failures(&self) -> usize {
        self.failed.len()
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN);
        table.set_header(["figure", "what", "measured", "goal", "reached", "against", ""]);
        for figure in &self.figures {
            let Figure { name, what, value, unit, more_is_better, goal, others, note } = figure;
            let bound = if *more_is_better { "≥" } else { "≤" };
            let text = |held: &Held| format!("{bound} {} {unit}", number(held.value));
            let reached = |held: &Held| {
                let word = if held.ratio >= 1.0 { "yes" } else { "no" };
                format!("{word}, {} ×", number(held.ratio))
            };
            let against = |held: &Held| format!("{} × {} ({})", number(held.ratio), held.who, number(held.value));
            table.add_row([
                name.clone(),
                what.clone(),
                format!("{} {unit}", number(*value)),
                goal.as_ref().map(text).unwrap_or_default(),
                goal.as_ref().map(reached).unwrap_or_default(),
                others.as_ref().map(against).unwrap_or_default(),
                note.clone(),
            ]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let Machine { processor, cores, memory, kernel } = &self.machine;
        let mut text = format!("{processor}, {cores} cores, {memory}, Linux {kernel}; {}\n\n{table}\n", self.engine);
        for Failed { name, why } in &self.failed {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nFAILED {name}: {why}\n");
        }
        text
    }

    /// The report as JSON.
    pub(super) fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| error.to_string())
    }
}

/// Three digits that count, and thousands apart.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) =
        text.split_once('.').map_or((&*text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && digit.is_ascii_digit() && (whole.len() - i).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        let texts = [0.2534, 1.234, 12.34, 123.4, 1_234_567.8, -1_234.0].map(number);
        assert_eq!(texts, ["0.253", "1.23", "12.3", "123", "1,234,568", "-1,234"]);
    }

    #[test]
    fn only_the_full_scale_is_held_against_goals() {
        let mut full = Report::new("SQLite", goals::NODES, goals::PODS);
        full.add("filter-names/p50", "", (2.0, "ms"), "");
        assert!(full.table().contains("no, 0.500 ×"), "{}", full.table());
        let mut small = Report::new("SQLite", 10, 20);
        small.add("filter-names/p50", "", (2.0, "ms"), "");
        assert!(!small.table().contains('×'), "{}", small.table());
    }
}
