"""One account lives on its own: a reload counts at once, a fault ends it in order, and a loop that hangs is noticed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE
from wx2mqtt.bridge.account import DRAIN_TIMEOUT_SECONDS, AccountFailed, AccountTasks, TasksStalled
from wx2mqtt.bridge.context import Watchdog
from wx2mqtt.mqtt.broker import Disconnected


async def test_a_reload_counts_at_once_for_every_component(bridge: BridgedAccount):
    """There is one settings object, and no component keeps a copy of a value in it."""
    await bridge.reload(
        language="zh",
        send={"allow": ["妈妈"], "per_minute": 7, "burst": 3},
        fallback={"after": 5, "urls": ["mailto://a@example.org"]},
        receive={"deny": ["老婆"]},
    )
    assert (await bridge.send("老婆", "hi"))["code"] == "not_allowed"
    bridge.backend.write(WIFE)
    await bridge.pass_time(1)
    assert bridge.sent("wx/in/老婆") == []
    sender = bridge.account.components.sender
    assert (sender.fallback.after_seconds, sender.limits.bucket.per_minute, sender.limits.bucket.burst) == (
        5,
        7,
        3,
    )
    assert bridge.backend.languages == ["en", "zh"], "the backend kept the language of the start once"
    await bridge.stop()
    assert bridge.last("wx/login/state")["reason"] == "桥接程序已停止"


async def test_what_the_process_is_told_of_an_account(bridge: BridgedAccount):
    reported: list[tuple[str, str, str]] = []
    shared = bridge.account.ctx.shared
    shared.login_reported.connect(lambda name, login, url: reported.append((name, str(login.state), url)))
    changes = shared.changes.count
    for code in ("unreachable", "lost", "unreachable", "lost"):
        bridge.account.on_disconnected(Disconnected(reason="because", retry_in=1.0, code=code))
    assert bridge.account.counters.disconnects == 2, "no failed attempt"
    assert (await bridge.account.health())["broker"]["reason"] == "because"  # type: ignore[index, call-overload]
    await bridge.stop()
    assert reported == [("home", "stopped", "")]
    assert shared.changes.count > changes


async def test_a_lost_session_is_told(bridge: BridgedAccount):
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    await bridge.pass_time(1)
    assert bridge.published("wx/event/session_lost") == []
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=False)
    assert (await bridge.event("session_lost"))["broker"] == "mqtt://memory"
    assert bridge.account.counters.sessions_lost == 1


# The end


async def fail(bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a component meet a bug at its next work."""

    def raise_bug() -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(bridge.account.components.reporter, "publish_directory", raise_bug)
    bridge.account.components.reporter.directory_changed.set()


async def test_an_account_that_fails_stops_itself_and_says_so(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    await fail(bridge, monkeypatch)
    with pytest.raises(AccountFailed) as failure:
        await bridge.wait_until_failed()
    assert isinstance(failure.value.__cause__, ValueError)
    assert (bridge.last("wx/login/state")["state"], bridge.sent("wx/bridge/state")[-1].payload) == (
        "stopped", b"offline",
    )  # fmt: skip
    counters = bridge.account.counters
    assert (counters.failed, counters.faults, bridge.account.connect_attempted.is_set()) == (True, 1, True)
    assert not bridge.last("wx/bridge/health")["healthy"]
    assert bridge.account.ctx.shared.watchdog.overdue("home") == ()
    await bridge.pass_time(20)
    assert bridge.account.ctx.shared.watchdog.overdue("home") == ("end:home",)


async def test_a_failure_during_a_stop_leaves_the_stop_to_the_process(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    """The end of `run` would cancel the tasks whose work the stop still waits for."""
    bridge.broker.holds_pubacks = True
    stopping = asyncio.create_task(bridge.account.stop())
    await bridge.pass_time(0.1)
    await fail(bridge, monkeypatch)
    await stopping
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DRAIN_TIMEOUT_SECONDS * 10):
            await bridge.wait_until_failed()
    assert bridge.account.counters.faults == 1
    assert bridge.last("wx/login/state")["state"] == "stopped"


async def test_an_account_of_another_process_publishes_nothing_more(bridge: BridgedAccount):
    sent = len(bridge.broker.sent)
    bridge.account.abort()
    await bridge.account.stop()
    await bridge.kill()
    assert (len(bridge.broker.sent), bridge.broker.is_aborted) == (sent, True)


async def test_a_loop_that_makes_no_progress_ends_the_account_and_one_of_the_store_does_not(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge()
    watchdog = bridge.account.ctx.shared.watchdog
    watchdog.heartbeat("store:home", 1)  # which another life would not move either
    watchdog.heartbeat("receive:other", 1)
    bridge.skip_time(3600)  # the whole process stood still: its loops could not move
    await bridge.pass_time(60)
    assert bridge.state == "online"
    watchdog.heartbeat("stuck:home", 90)
    await bridge.pass_time(80)
    assert bridge.state == "online"
    with pytest.raises(AccountFailed) as failure:
        await bridge.wait_until_failed()
    assert isinstance(failure.value.__cause__, TasksStalled)
    assert str(failure.value.__cause__) == "stuck:home"


async def test_the_tasks_of_an_account_end_together_and_only_an_error_is_a_fault():
    async def fail_in_a_group(error: Exception) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(raise_error(error))
            group.create_task(run_for_ever())

    async def raise_error(error: Exception) -> None:
        await asyncio.sleep(10)
        raise error

    async def run_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            ended.append(True)

    ended: list[bool] = []
    tasks = AccountTasks(Watchdog(asyncio.get_running_loop().time), "home")
    tasks.start(asyncio.sleep(0))
    tasks.start(asyncio.sleep(100)).cancel()
    other: Any = tasks.start(run_for_ever())
    fault = ValueError("ours")
    tasks.start(fail_in_a_group(fault))
    assert await tasks.wait_for_fault() is fault
    assert (asyncio.get_running_loop().time(), other.done()) == (11, False)
    await tasks.cancel_all()
    assert (other.cancelled(), ended) == (True, [True, True])
    await tasks.cancel_all()
