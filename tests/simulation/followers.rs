//! Followers: one reads the views of a replica, one reads the feed itself, page by page.

use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use podberth::live::Clusters;
use podberth::store::{Cursor, Key, Record, Storage, StoreError};
use tokio::time::sleep;
use uuid::Uuid;

use crate::history::{History, Rule};
use crate::world::CLUSTERS;

/// Reads the views that a replica publishes, without sending requests to it.
pub(crate) async fn view(clusters: Clusters, cluster: usize, who: String, history: Arc<History>) {
    let mut cursor = history.window(cluster);
    let mut last = None;
    loop {
        if let Some(live) = clusters.followed(CLUSTERS[cluster]) {
            let view = live.view();
            if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &view)) {
                history.saw(&mut cursor, &who, &view.snapshot);
                last = Some(view);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads the feed in pages of random length and keeps the state.
pub(crate) async fn tail(store: Arc<dyn Storage>, cluster: usize, mut chance: fastrand::Rng, history: Arc<History>) {
    let mut state: OrdMap<Key, Record> = OrdMap::new();
    let (mut cursor, mut place) = (Cursor::default(), history.window(cluster));
    loop {
        let limit = if chance.u32(0..4) == 0 { usize::MAX } else { chance.usize(1..8) };
        let page = match store.changes(CLUSTERS[cluster], &cursor, limit).await {
            Ok(page) => page,
            Err(StoreError::Compacted { .. }) => {
                (state, cursor) = (OrdMap::new(), Cursor::default());
                history.count("tail: compacted");
                continue;
            }
            Err(StoreError::HistoryLost { .. }) => {
                let lost = cursor.seen.expect("it has said what it has seen");
                if store.begin_epoch(CLUSTERS[cluster], &lost, Uuid::nil()).await.is_ok() {
                    (state, cursor) = (OrdMap::new(), Cursor::default());
                    history.count("tail: history was lost");
                }
                continue;
            }
            Err(_) => {
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        for record in &page.records {
            if record.deleted {
                state.remove(&record.key);
                continue;
            }
            let mut record = record.clone();
            if record.body_is_known(cursor.complete) {
                let Some(held) = state.get(&record.key) else {
                    return history.wrong(Rule::Feed, format!("the body of {record:?} was left out"));
                };
                record.body = held.body.clone();
            }
            state.insert(record.key.clone(), record);
        }
        history.followed(&mut place, cursor.after, &page, &state);
        cursor = page.next;
        if page.complete {
            sleep(Duration::from_millis(chance.u64(1..400))).await;
        }
    }
}
