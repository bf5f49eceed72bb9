//! Audit: a record of who did what, and how it ended.
//!
//! A request that is audited has a [`Trail`], on which its parts write what they know: who sends it, if it may, what became of it. From the trail
//! come its events, as the [policy](crate::core::audit) has it, and the [`Recorder`] makes them durable: those of changes before they are answered,
//! others when there is time.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    clock,
    core::audit::Policy,
    live::upkeep::Job,
    store::{Retain, Storage, StoreError, ledger::NO_CLUSTER},
};

pub use self::{
    log_file::{LogFile, Rotation},
    read::{Asked, EventList, list},
    recorder::{AUDIT, Recorder, Sinks, Sort},
    trail::{
        Client, Judged, LARGEST_BODY, Trail, Unanswered, current, failed, named, note, request_body, shortened, within,
        word,
    },
};

mod log_file;
mod queue;
mod read;
mod recorder;
mod trail;

/// The kind of audit events in the ledger. Their cluster is [`NO_CLUSTER`], so that they outlive the clusters that they are about; their subject
/// is the user, their object the cluster.
pub const KIND: &str = "audit";

/// Audit of a process. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit {
    policy: Arc<Policy>,
    recorder: Arc<Recorder>,
}

impl Audit {
    /// Audit by a policy.
    pub fn new(policy: Policy, recorder: Recorder) -> Self {
        Self { policy: Arc::new(policy), recorder: Arc::new(recorder) }
    }

    /// Waits until all events are recorded, for a while.
    pub async fn flush(&self) {
        self.recorder.flush().await;
    }
}

/// The events that are kept in the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Their age.
    pub age: Duration,
    /// Their number.
    pub events: u64,
}

/// Removes old events from the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// How often.
    pub every: Duration,
    /// The events that are kept.
    pub keep: Retention,
}

impl Prune {
    fn retain(&self, now: Timestamp) -> Retain {
        let since = now.checked_sub(self.keep.age).ok();
        Retain { since, entries: Some(self.keep.events), bytes: None }
    }
}

impl Job for Prune {
    fn name(&self) -> &'static str {
        "prune audit events"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, store: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let count = store.prune(NO_CLUSTER, KIND, &self.retain(clock::now())).await?;
            if count > 0 {
                tracing::debug!(count, "old audit events are removed");
            }
            Ok(())
        })
    }
}
