-- What stands at Home Assistant for an account: a JSON object, empty where nothing was ever announced.

ALTER TABLE account ADD COLUMN announced TEXT NOT NULL DEFAULT '';
