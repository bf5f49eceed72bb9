//! The statements of a write transaction: few, since each costs a round trip while the cluster's counter is held.

use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryScalar;

use super::listen::{CHANNEL, payload};
use super::{Head, ObjectRow, now, object_columns, signed};
use crate::keeping::Kept;
use crate::rows::{Part, cluster_columns};

/// The head of a cluster, to be written with its batch's token.
pub(super) struct Stand<'a> {
    pub(super) id: i32,
    pub(super) cluster: &'a str,
    pub(super) head: Head,
    pub(super) kept: Kept,
}

/// Writes rows in their state after the batch; returns their number. All have equal parameters up to `$7`, those that write bodies up to `$13`,
/// followed by those of [`Stand`].
pub(super) struct Statement {
    /// Where no history is kept.
    pub(super) plain: Forms,
    /// Rows that are written over go to the history, as they were before the statement.
    pub(super) keeping: Forms,
    pub(super) with_bodies: bool,
}

/// One statement with more or less beside it.
pub(super) struct Forms {
    pub(super) alone: &'static str,
    /// With the new head of the cluster.
    pub(super) noted: &'static str,
    /// With a notification, which listeners get when the transaction is committed.
    pub(super) noted_and_told: &'static str,
}

impl<'a> Stand<'a> {
    /// Binds the parameters that follow those of the rows.
    pub(super) fn bind<'q, O>(
        &'q self,
        query: QueryScalar<'q, sqlx::Postgres, O, PgArguments>,
        told: bool,
    ) -> QueryScalar<'q, sqlx::Postgres, O, PgArguments>
    where
        'a: 'q,
    {
        let query = query
            .bind(signed(self.head.revision))
            .bind(self.head.token.as_bytes().as_slice())
            .bind(signed(self.head.compact_revision))
            .bind(signed(self.head.epoch))
            .bind(signed(self.kept.from))
            .bind(signed(self.kept.to));
        if told { query.bind(CHANNEL).bind(payload(self.cluster, self.head.revision)) } else { query }
    }
}

/// The object in a row from one of its columns on, if an outer join has found one.
pub(super) fn object(row: &PgRow, at: usize) -> Result<Option<ObjectRow>, sqlx::Error> {
    let kind: Option<&str> = row.try_get(at)?;
    kind.map(|_| ObjectRow::read(row, at)).transpose()
}

/// A statement with and without keeping superseded versions, given the numbers of its parameters for the head.
macro_rules! statement {
    ($with_bodies:literal, $notes:tt, keeps: { $($kept:tt)+ }, $($sql:tt)+) => {
        Statement {
            plain: forms!($notes, { "" }, $($sql)+),
            keeping: forms!($notes, { $($kept)+ }, $($sql)+),
            with_bodies: $with_bodies,
        }
    };
}

/// All parts of a statement see the rows as they were before it, whichever of them is carried out first.
macro_rules! forms {
    ([$rev:literal $token:literal $compact:literal $epoch:literal $from:literal $to:literal $channel:literal $cluster:literal],
     { $($kept:tt)+ }, $($sql:tt)+) => {
        Forms {
            alone: concat!("WITH ", $($kept)+, "written AS (", $($sql)+, " RETURNING 1) SELECT count(*) FROM written"),
            noted: concat!(
                "WITH ", $($kept)+, "written AS (", $($sql)+, " RETURNING 1), ",
                forms!(@notes $rev $token $compact $epoch $from $to),
                " SELECT count(*) FROM written"
            ),
            noted_and_told: concat!(
                "WITH ", $($kept)+, "written AS (", $($sql)+, " RETURNING 1), ",
                forms!(@notes $rev $token $compact $epoch $from $to),
                " SELECT (SELECT count(*) FROM written), pg_notify(", $channel, ", ", $cluster, ")"
            ),
        }
    };
    (@notes $rev:literal $token:literal $compact:literal $epoch:literal $from:literal $to:literal) => {
        concat!(
            "stood AS (UPDATE cluster SET rev = ", $rev, ", compact_rev = ", $compact, ", epoch = ", $epoch,
            ", history_from = ", $from, ", history_to = ", $to, ", removed = 0 WHERE cluster_id = $1), ",
            "noted AS (INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, ", $rev, ", ", $token, ", ", now!(), "))"
        )
    };
}

/// Keeps the overwritten rows, given their bodies: an unchanged body is not copied.
macro_rules! superseded {
    ($body:literal, $($rows:tt)+) => {
        concat!(
            "kept AS (INSERT INTO history
                 (cluster_id, until_rev, kind, ns, name, uid, rev, create_rev, node, body_rev, codec, body)
             SELECT o.cluster_id, n.rev, o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.body_rev, o.codec, ",
            $body, " FROM ", $($rows)+,
            " JOIN object o ON o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name
             WHERE NOT o.deleted), "
        )
    };
}

/// The rows of a batch. Here as in the statements below the cluster's id comes with each, from behind `OFFSET 0`: then the
/// planner cannot but look each row up in `object`. By the id as a constant, of a table without statistics, it takes the
/// cluster for small and goes through all of it, once for each row of the batch.
macro_rules! new_rows {
    () => {
        "(SELECT $1::int AS cluster_id, n.*
          FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $9::text[],
                      $10::bigint[], $11::bool[], $12::bigint[], $13::bytea[])
               AS n (kind, ns, name, rev, node, replaces, uid, create_rev, deleted, body_rev, body) OFFSET 0) AS n"
    };
}

/// Keeps the rows whose body stays.
macro_rules! moved_rows {
    () => {
        "(SELECT $1::int AS cluster_id, n.*
          FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[])
               AS n (kind, ns, name, rev, node, replaces) OFFSET 0) AS n"
    };
}

pub(super) static INSERT: Statement = statement!(
    true, ["$14" "$15" "$16" "$17" "$18" "$19" "$20" "$21"], keeps: { "" },
    concat!(
        "INSERT INTO object (cluster_id, kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, codec, body)
         SELECT n.cluster_id, n.kind, n.ns, n.name, n.uid, n.rev, n.create_rev, n.node, n.deleted, n.body_rev, $8, n.body
         FROM ",
        new_rows!(),
        " WHERE n.replaces IS NULL"
    )
);

pub(super) static UPDATE: Statement = statement!(
    true, ["$14" "$15" "$16" "$17" "$18" "$19" "$20" "$21"], keeps: { superseded!("o.body", new_rows!()) },
    concat!(
        "UPDATE object o SET uid = n.uid, rev = n.rev, create_rev = n.create_rev, node = n.node, deleted = n.deleted,
             body_rev = n.body_rev, codec = $8, body = n.body
         FROM ",
        new_rows!(),
        " WHERE o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name
          AND o.rev = n.replaces"
    )
);

/// Revision and node of rows whose body stays: it is neither sent nor, being stored apart when it is large, written.
pub(super) static MOVE: Statement = statement!(
    false, ["$8" "$9" "$10" "$11" "$12" "$13" "$14" "$15"], keeps: { superseded!("NULL", moved_rows!()) },
    concat!(
        "UPDATE object o SET rev = n.rev, node = n.node FROM ",
        moved_rows!(),
        " WHERE o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name
          AND o.rev = n.replaces"
    )
);

/// The keys of a batch.
macro_rules! keys {
    () => {
        "(SELECT $1::int AS cluster_id, k.*
          FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bool[]) AS k (kind, ns, name, put) OFFSET 0) AS k"
    };
}

/// Begins a transaction of which each statement sees all that was committed before it.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Begins a transaction whose statements are planned once per connection: a small batch would take as long to plan as to write. No plan depends on
/// the bound values; see `tests/store/plans.rs`. In one round trip, and for this transaction only.
pub(super) const BEGIN_PLANNED: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL plan_cache_mode = force_generic_plan";

/// Locks the cluster `$1`. Each row has its head with its token, and from the eighth column on a row of one of the keys, or nulls. No row: the
/// cluster does not exist. All but the first six columns may be older than the lock.
pub(super) const LOCK_AND_LOOK: &str = concat!(
    "WITH locked AS MATERIALIZED (SELECT ",
    cluster_columns!(),
    " FROM cluster WHERE name = $1 FOR UPDATE), stands AS MATERIALIZED (
         SELECT l.*, (SELECT b.token FROM batch b WHERE b.cluster_id = l.cluster_id AND b.rev_to = l.rev) AS token
         FROM locked l
     )
     SELECT s.*, ",
    object_columns!("CASE WHEN k.put THEN o.body ELSE '' END"),
    " FROM stands s
     CROSS JOIN UNNEST($2::text[], $3::text[], $4::text[], $5::bool[]) AS k (kind, ns, name, put)
     LEFT JOIN object o ON o.cluster_id = s.cluster_id AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name"
);

/// In each row the tokens of the revisions `$7` and `$8`; from the third column on the rows that there are for some keys, those
/// that are put with their bodies, and those changed after `$6` and up to `$7`, which are marked, with the bodies of the kinds `$9` (null: all). `$7` is the newest revision: that
/// there is none behind it only tells the planner that it is a part of the cluster.
pub(super) const LOOK_AROUND: &str = concat!(
    "SELECT t.newest, t.other, o.* FROM
         (SELECT (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $7) AS newest,
                 (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $8) AS other) AS t
     LEFT JOIN (
         SELECT false AS missed, ",
    object_columns!("CASE WHEN k.put THEN o.body ELSE '' END"),
    " FROM ",
    keys!(),
    " JOIN object o ON o.cluster_id = k.cluster_id AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name
         UNION ALL
         SELECT true, ",
    object_columns!("CASE WHEN o.body_rev > $6 AND ($9::text[] IS NULL OR o.kind = ANY($9)) THEN o.body ELSE '' END"),
    " FROM object o WHERE o.cluster_id = $1 AND o.rev > $6 AND o.rev <= $7
     ) AS o ON true"
);

/// A page of the feed in one statement, so that all of it is of one instant: in each row the head and the token of the revision
/// `$2`, and from the sixth column on what changed after `$3`, or nothing, with the bodies of the kinds `$6` (null: all). The page is a query of its own: only so does the planner
/// know that it is of one cluster, and reads it off the index instead of sorting all.
pub(super) const CHANGES: &str = concat!(
    "SELECT c.rev, c.compact_rev, c.epoch, c.newest, c.other, o.*
     FROM (SELECT cluster_id, rev, compact_rev, epoch,
               (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = c.rev) AS newest,
               (SELECT token FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to = $2) AS other
           FROM cluster c WHERE name = $1) AS c
     LEFT JOIN LATERAL (
         SELECT ",
    object_columns!("CASE WHEN o.body_rev > $5 AND ($6::text[] IS NULL OR o.kind = ANY($6)) THEN o.body ELSE '' END"),
    " FROM object o WHERE o.cluster_id = c.cluster_id AND o.rev > $3 ORDER BY o.rev LIMIT $4
     ) AS o ON true"
);

/// The rows there are for some keys, tombstones included, with the bodies of those that are put.
pub(super) const CURRENT: &str = concat!(
    "SELECT ",
    object_columns!("CASE WHEN k.put THEN o.body ELSE '' END"),
    " FROM ",
    keys!(),
    " JOIN object o ON o.cluster_id = k.cluster_id AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name"
);

pub(super) const NOTE: &str =
    concat!("INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ", now!(), ")");

pub(super) const NOTE_AND_NOTIFY: &str = concat!(
    "WITH note AS (INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ",
    now!(),
    ")) SELECT pg_notify($4, $5)"
);
