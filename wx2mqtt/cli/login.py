"""`wx2mqtt login`: log in once at the terminal, and save the session for the bridge."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import Protocol, Self, TextIO

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment, open_application
from wx2mqtt.app.redaction import one_line
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.account_settings import WrongAccount
from wx2mqtt.bridge.login_state import required_of_person
from wx2mqtt.cli.operations import store_folder
from wx2mqtt.cli.terminal import draw_qr, read_line
from wx2mqtt.errors import LoginRefused, Wx2MqttError
from wx2mqtt.i18n.bridge import Language, bridge_text
from wx2mqtt.model import Json
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

MAX_QR_CODES = 10  # that expire before we give up
LOGIN_POLL_SECONDS = 0.5  # seconds between two looks at the running bridge's login
LOGIN_TIMEOUT_SECONDS = 3600.0  # seconds that a person may take

LoginReport = dict[str, Json]
"""`login/state` of the running bridge, its code (`url`), and the topic where others find it (`qr_topic`)."""


class AskBridge(Protocol):
    """Asks the running bridge for one operation, with its fields."""

    async def __call__(self, operation: str, **fields: str) -> LoginReport: ...


async def login(
    loaded: LoadedSettings, environment: RunEnvironment, name: str | None, out: TextIO = sys.stdout
) -> None:
    """Log `name` in, or the first account; raises `Wx2MqttError` when it did not work."""
    language = loaded.settings.language
    ask = _asking(loaded, environment, name)
    try:
        before = await ask("login.state")
    except control_socket.BridgeNotRunning:
        async with open_application(loaded, environment, serve=False) as app:
            await _by_ourselves(app.account_named(name), out, language)
        return
    try:
        async with asyncio.timeout(LOGIN_TIMEOUT_SECONDS):
            await _by_the_bridge(ask, before, out, language)
    except TimeoutError:
        raise Wx2MqttError(bridge_text(language, "nobody_came")) from None


def _asking(loaded: LoadedSettings, environment: RunEnvironment, name: str | None) -> AskBridge:
    folder = store_folder(loaded, environment.env)
    account: dict[str, Json] = {} if name is None else {"account": name}

    async def ask(operation: str, **fields: str) -> LoginReport:
        answer = await control_socket.ask_bridge(folder, operation, {**account, **fields})
        assert isinstance(answer, dict)
        return answer

    return ask


async def _by_the_bridge(
    ask_bridge: AskBridge, state_before: LoginReport, out: TextIO, language: Language
) -> None:
    """The running bridge logs in; we show what it says, but for what it said `before` it was asked."""
    await ask_bridge("login")
    last = state_before
    async with _CodeInput(ask_bridge) as typing:
        while True:
            shown = await ask_bridge("login.state")
            if shown["url"] and shown["url"] != last["url"] and not draw_qr(str(shown["url"]), out):
                _tell(out, bridge_text(language, "code_elsewhere", topic=shown["qr_topic"]))
            if shown["reason"] != last["reason"] or (shown["state"] == "online" and last is state_before):
                _tell(out, str(shown["reason"]))
            if shown["state"] == "online":
                return
            # These also stand for a moment where a code follows: who rests says the same twice.
            rests = shown["state"] in ("refused", "logged_out") and shown["since"] != state_before["since"]
            if rests and shown == last:
                raise LoginRefused(str(shown["reason"]))
            last = shown
            await typing.update(shown["needs"] == "code")
            await asyncio.sleep(LOGIN_POLL_SECONDS)


class _CodeInput:
    """Reads the number that the phone shows, while it is asked for; others may type it elsewhere."""

    def __init__(self, ask_bridge: AskBridge) -> None:
        self._ask_bridge = ask_bridge
        self._read_task: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.update(is_code_wanted=False)

    async def update(self, is_code_wanted: bool) -> None:
        """Hand over what was typed; begin to read where a number is wanted, and stop where it is not."""
        line = self._read_task
        if line is not None and line.done():
            self._read_task = None
            await self._ask_bridge("login.code", code=line.result())
        elif line is not None and not is_code_wanted:
            self._read_task = None
            line.cancel()
        elif line is None and is_code_wanted and sys.stdin.isatty():
            self._read_task = asyncio.create_task(read_line())


async def _by_ourselves(account: Account, out: TextIO, language: Language) -> None:
    codes = 0
    async with aclosing(account.backend.login(resume=True)) as steps:
        async for step in steps:
            match step:
                case ShowQr(url=url):
                    codes += 1
                    if codes > MAX_QR_CODES:
                        raise Wx2MqttError(bridge_text(language, "too_many_codes_here", count=MAX_QR_CODES))
                    if not draw_qr(url, out):
                        raise Wx2MqttError(
                            bridge_text(language, "no_terminal", topic=account.topics.login_qr)
                        )
                case LoggedIn():
                    await _keep(account, step)
            _tell(out, _sentence(step, language))
            if isinstance(step, CodeRequired):
                if not sys.stdin.isatty():
                    raise Wx2MqttError(bridge_text(language, "no_terminal_code"))
                account.backend.enter_verification_code(await read_line())


def _sentence(step: LoginStep, language: Language) -> str:
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


async def _keep(account: Account, step: LoggedIn) -> None:
    """The backend has saved the session; the journal must know where receiving begins."""
    try:
        account.rooms.session.require_expected(step.owner)
    except WrongAccount:
        await account.backend.logout()
        raise
    if not step.resumed:
        await account.journal.set_cursor(step.login_id, step.cursor)


def _tell(out: TextIO, sentence: str) -> None:
    if sentence:
        print(one_line(sentence), file=out, flush=True)
