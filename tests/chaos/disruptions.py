"""The disruptions of a run: each ends when the disrupted part works again."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.chaos.tcp_proxy import Direction, TcpProxy
from tests.chaos.wecom import WeComDriver
from tests.support.forks import run_program

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver
    from tests.chaos.environment import Environment

Disruption = Callable[["Environment", random.Random], Awaitable[None]]

CUT_SECONDS = 1.5
"""A connection that has not reached the byte of its cut by then is cut anyway."""
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
"""The calls of a login by scan, where the usual login needs none."""
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
"""Faults that are valid answers: iLink's success, web WeChat's refusal of an account, after which the login ends, and
its answer for a deleted file; and a voice message may have any bytes, since its size is not announced."""
CLOCK_TOLERANCE_MS = 600_000
"""The difference to WeChat's clock that the bridge tolerates."""
CLOCK_JUMPS_MS = (-86_400_000, -3_600_000, -5_000, 5_000, 120_000, 600_000)


# the bridge


async def kill(environment: Environment, _: random.Random) -> None:
    await environment.kill()
    environment.start()


async def kill_at_commit(environment: Environment, rng: random.Random) -> None:
    """Kills the bridge at a commit point of the store, where most faults would show."""
    assert environment.bridge is not None
    environment.control_block.commits_until_kill = rng.randrange(1, 60)
    await environment.bridge.ended_within(COMMIT_SECONDS)
    await environment.kill()
    environment.start()


async def terminate(environment: Environment, rng: random.Random) -> None:
    """Stops the bridge in order; sometimes its last call to iLink fails."""
    bots = [account for account in environment.accounts if account.is_bot]
    for account in bots:
        await _order_faults(account, rng, STOP_ENDPOINTS[: rng.randrange(2)])
    await environment.stop()
    for account in bots:
        await account.control.post("fault/clear")
    environment.start()


async def freeze(environment: Environment, rng: random.Random) -> None:
    environment.signal(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(0.1, 1.5))
    environment.signal(signal.SIGCONT)


async def full_disk(environment: Environment, rng: random.Random) -> None:
    with environment.full_disk():
        await asyncio.sleep(rng.uniform(0.2, 1.0))


async def clock_jump(environment: Environment, rng: random.Random) -> None:
    environment.control_block.clock_offset_ms += rng.choice(CLOCK_JUMPS_MS)
    environment.clock_moved = True
    environment.clock_was_wrong |= abs(environment.control_block.clock_offset_ms) >= CLOCK_TOLERANCE_MS


async def reload(environment: Environment, _: random.Random) -> None:
    """Reloads a file with an error, which changes nothing, and then a valid one."""
    assert environment.bridge is not None
    await environment.bridge.wait_for_handler(signal.SIGHUP)
    for broken in (True, False):
        environment.configure(broken=broken)
        environment.signal(signal.SIGHUP)
        await asyncio.sleep(0.1)


async def backup(environment: Environment, rng: random.Random) -> None:
    """Makes a backup while the bridge runs, and restores it elsewhere."""
    file = environment.folder / f"backup-{rng.randrange(10**6)}.tar"
    made = await _program("backup", "-c", str(environment.config), str(file))
    config = environment.folder / "restored.yaml"
    text = environment.config.read_text().replace(
        str(environment.folder / "store"), str(environment.folder / file.stem)
    )
    config.write_text(text)
    restored = await _program("restore", "-c", str(config), str(file)) if not made else "not tried"
    if made or restored:
        environment.problems.append(f"backup: {made} {restored}")


async def _program(*arguments: str) -> str:
    """Runs a command; returns its error, or an empty text."""
    done = await asyncio.to_thread(run_program, arguments, env={}, timeout=PROGRAM_SECONDS)
    return f"{arguments[0]} {done.returncode}: {done.stderr!r}" if done.returncode else ""


# the broker


async def broker_restart(environment: Environment, rng: random.Random) -> None:
    """Stops the broker in order, which keeps all that it acknowledged."""
    await asyncio.to_thread(environment.broker.stop)
    await asyncio.sleep(rng.choice((0.0, 0.0, 0.3)))
    await asyncio.to_thread(environment.broker.start)


async def broker_kill(environment: Environment, rng: random.Random) -> None:
    """Kills the broker, which loses what it acknowledged in up to a second before."""
    environment.broker_forgot = True
    await asyncio.to_thread(environment.broker.kill)
    await asyncio.sleep(rng.choice((0.0, 0.0, 0.3)))
    await asyncio.to_thread(environment.broker.start)


async def broker_forget(environment: Environment, _: random.Random) -> None:
    environment.broker_forgot = True
    await asyncio.to_thread(environment.broker.forget)


async def broker_freeze(environment: Environment, rng: random.Random) -> None:
    environment.broker.pause()
    await asyncio.sleep(rng.uniform(0.1, 1.5))
    environment.broker.resume()


# the network


async def _cut(line: TcpProxy, rng: random.Random) -> None:
    """Cuts at any byte in one direction, sometimes twice, so that it is also at the begin of a connection."""
    for _ in range(rng.choice((1, 1, 2))):
        line.cut_after(rng.choice(list(Direction)), rng.randrange(0, rng.choice((40, 400, 4000))))
        await line.was_cut(CUT_SECONDS)


async def _slow(line: TcpProxy, rng: random.Random) -> None:
    line.bytes_per_second = rng.choice((500.0, 3000.0, 20_000.0))
    await asyncio.sleep(rng.uniform(0.3, 1.0))
    line.bytes_per_second = None


def _wechat_proxy(environment: Environment, rng: random.Random) -> TcpProxy:
    return rng.choice(environment.controls).proxy


async def broker_line_cut(environment: Environment, rng: random.Random) -> None:
    await _cut(environment.broker_proxy, rng)


async def broker_line_slow(environment: Environment, rng: random.Random) -> None:
    await _slow(environment.broker_proxy, rng)


async def wechat_line_cut(environment: Environment, rng: random.Random) -> None:
    await _cut(_wechat_proxy(environment, rng), rng)


async def wechat_line_slow(environment: Environment, rng: random.Random) -> None:
    await _slow(_wechat_proxy(environment, rng), rng)


# WeChat


async def wechat_away(environment: Environment, rng: random.Random) -> None:
    """Lets WeChat's servers refuse every connection for a moment."""
    line = _wechat_proxy(environment, rng)
    line.is_down = True
    line.cut_now()
    await asyncio.sleep(rng.uniform(0.1, 0.8))
    line.is_down = False


async def wechat_fault(environment: Environment, rng: random.Random) -> None:
    """Lets some calls fail in different ways; returns when they have failed."""
    account = rng.choice(environment.accounts)
    chosen = [rng.choice(ENDPOINTS[account.backend]) for _ in range(rng.choice((1, 1, 2, 3)))]
    await _order_faults(account, rng, chosen)
    for endpoint in chosen:
        await environment.provoke(account, endpoint)
    await _faults_met(account)


async def _order_faults(account: AccountDriver, rng: random.Random, endpoints: Sequence[str]) -> None:
    for endpoint in endpoints:
        faults = [fault for fault in FAULTS if (endpoint, fault["kind"]) not in ANSWERS]
        await account.control.post("fault", endpoint=endpoint, **rng.choice(faults))


async def _faults_met(account: AccountDriver) -> None:
    await account.control.pending_faults_met(FAULT_SECONDS)
    await account.control.post("fault/clear")


FAULT_SECONDS = 0.8
"""A call that is not made in this time does not fail."""
FAILING_LOGIN_SECONDS = 3.0
"""The same after a connection to WeCom has ended, whose successor comes after a second or more."""
SCAN_SHARE = 0.6
LOGOUT_SECONDS = 5.0
"""The time that an automation waits for the end of a login before it requests the next one."""


async def logout(environment: Environment, rng: random.Random) -> None:
    """Lets WeChat end a login; the next code is scanned at once."""
    await rng.choice(environment.accounts).log_out(rng.choice((1100, 1101, 1102)))


async def failing_login(environment: Environment, rng: random.Random) -> None:
    """Lets WeChat end a login; calls of the next login fail."""
    account = rng.choice(environment.accounts)
    if isinstance(account, WeComDriver):
        await _failing_subscription(account, rng)
        return
    await account.log_out(1101)
    await _order_faults(account, rng, [rng.choice(LOGIN_ENDPOINTS[account.backend])])
    await _faults_met(account)


async def _failing_subscription(account: WeComDriver, rng: random.Random) -> None:
    """Ends a connection, and lets the next one fail; or logs out, and lets the scan fail."""
    is_scan = account.scanned and rng.random() < SCAN_SHARE
    endpoints = SCAN_ENDPOINTS if is_scan else LOGIN_ENDPOINTS
    await _order_faults(account, rng, [rng.choice(endpoints[account.backend])])
    if is_scan:
        await account.ask("logout", {"transaction": f"logout {rng.random()}"})
        await account.until(lambda: account.state != "online", LOGOUT_SECONDS)
        await account.ask_for_login()
    else:
        await account.end_connection()
    await account.control.pending_faults_met(FAILING_LOGIN_SECONDS)
    await account.control.post("fault/clear")


async def requested_logout(environment: Environment, rng: random.Random) -> None:
    """Ends a login by request, sometimes with a call that fails, and requests the next one."""
    account = rng.choice(environment.accounts)
    if account.backend == "webwx":
        await _order_faults(account, rng, LOGOUT_ENDPOINTS[: rng.randrange(2)])
    await account.ask("logout", {"transaction": f"logout {rng.random()}"})
    await environment.wait(lambda: account.state != "online", LOGOUT_SECONDS)
    await account.control.post("fault/clear")
    if isinstance(account, WeComDriver):
        await account.ask_for_login()
    else:
        await account.ask("login", {"transaction": f"login {rng.random()}"})


async def refused(environment: Environment, rng: random.Random) -> None:
    """Lets WeCom refuse the credentials of a bot; without a bot a login ends."""
    bots = [account for account in environment.accounts if isinstance(account, WeComDriver)]
    if bots:
        await rng.choice(bots).refuse()
    else:
        await logout(environment, rng)


async def gateway_restart(environment: Environment, rng: random.Random) -> None:
    """Restarts WeCom's gateway, which loses open uploads; without a bot WeChat is away."""
    bots = [account for account in environment.accounts if isinstance(account, WeComDriver)]
    if bots:
        await rng.choice(bots).control.post("wecom/restart")
    else:
        await wechat_away(environment, rng)


DISRUPTIONS: dict[str, tuple[Disruption, int]] = {
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
"""All disruptions, and how often each is chosen."""
