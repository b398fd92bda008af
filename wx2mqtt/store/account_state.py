"""What the journal keeps about an account itself: one row of the table `account`, and the id of the store.

base_topic   the base topic that the account first used
session      the number of the MQTT session
login_id     the login whose handles and cursor are stored
cursor       what was received last (written by `ReceivedMessages.record`)
seq          the number of the newest message (written by `ReceivedMessages.record`)
owner        the WeChat account of each backend (written by `JournaledCommands.set_owner`)
"""

from __future__ import annotations

import json

from wx2mqtt.store.database import Connection
from wx2mqtt.store.folder import new_stream_id
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import load_queries
from wx2mqtt.store.records import AccountState

_SQL = load_queries("account_state")


class AccountStateRow(JournalPart):
    stream = ""
    """The id of the store, published with each message; empty before `open`."""

    async def open(self) -> AccountState:
        """Returns the stored state of this account; creates the account and the stream id if they are new."""
        self.stream, state = await self._database.write("open", self._open)
        return state

    async def set_base_topic(self, base: str) -> None:
        """Stores the base topic that the account first used."""
        await self._database.write(
            "base_topic", lambda db: db.execute(_SQL["set_base_topic"], (base, self._account))
        )

    async def set_broker_session(self, session: int) -> None:
        """Stores the number of the MQTT session; packet ids are compared within one session only."""
        await self._database.write(
            "session", lambda db: db.execute(_SQL["set_broker_session"], (session, self._account))
        )

    def _open(self, connection: Connection) -> tuple[str, AccountState]:
        connection.execute(_SQL["add_stream"], (new_stream_id(),))
        connection.execute(_SQL["add_account"], (self._account,))
        (stream,) = connection.execute(_SQL["stream"]).fetchone()
        base, session, login_id, cursor, seq, owners = connection.execute(
            _SQL["account"], (self._account,)
        ).fetchone()
        newest = connection.execute(_SQL["newest_payload"], (self._account,)).fetchone()
        state = AccountState(
            cursor=cursor,
            login_id=login_id,
            seq=seq,
            last_payload=newest[0] if newest else None,
            base_topic=base,
            broker_session=session,
            owner_ids=json.loads(owners),
        )
        return stream, state
