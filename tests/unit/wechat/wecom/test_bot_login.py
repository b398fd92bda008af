"""The login of a WeCom account: which bot is used, and what is saved of it."""

from __future__ import annotations

import pytest

from tests.support.backend_options import backend_options
from tests.unit.wechat.rig import ManualClock, MemoryVault
from wx2mqtt.clock import Clock, Lease
from wx2mqtt.errors import LoggedOut, LoginEnded, LoginRefused, Unreachable
from wx2mqtt.model import Handle
from wx2mqtt.wechat.wecom.bot_login import BotLogin
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials, End, SavedBot

CONFIGURED = BotCredentials(bot_id="aib1", secret="geheim")
SCANNED_BOT = SavedBot(bot_id="aib1", secret="geheim")
CONFIGURED_BOT = SavedBot(bot_id="aib1", digest=CONFIGURED.digest)


class LoginHarness:
    """A login with a manual clock, a lease that a test may end, and a credential store in memory."""

    def __init__(
        self,
        saved: SavedBot | None = None,
        *,
        configured: BotCredentials | None = None,
        endpoint: str | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.credentials = MemoryVault()
        self.credentials.content = None if saved is None else saved.to_saved()
        self.lease = Lease(10.0, self.clock.now)
        self.lease.renew(self.clock.time)
        clock = Clock(wall=self.clock.wall, monotonic=self.clock.now, lease=self.lease)
        options = backend_options(credentials=self.credentials, clock=clock, endpoint=endpoint)
        self.login = BotLogin(options, configured, lambda key, **_facts: key)

    @property
    def saved_end(self) -> object:
        return None if self.credentials.content is None else self.credentials.content["ended"]


async def test_the_saved_bot_is_loaded_and_used_only_when_it_is_said() -> None:
    harness = LoginHarness(SCANNED_BOT)
    await harness.login.load()
    assert harness.login.saved == SCANNED_BOT
    assert not harness.login.is_in_use
    with pytest.raises(LoggedOut, match="no_login"):
        _ = harness.login.bot
    harness.login.use(SCANNED_BOT)
    assert harness.login.credentials() == CONFIGURED


async def test_a_bot_of_another_endpoint_is_not_loaded() -> None:
    harness = LoginHarness(SCANNED_BOT, endpoint="http://127.0.0.1:8070")
    await harness.login.load()
    assert harness.login.saved is None


async def test_the_secret_of_the_configuration_is_used_for_its_own_bot_only() -> None:
    harness = LoginHarness(configured=CONFIGURED)
    harness.login.use(CONFIGURED_BOT)
    assert harness.login.credentials() == CONFIGURED
    harness.login.use(SavedBot(bot_id="aib2", secret="other"))
    assert harness.login.credentials() == BotCredentials(bot_id="aib2", secret="other")


@pytest.mark.parametrize(
    ("bot_id", "secret", "secret_used"),
    [("aib1", "corrected", "corrected"), ("aib1", "geheim", None), ("aib1", "", None), ("aib2", "x", None)],
)
def test_another_secret_of_the_configured_bot_replaces_the_first_one(
    bot_id: str, secret: str, secret_used: str | None
) -> None:
    login = LoginHarness(configured=CONFIGURED).login
    assert login.use_secret(bot_id, secret) is (secret_used is not None)
    assert login.configured == BotCredentials(bot_id="aib1", secret=secret_used or "geheim")
    assert not LoginHarness(SCANNED_BOT).login.use_secret(bot_id, secret), "a scan made this bot"


async def test_a_bot_of_a_scan_is_forgotten_at_the_logout_and_its_secret_with_it() -> None:
    harness = LoginHarness(SCANNED_BOT)
    await harness.login.load()
    harness.login.use(SCANNED_BOT)
    await harness.login.log_out()
    assert harness.credentials.content is None
    assert harness.login.known_bot("aib1") == SavedBot(bot_id="aib1")
    assert harness.login.known_bot("aib2") is None


async def test_a_configured_bot_is_marked_at_the_logout_and_not_used_by_itself() -> None:
    harness = LoginHarness(CONFIGURED_BOT, configured=CONFIGURED)
    await harness.login.load()
    harness.login.use(CONFIGURED_BOT)
    await harness.login.log_out()
    assert harness.saved_end == End.LOGGED_OUT
    assert harness.login.saved is not None
    with pytest.raises(LoginEnded):
        harness.login.require_usable(harness.login.saved)


async def test_the_logout_of_a_stranger_who_scanned_leaves_the_saved_login() -> None:
    harness = LoginHarness(SCANNED_BOT)
    await harness.login.load()
    harness.login.use(SavedBot(bot_id="aib2", secret="other"))
    await harness.login.log_out()
    assert harness.login.saved == SCANNED_BOT
    assert harness.credentials.content == SCANNED_BOT.to_saved()


@pytest.mark.parametrize(
    ("ended", "error"),
    [(End.REFUSED, LoginRefused), (End.TAKEN_OVER, LoginEnded), (End.LOGGED_OUT, LoginEnded)],
)
async def test_why_a_bot_has_ended_is_saved_and_raised_until_a_person_asks(
    ended: End, error: type[Exception]
) -> None:
    harness = LoginHarness(SCANNED_BOT)
    harness.login.use(SCANNED_BOT)
    harness.login.require_usable(harness.login.bot)
    await harness.login.record_end(ended, "because")
    assert harness.saved_end == ended
    with pytest.raises(error, match="because"):
        harness.login.require_usable(harness.login.bot)


async def test_an_instance_that_has_lost_its_lease_saves_nothing() -> None:
    harness = LoginHarness(SCANNED_BOT)
    harness.login.use(SCANNED_BOT)
    harness.clock.time += 11
    await harness.login.record_end(End.TAKEN_OVER, "the other instance")
    await harness.login.remember_chats([Handle("user:li")])
    with pytest.raises(Unreachable):
        await harness.login.save_uploads([1])
    assert (harness.credentials.saves, harness.saved_end) == (0, "")


async def test_a_store_that_fails_stops_an_upload_and_nothing_else() -> None:
    harness = LoginHarness(SCANNED_BOT)
    harness.login.use(SCANNED_BOT)
    harness.credentials.broken = True
    await harness.login.remember_chats([Handle("user:li")])
    assert harness.login.bot.chats == (Handle("user:li"),)
    with pytest.raises(Unreachable):
        await harness.login.save_uploads([1])


async def test_chats_that_are_known_are_not_saved_again() -> None:
    harness = LoginHarness(SCANNED_BOT)
    harness.login.use(SCANNED_BOT)
    await harness.login.remember_chats([Handle("user:li")])
    await harness.login.remember_chats([Handle("user:li")])
    assert harness.credentials.saves == 1
