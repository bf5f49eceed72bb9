-- When a batch was committed: microseconds since 1970; 0: not noted.
ALTER TABLE batch ADD COLUMN at INTEGER NOT NULL DEFAULT 0;

-- The past can be read from history_from on, as long as history_to is the newest revision: a writer that keeps no
-- history leaves history_to behind, and the next one that does begins anew.
ALTER TABLE cluster ADD COLUMN history_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cluster ADD COLUMN history_to   INTEGER NOT NULL DEFAULT 0;

-- What compaction removes.
CREATE INDEX object_tombstone ON object (cluster_id, rev) WHERE deleted;

-- What objects were before they changed, where history is kept.
CREATE TABLE history (
    cluster_id INTEGER NOT NULL,
    until_rev  INTEGER NOT NULL, -- of the change that superseded it
    kind       TEXT    NOT NULL,
    ns         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    rev        INTEGER NOT NULL,
    create_rev INTEGER NOT NULL,
    node       TEXT,
    body_rev   INTEGER NOT NULL,
    codec      INTEGER NOT NULL,
    body       BLOB,             -- NULL: that of the object's next version, whose body_rev is the same
    PRIMARY KEY (cluster_id, until_rev)
) STRICT;
CREATE INDEX history_key ON history (cluster_id, kind, ns, name, until_rev);
