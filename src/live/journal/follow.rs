//! The task that keeps the tracks of a cluster up to date.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Journal, Load,
    book::{Taken, Tracked},
};
use crate::{
    store::{Changes, Head, List, ListQuery, Record, StoreError},
    wire::kinds::StoredKind,
};

/// Changes read at a time.
const PAGE: usize = 1_000;

/// Changes that are taken in at once at most. After more of them the watches begin anew.
const MOST_AT_ONCE: usize = 50_000;

/// More objects than this are read on a thread of their own.
const READ_AT_ONCE: usize = 256;

/// Before the change feed is read again after an error.
const RETRY: Duration = Duration::from_millis(200);

/// Longest wait for the cluster's view. One that does not move holds no watches up.
const VIEW_FOLLOWS: Duration = Duration::from_secs(2);

/// A track that nobody has read for this time is let go.
const RELEASE_AFTER: Duration = Duration::from_mins(5);

/// Interval of looking for such tracks.
const LOOKS: Duration = Duration::from_secs(20);

/// Runs until there is no track any more.
pub(super) async fn run(journal: Arc<Journal>) {
    let mut progress = journal.progress.clone();
    loop {
        // The first track of a journal stands where a list was read: the feed says if that is still the cluster's history.
        let mut is_behind = load(&journal).await;
        is_behind |= take_batches(&journal).await;
        let newest = *progress.borrow_and_update();
        {
            let book = journal.book();
            is_behind |= newest.revision > book.cursor().after || book.is_elsewhere(&newest.head);
            is_behind &= !book.is_empty();
        }
        if is_behind && let Err(error) = catch_up(&journal).await {
            tracing::debug!(cluster = journal.cluster, %error, "the journal cannot read the change feed");
            sleep(RETRY).await;
            if progress.has_changed().is_ok() && !journal.is_closed() {
                continue;
            }
            journal.close();
        }
        if is_done(&journal) {
            return;
        }
        tokio::select! {
            biased;
            () = journal.work.notified() => {}
            changed = progress.changed() => if changed.is_err() {
                journal.close();
            },
            () = sleep(LOOKS) => if let Some(since) = Instant::now().checked_sub(RELEASE_AFTER) {
                journal.book().release(since);
            },
        }
    }
}

/// `true` if there is nothing to follow: then the task counts as ended.
fn is_done(journal: &Journal) -> bool {
    let mut inbox = journal.inbox();
    let is_done = inbox.is_closed || (inbox.to_load.is_empty() && journal.book().is_empty());
    if is_done {
        inbox.is_running = false;
        inbox.batches.clear();
    }
    is_done
}

/// Loads the kinds that are asked for; `true` if there was no track before.
async fn load(journal: &Journal) -> bool {
    let mut is_new = false;
    loop {
        let next = journal.inbox().to_load.pop();
        let Some(Load { kind, reply }) = next else { return is_new };
        if let Some(track) = journal.track(kind) {
            drop(reply.send(Ok(track)));
            continue;
        }
        let loaded = match read(journal, kind).await {
            Ok((seen, track)) => {
                is_new |= journal.book().add(track.clone(), seen);
                if journal.is_closed() {
                    journal.book().reset();
                }
                Ok(track)
            }
            Err(error) => Err(error),
        };
        drop(reply.send(loaded));
    }
}

/// Reads a kind: its track, and the head of the cluster before that.
async fn read(journal: &Journal, kind: &'static StoredKind) -> Result<(Head, Arc<Tracked>), StoreError> {
    let Journal { store, cluster, bounds, .. } = journal;
    let standing = store.heads(std::slice::from_ref(cluster)).await?.clusters.pop();
    let seen = standing.map_or(Ok(Head::default()), |standing| standing.head)?;
    let List { items, revision, .. } = store.list(cluster, &ListQuery::all(kind.key())).await?;
    let bounds = *bounds;
    let track = if items.len() <= READ_AT_ONCE {
        Tracked::new(kind, bounds, items, revision)
    } else {
        let making = tokio::task::spawn_blocking(move || Tracked::new(kind, bounds, items, revision));
        making.await.map_err(|error| StoreError::Internal(error.to_string()))?
    };
    Ok((seen, Arc::new(track)))
}

/// Waits until the cluster's view has come to a revision. Clients who act on what a watch tells are then answered by a state that has it:
/// kube-scheduler asks its extender at once, and no second time.
async fn shown(journal: &Journal, revision: u64) {
    let mut progress = journal.progress.clone();
    drop(timeout(VIEW_FOLLOWS, progress.wait_for(|progress| progress.revision >= revision)).await);
}

/// Takes in the batches of this process; `true` if the feed is to be read.
async fn take_batches(journal: &Journal) -> bool {
    let batches = std::mem::take(&mut journal.inbox().batches);
    if let Some(last) = batches.back() {
        shown(journal, last.after.revision).await;
    }
    let mut book = journal.book();
    let has_gap = batches.iter().fold(false, |gap, batch| gap | (book.take_batch(batch) == Taken::Gap));
    has_gap && !book.is_empty()
}

/// Reads the feed up to the head and takes all of it in at once, so that no revision is seen in part.
async fn catch_up(journal: &Journal) -> Result<(), StoreError> {
    let mut at = journal.book().cursor();
    let mut records: Vec<Record> = Vec::new();
    loop {
        match journal.store.changes(&journal.cluster, &at, PAGE).await {
            Ok(Changes { records: page, complete, next, .. }) => {
                records.extend(page);
                at = next;
                if complete {
                    shown(journal, at.after).await;
                    journal.book().take_changes(&records, at);
                    return Ok(());
                }
                if records.len() > MOST_AT_ONCE {
                    tracing::warn!(cluster = journal.cluster, "too many changes at once: watches begin anew");
                    journal.book().reset();
                    return Ok(());
                }
            }
            Err(error @ (StoreError::Compacted { .. } | StoreError::HistoryLost { .. })) => {
                tracing::info!(cluster = journal.cluster, %error, "watches begin anew");
                journal.book().reset();
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
