"""The rows of received messages and events: who wrote them, what they quote, and what is published of them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.unit.bridge.contexts import changed
from tests.unit.bridge.inbound_harness import (
    FAMILY,
    FILE_HELPER,
    IN_FAMILY,
    IN_GROUP,
    MOM,
    PICTURE,
    InboundHarness,
    run_scenario,
)
from tests.unit.bridge.session_harness import OWNER, WIFE, message
from wx2mqtt.bridge import inbound_rows
from wx2mqtt.bridge.inbound_rows import StoredQuotes
from wx2mqtt.clock import now_ms
from wx2mqtt.model import (
    ChatKind,
    Event,
    Handle,
    Kind,
    Member,
    Message,
    QuotedMessage,
)
from wx2mqtt.settings.schema import Media, Plain
from wx2mqtt.store.history import MessageHistory


def test_a_message_is_named_after_the_owners_pin_and_its_sender_is_trusted_for_it():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(message("1"))
        assert body["user"] == "wife"
        assert body["chat"] == {"kind": "friend", "name": "老婆"}
        assert body["sender"] == {"user": "wife", "name": "老婆", "self": False}
        assert body["trusted"] is True
        stored = harness.journal.messages()[0]
        assert (stored.topic, stored.user, stored.text) == ("wx/in/wife", "wife", "开灯 ☀")

    run_scenario(scenario)


def test_a_friend_without_a_pin_is_not_trusted():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(message("1", chat=MOM.handle, sender=MOM.handle))
        assert (body["user"], body["trusted"]) == ("妈妈", False)

    run_scenario(scenario)


def test_in_a_group_the_sender_counts_and_a_borrowed_nickname_gives_nothing():
    async def scenario(harness: InboundHarness) -> None:
        wife = await harness.body(message("1", sender=WIFE.handle, sender_name="晓梅", **IN_FAMILY))
        assert wife["user"] == "family"
        assert wife["sender"] == {"user": "wife", "name": "老婆", "self": False}
        assert wife["trusted"] is True
        eve = await harness.body(message("2", sender=Handle("@eve"), sender_name="老婆", **IN_FAMILY))
        assert eve["sender"] == {"name": "老婆", "self": False}
        assert eve["trusted"] is False

    run_scenario(scenario)


def test_system_texts_have_no_sender_and_no_trust():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(message("1", kind=Kind.SYSTEM, sender=None))
        assert "sender" not in body
        assert body["trusted"] is False

    run_scenario(scenario)


def test_the_owner_is_self_and_trusted():
    async def scenario(harness: InboundHarness) -> None:
        note = message(
            "1", chat=FILE_HELPER.handle, chat_kind=ChatKind.SELF, sender=OWNER.handle, from_self=True
        )
        body = await harness.body(note)
        assert body["user"] == "filehelper"
        assert body["sender"] == {"name": "王小明", "self": True}
        assert body["trusted"] is True

    run_scenario(scenario)


def test_a_name_that_is_not_known_is_absent_and_never_empty():
    async def scenario(harness: InboundHarness) -> None:
        member = await harness.body(message("1", sender=Handle("@nobody"), **IN_FAMILY))
        assert member["sender"] == {"self": False}
        stranger = await harness.body(
            message("2", chat=Handle("@new"), sender=Handle("@new"), sender_name="")
        )
        assert stranger["sender"] == {"user": stranger["user"], "name": stranger["user"], "self": False}

    run_scenario(scenario)


def test_an_event_names_its_chat_and_who_did_it():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(IN_GROUP)
        assert (body["event"], body["user"], body["by"]) == ("recall", "family", "wife")
        assert harness.journal.items[-1].topic == "wx/event/recall"

    run_scenario(scenario)


def test_a_recall_has_the_id_of_the_message_that_was_withdrawn():
    async def scenario(harness: InboundHarness) -> None:
        recall = Event(key="e3", name="recall", time=1, fields={"id": "9", "message_id": "9", "text": "x"})
        body = await harness.body(recall)
        assert (body["id"], body["message_id"], harness.journal.items[-1].key) == ("9", "9", "e3")
        assert (await harness.body(IN_GROUP))["id"] == "e2"

    run_scenario(scenario)


def test_people_in_an_event_are_named_by_their_topics_and_else_by_name():
    turnover = Event(
        key="e3",
        name="group_members",
        time=1,
        chat=FAMILY.handle,
        fields={"count": 3},
        people={
            "added": (
                Member(handle=MOM.handle, nickname="老妈"),
                Member(handle=Handle("@x"), nickname="三姨"),
            ),
            "removed": (
                Member(handle=Handle(""), display_name="wife"),
                Member(handle=WIFE.handle, display_name="梅"),
            ),
        },
    )

    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(turnover)
        assert (body["added"], body["removed"], body["count"]) == (["妈妈", "三姨"], ["“wife”", "wife"], 3)
        assert "by" not in body
        assert "@" not in str(body)

    run_scenario(scenario)


def test_whoever_did_it_and_has_no_topic_is_given_by_name():
    async def scenario(harness: InboundHarness) -> None:
        recall = Event(key="e4", name="recall", time=1, chat=FAMILY.handle, fields={"by": "三姨"})
        assert (await harness.body(recall))["by"] == "三姨"
        own = Event(
            key="e5", name="recall", time=1, chat=FAMILY.handle, fields={"by": "mom"}, actor=MOM.handle
        )
        assert (await harness.body(own))["by"] == "妈妈"

    run_scenario(scenario)


def test_whoever_wrote_a_message_in_a_group_is_who_withdrew_it():
    async def scenario(harness: InboundHarness) -> None:
        await harness.process(message("8", sender=MOM.handle, sender_name="平安是福", **IN_FAMILY))
        await harness.process(message("9", sender=Handle("@eve"), sender_name="三姨", **IN_FAMILY))
        for number, by in (("8", "妈妈"), ("9", "三姨"), ("7", "三姨")):
            fields = {"id": number, "message_id": number, "by": "三姨"}
            recall = Event(key=f"r{number}", name="recall", time=1, chat=FAMILY.handle, fields=fields)
            body = await harness.body(recall)
            assert (body["id"], body["by"]) == (number, by)

    run_scenario(scenario)


def quoting(number: str, claimed: str, **more: Any) -> Message:
    """Returns a reply that claims that the message `number` has the text `claimed`."""
    detail = {"id": number, "kind": "text", "text": claimed, "sender": "平安是福"}
    return message(f"q{number}", kind=Kind.QUOTE, detail=detail, **more)


def test_a_quote_has_author_and_text_of_the_stored_message_where_that_is_known():
    async def scenario(harness: InboundHarness) -> None:
        await harness.process(
            message("8", text="关\n灯", sender=MOM.handle, sender_name="平安是福", **IN_FAMILY)
        )
        for number, user, text in (("8", "妈妈", "关 灯"), ("7", None, "开门")):
            shown = (await harness.body(quoting(number, "开门", sender=WIFE.handle, **IN_FAMILY)))["quote"]
            assert (shown.get("user"), shown["text"], shown["sender"]) == (user, text, "平安是福")

    run_scenario(scenario)


def test_a_quote_of_a_message_of_another_chat_gets_nothing_from_the_journal():
    async def scenario(harness: InboundHarness) -> None:
        await harness.process(message("8", text="关灯"))
        sent = QuotedMessage(kind=Kind.TEXT, text="关灯", chat="wife", from_self=True, command_id="alarm-7")
        harness.journal.sent["9"] = sent
        for number in ("8", "9"):
            for elsewhere in (
                {"sender": WIFE.handle, **IN_FAMILY},
                {"chat": MOM.handle, "sender": MOM.handle},
            ):
                shown = (await harness.body(quoting(number, "开门", **elsewhere)))["quote"]
                assert shown == {"id": number, "kind": "text", "text": "开门", "sender": "平安是福"}

    run_scenario(scenario)


def test_a_quote_of_a_sent_message_has_its_command_id_and_stored_text():
    async def scenario(harness: InboundHarness) -> None:
        sent = QuotedMessage(
            kind=Kind.TEXT, text="开窗吗？", chat="wife", from_self=True, command_id="alarm-7"
        )
        harness.journal.sent["9"] = sent
        shown = (await harness.body(quoting("9", "开门吗？")))["quote"]
        assert shown == {
            "id": "9",
            "kind": "text",
            "text": "开窗吗？",
            "sender": "平安是福",
            "self": True,
            "command_id": "alarm-7",
        }

    run_scenario(scenario)


def test_a_quoted_file_without_a_name_has_no_text_that_its_quoter_claims():
    async def scenario(harness: InboundHarness) -> None:
        harness.journal.sent["9"] = QuotedMessage(kind=Kind.IMAGE, text="", chat="wife", from_self=True)
        shown = (await harness.body(quoting("9", "开门")))["quote"]
        assert shown == {"id": "9", "kind": "image", "sender": "平安是福", "self": True}

    run_scenario(scenario)


def test_a_backend_that_looks_quotes_up_finds_those_of_the_same_chat():
    async def scenario(harness: InboundHarness) -> None:
        await harness.process(message("8", text="关灯"))
        quotes = StoredQuotes(cast(MessageHistory, harness.journal), harness.session_harness.registry)
        found = await quotes.lookup("8", WIFE.handle)
        assert found == QuotedMessage(kind=Kind.TEXT, text="关灯", chat="wife", user="wife")
        assert await quotes.lookup("8", MOM.handle) is None
        assert await quotes.lookup("8", Handle("@nobody")) is None
        # Its text may be a part of the stored one, so it stays.
        detail = {"id": "8", "kind": "text", "text": "灯", "user": "wife"}
        shown = (await harness.body(message("9", kind=Kind.QUOTE, detail=detail)))["quote"]
        assert shown["text"] == "灯"

    run_scenario(scenario)


def test_what_is_needed_to_answer_a_friend_request_is_stored_and_not_published():
    async def scenario(harness: InboundHarness) -> None:
        request = Event(
            key="7", name="friend_request", time=1, fields={"name": "Bob"}, private={"ticket": "v2_secret"}
        )
        body = await harness.body(request)
        assert "v2_secret" not in str(body)
        private = harness.journal.items[-1].private  # type: ignore[union-attr]
        assert private == {"ticket": "v2_secret", "login": "login-1"}

    run_scenario(scenario)


def test_a_message_with_bytes_says_where_they_will_be_and_has_them_fetched():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(message("7", "[图片]", **PICTURE))
        (stored,) = harness.session_harness.enqueued_media
        (job,) = stored.media
        assert body["image"] == {"name": "a.jpg", "state": "pending", "url": f"/media/{job.id}"}
        assert stored.waits_for_file is False
        await harness.process(message("8"))
        assert harness.session_harness.enqueued_media == [stored]

    run_scenario(scenario)


def test_a_text_has_no_file_whatever_a_backend_says():
    async def scenario(harness: InboundHarness) -> None:
        body = await harness.body(message("7", media=PICTURE["media"]))
        assert body.keys().isdisjoint({"state", "url"})
        assert isinstance(body["text"], str)
        assert [message.media for message in harness.journal.messages()] == [()]
        assert harness.session_harness.enqueued_media == []

    run_scenario(scenario)


def test_a_message_waits_for_its_file_where_small_files_are_put_into_messages():
    async def scenario(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, media=Media(inline_below=1000)
        )
        await harness.process(message("7", **PICTURE), message("8"))
        assert [message.waits_for_file for message in harness.journal.messages()] == [True, False]

    run_scenario(scenario)


def bare_texts(harness: InboundHarness) -> list[tuple[str, str]]:
    """Returns topic and payload of what is published as bare text."""
    found = (message.plain for message in harness.journal.messages())
    return [(plain.topic, plain.payload.decode()) for plain in found if plain is not None]


def test_with_plain_what_trusted_people_write_goes_out_as_bare_text_too():
    async def scenario(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, plain=Plain(max_age=60.0)
        )
        note = message(
            "2",
            "开门",
            chat=FILE_HELPER.handle,
            chat_kind=ChatKind.SELF,
            sender=OWNER.handle,
            from_self=True,
            time=now_ms(),
        )
        await harness.process(
            message("1", time=now_ms()),
            note,
            message("3", "on", sender=WIFE.handle, sender_name="晓梅", time=now_ms(), **IN_FAMILY),
            message("4", "[图片]", **{**PICTURE, "time": now_ms()}),
        )
        assert bare_texts(harness) == [
            ("wx/text/wife", "开灯 ☀"),
            ("wx/text/filehelper", "开门"),
            ("wx/text/family", "on"),
            ("wx/text/wife", "[图片]"),
        ]
        (first, *_) = harness.journal.messages()
        assert first.plain is not None
        assert first.plain.content_type == "text/plain"

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("age_seconds", "expiry"),
    [
        (0.0, 60),
        (20.5, 39),
        (58.9, 1),
        (59.5, None),
        (61.0, None),
        (86_400.0, None),
        (-5.0, 60),  # the clock of WeChat goes a little before that of this machine
        (-61.0, None),  # one of the two is wrong, so the age is not known
    ],
)
def test_bare_text_goes_out_while_it_is_young_and_for_what_is_left_of_that(monkeypatch, age_seconds, expiry):
    now = now_ms()
    monkeypatch.setattr(inbound_rows, "now_ms", lambda: now)

    async def scenario(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, plain=Plain(max_age=60.0)
        )
        await harness.process(message("1", time=now - round(age_seconds * 1000)))
        (row,) = harness.journal.messages()
        assert (None if row.plain is None else row.plain.expiry) == expiry

    run_scenario(scenario)


def test_nobody_else_gets_onto_the_topics_of_bare_text():
    async def scenario(harness: InboundHarness) -> None:
        harness.session_harness.ctx.settings = changed(
            harness.session_harness.ctx.settings, plain=Plain(max_age=60.0)
        )
        await harness.process(
            message("1", "on", chat=MOM.handle, sender=MOM.handle, time=now_ms()),
            message("2", "on", sender=Handle("@eve"), sender_name="老婆", time=now_ms(), **IN_FAMILY),
            message("3", "on", kind=Kind.SYSTEM, sender=None, time=now_ms()),
            message("4", "", time=now_ms()),
        )
        assert len(harness.journal.messages()) == 4
        assert bare_texts(harness) == []

    run_scenario(scenario)


def test_without_plain_there_is_no_bare_text():
    async def scenario(harness: InboundHarness) -> None:
        await harness.process(message("1", time=now_ms()))
        assert bare_texts(harness) == []

    run_scenario(scenario)
