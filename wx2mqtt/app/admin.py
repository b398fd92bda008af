"""What `journal` and `people` do with an account, beside the running bridge or without it.

Each operation takes fields and answers JSON; the control socket and the command line call the same ones.

What `wx2mqtt purge` does with the store, beside the running bridge or without it: look, and take away.

What stands at the broker goes before, since it is found by what stands here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.journaled import new_key
from wx2mqtt.bridge.people.directory import entry_body
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json, Result, Status
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.database import Database
from wx2mqtt.store.files import delete_file
from wx2mqtt.store.folder import SESSIONS_FOLDER
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.records import CommandRow, CommandState
from wx2mqtt.store.retention import AccountRemoval

MAX_LISTED_COMMANDS = 1000  # commands that wait, and as many of those that have their result; the newest


AdminOperation = Callable[[Mapping[str, Json]], Awaitable[Json]]


class AdminOperations:
    """The operations on one account's journal and people; what cannot be done raises `BadCommand`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._journal = account.journal
        self._registry = account.registry

    def operations(self) -> dict[str, AdminOperation]:
        """By name, as the control socket offers them."""
        return {
            "journal.list": self._list,
            "journal.show": self._show,
            "journal.retry": self._retry,
            "journal.drop": self._drop,
            "people.list": self._list_people,
            "people.assign": self._assign,
            "people.merge": self._merge,
        }

    async def _list(self, fields: Mapping[str, Json]) -> Json:
        """Commands that wait, failed or are uncertain, and messages that were set aside."""
        everything = bool(fields.get("all"))
        waiting = await self._journal.list_commands(CommandState.WAITING, limit=MAX_LISTED_COMMANDS)
        settled = await self._journal.list_commands(CommandState.SETTLED, limit=MAX_LISTED_COMMANDS)
        shown = [*waiting, *(row for row in settled if everything or _ended_badly(row))]
        aside: list[Json] = [
            {
                "row": row.id,
                "topic": row.topic,
                "sort": row.category,
                "since": rfc3339(row.created),
                "why": why,
            }
            for row, why in await self._journal.list_set_aside()
        ]
        commands: list[Json] = [_line(row) for row in shown]
        return {"commands": commands, "set_aside": aside}

    async def _show(self, fields: Mapping[str, Json]) -> Json:
        row = await self._require_row(fields)
        return {**_line(row), "kind": row.command.kind, "text": row.command.text}

    async def _retry(self, fields: Mapping[str, Json]) -> Json:
        if isinstance(number := fields.get("row"), int):
            if not await self._journal.requeue_set_aside([number]):
                raise BadCommand("bad_request", "row_unknown", row=number)
            self._account.publisher.on_connected()
            return {"row": number}
        row = await self._require_row(fields)
        self._account.validator.check(row.command)
        if not self._account.resolver.is_complete(row):
            raise BadCommand("bad_file", "file_lost")
        again = await self._journal.retry_command(row.command_id, now_ms(), new_key())
        self._account.sender.add(again)
        return _line(again)

    async def _drop(self, fields: Mapping[str, Json]) -> Json:
        row = await self._require_row(fields)
        result = Result(
            id=row.command_id,
            user=row.command.user,
            status=Status.UNCERTAIN if row.unanswered or row.attempt_open else Status.REJECTED,
            code="dropped",
            message=bridge_text(self._account.ctx.language, "dropped"),
            time=now_ms(),
            duplicate_possible=row.duplicate_possible,
        )
        publications = self._account.results.publications(result, row.replies)
        stored = await self._journal.drop_command(row.command_id, result, publications)
        self._account.ctx.signals.outbox_changed.emit(stored)
        self._account.sender.remove(row)
        return {**_line(row), "status": str(result.status), "code": "dropped"}

    async def _require_row(self, fields: Mapping[str, Json]) -> CommandRow:
        command_id = str(fields.get("id", ""))
        row = await self._journal.get_command(command_id)
        if row is None:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return row

    async def _list_people(self, _fields: Mapping[str, Json]) -> Json:
        people: list[Json] = [entry_body(entry) for entry in self._registry.directory()]
        return {"people": people}

    async def _assign(self, fields: Mapping[str, Json]) -> Json:
        changes = self._registry.assign(str(fields.get("user", "")), str(fields.get("to", "")), now_ms())
        await self._account.inbound.apply_people(changes)
        return _changed(changes)

    async def _merge(self, fields: Mapping[str, Json]) -> Json:
        changes = self._registry.merge(str(fields.get("user", "")), str(fields.get("other", "")), now_ms())
        await self._account.inbound.apply_people(changes)
        return _changed(changes)


def _ended_badly(row: CommandRow) -> bool:
    return row.result is not None and row.result.status in (Status.FAILED, Status.UNCERTAIN, Status.EXPIRED)


def _line(row: CommandRow) -> dict[str, Json]:
    state = "waiting" if row.result is None else str(row.result.status)
    body: dict[str, Json] = {
        "id": row.command_id,
        "user": row.command.user,
        "state": "attempt open" if row.attempt_open else state,
        "accepted": rfc3339(row.accepted),
        "attempts": row.attempts,
    }
    if row.result is not None:
        body |= {"code": row.result.code, "message": row.result.message}
    return body


def _changed(changes: PeopleUpdate) -> Json:
    people: list[Json] = [person.level for person in changes.people.persons]
    return {"changed": people}


class PurgeOperations:
    """Looks at accounts that are no longer configured, and takes them away.

    `base_topics` has the accounts that are configured, each with its base topic.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        media: MediaRetention,
        people_copy: PeopleCopy,
        base_topics: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._removal = AccountRemoval(database)
        self._media = media
        self._people_copy = people_copy
        self._base_topics = base_topics

    def operations(self) -> dict[str, AdminOperation]:
        """By name, as the control socket offers them."""
        return {"purge.look": self._inspect, "purge": self._purge}

    async def _inspect(self, fields: Mapping[str, Json]) -> Json:
        """What there is of an account, and which topics may still stand at the broker for it.

        `taken_by` is the account to which its topics belong by now; none of them may be touched then.
        """
        account = await self._account_name(fields)
        remains = await self._removal.stored_data(account)
        taken_by = next((name for name, base in self._base_topics.items() if base == remains.base), "")
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
            "login": bool(self._saved_logins(account)),
        }

    async def _purge(self, fields: Mapping[str, Json]) -> Json:
        """Take it all away, the secrets first. May be done again after a crash."""
        account = await self._account_name(fields)
        for file in self._saved_logins(account):
            delete_file(file)
        await self._removal.delete_rows(account)
        await self._people_copy.write()
        await self._media.remove_orphans(0.0)
        await self._removal.delete_account(account)
        return {"account": account}

    async def _account_name(self, fields: Mapping[str, Json]) -> str:
        account = str(fields.get("account", ""))
        if account in self._base_topics:
            raise BadCommand("bad_request", "purge_running", account=account)
        known = {*await self._removal.list_accounts(), *(_owner(file) for file in self._all_saved_logins())}
        if account not in known:
            left = ", ".join(sorted(known - self._base_topics.keys())) or "-"
            raise BadCommand("bad_request", "purge_unknown", account=account, known=left)
        return account

    def _saved_logins(self, account: str) -> list[Path]:
        """The saved login, and whatever damaged one was set aside."""
        return [file for file in self._all_saved_logins() if _owner(file) == account]

    def _all_saved_logins(self) -> list[Path]:
        return sorted((self._folder / SESSIONS_FOLDER).glob("*.json*"))


def _owner(session: Path) -> str:
    return session.name.partition(".json")[0]
