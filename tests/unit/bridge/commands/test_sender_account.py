"""What the sender does after each answer of WeChat, with all components from the broker to WeChat."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import PEOPLE, person, running
from wx2mqtt.bridge.commands.results import final_result
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import LoggedOut, OutcomeUnknown, ProtocolViolation, Rejected, Throttled, Unreachable
from wx2mqtt.model import ChatKind, Handle, Kind, Message, Receipt, Status


@pytest.fixture(autouse=True)
def _short_back_off(monkeypatch):
    """Makes the back-off last for milliseconds."""
    monkeypatch.setattr(Backoff, "wait", lambda self, _chance: 0.01 * bool(self.failures))


def keys(harness):
    return [key for _, _, key in harness.wechat.sent]


async def wait_until(condition):
    """Waits until the condition is true, for what no event reports."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def outcome(result):
    return result["status"], result["code"], result["duplicate_possible"]


# what WeChat answers


async def test_a_command_that_wechat_accepts_with_a_message_id_is_sent(harness):
    harness.deliver_command(text="x", id="a")
    result = await harness.result("a")
    assert outcome(result) == ("sent", "ok", False)
    assert result["message_id"] == "m1"
    assert result["retry_after"] is None


async def test_a_command_that_wechat_accepts_without_a_message_id_is_unconfirmed_and_its_echo_is_known_by_its_text(
    harness,
):
    harness.wechat.answer("x", Receipt(message_id=""))
    harness.deliver_command(text="x", id="a")
    result = await harness.result("a")
    assert (*outcome(result), result["message_id"]) == ("sent", "unconfirmed", False, None)
    row = await harness.journal.commands.get("a")
    echo = own_message("unknown", "x", row.result.time)
    assert harness.echoes.is_echo(echo)


async def test_a_backend_that_has_no_message_ids_confirms_without_one(harness):
    harness.wechat.answer("x", Receipt(message_id=None))
    harness.deliver_command(text="x", id="a")
    result = await harness.result("a")
    assert (*outcome(result), result["message_id"]) == ("sent", "ok", False, None)
    row = await harness.journal.commands.get("a")
    assert not harness.echoes.is_echo(own_message("unknown", "x", row.result.time))


async def test_where_the_bot_has_no_chat_the_command_is_rejected(harness):
    harness.wechat.answer("x", Rejected("let them write to the bot", code="no_chat"))
    harness.deliver_command(text="x", id="a")
    result = await harness.result("a")
    assert (*outcome(result), result["message"]) == (
        "rejected",
        "no_chat",
        False,
        "let them write to the bot",
    )


def own_message(message_id, text, time):
    return Message(
        key=message_id,
        id=message_id,
        chat=Handle("@wife"),
        chat_kind=ChatKind.FRIEND,
        sender=None,
        from_self=True,
        kind=Kind.TEXT,
        text=text,
        time=time,
    )


async def test_a_command_that_wechat_refuses_has_failed_with_its_reason_and_is_not_tried_again(harness):
    harness.wechat.answer("x", Rejected("not a friend"))
    harness.deliver_command(text="x", id="a")
    result = await harness.result("a")
    assert (*outcome(result), result["message"]) == ("failed", "refused_by_wechat", False, "not a friend")
    harness.deliver_command(text="y", id="b")
    await harness.result("b")
    assert harness.wechat.texts() == ["x", "y"]


@pytest.mark.parametrize("error", [Unreachable, ProtocolViolation])
async def test_what_was_certainly_not_delivered_is_tried_again_with_the_same_key(harness, error):
    harness.wechat.answer("x", error(), error(), error())
    harness.deliver_command(text="x", id="a")
    assert outcome(await harness.result("a")) == ("sent", "ok", False)
    assert harness.wechat.texts() == ["x"] * 4
    assert len(set(keys(harness))) == 1


async def test_a_command_that_is_never_delivered_is_tried_again_until_it_expires(harness, pass_time):
    harness.wechat.answer("x", *[Unreachable()] * 10_000)
    harness.deliver_command(text="x", id="a", ttl=600)
    await harness.changes.wait_until(lambda: len(harness.wechat.sent) > 2)
    pass_time(601)
    harness.sender.recheck()
    assert outcome(await harness.result("a")) == ("expired", "expired", False)


async def test_an_unanswered_attempt_is_followed_by_exactly_one_with_the_same_key(harness):
    harness.wechat.answer("x", OutcomeUnknown())
    harness.deliver_command(text="x", id="a")
    result = await harness.result("a")
    assert outcome(result) == ("sent", "ok", True)
    assert len(harness.wechat.sent) == 2
    assert len(set(keys(harness))) == 1


async def test_after_a_second_unanswered_attempt_a_command_is_uncertain(harness):
    harness.wechat.answer("x", OutcomeUnknown(), OutcomeUnknown())
    harness.deliver_command(text="x", id="a")
    assert outcome(await harness.result("a")) == ("uncertain", "no_answer", True)
    assert len(harness.wechat.sent) == 2


async def test_undelivered_attempts_between_two_unanswered_ones_do_not_count(harness):
    harness.wechat.answer("x", OutcomeUnknown(), Unreachable(), Unreachable(), OutcomeUnknown())
    harness.deliver_command(text="x", id="a")
    assert outcome(await harness.result("a")) == ("uncertain", "no_answer", True)
    assert len(harness.wechat.sent) == 4


async def test_a_refusal_of_the_second_attempt_says_that_the_first_may_have_arrived(harness):
    harness.wechat.answer("x", OutcomeUnknown(), Rejected("blocked"))
    harness.deliver_command(text="x", id="a")
    assert outcome(await harness.result("a")) == ("failed", "refused_by_wechat", True)


async def test_after_an_unanswered_attempt_the_end_is_never_expired(harness, pass_time):
    harness.wechat.answer("x", OutcomeUnknown(), *[Unreachable()] * 3)
    harness.deliver_command(text="x", id="a", ttl=0.001)
    assert outcome(await harness.result("a"))[0] in ("sent", "expired")
    harness.wechat.hold("y")
    harness.wechat.answer("y", OutcomeUnknown(), Unreachable(), Unreachable())
    delivery = harness.deliver_command(text="y", id="b", ttl=600)
    await harness.wait_for_puback(delivery)
    await harness.changes.wait_until(lambda: "y" in harness.wechat.texts())
    pass_time(601)
    harness.wechat.release("y")
    assert outcome(await harness.result("b")) == ("sent", "ok", True)


async def test_an_error_of_our_own_in_the_gateway_counts_as_no_answer(harness):
    harness.wechat.answer("x", ValueError("ours"), ValueError("ours"))
    harness.deliver_command(text="x", id="a")
    assert outcome(await harness.result("a")) == ("uncertain", "no_answer", True)


# throttling


async def test_a_throttling_by_wechat_delays_all_chats_and_then_all_is_sent(harness, pass_time):
    harness.wechat.answer("x", Throttled(retry_after=300))
    harness.deliver_command(text="x", id="a")
    await wait_until(lambda: harness.calls.throttled_seconds > 0)
    harness.deliver_command("mom", text="y", id="b")
    harness.deliver_command("filehelper", text="z", id="c", ttl=0.05)
    late = await harness.result("c", "filehelper")
    assert outcome(late) == ("expired", "rate_limited", False)
    assert 0 < late["retry_after"] <= 300
    assert harness.wechat.texts() == ["x"]
    pass_time(301)
    harness.sender.recheck()
    assert outcome(await harness.result("a")) == ("sent", "ok", False)
    assert outcome(await harness.result("b", "mom")) == ("sent", "ok", False)


async def test_the_owners_limit_lets_a_burst_go_and_then_one_after_the_other(tmp_path):
    async with running(tmp_path, per_minute=600, burst=3) as harness:
        began = asyncio.get_running_loop().time()
        for number in range(6):
            harness.deliver(f"{number}", user=("wife", "mom")[number % 2])
        await harness.wait_for_sent_texts(6)
        assert asyncio.get_running_loop().time() - began >= 0.25


async def test_what_the_owners_limit_does_not_let_through_in_time_says_so(tmp_path):
    async with running(tmp_path, per_minute=1, burst=1) as harness:
        harness.deliver_command(text="x", id="a")
        await harness.result("a")
        harness.deliver_command(text="y", id="b", ttl=0.05)
        result = await harness.result("b")
        assert outcome(result) == ("expired", "rate_limited", False)
        assert 50 < result["retry_after"] <= 60
        assert "send.per_minute" in result["message"]


async def test_a_limit_that_leaves_less_than_a_second_is_the_cause_all_the_same(tmp_path):
    async with running(tmp_path, per_minute=100, burst=1) as harness:  # the next one after 0.6 s
        harness.deliver_command(text="x", id="a")
        await harness.result("a")
        harness.deliver_command(text="y", id="b", ttl=0.01)
        result = await harness.result("b")
        assert outcome(result) == ("expired", "rate_limited", False)
        assert 0 < result["retry_after"] < 1


# logged out


async def test_a_send_that_finds_the_login_over_waits_for_the_next_one(harness):
    harness.wechat.answer("x", LoggedOut("by the phone"))
    harness.deliver_command(text="x", id="a")
    await harness.changes.wait_until(lambda: harness.wechat.sent)
    harness.deliver_command("mom", text="y", id="b")
    await wait_until(lambda: harness.logged_out)
    assert harness.wechat.texts() == ["x"]
    harness.sender.set_online(online=True)
    assert outcome(await harness.result("a")) == ("sent", "ok", False)
    assert outcome(await harness.result("b", "mom")) == ("sent", "ok", False)
    assert sorted(harness.wechat.texts()) == ["x", "x", "y"]


async def test_a_command_that_expires_while_nobody_is_logged_in_says_so(tmp_path):
    async with running(tmp_path, online=False) as harness:
        harness.deliver_command(text="x", id="a", ttl=0.05)
        result = await harness.result("a")
        assert outcome(result) == ("expired", "logged_out", False)
        assert "0.05 s" in result["message"]
        harness.sender.set_online(online=True)
        harness.deliver_command(text="y", id="b")
        await harness.result("b")
        assert harness.wechat.texts() == ["y"]


async def test_nobody_is_refused_while_the_contacts_of_a_new_login_are_not_there_yet(harness):
    harness.sender.set_online(online=False)
    harness.log_in("next")
    delivery = harness.deliver_command(text="x", id="a")
    await harness.wait_for_puback(delivery)
    harness.sender.set_online(online=True)
    harness.deliver_command("filehelper", text="y", id="b")
    await harness.result("b", "filehelper")
    assert harness.bodies_on("wx/result/wife") == []
    harness.log_in("next", "wife", "mom")
    assert outcome(await harness.result("a")) == ("sent", "ok", False)
    assert harness.wechat.sent[-1][:2] == ("@wife2", "x")


async def test_what_was_prepared_in_the_login_before_is_prepared_and_sent_in_the_next_one(harness):
    harness.wechat.uploads.clear()
    harness.deliver(b"x", "wife/file/a.txt")
    await harness.changes.wait_until(lambda: harness.wechat.prepared)
    harness.log_in("next", "wife", "mom")
    harness.wechat.uploads.set()
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert outcome(result) == ("sent", "ok", False)
    assert [chat for chat, _, _ in harness.wechat.sent] == ["@wife2"]
    assert len(harness.wechat.prepared) == 2


async def test_nothing_is_sent_in_the_next_login_before_its_contacts_are_there(harness):
    harness.wechat.uploads.clear()
    harness.deliver(b"x", "wife/file/a.txt")
    await harness.changes.wait_until(lambda: harness.wechat.prepared)
    harness.sender.set_online(online=False)
    harness.wechat.uploads.set()
    harness.log_in("next", "wife", "mom")
    harness.sender.set_online(online=True)
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert outcome(result) == ("sent", "ok", False)
    assert [chat for chat, _, _ in harness.wechat.sent] == ["@wife2"]


async def test_a_command_to_a_person_who_is_not_in_the_next_login_is_rejected(harness):
    harness.sender.set_online(online=False)
    delivery = harness.deliver_command(text="x", id="a")
    await harness.wait_for_puback(delivery)
    harness.log_in("next", "mom")
    harness.sender.set_online(online=True)
    result = await harness.result("a")
    assert result["status"] == "rejected"
    assert harness.wechat.sent == []


async def test_a_command_expires_in_its_time_though_another_waits_before_it(harness):
    harness.sender.set_online(online=False)
    harness.deliver_command(text="x", id="a")
    harness.deliver_command(text="y", id="b", ttl=0.05)
    harness.deliver_command(text="z", id="c")
    assert outcome(await harness.result("b")) == ("expired", "logged_out", False)
    harness.sender.set_online(online=True)
    await harness.result("c")
    assert harness.wechat.texts() == ["x", "z"]


# order


async def test_a_chat_keeps_its_order_while_the_first_has_trouble_and_others_go_on(harness):
    harness.wechat.answer("0", *[Unreachable()] * 3, OutcomeUnknown())
    for number in range(5):
        harness.deliver(f"{number}")
    harness.deliver_command("mom", text="y", id="y")
    await harness.result("y", "mom")
    await harness.wait_for_bodies("wx/result/wife", 5)
    assert list(dict.fromkeys(harness.wechat.texts("wife"))) == ["0", "1", "2", "3", "4"]
    assert harness.wechat.texts("wife")[:5] == ["0"] * 5


async def test_what_was_accepted_before_the_first_login_goes_before_what_came_after_it(tmp_path):
    pins = {"wife": ContactPin(remark="wife"), "family": ContactPin(group="family")}
    async with running(tmp_path, online=False, people=(), pins=pins, per_minute=3000, burst=1) as harness:
        harness.session.contacts_known = False
        for number in range(12):
            last = harness.deliver(f"{number}")
        await harness.wait_for_puback(last)
        harness.session.contacts_known = True
        harness.log_in("login", "wife", "mom")
        harness.sender.set_online(online=True)
        for number in range(12, 24):
            harness.deliver(f"{number}")
        assert await harness.wait_for_sent_texts(24) == [f"{number}" for number in range(24)]


async def test_each_chat_keeps_its_order_after_a_restart(tmp_path):
    pins = {name: ContactPin(remark=name) for name in ("wife", "mom")}
    async with running(tmp_path, online=False, people=(), pins=pins) as harness:
        harness.session.contacts_known = False
        for number in range(500):
            last = harness.deliver(f"{number}", user=("wife", "mom")[number % 2])
        await harness.wait_for_puback(last)
    async with running(tmp_path, online=True) as harness:
        for number in range(500, 520):
            harness.deliver(f"{number}", user=("wife", "mom")[number % 2])
        await harness.wait_for_sent_texts(520)
        assert harness.wechat.texts("wife") == [f"{number}" for number in range(0, 520, 2)]
        assert harness.wechat.texts("mom") == [f"{number}" for number in range(1, 520, 2)]


async def test_a_chat_keeps_its_order_while_commands_of_an_unknown_recipient_wait_in_another(tmp_path):
    pins = {name: ContactPin(remark=name) for name in ("wife", "mom")}
    async with running(tmp_path, online=False, people=(), pins=pins) as harness:
        harness.session.contacts_known = False
        for number in range(200):
            last = harness.deliver(f"{number}", user=("wife", "mom")[number % 2])
        await harness.wait_for_puback(last)
    async with running(tmp_path, online=False) as harness:
        harness.wechat.hold("1")
        harness.sender.set_online(online=True)
        for number in range(200, 220):
            harness.deliver(f"{number}")
        await harness.changes.wait_until(lambda: "219" in harness.wechat.texts())
        assert harness.wechat.texts("wife") == [*map(str, range(0, 200, 2)), *map(str, range(200, 220))]
        harness.wechat.release("1")
        await harness.wait_for_sent_texts(220)
        assert harness.wechat.texts("mom") == [f"{number}" for number in range(1, 200, 2)]


async def test_commands_to_many_people_who_are_not_known_yet_are_all_sent(tmp_path):
    names = [f"friend{number}" for number in range(30)]
    pins = {name: ContactPin(remark=name) for name in names}
    people = tuple(person(number, name) for number, name in enumerate(names, 1))
    async with running(tmp_path, online=False, people=(), pins=pins) as harness:
        harness.session.contacts_known = False
        for number in range(600):
            last = harness.deliver(f"{number}", user=names[number % 30])
        await harness.wait_for_puback(last)
    async with running(tmp_path, people=people) as harness:
        await harness.wait_for_sent_texts(600)
        assert sorted(map(int, harness.wechat.texts())) == list(range(600))


# commands that the owner drops at the same moment


def dropped_result(row):
    return final_result(row, Status.REJECTED, "dropped", "dropped by hand")


async def test_dropping_the_next_command_while_the_first_is_being_settled_loses_neither_result(harness):
    async def drop_the_next():
        row = await harness.journal.commands.get("b")
        await harness.journal.commands.drop("b", dropped_result(row), ())
        harness.sender.remove(row, dropped_result(row))

    harness.wechat.hold("x")
    harness.deliver_command(text="x", id="a")
    last = harness.deliver_command(text="y", id="b")
    await harness.wait_for_puback(last)
    harness.journal.before["finish"] = drop_the_next
    harness.wechat.release("x")
    assert outcome(await harness.result("a")) == ("sent", "ok", False)
    harness.deliver_command(text="z", id="c")
    await harness.result("c")
    assert harness.wechat.texts() == ["x", "z"]
    rows = {row.command_id: row.result.code for row in await harness.rows()}
    assert rows == {"a": "ok", "b": "dropped", "c": "ok"}


async def test_dropping_a_command_just_before_its_attempt_is_marked_stops_nothing_else(harness):
    async def drop_it():
        row = await harness.journal.commands.get("a")
        await harness.journal.commands.drop("a", dropped_result(row), ())

    harness.sender.set_online(online=False)  # else the attempt may be marked in the commit that accepts it
    harness.deliver_command(text="x", id="a")
    await harness.wait_for_puback(harness.deliver_command(text="y", id="b"))
    harness.journal.before["begin_attempt"] = drop_it
    harness.sender.set_online(online=True)
    await harness.result("b")
    assert harness.wechat.texts() == ["y"]


async def test_dropping_a_command_that_waits_lets_the_next_one_go(harness):
    harness.sender.set_online(online=False)
    harness.deliver_command(text="x", id="a")
    last = harness.deliver_command(text="y", id="b")
    await harness.wait_for_puback(last)
    row = await harness.journal.commands.get("a")
    await harness.journal.commands.drop("a", dropped_result(row), ())
    harness.sender.remove(row, dropped_result(row))
    harness.sender.set_online(online=True)
    await harness.result("b")
    assert harness.wechat.texts() == ["y"]


# the language


async def test_results_are_in_the_language_that_was_chosen(tmp_path):

    async with running(tmp_path, language="zh", people=PEOPLE) as harness:
        harness.deliver_command(text="x", id="a")
        assert (await harness.result("a"))["message"] == "微信已接收消息"
        harness.wechat.answer("y", OutcomeUnknown(), OutcomeUnknown())
        harness.deliver_command(text="y", id="b")
        assert (await harness.result("b"))["message"] == "已发送（可能两次），但微信没有回应"
