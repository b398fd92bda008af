-- announced --
SELECT announced FROM account WHERE name = ?;

-- announce --
UPDATE account SET announced = ? WHERE name = ?;
