"""Sending, logout, and the meaning of each answer to a text (webwx 2.12, 2.20)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.wechat.rig import body, name_of, query, refused
from tests.unit.wechat.webwx.entries import FAMILY, WIFE
from tests.unit.wechat.webwx.server import WebWxRig, answer, check, renewing, text
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import Draft, Kind, Receipt, SendKey
from wx2mqtt.wechat.backend import Backend
from wx2mqtt.wechat.webwx.backend import WebWxBackend

KEY = SendKey("17000000000001234")
DRAFT = Draft(chat=WIFE, kind=Kind.TEXT, text="好的 ☀")


def test_it_fits_the_seam() -> None:
    def fits(_gateway: Backend) -> None: ...

    fits(WebWxRig().backend)
    assert WebWxBackend.capabilities.handles_change_at_login
    assert WebWxBackend.capabilities.text_limit > 0


async def test_a_text_is_taken(online: WebWxRig) -> None:
    assert await online.send(DRAFT) == Receipt(message_id="5")
    sent = body(online.asked("webwxsendmsg")[0])
    assert (sent["Msg"]["LocalID"], sent["Msg"]["ClientMsgId"]) == (KEY, KEY)
    assert (sent["Msg"]["Content"], sent["Msg"]["ToUserName"]) == ("好的 ☀", WIFE)
    assert "好的 ☀".encode() in online.asked("webwxsendmsg")[0].content


async def test_ids_are_text_and_may_be_missing(online: WebWxRig) -> None:
    online.put("webwxsendmsg", answer(MsgID=7615282929538795099), answer())
    assert (await online.send(DRAFT)).message_id == "7615282929538795099"
    assert (await online.send(DRAFT)).message_id == ""


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
    online: WebWxRig, answered: httpx.Response | Exception, error: type[BackendError]
) -> None:
    online.put("webwxsendmsg", answered)
    with pytest.raises(BackendError) as failure:
        await online.send(DRAFT)
    assert type(failure.value).__mro__[:3].count(error) == 1
    assert len(online.asked("webwxsendmsg")) == 1


async def test_a_refusal_says_the_number_and_the_servers_words(online: WebWxRig) -> None:
    online.put("webwxsendmsg", text('{"BaseResponse": {"Ret": 1207, "ErrMsg": "too <b>loud</b>"}}'))
    with pytest.raises(Rejected, match=r"\(1207\): too loud"):
        await online.send(DRAFT)
    online.put("webwxsendmsg", answer(1207))
    with pytest.raises(Rejected, match=r"\(1207\)$") as refused:
        await online.send(DRAFT)
    assert refused.value.code == "refused_by_wechat"


async def test_too_often_asks_for_ever_longer_pauses_until_one_is_taken(online: WebWxRig) -> None:
    pauses = []
    for answered in (answer(1205), answer(1205), answer(1205), answer(MsgID="1"), answer(1205)):
        online.put("webwxsendmsg", answered)
        try:
            await online.send(DRAFT)
        except Throttled as slow:
            pauses.append(slow.retry_after)
    assert pauses == [60.0, 120.0, 240.0, 60.0]


async def test_what_cannot_be_sent_is_not_tried(online: WebWxRig) -> None:
    with refused("unsupported"):
        await online.send(Draft(chat=FAMILY, kind=Kind.IMAGE))
    with refused("bad_command"):
        await online.send(Draft(chat=FAMILY, kind=Kind.TEXT, text="\udc00"))
    assert online.asked("webwxsendmsg") == []


async def test_nothing_is_sent_without_a_login(rig: WebWxRig) -> None:
    with pytest.raises(LoggedOut):
        await rig.send(DRAFT)
    assert rig.requests == []


async def test_logout_ends_it_there_and_here(online: WebWxRig) -> None:
    await online.backend.logout()
    request = online.requests[-1]
    assert (name_of(request), request.method) == ("webwxlogout", "POST")
    assert query(request) == {"redirect": "1", "type": "0", "skey": "@crypt_SECRET"}
    assert online.vault.content is None
    with pytest.raises(LoggedOut):
        await online.poll()
    await online.backend.close()
    assert online.vault.content is None


@pytest.mark.parametrize("failure_answer", [httpx.ConnectError("x"), text("", 500), answer(1101)])
async def test_logout_forgets_whatever_wechat_says(
    online: WebWxRig, failure_answer: httpx.Response | Exception
) -> None:
    online.put("webwxlogout", failure_answer)
    await online.backend.logout()
    assert online.vault.content is None


async def test_logout_without_a_login_forgets_what_is_saved(rig: WebWxRig) -> None:
    rig.vault.content = {"version": 1}
    await rig.backend.logout()
    assert rig.vault.content is None
    assert rig.requests == []


async def test_a_broken_store_stops_neither_logout_nor_close(online: WebWxRig) -> None:
    online.vault.broken = True
    await online.backend.logout()
    await online.backend.close()


async def test_every_exchange_is_reported_to_the_observer(online: WebWxRig) -> None:
    online.put("webwxsendmsg", httpx.ReadError("x"))
    with pytest.raises(OutcomeUnknown):
        await online.send(DRAFT)
    assert online.seen[0] == ("jslogin", "200")
    assert online.seen[-1] == ("webwxsendmsg", "broken_answer")


async def test_words_come_in_the_owners_language() -> None:
    rig = WebWxRig(language="zh")
    with pytest.raises(LoggedOut, match="尚未登录"):
        await rig.send(DRAFT)
    assert [step async for step in rig.backend.login(resume=False)]
    assert all(query(request).get("lang", "zh_CN") == "zh_CN" for request in rig.requests)


async def test_words_come_in_another_language_once_it_is_set() -> None:
    rig = WebWxRig(language="en")
    with pytest.raises(LoggedOut, match="no login"):
        await rig.send(DRAFT)
    rig.backend.set_language("zh")
    with pytest.raises(LoggedOut, match="尚未登录"):
        await rig.send(DRAFT)


@pytest.mark.parametrize("call", ["webwxsendmsg", "webwxsync", "webwxgetcontact"])
async def test_no_error_and_no_log_holds_a_secret(
    online: WebWxRig, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = []
    for failure_answer in (
        text("SECRET"),
        text("SECRET", 500),
        httpx.ReadError("SECRET"),
        answer(1101),
        answer(77),
    ):
        online.put(call, failure_answer)
        try:
            await online.send(DRAFT)
            await online.load_contacts()
            await online.poll()
        except BackendError as failure:
            messages += [str(failure), repr(failure)]
    printed = capsys.readouterr()
    assert "SECRET" not in "".join([*messages, printed.out, printed.err])


@pytest.mark.parametrize("renewal", [{"SKey": "@crypt_new"}, {}])
async def test_a_send_refused_with_keys_that_a_sync_renewed_meanwhile_is_no_logout(
    online: WebWxRig, renewal: dict[str, Any]
) -> None:
    """webwx 2.4.2.6: each sync may renew skey and tickets, and a request with the old ones gets 1102."""
    fresh = () if renewal else ("webwx_data_ticket=NEW; Domain=.qq.com; Path=/",)
    overtaken = renewing(online, answer(1102), cookies=fresh, **renewal)
    online.put("webwxsendmsg", overtaken, answer(MsgID="6"))
    with pytest.raises(Unreachable):
        await online.send(DRAFT)
    assert (await online.send(DRAFT)).message_id == "6"


async def test_a_poll_refused_with_keys_that_a_send_renewed_meanwhile_is_no_logout(online: WebWxRig) -> None:
    async def overtaken(_request: httpx.Request) -> httpx.Response:
        online.put("webwxsendmsg", answer(MsgID="5", cookies=("wxsid=NEW; Domain=wx2.qq.com; Path=/",)))
        await online.send(DRAFT)
        return check(1102)

    online.put("synccheck", overtaken, check(1102))
    with pytest.raises(Unreachable):
        await online.poll()
    with pytest.raises(LoggedOut):
        await online.poll()
