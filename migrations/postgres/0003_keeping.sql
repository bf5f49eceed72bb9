-- When a batch was committed: microseconds since 1970 by the database's clock; 0: not noted.
ALTER TABLE batch ADD COLUMN at bigint NOT NULL DEFAULT 0;

-- The past can be read from history_from on, as long as history_to is the newest revision: a writer that keeps no
-- history leaves history_to behind, and the next one that does begins anew.
ALTER TABLE cluster ADD COLUMN history_from bigint NOT NULL DEFAULT 0;
ALTER TABLE cluster ADD COLUMN history_to   bigint NOT NULL DEFAULT 0;

-- What compaction removes.
CREATE INDEX object_tombstone ON object (cluster_id, rev) WHERE deleted;

-- What objects were before they changed, where history is kept.
CREATE TABLE history (
    cluster_id int    NOT NULL,
    until_rev  bigint NOT NULL, -- of the change that superseded it
    kind       text   COLLATE "C" NOT NULL,
    ns         text   COLLATE "C" NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    uid        text   NOT NULL,
    rev        bigint NOT NULL,
    create_rev bigint NOT NULL,
    node       text,
    body_rev   bigint NOT NULL,
    codec      int    NOT NULL,
    body       bytea,           -- NULL: that of the object's next version, whose body_rev is the same
    PRIMARY KEY (cluster_id, until_rev)
);
CREATE INDEX history_key ON history (cluster_id, kind, ns, name, until_rev);

-- Who does what only one process must do.
CREATE TABLE lease (
    name   text   COLLATE "C" NOT NULL PRIMARY KEY,
    holder bytea  NOT NULL, -- 16 random bytes
    until  bigint NOT NULL  -- microseconds since 1970 by the database's clock
);
