-- When a cluster was removed: microseconds since 1970 by the database's clock; 0: it is there.
ALTER TABLE cluster ADD COLUMN removed bigint NOT NULL DEFAULT 0;
