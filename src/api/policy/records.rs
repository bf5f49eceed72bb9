//! Policies in the store: the one in force under its name and, beside it, every revision that there was. One commit
//! writes both, or neither.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::conditions::Conditions;
use crate::{
    api::{
        error::{ApiError, Result, Subject},
        explain::refused,
        ground::compute,
    },
    clock,
    cluster::Clusters,
    core::policy::Profile,
    store::{Atomicity, Call, Change, Key, ListQuery, Outcome, Precondition, Record, Write},
    wire::policy::{
        Document, PolicyRevisionList, Reading,
        revision::{self, Revision},
    },
};

/// How often a write is tried again when others change the same policy.
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

/// What is to come into force.
#[derive(Clone, Debug)]
pub enum Text {
    /// This.
    New(String, Reading),
    /// What a revision of the history says; `None`: the one before the revision in force or, where none is, the last.
    Again(Option<u64>),
}

/// A revision that is, or in a dry run would be, in force.
#[derive(Debug)]
pub struct Put {
    /// The revision.
    pub revision: Revision,
    /// What its text says.
    pub document: Document,
    /// What it compiles to.
    pub profile: Arc<Profile>,
    /// The cluster's revision since which it is stored; `None` in a dry run.
    pub stored_at: Option<u64>,
}

/// The policy in force with what compare-and-set needs.
struct InForce {
    revision: Revision,
    at: u64,
    uid: String,
}

impl PolicyRecords {
    /// Brings a text into force under a number of its own. Where the policy in force says the same to the letter, that
    /// stays.
    ///
    /// # Errors
    /// [`ApiError::PreconditionFailed`] when the conditions do not hold, [`ApiError::Invalid`] with every fault of the
    /// text, [`ApiError::NotFound`] when there is no such revision to go back to, [`ApiError::Conflict`] when others kept
    /// changing the policy.
    pub async fn put(&self, text: &Text, conditions: &Conditions, dry_run: bool) -> Result<Put> {
        for _ in 0..ATTEMPTS {
            let current = self.in_force().await?;
            let number = current.as_ref().map(|current| current.revision.revision);
            conditions.check(number)?;
            let (text, rollback_to, reading) = match text {
                Text::New(text, reading) => (text.clone(), None, *reading),
                Text::Again(wanted) => {
                    let (text, number) = self.earlier(*wanted, number).await?;
                    (text, number, Reading::STORED)
                }
            };
            if let Some(InForce { revision, at, .. }) = current.as_ref().filter(|c| c.revision.text == text) {
                let put = Put { stored_at: Some(*at), ..self.compile(revision.clone(), Reading::STORED).await? };
                // Another replica may have put it in force just now: whoever has this answer decides under it here.
                self.clusters.get(&self.cluster).await?.reached(*at, SHOWN_WITHIN).await;
                return Ok(put);
            }
            let last = if let Some(number) = number { number } else { self.last().await? };
            let revision = last.saturating_add(1);
            let revision = Revision { revision, created_at: clock::now_rfc3339(), rollback_to, text };
            let put = self.compile(revision, reading).await?;
            if dry_run {
                return Ok(put);
            }
            let stored_at = self.commit(self.writes(current, &put.revision)?).await?;
            if stored_at.is_some() {
                return Ok(Put { stored_at, ..put });
            }
        }
        Err(self.contended())
    }

    /// Takes the policy out of force; its history stays. `None` where there was none or in a dry run, else the cluster's
    /// revision since which it is gone.
    ///
    /// # Errors
    /// As for [`Self::put`]; [`ApiError::NotFound`] when there is no such policy, except for the default one.
    pub async fn delete(&self, conditions: &Conditions, dry_run: bool) -> Result<Option<u64>> {
        for _ in 0..ATTEMPTS {
            let current = self.in_force().await?;
            conditions.check(current.as_ref().map(|current| current.revision.revision))?;
            let Some(InForce { at, .. }) = current else {
                return if self.name == revision::DEFAULT { Ok(None) } else { Err(self.not_found()) };
            };
            if dry_run {
                return Ok(None);
            }
            let key = Key::new(revision::IN_FORCE, "", &*self.name);
            let write = Write { key, precondition: Precondition::revision(at), change: Change::Delete };
            if let Some(revision) = self.commit(vec![write]).await? {
                return Ok(Some(revision));
            }
        }
        Err(self.contended())
    }

    /// At most `limit` revisions before one, the newest first.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when there never was such a policy, except for the default one.
    pub async fn history(&self, before: Option<u64>, limit: u64) -> Result<PolicyRevisionList> {
        let last = self.last().await?;
        if last == 0 && self.name != revision::DEFAULT {
            return Err(self.not_found());
        }
        let newest = before.map_or(last, |before| before.saturating_sub(1).min(last));
        let remaining = newest.saturating_sub(limit);
        let query = ListQuery {
            after: Some((self.name.clone(), Revision::history_name(remaining))),
            limit: Some(usize::try_from(newest - remaining).unwrap_or(usize::MAX)),
            ..self.whole_history()
        };
        let items =
            if newest == 0 { Vec::new() } else { self.clusters.store().list(&self.cluster, &query).await?.items };
        let items = items.iter().rev().map(read).collect::<Result<_>>()?;
        Ok(PolicyRevisionList { items, remaining })
    }

    /// There is no such policy.
    pub fn not_found(&self) -> ApiError {
        ApiError::NotFound(self.subject())
    }

    fn subject(&self) -> Subject {
        Subject::new("podberth.io", "policies", &*self.name)
    }

    fn contended(&self) -> ApiError {
        let message = "others keep changing the policy; please try again".into();
        ApiError::Conflict { subject: self.subject(), message }
    }

    async fn in_force(&self) -> Result<Option<InForce>> {
        let key = Key::new(revision::IN_FORCE, "", &*self.name);
        let record = self.clusters.store().get(&self.cluster, &key).await?;
        record.map(|r| Ok(InForce { revision: read(&r)?, at: r.revision, uid: r.uid })).transpose()
    }

    /// The text of a revision of the history, and its number.
    async fn earlier(&self, wanted: Option<u64>, current: Option<u64>) -> Result<(String, Option<u64>)> {
        let number = match (wanted, current) {
            (Some(wanted), _) => wanted,
            (None, Some(current)) => current.saturating_sub(1),
            (None, None) => self.last().await?,
        };
        let name = Revision::history_name(number);
        let key = Key::new(revision::HISTORY, &*self.name, name);
        let record = self.clusters.store().get(&self.cluster, &key).await?;
        let subject = || Subject::new("podberth.io", "policyrevisions", format!("{}/{number}", self.name));
        let record = record.ok_or_else(|| ApiError::NotFound(subject()))?;
        Ok((read(&record)?.text, Some(number)))
    }

    /// The last number given: revisions are numbered from 1 without gaps and never deleted, so it is their count.
    async fn last(&self) -> Result<u64> {
        let query = ListQuery { limit: Some(1), ..self.whole_history() };
        let list = self.clusters.store().list(&self.cluster, &query).await?;
        Ok(list.remaining.unwrap_or(0).saturating_add(list.items.len() as u64))
    }

    fn whole_history(&self) -> ListQuery {
        ListQuery { namespace: Some(self.name.clone()), ..ListQuery::all(revision::HISTORY) }
    }

    /// What makes a revision the one in force, provided that `current` still is.
    fn writes(&self, current: Option<InForce>, revision: &Revision) -> Result<Vec<Write>> {
        let body: Bytes = serde_json::to_vec(revision).map_err(ApiError::internal)?.into();
        let new_uid = || Uuid::new_v4().to_string();
        let (precondition, uid) = match current {
            Some(InForce { at, uid, .. }) => (Precondition::revision(at), uid),
            None => (Precondition::absent(), new_uid()),
        };
        let put = |uid| Change::Put { body: body.clone(), uid, node: None };
        let past = Key::new(revision::HISTORY, &*self.name, Revision::history_name(revision.revision));
        Ok(vec![
            Write { key: Key::new(revision::IN_FORCE, "", &*self.name), precondition, change: put(uid) },
            Write { key: past, precondition: Precondition::absent(), change: put(new_uid()) },
        ])
    }

    async fn compile(&self, revision: Revision, reading: Reading) -> Result<Put> {
        let (revision, compiled) = compute(move || {
            let compiled = revision.compile_as(reading);
            (revision, compiled)
        })
        .await?;
        let (document, profiles) = compiled.map_err(|faults| refused("Policy", &self.name, faults))?;
        Ok(Put { revision, document, profile: profiles.first().clone(), stored_at: None })
    }

    /// Writes all or nothing, after which this process decides under it; `None` when somebody else came first.
    async fn commit(&self, writes: Vec<Write>) -> Result<Option<u64>> {
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        let commit = self.clusters.commit(&self.cluster, call, None).await?;
        let refused = commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_)));
        Ok((!refused).then_some(commit.revision))
    }
}

fn read(record: &Record) -> Result<Revision> {
    serde_json::from_slice(&record.body).map_err(ApiError::internal)
}
