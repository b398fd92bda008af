"""Logins as a test scripts them, and what the bridge says of each."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import MemoryBackend
from wx2mqtt.wechat.backend import ShowQr


def qr_code(number: int) -> ShowQr:
    return ShowQr(url=f"https://login.weixin.qq.com/l/{number}", lifetime=300.0)


QR_CODE = qr_code(0)


def states(bridge: BridgedAccount) -> list[tuple[str, str]]:
    """Returns the published states with what a person must do, in order, without `starting`, each once for as long as it
    lasted.
    """
    pairs = [(body["state"], body["needs"]) for body in bridge.published("wx/login/state")]
    return [pair for pair, _ in groupby(pair for pair in pairs if pair[0] != "starting")]


def state_names(bridge: BridgedAccount) -> list[str]:
    return [name for name, _ in groupby(name for name, _ in states(bridge))]


def shown_codes(bridge: BridgedAccount) -> list[str]:
    """Returns the codes that were shown; an empty one says that none is shown any more."""
    urls = [url.decode() for url in bridge.published("wx/login/url")]
    return [url for url, _ in groupby(urls)]


async def started(open_bridge: Any, *logins: list[Any], seconds: float = 1.0, **more: Any) -> BridgedAccount:
    """Returns a bridge whose logins have these steps, after so many seconds."""
    backend = more.pop("backend", None) or MemoryBackend()
    backend.logins.extend(logins)
    bridge: BridgedAccount = await open_bridge(backend, start=False, **more)
    await bridge.start(online=False)
    await pass_watched(bridge, seconds)
    return bridge


async def pass_watched(bridge: BridgedAccount, seconds: float) -> None:
    """Lets time pass; the watchdog must find nothing that is stuck."""
    left = seconds
    while left > 0:
        await bridge.pass_time(min(left, 50.0))
        left -= 50.0
        assert bridge.account.ctx.shared.watchdog.overdue() == ()
