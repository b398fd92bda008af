"""The logins of an iLink account: which is in use, what is saved of them and when, and the states of chats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.backend_options import backend_options
from tests.unit.wechat.ilink.entries import BOT, ME, OTHER, TOKEN
from tests.unit.wechat.rig import ManualClock, MemoryVault
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import Handle
from wx2mqtt.wechat.ilink.bot_logins import MAX_RECORDED_OFFERS, SAVE_INTERVAL_SECONDS, BotLogins
from wx2mqtt.wechat.ilink.ilink_http import ServerClock
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow
from wx2mqtt.wechat.ilink.protocol.session import Bot

FIRST = Bot(id=BOT, token=TOKEN, user=Handle(ME), base="https://ilinkai.weixin.qq.com")
SECOND = replace(FIRST, id="2@im.bot", token="2@im.bot:x")


class LoginsHarness:
    """Logins with a manual clock, and a credential store in memory."""

    def __init__(self, credentials: MemoryVault | None = None, endpoint: str | None = None) -> None:
        self.clock = ManualClock()
        self.credentials = credentials or MemoryVault()
        clock = self.clock.as_clock()
        options = backend_options(credentials=self.credentials, clock=clock, endpoint=endpoint)
        self.logins = BotLogins(options, ServerClock(clock), lambda key, **_facts: key)

    @property
    def saved(self) -> list[dict[str, Any]]:
        assert self.credentials.content is not None
        saved: list[dict[str, Any]] = self.credentials.content["bots"]
        return saved

    def written_now(self) -> ChatWindow:
        return ChatWindow().with_message(int(self.clock.wall() * 1000), "token")


async def test_without_a_login_there_is_no_bot() -> None:
    harness = LoginsHarness()
    await harness.logins.load()
    with pytest.raises(LoggedOut, match="no_login"):
        _ = harness.logins.bot
    assert harness.logins.saved_bots() == ()


async def test_a_login_is_the_current_one_and_is_there_after_a_restart() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    await harness.logins.save_if_possible()
    assert harness.logins.is_current(FIRST.id)
    assert harness.logins.bot.made == harness.clock.as_clock().now
    restarted = LoginsHarness(harness.credentials)
    await restarted.logins.load()
    assert [bot.id for bot in restarted.logins.saved_bots()] == [FIRST.id]
    assert not restarted.logins.is_current(FIRST.id)


async def test_a_login_through_another_endpoint_is_kept_and_not_used() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    await harness.logins.save_if_possible()
    other = LoginsHarness(harness.credentials, endpoint="http://127.0.0.1:8070")
    await other.logins.load()
    assert other.logins.saved_bots() == ()
    await other.logins.mark_logged_out()
    assert [(bot["id"], bot["over"]) for bot in other.saved] == [(FIRST.id, False)]


async def test_a_logout_marks_the_login_and_keeps_it() -> None:
    harness = LoginsHarness()
    await harness.logins.load()
    harness.logins.set_current(FIRST)
    await harness.logins.mark_logged_out()
    assert [(bot["id"], bot["over"]) for bot in harness.saved] == [(FIRST.id, True)]
    with pytest.raises(LoggedOut):
        _ = harness.logins.bot


async def test_cursors_are_saved_at_most_every_few_seconds() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    await harness.logins.record_stored("C1", has_received=False)
    assert (harness.credentials.saves, harness.saved[0]["cursor"]) == (1, "C1")
    await harness.logins.record_stored("C2", has_received=False)
    assert harness.credentials.saves == 1
    harness.clock.time += SAVE_INTERVAL_SECONDS
    await harness.logins.record_stored("C3", has_received=False)
    assert (harness.credentials.saves, harness.saved[0]["cursor"]) == (2, "C3")
    harness.clock.time += SAVE_INTERVAL_SECONDS
    await harness.logins.record_stored("C3", has_received=False)
    assert harness.credentials.saves == 2  # nothing has changed


async def test_what_could_not_be_saved_is_saved_with_the_next_call() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    harness.credentials.broken = True
    await harness.logins.save_if_possible()
    assert harness.credentials.content is None
    harness.credentials.broken = False
    await harness.logins.save_if_possible()
    assert harness.saved[0]["id"] == FIRST.id


async def test_the_earlier_login_goes_once_a_renewed_one_has_received_a_message() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    await harness.logins.save_renewed(replace(SECOND, keeps_earlier=True), usable=True)
    assert [bot["id"] for bot in harness.saved] == [SECOND.id, FIRST.id]
    harness.logins.set_current(harness.logins.saved_bots()[0])
    await harness.logins.record_stored("C1", has_received=False)
    assert len(harness.saved) == 2
    harness.clock.time += SAVE_INTERVAL_SECONDS
    await harness.logins.record_stored("C1", has_received=True)
    assert [bot["id"] for bot in harness.saved] == [SECOND.id]


async def test_only_the_last_offers_of_a_renewal_are_recorded() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    for _ in range(MAX_RECORDED_OFFERS + 3):
        harness.clock.time += 1
        await harness.logins.record_offer()
    assert len(harness.logins.bot.offers) == MAX_RECORDED_OFFERS
    assert harness.logins.bot.offers[-1] == harness.clock.as_clock().now


async def test_a_message_to_an_earlier_bot_opens_no_window_at_the_next_one() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    harness.logins.store_chats({Handle(OTHER): harness.written_now()})
    assert harness.logins.reply_window(Handle(OTHER)).open
    harness.logins.set_current(replace(SECOND, user=Handle("somebody")))
    assert harness.logins.reply_window(Handle(OTHER)).reason == "new_binding"
    assert harness.logins.reply_window(Handle(ME)).reason == "never_wrote"


async def test_a_chat_that_has_not_changed_is_not_saved_again() -> None:
    harness = LoginsHarness()
    harness.logins.set_current(FIRST)
    chat = harness.written_now()
    harness.logins.store_chats({Handle(ME): chat})
    await harness.logins.save_if_possible()
    harness.logins.store_chats({Handle(ME): chat})
    await harness.logins.save_if_possible()
    assert harness.credentials.saves == 1
