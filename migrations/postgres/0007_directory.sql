-- The id of each cluster by its name. An id is looked up once per process, and no id is given twice. The row named U+0001
-- has the last id given. On a distributed database every server has this table, and all others are spread by cluster_id.
CREATE TABLE cluster_directory (
    name       text COLLATE "C" NOT NULL PRIMARY KEY,
    cluster_id int  NOT NULL
);
INSERT INTO cluster_directory (name, cluster_id) SELECT E'\x01', coalesce(max(cluster_id), 0) FROM cluster;
INSERT INTO cluster_directory (name, cluster_id) SELECT name, cluster_id FROM cluster WHERE NOT starts_with(name, E'\x01');

-- A cluster without an object has a row for the entries of its ledger. As long as nothing was written to it, rev is 0, and
-- removed is when the row was made; that of the entries of no cluster stays for ever.
INSERT INTO cluster (cluster_id, name, removed)
    SELECT d.cluster_id + row_number() OVER (ORDER BY l.cluster), l.cluster,
           CASE WHEN l.cluster = '' THEN 9223372036854775807
                ELSE (extract(epoch FROM clock_timestamp()) * 1000000)::bigint END
    FROM (SELECT DISTINCT cluster FROM ledger UNION SELECT '') AS l, cluster_directory AS d
    WHERE d.name = E'\x01' AND NOT EXISTS (SELECT 1 FROM cluster_directory AS k WHERE k.name = l.cluster);
INSERT INTO cluster_directory (name, cluster_id)
    SELECT c.name, c.cluster_id FROM cluster AS c, cluster_directory AS d WHERE d.name = E'\x01' AND c.cluster_id > d.cluster_id;
UPDATE cluster_directory SET cluster_id = (SELECT coalesce(max(cluster_id), 0) FROM cluster) WHERE name = E'\x01';

-- The name is unique in the directory. A distributed table can have no other unique key than one with cluster_id.
ALTER TABLE cluster DROP CONSTRAINT cluster_name_key;

-- The ledger by the cluster's id, copied: to rewrite each row in place would leave the table twice as large.
CREATE TABLE entry (
    cluster_id int   NOT NULL,
    kind       text  COLLATE "C" NOT NULL,
    id         bytea NOT NULL,             -- a UUID of version 7: 16 bytes, the time first
    subject    text  COLLATE "C" NOT NULL,
    object     text  COLLATE "C" NOT NULL,
    body       bytea NOT NULL
);
INSERT INTO entry (cluster_id, kind, id, subject, object, body)
    SELECT d.cluster_id, l.kind, l.id, l.subject, l.object, l.body FROM ledger AS l JOIN cluster_directory AS d ON d.name = l.cluster;
DROP TABLE ledger;
ALTER TABLE entry RENAME TO ledger;
ALTER TABLE ledger ADD PRIMARY KEY (cluster_id, kind, id);
CREATE INDEX ledger_subject ON ledger (cluster_id, kind, subject, id);
CREATE INDEX ledger_object ON ledger (cluster_id, kind, object, id);

-- Leases of the whole database are those of cluster 0, which is not there.
ALTER TABLE lease ADD COLUMN cluster_id int NOT NULL DEFAULT 0;
ALTER TABLE lease DROP CONSTRAINT lease_pkey;
ALTER TABLE lease ADD PRIMARY KEY (cluster_id, name);
