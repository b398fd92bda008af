"""What the command line asks of a running bridge, and does itself where none runs: operations by name.

    wx2mqtt journal show 42   ->   run("journal.show", {"id": "42"})   ->   {"id": "42", "state": "sent", …}

The control socket brings the name and the fields. Each operation returns JSON, and raises `Wx2MqttError` with
a sentence. For an account that another instance runs, that instance is asked through the database
(`OperationQueue`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.app.accounts import Accounts
from wx2mqtt.app.stores import NOT_SHARED, Stores
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.commands.resolver import split_ahead
from wx2mqtt.bridge.commands.results import with_remarks
from wx2mqtt.bridge.people.directory import entry_body
from wx2mqtt.bridge.wechat_calls import new_key
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.model import Json, Result, Status
from wx2mqtt.mqtt.topics import Topics, is_config_topic
from wx2mqtt.store.account_removal import AccountRemoval
from wx2mqtt.store.command_records import CommandRow, CommandState
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.operation_queue import OperationQueue
from wx2mqtt.store.question_records import AskedQuestion

if TYPE_CHECKING:
    from wx2mqtt.app.cluster_node import ClusterNode

# How many commands without and with a result are listed, the newest ones.
MAX_LISTED_COMMANDS = 1000


@dataclass(eq=False)
class Operations:
    """The operations of this process: those of the whole process, and those of one account.

    The field `account` names the account, by default the first one of the configuration.
    """

    running: Accounts
    factory: AccountFactory
    stores: Stores
    media: MediaRetention
    #: This process in its cluster; None where instances share no accounts.
    cluster: ClusterNode | None = None

    async def run(self, name: str, fields: Mapping[str, Json]) -> Json:
        try:
            match name:
                case "accounts":
                    return [account.name for account in self.running.accounts]
                case "cluster.drain" if self.cluster is not None:
                    return await self.cluster.drain()
                case "cluster.undrain" if self.cluster is not None:
                    return await self.cluster.end_drain()
                case "cluster.drain" | "cluster.undrain":
                    is_shared = self.factory.loaded.settings.storage.url is not None
                    raise Wx2MqttError("no bridge runs on this machine" if is_shared else NOT_SHARED)
                case "purge.look":
                    return await self._purge_operations().inspect(fields)
                case "purge":
                    return await self._purge_operations().purge(fields)
                case _:
                    return await self._run_on_account(str(fields.get("account") or ""), name, fields)
        except BadCommand as error:
            raise Wx2MqttError(rejection_text(self.factory.loaded.settings.language, error)) from None

    def _purge_operations(self) -> PurgeOperations:
        return PurgeOperations(self.stores, self.media, self.factory.base_topics)

    async def _run_on_account(self, requested: str, name: str, fields: Mapping[str, Json]) -> Json:
        """Runs an operation on the account `requested`, here or on the instance that runs the account."""
        account_name = requested or next(iter(self.factory.base_topics))
        if owner := self._other_instance_of(account_name):
            answer = await OperationQueue(self.stores.database).ask(account_name, name, fields)
            if answer is None:
                raise Wx2MqttError(f"the account {account_name} moves; it was on {owner}: try again")
            return answer.value
        account = self.account_named(requested)
        with account.ctx.in_log():
            return await AccountOperations(account).run(name, fields)

    def _other_instance_of(self, account_name: str) -> str:
        """Returns the name of the other instance that runs an account; empty where none does."""
        runs_here = any(account.name == account_name for account in self.running.accounts)
        if self.cluster is None or runs_here:
            return ""
        return self.cluster.owner_of(account_name)

    def account_named(self, name: str | None) -> Account:
        """Returns the account with this name, the first one without a name. Raises `Wx2MqttError`."""
        known = list(self.factory.base_topics)
        for account in self.running.accounts:
            if account.name == (name or known[0]):
                return account
        if not name or name in known:
            raise Wx2MqttError(f"no instance runs the account {name or known[0]} now; try again later")
        raise Wx2MqttError(f"there is no account '{name}'; the configuration has {', '.join(known)}")


class AccountOperations:
    """The operations of one account that runs here."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._ctx = account.ctx
        self._components = account.components
        self._journal = account.ctx.journal
        self._registry = account.ctx.registry

    async def run(self, name: str, fields: Mapping[str, Json]) -> Json:  # noqa: C901, PLR0911 - one for each
        match name:
            case "health":
                return await self._account.health()
            case "login" | "login.code" | "login.state":
                return self._log_in(name, fields)
            case "owner.show" | "owner.confirm" | "owner.name":
                return await self._answer_about_owner(name, fields)
            case "journal.list":
                return await self._list(fields)
            case "journal.show":
                row = await self._require_row(fields)
                return {**_command_body(row), "kind": row.command.kind, "text": row.command.text}
            case "journal.retry" if isinstance(row_id := fields.get("row"), int):
                return await self._publish_again(row_id)
            case "journal.retry":
                return await self._send_again(fields)
            case "journal.drop":
                return await self._drop(fields)
            case "ask" | "ask.state" | "ask.close":
                return await QuestionOperations(self._account).run(name, fields)
            case "people.list":
                return {"people": [entry_body(entry) for entry in self._registry.directory()]}
            case "people.assign" | "people.merge":
                return await self._change_people(name, fields)
        raise Wx2MqttError(f"this bridge does not know '{name}'; is it another version?")

    def _log_in(self, name: str, fields: Mapping[str, Json]) -> Json:
        if name == "login":
            self._ctx.login_requests.request_login(new_owner=fields.get("new_owner") is True)
        elif name == "login.code":
            self._components.session.enter_verification_code(str(fields.get("code") or ""))
        return self._account.login_details()

    async def _answer_about_owner(self, name: str, fields: Mapping[str, Json]) -> Json:
        """Confirms a bot of WeCom or names its owner; returns what is known so far, {} on other backends."""
        naming = self._components.bot_owner
        if name == "owner.confirm":
            await naming.confirm(str(fields.get("bot", "")))
        elif name == "owner.name":
            await naming.name(str(fields.get("user", "")))
        state = naming.state
        return {} if state is None else state.body()

    async def _list(self, fields: Mapping[str, Json]) -> Json:
        """Lists commands that wait or were not sent, and rows that the broker rejected (`set_aside`).

        With the field `all` commands that were sent are listed, too.
        """
        waiting = await self._journal.commands.list_newest(CommandState.WAITING, limit=MAX_LISTED_COMMANDS)
        if fields.get("all"):
            finished = await self._journal.commands.list_newest(
                CommandState.FINISHED, limit=MAX_LISTED_COMMANDS
            )
        else:
            finished = await self._journal.commands.list_unsent(MAX_LISTED_COMMANDS)
        set_aside: list[Json] = [
            {
                "row": row.id,
                "topic": row.topic,
                "sort": row.category,
                "since": rfc3339(row.created),
                "why": reason,
            }
            for row, reason in await self._journal.outbox.list_rejected()
        ]
        commands: list[Json] = [_command_body(row) for row in (*waiting, *finished)]
        return {"commands": commands, "set_aside": set_aside}

    async def _publish_again(self, row_id: int) -> Json:
        """Puts a row that the broker rejected back into the queue."""
        if not await self._journal.outbox.requeue_rejected([row_id]):
            raise BadCommand("bad_request", "row_unknown", row=row_id)
        self._components.publisher.on_connected()
        return {"row": row_id}

    async def _send_again(self, fields: Mapping[str, Json]) -> Json:
        row = await self._require_row(fields)
        command = row.command
        has_content = command.text or command.path or command.url or command.message_id or row.blob
        if row.result is not None and not has_content:  # a command that is refused at once is not kept
            raise BadCommand("bad_request", "command_refused", id=row.command_id)
        await split_ahead(command, self._ctx.backend.capabilities)
        self._components.validator.check(command)
        if not await self._components.resolver.is_complete(row):
            raise BadCommand("bad_file", "file_lost")
        queued = await self._journal.commands.retry(row.command_id, now_ms(), new_key())
        self._components.sender.add(queued)
        return _command_body(queued)

    async def _drop(self, fields: Mapping[str, Json]) -> Json:
        row = await self._require_row(fields)
        may_be_sent = row.unanswered or row.attempt_open
        result = Result(
            id=row.command_id,
            user=row.command.user,
            status=Status.UNCERTAIN if may_be_sent else Status.REJECTED,
            code="dropped",
            message=bridge_text(self._ctx.language, "dropped"),
            time=now_ms(),
            duplicate_possible=row.duplicate_possible,
            sender=row.command.sender,
        )
        result = with_remarks(result, row.command, self._ctx.language)
        publications = self._components.results.publications(result, row.replies)
        stored = await self._journal.commands.drop(row.command_id, result, publications)
        self._ctx.signals.outbox_changed.emit(stored)
        self._components.sender.remove(row, result)
        return {**_command_body(row), "status": str(result.status), "code": "dropped"}

    async def _require_row(self, fields: Mapping[str, Json]) -> CommandRow:
        command_id = str(fields.get("id", ""))
        row = await self._journal.commands.get(command_id)
        if row is None:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return row

    async def _change_people(self, name: str, fields: Mapping[str, Json]) -> Json:
        user = str(fields.get("user", ""))
        if name == "people.assign":
            update = self._registry.assign(user, str(fields.get("to", "")), now_ms())
        else:
            update = self._registry.merge(user, str(fields.get("other", "")), now_ms())
        await self._components.inbound.apply_people(update)
        return {"changed": [person.topic_name for person in update.people.persons]}


class QuestionOperations:
    """The operations of `wx2mqtt ask`. A question is sent as any other command; its id names it later."""

    def __init__(self, account: Account) -> None:
        self._journal = account.ctx.journal
        self._intake = account.components.intake

    async def run(self, name: str, fields: Mapping[str, Json]) -> Json:
        """Sends the question (`ask`), closes it (`ask.close`), or does nothing; returns its state then."""
        command_id = str(fields.get("id", ""))
        if name == "ask":
            await self._intake.accept(str(fields.get("user", "")), _question_fields(command_id, fields))
        elif name == "ask.close":
            await self._journal.questions.close(command_id, now_ms())
        return await self._state(command_id)

    async def _state(self, command_id: str) -> dict[str, Json]:
        # The question is read last: a command that has a result then had its question stored before.
        command = await self._journal.commands.get(command_id)
        question = await self._journal.questions.get(command_id)
        result = None if command is None else command.result
        return _question_state(result, question)


def _question_state(result: Result | None, question: AskedQuestion | None) -> dict[str, Json]:
    """Returns the `state`, and for some the `reason`.

    unsent (it waits in the journal) → waiting (for the answer) → answered (with `key`) or unanswered.
    Where it was not sent: refused or unanswered. `question` is None until it was sent.
    """
    if question is not None and question.answer:
        return {"state": "answered", "key": question.answer}
    if result is not None and result.status is Status.REJECTED:
        return {"state": "refused", "reason": result.message}
    if question is None:
        return {"state": "unsent"} if result is None else {"state": "unanswered", "reason": result.message}
    is_over = question.until is not None and question.until < now_ms()
    if is_over or question.closed is not None:
        return {"state": "unanswered"}
    return {"state": "waiting"}


def _question_fields(command_id: str, fields: Mapping[str, Json]) -> dict[str, Json]:
    """Returns the command: it waits, and its answers count, as long as the caller waits."""
    seconds = fields.get("seconds")
    return {
        "id": command_id,
        "text": fields.get("text"),
        "buttons": fields.get("buttons"),
        "buttons_for": seconds,
        "buttons_from": "anyone" if fields.get("anyone") is True else "trusted",
        "ttl": seconds,
    }


def _command_body(row: CommandRow) -> dict[str, Json]:
    state = "waiting" if row.result is None else str(row.result.status)
    body: dict[str, Json] = {
        "id": row.command_id,
        "user": row.command.user,
        "state": "attempt open" if row.attempt_open else state,
        "accepted": rfc3339(row.accepted),
        "attempts": row.attempts,
    }
    if row.command.sender:
        body["sender"] = row.command.sender
    if row.result is not None:
        body |= {"code": row.result.code, "message": row.result.message}
    return body


class PurgeOperations:
    """Shows and removes the data of accounts that are no longer configured.

    `base_topics` are those of the configured accounts. `wx2mqtt purge` takes the retained topics away at the
    broker before it calls `purge`: their names are found through the store.
    """

    def __init__(self, stores: Stores, media: MediaRetention, base_topics: Mapping[str, str]) -> None:
        self._stores = stores
        self._removal = AccountRemoval(stores.database)
        self._media = media
        self._base_topics = base_topics

    async def inspect(self, fields: Mapping[str, Json]) -> Json:
        """Returns the stored data of an account, and the topics that may still be retained at the broker.

        `taken_by` is the account that uses its base topic now. In this case no topic may be removed.
        """
        account = await self._account_name(fields)
        stored = await self._removal.stored_data(account)
        taken_by = next((name for name, base in self._base_topics.items() if base == stored.base), "")
        may_clear = stored.base and not taken_by
        topics: list[Json] = [*Topics(stored.base).retained(stored.topic_names)] if may_clear else []
        return {
            "account": account,
            "base": stored.base,
            "taken_by": taken_by,
            "topics": topics,
            "announced": [topic for topic in stored.announced if is_config_topic(account, topic)],
            "messages": stored.messages,
            "commands": stored.commands,
            "people": stored.people,
            "media": stored.media,
            "login": account in await self._stores.saved_logins.accounts(),
        }

    async def purge(self, fields: Mapping[str, Json]) -> Json:
        """Removes all data of an account, the secrets first. Can be repeated after a crash."""
        account = await self._account_name(fields)
        await self._stores.saved_logins.delete(account)
        await self._removal.delete_rows(account)
        if self._stores.search_index is not None:
            await self._stores.search_index.delete()
        if self._stores.people_file is not None:
            await self._stores.people_file.write()
        await self._media.delete_unused_files(0.0)
        await self._removal.delete_account(account)
        return {"account": account}

    async def _account_name(self, fields: Mapping[str, Json]) -> str:
        account = str(fields.get("account", ""))
        if account in self._base_topics:
            raise BadCommand("bad_request", "purge_running", account=account)
        known = {*await self._removal.list_accounts(), *await self._stores.saved_logins.accounts()}
        if account not in known:
            removable = ", ".join(sorted(known - self._base_topics.keys())) or "-"
            raise BadCommand("bad_request", "purge_unknown", account=account, known=removable)
        return account
