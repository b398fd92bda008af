"""`wx2mqtt login`: log in once at the terminal, and save the session for the bridge."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import Protocol, Self, TextIO

from wx2mqtt.app.running import Surroundings, opened
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.expected import WrongAccount
from wx2mqtt.bridge.phone import asked_by
from wx2mqtt.cli.offline import store_of
from wx2mqtt.cli.terminal import draw_qr, typed_line
from wx2mqtt.errors import LoginRefused, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.service import control
from wx2mqtt.service.redaction import one_line
from wx2mqtt.settings.load import Loaded
from wx2mqtt.wechat.gateway import AskCode, AskPhone, LoggedIn, LoginStep, Scanned, ShowQr, Unanswered
from wx2mqtt.words import Language, say

CODES = 10  # that expire before we give up
LOOK = 0.5  # seconds between two looks at the running bridge's login
PATIENCE = 3600.0  # seconds that a person may take

Shown = dict[str, Json]
"""`login/state` of the running bridge, its code (`url`), and the topic where others find it (`qr_topic`)."""


class Ask(Protocol):
    """Asks the running bridge for one operation, with its fields."""

    async def __call__(self, operation: str, **fields: str) -> Shown: ...


async def login(loaded: Loaded, around: Surroundings, name: str | None, out: TextIO = sys.stdout) -> None:
    """Log `name` in, or the first account; raises `Wx2MqttError` when it did not work."""
    language = loaded.settings.language
    ask = _asking(loaded, around, name)
    try:
        before = await ask("login.state")
    except control.NotRunning:
        async with opened(loaded, around, serve=False) as app:
            await _by_ourselves(app.account(name), out, language)
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await _by_the_bridge(ask, before, out, language)
    except TimeoutError:
        raise Wx2MqttError(say(language, "nobody_came")) from None


def _asking(loaded: Loaded, around: Surroundings, name: str | None) -> Ask:
    folder = store_of(loaded, around.env)
    account: dict[str, Json] = {} if name is None else {"account": name}

    async def ask(operation: str, **fields: str) -> Shown:
        answer = await control.ask(folder, operation, {**account, **fields})
        assert isinstance(answer, dict)
        return answer

    return ask


async def _by_the_bridge(ask: Ask, before: Shown, out: TextIO, language: Language) -> None:
    """The running bridge logs in; we show what it says, but for what it said `before` it was asked."""
    await ask("login")
    last = before
    async with _Typing(ask) as typing:
        while True:
            shown = await ask("login.state")
            if shown["url"] and shown["url"] != last["url"] and not draw_qr(str(shown["url"]), out):
                _tell(out, say(language, "code_elsewhere", topic=shown["qr_topic"]))
            if shown["reason"] != last["reason"] or (shown["state"] == "online" and last is before):
                _tell(out, str(shown["reason"]))
            if shown["state"] == "online":
                return
            # These also stand for a moment where a code follows: who rests says the same twice.
            rests = shown["state"] in ("refused", "logged_out") and shown["since"] != before["since"]
            if rests and shown == last:
                raise LoginRefused(str(shown["reason"]))
            last = shown
            await typing.help(shown["needs"] == "code")
            await asyncio.sleep(LOOK)


class _Typing:
    """Reads the number that the phone shows, while it is asked for; others may type it elsewhere."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._line: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.help(wanted=False)

    async def help(self, wanted: bool) -> None:
        """Hand over what was typed; begin to read where a number is wanted, and stop where it is not."""
        line = self._line
        if line is not None and line.done():
            self._line = None
            await self._ask("login.code", code=line.result())
        elif line is not None and not wanted:
            self._line = None
            line.cancel()
        elif line is None and wanted and sys.stdin.isatty():
            self._line = asyncio.create_task(typed_line())


async def _by_ourselves(account: Account, out: TextIO, language: Language) -> None:
    codes = 0
    async with aclosing(account.gateway.login(resume=True)) as steps:
        async for step in steps:
            match step:
                case ShowQr(url=url):
                    codes += 1
                    if codes > CODES:
                        raise Wx2MqttError(say(language, "too_many_codes_here", count=CODES))
                    if not draw_qr(url, out):
                        raise Wx2MqttError(say(language, "no_terminal", topic=account.topics.login_qr))
                case LoggedIn():
                    await _keep(account, step)
            _tell(out, _sentence(step, language))
            if isinstance(step, AskCode):
                if not sys.stdin.isatty():
                    raise Wx2MqttError(say(language, "no_terminal_code"))
                account.gateway.give_code(await typed_line())


def _sentence(step: LoginStep, language: Language) -> str:
    match step:
        case ShowQr():
            return say(language, "scan")
        case AskPhone() | Scanned() | AskCode():
            return say(language, asked_by(step)[0])
        case Unanswered(why=why):
            return say(language, "interrupted", why=why)
        case LoggedIn(owner=owner) if owner.nickname:
            return say(language, "online", name=owner.nickname)
        case LoggedIn():
            return say(language, "online_unnamed")
    return ""


async def _keep(account: Account, step: LoggedIn) -> None:
    """The backend has saved the session; the journal must know where receiving begins."""
    try:
        account.rooms.session.must_be_expected(step.owner)
    except WrongAccount:
        await account.gateway.logout()
        raise
    if not step.resumed:
        await account.journal.set_cursor(step.login_id, step.cursor)


def _tell(out: TextIO, sentence: str) -> None:
    if sentence:
        print(one_line(sentence), file=out, flush=True)
