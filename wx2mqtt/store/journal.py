"""The journal of one account: the whole interface between the bridge and the database.

    await journal.received.record(messages, people, cursor, login_id)
    await journal.outbox.mark_published([row.id])

Each method that writes is one commit: when it returns, its change is on the disk; when it raises, nothing was
changed. Only `retention` makes several small commits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob
from wx2mqtt.store.commands import JournaledCommands
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.folder import new_stream_id
from wx2mqtt.store.history import MessageHistory
from wx2mqtt.store.journal_retention import DAY_MS, JournalRetention
from wx2mqtt.store.media import MediaJobs
from wx2mqtt.store.outbox import AccountRows, DiscoveryState, Outbox
from wx2mqtt.store.questions import JournaledQuestions
from wx2mqtt.store.received_messages import ReceivedMessages
from wx2mqtt.store.records import AccountState, JournalStats
from wx2mqtt.store.remembered_owners import read_owners
from wx2mqtt.store.requests import JournaledRequests
from wx2mqtt.store.search_index import SearchIndex
from wx2mqtt.store.statements import Statement
from wx2mqtt.store.stored_owner import StoredOwner
from wx2mqtt.store.traffic import TrafficCounts

# The digits of a time in milliseconds since 1970, at most.
_MAX_TIME_DIGITS = 14


def _ignore_reference(_blob: Blob) -> None:
    """For a journal without files."""


class Journal:
    """What is stored of one account, in parts; several journals share a database.

    `open` comes before `received.record`. `on_referenced` is called with each file as soon as a stored row
    refers to it.
    """

    def __init__(
        self,
        database: Database,
        account: str,
        now: Callable[[], int] = now_ms,
        on_referenced: Callable[[Blob], None] = _ignore_reference,
        search_index: SearchIndex | None = None,
    ) -> None:
        rows = AccountRows(database, account, now, on_referenced)
        self.account = account
        self._database = database
        #: What all parts share.
        self.rows = rows
        #: Messages and events from WeChat.
        self.received = ReceivedMessages(rows)
        #: The files of messages, as rows; the files themselves are in `Blobs`.
        self.media = MediaJobs(rows)
        #: Publications for the broker, and what became of them.
        self.outbox = Outbox(rows)
        #: What Home Assistant discovery has published.
        self.discovery = DiscoveryState(rows)
        #: Stored messages and events, to be read again.
        self.history = MessageHistory(rows, search_index)
        #: Commands for WeChat, from the acceptance to exactly one result.
        self.commands = JournaledCommands(rows)
        #: To which WeChat accounts the store belongs.
        self.owner = StoredOwner(rows)
        #: Texts with buttons, and whether they were answered.
        self.questions = JournaledQuestions(rows)
        #: Requests that change something at WeChat.
        self.requests = JournaledRequests(rows)
        #: How much came and was sent, by the hour.
        self.traffic = TrafficCounts(rows)
        #: What is deleted by age and size.
        self.retention = JournalRetention(rows)

    @property
    def stream(self) -> str:
        """The id of the store, published with each message; empty before `open`."""
        return self.rows.stream

    async def open(self) -> AccountState:
        """Returns the stored state of this account; creates the account and the stream id if they are new."""
        self.rows.stream, state = await self._database.write("open", self._open)
        return state

    async def set_base_topic(self, base: str) -> None:
        """Stores the base topic of the account, and moves what waits below the one before to it."""
        await self._database.write("base_topic", partial(self._set_base_topic, base))

    async def set_broker_session(self, session: int) -> None:
        """Stores the number of the MQTT session; packet ids are compared within one session only."""
        await self._database.execute("session", _SET_BROKER_SESSION, (self.account, session))

    async def stats(self) -> JournalStats:
        """Returns the current figures; cheap enough for a call every few seconds."""
        stats = await self._database.read(self._stats)
        return replace(stats, trouble=self._database.last_error)

    def _open(self, connection: Connection) -> tuple[str, AccountState]:
        connection.execute(_ADD_STREAM, (new_stream_id(),))
        connection.execute(_ADD_ACCOUNT, (self.account,))
        (stream,) = connection.execute(_READ_STREAM).fetchone()
        row = connection.execute(_READ_ACCOUNT, (self.account,)).fetchone()
        base, session, login_id, cursor, seq, owners = row
        stored_owners = read_owners(owners)
        newest = connection.execute(_NEWEST_PAYLOAD, (self.account,)).fetchone()
        state = AccountState(
            cursor=cursor,
            login_id=login_id,
            seq=seq,
            last_payload=newest[0] if newest else None,
            base_topic=base,
            broker_session=session,
            owner_ids=stored_owners.ids,
            named_owners=stored_owners.named,
        )
        return stream, state

    def _set_base_topic(self, base: str, connection: Connection) -> None:
        (old_base,) = connection.execute(_READ_BASE_TOPIC, (self.account,)).fetchone()
        if old_base:
            prefix = f"{old_base}/"
            # SQL counts characters from 1: the slash is the first one that stays.
            values = (base, len(prefix), self.account, len(prefix), prefix)
            connection.execute(_MOVE_WAITING_TOPICS, values)
        connection.execute(_SET_BASE_TOPIC, (base, self.account))

    def _stats(self, connection: Connection) -> JournalStats:
        a_day_ago = self.rows.now() - DAY_MS
        (row,) = connection.named_rows(_STATS, (self.account, a_day_ago))
        return JournalStats(**{**row, "last_backup": _read_time(row["last_backup"])})


def _read_time(text: str | None) -> int | None:
    """Returns a stored time (ms); None where there is none, or a forged backup has anything else."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= _MAX_TIME_DIGITS):
        return None
    return int(text)


# Statements

# The column `state` of `publication`: 0 waiting, 1 published, 2 rejected, 3 dropped, 4 held for its file.

_SET_BROKER_SESSION = Statement("UPDATE account SET session = ?2 WHERE name = ?1")

# Stores the stream id of a new store; an existing one stays.
_ADD_STREAM = Statement("INSERT OR IGNORE INTO meta (name, value) VALUES ('stream', ?)")

# Adds the row of a new account; an existing one stays.
_ADD_ACCOUNT = Statement("INSERT OR IGNORE INTO account (name) VALUES (?)")

_READ_STREAM = Statement("SELECT value FROM meta WHERE name = 'stream'")

_READ_ACCOUNT = Statement("""
    SELECT base_topic, session, login_id, cursor, seq, owner FROM account WHERE name = ?
""")

# The payload of the newest message, which is never pruned.
_NEWEST_PAYLOAD = Statement("""
    SELECT payload FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1
""")

_READ_BASE_TOPIC = Statement("SELECT base_topic FROM account WHERE name = ?")

# Replaces the base topic in the topics of what waits, was rejected or is held.
_MOVE_WAITING_TOPICS = Statement("""
    UPDATE publication SET topic = CAST(? AS TEXT) || substr(topic, CAST(? AS INTEGER))
    WHERE account = ? AND state IN (0, 2, 4) AND substr(topic, 1, CAST(? AS INTEGER)) = ?
""")

_SET_BASE_TOPIC = Statement("UPDATE account SET base_topic = ? WHERE name = ?")

# The columns are the fields of `JournalStats`. `failed_today`, since ?2, is counted in three indexes, so that
# no row is read: the commands that were not sent in `command_settled`, less those of the bridge itself in
# `command_known`, less the fallbacks of other accounts' commands in `command_fallback`.
_STATS = Statement("""
    SELECT
        (SELECT count(*) FROM publication WHERE account = ?1 AND state = 0) AS waiting_publications,
        (SELECT created FROM publication WHERE account = ?1 AND state = 0 ORDER BY id LIMIT 1)
            AS oldest_publication,
        (SELECT count(*) FROM command WHERE account = ?1 AND status IS NULL) AS waiting_commands,
        (SELECT accepted FROM command WHERE account = ?1 AND status IS NULL ORDER BY id LIMIT 1)
            AS oldest_command,
        (SELECT count(*) FROM publication WHERE account = ?1 AND state = 2) AS set_aside,
        dropped,
        seq AS messages,
        (SELECT count(*) FROM command
         WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND status <> 'sent')
        - (SELECT count(*) FROM command
           WHERE account = ?1 AND command_id >= 'wx2mqtt-' AND command_id < 'wx2mqtt.'
              AND settled > ?2 AND status <> 'sent')
        - (SELECT count(*) FROM command
           WHERE account = ?1 AND fallback_of <> '' AND status IS NOT NULL AND settled > ?2
               AND status <> 'sent') AS failed_today,
        (SELECT count(*) FROM media WHERE account = ?1 AND state = 'pending' AND due IS NOT NULL)
            AS pending_media,
        (SELECT value FROM meta WHERE name = 'last_backup') AS last_backup
    FROM account WHERE name = ?1
""")
