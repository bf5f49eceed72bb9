-- When a cluster was removed: microseconds since 1970; 0: it is there.
ALTER TABLE cluster ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
