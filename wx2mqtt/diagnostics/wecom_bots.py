"""Checks the bots of WeCom, without ending anybody's connection.

WeCom lets one program use a bot: whoever subscribes ends the connection of another one. So

1. where a bridge runs the account in this folder, it is asked what it knows;
2. where another instance of the cluster runs the account, that is said;
3. where nobody runs it, the saved login says whether the use of the bot has ended, and why;
   with `--take-over` the bot is logged in instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from typing_extensions import override

from wx2mqtt.app import control_socket
from wx2mqtt.app.configuration import backend_section
from wx2mqtt.bridge.bot_owner import OwnerNeed
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import AccountTarget, DiagnosticTarget
from wx2mqtt.errors import BackendError, LoggedOut, LoginRefused, StoreError, Wx2MqttError
from wx2mqtt.model import Handle, LoginState, QuotedMessage
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.mapped_files import ProcessingMarks
from wx2mqtt.wechat.backend import Backend, LoggedIn, ShowQr
from wx2mqtt.wechat.backend_options import BackendOptions, CredentialStore
from wx2mqtt.wechat.registry import backend_entry
from wx2mqtt.wechat.wecom.protocol.session import End, read_saved_bot

# Of one trial: TLS, the subscription, and the end of the connection.
TRIAL_SECONDS = 30.0


async def check_bots(
    loaded: LoadedSettings,
    target: DiagnosticTarget,
    report: CheckReport,
    folder: Path,
    *,
    take_over: bool = False,
) -> None:
    """Adds the results of each account whose owner the operator names. `folder` is the store."""
    for account in target.accounts:
        if backend_entry(account.backend).capabilities.owner_is_named:
            await _BotCheck(loaded, account, report, folder).run(take_over=take_over)


class _BotCheck:
    def __init__(
        self, loaded: LoadedSettings, account: AccountTarget, report: CheckReport, folder: Path
    ) -> None:
        self._loaded = loaded
        self._account = account
        self._name = account.name
        self._report = report
        self._folder = folder

    async def run(self, *, take_over: bool) -> None:
        """Takes the first of the three steps that applies."""
        if await self._report_running_bridge():
            return
        if await self._report_other_instance():
            return
        if take_over:
            await self._try()
        else:
            self._report_saved()

    # 1. The bridge in this folder

    async def _report_running_bridge(self) -> bool:
        """Reports what the bridge says, or why it does not; returns whether there is one."""
        try:
            login = await self._ask("login.state")
            owner = await self._ask("owner.show")
        except control_socket.BridgeNotRunning:
            return False
        except (Wx2MqttError, OSError) as error:
            self._report.not_known("bot", self._name, "bot_state_unknown", why=error)
            return True
        self._report_login(login)
        self._report_owner(owner)
        return True

    async def _ask(self, operation: str) -> dict[str, Any]:
        answer = await control_socket.ask_bridge(self._folder, operation, {"account": self._name})
        return answer if isinstance(answer, dict) else {}

    def _report_login(self, login: Mapping[str, Any]) -> None:
        """Reports what the running bridge publishes as `login/state`."""
        why = str(login.get("reason", ""))
        match login.get("state"):
            case LoginState.ONLINE:
                self._report.ok("bot", self._name, "bot_used_by_bridge")
            case LoginState.REFUSED:
                self._report.failed("bot", self._name, "bot_refused", why=why)
            case LoginState.LOGGED_OUT:
                self._report.failed("bot", self._name, "bot_use_ended", why=why)
            case LoginState.WAITING_FOR_SCAN | LoginState.WAITING_FOR_CONFIRM:
                self._report.warning("bot", self._name, "bot_not_made")
            case _:
                self._report.warning("bot", self._name, "bot_unreachable", why=why)

    def _report_owner(self, owner: Mapping[str, Any]) -> None:
        """Reports whom the bot knows, and what the operator has not said."""
        if not owner:
            return
        if not owner.get("people"):
            self._report.warning("bot", self._name, "bot_without_people")
        if owner.get("need") == OwnerNeed.BOT:
            self._report.warning("bot", self._name, "bot_not_confirmed")
        elif owner.get("need") == OwnerNeed.PERSON:
            self._report.warning("bot", self._name, "bot_no_owner")

    # 2. Another instance of the cluster

    async def _report_other_instance(self) -> bool:
        """Reports which instance runs the account, or why that is unknown; returns False if none does."""
        if self._loaded.settings.storage.url is None:
            return False
        from wx2mqtt.app.cluster_operations import cluster_report  # noqa: PLC0415 - needs psycopg

        try:
            cluster: Any = await cluster_report(self._loaded)
        except (Wx2MqttError, OSError) as error:  # one may run it
            self._report.not_known("bot", self._name, "bot_on_other_instance", instance=f"? ({error})")
            return True
        instances = {row["account"]: str(row["instance"]) for row in cluster["accounts"]}
        instance = instances.get(self._name)
        if not instance:
            return False
        self._report.not_known("bot", self._name, "bot_on_other_instance", instance=instance)
        return True

    # 3. Nobody runs the account

    def _report_saved(self) -> None:
        """Reports why the last bridge stopped using the bot; nothing is tried."""
        saved = read_saved_bot(dict(self._account.saved_login or {}))
        if saved is not None and saved.ended is End.REFUSED:
            self._report.failed("bot", self._name, "bot_refused", why=saved.reason)
        elif saved is not None and saved.ended is End.TAKEN_OVER:
            self._report.failed("bot", self._name, "bot_use_ended", why=saved.reason)
        else:
            self._report.not_known("bot", self._name, "bot_not_tried")

    async def _try(self) -> None:
        """Logs the bot in once, which ends the connection of another program, and stores nothing."""
        backend = self._create_backend()
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                await self._report_trial(backend)
        except LoginRefused as refusal:
            self._report.failed("bot", self._name, "bot_refused", why=refusal)
        except LoggedOut as ended:
            self._report.failed("bot", self._name, "bot_use_ended", why=ended)
        except (BackendError, StoreError) as error:
            self._report.failed("bot", self._name, "bot_unreachable", why=error)
        except TimeoutError:
            self._report.failed("bot", self._name, "bot_unreachable", why="…")
        finally:
            await backend.close()

    async def _report_trial(self, backend: Backend) -> None:
        async with aclosing(backend.login(resume=True)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._report.ok("bot", self._name, "bot_accepted")
                    return
                if isinstance(step, ShowQr):
                    self._report.warning("bot", self._name, "bot_not_made")
                    return

    def _create_backend(self) -> Backend:
        account = self._loaded.settings.accounts[self._name]
        saved = {**(self._account.saved_login or {}), "ended": "", "reason": ""}
        options = BackendOptions(
            credentials=_ReadLogin(saved if self._account.saved_login else None),
            observe=lambda _name, _outcome, _seconds: None,
            quote_lookup=_no_quote,
            marks=ProcessingMarks(),
            endpoint=account.endpoint,
            language=self._report.language,
            section=backend_section(account),
        )
        return backend_entry(account.backend).create(options)


class _ReadLogin(CredentialStore):
    """A saved login that is read only: a trial changes nothing."""

    def __init__(self, saved: Mapping[str, object] | None) -> None:
        self._saved = saved

    @override
    async def load(self) -> Mapping[str, object] | None:
        return self._saved

    @override
    async def save(self, session: Mapping[str, object]) -> None:
        return

    @override
    async def clear(self) -> None:
        return


async def _no_quote(_message_id: str, _chat: Handle) -> QuotedMessage | None:
    return None
