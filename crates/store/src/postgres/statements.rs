//! The statements, each registered with the tables that it is about. Those of a write transaction are here: few, since each costs a round trip while
//! the cluster's counter is held.
//!
//! A database that is spread over several servers finds a cluster's rows by `cluster_id`. So a statement on one cluster names the cluster by the
//! parameter `$1` at every table, never by a join, and what it inserts has the id of the cluster's own row, or of the parameter in a single row. Then
//! Citus sends it to one server whole, and a transaction of such statements needs no two-phase commit. `diet` holds all statements to that.

use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryScalar;

use super::listen::{CHANNEL, payload};
use super::{Head, ObjectRow, now, object_columns, signed};
use crate::keeping::Kept;
use crate::rows::{Part, cluster_columns};

/// The tables that a statement is about.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Rows of the cluster `$1`.
    Cluster,
    /// Rows of all clusters, each joined by its id.
    Every,
    /// The directory of names, which all servers have.
    Directory,
    /// No table of ours.
    Server,
}

/// Declares statements, and registers them by name.
macro_rules! statements {
    ($($(#[$doc:meta])* $scope:ident $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* pub(in crate::postgres) const $name: &str = $sql;)+

        #[cfg(test)]
        pub(in crate::postgres) const ALL: &[(&str, crate::postgres::statements::Scope, &str)] =
            &[$((stringify!($name), crate::postgres::statements::Scope::$scope, $name)),+];
    };
}

/// Some rows `o` of the cluster `$1`, each looked up by its key. By the id as a constant, of a table without statistics, the planner takes the
/// cluster for small: it would read all of it, and compare each row with each key. Behind `OFFSET 0` it cannot but go through the keys and look each
/// one up.
macro_rules! keys {
    () => {
        concat!(
            "UNNEST($2::text[], $3::text[], $4::text[], $5::bool[]) AS k (kind, ns, name, put)
             CROSS JOIN LATERAL (SELECT ",
            object_columns!("CASE WHEN k.put THEN o.body ELSE '' END"),
            " FROM object o WHERE o.cluster_id = $1 AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name OFFSET 0) AS o"
        )
    };
}

pub(super) mod clusters;
#[cfg(test)]
mod diet;
pub(super) mod reads;

/// The head of a cluster, to be written with its batch's token.
pub(super) struct Stand<'a> {
    pub(super) id: i32,
    pub(super) cluster: &'a str,
    pub(super) head: Head,
    pub(super) kept: Kept,
}

/// Writes rows in their state after the batch; returns their number. All have equal parameters up to `$7`, those that write bodies up to `$13`; then
/// comes that of `overwrites!`, and those of [`Stand`].
pub(super) struct Statement {
    /// Where no history is kept.
    pub(super) plain: Forms,
    /// Rows that are written over go to the history, as they were before the statement.
    pub(super) keeping: Forms,
    pub(super) with_bodies: bool,
    pub(super) overwrites: bool,
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
    ($with_bodies:literal, $overwrites:literal, $notes:tt, keeps: { $($kept:tt)+ }, $($sql:tt)+) => {
        Statement {
            plain: forms!($notes, { "" }, $($sql)+),
            keeping: forms!($notes, { $($kept)+ }, $($sql)+),
            with_bodies: $with_bodies,
            overwrites: $overwrites,
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
             SELECT c.cluster_id, n.rev, o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.body_rev, o.codec, ",
            $body, " FROM cluster c CROSS JOIN ", $($rows)+,
            " CROSS JOIN LATERAL (SELECT o.* FROM object o WHERE o.cluster_id = $1 AND o.kind = n.kind AND o.ns = n.ns
                                  AND o.name = n.name OFFSET 0) AS o
             WHERE c.cluster_id = $1 AND NOT o.deleted), "
        )
    };
}

/// The rows of a batch.
macro_rules! new_rows {
    () => {
        "UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $9::text[], $10::bigint[],
                $11::bool[], $12::bigint[], $13::bytea[])
             AS n (kind, ns, name, rev, node, replaces, uid, create_rev, deleted, body_rev, body)"
    };
}

/// The rows of a batch whose bodies stay.
macro_rules! moved_rows {
    () => {
        "UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[])
             AS n (kind, ns, name, rev, node, replaces)"
    };
}

/// The rows `o` to be written over by those of a batch. The row that is written cannot be looked up as [`keys!`] does it. Here the planner gets the
/// cluster's id with each row of the batch, from behind `OFFSET 0`, so that again it cannot but look each one up. A database that is spread over
/// several servers needs the id as a constant all the same: `$spread` is false there, and else true, which keeps the constant from the planner.
macro_rules! overwrites {
    ($spread:literal, $($rows:tt)+) => {
        concat!(
            " FROM (SELECT $1::int AS cluster_id, n.* FROM ", $($rows)+, " OFFSET 0) AS n
              WHERE (", $spread, " OR o.cluster_id = $1)
              AND o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name
              AND o.rev = n.replaces"
        )
    };
}

pub(super) static INSERT: Statement = statement!(
    true, false, ["$14" "$15" "$16" "$17" "$18" "$19" "$20" "$21"], keeps: { "" },
    concat!(
        "INSERT INTO object (cluster_id, kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, codec, body)
         SELECT c.cluster_id, n.kind, n.ns, n.name, n.uid, n.rev, n.create_rev, n.node, n.deleted, n.body_rev, $8, n.body
         FROM cluster c CROSS JOIN ",
        new_rows!(),
        " WHERE c.cluster_id = $1 AND n.replaces IS NULL"
    )
);

pub(super) static UPDATE: Statement = statement!(
    true, true, ["$15" "$16" "$17" "$18" "$19" "$20" "$21" "$22"], keeps: { superseded!("o.body", new_rows!()) },
    concat!(
        "UPDATE object o SET uid = n.uid, rev = n.rev, create_rev = n.create_rev, node = n.node, deleted = n.deleted,
             body_rev = n.body_rev, codec = $8, body = n.body",
        overwrites!("$14", new_rows!())
    )
);

/// Revision and node of rows whose body stays: it is neither sent nor, being stored apart when it is large, written.
pub(super) static MOVE: Statement = statement!(
    false, true, ["$9" "$10" "$11" "$12" "$13" "$14" "$15" "$16"], keeps: { superseded!("NULL", moved_rows!()) },
    concat!("UPDATE object o SET rev = n.rev, node = n.node", overwrites!("$8", moved_rows!()))
);

statements! {
    /// Locks the cluster `$1` if its name is `$2`. Each row has its head with its token, and from the eighth column on a row of one of the keys, or
    /// nulls. No row: the id is not the cluster's. All but the first six columns may be older than the lock.
    Cluster LOCK_AND_LOOK = concat!(
        "WITH locked AS MATERIALIZED (SELECT ",
        cluster_columns!(),
        " FROM cluster WHERE cluster_id = $1 AND name = $2 FOR UPDATE), stands AS MATERIALIZED (
             SELECT l.*, (SELECT b.token FROM batch b WHERE b.cluster_id = $1 AND b.rev_to = l.rev) AS token
             FROM locked l
         )
         SELECT s.*, o.* FROM stands s
         CROSS JOIN UNNEST($3::text[], $4::text[], $5::text[], $6::bool[]) AS k (kind, ns, name, put)
         LEFT JOIN LATERAL (SELECT ",
        object_columns!("CASE WHEN k.put THEN o.body ELSE '' END"),
        " FROM object o WHERE o.cluster_id = $1 AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name OFFSET 0
         ) AS o ON true"
    );

    /// In each row the tokens of the revisions `$7` and `$8`; from the third column on the rows that there are for some keys, those
    /// that are put with their bodies, and those changed after `$6` and up to `$7`, which are marked, with the bodies of the kinds `$9` (null: all).
    /// `$7` is the newest revision: that there is none behind it only tells the planner that it is a part of the cluster.
    Cluster LOOK_AROUND = concat!(
        "SELECT t.newest, t.other, o.* FROM
             (SELECT (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $7) AS newest,
                     (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $8) AS other) AS t
         LEFT JOIN (
             SELECT false AS missed, o.* FROM ",
        keys!(),
        " UNION ALL
             SELECT true, ",
        object_columns!("CASE WHEN o.body_rev > $6 AND ($9::text[] IS NULL OR o.kind = ANY($9)) THEN o.body ELSE '' END"),
        " FROM object o WHERE o.cluster_id = $1 AND o.rev > $6 AND o.rev <= $7
         ) AS o ON true"
    );

    Cluster PUT_HEAD = "UPDATE cluster SET rev = $2, compact_rev = $3, epoch = $4, history_from = $5, history_to = $6, removed = 0
        WHERE cluster_id = $1";

    Cluster NOTE = concat!("INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ", now!(), ")");

    Cluster NOTE_AND_NOTIFY = concat!(
        "WITH note AS (INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ",
        now!(),
        ")) SELECT pg_notify($4, $5)"
    );
}
