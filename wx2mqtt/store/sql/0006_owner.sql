-- The account to which the store belongs: a JSON object with its id by backend. It is empty before the first login.

ALTER TABLE account ADD COLUMN owner TEXT NOT NULL DEFAULT '{}';
