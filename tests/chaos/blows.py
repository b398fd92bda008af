"""The failures of a run: each is a short story that ends when the other side is well again."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.chaos.line import Direction, Line
from tests.support.forks import run_program

if TYPE_CHECKING:
    from tests.chaos.stage import AccountStage, Stage

Blow = Callable[["Stage", random.Random], Awaitable[None]]

CUT_SECONDS = 1.5
"""A line that has not passed the fatal byte by then is cut anyway."""
COMMIT_SECONDS = 3.0
"""The same for a kill that waits for commits."""
PROGRAM_SECONDS = 30.0

WEBWX_ENDPOINTS = (
    *("synccheck",) * 4, *("webwxsync",) * 4, *("webwxsendmsg",) * 6,
    "webwxbatchgetcontact", "webwxgetcontact", "webwxstatusnotify", "webwxinit", "webwxgetmsgimg",
    "webwxcheckupload", "webwxuploadmedia", "webwxsendmsgimg",
)  # fmt: skip
ILINK_ENDPOINTS = (
    *("getupdates",) * 4, *("sendmessage",) * 4,
    "getconfig", "notifystart", "getuploadurl", "cdn_upload", "cdn_download",
)  # fmt: skip
LOGIN_ENDPOINTS = {
    "webwx": ("jslogin", "login", "webwxnewloginpage", "webwxinit", "webwxgetcontact", "webwxstatusnotify"),
    "ilink": ("get_bot_qrcode", "get_qrcode_status", "notifystart"),
}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "garbage"},
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "bad_status_line"},
    {"kind": "status", "value": 502},
    {"kind": "hang", "value": 0.3},
    {"kind": "delay", "value": 0.3},
    {"kind": "late", "value": 0.3},
    {"kind": "drip", "value": 20_000},
    {"kind": "no_length"},
    {"kind": "drop_answer"},
    {"kind": "drop_answer"},
)
CLOCK_JUMPS_MS = (-86_400_000, -3_600_000, -5_000, 5_000, 120_000, 600_000)


# the bridge


async def kill(stage: Stage, _: random.Random) -> None:
    await stage.kill()
    stage.start()


async def kill_at_commit(stage: Stage, dice: random.Random) -> None:
    """At a commit point of the store, which is where most of what can go wrong lies."""
    assert stage.bridge is not None
    stage.control.commits_until_kill = dice.randrange(1, 60)
    await stage.bridge.ended_within(COMMIT_SECONDS)
    await stage.kill()
    stage.start()


async def terminate(stage: Stage, _: random.Random) -> None:
    await stage.stop()
    stage.start()


async def freeze(stage: Stage, dice: random.Random) -> None:
    stage.signal(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.1, 1.5))
    stage.signal(signal.SIGCONT)


async def full_disk(stage: Stage, dice: random.Random) -> None:
    with stage.full_disk():
        await asyncio.sleep(dice.uniform(0.2, 1.0))


async def clock_jump(stage: Stage, dice: random.Random) -> None:
    stage.control.clock_offset_ms += dice.choice(CLOCK_JUMPS_MS)


async def reload(stage: Stage, _: random.Random) -> None:
    """A file with an error first, which changes nothing, then a good one."""
    assert stage.bridge is not None
    await stage.bridge.catches(signal.SIGHUP)
    for broken in (True, False):
        stage.configure(broken=broken)
        stage.signal(signal.SIGHUP)
        await asyncio.sleep(0.1)


async def backup(stage: Stage, dice: random.Random) -> None:
    """A backup while the bridge works, which must be one that can be restored."""
    file = stage.folder / f"backup-{dice.randrange(10**6)}.tar"
    made = await _program("backup", "-c", str(stage.config), str(file))
    config = stage.folder / "restored.yaml"
    text = stage.config.read_text().replace(str(stage.folder / "store"), str(stage.folder / file.stem))
    config.write_text(text)
    restored = await _program("restore", "-c", str(config), str(file)) if not made else "not tried"
    if made or restored:
        stage.wrong.append(f"backup: {made} {restored}")


async def _program(*arguments: str) -> str:
    """Runs a command; returns what is wrong, or nothing."""
    done = await asyncio.to_thread(run_program, arguments, env={}, timeout=PROGRAM_SECONDS)
    return f"{arguments[0]} {done.returncode}: {done.stderr!r}" if done.returncode else ""


# the broker


async def broker_restart(stage: Stage, dice: random.Random) -> None:
    """In order: it keeps all that it acknowledged."""
    await asyncio.to_thread(stage.broker.stop)
    await asyncio.sleep(dice.choice((0.0, 0.0, 0.3)))
    await asyncio.to_thread(stage.broker.start)


async def broker_kill(stage: Stage, dice: random.Random) -> None:
    """It goes back by up to a second: what it took since it last saved its state is forgotten."""
    stage.forgot = True
    await asyncio.to_thread(stage.broker.kill)
    await asyncio.sleep(dice.choice((0.0, 0.0, 0.3)))
    await asyncio.to_thread(stage.broker.start)


async def broker_forget(stage: Stage, _: random.Random) -> None:
    stage.forgot = True
    await asyncio.to_thread(stage.broker.forget)


async def broker_freeze(stage: Stage, dice: random.Random) -> None:
    stage.broker.pause()
    await asyncio.sleep(dice.uniform(0.1, 1.5))
    stage.broker.resume()


# the lines


async def _cut(line: Line, dice: random.Random) -> None:
    """At any byte in one direction; sometimes twice, so that the greeting is hit as well."""
    for _ in range(dice.choice((1, 1, 2))):
        line.cut_after(dice.choice(list(Direction)), dice.randrange(0, dice.choice((40, 400, 4000))))
        await line.was_cut(CUT_SECONDS)


async def _slow(line: Line, dice: random.Random) -> None:
    line.bytes_per_second = dice.choice((500.0, 3000.0, 20_000.0))
    await asyncio.sleep(dice.uniform(0.3, 1.0))
    line.bytes_per_second = None


def _wechat_line(stage: Stage, dice: random.Random) -> Line:
    return dice.choice(stage.phones).line


async def broker_line_cut(stage: Stage, dice: random.Random) -> None:
    await _cut(stage.broker_line, dice)


async def broker_line_slow(stage: Stage, dice: random.Random) -> None:
    await _slow(stage.broker_line, dice)


async def wechat_line_cut(stage: Stage, dice: random.Random) -> None:
    await _cut(_wechat_line(stage, dice), dice)


async def wechat_line_slow(stage: Stage, dice: random.Random) -> None:
    await _slow(_wechat_line(stage, dice), dice)


# WeChat


async def wechat_away(stage: Stage, dice: random.Random) -> None:
    """Its servers refuse every connection for a moment."""
    line = _wechat_line(stage, dice)
    line.is_down = True
    line.cut_now()
    await asyncio.sleep(dice.uniform(0.1, 0.8))
    line.is_down = False


async def wechat_fault(stage: Stage, dice: random.Random) -> None:
    """Some calls fail, each in its own way; the blow is over when they have failed."""
    account = dice.choice(stage.accounts)
    endpoints = ILINK_ENDPOINTS if account.is_bot else WEBWX_ENDPOINTS
    await _fail(account, dice, [dice.choice(endpoints) for _ in range(dice.choice((1, 1, 2, 3)))])


async def _fail(account: AccountStage, dice: random.Random, endpoints: list[str]) -> None:
    for endpoint in endpoints:
        # An answer without a body is one of iLink's ways to say yes.
        faults = [fault for fault in FAULTS if (endpoint, fault["kind"]) != ("sendmessage", "empty")]
        await account.phone.post("fault", endpoint=endpoint, **dice.choice(faults))
    await account.phone.pending_faults_met(FAULT_SECONDS)
    await account.phone.post("fault/clear")


FAULT_SECONDS = 0.8
"""A call that is not made in this time does not fail."""


async def logout(stage: Stage, dice: random.Random) -> None:
    """The login ends, and whoever scans the next code does so at once."""
    await dice.choice(stage.accounts).log_out(dice.choice((1100, 1101, 1102)))


async def failing_login(stage: Stage, dice: random.Random) -> None:
    """The same, with failures in the login that follows."""
    account = dice.choice(stage.accounts)
    await account.log_out(1101)
    await _fail(account, dice, [dice.choice(LOGIN_ENDPOINTS[account.backend])])


BLOWS: dict[str, tuple[Blow, int]] = {
    "kill": (kill, 4),
    "kill at a commit": (kill_at_commit, 5),
    "SIGTERM": (terminate, 2),
    "SIGSTOP": (freeze, 2),
    "full disk": (full_disk, 2),
    "clock jump": (clock_jump, 2),
    "reload": (reload, 1),
    "backup": (backup, 1),
    "broker restart": (broker_restart, 3),
    "broker kill": (broker_kill, 2),
    "broker forgets": (broker_forget, 1),
    "broker frozen": (broker_freeze, 2),
    "broker line cut": (broker_line_cut, 4),
    "broker line slow": (broker_line_slow, 1),
    "WeChat line cut": (wechat_line_cut, 4),
    "WeChat line slow": (wechat_line_slow, 1),
    "WeChat away": (wechat_away, 2),
    "WeChat fault": (wechat_fault, 6),
    "logout": (logout, 2),
    "failing login": (failing_login, 2),
}
"""All blows, and how often each is chosen."""
