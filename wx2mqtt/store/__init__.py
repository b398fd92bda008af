"""Durable data: the journal of messages and commands, the people, the files and the saved logins."""
