//! Statements on whole clusters: their ids, heads, leases, upkeep and removal.

use super::now;
use crate::ledger::statements::clear;
use crate::rows::{cluster_columns, object_columns};

statements! {
    /// The id of a cluster.
    Directory FIND = "SELECT cluster_id FROM cluster_directory WHERE name = $1";

    /// An id that was never given out: other transactions wait that want one too.
    Directory NEXT_ID = "UPDATE cluster_directory SET cluster_id = cluster_id + 1 WHERE name = $1 RETURNING cluster_id";

    Directory ADD_NAME = "INSERT INTO cluster_directory (name, cluster_id) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

    Directory SET_ID = "UPDATE cluster_directory SET cluster_id = $2 WHERE name = $1";

    Directory DROP_NAME = "DELETE FROM cluster_directory WHERE name = $1 AND cluster_id = $2";

    /// A cluster that nothing was written to yet.
    Cluster ADD_CLUSTER = concat!(
        "INSERT INTO cluster (cluster_id, name, removed) VALUES ($1, $2, ",
        now!(),
        ") ON CONFLICT (cluster_id) DO NOTHING"
    );

    /// The cluster's id, if it is its id.
    Cluster HERE = "SELECT cluster_id FROM cluster WHERE cluster_id = $1 AND name = $2";

    Cluster STANDS = concat!("SELECT ", cluster_columns!(), " FROM cluster WHERE cluster_id = $1 AND name = $2");

    Cluster LOCK =
        concat!("SELECT ", cluster_columns!(), " FROM cluster WHERE cluster_id = $1 AND name = $2 FOR UPDATE");

    /// Like [`LOCK`], of a cluster that is there.
    Cluster LOCK_LIVE = concat!(
        "SELECT ",
        cluster_columns!(),
        " FROM cluster WHERE cluster_id = $1 AND name = $2 AND removed = 0 FOR UPDATE"
    );

    /// Holds the counter of a cluster under whatever name.
    Cluster HOLD = "SELECT 1 FROM cluster WHERE cluster_id = $1 FOR UPDATE";

    /// The database's time, and where clusters stand. One that nothing was written to yet is not there.
    Every HEADS = concat!(
        "SELECT ",
        now!(),
        ", d.name, c.rev, c.compact_rev, c.epoch, c.removed, b.token
         FROM cluster_directory d JOIN cluster c ON c.cluster_id = d.cluster_id
         LEFT JOIN batch b ON b.cluster_id = c.cluster_id AND b.rev_to = c.rev
         WHERE d.name = ANY($1) AND (c.removed = 0 OR c.rev > 0)"
    );

    Server SET_IDLE_TIMEOUT = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)";

    /// A transaction over a whole cluster waits for files and pipes.
    Server LEISURE = "SELECT set_config('idle_in_transaction_session_timeout', '10min', true),
                             set_config('statement_timeout', '10min', true)";

    Server HAS_TABLE = "SELECT to_regclass($1) IS NOT NULL";

    Server NEWEST_MIGRATION = "SELECT max(version) FROM _sqlx_migrations";

    /// `true` for our tables and for those of Citus, if they are there.
    Server HAS_TABLES = "SELECT to_regclass('cluster_directory') IS NOT NULL, to_regclass('pg_dist_partition') IS NOT NULL";

    /// `true` if Citus spreads our tables.
    Server IS_SPREAD = "SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass('cluster'))";

    Server NOW = concat!("SELECT ", now!());

    Every CLUSTERS = "SELECT name FROM cluster WHERE removed = 0 ORDER BY name";

    /// The objects of the kind `$1` in all clusters.
    Every EVERYWHERE = concat!(
        "SELECT c.name, ",
        object_columns!(),
        " FROM cluster c JOIN object o ON o.cluster_id = c.cluster_id
          WHERE o.kind = $1 AND NOT o.deleted AND c.removed = 0"
    );

    /// The clusters that have an object of the kind `$1`.
    Every HAVING = "SELECT c.name FROM cluster c WHERE c.removed = 0
        AND EXISTS (SELECT 1 FROM object o WHERE o.cluster_id = c.cluster_id AND o.kind = $1 AND NOT o.deleted)";

    /// The clusters of which something can go: where a mark can be raised, with `$1` revisions and the age `$2` to keep for the feed and `$3` for the
    /// history (null: none is kept), or where something is left behind a mark.
    Every COMPACTABLE = concat!(
        "SELECT c.name FROM cluster c WHERE c.removed = 0 AND (
             EXISTS (SELECT 1 FROM batch b WHERE b.cluster_id = c.cluster_id
                     AND b.rev_to > c.compact_rev AND b.rev_to <= c.rev - $1 AND b.at <= ", now!(), " - $2)
             OR EXISTS (SELECT 1 FROM batch b WHERE b.cluster_id = c.cluster_id
                        AND b.rev_to > c.history_from AND b.at <= ", now!(), " - $3)
             OR EXISTS (SELECT 1 FROM batch b WHERE b.cluster_id = c.cluster_id AND b.rev_to < c.compact_rev
                        AND b.rev_to < CASE WHEN c.history_to = c.rev THEN c.history_from ELSE c.rev END)
             OR EXISTS (SELECT 1 FROM object o WHERE o.cluster_id = c.cluster_id AND o.deleted AND o.rev <= c.compact_rev)
             OR EXISTS (SELECT 1 FROM history h WHERE h.cluster_id = c.cluster_id
                        AND h.until_rev <= CASE WHEN c.history_to = c.rev THEN c.history_from ELSE c.rev END))"
    );

    /// `$1` is 0 for leases of the whole database.
    Cluster LEASE = concat!(
        "INSERT INTO lease (cluster_id, name, holder, until) VALUES ($1, $2, $3, ",
        now!(),
        " + $4) ON CONFLICT (cluster_id, name) DO UPDATE SET holder = excluded.holder, until = excluded.until
          WHERE lease.holder = excluded.holder OR lease.until <= excluded.until - $4"
    );

    /// Leases that are held, of those whose name begins with `$2`.
    Cluster LEASES = concat!(
        "SELECT name FROM lease WHERE cluster_id = $1 AND name >= $2 AND starts_with(name, $2) AND until > ",
        now!(),
        " ORDER BY name"
    );

    /// `$2` is a time: Citus takes no clock in a DELETE.
    Cluster DROP_FREE_LEASES = "DELETE FROM lease WHERE cluster_id = $1 AND until <= $2";

    /// A write that nobody sees.
    Cluster VOUCH = concat!(
        "INSERT INTO lease (cluster_id, name, holder, until) VALUES ($1, 'vouch', '', ",
        now!(),
        ") ON CONFLICT (cluster_id, name) DO UPDATE SET until = excluded.until"
    );

    Cluster RAISE_MARKS = "UPDATE cluster SET compact_rev = $2, history_from = $3 WHERE cluster_id = $1";

    /// The revision of the newest batch up to `$2` that is older than `$3`.
    Cluster LAST_BATCH = concat!(
        "SELECT rev_to FROM batch WHERE cluster_id = $1 AND rev_to <= $2 AND at <= ",
        now!(),
        " - $3 ORDER BY rev_to DESC LIMIT 1"
    );

    Cluster SWEEP_TOMBSTONES = "DELETE FROM object WHERE cluster_id = $1 AND deleted AND rev <= $2
        AND rev <= coalesce((SELECT rev FROM object WHERE cluster_id = $1 AND deleted AND rev <= $2
                             ORDER BY rev LIMIT 1 OFFSET $3), $2)";

    Cluster SWEEP_BATCHES = "DELETE FROM batch WHERE cluster_id = $1 AND rev_to <= $2
        AND rev_to <= coalesce((SELECT rev_to FROM batch WHERE cluster_id = $1 AND rev_to <= $2
                                ORDER BY rev_to LIMIT 1 OFFSET $3), $2)";

    Cluster SWEEP_HISTORY = "DELETE FROM history WHERE cluster_id = $1 AND until_rev <= $2
        AND until_rev <= coalesce((SELECT until_rev FROM history WHERE cluster_id = $1 AND until_rev <= $2
                                   ORDER BY until_rev LIMIT 1 OFFSET $3), $2)";

    Cluster CLEAR_OBJECTS = "DELETE FROM object WHERE cluster_id = $1 AND rev <= coalesce(
        (SELECT rev FROM object WHERE cluster_id = $1 ORDER BY rev LIMIT 1 OFFSET $2), 9223372036854775807)";

    Cluster CLEAR_HISTORY = "DELETE FROM history WHERE cluster_id = $1 AND until_rev <= coalesce(
        (SELECT until_rev FROM history WHERE cluster_id = $1 ORDER BY until_rev LIMIT 1 OFFSET $2), 9223372036854775807)";

    /// The entries of a removed cluster.
    Cluster CLEAR_LEDGER = concat!(
        clear!("cluster_id"),
        " AND EXISTS (SELECT 1 FROM cluster WHERE cluster_id = $1 AND removed <> 0)"
    );

    Cluster CLEAR_LEASES = "DELETE FROM lease WHERE cluster_id = $1";

    /// Sets the rows of a cluster aside that was removed at `$3`: Citus takes no clock in an UPDATE.
    Cluster SET_ASIDE = "UPDATE cluster SET name = $2, removed = $3 WHERE cluster_id = $1";

    /// The mark of a removed cluster, under its name.
    Cluster MARK = concat!(
        "INSERT INTO cluster (cluster_id, name, rev, compact_rev, epoch, history_from, history_to, removed)
         VALUES ($1, $2, $3, $3, $4, $5, $6, ",
        now!(),
        ")"
    );

    Server NOTIFY = "SELECT pg_notify($1, $2)";

    /// Id, name and age of what is left of removed clusters, and of those without an object and an entry: `true` if it is older than `$1`.
    Every REMOVED = concat!(
        "SELECT c.cluster_id, c.name, c.rev > 0, c.removed <= ",
        now!(),
        " - $1 FROM cluster c WHERE c.removed <> 0
          AND (c.rev > 0 OR NOT EXISTS (SELECT 1 FROM ledger l WHERE l.cluster_id = c.cluster_id))"
    );

    Cluster DROP_SET_ASIDE = "DELETE FROM cluster WHERE cluster_id = $1 AND name = $2";

    /// A cluster that is not there, and has no entries.
    Cluster FORGET = "DELETE FROM cluster WHERE cluster_id = $1 AND removed <> 0
        AND NOT EXISTS (SELECT 1 FROM ledger WHERE cluster_id = $1)";

    /// Appends to the ledger of a cluster, even one that nothing was written to. No row: the id is not the cluster's. Else when it was removed, and
    /// how many entries are new.
    Cluster APPEND = "WITH added AS (
            INSERT INTO ledger (cluster_id, kind, id, subject, object, body)
            SELECT c.cluster_id, n.kind, n.id, n.subject, n.object, n.body
            FROM cluster c, UNNEST($3::text[], $4::bytea[], $5::text[], $6::text[], $7::bytea[])
                 AS n (kind, id, subject, object, body)
            WHERE c.cluster_id = $1 AND c.name = $2
            ON CONFLICT DO NOTHING RETURNING 1)
        SELECT c.removed, (SELECT count(*) FROM added) FROM cluster c WHERE c.cluster_id = $1 AND c.name = $2";

    /// The first cluster and kind after `$1` and `$2` that has entries.
    Every NEXT_BOOK = "SELECT l.cluster_id, c.name, l.kind FROM ledger l JOIN cluster c ON c.cluster_id = l.cluster_id
        WHERE (l.cluster_id, l.kind) > ($1, $2) ORDER BY l.cluster_id, l.kind LIMIT 1";
}
