//! The ids of clusters. A process looks a cluster's id up once and then names the cluster by it in every statement: so a database that is spread
//! over several servers knows before the statement where the cluster is.
//!
//! An id that is remembered can be out of date, since another process may have removed the cluster. Ids are not given twice, so every read and
//! write first looks for the cluster's row by id and name. Where there is none, the id is looked up anew; see [`Candidates`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::statements::clusters::{ADD_CLUSTER, ADD_NAME, FIND, HERE, LOCK, NEXT_ID, STANDS};
use super::{ATTEMPTS, Postgres, StoreError};
use crate::rows::{ClusterRow, Locked};

/// The row of the directory that has the last id given out: no cluster has this name.
pub(super) const LAST_ID: &str = crate::check::SET_ASIDE;

/// How many names are remembered.
const MOST: usize = 100_000;

/// The ids that this process has looked up.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<HashMap<String, i32>>);

impl Directory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, cluster: &str) -> Option<i32> {
        self.lock().get(cluster).copied()
    }

    fn put(&self, cluster: &str, id: i32) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(cluster.to_owned(), id);
    }

    pub(super) fn forget(&self, cluster: &str) {
        self.lock().remove(cluster);
    }
}

/// The ids to look for a cluster under, one after the other: the one that is remembered, and the one that the directory has if that is another.
pub(super) struct Candidates<'a> {
    cluster: &'a str,
    tried: Option<i32>,
    is_over: bool,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(cluster: &'a str) -> Self {
        Self { cluster, tried: None, is_over: false }
    }

    /// The next id; `None`: there is no such cluster.
    pub(super) async fn next(
        &mut self,
        store: &Postgres,
        connection: &mut PgConnection,
    ) -> Result<Option<i32>, StoreError> {
        if self.tried.is_none()
            && !self.is_over
            && let Some(known) = store.directory.get(self.cluster)
        {
            self.tried = Some(known);
            return Ok(self.tried);
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(None);
        }
        let found = sqlx::query_scalar(FIND).bind(self.cluster).fetch_optional(connection);
        let found: Option<i32> = store.within(found).await?;
        match found {
            Some(id) => store.directory.put(self.cluster, id),
            None => store.directory.forget(self.cluster),
        }
        Ok(found.filter(|id| self.tried != Some(*id)))
    }
}

impl Postgres {
    /// The id of the cluster, if it is there.
    pub(super) async fn id_of(&self, connection: &mut PgConnection, cluster: &str) -> Result<Option<i32>, StoreError> {
        let mut ids = Candidates::of(cluster);
        while let Some(id) = ids.next(self, connection).await? {
            let here = sqlx::query_scalar(HERE).bind(id).bind(cluster).fetch_optional(&mut *connection);
            let here: Option<i32> = self.within(here).await?;
            if here.is_some() {
                return Ok(here);
            }
        }
        Ok(None)
    }

    /// Where the cluster stands, and its id; that of one never written to is 0, which none has.
    pub(super) async fn stands(&self, connection: &mut PgConnection, cluster: &str) -> Result<Locked, StoreError> {
        let mut row = None;
        let mut ids = Candidates::of(cluster);
        while row.is_none()
            && let Some(id) = ids.next(self, connection).await?
        {
            let stands = sqlx::query_as(STANDS).bind(id).bind(cluster).fetch_optional(&mut *connection);
            row = self.within(stands).await?;
        }
        row.unwrap_or_else(ClusterRow::default).into_locked()
    }

    /// The id of the cluster, which is created if necessary: not within a transaction, since the directory is everywhere and the cluster in one
    /// place only.
    pub(super) async fn ensure(&self, connection: &mut PgConnection, cluster: &str) -> Result<i32, StoreError> {
        for _ in 0..ATTEMPTS {
            if let Some(id) = self.id_of(connection, cluster).await? {
                return Ok(id);
            }
            self.create(connection, cluster).await?;
        }
        Err(StoreError::Aborted(MOVED.into()))
    }

    /// Like [`Self::ensure`], but an id that is remembered is taken as it is.
    pub(super) async fn remembered(&self, connection: &mut PgConnection, cluster: &str) -> Result<i32, StoreError> {
        match self.directory.get(cluster) {
            Some(id) => Ok(id),
            None => self.ensure(connection, cluster).await,
        }
    }

    /// Locks the cluster's row: no other transaction writes to the cluster until this one is over, and each later statement sees all earlier
    /// commits.
    pub(super) async fn lock(
        &self,
        connection: &mut PgConnection,
        id: i32,
        cluster: &str,
    ) -> Result<Locked, StoreError> {
        let row = sqlx::query_as(LOCK).bind(id).bind(cluster).fetch_optional(connection);
        let row: Option<ClusterRow> = self.within(row).await?;
        row.ok_or_else(|| self.moved(cluster))?.into_locked()
    }

    /// The error of a write under an id that is not the cluster's any more. Another attempt looks it up anew.
    pub(super) fn moved(&self, cluster: &str) -> StoreError {
        self.directory.forget(cluster);
        StoreError::Aborted(MOVED.into())
    }

    /// Creates the cluster, unless another process does.
    async fn create(&self, connection: &mut PgConnection, cluster: &str) -> Result<(), StoreError> {
        let mut transaction = self.within(connection.begin()).await?;
        let id = self.next_id(&mut transaction).await?;
        let name = sqlx::query(ADD_NAME).bind(cluster).bind(id).execute(&mut *transaction);
        if self.within(name).await?.rows_affected() == 0 {
            self.within(transaction.rollback()).await?;
            return self.repair(connection, cluster).await;
        }
        self.within(sqlx::query(ADD_CLUSTER).bind(id).bind(cluster).execute(&mut *transaction)).await?;
        self.within(transaction.commit()).await?;
        self.directory.put(cluster, id);
        Ok(())
    }

    /// Adds the row of a cluster that is in the directory without one: then somebody has cleared the table of clusters.
    async fn repair(&self, connection: &mut PgConnection, cluster: &str) -> Result<(), StoreError> {
        let id = sqlx::query_scalar(FIND).bind(cluster).fetch_optional(&mut *connection);
        let id: Option<i32> = self.within(id).await?;
        let Some(id) = id else { return Ok(()) };
        self.within(sqlx::query(ADD_CLUSTER).bind(id).bind(cluster).execute(connection)).await.map(drop)
    }

    /// An id that was never given out.
    pub(super) async fn next_id(&self, connection: &mut PgConnection) -> Result<i32, StoreError> {
        self.within(sqlx::query_scalar(NEXT_ID).bind(LAST_ID).fetch_one(connection)).await
    }
}

/// Why a transaction is begun anew.
const MOVED: &str = "the cluster was created or removed at the same time";
