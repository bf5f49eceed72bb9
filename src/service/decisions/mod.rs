//! The record of decisions: what was asked, on which state, under which policy and seed, and the answer.
//!
//! A decision is noted as a few facts on its way ([`made`]) and becomes an entry of the store's ledger off that way ([`writing`]), in batches. There is a
//! bound on those that wait; what does not fit is dropped and counted. A decision that is read ([`read`]) can be made again.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use self::writing::Writing;
use crate::{
    clock,
    live::upkeep::Job,
    service::audit::{Recorder, Sort},
    store::{Retain, Storage, StoreError, ledger::MAX_BODY},
    telemetry,
    wire::decision::Share,
};

pub use self::{
    calls::{Action, Answered, NotedBind, Sample},
    made::{About, Made, Making, Said},
    read::{Asked, get, list, masked},
    writing::{effects, summarized},
};

mod calls;
mod made;
mod read;
mod trimmed;
mod writing;

/// The kind of decisions in the ledger. Their cluster is that of the decision, their subject the node, their object the pod as `namespace/name`.
pub const KIND: &str = "decision";

/// The number of best nodes that a record has.
pub const BEST: usize = 10;

/// The longest pod that is recorded with its decision.
const LONGEST_POD: usize = MAX_BODY - (64 << 10);

/// How long a decision waits for others before they are written together.
const GATHERED_FOR: Duration = Duration::from_millis(500);

/// The record of decisions of a process; by default there is none. Clones share it.
#[derive(Clone, Default)]
pub struct Log(Option<Arc<Shared>>);

struct Shared {
    share: Share,
    /// The calls of `/filter` and of `/prioritize` so far. With one count for both, a scheduler that asks in turns would have only one of them recorded.
    filters: AtomicU64,
    priorities: AtomicU64,
    writing: Writing,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.0.as_ref().map(|shared| shared.share)).finish()
    }
}

impl Log {
    /// Records a share of the decisions in the ledger of a store.
    pub fn start(share: Share, store: Arc<dyn Storage>) -> Self {
        if share == Share::None {
            return Self::default();
        }
        let sort = Sort {
            name: "recorded decisions",
            recorded: telemetry::DECISIONS_RECORDED,
            lost: telemetry::DECISIONS_DROPPED,
            waiting: telemetry::DECISIONS_WAITING,
            meanwhile: "those that wait are tried again",
            gathered_for: GATHERED_FOR,
        };
        let recorder = Recorder::of_clusters(store, sort);
        Self(Some(Arc::new(Shared {
            share,
            filters: AtomicU64::new(0),
            priorities: AtomicU64::new(0),
            writing: Writing::start(recorder),
        })))
    }

    /// Waits until all that was decided is recorded, for a while.
    pub async fn flush(&self) {
        if let Some(shared) = &self.0 {
            shared.writing.flush().await;
        }
    }
}

/// The decisions that are kept of each cluster.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Their age.
    pub age: Duration,
    /// The bytes of their records.
    pub bytes: u64,
}

/// Removes old decisions from the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// How often.
    pub every: Duration,
    /// The decisions that are kept.
    pub keep: Retention,
}

impl Prune {
    fn retain(&self, now: Timestamp) -> Retain {
        Retain { since: now.checked_sub(self.keep.age).ok(), entries: None, bytes: Some(self.keep.bytes) }
    }
}

impl Job for Prune {
    fn name(&self) -> &'static str {
        "prune decisions"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, store: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let retain = self.retain(clock::now());
            for (cluster, kind) in store.books().await?.into_iter().filter(|(_, kind)| kind == KIND) {
                let count = store.prune(&cluster, &kind, &retain).await?;
                if count > 0 {
                    tracing::debug!(cluster, count, "old decisions are removed");
                }
            }
            Ok(())
        })
    }
}
