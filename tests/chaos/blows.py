"""The failures of a run: each is a short story that ends when the other side is well again."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.chaos.line import Direction, Line
from tests.chaos.wecom import WeComDriver
from tests.support.forks import run_program

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver
    from tests.chaos.environment import Environment

Blow = Callable[["Environment", random.Random], Awaitable[None]]

CUT_SECONDS = 1.5
"""A line that has not passed the fatal byte by then is cut anyway."""
COMMIT_SECONDS = 3.0
"""The same for a kill that waits for commits."""
PROGRAM_SECONDS = 30.0

WEBWX_ENDPOINTS = (
    *("synccheck",) * 4, *("webwxsync",) * 4, *("webwxsendmsg",) * 6,
    "webwxbatchgetcontact", "webwxgetcontact", "webwxstatusnotify", "webwxinit",
    "webwxgetmsgimg", "webwxgetvoice", "webwxgetvideo", "webwxgetmedia", "webwxgetpubliclinkimg",
    "webwxgeticon", "webwxgetheadimg", "webwxcheckupload", "webwxuploadmedia",
    "webwxsendmsgimg", "webwxsendvideomsg", "webwxsendappmsg", "webwxsendemoticon",
    "webwxoplog", "webwxverifyuser", "webwxrevokemsg", "webwxcreatechatroom", "webwxupdatechatroom",
)  # fmt: skip
ILINK_ENDPOINTS = (
    *("getupdates",) * 4, *("sendmessage",) * 4,
    "getconfig", "sendtyping", "notifystart", "getuploadurl", "cdn_upload", "cdn_download",
)  # fmt: skip
WECOM_ENDPOINTS = (
    *("aibot_send_msg",) * 4, *("aibot_respond_msg",) * 2, *("aibot_respond_update_msg",) * 2,
    "aibot_upload_media_init", "aibot_upload_media_chunk", "aibot_upload_media_finish", "wecom_file",
)  # fmt: skip
ENDPOINTS = {"webwx": WEBWX_ENDPOINTS, "ilink": ILINK_ENDPOINTS, "wecom": WECOM_ENDPOINTS}
STOP_ENDPOINTS = ("notifystop",)
LOGOUT_ENDPOINTS = ("webwxlogout",)
LOGIN_ENDPOINTS = {
    "webwx": (
        "webwxpushloginurl",
        "jslogin",
        "login",
        "webwxnewloginpage",
        "webwxinit",
        "webwxgetcontact",
        "webwxstatusnotify",
    ),
    "ilink": ("get_bot_qrcode", "get_qrcode_status", "notifystart"),
    "wecom": ("wecom_connect", "aibot_subscribe"),
}
SCAN_ENDPOINTS = {"wecom": ("qc_generate", "qc_query_result")}
"""Of a login by scan, where the usual one needs none."""
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
ANSWERS = {
    ("sendmessage", "empty"),
    ("webwxnewloginpage", "html"),
    *((name, "html") for name in ("webwxgetmsgimg", "webwxgetvoice", "webwxgetvideo", "webwxgetmedia")),
    ("webwxgetvoice", "garbage"),
}
"""No failures: one of iLink's ways to say yes, web WeChat's refusal of an account, after which the login rests, and
its way to say that a file is gone; and a voice message may be any bytes, since its size is not announced."""
CLOCK_TOLERANCE_MS = 600_000
"""So far the clock of the bridge may be from WeChat's."""
CLOCK_JUMPS_MS = (-86_400_000, -3_600_000, -5_000, 5_000, 120_000, 600_000)


# the bridge


async def kill(environment: Environment, _: random.Random) -> None:
    await environment.kill()
    environment.start()


async def kill_at_commit(environment: Environment, dice: random.Random) -> None:
    """At a commit point of the store, which is where most of what can go wrong lies."""
    assert environment.bridge is not None
    environment.control_block.commits_until_kill = dice.randrange(1, 60)
    await environment.bridge.ended_within(COMMIT_SECONDS)
    await environment.kill()
    environment.start()


async def terminate(environment: Environment, dice: random.Random) -> None:
    """An orderly stop, in which the last call to iLink fails sometimes."""
    bots = [account for account in environment.accounts if account.is_bot]
    for account in bots:
        await _order_faults(account, dice, STOP_ENDPOINTS[: dice.randrange(2)])
    await environment.stop()
    for account in bots:
        await account.control.post("fault/clear")
    environment.start()


async def freeze(environment: Environment, dice: random.Random) -> None:
    environment.signal(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.1, 1.5))
    environment.signal(signal.SIGCONT)


async def full_disk(environment: Environment, dice: random.Random) -> None:
    with environment.full_disk():
        await asyncio.sleep(dice.uniform(0.2, 1.0))


async def clock_jump(environment: Environment, dice: random.Random) -> None:
    environment.control_block.clock_offset_ms += dice.choice(CLOCK_JUMPS_MS)
    environment.clock_moved = True
    environment.clock_was_wrong |= abs(environment.control_block.clock_offset_ms) >= CLOCK_TOLERANCE_MS


async def reload(environment: Environment, _: random.Random) -> None:
    """A file with an error first, which changes nothing, then a good one."""
    assert environment.bridge is not None
    await environment.bridge.catches(signal.SIGHUP)
    for broken in (True, False):
        environment.configure(broken=broken)
        environment.signal(signal.SIGHUP)
        await asyncio.sleep(0.1)


async def backup(environment: Environment, dice: random.Random) -> None:
    """A backup while the bridge works, which must be one that can be restored."""
    file = environment.folder / f"backup-{dice.randrange(10**6)}.tar"
    made = await _program("backup", "-c", str(environment.config), str(file))
    config = environment.folder / "restored.yaml"
    text = environment.config.read_text().replace(
        str(environment.folder / "store"), str(environment.folder / file.stem)
    )
    config.write_text(text)
    restored = await _program("restore", "-c", str(config), str(file)) if not made else "not tried"
    if made or restored:
        environment.wrong.append(f"backup: {made} {restored}")


async def _program(*arguments: str) -> str:
    """Runs a command; returns what is wrong, or nothing."""
    done = await asyncio.to_thread(run_program, arguments, env={}, timeout=PROGRAM_SECONDS)
    return f"{arguments[0]} {done.returncode}: {done.stderr!r}" if done.returncode else ""


# the broker


async def broker_restart(environment: Environment, dice: random.Random) -> None:
    """In order: it keeps all that it acknowledged."""
    await asyncio.to_thread(environment.broker.stop)
    await asyncio.sleep(dice.choice((0.0, 0.0, 0.3)))
    await asyncio.to_thread(environment.broker.start)


async def broker_kill(environment: Environment, dice: random.Random) -> None:
    """It goes back by up to a second: what it took since it last saved its state is forgotten."""
    environment.forgot = True
    await asyncio.to_thread(environment.broker.kill)
    await asyncio.sleep(dice.choice((0.0, 0.0, 0.3)))
    await asyncio.to_thread(environment.broker.start)


async def broker_forget(environment: Environment, _: random.Random) -> None:
    environment.forgot = True
    await asyncio.to_thread(environment.broker.forget)


async def broker_freeze(environment: Environment, dice: random.Random) -> None:
    environment.broker.pause()
    await asyncio.sleep(dice.uniform(0.1, 1.5))
    environment.broker.resume()


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


def _wechat_line(environment: Environment, dice: random.Random) -> Line:
    return dice.choice(environment.controls).line


async def broker_line_cut(environment: Environment, dice: random.Random) -> None:
    await _cut(environment.broker_line, dice)


async def broker_line_slow(environment: Environment, dice: random.Random) -> None:
    await _slow(environment.broker_line, dice)


async def wechat_line_cut(environment: Environment, dice: random.Random) -> None:
    await _cut(_wechat_line(environment, dice), dice)


async def wechat_line_slow(environment: Environment, dice: random.Random) -> None:
    await _slow(_wechat_line(environment, dice), dice)


# WeChat


async def wechat_away(environment: Environment, dice: random.Random) -> None:
    """Its servers refuse every connection for a moment."""
    line = _wechat_line(environment, dice)
    line.is_down = True
    line.cut_now()
    await asyncio.sleep(dice.uniform(0.1, 0.8))
    line.is_down = False


async def wechat_fault(environment: Environment, dice: random.Random) -> None:
    """Some calls fail, each in its own way; the blow is over when they have failed."""
    account = dice.choice(environment.accounts)
    chosen = [dice.choice(ENDPOINTS[account.backend]) for _ in range(dice.choice((1, 1, 2, 3)))]
    await _order_faults(account, dice, chosen)
    for endpoint in chosen:
        await environment.provoke(account, endpoint)
    await _faults_met(account)


async def _order_faults(account: AccountDriver, dice: random.Random, endpoints: Sequence[str]) -> None:
    for endpoint in endpoints:
        faults = [fault for fault in FAULTS if (endpoint, fault["kind"]) not in ANSWERS]
        await account.control.post("fault", endpoint=endpoint, **dice.choice(faults))


async def _faults_met(account: AccountDriver) -> None:
    await account.control.pending_faults_met(FAULT_SECONDS)
    await account.control.post("fault/clear")


FAULT_SECONDS = 0.8
"""A call that is not made in this time does not fail."""
FAILING_LOGIN_SECONDS = 3.0
"""The same after a connection to WeCom has ended, whose successor comes after a second or more."""
SCAN_SHARE = 0.6
LOGOUT_SECONDS = 5.0
"""So long an automation waits for the end of a login before it asks for the next one."""


async def logout(environment: Environment, dice: random.Random) -> None:
    """The login ends, and whoever scans the next code does so at once."""
    await dice.choice(environment.accounts).log_out(dice.choice((1100, 1101, 1102)))


async def failing_login(environment: Environment, dice: random.Random) -> None:
    """The same, with failures in the login that follows."""
    account = dice.choice(environment.accounts)
    if isinstance(account, WeComDriver):
        await _failing_subscription(account, dice)
        return
    await account.log_out(1101)
    await _order_faults(account, dice, [dice.choice(LOGIN_ENDPOINTS[account.backend])])
    await _faults_met(account)


async def _failing_subscription(account: WeComDriver, dice: random.Random) -> None:
    """A connection ends, and its successor fails; or somebody logs out, and the scan fails."""
    is_scan = account.scanned and dice.random() < SCAN_SHARE
    endpoints = SCAN_ENDPOINTS if is_scan else LOGIN_ENDPOINTS
    await _order_faults(account, dice, [dice.choice(endpoints[account.backend])])
    if is_scan:
        await account.ask("logout", {"transaction": f"logout {dice.random()}"})
        await account.until(lambda: account.state != "online", LOGOUT_SECONDS)
        await account.ask_for_login()
    else:
        await account.end_connection()
    await account.control.pending_faults_met(FAILING_LOGIN_SECONDS)
    await account.control.post("fault/clear")


async def requested_logout(environment: Environment, dice: random.Random) -> None:
    """An automation ends the login, sometimes with a call that fails, and asks for the next one."""
    account = dice.choice(environment.accounts)
    if account.backend == "webwx":
        await _order_faults(account, dice, LOGOUT_ENDPOINTS[: dice.randrange(2)])
    await account.ask("logout", {"transaction": f"logout {dice.random()}"})
    await environment.wait(lambda: account.state != "online", LOGOUT_SECONDS)
    await account.control.post("fault/clear")
    if isinstance(account, WeComDriver):
        await account.ask_for_login()
    else:
        await account.ask("login", {"transaction": f"login {dice.random()}"})


async def refused(environment: Environment, dice: random.Random) -> None:
    """WeCom refuses the credentials of a bot; where there is none, a login ends."""
    bots = [account for account in environment.accounts if isinstance(account, WeComDriver)]
    if bots:
        await dice.choice(bots).refuse()
    else:
        await logout(environment, dice)


async def gateway_restart(environment: Environment, dice: random.Random) -> None:
    """WeCom's gateway starts again, and forgets what was being uploaded; where there is no bot, WeChat is away."""
    bots = [account for account in environment.accounts if isinstance(account, WeComDriver)]
    if bots:
        await dice.choice(bots).control.post("wecom/restart")
    else:
        await wechat_away(environment, dice)


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
    "requested logout": (requested_logout, 1),
    "credentials refused": (refused, 1),
    "gateway restart": (gateway_restart, 1),
}
"""All blows, and how often each is chosen."""
