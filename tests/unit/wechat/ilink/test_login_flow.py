"""Login: every status of ilink 3.2, the number on the phone, hosts, and saved logins."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.wechat.ilink.entries import BOT, ME, OTHER, TOKEN, entry
from tests.unit.wechat.ilink.server import DEAD, ENDPOINT, ILinkRig, another_bot, answer, confirmed, raw, scan
from tests.unit.wechat.rig import kinds, query
from wx2mqtt.errors import LoggedOut, LoginRefused, Unreachable
from wx2mqtt.model import Cursor
from wx2mqtt.wechat.backend import (
    CodeRequired,
    LoggedIn,
    LoginStep,
    PollFailing,
    Scanned,
    ShowQr,
)

DONE = confirmed()


def polls(rig: ILinkRig) -> list[dict[str, str]]:
    return [query(request) for request in rig.asked("get_qrcode_status")]


async def test_a_first_login(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("wait"), scan("scaned"), scan("scaned"), DONE)
    login_steps = await rig.steps(resume=True)
    assert kinds(login_steps) == ["ShowQr", "Scanned", "LoggedIn"]
    assert isinstance(login_steps[0], ShowQr)
    assert login_steps[0].url.startswith("https://liteapp.weixin.qq.com/q/")
    step = login_steps[-1]
    assert isinstance(step, LoggedIn)
    assert (step.owner.handle, step.owner.nickname, step.resumed) == (ME, "", False)
    assert rig.bodies("get_bot_qrcode") == [{"local_token_list": []}]
    assert rig.calls()[-1] == "notifystart"
    assert rig.saved["bots"][0]["token"] == TOKEN


async def test_polls_that_bring_nothing_keep_their_distance(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", *[scan("wait")] * 5, DONE)
    await rig.steps()
    assert rig.clock.slept == [1.0] * 5


async def test_a_code_that_expires_is_followed_by_another(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("expired"), scan("wait"), DONE)
    login_steps = await rig.steps()
    assert kinds(login_steps) == ["ShowQr", "QrExpired", "ShowQr", "LoggedIn"]
    first, second = (step for step in login_steps if isinstance(step, ShowQr))
    assert first.url != second.url


async def test_a_code_of_which_nobody_hears_is_given_up(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("wait"))
    login_steps = await rig.steps(limit=3)
    assert kinds(login_steps) == ["ShowQr", "QrExpired", "ShowQr"]
    assert 300 <= rig.clock.time - 1000 < 310


async def test_codes_that_are_over_at_once_come_slower_and_slower(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("expired"))
    await rig.steps(limit=12)
    assert rig.clock.slept == sorted(rig.clock.slept)
    assert rig.clock.slept[-1] > 10


# the number on the phone


async def test_the_number_on_the_phone_is_asked_for_and_sent_at_once(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("need_verifycode"), scan("scaned"), DONE)
    login_steps: list[LoginStep] = []
    async for step in rig.backend.login(resume=False):
        login_steps.append(step)
        if isinstance(step, CodeRequired):
            rig.backend.enter_verification_code(" 123456\n")
        if isinstance(step, LoggedIn):
            break
    assert kinds(login_steps) == ["ShowQr", "CodeRequired", "Scanned", "LoggedIn"]
    assert login_steps[1] == CodeRequired(wrong=False)
    assert [poll.get("verify_code") for poll in polls(rig)] == [None, "123456", None]
    assert rig.clock.slept == [1.0]  # after `scaned`, and not after the number


async def test_after_a_wrong_number_another_one_is_required(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", *[scan("need_verifycode")] * 3, scan("scaned"), DONE)
    asked: list[CodeRequired] = []
    async for step in rig.backend.login(resume=False):
        if isinstance(step, CodeRequired):
            asked.append(step)
            rig.backend.enter_verification_code(str(len(asked)))
        if isinstance(step, LoggedIn):
            break
    assert asked == [CodeRequired(wrong=False), CodeRequired(wrong=True), CodeRequired(wrong=True)]
    assert [poll.get("verify_code") for poll in polls(rig)][:4] == [None, "1", "2", "3"]


async def test_a_number_is_sent_again_where_the_answer_was_lost(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("need_verifycode"), httpx.ReadError("x"), scan("scaned"), DONE)
    async for step in rig.backend.login(resume=False):
        if isinstance(step, CodeRequired):
            rig.backend.enter_verification_code("7")
        if isinstance(step, LoggedIn):
            break
    assert [poll.get("verify_code") for poll in polls(rig)] == [None, "7", "7", None]


async def test_too_many_wrong_numbers_cost_the_code(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("verify_code_blocked"), DONE)
    assert kinds(await rig.steps()) == ["ShowQr", "QrExpired", "ShowQr", "LoggedIn"]


async def test_a_number_that_nobody_waits_for_is_ignored(rig: ILinkRig) -> None:
    rig.backend.enter_verification_code("111111")
    rig.put("get_qrcode_status", scan("wait"), DONE)
    await rig.steps()
    rig.backend.enter_verification_code("222222")
    assert all("verify_code" not in poll for poll in polls(rig))


async def test_a_number_that_comes_later_ends_the_waiting(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("need_verifycode"), DONE)
    login = rig.backend.login(resume=False)
    while not isinstance(await anext(login), CodeRequired):
        pass
    waiting = asyncio.ensure_future(anext(login))
    await asyncio.sleep(0)
    assert not waiting.done()
    rig.backend.enter_verification_code("")
    rig.backend.enter_verification_code("5")
    assert isinstance(await asyncio.wait_for(waiting, MAX_WAIT_SECONDS), LoggedIn)
    await login.aclose()


async def test_a_code_that_is_over_while_a_number_is_awaited_is_followed_by_another(
    rig: ILinkRig,
) -> None:
    rig.put("get_qrcode_status", scan("need_verifycode"), scan("need_verifycode"), scan("expired"), DONE)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        login_steps = await rig.steps()
    assert kinds(login_steps) == ["ShowQr", "CodeRequired", "QrExpired", "ShowQr", "LoggedIn"]
    assert rig.clock.time - 1000 < 10


async def test_a_number_that_nobody_types_costs_the_code_in_the_end(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("need_verifycode"))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        login_steps = await rig.steps(limit=4)
    assert kinds(login_steps) == ["ShowQr", "CodeRequired", "QrExpired", "ShowQr"]
    assert 300 <= rig.clock.time - 1000 < 310


async def test_a_number_does_not_wait_for_the_end_of_a_poll(rig: ILinkRig) -> None:
    polled = asyncio.Event()

    async def hold(_request: httpx.Request) -> httpx.Response:
        polled.set()
        await asyncio.Event().wait()
        raise AssertionError

    rig.put("get_qrcode_status", scan("need_verifycode"), hold, scan("scaned"), DONE)
    login = rig.backend.login(resume=False)
    while not isinstance(await anext(login), CodeRequired):
        pass
    waiting = asyncio.ensure_future(anext(login))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await polled.wait()
        rig.backend.enter_verification_code("5")
        assert isinstance(await waiting, Scanned)
    assert [poll.get("verify_code") for poll in polls(rig)] == [None, None, "5"]
    await login.aclose()


# waiting


@pytest.mark.parametrize(
    "failure",
    [
        raw(b"<html>", 524),
        raw(b"", 504),
        raw(b"", 502),
        httpx.ReadError("x"),
        httpx.ReadTimeout("x"),
        raw(b"<html>"),
    ],
)
async def test_a_poll_that_fails_is_waiting(rig: ILinkRig, failure: Any) -> None:
    rig.put("get_qrcode_status", failure, failure, scan("scaned"), DONE)
    assert kinds(await rig.steps()) == ["ShowQr", "Scanned", "LoggedIn"]


async def test_a_long_outage_and_its_end_are_reported(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", *[httpx.ConnectError("x")] * 12, scan("wait"), DONE)
    login_steps = await rig.steps()
    assert kinds(login_steps) == ["ShowQr", "PollFailing", "PollRecovered", "LoggedIn"]
    assert isinstance(login_steps[1], PollFailing)
    assert "SECRET" not in login_steps[1].reason


async def test_gateway_timeouts_are_never_reported(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", *[raw(b"", 524)] * 30, DONE)
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]


async def test_a_status_that_is_not_known_is_waiting(rig: ILinkRig) -> None:
    rig.put("get_qrcode_status", scan("dancing"), answer(), scan("scaned"), DONE)
    assert kinds(await rig.steps()) == ["ShowQr", "Scanned", "LoggedIn"]


@pytest.mark.parametrize(
    "bad", [answer(ret=2), answer(ret=0), raw(b"<html>"), raw(b"", 500), httpx.ConnectError("x")]
)
async def test_without_a_code_wechat_cannot_be_reached(rig: ILinkRig, bad: Any) -> None:
    rig.put("get_bot_qrcode", bad)
    with pytest.raises(Unreachable):
        await rig.steps()


# hosts


async def test_a_login_goes_on_where_the_account_lives() -> None:
    rig = ILinkRig(endpoint=None)
    rig.put(
        "get_qrcode_status",
        scan("scaned_but_redirect", redirect_host="b.weixin.qq.com"),
        scan("scaned_but_redirect"),
        scan("scaned"),
        confirmed(baseurl="https://c.weixin.qq.com/"),
    )
    assert kinds(await rig.steps()) == ["ShowQr", "Scanned", "LoggedIn"]
    assert [request.url.host for request in rig.requests] == [
        "ilinkai.weixin.qq.com",
        "ilinkai.weixin.qq.com",
        *["b.weixin.qq.com"] * 3,
        "c.weixin.qq.com",
    ]


async def test_a_new_code_is_asked_for_where_codes_come_from() -> None:
    rig = ILinkRig(endpoint=None)
    redirect = scan("scaned_but_redirect", redirect_host="b.weixin.qq.com")
    rig.put("get_qrcode_status", redirect, scan("expired"), DONE)
    await rig.steps()
    assert [request.url.host for request in rig.asked("get_qrcode_status")] == [
        "ilinkai.weixin.qq.com",
        "b.weixin.qq.com",
        "ilinkai.weixin.qq.com",
    ]


@pytest.mark.parametrize(
    "status_answer",
    [
        scan("scaned_but_redirect", redirect_host="evil.example"),
        confirmed(baseurl="https://evil.example"),
        confirmed(baseurl="http://ilinkai.weixin.qq.com"),
    ],
)
async def test_a_host_that_is_not_wechat_s_gets_nothing(status_answer: httpx.Response) -> None:
    rig = ILinkRig(endpoint=None)
    rig.put("get_qrcode_status", status_answer)
    with pytest.raises(LoginRefused, match="nothing was sent there"):
        await rig.steps()
    assert {request.url.host for request in rig.requests} == {"ilinkai.weixin.qq.com"}
    assert rig.vault.content is None


async def test_the_owner_may_allow_another_host() -> None:
    rig = ILinkRig(endpoint=None, hosts=("relay.example",))
    rig.put("get_qrcode_status", confirmed(baseurl="https://relay.example/ilink"))
    await rig.steps()
    assert rig.requests[-1].url == "https://relay.example/ilink/ilink/bot/msg/notifystart"


async def test_with_an_endpoint_everything_goes_there(rig: ILinkRig) -> None:
    rig.put(
        "get_qrcode_status",
        scan("scaned_but_redirect", redirect_host="b.weixin.qq.com"),
        confirmed(baseurl="https://c.weixin.qq.com"),
    )
    step = await rig.log_in()
    await rig.poll(step.cursor)
    assert all(str(request.url).startswith(f"{ENDPOINT}/ilink/bot/") for request in rig.requests)


@pytest.mark.parametrize("missing", ["ilink_bot_id", "bot_token", "ilink_user_id"])
async def test_without_id_token_and_person_it_is_no_login(rig: ILinkRig, missing: str) -> None:
    rig.put("get_qrcode_status", confirmed(**{missing: ""}))
    with pytest.raises(LoginRefused, match="gave no token"):
        await rig.steps()


# logins that are kept


async def test_a_restart_needs_no_scan(rig: ILinkRig) -> None:
    first = await rig.log_in()
    rig.restart()
    login_steps = await rig.steps(resume=True)
    assert kinds(login_steps) == ["LoggedIn"]
    again = login_steps[0]
    assert isinstance(again, LoggedIn)
    assert again.resumed
    assert (again.login_id, again.owner) == (first.login_id, first.owner)


async def test_whether_a_login_still_stands_is_asked_first_and_nothing_else_counts(
    rig: ILinkRig,
) -> None:
    await rig.log_in()
    for response in (answer(ret=-1), answer(), raw(b"", 404)):
        rig.restart()
        rig.put("notifystart", response)
        assert kinds(await rig.steps(resume=True)) == ["LoggedIn"]


@pytest.mark.parametrize("failure", [httpx.ConnectError("x"), raw(b"", 502), raw(b"<html>")])
async def test_a_login_that_cannot_be_checked_stays(rig: ILinkRig, failure: Any) -> None:
    await rig.log_in()
    rig.restart()
    rig.put("notifystart", failure, answer(ret=0))
    with pytest.raises(Unreachable):
        await rig.steps(resume=True)
    assert kinds(await rig.steps(resume=True)) == ["LoggedIn"]


async def test_a_login_that_is_over_is_offered_with_the_next_code_and_kept(rig: ILinkRig) -> None:
    await rig.log_in()
    rig.restart()
    rig.put("notifystart", answer(**DEAD))
    rig.put("get_qrcode_status", scan("wait"))
    assert kinds(await rig.steps(resume=True, limit=1)) == ["ShowQr"]
    assert rig.bodies("get_bot_qrcode")[-1] == {"local_token_list": [TOKEN]}
    assert rig.saved["bots"][0]["token"] == TOKEN


async def test_a_person_who_is_bound_to_a_login_of_ours_needs_no_new_one(rig: ILinkRig) -> None:
    first = await rig.log_in()
    await rig.backend.logout()
    rig.restart()
    rig.put("get_qrcode_status", scan("scaned"), scan("binded_redirect"))
    login_steps = await rig.steps()
    assert kinds(login_steps) == ["ShowQr", "Scanned", "LoggedIn"]
    step = login_steps[-1]
    assert isinstance(step, LoggedIn)
    assert (step.login_id, step.resumed) == (first.login_id, True)


async def test_one_lost_answer_does_not_make_the_person_scan_again(rig: ILinkRig) -> None:
    await rig.log_in()
    await rig.backend.logout()
    rig.restart()
    rig.put("get_qrcode_status", scan("binded_redirect"))
    rig.put("notifystart", httpx.ReadError("x"), raw(b"", 502), answer(ret=0))
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]


async def test_a_login_that_wechat_knows_and_does_not_take_is_not_offered_again(
    rig: ILinkRig,
) -> None:
    await rig.log_in()
    await rig.backend.logout()
    rig.restart()
    rig.put("notifystart", answer(**DEAD))
    rig.put("get_qrcode_status", scan("binded_redirect"), DONE)
    assert kinds(await rig.steps()) == ["ShowQr", "QrExpired", "ShowQr", "LoggedIn"]
    assert [body["local_token_list"] for body in rig.bodies("get_bot_qrcode")[-2:]] == [
        [TOKEN],
        [],
    ]


async def test_another_person_s_login_is_kept_beside(rig: ILinkRig) -> None:
    await rig.log_in()
    rig.put("get_qrcode_status", another_bot(OTHER))
    await rig.log_in()
    assert [bot["id"] for bot in rig.saved["bots"]] == ["2@im.bot", BOT]


async def test_a_saved_login_that_may_not_be_used_is_neither_offered_nor_resumed(
    rig: ILinkRig,
) -> None:
    own_login = await rig.log_in()
    rig.put("get_qrcode_status", another_bot(OTHER))
    await rig.log_in()
    await rig.backend.logout()
    rig.restart()
    saved = await rig.backend.saved_owner()
    assert saved is not None
    assert saved.handle == OTHER

    async with aclosing(rig.backend.login(resume=True, usable=lambda owner: owner.handle == ME)) as login:
        resumed = await anext(login)
    assert isinstance(resumed, LoggedIn)
    assert (resumed.login_id, resumed.resumed) == (own_login.login_id, True)

    rig.put("get_qrcode_status", scan("binded_redirect"))
    async with aclosing(rig.backend.login(resume=False, usable=lambda owner: owner.handle == ME)) as login:
        last = [step async for step in login if isinstance(step, LoggedIn)][-1]
    assert last.login_id == own_login.login_id
    assert rig.bodies("get_bot_qrcode")[-1]["local_token_list"] == [TOKEN]


async def test_whoever_logs_out_is_not_logged_in_again_by_a_restart(rig: ILinkRig) -> None:
    await rig.log_in()
    await rig.backend.logout()
    assert rig.calls()[-1] == "notifystop"
    with pytest.raises(LoggedOut):
        await rig.poll(Cursor(""))
    rig.restart()
    rig.put("get_qrcode_status", scan("wait"))
    assert kinds(await rig.steps(resume=True, limit=1)) == ["ShowQr"]


async def test_a_logout_that_nobody_hears_is_one(rig: ILinkRig) -> None:
    await rig.backend.logout()  # nobody is logged in
    await rig.log_in()
    rig.put("notifystop", httpx.ConnectError("x"))
    await rig.backend.logout()


async def test_a_login_that_ended_is_looked_at_again_very_seldom(rig: ILinkRig) -> None:
    step = await rig.log_in()
    rig.put("getupdates", answer(**DEAD))
    with pytest.raises(LoggedOut, match="connected somewhere else"):
        await rig.poll(step.cursor)
    rig.put("notifystart", answer(**DEAD), answer(**DEAD), answer(ret=0))
    rig.put("get_qrcode_status", scan("wait"))
    before, began = len(rig.asked("notifystart")), rig.clock.time
    login_steps = await rig.steps()
    assert isinstance(login_steps[-1], LoggedIn)
    assert login_steps[-1].resumed
    assert len(rig.asked("notifystart")) - before == 3
    assert 1800 <= rig.clock.time - began < 1900


async def test_a_look_that_fails_disturbs_no_login(rig: ILinkRig) -> None:
    await rig.log_in()
    rig.put("getupdates", answer(**DEAD))
    with pytest.raises(LoggedOut):
        await rig.receive(entry(), cursor=(await rig.log_in()).cursor, errcode=-14)
    rig.put("notifystart", httpx.ConnectError("x"))
    rig.put(
        "get_qrcode_status", *[scan("wait")] * 250, scan("expired"), *[scan("wait")] * 280, scan("expired")
    )
    login_steps = await rig.steps(limit=9)
    assert set(kinds(login_steps)) <= {"ShowQr", "QrExpired"}


async def test_a_vault_that_fails_does_not_stop_a_login(rig: ILinkRig) -> None:
    rig.vault.broken = True
    step = await rig.log_in()
    assert rig.vault.content is None
    rig.vault.broken = False
    rig.clock.time += 5
    await rig.poll(step.cursor)
    assert rig.saved


async def test_who_logs_out_at_one_endpoint_is_logged_out_there_only(rig: ILinkRig) -> None:
    elsewhere = ILinkRig(endpoint="http://other.test")
    elsewhere.put("get_qrcode_status", confirmed(ilink_bot_id="2@im.bot"))
    await elsewhere.log_in()
    rig.vault.content = elsewhere.vault.content
    await rig.log_in()
    await rig.backend.logout()
    assert [(bot["endpoint"], bot["over"]) for bot in rig.saved["bots"]] == [
        (ENDPOINT, True),
        ("http://other.test", False),
    ]


# Renewal

NEW_BOT = "ba9876543210@im.bot"


def renewed(user: str = ME) -> httpx.Response:
    """Returns the answer to the poll of a code that this person has confirmed."""
    return confirmed(bot_token=f"{NEW_BOT}:SECRETnew", ilink_bot_id=NEW_BOT, ilink_user_id=user)


async def renewal(rig: ILinkRig, *, requested: bool = False) -> list[LoginStep]:
    """Returns all steps of a renewal by the person of the login."""
    renewal_steps = rig.backend.renew(lambda owner: owner.handle == ME, requested=requested)
    async with aclosing(renewal_steps) as login_steps:
        return [step async for step in login_steps]


async def test_a_renewal_names_no_token_and_is_saved_while_the_login_goes_on(rig: ILinkRig) -> None:
    first = await rig.log_in(resume=True)
    rig.put("get_qrcode_status", scan("wait"), scan("scaned"), renewed())
    login_steps = await renewal(rig)
    assert kinds(login_steps) == ["ShowQr", "Scanned", "LoggedIn"]
    assert rig.bodies("get_bot_qrcode")[-1] == {"local_token_list": []}
    assert rig.bots == [(NEW_BOT, False), (BOT, False)]
    await rig.poll(first.cursor)
    assert TOKEN in rig.asked("getupdates")[-1].headers["Authorization"]
    step = await rig.log_in(resume=True)
    assert (step.resumed, step.owner.handle) == (True, ME)
    assert step.login_id != first.login_id
    await rig.poll(step.cursor)
    assert NEW_BOT in rig.asked("getupdates")[-1].headers["Authorization"]


async def test_the_earlier_token_is_kept_until_a_message_of_the_new_bot_is_stored(
    rig: ILinkRig,
) -> None:
    await rig.log_in(resume=True)
    rig.put("get_qrcode_status", renewed())
    await renewal(rig)
    step = await rig.log_in(resume=True)
    rig.put("getupdates", answer(ret=0, get_updates_buf="1", msgs=[entry()]), answer(ret=0))
    cursor = (await rig.poll(step.cursor)).cursor
    assert len(rig.bots) == 2
    await rig.poll(cursor)
    await rig.backend.close()
    assert rig.bots == [(NEW_BOT, False)]


async def test_a_renewed_login_that_wechat_refuses_leaves_the_earlier_one(rig: ILinkRig) -> None:
    first = await rig.log_in(resume=True)
    rig.put("get_qrcode_status", renewed())
    await renewal(rig)
    rig.put("notifystart", answer(**DEAD), answer(ret=0))
    assert (await rig.log_in(resume=True)).login_id == first.login_id


async def test_somebody_else_who_confirms_a_renewal_is_never_logged_in(rig: ILinkRig) -> None:
    first = await rig.log_in(resume=True)
    rig.put("get_qrcode_status", renewed(OTHER))
    assert kinds(await renewal(rig)) == ["ShowQr", "LoggedIn"]
    assert rig.bots == [(BOT, False), (NEW_BOT, True)]
    assert (await rig.log_in(resume=True)).login_id == first.login_id


@pytest.mark.parametrize("status", ["expired", "binded_redirect"])
async def test_a_renewal_is_one_code(rig: ILinkRig, status: str) -> None:
    await rig.log_in(resume=True)
    rig.put("get_qrcode_status", scan("wait"), scan(status))
    assert kinds(await renewal(rig)) == ["ShowQr", "QrExpired"]
    assert rig.bots == [(BOT, False)]


async def test_only_offers_that_nobody_requested_are_counted_and_the_age_is_saved(
    rig: ILinkRig,
) -> None:
    await rig.log_in(resume=True)
    age = rig.backend.login_age()
    assert age is not None
    assert (age.made, age.offers) == (int(rig.clock.wall() * 1000), ())
    rig.put("get_qrcode_status", scan("expired"))
    await renewal(rig, requested=True)
    await renewal(rig)
    (bot,) = rig.saved["bots"]
    assert (bot["made"], len(bot["offers"])) == (age.made, 1)
