"""What `wx2mqtt purge` does with the store, beside the running bridge or without it: look, and take away.

What stands at the broker goes before, since it is found by what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from wx2mqtt.app.desk import Operation
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.database import Database
from wx2mqtt.store.files import delete
from wx2mqtt.store.folder import SESSIONS
from wx2mqtt.store.media_upkeep import MediaUpkeep
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.removal import Removal

Bases = Callable[[], Mapping[str, str]]
"""The accounts that are configured, each with its base topic."""


class Purging:
    """Looks at accounts that are no longer configured, and takes them away."""

    def __init__(
        self, folder: Path, database: Database, media: MediaUpkeep, people_copy: PeopleCopy, bases: Bases
    ) -> None:
        self._folder = folder
        self._removal = Removal(database)
        self._media = media
        self._people_copy = people_copy
        self._bases = bases

    def operations(self) -> dict[str, Operation]:
        """By name, as the control socket offers them."""
        return {"purge.look": self._look, "purge": self._purge}

    async def _look(self, fields: Mapping[str, Json]) -> Json:
        """What there is of an account, and which topics may still stand at the broker for it.

        `taken_by` is the account to which its topics belong by now; none of them may be touched then.
        """
        account = await self._account(fields)
        remains = await self._removal.remains(account)
        taken_by = next((name for name, base in self._bases().items() if base == remains.base), "")
        clear = remains.base and not taken_by
        topics: list[Json] = [*Topics(remains.base).retained(remains.levels)] if clear else []
        return {
            "account": account,
            "base": remains.base,
            "taken_by": taken_by,
            "topics": topics,
            "announced": list(remains.announced),
            "messages": remains.messages,
            "commands": remains.commands,
            "people": remains.people,
            "media": remains.media,
            "login": bool(self._sessions(account)),
        }

    async def _purge(self, fields: Mapping[str, Json]) -> Json:
        """Take it all away, the secrets first. May be done again after a crash."""
        account = await self._account(fields)
        for file in self._sessions(account):
            delete(file)
        await self._removal.empty(account)
        await self._people_copy.write()
        await self._media.sweep(0.0)
        await self._removal.forget(account)
        return {"account": account}

    async def _account(self, fields: Mapping[str, Json]) -> str:
        account = str(fields.get("account", ""))
        if account in self._bases():
            raise BadCommand("bad_request", "purge_running", account=account)
        known = {*await self._removal.accounts(), *(_owner(file) for file in self._all_sessions())}
        if account not in known:
            left = ", ".join(sorted(known - self._bases().keys())) or "-"
            raise BadCommand("bad_request", "purge_unknown", account=account, known=left)
        return account

    def _sessions(self, account: str) -> list[Path]:
        """The saved login, and whatever damaged one was set aside."""
        return [file for file in self._all_sessions() if _owner(file) == account]

    def _all_sessions(self) -> list[Path]:
        return sorted((self._folder / SESSIONS).glob("*.json*"))


def _owner(session: Path) -> str:
    return session.name.partition(".json")[0]
