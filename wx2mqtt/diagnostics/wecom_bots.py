"""Checks the bots of WeCom, without ending anybody's connection.

WeCom lets one program use a bot: whoever subscribes ends the connection of another one. So

1. a bridge that runs the account is asked what it knows, and nothing is tried;
2. without one, the saved login says whether the use of the bot has ended, and why;
3. the bot is logged in only with `--take-over`, and where no instance runs the account.
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
from wx2mqtt.bridge.account_owner import OwnerNeed
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import AccountTarget, DiagnosticTarget
from wx2mqtt.errors import BackendError, LoggedOut, LoginRefused, StoreError, Wx2MqttError
from wx2mqtt.model import Handle, LoginState, QuotedMessage
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.mapped_files import ProcessingMarks
from wx2mqtt.wechat.backend import Backend, BackendOptions, CredentialStore, LoggedIn, ShowQr
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
        self._report = report
        self._folder = folder

    async def run(self, *, take_over: bool) -> None:
        """Asks the bridge, else reads what is saved, else tries the bot where that is wanted."""
        name, report = self._account.name, self._report
        try:
            login = await self._ask("login.state")
            said = await self._ask("owner.show")
        except control_socket.BridgeNotRunning:
            pass
        except (Wx2MqttError, OSError) as error:
            report.not_known("bot", name, "bot_state_unknown", why=error)
            return
        else:
            self._report_login(login)
            self._report_owner(said)
            return
        if instance := await self._other_instance():
            report.not_known("bot", name, "bot_on_other_instance", instance=instance)
        elif take_over:
            await self._try()
        else:
            self._report_saved()

    async def _ask(self, operation: str) -> dict[str, Any]:
        answer = await control_socket.ask_bridge(self._folder, operation, {"account": self._account.name})
        return answer if isinstance(answer, dict) else {}

    async def _other_instance(self) -> str:
        """Returns the instance of a cluster that runs the account, or why that is not known; else empty."""
        if self._loaded.settings.storage.url is None:
            return ""
        from wx2mqtt.app.cluster_operations import cluster_report  # noqa: PLC0415 - needs psycopg

        try:
            cluster: Any = await cluster_report(self._loaded)
        except (Wx2MqttError, OSError) as error:
            return f"? ({error})"
        owners = {row["account"]: str(row["instance"]) for row in cluster["accounts"]}
        return owners.get(self._account.name, "")

    def _report_login(self, login: Mapping[str, Any]) -> None:
        """Reports what the running bridge publishes as `login/state`."""
        name, report, why = self._account.name, self._report, str(login.get("reason", ""))
        match login.get("state"):
            case LoginState.ONLINE:
                report.ok("bot", name, "bot_used_by_bridge")
            case LoginState.REFUSED:
                report.failed("bot", name, "bot_refused", why=why)
            case LoginState.LOGGED_OUT:
                report.failed("bot", name, "bot_use_ended", why=why)
            case LoginState.WAITING_FOR_SCAN | LoginState.WAITING_FOR_CONFIRM:
                report.warning("bot", name, "bot_not_made")
            case _:
                report.warning("bot", name, "bot_unreachable", why=why)

    def _report_owner(self, said: Mapping[str, Any]) -> None:
        """Reports whom the bot knows, and what the operator has not said."""
        if not said:
            return
        name, report = self._account.name, self._report
        if not said.get("people"):
            report.warning("bot", name, "bot_without_people")
        if said.get("need") == OwnerNeed.BOT:
            report.warning("bot", name, "bot_not_confirmed")
        elif said.get("need") == OwnerNeed.PERSON:
            report.warning("bot", name, "bot_no_owner")

    def _report_saved(self) -> None:
        """Reports why the last bridge stopped using the bot; what is not saved there is not tried."""
        name, report = self._account.name, self._report
        saved = read_saved_bot(dict(self._account.saved_login or {}))
        if saved is not None and saved.ended is End.REFUSED:
            report.failed("bot", name, "bot_refused", why=saved.reason)
        elif saved is not None and saved.ended is End.TAKEN_OVER:
            report.failed("bot", name, "bot_use_ended", why=saved.reason)
        else:
            report.not_known("bot", name, "bot_not_tried")

    # A trial

    async def _try(self) -> None:
        """Logs the bot in once, which ends the connection of another program, and stores nothing."""
        name, report = self._account.name, self._report
        backend = self._create_backend()
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                await self._report_trial(backend)
        except LoginRefused as refusal:
            report.failed("bot", name, "bot_refused", why=refusal)
        except LoggedOut as ended:
            report.failed("bot", name, "bot_use_ended", why=ended)
        except (BackendError, StoreError) as error:
            report.failed("bot", name, "bot_unreachable", why=error)
        except TimeoutError:
            report.failed("bot", name, "bot_unreachable", why="…")
        finally:
            await backend.close()

    async def _report_trial(self, backend: Backend) -> None:
        name, report = self._account.name, self._report
        async with aclosing(backend.login(resume=True)) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    report.ok("bot", name, "bot_accepted")
                    return
                if isinstance(step, ShowQr):
                    report.warning("bot", name, "bot_not_made")
                    return

    def _create_backend(self) -> Backend:
        account = self._loaded.settings.accounts[self._account.name]
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
