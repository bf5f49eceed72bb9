//! The metrics that every Prometheus client has of its process, under the names that stock dashboards and alerts ask for.
//!
//! Source of names and meanings: `prometheus/client_golang`, `prometheus/process_collector.go`. Linux only: elsewhere there
//! are none.

use std::{fmt::Write, fs};

/// Ticks a second in `/proc`: the kernel uses this value on every architecture.
const TICKS: f64 = 100.0;

/// The system's figures of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    cpu_seconds: f64,
    start_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
    open_files: Option<f64>,
    most_files: Option<f64>,
}

/// The metrics in the text format.
pub fn metrics() -> String {
    let (Some(mut figures), Some(booted)) = (
        fs::read_to_string("/proc/self/stat").ok().and_then(|stat| of_stat(&stat)),
        fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_time(&stat)),
    ) else {
        return String::new();
    };
    figures.start_seconds += booted;
    figures.resident_bytes = super::resident_memory().unwrap_or_default();
    // The folder that is read is one of them.
    figures.open_files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
    figures.most_files = most_open_files();
    text(figures)
}

/// How many files the process may have open.
pub fn most_open_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(f64::INFINITY) } else { soft.parse().ok() }
}

fn text(figures: Figures) -> String {
    let Figures { cpu_seconds, start_seconds, virtual_bytes, resident_bytes, open_files, most_files } = figures;
    let mut text = String::new();
    for (name, kind, help, value) in [
        ("cpu_seconds_total", "counter", "CPU time of the process, in seconds.", Some(cpu_seconds)),
        ("start_time_seconds", "gauge", "When the process started, in seconds since 1970.", Some(start_seconds)),
        ("virtual_memory_bytes", "gauge", "Address space of the process.", Some(virtual_bytes)),
        ("resident_memory_bytes", "gauge", "Memory of the process.", Some(resident_bytes)),
        ("open_fds", "gauge", "Files and sockets that the process has open.", open_files),
        ("max_fds", "gauge", "Files and sockets that the process may have open.", most_files),
    ] {
        if let Some(value) = value {
            let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
            let _ =
                writeln!(text, "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}");
        }
    }
    text
}

/// Reads a line of `/proc/PID/stat` (proc(5)); the start is counted from the system's.
fn of_stat(stat: &str) -> Option<Figures> {
    // The name in brackets may have anything in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |place: usize| fields.get(place - 3)?.parse::<f64>().ok();
    Some(Figures {
        cpu_seconds: (number(14)? + number(15)?) / TICKS,
        start_seconds: number(22)? / TICKS,
        virtual_bytes: number(23)?,
        ..Figures::default()
    })
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_for_any_process_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 4 0 1000 8192 300 18446744073709551615 1 1";
        let figures = of_stat(stat).expect("it is read");
        assert_eq!((figures.cpu_seconds, figures.start_seconds, figures.virtual_bytes), (2.0, 10.0, 8192.0));
        assert!(of_stat("7 (a) S 1").is_none());
        assert_eq!(boot_time("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }

    #[test]
    fn this_process_has_all_of_them() {
        let text = metrics();
        for name in [
            "cpu_seconds_total",
            "start_time_seconds",
            "virtual_memory_bytes",
            "resident_memory_bytes",
            "open_fds",
            "max_fds",
        ] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name} is not in\n{text}");
        }
    }
}
