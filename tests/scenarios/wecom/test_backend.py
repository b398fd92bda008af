"""Which bot a backend sends for, and how many messages a chat gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.wecom.logins import backend_at, log_in, logged_in
from tests.scenarios.wecom.sending import file_draft, text_draft
from tests.support.wecom_gateway import Gateway
from tests.support.wecom_uploads import INIT, SEND, Uploads
from wx2mqtt.errors import LoggedOut, Rejected, Unreachable
from wx2mqtt.model import MarkRead, Receipt, SendKey
from wx2mqtt.wechat.wecom.protocol.endpoints import MAX_PER_MINUTE
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials

SEND_KEY = SendKey("1")


@pytest.fixture
def uploads(gateway: Gateway) -> Uploads:
    uploads = Uploads()
    gateway.behave = uploads.behave
    return uploads


async def test_nothing_is_sent_without_a_login(gateway):
    async with backend_at(gateway) as backend:
        with pytest.raises(LoggedOut):
            await backend.send(text_draft("x"), SEND_KEY)
        await logged_in(backend)
        assert await backend.send(text_draft("x"), SEND_KEY) == Receipt(message_id=None)
        await backend.logout()
        with pytest.raises(LoggedOut):
            await backend.prepare(text_draft("x"))
    assert len(gateway.sent(SEND)) == 1


async def test_a_bot_keeps_its_uploads_and_another_one_has_none(gateway, uploads, tmp_path: Path):
    draft = file_draft(tmp_path, b"hello")
    async with backend_at(gateway) as backend:
        for _ in range(2):
            await logged_in(backend)
            await backend.send(draft, SEND_KEY)
        assert len(gateway.sent(INIT)) == 1
        backend._client.login.configured = BotCredentials(bot_id="aibOther", secret="geheim")
        await logged_in(backend)
        await backend.send(draft, SEND_KEY)
        assert len(gateway.sent(INIT)) == 2


async def test_another_bot_than_the_remembered_one_sends_nothing(gateway):
    async with backend_at(gateway) as backend:
        await log_in(backend, usable=lambda _owner: False)
        with pytest.raises(LoggedOut):
            await backend.send(text_draft("x"), SEND_KEY)
    assert not gateway.sent(SEND)


async def test_a_chat_that_is_full_gets_no_message_more(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        draft = text_draft("x")
        for _ in range(MAX_PER_MINUTE):
            assert backend.seconds_until_sendable(draft.chat) == 0
            await backend.send(draft, SEND_KEY)
        assert 50 < backend.seconds_until_sendable(draft.chat) <= 60
        with pytest.raises(Unreachable, match="30 messages a minute"):
            await backend.send(draft, SEND_KEY)
    assert len(gateway.sent(SEND)) == MAX_PER_MINUTE


async def test_a_bot_has_no_actions(gateway):
    async with backend_at(gateway) as backend:
        await logged_in(backend)
        with pytest.raises(Rejected) as refused:
            await backend.perform(MarkRead(chat=text_draft("x").chat), SEND_KEY)
        assert refused.value.code == "unsupported"
