-- seq_bounds --
-- The oldest stored seq (null without messages), and the newest one that was ever given.
SELECT (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq LIMIT 1), seq
FROM account WHERE name = ?1;

-- created_from --
-- The first stored message from seq ?2 on: its seq, and when it was stored.
SELECT seq, created FROM publication WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq LIMIT 1;

-- sent --
-- Commands that were sent, by the hour in which that was stored. The index `command_settled` has all of it.
SELECT settled / 3600000, count(*) FROM command
WHERE account = ?1 AND status IS NOT NULL AND settled >= ?2 AND status = 'sent' GROUP BY settled / 3600000;

-- not_sent --
-- The same of those that were not sent, counted as in `stats`.
SELECT settled / 3600000, count(*) FROM command
WHERE account = ?1 AND status IS NOT NULL AND settled >= ?2 AND status <> 'sent'
    AND fallback_of = '' AND NOT (command_id >= 'wx2mqtt-' AND command_id < 'wx2mqtt.')
GROUP BY settled / 3600000;
