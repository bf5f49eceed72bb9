-- Entries that are appended and never changed: decisions, audit events. They are not on the counter of any cluster.
CREATE TABLE ledger (
    cluster text  COLLATE "C" NOT NULL, -- by name; empty: of no cluster
    kind    text  COLLATE "C" NOT NULL,
    id      bytea NOT NULL,             -- a UUID of version 7: 16 bytes, the time first
    subject text  COLLATE "C" NOT NULL,
    object  text  COLLATE "C" NOT NULL,
    body    bytea NOT NULL,
    PRIMARY KEY (cluster, kind, id)
);
CREATE INDEX ledger_subject ON ledger (cluster, kind, subject, id);
CREATE INDEX ledger_object ON ledger (cluster, kind, object, id);
