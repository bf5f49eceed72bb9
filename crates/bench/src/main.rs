//! `podberth-bench`: measures a server over real HTTP and with a real database. Every answer is checked before a time is reported.
//!
//! The server is a separate process, so that its memory and CPU time can be measured. Each part of [`parts`] measures one thing. The clusters of
//! scheduler_perf's workloads are clusters of one server; the large one is the server's default cluster.

mod batch;
mod binds;
mod check;
mod client;
mod clusters;
mod engine;
mod fixture;
mod goals;
mod mixed;
mod placement;
mod report;
mod scheduler;
mod secured;
mod seen;
mod server;
mod start;
mod times;
mod verbs;
mod watch;
mod workloads;

use std::{fs, future::Future, io, io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::{fixture::Fixture, report::Report, workloads::Workload};

/// The longest that one part may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Measure a server over HTTP: speed and memory, with every answer checked
#[derive(Debug, Parser)]
#[command(name = "podberth-bench", version)]
struct Options {
    /// The server to measure; default: the `podberth` beside this binary
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,

    /// An empty database; default: a temporary SQLite file. `scripts/postgres` provides a PostgreSQL
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,

    /// Measure only the parts whose names begin so; several with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,

    /// Nodes of the large cluster
    #[arg(long, value_name = "N", default_value_t = goals::NODES, value_parser = at_least_100)]
    nodes: usize,

    /// Pods that run in the large cluster
    #[arg(long, value_name = "N", default_value_t = goals::PODS)]
    pods: usize,

    /// Concurrent callers that bind; one part for each number
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "16,128")]
    callers: Vec<usize>,

    /// How long the mixed load lasts
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(6..=3_600))]
    seconds: u64,

    /// Changes in a second of the objects that are watched
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    changes: u32,

    /// Watches of all objects, besides one for each node
    #[arg(long, value_name = "N", default_value_t = 5)]
    watches_of_all: usize,

    /// Clusters of each of the parts `clusters` and `placement`; with 0 they are left out
    #[arg(long, value_name = "N", default_value_t = 0)]
    clusters: usize,

    /// Nodes of each of them
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cluster_nodes: u32,

    /// Pods of each of them
    #[arg(long, value_name = "N", default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cluster_pods: u32,

    /// Write the figures to a file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Tell the names of the parts and end
    #[arg(long)]
    list: bool,

    /// Settings of the server, as for `podberth serve`
    #[arg(last = true, value_name = "SETTING")]
    server: Vec<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}")).and_then(|runtime| {
        runtime.block_on(async {
            let stop = stop_signal().map_err(|error| format!("cannot start: {error}"))?;
            run(&options, stop).await
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Resolves after SIGTERM or Ctrl-C: then the bench ends early, with what it has.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Fewer have no room for what is measured.
fn at_least_100(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|nodes| *nodes >= 100).ok_or_else(|| "expected a number of at least 100".into())
}

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
enum Part {
    Engine,
    Growth,
    Workload(&'static Workload, usize),
    Start,
    FilterNames,
    PrioritizeNames,
    FilterFull,
    Flood,
    SchedulePlain,
    ScheduleApart,
    Binds(usize),
    Seen,
    Watch,
    Loop,
    Secured,
    Mixed,
    Clusters,
    Placement,
}

/// Every part and its name, in their order.
fn parts(options: &Options) -> Vec<(String, Part)> {
    let mut parts = vec![("engine".to_owned(), Part::Engine), ("growth".to_owned(), Part::Growth)];
    for nodes in workloads::SIZES {
        let workload =
            |workload: &'static Workload| (format!("{}/{nodes}", workload.name), Part::Workload(workload, nodes));
        parts.extend(workloads::ALL.iter().map(workload));
    }
    let more = [
        ("start", Part::Start),
        ("filter-names", Part::FilterNames),
        ("prioritize-names", Part::PrioritizeNames),
        ("filter-full", Part::FilterFull),
        ("flood", Part::Flood),
        ("schedule-plain", Part::SchedulePlain),
        ("schedule-apart", Part::ScheduleApart),
    ];
    parts.extend(more.map(|(name, part)| (name.to_owned(), part)));
    parts.extend(options.callers.iter().map(|callers| (format!("binds-{callers}"), Part::Binds(*callers))));
    parts.extend([
        ("seen".to_owned(), Part::Seen),
        ("watch".to_owned(), Part::Watch),
        ("loop".to_owned(), Part::Loop),
        ("secured".to_owned(), Part::Secured),
        ("mixed".to_owned(), Part::Mixed),
    ]);
    if options.clusters > 0 {
        parts.extend([("clusters".to_owned(), Part::Clusters), ("placement".to_owned(), Part::Placement)]);
    }
    parts
}

/// Measures and tells, until all is done or `stop` resolves; then what was measured until then is told.
///
/// # Errors
/// One line on what kept it from measuring, or on how many parts came to no end.
async fn run(options: &Options, stop: impl Future<Output = ()>) -> Result<(), String> {
    let all = parts(options);
    if options.list {
        let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
        return print(&(names.join("\n") + "\n"));
    }
    let is_wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| name.starts_with(&**only));
    if let Some(unknown) = options.only.iter().find(|only| !all.iter().any(|(name, _)| name.starts_with(&***only))) {
        return Err(format!("no part's name begins with {unknown:?}; --list tells all"));
    }
    let wanted = all.iter().filter(|(name, _)| is_wanted(name));
    let mut fixture = Fixture::new(options)?;
    let mut report = Report::new(fixture.engine(), options.nodes, options.pods);
    let finished = tokio::select! {
        finished = measure(wanted, &mut fixture, &mut report) => finished,
        () = stop => Err("stopped before all was measured".into()),
    };
    print(&report.table())?;
    if let Some(path) = &options.json {
        fs::write(path, report.json()?).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    finished?;
    match report.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} parts came to no end")),
    }
}

/// One part after the other; one that fails leaves its server behind, and the next begins with another.
async fn measure<'a>(
    parts: impl Iterator<Item = &'a (String, Part)>,
    fixture: &mut Fixture<'_>,
    report: &mut Report,
) -> Result<(), String> {
    for (name, part) in parts {
        eprintln!("measuring {name}");
        let done = tokio::time::timeout(PATIENCE, one(name, *part, fixture, report)).await;
        if let Err(why) = done.unwrap_or_else(|_| Err(format!("not done within {PATIENCE:?}"))) {
            eprintln!("{name}: {why}");
            report.fail(name, why);
            fixture.abandon();
        }
    }
    fixture.end().await
}

async fn one(name: &str, part: Part, fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    match part {
        Part::Engine => engine::decisions(fixture.nodes(), report).await,
        Part::Growth => engine::growth(fixture.nodes(), report).await,
        Part::Workload(workload, nodes) => workloads::measure(name, workload, nodes, fixture, report).await,
        Part::Start => start::measure(fixture, report).await,
        Part::FilterNames => verbs::filter_names(fixture, report).await,
        Part::PrioritizeNames => verbs::prioritize_names(fixture, report).await,
        Part::FilterFull => verbs::filter_full(fixture, report).await,
        Part::Flood => verbs::flood(fixture, report).await,
        Part::SchedulePlain => batch::plain(fixture, report).await,
        Part::ScheduleApart => batch::apart(fixture, report).await,
        Part::Binds(callers) => binds::measure(callers, fixture, report).await,
        Part::Seen => seen::measure(fixture, report).await,
        Part::Watch => watch::measure(fixture, report).await,
        Part::Loop => scheduler::measure(fixture, report).await,
        Part::Secured => secured::measure(fixture, report).await,
        Part::Mixed => mixed::measure(fixture, report).await,
        Part::Clusters => clusters::measure(fixture, report).await,
        Part::Placement => placement::measure(fixture, report).await,
    }
}

fn print(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write to standard output: {error}"))
}
