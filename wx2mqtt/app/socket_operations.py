"""What the command line and the page of another process ask of this one, through the control socket.

An account that another instance runs is asked for there, through the database (`OperationQueue`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.app.admin import AdminOperation, AdminOperations, PurgeOperations
from wx2mqtt.app.running_accounts import RunningAccounts
from wx2mqtt.app.stores import NOT_SHARED, Stores
from wx2mqtt.bridge.account import Account
from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.model import Json
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.operation_queue import OperationQueue

if TYPE_CHECKING:
    from wx2mqtt.app.instance import ClusterNode


class SocketOperations:
    """Runs operations by name. `cluster` is this process in its cluster, None without one."""

    def __init__(
        self, running: RunningAccounts, factory: AccountFactory, stores: Stores, media: MediaRetention
    ) -> None:
        self.cluster: ClusterNode | None = None
        self._running = running
        self._factory = factory
        self._stores = stores
        self._media = media

    async def run(self, name: str, fields: Mapping[str, Json]) -> Json:
        """Runs an operation and returns its answer.

        The field `account` names the account, by default the first one. Raises `Wx2MqttError` with a
        sentence.
        """
        if (operation := self._process_operations().get(name)) is not None:
            return await self._call(operation, fields)
        requested = str(fields.get("account") or "")
        if owner := self._other_owner(requested):
            return await self._ask_instance(owner, requested, name, fields)
        return await self._run_on_account(self.account_named(requested), name, fields)

    def _process_operations(self) -> dict[str, AdminOperation]:
        """Returns the operations that concern no running account."""
        purge = PurgeOperations(
            self._stores.saved_logins,
            self._stores.database,
            self._media,
            self._stores.people_file,
            self._stores.search_index,
            self._factory.base_topics,
        )
        return {
            **purge.operations(),
            "accounts": self._list_accounts,
            "cluster.drain": self._drain,
            "cluster.undrain": self._end_drain,
        }

    async def _list_accounts(self, _fields: Mapping[str, Json]) -> Json:
        return [account.name for account in self._running.accounts]

    async def _drain(self, _fields: Mapping[str, Json]) -> Json:
        return await self._running_cluster().drain()

    async def _end_drain(self, _fields: Mapping[str, Json]) -> Json:
        return await self._running_cluster().end_drain()

    def _running_cluster(self) -> ClusterNode:
        if self.cluster is not None:
            return self.cluster
        is_shared = self._factory.loaded.settings.storage.url is not None
        raise Wx2MqttError("no bridge runs on this machine" if is_shared else NOT_SHARED)

    async def _run_on_account(self, account: Account, name: str, fields: Mapping[str, Json]) -> Json:
        with account.ctx.in_log():
            return await self._run_named(account, name, fields)

    async def _run_named(self, account: Account, name: str, fields: Mapping[str, Json]) -> Json:
        if (operation := AdminOperations(account).operations().get(name)) is not None:
            return await self._call(operation, fields)
        match name:
            case "health":
                return await account.health()
            case "login":
                account.request_login(new_owner=fields.get("new_owner") is True)
            case "login.code":
                account.enter_verification_code(str(fields.get("code") or ""))
            case "login.state":
                pass
            case _:
                raise Wx2MqttError(f"this bridge does not know '{name}'; is it another version?")
        return account.login_details()

    async def _call(self, operation: AdminOperation, fields: Mapping[str, Json]) -> Json:
        try:
            return await operation(fields)
        except BadCommand as error:
            raise Wx2MqttError(rejection_text(self._factory.loaded.settings.language, error)) from None

    def account_named(self, name: str | None) -> Account:
        """Returns the account with this name, the first one without a name. Raises `Wx2MqttError`."""
        known = list(self._factory.base_topics)
        for account in self._running.accounts:
            if account.name == (name or known[0]):
                return account
        if not name or name in known:
            raise Wx2MqttError(f"no instance runs the account {name or known[0]} now; try again later")
        raise Wx2MqttError(f"there is no account '{name}'; the configuration has {', '.join(known)}")

    def _other_owner(self, account: str) -> str:
        """Returns which other instance runs an account, by default the first one; empty if none does."""
        name = account or next(iter(self._factory.base_topics))
        if self.cluster is None or any(running.name == name for running in self._running.accounts):
            return ""
        return self.cluster.owner_of(name)

    async def _ask_instance(self, owner: str, account: str, name: str, fields: Mapping[str, Json]) -> Json:
        account = account or next(iter(self._factory.base_topics))
        answer = await OperationQueue(self._stores.database).ask(account, name, fields)
        if answer is None:
            raise Wx2MqttError(f"the account {account} moves; it was on {owner}: try again")
        return answer[0]
