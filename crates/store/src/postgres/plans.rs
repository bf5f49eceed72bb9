//! How write transactions are planned.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::statements::LOCK_AND_LOOK;
use super::statements::clusters::{HAS_TABLES, IS_SPREAD};
use super::{Postgres, settle};
use crate::StoreError;

/// Which plans write transactions use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanMode {
    /// Kept ones, if the database makes them.
    #[default]
    Auto,
    /// New ones for each statement.
    Custom,
    /// Kept ones.
    Generic,
}

/// Begins a transaction of which each statement sees all that was committed before it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Begins a transaction whose statements are planned once per connection: a small batch would take as long to plan as to write. No plan depends on
/// the bound values; see `tests/store/plans.rs`. In one round trip, and for this transaction only.
pub(super) const BEGIN_PLANNED: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL plan_cache_mode = force_generic_plan";

/// How statements are planned, as a trial has shown.
#[derive(Debug)]
pub(super) struct Plans {
    mode: PlanMode,
    /// `true` if plans can be kept.
    is_kept: AtomicBool,
    /// `true` if the tables are spread over several servers.
    is_spread: AtomicBool,
}

impl Plans {
    pub(super) fn new(mode: PlanMode) -> Self {
        Self { mode, is_kept: AtomicBool::new(mode == PlanMode::Generic), is_spread: AtomicBool::new(false) }
    }

    /// How a write transaction begins.
    pub(super) fn begin(&self) -> &'static str {
        if self.is_kept.load(Ordering::Relaxed) { BEGIN_PLANNED } else { BEGIN }
    }

    pub(super) fn is_spread(&self) -> bool {
        self.is_spread.load(Ordering::Relaxed)
    }
}

impl Postgres {
    /// Tries whether the server keeps plans: Citus makes none before it knows the cluster; PostgreSQL alone does. Without tables there is nothing to
    /// try yet.
    pub(super) async fn try_plans(&self) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let tried = self.try_plans_on(&mut connection).await;
        settle(connection, tried)
    }

    async fn try_plans_on(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let (has_tables, has_citus): (bool, bool) =
            self.within(sqlx::query_as(HAS_TABLES).fetch_one(&mut *connection)).await?;
        if !has_tables {
            return Ok(());
        }
        let is_spread = has_citus && self.within(sqlx::query_scalar(IS_SPREAD).fetch_one(&mut *connection)).await?;
        self.plans.is_spread.store(is_spread, Ordering::Relaxed);
        if self.plans.mode == PlanMode::Auto {
            let is_kept = !is_spread || self.keeps_plans(connection).await?;
            self.plans.is_kept.store(is_kept, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `false` also if it cannot be tried, since new plans are always right.
    async fn keeps_plans(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let Ok(mut transaction) = self.within(connection.begin_with(BEGIN_PLANNED)).await else { return Ok(false) };
        let nothing = || Vec::<String>::new();
        let trial = sqlx::query(LOCK_AND_LOOK)
            .bind(NO_ID)
            .bind("")
            .bind(nothing())
            .bind(nothing())
            .bind(nothing())
            .bind(Vec::<bool>::new());
        let tried = self.within(trial.execute(&mut *transaction)).await;
        self.within(transaction.rollback()).await?;
        if let Err(error) = &tried {
            tracing::debug!(%error, "plans are not kept");
        }
        Ok(tried.is_ok())
    }
}

/// An id that no cluster has.
const NO_ID: i32 = -1;
