"""Logins to WeCom at a gateway: configured, by scan, refused, taken over, and what is saved."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenarios.wecom.logins import (
    SCAN_SECTION,
    SECTION,
    FakeCredentialStore,
    backend_at,
    log_in,
    logged_in,
    receive,
    texts,
)
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_gateway import answer_ok, close_socket, refusing
from wx2mqtt.clock import Clock, Lease, boot_time, rfc3339
from wx2mqtt.errors import LoggedOut, LoginEnded, LoginRefused, StoreError, Throttled, Unreachable
from wx2mqtt.model import Cursor
from wx2mqtt.wechat.backend import LoggedIn, Scanned, ShowQr
from wx2mqtt.wechat.wecom.protocol import qr_scan

CODE_URL = "https://work.weixin.qq.com/ai/qc/c?s=1"
GENERATE, QUERY = "/ai/qc/generate", "/ai/qc/query_result"
SCANNED_BOT = {"data": {"status": "success", "bot_info": {"botid": "aibS1", "secret": "gescannt"}}}


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


WITHOUT_PAUSES = Clock(sleep=no_sleep)


@pytest.fixture
def scanning(gateway, monkeypatch):
    monkeypatch.setattr(qr_scan, "POLL_SECONDS", 0.0)
    gateway.answer_json(GENERATE, {"data": {"scode": "sc", "auth_url": CODE_URL}})
    gateway.answer_json(QUERY, {"data": {"status": "wait"}}, {"data": {"status": "scaned"}}, SCANNED_BOT)
    return gateway


async def test_configured_credentials_subscribe_at_once(gateway):
    async with backend_at(gateway, credentials := FakeCredentialStore()) as backend:
        step = await logged_in(backend)
    assert (step.owner.handle, step.login_id, step.is_configured) == ("aibK1", "wecom:aibK1", True)
    assert not step.resumed
    (request,) = gateway.sent("aibot_subscribe")
    assert request["body"] == {"bot_id": "aibK1", "secret": "geheim"}
    assert "geheim" not in str(credentials.saved)


async def test_a_second_start_resumes_the_login(gateway):
    credentials = FakeCredentialStore()
    for resumed in (False, True):
        async with backend_at(gateway, credentials) as backend:
            assert (await logged_in(backend)).resumed is resumed
            assert (await backend.saved_owner()).handle == "aibK1"


async def test_a_scan_makes_the_bot_and_its_credentials_are_saved_before_they_are_used(scanning):
    credentials = FakeCredentialStore()
    async with backend_at(scanning, credentials, SCAN_SECTION) as backend:
        steps = await log_in(backend)
    assert [type(step) for step in steps] == [ShowQr, Scanned, LoggedIn]
    assert isinstance(steps[0], ShowQr)
    assert steps[0].url == CODE_URL
    assert isinstance(steps[-1], LoggedIn)
    assert (steps[-1].owner.handle, steps[-1].is_configured) == ("aibS1", False)
    assert scanning.paths[0] == f"{GENERATE}?source=wx2mqtt&plat=3"
    assert scanning.paths[1] == f"{QUERY}?scode=sc"
    assert credentials.saved["secret"] == "gescannt"
    async with backend_at(scanning, credentials, SCAN_SECTION) as backend:
        assert (await logged_in(backend)).resumed
    assert len(scanning.sent("aibot_subscribe")) == 2


async def test_after_an_expired_code_and_an_error_another_one_is_shown(scanning):
    scanning.answer_json(
        QUERY, {"errcode": 500}, {"data": {"status": "expired"}}, {"data": {"status": "failed"}}, SCANNED_BOT
    )
    async with backend_at(scanning, FakeCredentialStore(), SCAN_SECTION, clock=WITHOUT_PAUSES) as backend:
        steps = await log_in(backend)
    assert [type(step).__name__ for step in steps] == [
        *("ShowQr", "QrExpired", "ShowQr", "QrExpired", "ShowQr", "LoggedIn")
    ]


@pytest.mark.parametrize(
    "answer", [{"errcode": 42}, {}, {"data": {"scode": "s", "auth_url": "javascript:x"}}]
)
async def test_an_answer_without_a_code_is_a_temporary_failure(scanning, answer):
    scanning.answer_json(GENERATE, answer)
    async with backend_at(scanning, FakeCredentialStore(), SCAN_SECTION) as backend:
        with pytest.raises(Unreachable, match="gives no QR code"):
            await log_in(backend)


async def test_a_scan_by_a_stranger_opens_no_connection_and_keeps_the_saved_bot(scanning):
    credentials = FakeCredentialStore(
        {"backend": "wecom", "bot_id": "aibOld", "secret": "alt", "endpoint": scanning.endpoint}
    )
    async with backend_at(scanning, credentials, SCAN_SECTION) as backend:
        await log_in(backend, resume=True, usable=lambda owner: False)
        await backend.logout()
    assert scanning.sent("aibot_subscribe") == []
    assert credentials.saved["bot_id"] == "aibOld"


@pytest.mark.parametrize("errcode", [93019, 40001])
async def test_wrong_credentials_are_refused_once_and_for_all(gateway, errcode):
    gateway.behave = refusing(errcode, "aibot_subscribe", errmsg="invalid bot")
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        with pytest.raises(LoginRefused, match="invalid bot") as caught:
            await log_in(backend)
    assert caught.value.is_correctable
    gateway.behave = answer_ok
    async with backend_at(gateway, credentials) as backend:
        with pytest.raises(LoginRefused, match="invalid bot"):  # also after a restart
            await log_in(backend)
        assert len(gateway.sent("aibot_subscribe")) == 1
        assert isinstance(await logged_in(backend, resume=False), LoggedIn)  # a person asks
    async with backend_at(gateway, credentials) as backend:
        assert await logged_in(backend)


async def test_another_secret_in_the_configuration_is_tried(gateway):
    gateway.behave = refusing(93019, "aibot_subscribe")
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        with pytest.raises(LoginRefused):
            await log_in(backend)
    gateway.behave = answer_ok
    async with backend_at(gateway, credentials, {**SECTION, "secret": "neu"}) as backend:
        await logged_in(backend)
    assert gateway.sent("aibot_subscribe")[-1]["body"]["secret"] == "neu"


async def test_other_codes_are_tried_again_after_growing_pauses(gateway):
    gateway.behave = refusing(-1, "aibot_subscribe", errmsg="busy")
    pauses = []
    async with backend_at(gateway) as backend:
        for _ in range(5):
            with pytest.raises(Throttled, match="busy") as caught:
                await log_in(backend)
            pauses.append(caught.value.retry_after)
    assert pauses == [60, 300, 900, 3600, 3600]


async def test_a_gateway_that_closes_is_tried_again_after_growing_pauses(gateway):
    gateway.behave = close_socket
    pauses = []
    async with backend_at(gateway) as backend:
        for _ in range(7):
            with pytest.raises(Unreachable) as caught:
                await log_in(backend)
            pauses.append(caught.value.retry_after)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_a_take_over_ends_the_login_until_a_person_asks(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        await gateway.tell("disconnected_event")
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            with pytest.raises(LoginEnded, match="another program"):
                while True:
                    await backend.receive(Cursor(""))
        with pytest.raises(LoginEnded):
            await backend.receive(Cursor(""))
    async with backend_at(gateway, credentials) as backend:
        with pytest.raises(LoginEnded, match="another program"):  # also after a restart
            await log_in(backend)
        assert len(gateway.sent("aibot_subscribe")) == 1
        await logged_in(backend, resume=False)
    assert credentials.saved["ended"] == ""


async def test_an_instance_that_has_lost_the_account_does_not_save_a_take_over(gateway):
    credentials, lease = FakeCredentialStore(), Lease(seconds=600.0)
    lease.renew(boot_time())
    async with backend_at(gateway, credentials, clock=Clock(lease=lease)) as backend:
        await logged_in(backend)
        saves = credentials.saves
        lease.revoke()
        await gateway.tell("disconnected_event")
        with pytest.raises(Unreachable):
            await receive(backend)
        with pytest.raises(Unreachable):
            await receive(backend)
    assert (credentials.saved["ended"], credentials.saves) == ("", saves)
    assert len(gateway.sent("aibot_subscribe")) == 1


async def test_messages_before_a_take_over_are_received(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        await gateway.say(
            {"msgid": "m1", "from": {"userid": "u"}, "msgtype": "text", "text": {"content": "x"}}
        )
        await gateway.tell("disconnected_event")
        batch = await receive(backend)
        with pytest.raises(LoginEnded):
            await receive(backend, batch.cursor)
    assert texts(batch.items) == ["x"]


async def test_each_subscription_follows_a_commit_and_the_end_of_the_older_socket(gateway):
    credentials = FakeCredentialStore()
    open_sockets = []

    async def answer_subscription(socket, request):
        if request["cmd"] == "aibot_subscribe":
            open_sockets.append((len(gateway.sockets), credentials.saves))
        await answer_ok(socket, request)

    gateway.behave = answer_subscription
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        await logged_in(backend)
    assert open_sockets == [(1, 1), (1, 3)]  # the end of the first connection is stored, too


async def test_without_the_commit_nothing_is_subscribed(gateway):
    class FullCredentialStore(FakeCredentialStore):
        async def save(self, session):
            raise StoreError

    async with backend_at(gateway, FullCredentialStore()) as backend:
        with pytest.raises(StoreError):
            await log_in(backend)
    assert gateway.requests == []


async def test_a_logout_forgets_a_scanned_bot(scanning):
    credentials = FakeCredentialStore()
    async with backend_at(scanning, credentials, SCAN_SECTION) as backend:
        await logged_in(backend)
        await backend.logout()
        await scanning.until(lambda: not scanning.sockets)
        with pytest.raises(LoggedOut):
            await backend.receive(Cursor(""))
    assert credentials.saved is None


async def test_the_time_between_a_logout_and_another_scan_of_the_same_bot_is_a_gap(scanning):
    async with backend_at(scanning, FakeCredentialStore(), SCAN_SECTION, clock=WITHOUT_PAUSES) as backend:
        await log_in(backend)
        await backend.logout()
        await log_in(backend, resume=False)
        (gap,) = (await receive(backend)).items
        assert gap.name == "gap"


async def test_another_secret_makes_no_gap_of_the_time_with_a_connection(gateway):
    seconds = 1_800_000_000.0
    async with backend_at(gateway, clock=Clock(wall=lambda: seconds)) as backend:
        await logged_in(backend)
        seconds += 200
        assert backend.use_section({**SECTION, "secret": "neu"})
        await logged_in(backend)
        (gap,) = (await receive(backend)).items
    assert gap.fields["since"] == gap.fields["until"] == rfc3339(int(seconds * 1000))


async def test_a_logout_keeps_configured_credentials_for_when_a_person_asks(gateway):
    credentials = FakeCredentialStore()
    async with backend_at(gateway, credentials) as backend:
        await logged_in(backend)
        await backend.logout()
        await gateway.until(lambda: not gateway.sockets)
    async with backend_at(gateway, credentials) as backend:
        with pytest.raises(LoginEnded):
            await log_in(backend)
        await logged_in(backend, resume=False)


async def test_a_saved_login_at_another_endpoint_is_not_used(gateway):
    credentials = FakeCredentialStore(
        {"backend": "wecom", "bot_id": "aibOld", "secret": "alt", "endpoint": "http://other"}
    )
    async with backend_at(gateway, credentials, SCAN_SECTION) as backend:
        assert await backend.saved_owner() is None
