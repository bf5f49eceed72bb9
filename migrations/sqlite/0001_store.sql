-- One row per cluster: the counter every write transaction of that cluster bumps.
CREATE TABLE cluster (
    cluster_id  INTEGER NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    rev         INTEGER NOT NULL DEFAULT 0, -- the newest revision
    compact_rev INTEGER NOT NULL DEFAULT 0, -- tombstones up to here may be gone
    epoch       INTEGER NOT NULL DEFAULT 0  -- raised when history was lost
) STRICT;

-- One row per write transaction: whether a batch whose reply was lost did happen.
CREATE TABLE batch (
    cluster_id INTEGER NOT NULL,
    rev_to     INTEGER NOT NULL, -- the counter after the batch
    token      BLOB    NOT NULL, -- 16 random bytes
    PRIMARY KEY (cluster_id, rev_to)
) STRICT, WITHOUT ROWID;

-- Every object as it is now, and a tombstone for each deleted one.
CREATE TABLE object (
    cluster_id INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    ns         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    rev        INTEGER NOT NULL, -- of the last change
    create_rev INTEGER NOT NULL, -- of the creation
    node       TEXT,             -- the node a pod is bound to, apart from the body
    deleted    INTEGER NOT NULL, -- 1: a tombstone
    codec      INTEGER NOT NULL, -- how the body is encoded; 0: as received
    body       BLOB    NOT NULL, -- last, so that the other columns are read without its overflow pages
    PRIMARY KEY (cluster_id, kind, ns, name),
    UNIQUE (cluster_id, rev)
) STRICT;
