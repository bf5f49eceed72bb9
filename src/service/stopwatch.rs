//! The time of each plugin of a cycle.
//!
//! Plugins are timed if the request is traced, and in one of [`SAMPLE`] cycles for the metric, as in kube-scheduler
//! (`pkg/scheduler/schedule_one.go`, `pluginMetricsSamplePercent`). All other cycles have no observer.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use metrics::histogram;

use crate::{
    clock,
    core::observe::{Observer, Point},
    telemetry::{self, trace::Here},
};

/// One in this number of cycles is measured.
const SAMPLE: usize = 10;

/// Measures the time of each plugin of a cycle, and reports it at the end.
pub(super) struct Stopwatch {
    here: Option<Here>,
    is_sample: bool,
    /// One moment on both clocks.
    epoch: (Instant, SystemTime),
    laps: Mutex<Vec<Lap>>,
}

struct Lap {
    point: Point,
    plugin: &'static str,
    begun: Instant,
    ended: Instant,
}

impl Stopwatch {
    /// A stopwatch for the cycle that begins, if its plugins must be timed. `cycles` counts those of its verb: with a common count, a scheduler that
    /// alternates between two verbs would have only one of them measured.
    pub(super) fn if_wanted(cycles: &AtomicUsize) -> Option<Self> {
        let is_sample = cycles.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE);
        let here = Here::now();
        (is_sample || here.is_some()).then(|| Self {
            here,
            is_sample,
            epoch: (Instant::now(), clock::now().into()),
            laps: Mutex::default(),
        })
    }

    fn laps(&self) -> MutexGuard<'_, Vec<Lap>> {
        self.laps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Stopwatch {
    fn begin(&self, point: Point, plugin: &'static str) {
        let begun = Instant::now();
        self.laps().push(Lap { point, plugin, begun, ended: begun });
    }

    fn end(&self, _: Point, _: &'static str) {
        let ended = Instant::now();
        if let Some(lap) = self.laps().last_mut() {
            lap.ended = ended;
        }
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let laps = self.laps();
        if self.is_sample {
            for lap in &*laps {
                histogram!(telemetry::PLUGIN_EXECUTION_DURATION, "plugin" => lap.plugin,
                    "extension_point" => lap.point.name())
                .record(lap.ended - lap.begun);
            }
        }
        let Some(here) = &self.here else { return };
        let at = |instant: Instant| self.epoch.1 + (instant - self.epoch.0);
        for phase in laps.chunk_by(|before, next| before.point == next.point) {
            let [first, ..] = phase else { continue };
            let last = phase.last().unwrap_or(first);
            let point = here.tell(first.point.name(), at(first.begun), at(last.ended));
            for lap in phase {
                point.tell(lap.plugin, at(lap.begun), at(lap.ended));
            }
        }
    }
}
