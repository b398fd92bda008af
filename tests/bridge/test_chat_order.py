"""Each chat keeps the order of its commands, whatever happens to them, and waits for no other chat."""

from __future__ import annotations

import asyncio

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import MOM, WIFE, MemoryBackend
from wx2mqtt.bridge.commands import waiting_commands
from wx2mqtt.errors import LoggedOut, OutcomeUnknown, Unreachable
from wx2mqtt.model import ChatKind, Contact, Handle

PINS = {"老婆": {"remark": "老婆"}, "妈妈": {"remark": "妈妈"}}
FRIENDS = [
    Contact(handle=Handle(f"@friend{n}"), kind=ChatKind.FRIEND, nickname=f"friend{n}", remark=f"friend{n}")
    for n in range(30)
]


def sent_to(bridge: BridgedAccount, contact: Contact) -> list[str]:
    """Returns the texts that were sent to a person, each once."""
    return [*dict.fromkeys(text for chat, text in bridge.backend.texts if chat == contact.handle)]


def deliver_numbers(bridge: BridgedAccount, numbers: range, *users: str) -> None:
    for number in numbers:
        bridge.deliver(f"wx/out/{users[number % len(users)]}", f"{number}")


async def test_a_chat_keeps_its_order_while_its_first_has_trouble(bridge: BridgedAccount):
    bridge.backend.outcomes += [*[Unreachable()] * 3, OutcomeUnknown()]
    deliver_numbers(bridge, range(5), "老婆")
    await bridge.wait_until(lambda: len(bridge.published("wx/result/老婆")) == 5)
    assert [text for _, text in bridge.backend.texts] == ["0"] * 5 + ["1", "2", "3", "4"]


async def test_a_stuck_chat_with_more_commands_than_fit_into_memory_holds_up_no_other(bridge: BridgedAccount):
    bridge.backend.slow_chats[WIFE.handle] = 9999
    deliver_numbers(bridge, range(1200), "老婆")
    assert (await bridge.send("妈妈", "x"))["status"] == "sent"
    bridge.backend.slow_chats[MOM.handle] = 9999
    bridge.deliver("wx/out/妈妈", "y")
    await bridge.wait_until(lambda: "y" in sent_to(bridge, MOM))
    await bridge.kill()
    del bridge.backend.slow_chats[MOM.handle]
    await bridge.restart()
    assert (await bridge.result("妈妈"))["status"] == "sent"
    assert sent_to(bridge, WIFE) == ["0"]


@pytest.mark.parametrize("contacts", [PINS, {}], ids=["accepted before the first login", "known people"])
async def test_each_chat_keeps_its_order_after_a_restart_while_more_comes(
    open_bridge: OpenBridge, contacts: dict[str, dict[str, str]]
):
    bridge = await open_bridge(start=False, contacts=contacts)
    if not contacts:
        await bridge.start()
        bridge.backend.fail(LoggedOut("over"))
        bridge.backend.log_in_after(600)
        await bridge.pass_time(1)
    else:
        bridge.backend.log_in_after(600)
        await bridge.start(online=False)
    deliver_numbers(bridge, range(500), "老婆", "妈妈")
    await bridge.wait_until(lambda: len(bridge.broker.acknowledged) == 500)
    await bridge.kill()
    bridge.backend.slow_chats[MOM.handle] = 99
    bridge.backend.logins.clear()
    await bridge.restart()
    deliver_numbers(bridge, range(500, 520), "老婆", "妈妈")
    wifes, moms = [[f"{n}" for n in range(first, 520, 2)] for first in (0, 1)]
    await bridge.wait_until(lambda: len(sent_to(bridge, WIFE)) == 260)
    assert len(sent_to(bridge, MOM)) == 1
    bridge.backend.slow_chats.clear()
    await bridge.wait_until(lambda: len(sent_to(bridge, MOM)) == 260)
    assert (sent_to(bridge, WIFE), sent_to(bridge, MOM)) == (wifes, moms)
    assert len(bridge.backend.texts) == 520


async def test_what_was_accepted_before_the_first_login_goes_before_what_came_after_it(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge(start=False, contacts=PINS, send={"per_minute": 3000, "burst": 1})
    bridge.backend.log_in_after(60)
    await bridge.start(online=False)
    deliver_numbers(bridge, range(12), "老婆")
    await bridge.wait_until(lambda: bridge.state == "online")
    deliver_numbers(bridge, range(12, 24), "老婆")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 24)
    assert sent_to(bridge, WIFE) == [f"{number}" for number in range(24)]


async def test_commands_to_many_people_who_are_not_known_yet_are_all_sent(open_bridge: OpenBridge):
    names = [friend.remark for friend in FRIENDS]
    bridge = await open_bridge(
        MemoryBackend(contacts=FRIENDS), start=False, contacts={name: {"remark": name} for name in names}
    )
    bridge.backend.log_in_after(600)
    await bridge.start(online=False)
    deliver_numbers(bridge, range(600), *names)
    await bridge.wait_until(lambda: len(bridge.broker.acknowledged) == 600)
    await bridge.kill()
    await bridge.restart()
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 600)
    for first, friend in enumerate(FRIENDS):
        assert sent_to(bridge, friend) == [f"{number}" for number in range(first, 600, 30)]


@pytest.mark.parametrize("user", ["妈妈", "老婆"], ids=["the first of its chat", "behind others"])
async def test_a_command_that_is_not_in_memory_expires_in_time(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch, user: str
):
    monkeypatch.setattr(waiting_commands, "MAX_COMMANDS_PER_CHAT", 3)
    monkeypatch.setattr(waiting_commands, "MAX_COMMANDS_IN_MEMORY", 3)
    bridge.backend.log_in_after(300)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    deliver_numbers(bridge, range(10), "老婆")
    bridge.deliver(f"wx/out/{user}", {"text": "late", "ttl": 60})
    began = asyncio.get_running_loop().time()
    result = await bridge.result(user)
    assert (result["status"], result["code"]) == ("expired", "logged_out")
    assert asyncio.get_running_loop().time() - began < 60 + waiting_commands.EXPIRY_CHECK_SECONDS + 1
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 10)
    assert sent_to(bridge, WIFE) == [f"{number}" for number in range(10)]
