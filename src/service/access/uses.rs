//! The last use of stored tokens, noted at most once a minute.
//!
//! Each process collects the uses of a minute and stores them in one batch, as objects of their own in the cluster of the tokens: a token's record
//! stays as it is, so that no process has to read its tokens and roles anew. A use of the last minute before a process is lost is not noted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    core::model::Name,
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        error::{Error, Result},
        supervised::Supervised,
    },
    store::{Atomicity, Call, Change, Key, ListQuery, Precondition, Write},
};

/// The store's kind under which uses are kept, by the token's name.
const KIND: &str = "tokenuses.podberth.io";

/// The uses of this time are stored together.
const EVERY: Duration = Duration::from_mins(1);

/// Uses that are not stored yet. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<Mutex<HashMap<Name, Timestamp>>>);

/// A use as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredUse {
    last_used_at: String,
}

/// The loop that stores uses.
#[derive(Debug)]
#[expect(dead_code, reason = "it ends when it is dropped")]
pub struct KeptUses(Supervised);

impl Uses {
    /// A token is used.
    pub(super) fn note(&self, token: &Name, now: Timestamp) {
        // It is whole after any panic: each change of it is one call.
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(token) {
            Some(last) => *last = now,
            None => drop(uses.insert(token.clone(), now)),
        }
    }

    fn take(&self) -> HashMap<Name, Timestamp> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stores the uses of each minute, until the returned loop is dropped.
    pub fn keep(&self, service: &Service) -> KeptUses {
        let (uses, service) = (self.clone(), service.clone());
        KeptUses(Supervised::start("storing the last uses of tokens", EVERY, move || {
            let (uses, service) = (uses.clone(), service.clone());
            async move {
                if let Err(error) = uses.flush(&service).await {
                    tracing::debug!(%error, "the last uses of tokens cannot be stored yet");
                }
            }
        }))
    }

    /// Stores the uses so far, in one batch.
    ///
    /// # Errors
    /// Those of the store; then they are stored the next time.
    pub async fn flush(&self, service: &Service) -> Result<()> {
        let uses = self.take();
        if uses.is_empty() {
            return Ok(());
        }
        let put = |(name, at): (&Name, &Timestamp)| -> Result<Write> {
            let body = serde_json::to_vec(&StoredUse { last_used_at: clock::rfc3339(*at) }).map_err(Error::internal)?;
            let change = Change::Put { body: body.into(), uid: name.to_string(), node: None };
            Ok(Write { key: Key::new(KIND, "", &**name), precondition: Precondition::default(), change })
        };
        let writes = uses.iter().map(put).collect::<Result<_>>()?;
        let call = Call { writes, atomicity: Atomicity::Each };
        let stored = service.clusters.commit(SYSTEM_CLUSTER, call, None).await;
        if stored.is_err() {
            let mut newer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, at) in uses {
                newer.entry(name).or_insert(at);
            }
        }
        stored.map(drop).map_err(Into::into)
    }
}

/// The last uses by the names of tokens, RFC 3339.
///
/// # Errors
/// Those of the store.
pub(super) async fn last_uses(service: &Service) -> Result<HashMap<String, String>> {
    let found = service.store.list(SYSTEM_CLUSTER, &ListQuery::all(KIND)).await?;
    let read = |record: crate::store::Record| {
        let stored: StoredUse = serde_json::from_slice(&record.body).ok()?;
        Some((record.key.name.clone(), stored.last_used_at))
    };
    Ok(found.items.into_iter().filter_map(read).collect())
}

/// The removal of what is noted of a token.
pub(super) fn forgotten(name: &str) -> Write {
    Write { key: Key::new(KIND, "", name), precondition: Precondition::default(), change: Change::Delete }
}
