//! An overview that goes on: first the whole, then the nodes and sums that differ, a line each.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::{
    core::{
        overview::{Asked, Step, after, overview},
        pending::is_pending,
    },
    live::{View, follow::Follow},
    service::{
        Service,
        access::sight::Sight,
        compute::compute,
        error::{Error, Result},
        past,
    },
    wire::overview::{OverviewChange, OverviewHeartbeat, OverviewReply},
};

/// Least time between two lines.
pub const MOST_OFTEN: Duration = Duration::from_millis(500);

/// Longest silence.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// An overview that goes on.
#[derive(Debug)]
pub struct Following {
    follow: Follow,
    asked: Arc<Asked>,
    sight: Sight,
    /// The view that the client knows, and how many pods wait in it; `None` before the first line.
    told: Option<Told>,
    /// Time of the last line; `None` before the first.
    last: Option<Instant>,
    /// Time of the last look at the cluster.
    looked: Instant,
    ends: Instant,
}

#[derive(Clone, Debug)]
struct Told {
    view: Arc<View>,
    pending: usize,
}

/// The outcome of a look at a view.
struct Found {
    line: Option<Bytes>,
    told: Told,
}

impl Following {
    /// Begins with the whole or, where the client knows the overview of a revision that the server still has, with the difference to it.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] if there are too many watches.
    pub async fn begin(
        service: &Service,
        cluster: &str,
        asked: Asked,
        sight: Sight,
        (since, lasts): (Option<u64>, Duration),
    ) -> Result<Self> {
        let follow = service.clusters.follow(cluster).await?;
        let known = match since {
            Some(since) => past::view_at(service, cluster, since).await.ok(),
            None => None,
        };
        let told = known.map(|view| {
            let pending = view.snapshot.pods().filter(|pod| is_pending(pod)).count();
            Told { view, pending }
        });
        let now = Instant::now();
        Ok(Self { follow, asked: asked.into(), sight, told, last: None, looked: now, ends: now + lasts })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// A fault of Podberth, after which there are no more lines.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.last.is_none() {
            let view = self.follow.view();
            let found = self.find(view).await?;
            let revision = found.told.view.snapshot.revision;
            let line = found.line.map_or_else(|| line(&OverviewHeartbeat { revision }), Ok)?;
            return Ok(Some(self.tell(line, found.told)));
        }
        loop {
            let Some((last, told)) = self.last.zip(self.told.clone()) else { return Ok(None) };
            let known = told.view.snapshot.revision;
            let (soonest, silent) = (self.looked + MOST_OFTEN, last + HEARTBEAT);
            tokio::select! {
                biased;
                () = sleep_until(self.ends) => return Ok(None),
                () = sleep_until(silent) => {
                    if self.follow.is_over() {
                        return Ok(None);
                    }
                    return Ok(Some(self.tell(line(&OverviewHeartbeat { revision: known })?, told)));
                }
                view = newer(&mut self.follow, known, soonest) => {
                    let Some(view) = view else { return Ok(None) };
                    let Found { line, told } = self.find(view).await?;
                    if let Some(line) = line {
                        return Ok(Some(self.tell(line, told)));
                    }
                    self.told = Some(told);
                }
            }
        }
    }

    fn tell(&mut self, line: Bytes, told: Told) -> Bytes {
        self.told = Some(told);
        self.last = Some(Instant::now());
        line
    }

    /// The line for a view; `None` if nothing has changed that the overview shows.
    async fn find(&mut self, view: Arc<View>) -> Result<Found> {
        self.looked = Instant::now();
        let (asked, told) = (self.asked.clone(), self.told.clone());
        let mut sight = std::mem::take(&mut self.sight);
        let work = move || {
            let found = found(view, &asked, told, &mut sight);
            (found, sight)
        };
        let (found, sight) = compute(work).await?;
        self.sight = sight;
        found
    }
}

/// A view of another revision, not before a time.
async fn newer(follow: &mut Follow, known: u64, soonest: Instant) -> Option<Arc<View>> {
    follow.other_than(known).await?;
    sleep_until(soonest).await;
    (!follow.is_over()).then(|| follow.view())
}

fn found(view: Arc<View>, asked: &Asked, told: Option<Told>, sight: &mut Sight) -> Result<Found> {
    let revision = view.snapshot.revision;
    let step = told.as_ref().map_or(Step::Anew, |told| {
        after(&told.view.snapshot, &view.snapshot, asked, told.pending, |namespace| sight.knows(namespace))
    });
    let (text, pending) = match step {
        Step::Same => (None, told.map_or(0, |told| told.pending)),
        Step::Changes(changes) => {
            let pending = changes.pending;
            (Some(line(&OverviewChange::new(revision, *changes))?), pending)
        }
        Step::Anew => {
            let whole = overview(&view.snapshot, asked, |namespace| sight.knows(namespace));
            let pending = whole.pending;
            (Some(line(&OverviewReply::new(revision, whole))?), pending)
        }
    };
    Ok(Found { line: text, told: Told { view, pending } })
}

/// A document as a line.
fn line(document: &impl Serialize) -> Result<Bytes> {
    let mut line = serde_json::to_vec(document).map_err(Error::internal)?;
    line.push(b'\n');
    Ok(line.into())
}
