-- Entries that are appended and never changed: decisions, audit events. They are not on the counter of any cluster.
CREATE TABLE ledger (
    cluster TEXT NOT NULL, -- by name; empty: of no cluster
    kind    TEXT NOT NULL,
    id      BLOB NOT NULL, -- a UUID of version 7: 16 bytes, the time first
    subject TEXT NOT NULL,
    object  TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (cluster, kind, id)
) STRICT;
CREATE INDEX ledger_subject ON ledger (cluster, kind, subject, id);
CREATE INDEX ledger_object ON ledger (cluster, kind, object, id);
