//! Replicas, clients and followers on a database in memory, under faults, in virtual time. A seed decides everything: the faults, the requests, and
//! the order of events.
//!
//! ```text
//! cargo test --test simulation                                                      a few seconds
//! PODBERTH_SIM_SEED=42 cargo test --test simulation                                 one run again
//! PODBERTH_SIM_OPERATIONS=1000000 cargo test --release --test simulation            a night's run, with seeds of its own
//! ```

mod clients;
mod faulty;
mod followers;
mod history;
mod objects;
mod watchers;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use faulty::{Planted, lock};
use history::Rule;
use world::{Report, run};

/// Operations of one run: a seed gives the same run in every mode.
const RUN: usize = 400;

/// Operations of the ordinary test.
const SHORT: usize = 8_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn check(seed: u64, report: &Report) {
    if !report.violations.is_empty() {
        let first: Vec<_> = report.violations.iter().take(10).map(|violation| format!("  {violation}")).collect();
        let all = first.join("\n");
        let more = report.violations.len().saturating_sub(10);
        panic!("\n{all}\n  and {more} more\nPODBERTH_SIM_SEED={seed} cargo test --test simulation\n");
    }
}

/// Events that must happen for a run to prove anything.
const HAPPENS: [&str; 36] = [
    "watch: exact",
    "watch: broken off",
    "watch: resumed elsewhere",
    "watch: expired",
    "watch: ended",
    "written",
    "unchanged",
    "not found",
    "already exists",
    "conflict",
    "uid mismatch",
    "already bound",
    "rejected",
    "not attempted",
    "failed",
    "unknown",
    "unknown: there",
    "unknown: nothing there",
    "crash",
    "outage",
    "silent history loss",
    "declared history loss",
    "epoch",
    "tail: history was lost",
    "compaction",
    "tail: compacted",
    "reply lost",
    "COMMIT lost",
    "found written",
    "found not written",
    "turned away",
    "a read's reply lost",
    "aborted",
    "panic at the beginning",
    "panic in judging a bind",
    "panic in taking note",
];

/// Executes runs of `operations` under seeds from `first` on, on all cores, until one fails. Returns the counts of events.
fn go_through(first: u64, operations: usize) -> BTreeMap<&'static str, usize> {
    let (begun, runs) = (Instant::now(), operations.div_ceil(RUN));
    let (next, wrong) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new((0, BTreeMap::new()));
    let work = || {
        while !wrong.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= runs {
                break;
            }
            let seed = first + at as u64;
            let report = run(seed, RUN, Planted::Nothing);
            wrong.fetch_or(!report.violations.is_empty(), Ordering::Relaxed);
            check(seed, &report);
            let mut done = lock(&done);
            done.0 += 1;
            for (what, count) in report.tally {
                *done.1.entry(what).or_insert(0) += count;
            }
            if done.0 % runs.div_ceil(20) == 0 || done.0 == runs {
                println!("{} of {operations} operations from seed {first} in {:.1?}", done.0 * RUN, begun.elapsed());
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| (0..cores.min(runs)).for_each(|_| drop(scope.spawn(work))));
    done.into_inner().expect("no run went wrong").1
}

#[test]
fn nothing_is_lost_bound_twice_overcommitted_skipped_or_repeated() {
    if let Some(seed) = setting("PODBERTH_SIM_SEED") {
        let report = run(seed, RUN, Planted::Nothing);
        println!("{:?}", report.tally);
        return check(seed, &report);
    }
    // The ordinary run is always the same; a long one goes where nobody has been.
    let tally = match setting("PODBERTH_SIM_OPERATIONS") {
        Some(operations) => go_through(fastrand::u64(..u64::MAX / 2), operations as usize),
        None => go_through(0, SHORT),
    };
    println!("{tally:?}");
    for what in HAPPENS {
        assert!(tally.contains_key(what), "{what:?} never happened: {tally:?}");
    }
}

#[test]
fn a_seed_determines_the_whole_run() {
    for seed in 0..3 {
        let (once, again) = (run(seed, RUN, Planted::Nothing), run(seed, RUN, Planted::Nothing));
        assert_eq!((once.trace, once.tally), (again.trace, again.tally), "seed {seed}");
    }
}

/// Checks that a bug breaks these rules within the ordinary test's operations.
fn breaks(planted: Planted, expected: &[Rule]) {
    let mut broken = BTreeSet::new();
    for seed in 0..(SHORT / RUN) as u64 {
        broken.extend(run(seed, RUN, planted).violations.iter().map(|violation| violation.rule));
        if expected.iter().all(|rule| broken.contains(rule)) {
            println!("{planted:?} is found after {} operations: it breaks {broken:?}", (seed as usize + 1) * RUN);
            return;
        }
    }
    panic!("{planted:?} breaks {broken:?} only");
}

/// The journal shows it, and followers skip late commits.
#[test]
fn revisions_from_a_sequence_are_found() {
    breaks(Planted::Sequence, &[Rule::Order, Rule::Feed, Rule::View]);
}

/// The first attempt's write belongs to no client.
#[test]
fn a_blind_retry_is_found() {
    breaks(Planted::BlindRetry, &[Rule::Explained]);
}

/// Why feeds are to be read from the primary.
#[test]
fn a_feed_from_a_standby_is_found() {
    breaks(Planted::StandbyFeed, &[Rule::Feed, Rule::View]);
}

/// The reason why a reader reports what it has seen: the counter passes the old value again, in another history.
#[test]
fn a_loss_that_is_not_noticed_is_found() {
    breaks(Planted::Forgetful, &[Rule::Feed, Rule::View]);
}

/// Why a cursor moves with what was applied, and not with what was read.
#[test]
fn a_page_that_is_read_and_not_applied_is_found() {
    breaks(Planted::DroppedPage, &[Rule::View]);
}

/// Watches, and nothing else, are told less than all.
#[test]
fn an_event_that_a_watch_is_not_told_is_found() {
    breaks(Planted::LostEvent, &[Rule::Watch]);
}

/// Why the journal holds its place against the history, too.
#[test]
fn a_journal_that_does_not_notice_a_loss_is_found() {
    breaks(Planted::ForgetfulJournal, &[Rule::Watch]);
}

/// Why a writer is watched, and replaced when a rule panics while it judges.
#[test]
fn a_writer_that_dies_of_a_panic_is_found() {
    breaks(Planted::DeadWriter, &[Rule::Settled]);
}
