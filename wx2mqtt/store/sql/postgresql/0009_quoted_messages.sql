-- A reply names the message that it quotes by its WeChat id, which anybody can choose, its length as well: a row of an
-- ordered index has at most 2,700 bytes.
CREATE INDEX publication_message ON publication USING hash (message_id) WHERE seq IS NOT NULL;
