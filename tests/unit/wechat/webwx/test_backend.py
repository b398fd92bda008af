"""Sending, logout, and the meaning of each answer to a text (webwx 2.12, 2.20)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.wechat.webwx.entries import FAMILY, WIFE
from tests.unit.wechat.webwx.server import BackendHarness, answer, body, check, name_of, query, synced, text
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import Cursor, Draft, Kind, Receipt, SendKey
from wx2mqtt.wechat.backend import Backend
from wx2mqtt.wechat.webwx.backend import WebWxBackend

KEY = SendKey("17000000000001234")
DRAFT = Draft(chat=WIFE, kind=Kind.TEXT, text="好的 ☀")


def test_it_fits_the_seam() -> None:
    def fits(_gateway: Backend) -> None: ...

    fits(BackendHarness().backend)
    assert WebWxBackend.capabilities.handles_change_at_login
    assert WebWxBackend.capabilities.text_limit > 0


async def test_a_text_is_taken(harness: BackendHarness, cursor: Cursor) -> None:
    assert await harness.backend.send(DRAFT, KEY) == Receipt(message_id="5")
    sent = body(harness.server.asked("webwxsendmsg")[0])
    assert (sent["Msg"]["LocalID"], sent["Msg"]["ClientMsgId"]) == (KEY, KEY)
    assert (sent["Msg"]["Content"], sent["Msg"]["ToUserName"]) == ("好的 ☀", WIFE)
    assert "好的 ☀".encode() in harness.server.asked("webwxsendmsg")[0].content


async def test_ids_are_text_and_may_be_missing(harness: BackendHarness, cursor: Cursor) -> None:
    harness.server.put("webwxsendmsg", answer(MsgID=7615282929538795099), answer())
    assert (await harness.backend.send(DRAFT, KEY)).message_id == "7615282929538795099"
    assert (await harness.backend.send(DRAFT, KEY)).message_id == ""


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (answer(1204), Rejected),
        (answer(1), Rejected),
        (answer(-2), Rejected),
        (answer(-1), Unreachable),
        (answer(3), Unreachable),
        (answer(1205), Throttled),
        (answer(1100), LoggedOut),
        (answer(1101), LoggedOut),
        (answer(1102), LoggedOut),
        (answer(1103), LoggedOut),
        (text("", 503), Unreachable),
        (text("", 404), Unreachable),
        (text("<html>ok</html>"), OutcomeUnknown),
        (text(""), OutcomeUnknown),
        (text('{"BaseResponse": {"Ret"'), OutcomeUnknown),
        (text('{"MsgID": "5"}'), OutcomeUnknown),
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ReadTimeout("x"), OutcomeUnknown),
        (httpx.ReadError("x"), OutcomeUnknown),
        (httpx.RemoteProtocolError("x"), OutcomeUnknown),
    ],
)
async def test_what_an_answer_means(
    harness: BackendHarness, cursor: Cursor, answered: httpx.Response | Exception, error: type[BackendError]
) -> None:
    harness.server.put("webwxsendmsg", answered)
    with pytest.raises(BackendError) as failure:
        await harness.backend.send(DRAFT, KEY)
    assert type(failure.value).__mro__[:3].count(error) == 1
    assert len(harness.server.asked("webwxsendmsg")) == 1


async def test_a_refusal_says_the_number_and_the_servers_words(
    harness: BackendHarness, cursor: Cursor
) -> None:
    harness.server.put("webwxsendmsg", text('{"BaseResponse": {"Ret": 1207, "ErrMsg": "too <b>loud</b>"}}'))
    with pytest.raises(Rejected, match=r"\(1207\): too loud"):
        await harness.backend.send(DRAFT, KEY)
    harness.server.put("webwxsendmsg", answer(1207))
    with pytest.raises(Rejected, match=r"\(1207\)$") as refused:
        await harness.backend.send(DRAFT, KEY)
    assert refused.value.code == "refused_by_wechat"


async def test_too_often_asks_for_ever_longer_pauses_until_one_is_taken(
    harness: BackendHarness, cursor: Cursor
) -> None:
    pauses = []
    for answered in (answer(1205), answer(1205), answer(1205), answer(MsgID="1"), answer(1205)):
        harness.server.put("webwxsendmsg", answered)
        try:
            await harness.backend.send(DRAFT, KEY)
        except Throttled as slow:
            pauses.append(slow.retry_after)
    assert pauses == [60.0, 120.0, 240.0, 60.0]


async def test_what_cannot_be_sent_is_not_tried(harness: BackendHarness, cursor: Cursor) -> None:
    with pytest.raises(Rejected) as kind:
        await harness.backend.send(Draft(chat=FAMILY, kind=Kind.IMAGE), KEY)
    assert kind.value.code == "unsupported"
    with pytest.raises(Rejected) as characters:
        await harness.backend.send(Draft(chat=FAMILY, kind=Kind.TEXT, text="\udc00"), KEY)
    assert characters.value.code == "bad_command"
    assert harness.server.asked("webwxsendmsg") == []


async def test_nothing_is_sent_without_a_login(harness: BackendHarness) -> None:
    with pytest.raises(LoggedOut):
        await harness.backend.send(DRAFT, KEY)
    assert harness.server.requests == []


async def test_logout_ends_it_there_and_here(harness: BackendHarness, cursor: Cursor) -> None:
    await harness.backend.logout()
    request = harness.server.requests[-1]
    assert (name_of(request), request.method) == ("webwxlogout", "POST")
    assert query(request) == {"redirect": "1", "type": "0", "skey": "@crypt_SECRET"}
    assert harness.vault.content is None
    with pytest.raises(LoggedOut):
        await harness.backend.receive(cursor)
    await harness.backend.close()
    assert harness.vault.content is None


@pytest.mark.parametrize("failure_answer", [httpx.ConnectError("x"), text("", 500), answer(1101)])
async def test_logout_forgets_whatever_wechat_says(
    harness: BackendHarness, cursor: Cursor, failure_answer: httpx.Response | Exception
) -> None:
    harness.server.put("webwxlogout", failure_answer)
    await harness.backend.logout()
    assert harness.vault.content is None


async def test_logout_without_a_login_forgets_what_is_saved(harness: BackendHarness) -> None:
    harness.vault.content = {"version": 1}
    await harness.backend.logout()
    assert harness.vault.content is None
    assert harness.server.requests == []


async def test_a_broken_store_stops_neither_logout_nor_close(harness: BackendHarness, cursor: Cursor) -> None:
    harness.vault.broken = True
    await harness.backend.logout()
    await harness.backend.close()


async def test_every_exchange_is_reported_to_the_observer(harness: BackendHarness, cursor: Cursor) -> None:
    harness.server.put("webwxsendmsg", httpx.ReadError("x"))
    with pytest.raises(OutcomeUnknown):
        await harness.backend.send(DRAFT, KEY)
    assert harness.seen[0] == ("jslogin", "200")
    assert harness.seen[-1] == ("webwxsendmsg", "broken_answer")


async def test_words_come_in_the_owners_language() -> None:
    harness = BackendHarness(language="zh")
    with pytest.raises(LoggedOut, match="尚未登录"):
        await harness.backend.send(DRAFT, KEY)
    assert [step async for step in harness.backend.login(resume=False)]
    assert all(query(request).get("lang", "zh_CN") == "zh_CN" for request in harness.server.requests)
    await harness.backend.close()


async def test_words_come_in_another_language_once_it_is_set() -> None:
    harness = BackendHarness(language="en")
    with pytest.raises(LoggedOut, match="no login"):
        await harness.backend.send(DRAFT, KEY)
    harness.backend.set_language("zh")
    with pytest.raises(LoggedOut, match="尚未登录"):
        await harness.backend.send(DRAFT, KEY)
    await harness.backend.close()


@pytest.mark.parametrize("call", ["webwxsendmsg", "webwxsync", "webwxgetcontact"])
async def test_no_error_and_no_log_holds_a_secret(
    harness: BackendHarness, cursor: Cursor, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = []
    for failure_answer in (
        text("SECRET"),
        text("SECRET", 500),
        httpx.ReadError("SECRET"),
        answer(1101),
        answer(77),
    ):
        harness.server.put(call, failure_answer)
        try:
            await harness.backend.send(DRAFT, KEY)
            async for _ in harness.backend.list_contacts(lambda _: None):
                pass
            await harness.backend.receive(cursor)
        except BackendError as failure:
            messages += [str(failure), repr(failure)]
    printed = capsys.readouterr()
    assert "SECRET" not in "".join([*messages, printed.out, printed.err])


@pytest.mark.parametrize("renewal", [{"SKey": "@crypt_new"}, {}])
async def test_a_send_refused_with_keys_that_a_sync_renewed_meanwhile_is_no_logout(
    harness: BackendHarness, cursor: Cursor, renewal: dict[str, Any]
) -> None:
    """webwx 2.4.2.6: each sync may renew skey and tickets, and a request with the old ones gets 1102."""
    fresh = () if renewal else ("webwx_data_ticket=NEW; Domain=.qq.com; Path=/",)

    async def overtaken(_request: httpx.Request) -> httpx.Response:
        harness.server.put("synccheck", check(selector=2))
        harness.server.put("webwxsync", synced(cookies=fresh, **renewal))
        await harness.backend.receive(cursor)
        return answer(1102)

    harness.server.put("webwxsendmsg", overtaken, answer(MsgID="6"))
    with pytest.raises(Unreachable):
        await harness.backend.send(DRAFT, KEY)
    assert (await harness.backend.send(DRAFT, KEY)).message_id == "6"


async def test_a_poll_refused_with_keys_that_a_send_renewed_meanwhile_is_no_logout(
    harness: BackendHarness, cursor: Cursor
) -> None:
    async def overtaken(_request: httpx.Request) -> httpx.Response:
        harness.server.put(
            "webwxsendmsg", answer(MsgID="5", cookies=("wxsid=NEW; Domain=wx2.qq.com; Path=/",))
        )
        await harness.backend.send(DRAFT, KEY)
        return check(1102)

    harness.server.put("synccheck", overtaken, check(1102))
    with pytest.raises(Unreachable):
        await harness.backend.receive(cursor)
    with pytest.raises(LoggedOut):
        await harness.backend.receive(cursor)
