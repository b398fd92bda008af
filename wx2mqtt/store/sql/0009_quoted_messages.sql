-- A reply names the message that it quotes by its WeChat id, which anybody can choose.
CREATE INDEX publication_message ON publication (account, message_id, seq) WHERE seq IS NOT NULL;
