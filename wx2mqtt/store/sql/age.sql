-- newest --
-- When the newest row was made, of whatever account: there is one clock, and both tables grow at their end.
SELECT max(created) FROM (
    SELECT created FROM (SELECT created FROM publication ORDER BY id DESC LIMIT 1)
    UNION ALL
    SELECT accepted FROM (SELECT accepted FROM command ORDER BY id DESC LIMIT 1)
);
