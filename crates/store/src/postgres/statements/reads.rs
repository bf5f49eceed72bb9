//! Statements that read one cluster. The first of each read also looks for the cluster's row by its name: without one the id is out of date.

use crate::rows::{object_columns, superseded_columns};

statements! {
    /// A row of nulls: there is no such object.
    Cluster GET = concat!(
        "SELECT ",
        object_columns!(),
        " FROM cluster c LEFT JOIN object o
              ON o.cluster_id = $1 AND o.kind = $3 AND o.ns = $4 AND o.name = $5 AND NOT o.deleted
          WHERE c.cluster_id = $1 AND c.name = $2"
    );

    Cluster LIST = concat!(
        "SELECT ",
        object_columns!(),
        " FROM object o WHERE o.cluster_id = $1 AND o.kind = $2 AND (o.ns, o.name) > ($3, $4) AND o.ns < $5
          AND NOT o.deleted ORDER BY o.ns, o.name LIMIT $6"
    );

    Cluster COUNT = "SELECT count(*) FROM object o WHERE o.cluster_id = $1
        AND o.kind = $2 AND (o.ns, o.name) > ($3, $4) AND o.ns < $5 AND NOT o.deleted";

    /// A page of the feed in one statement, so that all of it is of one instant: in each row the head and the token of the revision
    /// `$3`, and from the sixth column on what changed after `$4`, or nothing, with the bodies of the kinds `$7` (null: all). The page is a query of
    /// its own: only so does the planner know that it is of one cluster, and reads it off the index instead of sorting all.
    Cluster CHANGES = concat!(
        "SELECT c.rev, c.compact_rev, c.epoch, c.newest, c.other, o.* FROM (
             SELECT c.rev, c.compact_rev, c.epoch,
                 (SELECT token FROM batch b WHERE b.cluster_id = $1 AND b.rev_to = c.rev) AS newest,
                 (SELECT token FROM batch b WHERE b.cluster_id = $1 AND b.rev_to = $3) AS other
             FROM cluster c WHERE c.cluster_id = $1 AND c.name = $2
         ) AS c LEFT JOIN LATERAL (
             SELECT ",
        object_columns!("CASE WHEN o.body_rev > $6 AND ($7::text[] IS NULL OR o.kind = ANY($7)) THEN o.body ELSE '' END"),
        " FROM object o WHERE o.cluster_id = $1 AND o.rev > $4 ORDER BY o.rev LIMIT $5
         ) AS o ON true"
    );

    /// The rows there are for some keys, tombstones included, with the bodies of those that are put.
    Cluster CURRENT = concat!("SELECT o.* FROM ", keys!());

    /// The revision of the newest batch up to `$2`.
    Cluster BATCH_AT = "SELECT max(rev_to) FROM batch WHERE cluster_id = $1 AND rev_to <= $2";

    /// The revision of the newest batch that was committed by `$2`.
    Cluster BATCH_BY = "SELECT rev_to FROM batch WHERE cluster_id = $1 AND at > 0 AND at <= $2 ORDER BY rev_to DESC LIMIT 1";

    Cluster TOKENS = "SELECT (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $2),
        (SELECT token FROM batch WHERE cluster_id = $1 AND rev_to = $3)";

    Cluster HAS_TOKEN =
        "SELECT EXISTS (SELECT 1 FROM batch WHERE cluster_id = $1 AND rev_to = $2 AND token = $3)";

    Cluster ANY_OBJECT = "SELECT EXISTS (SELECT 1 FROM object WHERE cluster_id = $1 AND NOT deleted)";

    Cluster ROWS = "SELECT count(*) FROM object WHERE cluster_id = $1";

    /// The number of objects at the revision `$2`.
    Cluster COUNT_AT = "SELECT (SELECT count(*) FROM object WHERE cluster_id = $1 AND NOT deleted AND rev <= $2)
        + (SELECT count(*) FROM history WHERE cluster_id = $1 AND until_rev > $2 AND rev <= $2)";

    /// Objects behind a key that were as they are at the revision `$5`.
    Cluster UNCHANGED_SINCE = concat!(
        "SELECT ",
        object_columns!(),
        " FROM object o WHERE o.cluster_id = $1 AND (o.kind, o.ns, o.name) > ($2, $3, $4)
          AND NOT o.deleted AND o.rev <= $5 ORDER BY o.kind, o.ns, o.name LIMIT $6"
    );

    /// Objects as they were at the revision `$3`, changed after `$2`.
    Cluster CHANGED_SINCE = concat!(
        "SELECT ",
        superseded_columns!("$1", "false"),
        ", h.until_rev FROM history h WHERE h.cluster_id = $1 AND h.until_rev > $2 AND h.rev <= $3
          ORDER BY h.until_rev LIMIT $4"
    );

    Cluster GET_UNCHANGED = concat!(
        "SELECT ",
        object_columns!(),
        " FROM object o WHERE o.cluster_id = $1 AND o.kind = $2 AND o.ns = $3 AND o.name = $4 AND o.rev <= $5"
    );

    Cluster GET_CHANGED = concat!(
        "SELECT ",
        superseded_columns!("$1", "false"),
        " FROM history h WHERE h.cluster_id = $1 AND h.kind = $2 AND h.ns = $3 AND h.name = $4
          AND h.until_rev > $5 AND h.rev <= $5"
    );

    /// Like [`LIST`], as of the revision `$6`.
    Cluster LIST_AT = concat!(
        "SELECT * FROM (
            SELECT * FROM (SELECT ",
        object_columns!(),
        " FROM object o WHERE o.cluster_id = $1 AND o.kind = $2 AND (o.ns, o.name) > ($3, $4) AND o.ns < $5
                AND o.rev <= $6 AND NOT o.deleted ORDER BY o.ns, o.name LIMIT $7) AS o
            UNION ALL
            SELECT * FROM (SELECT ",
        superseded_columns!("$1", "false"),
        " FROM history h WHERE h.cluster_id = $1 AND h.kind = $2 AND (h.ns, h.name) > ($3, $4) AND h.ns < $5
                AND h.until_rev > $6 AND h.rev <= $6 ORDER BY h.ns, h.name LIMIT $7) AS h
         ) AS o ORDER BY ns, name LIMIT $7"
    );

    Cluster COUNT_LIST_AT = "SELECT (SELECT count(*) FROM object o WHERE o.cluster_id = $1 AND o.kind = $2
             AND (o.ns, o.name) > ($3, $4) AND o.ns < $5 AND o.rev <= $6 AND NOT o.deleted)
        + (SELECT count(*) FROM history h WHERE h.cluster_id = $1 AND h.kind = $2
             AND (h.ns, h.name) > ($3, $4) AND h.ns < $5 AND h.until_rev > $6 AND h.rev <= $6)";

    /// Some objects as they were at a revision. `$2` to `$4`: their keys. `$5`: the revision.
    Cluster FOUND = concat!(
        "SELECT o.* FROM UNNEST($2::text[], $3::text[], $4::text[]) AS k (kind, ns, name)
         CROSS JOIN LATERAL (
             SELECT ",
        object_columns!(),
        " FROM object o WHERE o.cluster_id = $1 AND o.kind = k.kind AND o.ns = k.ns AND o.name = k.name
                AND o.rev <= $5 AND NOT o.deleted
             UNION ALL
             SELECT ",
        superseded_columns!("$1", "false"),
        " FROM history h WHERE h.cluster_id = $1 AND h.kind = k.kind AND h.ns = k.ns AND h.name = k.name
                AND h.until_rev > $5 AND h.rev <= $5
             OFFSET 0) AS o"
    );

    /// Objects superseded between two revisions, as they were at the earlier one; then what came to be between them, of objects that have changed
    /// since and of those that have not. `$2` and `$3`: the window. `$4`: the earlier revision. `$5`: the later one. `$6`: the kinds whose
    /// bodies are read.
    Cluster UNDONE = concat!(
        "SELECT ",
        superseded_columns!("$1", "false", "$6::text[] IS NULL OR h.kind = ANY($6)", "''::bytea"),
        " FROM history h WHERE h.cluster_id = $1 AND h.until_rev > $2 AND h.until_rev <= $3 AND h.rev <= $4
         UNION ALL
         SELECT c.kind, c.ns, c.name, c.uid, c.create_rev, c.create_rev, NULL::text, true, c.create_rev, 0, ''::bytea
         FROM history c WHERE c.cluster_id = $1 AND c.create_rev > $2 AND c.create_rev <= $3 AND c.rev <= $5
         AND c.until_rev > $5
         AND NOT EXISTS (SELECT 1 FROM history p WHERE p.cluster_id = $1 AND p.kind = c.kind AND p.ns = c.ns
                         AND p.name = c.name AND p.until_rev > $4 AND p.rev <= $4)
         UNION ALL
         SELECT c.kind, c.ns, c.name, c.uid, c.create_rev, c.create_rev, NULL::text, true, c.create_rev, 0, ''::bytea
         FROM object c WHERE c.cluster_id = $1 AND c.rev > $2 AND c.rev <= $3 AND c.create_rev > $4 AND NOT c.deleted
         AND NOT EXISTS (SELECT 1 FROM history p WHERE p.cluster_id = $1 AND p.kind = c.kind AND p.ns = c.ns
                         AND p.name = c.name AND p.until_rev > $4 AND p.rev <= $4)"
    );
}
