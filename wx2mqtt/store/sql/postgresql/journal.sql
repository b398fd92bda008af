-- stats --
SELECT
    (SELECT count(*) FROM publication WHERE account = ?1 AND state = 0),
    (SELECT created FROM publication WHERE account = ?1 AND state = 0 ORDER BY id LIMIT 1),
    (SELECT count(*) FROM command WHERE account = ?1 AND status IS NULL),
    (SELECT accepted FROM command WHERE account = ?1 AND status IS NULL ORDER BY id LIMIT 1),
    (SELECT count(*) FROM publication WHERE account = ?1 AND state = 2),
    dropped,
    seq,
    (SELECT count(*) FROM command
     WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND status <> 'sent'
        AND left(command_id, 8) <> 'wx2mqtt-'),
    (SELECT count(*) FROM media WHERE account = ?1 AND state = 'pending' AND due IS NOT NULL),
    (SELECT value FROM meta WHERE name = 'last_backup')
FROM account WHERE name = ?1;
