//! What a write transaction is made of: few statements, since each costs a round trip while the cluster's counter is held.

use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryScalar;

use super::listen::CHANNEL;
use super::{Columns, Head, now, object_columns, signed};
use crate::store::keeping::Kept;

/// Where a cluster stands, to be written down with its batch's token.
pub(super) struct Stand<'a> {
    pub(super) id: i32,
    pub(super) cluster: &'a str,
    pub(super) head: Head,
    pub(super) kept: Kept,
}

/// Writes rows as they must stand after the batch; answers how many. Each has the same parameters up to `$7`, those that write
/// bodies too up to `$13`, and then those of [`Stand`].
pub(super) struct Statement {
    pub(super) alone: &'static str,
    /// With where the cluster stands then.
    pub(super) noted: &'static str,
    /// And listeners are told, who hear of it when the transaction is committed.
    pub(super) noted_and_told: &'static str,
    pub(super) with_bodies: bool,
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
        if told { query.bind(CHANNEL).bind(self.cluster) } else { query }
    }
}

/// The columns of `object` in a row, from one of them on.
pub(super) fn object(row: &PgRow, at: usize) -> Result<Columns, sqlx::Error> {
    Ok((
        row.try_get(at)?,
        row.try_get(at + 1)?,
        row.try_get(at + 2)?,
        row.try_get(at + 3)?,
        row.try_get(at + 4)?,
        row.try_get(at + 5)?,
        row.try_get(at + 6)?,
        row.try_get(at + 7)?,
        row.try_get(at + 8)?,
        row.try_get(at + 9)?,
        row.try_get(at + 10)?,
    ))
}

/// A statement alone and with its notes, given the numbers of the notes' parameters.
macro_rules! statement {
    ($with_bodies:literal, $rev:literal $token:literal $compact:literal $epoch:literal $from:literal $to:literal
     $channel:literal $cluster:literal, $($sql:tt)+) => {
        Statement {
            alone: concat!("WITH written AS (", $($sql)+, " RETURNING 1) SELECT count(*) FROM written"),
            noted: concat!(
                "WITH written AS (", $($sql)+, " RETURNING 1), ",
                statement!(@notes $rev $token $compact $epoch $from $to),
                " SELECT count(*) FROM written"
            ),
            noted_and_told: concat!(
                "WITH written AS (", $($sql)+, " RETURNING 1), ",
                statement!(@notes $rev $token $compact $epoch $from $to),
                " SELECT (SELECT count(*) FROM written), pg_notify(", $channel, ", ", $cluster, ")"
            ),
            with_bodies: $with_bodies,
        }
    };
    (@notes $rev:literal $token:literal $compact:literal $epoch:literal $from:literal $to:literal) => {
        concat!(
            "stood AS (UPDATE cluster SET rev = ", $rev, ", compact_rev = ", $compact, ", epoch = ", $epoch,
            ", history_from = ", $from, ", history_to = ", $to, " WHERE cluster_id = $1), ",
            "noted AS (INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, ", $rev, ", ", $token, ", ", now!(), "))"
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

pub(super) static INSERT: Statement = statement!(
    true, "$14" "$15" "$16" "$17" "$18" "$19" "$20" "$21",
    concat!(
        "INSERT INTO object (cluster_id, kind, ns, name, uid, rev, create_rev, node, deleted, body_rev, codec, body)
         SELECT n.cluster_id, n.kind, n.ns, n.name, n.uid, n.rev, n.create_rev, n.node, n.deleted, n.body_rev, $8, n.body
         FROM ",
        new_rows!(),
        " WHERE n.replaces IS NULL"
    )
);

pub(super) static UPDATE: Statement = statement!(
    true, "$14" "$15" "$16" "$17" "$18" "$19" "$20" "$21",
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
    false, "$8" "$9" "$10" "$11" "$12" "$13" "$14" "$15",
    "UPDATE object o SET rev = n.rev, node = n.node
     FROM (SELECT $1::int AS cluster_id, n.*
           FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[])
                AS n (kind, ns, name, rev, node, replaces) OFFSET 0) AS n
     WHERE o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name AND o.rev = n.replaces"
);

/// The keys of a batch.
macro_rules! keys {
    () => {
        "(SELECT $1::int AS cluster_id, k.*
          FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bool[]) AS k (kind, ns, name, put) OFFSET 0) AS k"
    };
}

/// In each row the tokens of the revisions `$7` and `$8`; from the third column on the rows that there are for some keys, those
/// that are put with their bodies, and those changed after `$6`, which are marked.
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
    object_columns!("CASE WHEN o.body_rev > $6 THEN o.body ELSE '' END"),
    " FROM object o WHERE o.cluster_id = $1 AND o.rev > $6
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

/// A body that stays is not copied.
pub(super) const SUPERSEDED: &str = "INSERT INTO history
         (cluster_id, until_rev, kind, ns, name, uid, rev, create_rev, node, body_rev, codec, body)
     SELECT o.cluster_id, n.rev, o.kind, o.ns, o.name, o.uid, o.rev, o.create_rev, o.node, o.body_rev, o.codec,
            CASE WHEN n.body_changed THEN o.body END
     FROM (SELECT $1::int AS cluster_id, n.*
           FROM UNNEST($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bool[])
                AS n (kind, ns, name, rev, body_changed) OFFSET 0) AS n
     JOIN object o ON o.cluster_id = n.cluster_id AND o.kind = n.kind AND o.ns = n.ns AND o.name = n.name
     WHERE NOT o.deleted";

pub(super) const NOTE: &str =
    concat!("INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ", now!(), ")");

pub(super) const NOTE_AND_NOTIFY: &str = concat!(
    "WITH note AS (INSERT INTO batch (cluster_id, rev_to, token, at) VALUES ($1, $2, $3, ",
    now!(),
    ")) SELECT pg_notify($4, $5)"
);
