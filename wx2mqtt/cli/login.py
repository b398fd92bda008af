"""`wx2mqtt login`: log in once at the terminal, and save the session for the bridge."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TextIO

from wx2mqtt.app.running import App, Surroundings, opened
from wx2mqtt.bridge.account import Account
from wx2mqtt.cli.offline import store_of
from wx2mqtt.cli.terminal import draw_qr
from wx2mqtt.errors import LoginRefused, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.service import control
from wx2mqtt.settings.load import Loaded
from wx2mqtt.wechat.gateway import AskPhone, LoggedIn, Scanned, ShowQr, Unanswered
from wx2mqtt.words import Language, say

CODES = 10  # that expire before we give up
LOOK = 0.5  # seconds between two looks at the running bridge's login
PATIENCE = 3600.0  # seconds that a person may take


async def login(loaded: Loaded, around: Surroundings, name: str | None, out: TextIO = sys.stdout) -> None:
    """Log `name` in, or the first account; raises `Wx2MqttError` when it did not work."""
    try:
        await _through_bridge(loaded, around, name, out)
    except control.NotRunning:
        async with opened(loaded, around, broker=False) as app:
            await _by_ourselves(app, name, out, loaded.settings.language)


async def _through_bridge(loaded: Loaded, around: Surroundings, name: str | None, out: TextIO) -> None:
    folder = store_of(loaded, around.env)
    fields: dict[str, Json] = {} if name is None else {"account": name}
    shown: Json = await control.ask(folder, "login", fields)
    url = reason = ""
    async with asyncio.timeout(PATIENCE):
        while isinstance(shown, dict):
            if shown["url"] and shown["url"] != url:
                url = str(shown["url"])
                draw_qr(url, out)
            if shown["reason"] != reason:
                reason = str(shown["reason"])
                print(reason, file=out, flush=True)
            if shown["state"] in ("online", "refused"):
                break
            await asyncio.sleep(LOOK)
            shown = await control.ask(folder, "login.state", fields)
    if isinstance(shown, dict) and shown["state"] == "refused":
        raise LoginRefused(reason)


async def _by_ourselves(app: App, name: str | None, out: TextIO, language: Language) -> None:
    account = app.account(name)
    codes = 0
    async with aclosing(account.gateway.login(resume=True)) as steps:
        async for step in steps:
            match step:
                case ShowQr(url=url):
                    codes += 1
                    if codes > CODES:
                        raise Wx2MqttError(f"{CODES} QR codes expired; run 'wx2mqtt login' again.")
                    draw_qr(url, out)
                    print(say(language, "scan"), file=out, flush=True)
                case AskPhone():
                    print(say(language, "ask_phone"), file=out, flush=True)
                case Scanned():
                    print(say(language, "confirm"), file=out, flush=True)
                case Unanswered(why=why):
                    print(say(language, "interrupted", why=why), file=out, flush=True)
                case LoggedIn():
                    await _keep(account, step)
                    print(say(language, "online", name=step.owner.nickname), file=out, flush=True)


async def _keep(account: Account, step: LoggedIn) -> None:
    """The backend has saved the session; the journal must know where receiving begins."""
    account.session.must_be_expected(step.owner)
    if not step.resumed:
        await account.journal.set_cursor(step.login_id, step.cursor)
