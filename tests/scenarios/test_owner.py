"""The account that a store belongs to: another one that scans gets nothing, until the owner says otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.crash.killable_bridge import KillableBridge
from tests.scenarios.login_helpers import STATE, states_since, url_after
from tests.scenarios.test_backup import wx2mqtt
from tests.scenarios.test_terminal_login import run_login_at_screen
from tests.support.broker import DURABLE
from tests.support.home import Home, at_home
from tests.support.ilink_home import ILinkHome, at_ilink_home
from tests.support.process import BridgeProcess
from tests.support.screen import Screen
from tests.support.subscriber import ReceivedMessage

OTHER_UIN = 999_888_777
OTHER_NAME = "Mallory"
EVENT = "wx/event/other_account"


class WebLogins:
    """Logs in to web WeChat as the owner or as another account."""

    backend = "webwx"
    name: str | None = OTHER_NAME

    def __init__(self, home: Home) -> None:
        self.home = home

    async def scan_as_owner(self) -> None:
        await self.home.control.wait("code")
        await self.home.control.post("scan")
        await self.home.control.post("confirm")

    async def scan_as_other(self) -> None:
        await self.home.control.wait("code")
        await self.home.control.post("scan", uin=OTHER_UIN, nickname=OTHER_NAME)
        await self.home.control.post("confirm")

    async def end_login(self) -> None:
        """Lets WeChat end the login of the owner."""
        await self.home.control.post("logout", retcode=1101)

    async def sent(self) -> list[str]:
        return [str(line["text"]) for line in await self.home.control.get("sent")]

    user = "wife"

    async def owner_writes(self) -> None:
        """Does nothing: a message can be sent without it."""

    other_id = str(OTHER_UIN)

    async def other_owner_setting(self) -> dict[str, str]:
        return {"uin": str(OTHER_UIN)}


class ILinkLogins(WebLogins):
    """Logs in to iLink as the owner `me` or as the person `wife`."""

    backend = "ilink"
    name = None
    user = "me"

    def __init__(self, home: ILinkHome) -> None:
        self.home: ILinkHome = home

    async def scan_as_owner(self) -> None:
        await self.home.scan()

    async def scan_as_other(self) -> None:
        await self.home.scan("wife")

    async def end_login(self) -> None:
        await self.home.bot.post("ilink/kill")

    async def sent(self) -> list[str]:
        return [str(line["text"]) for line in await self.home.bot.get("ilink/sent")]

    async def other_owner_setting(self) -> dict[str, str]:
        return {"ilink": (await self.home.bot.get("ilink/state"))["user_ids"]["wife"]}

    async def owner_writes(self) -> None:
        await self.home.bot.write("hello")


@pytest_asyncio.fixture(params=["webwx", "ilink"])
async def logins(
    with_mosquitto: None, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[WebLogins]:
    if request.param == "webwx":
        async with at_home(tmp_path, DURABLE) as home:
            yield WebLogins(home)
    else:
        async with at_ilink_home(tmp_path, DURABLE) as ilink_home:
            yield ILinkLogins(ilink_home)


async def wait_for_refusal(logins: WebLogins, since: int) -> dict[str, Any]:
    """Waits for the refusal of the other account, with an event that names it and has no id; returns the state."""
    home = logins.home
    state = await home.body(STATE, state="refused", since=since)
    assert state["needs"] == "relogin"
    event = await home.body(EVENT, since=since)
    assert event.get("name") == logins.name
    assert event["account"] == "home"
    published = b"".join(message.payload for message in home.subscriber.received[since:])
    assert logins.other_id.encode() not in published
    assert "online" not in await states_since(home, since)
    return state


async def ask_for_code(home: Home, fields: dict[str, Any] | str = "") -> None:
    """Asks for a login, and waits for its code: the answer may come before it, while an older code can be scanned."""
    since = home.subscriber.count
    assert (await home.send_request("login", fields))["status"] == "ok"
    await url_after(home, since)


def trusted_people(home: Home) -> dict[str, bool]:
    """Returns for everybody in the newest directory whether they are trusted."""
    return trusted_in(home.subscriber.on("wx/contacts")[-1])


def trusted_in(directory: ReceivedMessage) -> dict[str, bool]:
    return {contact["user"]: contact["trusted"] for contact in directory.body["contacts"]}


async def log_in_and_out(logins: WebLogins) -> int:
    """Logs the owner in and lets WeChat end that login; returns the count of the subscriber before the end."""
    await logins.home.log_in()
    await logins.owner_writes()
    # The directory follows the login and the first message a moment later.
    await logins.home.in_thread(
        logins.home.subscriber.wait, "wx/contacts", lambda directory: logins.user in trusted_in(directory)
    )
    since = logins.home.subscriber.count
    await logins.end_login()
    await logins.home.body(STATE, state="waiting_for_scan", since=since)
    return since


async def test_another_account_that_scans_gets_nothing(logins: WebLogins):
    home = logins.home
    since = await log_in_and_out(logins)
    waits = {"text": "for the owner's people", "id": "waits", "ttl": 600}
    await home.publish(f"wx/out/{logins.user}", waits)
    people = trusted_people(home)
    await logins.scan_as_other()
    await wait_for_refusal(logins, since)
    assert trusted_people(home) == people
    assert await logins.sent() == []

    since = home.subscriber.count
    await ask_for_code(home)
    await logins.scan_as_owner()
    await home.body(STATE, state="online", since=since)
    await logins.owner_writes()
    assert (await home.body(f"wx/result/{logins.user}", id="waits"))["status"] == "sent"
    assert await logins.sent() == ["for the owner's people"]


async def test_after_a_logout_the_owner_can_log_in_although_another_account_scanned_first(logins: WebLogins):
    home = logins.home
    await home.log_in()
    await home.send_request("logout")
    since = home.subscriber.count
    await ask_for_code(home)
    await logins.scan_as_other()
    await wait_for_refusal(logins, since)
    since = home.subscriber.count
    await ask_for_code(home)
    await logins.scan_as_owner()
    await home.body(STATE, state="online", since=since)
    await home.in_thread(home.bridge.stop)
    await home.restart()


async def test_another_account_takes_over_when_it_is_asked_for(logins: WebLogins):
    home = logins.home
    since = await log_in_and_out(logins)
    waits = {"text": "for the owner's people", "id": "waits", "ttl": 600}
    await home.publish(f"wx/out/{logins.user}", waits)
    await ask_for_code(home, {"new_owner": True})
    await logins.scan_as_other()
    await home.body(STATE, state="online", since=since)
    result = await home.body(f"wx/result/{logins.user}", id="waits")
    assert (result["status"], result["code"]) == ("failed", "other_account")
    assert await logins.sent() == []
    assert home.subscriber.on(EVENT) == []

    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="online", since=since)
    await home.send_request("logout")
    since = home.subscriber.count
    await ask_for_code(home)
    await logins.scan_as_owner()
    state = await home.body(STATE, state="refused", since=since)
    assert state["needs"] == "relogin"


async def test_a_new_owner_ends_the_login_that_stands(logins: WebLogins):
    home = logins.home
    await home.log_in()
    since = home.subscriber.count
    await ask_for_code(home, {"new_owner": True})
    await logins.scan_as_other()
    await home.body(STATE, state="online", since=since)
    assert (await home.send_request("login", {"new_owner": "yes"}))["code"] == "bad_request"
    assert (await home.send_request("login", {"new_owner": True, "code": "1"}))["code"] == "bad_request"


async def test_the_permission_for_a_new_owner_ends_with_the_next_request(logins: WebLogins):
    home = logins.home
    since = await log_in_and_out(logins)
    await ask_for_code(home, {"new_owner": True})
    await ask_for_code(home)
    await logins.scan_as_other()
    await wait_for_refusal(logins, since)


async def test_the_file_can_name_another_owner(logins: WebLogins):
    home = logins.home
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(home.settings({"expect": await logins.other_owner_setting()}))
    since = home.subscriber.count
    home.bridge.start()
    state = await home.body(STATE, state="refused", since=since) if logins.backend == "webwx" else None
    assert state is None or "expect.uin" in state["reason"]
    if state is not None:
        await ask_for_code(home)
    await logins.scan_as_other()
    await home.body(STATE, state="online", since=since)


@pytest.mark.in_folder
async def test_the_saved_login_of_an_earlier_version_names_the_owner(logins: WebLogins):
    """The same holds for a bridge that was killed after its first login, before the store knew of it."""
    home = logins.home
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    with closing(sqlite3.connect(home.bridge.store / "wx2mqtt.db")) as database, database:
        database.execute("UPDATE account SET owner = '{}'")
    await logins.end_login()
    await home.control.post("settings", push_login="args")
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="waiting_for_scan", since=since)
    await logins.scan_as_other()
    await wait_for_refusal(logins, since)


@pytest.mark.in_folder
async def test_a_kill_before_the_refusal_gives_nothing_to_another_account(logins: WebLogins):
    """Its login is saved by then: the next start must not take it for the login of the owner."""
    home = logins.home
    await log_in_and_out(logins)
    home.bridge.kill()
    await home.control.post("settings", push_login="args")
    other_folder = BridgeProcess(home.folder / "elsewhere", home.settings({"base_topic": "elsewhere"}))
    since = home.subscriber.count
    with other_folder:
        await home.body("elsewhere/login/state", state="waiting_for_scan", since=since)
        await logins.scan_as_other()
        await home.body("elsewhere/login/state", state="online", since=since)
        await home.in_thread(other_folder.stop)
    saved = other_folder.store / "sessions" / "home.json"
    (home.bridge.store / "sessions" / "home.json").write_bytes(saved.read_bytes())
    since = home.subscriber.count
    home.bridge.start()
    if logins.backend == "webwx":
        await home.body(STATE, state="refused", needs="relogin", since=since)
    else:  # iLink has no logout: the saved login of another person is left alone
        await home.body(STATE, state="waiting_for_scan", since=since)
    assert "online" not in await states_since(home, since)


@pytest.mark.parametrize("point", ["before:owner", "after:owner"])
async def test_a_kill_around_the_commit_that_remembers_the_owner(logins: WebLogins, point: str):
    home = logins.home
    process = KillableBridge(home.bridge.config, home.folder / "lives.log")
    process.start(point)
    await logins.scan_as_owner()
    assert await process.reaches_point(15)
    await home.restart()
    since = home.subscriber.count
    await logins.end_login()
    await logins.scan_as_other()
    await wait_for_refusal(logins, since)


@pytest.mark.parametrize(("point", "owned"), [("before:change_owner", False), ("after:change_owner", True)])
async def test_a_kill_around_the_commit_of_another_owner(logins: WebLogins, point: str, owned: bool):
    """After the kill either the other account is the owner and nothing is pending, or neither."""
    home = logins.home
    await log_in_and_out(logins)
    await home.in_thread(home.bridge.stop)
    await home.control.post("settings", push_login="args")
    process = KillableBridge(home.bridge.config, home.folder / "lives.log")
    since = home.subscriber.count
    process.start(point)
    await home.body(STATE, state="waiting_for_scan", since=since)
    await home.publish(f"wx/out/{logins.user}", {"text": "for the owner's people", "id": "waits", "ttl": 600})
    await ask_for_code(home, {"new_owner": True})
    await logins.scan_as_other()
    assert await process.reaches_point(15)
    since = home.subscriber.count
    home.bridge.start()
    if owned:
        await home.body(STATE, state="online", since=since)
        result = await home.body(f"wx/result/{logins.user}", id="waits")
        assert (result["status"], result["code"]) == ("failed", "other_account")
    else:
        states = ("refused",) if logins.backend == "webwx" else ("waiting_for_scan",)
        await home.body(STATE, state=states[0], since=since)
        await ask_for_code(home)
        await logins.scan_as_owner()
        await home.body(STATE, state="online", since=since)
        await logins.owner_writes()
        assert (await home.body(f"wx/result/{logins.user}", id="waits"))["status"] == "sent"


async def test_at_the_terminal_another_account_is_refused_unless_it_is_to_take_over(home: Home):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    await home.control.post("settings", push_login="args")
    await home.control.post("logout", retcode=1101)

    async def scan(screen: Screen) -> None:
        (url,) = await home.in_thread(screen.scan)
        uuid = url.rpartition("/")[2]
        await home.control.post("scan", uuid=uuid, uin=OTHER_UIN, nickname=OTHER_NAME)
        await home.control.post("confirm", uuid=uuid)

    assert await run_login_at_screen(home, scan) != 0
    assert await run_login_at_screen(home, scan, "--new-owner") == 0
    await home.restart()
    assert home.subscriber.on(STATE)[-1].body["reason"] == f"logged in as {OTHER_NAME}"


async def test_the_terminal_lets_the_running_bridge_change_the_owner(home: Home):
    await home.log_in()

    async def scan(screen: Screen) -> None:
        (url,) = await home.in_thread(screen.scan)
        uuid = url.rpartition("/")[2]
        await home.control.post("scan", uuid=uuid, uin=OTHER_UIN, nickname=OTHER_NAME)
        await home.control.post("confirm", uuid=uuid)
        await home.in_thread(screen.until, f"logged in as {OTHER_NAME}")

    assert await run_login_at_screen(home, scan, "--new-owner") == 0


@pytest.mark.in_folder
async def test_a_restored_store_has_its_owner(home: Home, tmp_path: Path):
    await home.log_in()
    assert (await wx2mqtt(home.bridge, "backup", str(tmp_path / "b")))[0] == 0
    await home.in_thread(home.bridge.stop)
    assert (await wx2mqtt(home.bridge, "restore", "--force", str(tmp_path / "b")))[0] == 0
    (home.bridge.store / "sessions" / "home.json").unlink()
    logins = WebLogins(home)
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="waiting_for_scan", since=since)
    await logins.scan_as_other()
    await wait_for_refusal(logins, since)


async def test_a_purged_account_has_no_owner_any_more(home: Home):
    account = home.settings()["accounts"]["home"]
    home.bridge.configure({**home.settings(), "accounts": {"old": {**account, "base_topic": "wx"}}})
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    home.bridge.configure({**home.settings(), "accounts": {"new": {**account, "base_topic": "new"}}})
    assert (await wx2mqtt(home.bridge, "purge", "old", "--yes"))[0] == 0
    home.bridge.configure({**home.settings(), "accounts": {"old": {**account, "base_topic": "wx"}}})
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="waiting_for_scan", since=since)
    await WebLogins(home).scan_as_other()
    state = await home.body(STATE, state="online", since=since)
    assert OTHER_NAME in state["reason"]
