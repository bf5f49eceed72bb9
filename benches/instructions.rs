//! How many instructions the hot paths take, held against `benches/instructions.json`: they repeat where seconds do not.
//!
//! `scripts/instructions` runs this. It starts itself under `valgrind --tool=callgrind`, which writes down what happened
//! between any two calls of [`mark`], and compares. A figure above the stored one by more than [`TOLERANCE`] is a failure; one below by as
//! much is told, so that the file is renewed, which `UPDATE=1` does. CPUs differ in the instructions that the C library and
//! some crates choose for them: what is within the tolerance says nothing.

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

use bytes::Bytes;
use podberth::{core::policy::Policy, store::Schema};
use podberth_testkit::memory::{Memory, Numbering};
use podberth_testkit::{
    json::{self, Candidates},
    large::{PODS_PER_NODE, Running, TAINTED, bound, cluster, decide, node_name, workloads},
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

#[path = "../tests/support/server.rs"]
mod server;

/// How far a figure may be from the stored one.
const TOLERANCE: f64 = 0.05;

/// Nodes of the cluster.
const NODES: usize = 200;

/// The measured paths, in the order in which they run.
const PATHS: [&str; 5] = ["decide-plain", "apply-bind", "decide-apart", "filter-names", "filter-full-nodes"];

#[derive(Serialize, Deserialize)]
struct Figures {
    /// The compiler that made them: another one makes other code.
    rustc: String,
    /// Instructions by path.
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    // Cargo's own word among them is of no use here.
    match env::args().skip(1).find(|word| !word.starts_with('-')) {
        Some(word) if word == "measured" => run(),
        _ => match compare() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Counts, and tells what differs from the stored figures. Whether nothing got worse.
fn compare() -> Result<bool, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json");
    let counted = Figures { rustc: rustc()?, instructions: count()? };
    if env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&counted).map_err(|error| error.to_string())? + "\n";
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let stored: Figures = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut is_good = true;
    for (path, count) in &counted.instructions {
        let Some(before) = stored.instructions.get(path) else {
            println!("{path:20} {count:>12}   is new: UPDATE=1 scripts/instructions");
            is_good = false;
            continue;
        };
        let ratio = *count as f64 / *before as f64;
        let told = if ratio > 1.0 + TOLERANCE {
            is_good = false;
            "TOO MANY"
        } else if ratio < 1.0 - TOLERANCE {
            "fewer: renew the figures by UPDATE=1 scripts/instructions"
        } else {
            ""
        };
        println!("{path:20} {count:>12}   {ratio:.3} of {before}   {told}");
    }
    if !is_good && stored.rustc != counted.rustc {
        println!("the stored figures are of {}, this is {}", stored.rustc, counted.rustc);
    }
    Ok(is_good)
}

fn rustc() -> Result<String, String> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs this program under callgrind; the instructions of each path.
fn count() -> Result<BTreeMap<String, u64>, String> {
    let folder = Folder::new()?;
    let counts = folder.0.join("counts");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg("--dump-before=instructions::mark*");
    valgrind.arg(format!("--callgrind-out-file={}", counts.display()));
    valgrind.arg(env::current_exe().map_err(|error| error.to_string())?).arg("measured");
    let status = valgrind.status().map_err(|error| format!("valgrind: {error}"))?;
    if !status.success() {
        return Err(format!("valgrind: {status}"));
    }
    let total = |(i, path): (usize, &&str)| {
        // Dumps are numbered from 1, and those with odd numbers are of what is between two paths.
        let dump = format!("{}.{}", counts.display(), 2 * i + 2);
        let text = fs::read_to_string(&dump).map_err(|error| format!("{path}: {dump}: {error}"))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        Ok(((*path).to_owned(), total.ok_or_else(|| format!("{path}: {dump} has no totals"))?))
    };
    PATHS.iter().enumerate().map(total).collect()
}

/// A folder that is gone with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = env::temp_dir().join(format!("podberth-instructions-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Does each of [`PATHS`] once. What the first call of anything costs is paid before, by a call about something else.
fn run() -> ExitCode {
    let profile = Policy::default().compile().expect("the default policy compiles");
    let pod = |name: &str| workloads().into_iter().find(|w| w.name == name).expect("it is listed").pod;

    let (snapshot, first, asked) = (cluster(NODES, PODS_PER_NODE, Running::Plain), pod("service"), pod("plain"));
    black_box(decide(&profile, &first, &snapshot));
    let totals = counted(|| decide(&profile, &asked, &snapshot));
    assert_eq!(totals.len(), NODES - NODES / TAINTED);

    let (first, added) = (bound(Running::Plain, 2), bound(Running::Plain, 1));
    black_box(snapshot.with_pod(first));
    let changed = counted(|| snapshot.with_pod(added));
    assert_eq!(changed.pod_count(), snapshot.pod_count() + 1);
    drop((snapshot, changed));

    let snapshot = cluster(NODES, PODS_PER_NODE, Running::Apart);
    let (first, asked) = (pod("plain-among-apart"), pod("anti-affinity-among-apart"));
    black_box(decide(&profile, &first, &snapshot));
    let totals = counted(|| decide(&profile, &asked, &snapshot));
    assert_eq!(totals.len(), NODES - 2 * NODES / TAINTED);
    drop(snapshot);

    let server = Server::new();
    let (nodes, names) = (json::nodes(NODES), (0..NODES).map(node_name).collect::<Vec<_>>());
    let pods = (0..NODES).map(|i| json::running(i, NODES, PODS_PER_NODE));
    server.post("/import", json::list(&nodes.iter().cloned().chain(pods).collect::<Vec<_>>()));
    for candidates in [Candidates::Names(&names), Candidates::Full(&nodes)] {
        let ask = |name| json::question(&json::waiting(name, "").pod(0, None), &candidates);
        let (first, asked) = (ask("first"), ask("asked"));
        let expected = server.post("/filter", first).len();
        let reply = counted(|| server.post("/filter", asked));
        assert_eq!(reply.len(), expected, "the same nodes fit");
    }
    ExitCode::SUCCESS
}

/// Does what is to be counted, between two marks.
fn counted<T>(work: impl FnOnce() -> T) -> T {
    mark();
    let done = black_box(work());
    mark();
    done
}

/// Where callgrind writes down what happened since the last time, and begins anew.
#[inline(never)]
fn mark() {
    black_box(());
}

/// A server on one thread and those that compute, with its state in memory.
struct Server {
    runtime: Runtime,
    server: server::Server,
}

impl Server {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = runtime.block_on(async {
            let store = Arc::new(Memory::new(Numbering::Counter));
            store.migrate().await.expect("a database in memory");
            server::Server::start(store, server::Setup { is_searched: false, ..server::Setup::default() })
        });
        Self { runtime, server }
    }

    fn post(&self, path: &str, body: impl server::Sent) -> Bytes {
        let reply = self.runtime.block_on(self.server.post(path, body));
        assert_eq!(reply.code, 200, "{}", reply.text());
        reply.body
    }
}
