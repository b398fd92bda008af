-- add --
INSERT INTO operation (account, name, fields) VALUES (?, ?, ?) RETURNING id;

-- state --
SELECT taken, answer FROM operation WHERE id = ?;

-- find_free --
SELECT 1 FROM operation WHERE taken = 0 AND asked > now() - make_interval(secs => ?2)
AND account IN (SELECT jsonb_array_elements_text(?1::jsonb)) LIMIT 1;

-- take_free --
UPDATE operation SET taken = 1 WHERE taken = 0 AND asked > now() - make_interval(secs => ?2)
AND account IN (SELECT jsonb_array_elements_text(?1::jsonb)) RETURNING id, name, fields;

-- set_answer --
UPDATE operation SET answer = ? WHERE id = ?;

-- delete_free --
DELETE FROM operation WHERE id = ? AND taken = 0;

-- delete --
DELETE FROM operation WHERE id = ?;

-- delete_old --
-- Those of a command line that was killed.
DELETE FROM operation WHERE asked < now() - make_interval(secs => ?);
