"""Reads the stored commands of an account: those that wait, those to be checked or shown, and single ones.

    await commands.list_due(limit=100)
    await commands.get("alarm-7")

`JournaledCommands` changes them.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from wx2mqtt.model import PersonId
from wx2mqtt.store.column_values import storable_text
from wx2mqtt.store.command_records import CommandRow, CommandState, Recipient, command_row
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.statements import Statement


class StoredCommands(JournalPart):
    """The commands of one account, to be read."""

    async def list_due(self, limit: int, skip: Collection[Recipient] = ()) -> list[CommandRow]:
        """Returns waiting commands in order, without those to the recipients `skip`."""
        return await self._read(_DUE, json_list(skip), limit)

    async def list_expired(self, now: int, limit: int, skip_ids: Collection[int]) -> list[CommandRow]:
        """Returns waiting commands whose ttl was over at `now`, in order, but not those with these ids."""
        return await self._read(_EXPIRED, json_list(skip_ids), now, limit)

    async def list_urgent(self) -> list[CommandRow]:
        """Returns waiting commands that may go out by the fallback service."""
        return await self._read(_URGENT)

    async def list_unanswered(self, since: int) -> list[CommandRow]:
        """Returns commands with an unanswered attempt: waiting, or finished after `since` (ms).

        Among them are those whose caption perhaps did not arrive, before their file.
        """
        rows = await self._read(_UNANSWERED, since)
        return [row for row in rows if row.unanswered or row.parts_lost]

    async def list_attempted(self, since: int) -> list[CommandRow]:
        """Returns commands with an attempt: waiting, or finished after `since` (ms)."""
        return await self._read(_ATTEMPTED, since)

    async def list_newest(self, state: CommandState | None = None, limit: int = 100) -> list[CommandRow]:
        """Returns the newest commands, the newest first; of one state, or all."""
        match state:
            case None:
                statement = _NEWEST
            case CommandState.WAITING:
                statement = _NEWEST_WAITING
            case CommandState.FINISHED:
                statement = _NEWEST_FINISHED
        return await self._read(statement, limit)

    async def list_unsent(self, limit: int) -> list[CommandRow]:
        """Returns commands that ended in anything but `sent`, those that ended last first."""
        return await self._read(_NEWEST_UNSENT, limit)

    async def list_failing_users(self, since: int, limit: int) -> list[tuple[str, int]]:
        """Returns the users whose last command that ended after `since` (ms) was not sent, and when.

        Those that failed last, in this order. Texts of the bridge's own do not count.
        """
        rows = await self._fetch(_FAILING_USERS, since, limit)
        return [(str(user), int(failed_at)) for user, failed_at in rows]

    async def list_with_content(self, sender: str, content: str, since: int) -> list[CommandRow]:
        """Returns the commands of a webhook, accepted after `since` (ms), the newest first."""
        return await self._read(_WITH_CONTENT, since, sender, content)

    async def get(self, command_id: str) -> CommandRow | None:
        """Returns a command, waiting or finished; None if it is unknown or was deleted since it ended."""
        return await self._database.read(lambda db: find_command(db, self._account, command_id))

    async def count_waiting_of(self, sender: str) -> int:
        """Returns how many commands of a program that sends over HTTP have no result yet."""
        ((count,),) = await self._fetch(_COUNT_WAITING_OF, sender)
        return int(count)

    async def last_command_for(self, person_id: PersonId, topic_name: str) -> int | None:
        """Returns when the last command to a person was accepted (ms); those of the bridge do not count."""
        rows = await self._fetch(_LAST_FOR, person_id, storable_text(topic_name))
        return int(rows[0][0]) if rows else None

    async def last_result_codes(self, count: int) -> list[str]:
        """Returns the result codes of the commands that were sent last, the newest first."""
        rows = await self._fetch(_NEWEST_RESULTS, count)
        return [str(json.loads(text)["code"]) for (text,) in rows]

    async def is_sent_message(self, message_id: str) -> bool:
        """Returns whether WeChat gave this id to the message of a command."""
        return bool(await self._fetch(_IS_SENT_MESSAGE, message_id))

    async def sent_message_target(self, message_id: str) -> tuple[str, int] | None:
        """Returns the recipient's topic name and the time (ms) of an own message; None if it is unknown."""
        sent = await self._fetch(_SENT_COMMAND, storable_text(message_id))
        if sent:
            command, settled = sent[0]
            return str(json.loads(command)["user"]), int(settled)
        for user, time, payload in await self._fetch(_MESSAGE_BY_KEY, storable_text(message_id)):
            if (json.loads(payload).get("sender") or {}).get("self"):
                return str(user), int(time)
        return None

    async def _read(self, statement: str, *arguments: object) -> list[CommandRow]:
        return await self._database.read(lambda db: read_commands(db, statement, self._account, *arguments))


def find_command(connection: Connection, account: str, command_id: str) -> CommandRow | None:
    """Returns a command of an account; None if there is none with this id. Runs inside of a job."""
    rows = read_commands(connection, _BY_ID, account, storable_text(command_id))
    return rows[0] if rows else None


def read_commands(connection: Connection, statement: str, *values: object) -> list[CommandRow]:
    """Returns the commands that a statement selects with all their columns. Runs inside of a job."""
    return [command_row(row) for row in connection.named_rows(statement, values)]


# Statements

# The next waiting commands, without those to the recipients ?2. A recipient is the number of a person, or the
# topic name in the command where no person is stored. (In PostgreSQL, the text of a command may have a NUL,
# which no text has there.)
_DUE = Statement(
    """
    SELECT * FROM command
    WHERE account = ?1 AND status IS NULL
        AND coalesce(person, json_extract(command, '$.user')) NOT IN (SELECT value FROM json_each(?2))
    ORDER BY id LIMIT ?3
    """,
    postgresql=r"""
    SELECT * FROM command
    WHERE account = ?1 AND status IS NULL
        AND coalesce(to_jsonb(person), to_jsonb(replace(command, '\u0000', '\ufffd')::json ->> 'user'))
            NOT IN (SELECT jsonb_array_elements(?2::jsonb))
    ORDER BY id LIMIT ?3
    """,
)

_EXPIRED = Statement("""
    SELECT * FROM command
    WHERE account = ?1 AND status IS NULL AND expires <= ?3
        AND id NOT IN (SELECT CAST(value AS INTEGER) FROM json_each(?2))
    ORDER BY id LIMIT ?4
""")

# Waiting commands that may go out by the fallback service.
_URGENT = Statement(
    """
    SELECT * FROM command
    WHERE account = ? AND status IS NULL AND json_extract(command, '$.urgent') ORDER BY id
    """,
    postgresql=r"""
    SELECT * FROM command
    WHERE account = ? AND status IS NULL AND replace(command, '\u0000', '\ufffd')::json ->> 'urgent' = 'true'
    ORDER BY id
    """,
)

# Commands with an unanswered attempt that wait, or were finished after ?2. `part_ids` names the parts that
# were sent or lost: the attempt at a caption is in there once its file follows.
_UNANSWERED = Statement("""
    SELECT * FROM command
    WHERE account = ?1 AND (unknown > 0 OR part_ids <> ' ') AND (status IS NULL OR settled > ?2) ORDER BY id
""")

# Commands with an attempt that wait, or were finished after ?2.
_ATTEMPTED = Statement("""
    SELECT * FROM command
    WHERE account = ?1 AND attempts > 0 AND (status IS NULL OR settled > ?2) ORDER BY id
""")

# The ids come out of an index: rows are large, and most are not wanted.
_NEWEST = Statement("""
    SELECT * FROM command
    WHERE id IN (SELECT id FROM command WHERE account = ?1 ORDER BY id DESC LIMIT ?2)
    ORDER BY id DESC
""")

_NEWEST_WAITING = Statement("""
    SELECT * FROM command WHERE account = ? AND status IS NULL ORDER BY id DESC LIMIT ?
""")

_NEWEST_FINISHED = Statement("""
    SELECT * FROM command WHERE account = ? AND status IS NOT NULL ORDER BY id DESC LIMIT ?
""")

_NEWEST_UNSENT = Statement("""
    SELECT * FROM command
    WHERE account = ? AND status IS NOT NULL AND status <> 'sent' ORDER BY settled DESC LIMIT ?
""")

# The users whose newest command that ended after ?2 was not sent, and when it ended: the last ?3, the oldest
# first.
_FAILING_USERS = Statement("""
    SELECT user, failed FROM (
        SELECT json_extract(command, '$.user') AS user,
            max(settled) FILTER (WHERE status <> 'sent') AS failed
        FROM command
        WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND substr(command_id, 1, 8) <> 'wx2mqtt-'
            AND fallback_of = ''
        GROUP BY 1
        HAVING max(settled) FILTER (WHERE status <> 'sent')
            >= coalesce(max(settled) FILTER (WHERE status = 'sent'), 0)
        ORDER BY failed DESC LIMIT ?3
    ) AS failing ORDER BY failed
""")

# The commands of the sender ?3 with the content ?4, accepted after ?2; only the newest commands are looked
# at.
_WITH_CONTENT = Statement("""
    SELECT * FROM command
    WHERE account = ?1 AND accepted > ?2 AND id > (SELECT max(id) FROM command) - 20000
        AND json_extract(command, '$.content') = ?4 AND json_extract(command, '$.sender') = ?3
    ORDER BY id DESC
""")

_COUNT_WAITING_OF = Statement("""
    SELECT count(*) FROM command
    WHERE account = ?1 AND status IS NULL AND json_extract(command, '$.sender') = ?2
""")

# When the newest command to a person (?2, or ?3 where no person is stored) was accepted, without those that
# the bridge has made.
_LAST_FOR = Statement(
    """
    SELECT accepted FROM command
    WHERE account = ?1 AND coalesce(person, json_extract(command, '$.user')) IN (?2, ?3)
        AND substr(command_id, 1, 8) <> 'wx2mqtt-'
    ORDER BY id DESC LIMIT 1
    """,
    postgresql=r"""
    SELECT accepted FROM command
    WHERE account = ?1
        AND coalesce(to_jsonb(person), to_jsonb(replace(command, '\u0000', '\ufffd')::json ->> 'user'))
            IN (to_jsonb(?2::bigint), to_jsonb(?3::text))
        AND substr(command_id, 1, 8) <> 'wx2mqtt-'
    ORDER BY id DESC LIMIT 1
    """,
)

# The results of the messages that were sent last; of a combined message, that of the command that leads it.
_NEWEST_RESULTS = Statement("""
    SELECT result FROM command
    WHERE account = ?1 AND status = 'sent' AND bundle_position = 0 ORDER BY settled DESC LIMIT ?2
""")

# Whether the message ?2 was sent by a command, whole, as a caption, or as a part of a long text.
_IS_SENT_MESSAGE = Statement("""
    SELECT 1 FROM command WHERE account = ?1 AND message_id = ?2
    UNION ALL
    SELECT 1 FROM command WHERE account = ?1 AND part_ids <> ' ' AND instr(part_ids, ' ' || ?2 || ' ') > 0
    LIMIT 1
""")

# The command that sent the message ?2, and when.
_SENT_COMMAND = Statement("""
    SELECT command, settled FROM command WHERE account = ?1 AND message_id = ?2 AND status = 'sent' LIMIT 1
""")

# A stored message: its user, time and payload.
_MESSAGE_BY_KEY = Statement("""
    SELECT user, time, payload FROM publication WHERE account = ? AND key = ? AND seq IS NOT NULL
""")

_BY_ID = Statement("SELECT * FROM command WHERE account = ? AND command_id = ?")
