"""`wx2mqtt login`: logs in at the terminal and saves the session for the bridge.

If a bridge runs on this store, it logs in itself, and `_log_in_by_bridge` shows its progress. Else
`_log_in_here` logs in, in this process.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TextIO

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment, open_application
from wx2mqtt.app.configuration import safeguards_line
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.account_owner import WrongAccount
from wx2mqtt.bridge.login import MAX_QR_CODES
from wx2mqtt.bridge.login_state import required_of_person
from wx2mqtt.cli.bot_owner import OwnerByBridge, OwnerHere, ask_about_owner
from wx2mqtt.cli.operations import ask_other_instance, enter_store
from wx2mqtt.cli.terminal import draw_qr, read_line
from wx2mqtt.errors import LoginRefused, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.names import printable
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.wechat.backend import (
    CodeRequired,
    ConfirmOnPhone,
    LoggedIn,
    LoginStep,
    PollFailing,
    Scanned,
    ShowQr,
)

LOGIN_POLL_SECONDS = 0.5  # between two questions to the running bridge for its login state
LOGIN_TIMEOUT_SECONDS = 3600.0  # in which the person must finish the login at the running bridge

# The payload of `login/state` of the running bridge, with the content of its QR code (`url`) and the topic of
# the picture (`qr_topic`).
LoginReport = dict[str, Json]


async def login(
    loaded: LoadedSettings,
    environment: RunEnvironment,
    name: str | None,
    out: TextIO = sys.stdout,
    *,
    new_owner: bool = False,
) -> None:
    """Logs the account `name` in, by default the first; raises `Wx2MqttError` if that fails.

    With `new_owner` another WeChat account may become the owner.
    """
    language = loaded.settings.language
    bridge = _RunningBridge(enter_store(loaded, environment.env), name)
    try:
        state_before = await bridge.ask("login.state")
    except control_socket.BridgeNotRunning:
        if await ask_other_instance(loaded, "health", {} if name is None else {"account": name}) is not None:
            raise Wx2MqttError(bridge_text(language, "login_elsewhere")) from None
        async with open_application(loaded, environment, serve=False) as app:
            await _log_in_here(app.operations.account_named(name), out, language, new_owner=new_owner)
    else:
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT_SECONDS):
                await _log_in_by_bridge(bridge, state_before, out, language, new_owner=new_owner)
        except TimeoutError:
            raise Wx2MqttError(bridge_text(language, "nobody_came")) from None
        await ask_about_owner(OwnerByBridge(bridge.ask), out, language)
    accounts = loaded.settings.accounts
    account = accounts.get(name or next(iter(accounts)))
    if account is not None:  # the running bridge may have an account that the file has no longer
        _print(out, safeguards_line(account, language))


class _RunningBridge:
    """The bridge that runs on this store, asked for one account."""

    def __init__(self, folder: Path, account: str | None) -> None:
        self._folder = folder
        self._account: dict[str, Json] = {} if account is None else {"account": account}

    async def ask(self, operation: str, **fields: Json) -> LoginReport:
        """Lets it do one operation, and returns its answer."""
        answer = await control_socket.ask_bridge(self._folder, operation, {**self._account, **fields})
        assert isinstance(answer, dict)
        return answer


async def _log_in_by_bridge(
    bridge: _RunningBridge, state_before: LoginReport, out: TextIO, language: Language, *, new_owner: bool
) -> None:
    """Lets the running bridge log in and prints each change of its state after `state_before`.

    Returns when it is online. Raises `LoginRefused` when the login has failed.
    """
    await bridge.ask("login", new_owner=new_owner)
    progress = _LoginProgress(state_before, new_owner=new_owner)
    async with _VerificationCodeInput(bridge) as code_input:
        while True:
            report = await bridge.ask("login.state")
            if progress.has_new_code(report) and not draw_qr(str(report["url"]), out):
                _print(out, bridge_text(language, "code_elsewhere", topic=report["qr_topic"]))
            if progress.has_news(report):
                _print(out, str(report["reason"]))
            if progress.is_online(report):
                return
            if progress.has_failed(report):
                raise LoginRefused(str(report["reason"]))
            progress.keep(report)
            await code_input.update(report["needs"] == "code")
            await asyncio.sleep(LOGIN_POLL_SECONDS)


class _LoginProgress:
    """What a report of the running bridge means, beside the report before it.

    With `new_owner` the login of the present owner ends first. While it lasts it is no success, and its end
    is no failure.
    """

    def __init__(self, before: LoginReport, *, new_owner: bool) -> None:
        self._before = before
        self._previous = before
        #: Since when the login of the present owner has lasted that is to end; None without one.
        self._old_login_since = before["since"] if new_owner and before["state"] == "online" else None
        #: A failure counts only after a QR code was shown, if the login of the present owner ends first.
        self._was_code_shown = not new_owner

    def has_new_code(self, report: LoginReport) -> bool:
        return bool(report["url"]) and report["url"] != self._previous["url"]

    def has_news(self, report: LoginReport) -> bool:
        is_first = self._previous is self._before
        # The reason may stay as it was: it is online already, or WeChat refuses the login again.
        is_settled = self.is_online(report) or report["state"] == "interrupted"
        return (is_first and is_settled) or report["reason"] != self._previous["reason"]

    def is_online(self, report: LoginReport) -> bool:
        return report["state"] == "online" and report["since"] != self._old_login_since

    def has_failed(self, report: LoginReport) -> bool:
        """Returns whether a failed state is seen twice: a QR code may follow it at once."""
        is_failed = report["state"] in ("refused", "logged_out") and report["since"] != self._before["since"]
        return is_failed and self._was_code_shown and report == self._previous

    def keep(self, report: LoginReport) -> None:
        self._previous = report
        self._was_code_shown = self._was_code_shown or bool(report["url"])


@dataclass(eq=False)
class _VerificationCodeInput:
    """Reads the verification code from the terminal while one is needed. It may be entered elsewhere, too."""

    bridge: _RunningBridge
    #: Waits for the next line that is typed; None while no code is needed.
    _read_task: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.update(is_code_required=False)

    async def update(self, is_code_required: bool) -> None:
        """Sends a code that was typed; starts to read if one is needed, and stops if none is needed."""
        read_task = self._read_task
        if read_task is not None and read_task.done():
            self._read_task = None
            await self.bridge.ask("login.code", code=read_task.result())
        elif read_task is not None and not is_code_required:
            self._read_task = None
            read_task.cancel()
        elif read_task is None and is_code_required and sys.stdin.isatty():
            self._read_task = asyncio.create_task(read_line())


async def _accept(account: Account, step: LoggedIn, *, new_owner: bool) -> None:
    """Remembers whose login it is. Logs out and raises `WrongAccount` if it is not the owner's account."""
    components = account.components
    try:
        await components.owner.accept(step.owner, new_owner=new_owner, is_configured=step.is_configured)
    except WrongAccount:
        await account.ctx.backend.logout()
        raise
    if components.bot_owner.is_named_by_operator:
        await components.session.start_receiving(step)
    elif not step.resumed:
        await account.ctx.journal.received.set_cursor(step.login_id, step.cursor)


async def _log_in_here(account: Account, out: TextIO, language: Language, *, new_owner: bool) -> None:
    """Logs in and stores the login. Raises what `_accept` raises."""
    qr_count = 0
    owner, bot_owner = account.components.owner, account.components.bot_owner
    await owner.adopt_saved_login()
    if new_owner and bot_owner.is_named_by_operator:
        await account.ctx.backend.logout()  # the bot of a scan is forgotten, so that another one can be made
    usable = partial(owner.may_resume, new_owner=new_owner)
    async with aclosing(account.ctx.backend.login(resume=not new_owner, usable=usable)) as steps:
        async for step in steps:
            match step:
                case ShowQr(url=url):
                    qr_count += 1
                    if qr_count > MAX_QR_CODES:
                        raise Wx2MqttError(bridge_text(language, "too_many_codes_here", count=MAX_QR_CODES))
                    if not draw_qr(url, out):
                        raise Wx2MqttError(
                            bridge_text(language, "no_terminal", topic=account.ctx.topics.login_qr)
                        )
                case LoggedIn():  # the backend has saved the session itself
                    await _accept(account, step, new_owner=new_owner)
            _print(out, _step_text(step, language))
            if isinstance(step, CodeRequired):
                if not sys.stdin.isatty():
                    raise Wx2MqttError(bridge_text(language, "no_terminal_code"))
                account.ctx.backend.enter_verification_code(await read_line())
    if bot_owner.need:
        await ask_about_owner(OwnerHere(account), out, language)


def _step_text(step: LoginStep, language: Language) -> str:
    """Returns the sentence for a step; empty for steps that need none."""
    match step:
        case ShowQr():
            return bridge_text(language, "scan")
        case ConfirmOnPhone() | Scanned() | CodeRequired():
            return bridge_text(language, required_of_person(step)[0])
        case PollFailing(reason=why):
            return bridge_text(language, "interrupted", why=why)
        case LoggedIn(owner=owner) if owner.nickname:
            return bridge_text(language, "online", name=owner.nickname)
        case LoggedIn():
            return bridge_text(language, "online_unnamed")
    return ""


def _print(out: TextIO, sentence: str) -> None:
    if sentence:
        print(printable(sentence), file=out, flush=True)
