"""Whose a bot is and who its owner is, with the bridge, a real mosquitto and the simulated gateway."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.support.broker import Mosquitto, free_port, mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import program_with, run_program
from tests.support.home import Home
from tests.support.screen import Screen
from tests.support.subscriber import Subscriber
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID, HOME_BOT_SECRET

STATE = "wx/login/state"
CONFIGURED_BOT = {"bot_id": HOME_BOT_ID, "secret": HOME_BOT_SECRET}
ME, WIFE = "WangXiaoMing", "LiLi"


class BotHome(Home):
    """A home whose account is a bot, to which people on the phones write."""

    def __init__(self, folder: Path, simulator: Simulator, broker: Mosquitto, subscriber: Subscriber) -> None:
        #: The port of the page.
        self.web = free_port()
        super().__init__(folder, simulator, broker, subscriber)

    def settings(self, account: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
        usual: dict[str, Any] = {"backend": "wecom", "contacts": {}}
        web = {"listen": f"127.0.0.1:{self.web}"}
        return super().settings({**usual, **(account or {})}, web=web, **top)

    async def start(self, **account: Any) -> dict[str, Any]:
        """Starts the bridge; returns its state once it is online."""
        self.bridge.configure(self.settings(account))
        since = self.subscriber.count
        self.bridge.start()
        if "wecom" not in account:
            await self.wait("code")
            await self.control.post("wecom/scan")
            await self.control.post("wecom/confirm")
        state = await self.body(STATE, state="online", since=since)
        await self.wait("any_online")
        return state

    async def wait(self, what: str) -> None:
        ready = await self.control.get("wecom/wait", **{"for": what, "seconds": MAX_WAIT_SECONDS})
        assert ready["ready"], what

    async def write(self, text: str, person: str = "me", *, user: str, to: str = "") -> dict[str, Any]:
        """Lets a person write to the bot; returns the message that is published on the topic of `user`.

        An earlier message of the same person may still follow, so the text is compared.
        """
        since = self.subscriber.count
        bots = (await self.control.get("wecom/state"))["bots"]
        (bot_id,) = [bot_id for bot_id, bot in bots.items() if bot["online"]]
        await self.control.post("wecom/say", **{"bot": bot_id, "from": person, "text": text, "to": to})
        return await self.body(f"wx/in/{user}", text=text, since=since)

    async def press(self, path: str, **fields: str) -> str:
        """Sends a form of the page; returns where it leads."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.post(f"http://127.0.0.1:{self.web}/accounts/home/{path}", data=fields)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])


@asynccontextmanager
async def at_bot_home(folder: Path) -> AsyncIterator[BotHome]:
    async with Simulator() as simulator:
        with mosquitto(folder / "mosquitto") as broker, Subscriber(broker.port) as subscriber:
            home = BotHome(folder, simulator, broker, subscriber)
            try:
                yield home
                assert await home.control.get("violations") == []
            except BaseException:
                print("\n".join(home.bridge.log[-80:]))  # noqa: T201 - pytest shows it with the failure
                raise
            finally:
                await home.close()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[BotHome]:
    async with at_bot_home(tmp_path) as home:
        yield home


async def test_a_configured_bot_asks_for_its_owner_and_trusts_whom_a_request_names(home: BotHome):
    state = await home.start(wecom=CONFIGURED_BOT)
    assert (state["needs"], "This is me" in state["reason"]) == ("owner", True)
    assert (await home.write("open", user=ME))["trusted"] is False
    since = home.subscriber.count
    answer = await home.send_request("owner", {"user": ME})
    assert answer["data"] == {"user": ME, "bot": HOME_BOT_ID, "confirmed": True, "trusted": True}
    assert (await home.body(STATE, since=since))["needs"] == "nothing"
    assert (await home.body("wx/event/owner_named", since=since))["user"] == ME
    assert (await home.write("open", user=ME))["trusted"] is True
    assert (await home.write("open", "wife", user=WIFE))["trusted"] is False
    refused = await home.send_request("owner", {"user": WIFE})
    assert (refused["status"], refused["code"]) == ("error", "bad_request")
    assert "new_owner" in refused["error"]


async def test_the_trust_of_the_owner_is_on_the_contacts_before_the_answer(home: BotHome):
    await home.start(wecom=CONFIGURED_BOT)
    await home.write("hello", user=ME)  # this changes the contacts, too: the next change would wait a second
    since = home.subscriber.count
    await home.send_request("owner", {"user": ME})
    (directory,) = [message for message in home.subscriber.received[since:] if message.topic == "wx/contacts"]
    assert [(person["user"], person["trusted"]) for person in directory.body["contacts"]] == [(ME, True)]


async def test_the_owner_is_kept_over_a_restart_and_a_kill(home: BotHome):
    await home.start(wecom=CONFIGURED_BOT)
    await home.write("hello", user=ME)
    await home.send_request("owner", {"user": ME})
    await home.in_thread(home.bridge.kill)
    assert (await home.start(wecom=CONFIGURED_BOT))["needs"] == "nothing"
    assert (await home.write("open", user=ME))["trusted"] is True


async def test_a_scanned_bot_is_confirmed_on_the_page_before_a_pin_or_the_file_gives_trust(home: BotHome):
    contacts = {"me": {"owner": True}, "wife": {"wecom": WIFE}}
    state = await home.start(contacts=contacts, expect={"wecom": ME})
    assert state["needs"] == "owner"
    assert (await home.write("open", user="me"))["trusted"] is False
    assert (await home.write("open", "wife", user="wife"))["trusted"] is False
    (bot_id,) = [bot for bot in (await home.control.get("wecom/state"))["bots"] if bot != HOME_BOT_ID]
    since = home.subscriber.count
    assert "said=no_owner" in await home.press("confirm-bot", bot=HOME_BOT_ID)
    assert "said=bot" in await home.press("confirm-bot", bot=bot_id)
    assert (await home.body(STATE, since=since))["needs"] == "nothing"
    assert (await home.write("open", user="me"))["trusted"] is True
    assert (await home.write("open", "wife", user="wife"))["trusted"] is True


async def test_this_is_me_on_the_page_names_the_owner(home: BotHome):
    await home.start(wecom=CONFIGURED_BOT)
    await home.write("hello", user=ME)
    async with httpx.AsyncClient() as browser:
        page = (await browser.get(f"http://127.0.0.1:{home.web}/")).text
    assert f"This is me: {ME}" in page
    assert "said=owner" in await home.press("owner", user=ME)
    assert (await home.write("open", user=ME))["trusted"] is True


async def test_a_group_is_called_by_its_digest_until_it_is_pinned_and_its_members_are_trusted_one_by_one(
    home: BotHome,
):
    await home.start(wecom=CONFIGURED_BOT, expect={"wecom": ME})
    chat = (await home.control.get("wecom/state"))["handles"]["family"]
    digest = f"group-{sha256(chat.encode()).hexdigest()[:8]}"
    message = await home.write("open", to="family", user=digest)
    assert (message["text"], message["sender"]["user"], message["trusted"]) == ("open", ME, True)
    assert (await home.write("open", "wife", to="family", user=digest))["trusted"] is False
    await home.in_thread(home.bridge.stop)
    await home.start(wecom=CONFIGURED_BOT, contacts={"family": {"wecom": chat}})
    directory = await home.send_request("contacts")
    kinds = {
        contact["user"]: (contact["kind"], contact["trusted"]) for contact in directory["data"]["contacts"]
    }
    assert kinds["family"] == ("group", False)


async def test_commands_to_people_whom_the_file_names_are_tried_and_others_are_rejected(home: BotHome):
    await home.start(wecom=CONFIGURED_BOT, contacts={"wife": {"wecom": WIFE}})
    result = await home.send_command("wife", {"text": "hello", "id": "c1"})
    assert (result["status"], result["code"]) == ("rejected", "no_chat")
    result = await home.send_command("stranger", {"text": "hello", "id": "c2"})
    assert (result["status"], result["code"]) == ("rejected", "unknown_user")
    await home.write("hello", "wife", user="wife")
    assert (await home.send_command("wife", {"text": "hello", "id": "c3"}))["status"] == "sent"


async def test_another_bot_is_refused_and_starts_without_contacts_as_a_new_owner(home: BotHome):
    await home.start()
    await home.write("hello", user=ME)
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(home.settings({"wecom": CONFIGURED_BOT}))
    since = home.subscriber.count
    home.bridge.start()
    state = await home.body(STATE, state="refused", since=since)
    assert state["needs"] == "relogin"
    assert await home.body("wx/event/other_account", since=since)
    since = home.subscriber.count
    await home.send_request("login", {"new_owner": True})
    assert (await home.body(STATE, state="online", since=since))["needs"] == "owner"
    assert (await home.send_request("contacts"))["data"]["contacts"] == []


@asynccontextmanager
async def login_screen(home: BotHome, *arguments: str) -> AsyncIterator[Screen]:
    """Runs `wx2mqtt login` at a terminal; gives its screen."""
    command = [*program_with(""), "login", "-c", str(home.bridge.config), *arguments]
    screen = Screen(command)
    await home.in_thread(screen.__enter__)
    try:
        yield screen
    finally:
        await home.in_thread(screen.__exit__, None, None, None)


async def scan_at_terminal(home: BotHome, screen: Screen) -> None:
    await home.in_thread(screen.scan)
    await home.wait("code")
    await home.control.post("wecom/scan")
    await home.control.post("wecom/confirm")


async def test_at_the_terminal_a_scanned_bot_is_confirmed_and_who_writes_is_its_owner(home: BotHome):
    home.bridge.configure(home.settings())
    async with login_screen(home) as screen:
        await scan_at_terminal(home, screen)
        await home.in_thread(screen.until, "Is it yours?")
        screen.type("y")
        await home.in_thread(screen.until, "Write to the bot in WeCom now")
        bots = (await home.control.get("wecom/state"))["bots"]
        (bot_id,) = [bot for bot in bots if bot != HOME_BOT_ID]
        await home.control.post("wecom/say", **{"bot": bot_id, "from": "wife", "text": "not me"})
        await home.in_thread(screen.until, f"{WIFE} is known to the bot")
        screen.type("n")
        await home.control.post("wecom/say", **{"bot": bot_id, "from": "me", "text": "hello"})
        await home.in_thread(screen.until, f"{ME} is known to the bot")
        screen.type("y")
        await home.in_thread(screen.until, f"{ME} is the owner")
        assert await home.in_thread(screen.wait) == 0
    since = home.subscriber.count
    home.bridge.start()
    assert (await home.body(STATE, state="online", since=since))["needs"] == "nothing"
    assert (await home.body(f"wx/in/{WIFE}"))[
        "text"
    ] == "not me"  # the message that came meanwhile is published
    await home.wait("any_online")
    assert (await home.write("open", user=ME))["trusted"] is True


async def test_at_the_terminal_beside_a_running_bridge_the_owner_is_named_too(home: BotHome):
    await home.start()
    await home.write("hello", user=ME)
    async with login_screen(home) as screen:
        await home.in_thread(screen.until, "Is it yours?")
        screen.type("y")
        await home.in_thread(screen.until, f"{ME} is known to the bot")
        screen.type("y")
        assert await home.in_thread(screen.wait) == 0
    assert (await home.write("open", user=ME))["trusted"] is True


async def test_without_a_confirmation_at_the_terminal_nobody_is_trusted(home: BotHome):
    await home.start(contacts={"me": {"wecom": ME}})
    async with login_screen(home) as screen:
        await home.in_thread(screen.until, "Is it yours?")
        screen.type("")
        await home.in_thread(screen.until, "nobody is trusted")
        assert await home.in_thread(screen.wait) == 0
    assert (await home.write("open", user="me"))["trusted"] is False


async def check_bot(home: BotHome, *arguments: str) -> list[tuple[str, str]]:
    """Returns what `check --connect` finds out about the bot."""
    command = ["check", "-c", str(home.bridge.config), "--connect", "--json", *arguments]
    done = await home.in_thread(
        run_program, command, env=dict(os.environ), folder=home.folder, timeout=MAX_WAIT_SECONDS
    )
    rows = json.loads(done.stdout)["rows"]
    return [(row["verdict"], row["found"]) for row in rows if row["check"] == "bot"]


async def subscriptions(home: BotHome) -> int:
    return int((await home.control.get("wecom/state"))["bots"][HOME_BOT_ID]["subscriptions"])


async def test_the_check_asks_the_running_bridge_and_ends_no_connection(home: BotHome):
    await home.start(wecom=CONFIGURED_BOT)
    before = await subscriptions(home)
    found = await check_bot(home, "--take-over")
    assert found == [
        ("ok", "the bridge is connected with it"),
        ("warning", "nobody has written to it yet"),
        ("warning", "it has no owner yet"),
    ]
    assert await subscriptions(home) == before


async def test_without_a_bridge_the_check_reports_the_take_over_and_logs_in_only_with_the_option(
    home: BotHome,
):
    await home.start(wecom=CONFIGURED_BOT)
    since = home.subscriber.count
    await home.control.post("wecom/takeover", bot=HOME_BOT_ID)
    await home.body(STATE, state="logged_out", since=since)
    (verdict, text), *_ = await check_bot(home)
    assert verdict == "failed"
    await home.in_thread(home.bridge.stop)
    before = await subscriptions(home)
    await home.control.post("wecom/clock", forward=600)  # so that the pause after the take-over is over
    assert await check_bot(home) == [(verdict, text)]
    assert await subscriptions(home) == before
    ((verdict, text),) = await check_bot(home, "--take-over")
    assert (verdict, text.partition(";")[0]) == ("ok", "WeCom takes its Bot ID and Secret")
    assert await subscriptions(home) == before + 1


async def test_a_wrong_secret_is_found(home: BotHome):
    home.bridge.configure(home.settings({"wecom": {**CONFIGURED_BOT, "secret": "wrong"}}))
    since = home.subscriber.count
    home.bridge.start()
    assert (await home.body(STATE, state="refused", since=since))["needs"] == "relogin"
    (verdict, text), *_ = await check_bot(home)
    assert (verdict, text.partition(":")[0]) == ("failed", "WeCom refuses it")


@pytest.mark.parametrize(
    ("point", "is_changed"), [("before:change_owner", False), ("after:change_owner", True)]
)
async def test_a_kill_around_the_commit_of_another_bot(home: BotHome, point: str, is_changed: bool):
    """Afterwards either the new bot is used and the old contacts are gone, or nothing has changed."""
    await home.start()
    await home.write("hello", user=ME)
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(home.settings({"wecom": CONFIGURED_BOT}))
    process = KillableBridge(home.bridge.config, home.folder / "lives.log")
    since = home.subscriber.count
    process.start(point)
    await home.body(STATE, state="refused", since=since)
    await home.publish("wx/bridge/request/login", {"new_owner": True})
    assert await process.reaches_point(15)
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="online" if is_changed else "refused", since=since)
    people = (await home.send_request("contacts"))["data"]["contacts"]
    assert [person["user"] for person in people] == ([] if is_changed else [ME])
