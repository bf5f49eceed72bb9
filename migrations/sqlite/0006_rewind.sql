-- The objects that came to be between two revisions and have changed since: they go when a state in memory is taken back.
CREATE INDEX history_created ON history (cluster_id, create_rev);
