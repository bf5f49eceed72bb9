//! A store with faults: a replica's way to the database, on which calls are late, lost, turned away and cut off in the
//! middle of COMMIT. Each fault is drawn from the replica's own chance.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use podberth::store::memory::{Copy, Memory};
use podberth::store::{
    Call, Changes, Connections, Head, Judge, Key, List, ListQuery, MigrationStatus, Record, Store, StoreError, Written,
};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

/// A bug for the simulation to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// Revisions come from a sequence.
    Sequence,
    /// After a lost reply to COMMIT the batch is written again without asking what became of it.
    BlindRetry,
    /// The feed is read from a standby, which is behind.
    StandbyFeed,
}

/// How bad things are, in thousandths of all calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// Calls that find nobody, or are not got to in time.
    pub(crate) turned_away: u32,
    /// Transactions that the database gives up, before COMMIT.
    pub(crate) aborted: u32,
    /// Connections lost in COMMIT.
    pub(crate) cut: u32,
    /// Wake-ups that do not arrive.
    pub(crate) deaf: u32,
    /// Ways that take long.
    pub(crate) slow: u32,
}

/// What all replicas share: how the network is.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    pub(crate) calm: bool,
    /// Until then nobody reaches the database.
    pub(crate) away: Option<Instant>,
    /// What the standby shows.
    pub(crate) standby: Copy,
    pub(crate) tally: std::collections::BTreeMap<&'static str, usize>,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    memory: Memory,
    weather: Arc<Mutex<Weather>>,
    rates: Rates,
    planted: Planted,
    chance: Arc<Mutex<fastrand::Rng>>,
    hint: watch::Sender<u64>,
    ear: AbortHandle,
}

const ATTEMPTS: u64 = 4;
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

impl Faulty {
    pub(crate) fn new(
        memory: &Memory,
        weather: &Arc<Mutex<Weather>>,
        rates: Rates,
        planted: Planted,
        seed: u64,
    ) -> Self {
        let chance = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let hint = watch::Sender::new(0);
        let (mut news, heard, deaf) = (memory.hint(), hint.clone(), chance.clone());
        let ear = tokio::spawn(async move {
            while news.changed().await.is_ok() {
                let late = { lock(&deaf).u64(0..20) };
                sleep(Duration::from_millis(late)).await;
                if lock(&deaf).u32(0..1_000) >= rates.deaf {
                    heard.send_modify(|count| *count += 1);
                }
            }
        });
        let (memory, weather) = (memory.handle(), weather.clone());
        Self { memory, weather, rates, planted, chance, hint, ear: ear.abort_handle() }
    }

    /// Whether something that happens so often happens now.
    fn happens(&self, rate: u32) -> bool {
        let draw = lock(&self.chance).u32(0..1_000);
        draw < rate && !lock(&self.weather).calm
    }

    fn count(&self, what: &'static str) {
        *lock(&self.weather).tally.entry(what).or_default() += 1;
    }

    /// The way there or back.
    async fn travel(&self) {
        let most = if self.happens(self.rates.slow) { 3_000 } else { 8 };
        let late = lock(&self.chance).u64(0..most);
        sleep(Duration::from_millis(late)).await;
    }

    /// The way to a database that may not be there.
    async fn reach(&self) -> Result<(), StoreError> {
        self.travel().await;
        if lock(&self.weather).away.is_some_and(|until| Instant::now() < until) {
            return Err(StoreError::Unavailable("the database is away".into()));
        }
        if self.happens(self.rates.turned_away) {
            let busy = lock(&self.chance).bool();
            let why = || "injected".to_owned();
            return Err(if busy { StoreError::Busy(why()) } else { StoreError::Unavailable(why()) });
        }
        Ok(())
    }

    /// A read: on the way back the connection may be lost as well.
    async fn read<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.reach().await?;
        let found = read.await;
        self.travel().await;
        if self.happens(self.rates.turned_away) {
            return Err(StoreError::Unavailable("the reply was lost".into()));
        }
        found
    }

    async fn attempt(
        &self,
        cluster: &str,
        calls: &[Call],
        judge: &mut dyn Judge,
        token: u64,
        in_doubt: &mut Option<Written>,
    ) -> Result<Written, StoreError> {
        let busy = |_| StoreError::Busy("the lock could not be had in time".into());
        self.reach().await?;
        if let Some(written) = in_doubt.take_if(|_| self.planted == Planted::BlindRetry) {
            self.count("retried blindly");
            drop(written);
        }
        if let Some(written) = in_doubt {
            let _counter = timeout(LOCK_TIMEOUT, self.memory.counter(cluster)).await.map_err(busy)?;
            if self.memory.is_written(cluster, written.head.revision, token) {
                self.count("found written");
                return Ok(written.clone());
            }
            self.count("found not written");
            *in_doubt = None;
        }
        let begun = self.memory.begin(cluster, calls, judge, token);
        let transaction = timeout(LOCK_TIMEOUT, begun).await.map_err(busy)??;
        self.travel().await;
        if self.happens(self.rates.aborted) {
            let aborted = lock(&self.chance).bool();
            let why = || "before COMMIT".to_owned();
            return Err(if aborted { StoreError::Aborted(why()) } else { StoreError::Unavailable(why()) });
        }
        let written = transaction.written().clone();
        let cut = self.happens(self.rates.cut);
        let arrives = !cut || lock(&self.chance).bool();
        let late = lock(&self.chance).u64(0..if cut { 500 } else { 3 });
        let (reply, answer) = oneshot::channel();
        // COMMIT is on its way: nothing that happens to this replica calls it back.
        tokio::spawn(async move {
            sleep(Duration::from_millis(late)).await;
            if arrives {
                let _ = reply.send(transaction.commit());
            }
        });
        let answer = if cut { None } else { answer.await.ok() };
        match answer {
            Some(Err(StoreError::Unavailable(why))) => {
                *in_doubt = Some(written);
                Err(StoreError::Unavailable(why))
            }
            Some(answer) => {
                self.travel().await;
                answer
            }
            None => {
                self.count(if arrives { "reply lost" } else { "COMMIT lost" });
                *in_doubt = Some(written);
                Err(StoreError::Unavailable("the connection was lost in COMMIT".into()))
            }
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.ear.abort();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for Faulty {
    /// Tries again as the engine on PostgreSQL does.
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        let token = lock(&self.chance).u64(..);
        let mut in_doubt = None;
        for attempt in 1.. {
            let error = match self.attempt(cluster, calls, judge, token, &mut in_doubt).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            let again = in_doubt.is_some() || matches!(error, StoreError::Aborted(_) | StoreError::Unavailable(_));
            let gives_up = attempt == ATTEMPTS || self.happens(200);
            if !again || gives_up {
                return Err(if in_doubt.is_some() { StoreError::OutcomeUnknown(error.to_string()) } else { error });
            }
            sleep(Duration::from_millis(10 * attempt)).await;
        }
        Err(StoreError::Internal("the attempts are endless".into()))
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        self.read(self.memory.get(cluster, key)).await
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        self.read(self.memory.list(cluster, query)).await
    }

    async fn changes(&self, cluster: &str, after: u64, complete: u64, limit: usize) -> Result<Changes, StoreError> {
        if self.planted == Planted::StandbyFeed && self.happens(300) {
            let standby = Memory::of(&lock(&self.weather).standby);
            return self.read(standby.changes(cluster, after, complete, limit)).await;
        }
        self.read(self.memory.changes(cluster, after, complete, limit)).await
    }

    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        self.read(self.memory.head(cluster)).await
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        self.read(self.memory.clusters()).await
    }

    fn hint(&self) -> watch::Receiver<u64> {
        self.hint.subscribe()
    }

    fn connections(&self) -> Connections {
        self.memory.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(self.memory.ping()).await
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        self.memory.migrate().await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.memory.migration_status().await
    }

    async fn close(&self) {
        self.memory.close().await;
    }
}
