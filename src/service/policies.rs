//! Policies in the store: the one in force under its name, and earlier revisions beside it. The commit that replaces or deletes the policy in force
//! moves it to the history and removes revisions beyond the bounds.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    compute::compute,
    error::{Error, Result, Subject},
};
use crate::{
    clock,
    core::policy::Profile,
    live::Clusters,
    store::{Atomicity, Call, Change, Key, ListQuery, Outcome, Precondition, Record, Write},
    wire::policy::{
        Document, PolicyRevisionList, Reading,
        revision::{self, Made, Revision},
    },
};

pub use self::{
    conditions::{Conditions, Tags},
    overview::{list, metrics, retain_labels},
};

mod conditions;
mod overview;

/// Number of attempts of a write while others change the policy.
const ATTEMPTS: usize = 16;

/// How long an answer waits until this process decides under a policy that is in force already.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

/// One policy of one cluster in the store.
#[derive(Clone, Debug)]
pub struct PolicyRecords {
    /// Where it is read and written.
    pub clusters: Clusters,
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The policy's name.
    pub name: String,
}

/// The text to put in force.
#[derive(Clone, Debug)]
pub enum New {
    /// This.
    Text(String, Reading),
    /// The text of a revision in the history; `None`: the one before the revision in force or, if none is, the last.
    Again(Option<u64>),
}

/// A revision that is, or in a dry run would be, in force.
#[derive(Debug)]
pub struct Put {
    /// The revision.
    pub revision: Revision,
    /// The parsed text.
    pub document: Document,
    /// The compiled profile.
    pub profile: Arc<Profile>,
    /// The cluster's revision since which it is stored; `None` in a dry run.
    pub stored_at: Option<u64>,
}

/// The policy in force with its record, for compare-and-set.
struct InForce {
    revision: Revision,
    record: Record,
}

/// A revision of the history.
struct Past {
    made: Made,
    record: Record,
}

impl PolicyRecords {
    /// Puts a text in force under a new revision. If the policy in force has this very text, it stays.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] when the conditions do not hold, [`Error::Invalid`] with every fault of the
    /// text, [`Error::NotFound`] when there is no such revision to go back to, [`Error::Conflict`] when others kept
    /// changing the policy.
    pub async fn put(&self, new: &New, conditions: &Conditions, dry_run: bool) -> Result<Put> {
        for _ in 0..ATTEMPTS {
            let current = self.in_force().await?;
            let number = current.as_ref().map(|current| current.revision.revision);
            conditions.check(number)?;
            let past = self.past().await?;
            let (text, rollback_to, reading) = match new {
                New::Text(text, reading) => (text.clone(), None, *reading),
                New::Again(wanted) => {
                    let (text, number) = self.earlier(*wanted, current.as_ref(), &past)?;
                    (text, number, Reading::STORED)
                }
            };
            if let Some(InForce { revision, record }) = current.as_ref().filter(|c| c.revision.text == text) {
                let at = record.revision;
                let put = Put { stored_at: Some(at), ..self.compile(revision.clone(), Reading::STORED).await? };
                // Another replica may have put it in force just now: after this reply decisions here must use it.
                self.clusters.get(&self.cluster).await?.reached(at, SHOWN_WITHIN).await;
                return Ok(put);
            }
            let last = number.or_else(|| past.last().map(|past| past.made.revision)).unwrap_or(0);
            let (revision, created_at) = (last.saturating_add(1), clock::rfc3339(self.clusters.now().await?));
            let put = self.compile(Revision { revision, created_at, rollback_to, text }, reading).await?;
            if dry_run {
                return Ok(put);
            }
            let mut writes = vec![self.brings_into_force(current.as_ref(), &put.revision)?];
            writes.extend(self.moves(current, past).await?);
            let stored_at = self.commit(writes).await?;
            if stored_at.is_some() {
                return Ok(Put { stored_at, ..put });
            }
        }
        Err(self.contended())
    }

    /// Takes the policy out of force; its history stays within its bounds, or goes too (`purge`). `None` where there was
    /// nothing to do or in a dry run, else the cluster's revision since which it is gone.
    ///
    /// # Errors
    /// As for [`Self::put`]; [`Error::NotFound`] when there is no such policy, except for the default one.
    pub async fn delete(&self, conditions: &Conditions, purge: bool, dry_run: bool) -> Result<Option<u64>> {
        for _ in 0..ATTEMPTS {
            let current = self.in_force().await?;
            conditions.check(current.as_ref().map(|current| current.revision.revision))?;
            let past = self.past().await?;
            if current.is_none() && (past.is_empty() || !purge) {
                return if self.name == revision::DEFAULT { Ok(None) } else { Err(self.not_found()) };
            }
            if dry_run {
                return Ok(None);
            }
            let ends = current.as_ref().map(|current| deletion(&current.record));
            let mut writes: Vec<Write> = ends.into_iter().collect();
            if purge {
                writes.extend(past.iter().map(|past| deletion(&past.record)));
            } else {
                writes.extend(self.moves(current, past).await?);
            }
            if let Some(revision) = self.commit(writes).await? {
                return Ok(Some(revision));
            }
        }
        Err(self.contended())
    }

    /// At most `limit` revisions before one, the newest first: the one in force and those that are kept.
    ///
    /// # Errors
    /// [`Error::NotFound`] when nothing is known of such a policy, except for the default one.
    pub async fn history(&self, before: Option<u64>, limit: u64) -> Result<PolicyRevisionList> {
        let (current, past) = (self.in_force().await?, self.past().await?);
        let number = current.as_ref().map(|current| current.revision.revision);
        let mut items = Vec::with_capacity(past.len() + 1);
        for Past { made, record } in &past {
            if Some(made.revision) != number {
                items.push(read(record)?);
            }
        }
        items.extend(current.map(|current| current.revision));
        if items.is_empty() && self.name != revision::DEFAULT {
            return Err(self.not_found());
        }
        items.retain(|item| before.is_none_or(|before| item.revision < before));
        let remaining = items.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        items.drain(..remaining);
        items.reverse();
        Ok(PolicyRevisionList { items, remaining: remaining as u64 })
    }

    /// There is no such policy.
    pub fn not_found(&self) -> Error {
        Error::NotFound(self.subject())
    }

    fn subject(&self) -> Subject {
        Subject::new("podberth.io", "policies", &*self.name)
    }

    fn contended(&self) -> Error {
        let message = "others keep changing the policy; please try again".into();
        Error::Conflict { subject: self.subject(), message }
    }

    async fn in_force(&self) -> Result<Option<InForce>> {
        let key = Key::new(revision::IN_FORCE, "", &*self.name);
        let record = self.clusters.store().get(&self.cluster, &key).await?;
        record.map(|record| Ok(InForce { revision: read(&record)?, record })).transpose()
    }

    /// The history, the oldest first. It is bounded.
    async fn past(&self) -> Result<Vec<Past>> {
        let query = ListQuery { namespace: Some(self.name.clone()), ..ListQuery::all(revision::HISTORY) };
        let list = self.clusters.store().list(&self.cluster, &query).await?;
        let past = |record: Record| Ok(Past { made: Made::parse(&record.body).map_err(Error::internal)?, record });
        list.items.into_iter().map(past).collect()
    }

    /// The text of an earlier revision, and its number.
    fn earlier(&self, wanted: Option<u64>, current: Option<&InForce>, past: &[Past]) -> Result<(String, Option<u64>)> {
        let current = current.map(|current| &current.revision);
        if let Some(current) = current.filter(|current| wanted == Some(current.revision)) {
            return Ok((current.text.clone(), Some(current.revision)));
        }
        let is_meant = |past: &&Past| match wanted {
            Some(wanted) => past.made.revision == wanted,
            None => current.is_none_or(|current| past.made.revision < current.revision),
        };
        let found = past.iter().rev().find(is_meant).ok_or_else(|| {
            let number = wanted.unwrap_or_else(|| current.map_or(0, |current| current.revision.saturating_sub(1)));
            Error::NotFound(Subject::new("podberth.io", "policyrevisions", format!("{}/{number}", self.name)))
        })?;
        Ok((read(&found.record)?.text, Some(found.made.revision)))
    }

    /// Makes a revision the one in force, provided that `current` still is.
    fn brings_into_force(&self, current: Option<&InForce>, revision: &Revision) -> Result<Write> {
        let body: Bytes = serde_json::to_vec(revision).map_err(Error::internal)?.into();
        let (precondition, uid) = match current {
            Some(InForce { record, .. }) => (Precondition::revision(record.revision), record.uid.clone()),
            None => (Precondition::absent(), Uuid::new_v4().to_string()),
        };
        let key = Key::new(revision::IN_FORCE, "", &*self.name);
        Ok(Write { key, precondition, change: Change::Put { body: body.into(), uid, node: None } })
    }

    /// Moves the revision in force to the history, and removes revisions beyond the bounds there.
    async fn moves(&self, current: Option<InForce>, past: Vec<Past>) -> Result<Vec<Write>> {
        let keep = self.clusters.limits().policies;
        let now = self.clusters.now().await?;
        let (mut count, mut bytes) = (0_usize, 0_usize);
        // The newest first: behind the first one that is too much nothing is kept.
        let mut is_kept = |body: &[u8], created_at: &str| {
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(body.len());
            count <= keep.revisions && bytes <= keep.bytes && !keep.is_too_old(created_at, now)
        };
        let mut writes = Vec::new();
        if let Some(InForce { revision, record }) = current
            && past.last().is_none_or(|past| past.made.revision < revision.revision)
            && is_kept(&record.body, &revision.created_at)
        {
            let key = Key::new(revision::HISTORY, &*self.name, Revision::history_name(revision.revision));
            let change = Change::Put { body: record.body, uid: Uuid::new_v4().to_string(), node: None };
            writes.push(Write { key, precondition: Precondition::absent(), change });
        }
        let gone = past.iter().rev().filter(|past| !is_kept(&past.record.body, &past.made.created_at));
        writes.extend(gone.map(|past| deletion(&past.record)));
        Ok(writes)
    }

    async fn compile(&self, revision: Revision, reading: Reading) -> Result<Put> {
        let name = self.name.clone();
        let (revision, compiled) = compute(move || {
            let compiled = revision.compile_as(reading);
            let compiled = compiled.map_err(|faults| Error::invalid_policy_text(&name, &revision.text, faults));
            (revision, compiled)
        })
        .await?;
        let (document, profiles) = compiled?;
        Ok(Put { revision, document, profile: profiles.first().clone(), stored_at: None })
    }

    /// Writes all or nothing, after which this process uses the policy; `None` if another writer came first.
    async fn commit(&self, writes: Vec<Write>) -> Result<Option<u64>> {
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        let commit = self.clusters.commit(&self.cluster, call, None).await?;
        let refused = commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_)));
        Ok((!refused).then_some(commit.revision))
    }
}

/// Deletes a record if it is unchanged since it was read.
fn deletion(record: &Record) -> Write {
    let precondition = Precondition::revision(record.revision);
    Write { key: record.key.clone(), precondition, change: Change::Delete }
}

fn read(record: &Record) -> Result<Revision> {
    serde_json::from_slice(&record.body).map_err(Error::internal)
}
