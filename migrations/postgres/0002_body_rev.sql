-- The revision of the body's last change: a reader of the change feed is not sent a body that it has.
ALTER TABLE object ADD COLUMN body_rev bigint;
UPDATE object SET body_rev = rev;
ALTER TABLE object ALTER COLUMN body_rev SET NOT NULL;
