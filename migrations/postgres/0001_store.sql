-- One row per cluster: the counter every write transaction of that cluster bumps. It is the only hot row; the
-- low fillfactor leaves room beside it, so that an update stays on its page and touches no index.
CREATE TABLE cluster (
    cluster_id  int    NOT NULL PRIMARY KEY,
    name        text   COLLATE "C" NOT NULL UNIQUE,
    rev         bigint NOT NULL DEFAULT 0, -- the newest revision
    compact_rev bigint NOT NULL DEFAULT 0, -- tombstones up to here may be gone
    epoch       bigint NOT NULL DEFAULT 0  -- raised when history was lost
) WITH (fillfactor = 10);

-- One row per write transaction: whether a batch whose reply was lost did happen.
CREATE TABLE batch (
    cluster_id int    NOT NULL,
    rev_to     bigint NOT NULL, -- the counter after the batch
    token      bytea  NOT NULL, -- 16 random bytes
    PRIMARY KEY (cluster_id, rev_to)
);

-- Every object as it is now, and a tombstone for each deleted one. Collation "C" orders by bytes, as SQLite does.
CREATE TABLE object (
    cluster_id int     NOT NULL,
    kind       text    COLLATE "C" NOT NULL,
    ns         text    COLLATE "C" NOT NULL,
    name       text    COLLATE "C" NOT NULL,
    uid        text    NOT NULL,
    rev        bigint  NOT NULL, -- of the last change
    create_rev bigint  NOT NULL, -- of the creation
    node       text,             -- the node a pod is bound to, apart from the body: a bind rewrites no body
    deleted    boolean NOT NULL, -- a tombstone
    codec      int     NOT NULL, -- how the body is encoded; 0: as received
    body       bytea   NOT NULL, -- bytea, not jsonb: the bytes as received, key order, \u0000 and all
    PRIMARY KEY (cluster_id, kind, ns, name),
    UNIQUE (cluster_id, rev)
);
