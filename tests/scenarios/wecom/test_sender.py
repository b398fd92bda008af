"""Drafts to WeCom over a real socket: what goes out, and what each answer means."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.wecom.sending import ANNA, FAMILY, connected_client, file_draft, text_draft
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_gateway import Gateway, refusing
from tests.support.wecom_uploads import INIT, PIECE, SEND, Uploads
from wx2mqtt.errors import BackendError, OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import Button, ButtonPress, Draft, Kind, Receipt
from wx2mqtt.wechat.wecom import connection as connection_module
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.sender import Sender

BUTTONS = (Button(text="Yes", key="y"), Button(text="No", key="n"))
LONG_TEXT = "Shall I open the garage? " * 30


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[WeComClient]:
    async with connected_client(gateway) as client:
        yield client


@pytest.fixture
def sender(client: WeComClient) -> Sender:
    return Sender(client, "aibK1")


@pytest.fixture
def uploads(gateway: Gateway) -> Uploads:
    uploads = Uploads()
    gateway.behave = uploads.behave
    return uploads


def bodies(gateway: Gateway, command: str = SEND) -> list[dict[str, Any]]:
    """Returns the bodies of the requests with this command."""
    return [request["body"] for request in gateway.sent(command)]


async def refusal(sender: Sender, draft: Draft) -> BackendError:
    """Sends a draft that must fail; returns the error."""
    with pytest.raises(BackendError) as refused:
        await sender.send(draft)
    return refused.value


# Texts


async def test_a_text_is_sent_to_a_person_and_to_a_group(gateway, sender):
    assert await sender.send(text_draft("*hi*")) == Receipt(message_id=None)
    await sender.send(text_draft("# _all_", FAMILY))
    await sender.send(text_draft("# _all_", FAMILY, markdown=True))
    assert bodies(gateway) == [
        {"chatid": "Anna", "chat_type": 1, "msgtype": "markdown", "markdown": {"content": "\\*hi\\*"}},
        {
            "chatid": "wrkFamily",
            "chat_type": 2,
            "msgtype": "markdown",
            "markdown": {"content": "\\# \\_all\\_"},
        },
        {"chatid": "wrkFamily", "chat_type": 2, "msgtype": "markdown", "markdown": {"content": "# _all_"}},
    ]
    ids = [request["headers"]["req_id"] for request in gateway.requests]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [(" \n\t", "empty"), ("*" * 10_241, "too_long"), ("家" * 6827, "too_long"), ("\ud800", "bad_command")],
)
async def test_what_wecom_would_refuse_is_not_sent(gateway, sender, text: str, code: str):
    raised = await refusal(sender, text_draft(text))
    assert isinstance(raised, Rejected)
    assert raised.code == code
    assert not gateway.requests


async def test_as_much_as_wecom_takes_is_sent(gateway, sender):
    await sender.send(text_draft("*" * 10_240))
    assert len(bodies(gateway)[0]["markdown"]["content"]) == 20_480


# Answers


@pytest.mark.parametrize(
    ("errcode", "error", "code"),
    [
        (93006, Rejected, "no_chat"),
        (93001, Rejected, "no_chat"),
        (93008, Rejected, "no_chat"),
        (93017, Rejected, "refused_by_wechat"),
        (93018, Rejected, "refused_by_wechat"),
        (93019, Rejected, "refused_by_wechat"),
        (40201, Rejected, "refused_by_wechat"),
        (12345, Rejected, "refused_by_wechat"),
        (45009, Throttled, ""),
        (846605, Unreachable, ""),
        (846608, Unreachable, ""),
        (846609, Unreachable, ""),
    ],
)
async def test_each_refusal_is_the_error_that_fits_its_code(
    gateway, sender, errcode: int, error: type[BackendError], code: str
):
    gateway.behave = refusing(errcode, SEND, errmsg="words of WeCom")
    raised = await refusal(sender, text_draft("x"))
    assert type(raised) is error
    if isinstance(raised, Rejected):
        assert raised.code == code
        assert str(errcode) in str(raised)
        assert "words of WeCom" in str(raised)
    assert len(gateway.requests) == 1


async def test_without_an_answer_the_outcome_is_unknown(
    gateway, sender, uploads, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection_module, "ANSWER_SECONDS", 0.1)
    uploads.faults[SEND].extend([None, "close"])
    assert type(await refusal(sender, text_draft("x"))) is OutcomeUnknown
    assert type(await refusal(sender, text_draft("x"))) is OutcomeUnknown
    assert type(await refusal(sender, text_draft("x"))) is Unreachable  # nothing was written
    assert len(bodies(gateway)) == 2


# Files


async def test_each_kind_of_file(gateway, sender, uploads, tmp_path: Path):
    for kind in (Kind.IMAGE, Kind.VIDEO, Kind.FILE):
        draft = file_draft(tmp_path, os.urandom(600_000), kind, name=f"{kind}.bin", chat=FAMILY)
        await sender.prepare(draft)
        assert await sender.send(draft) == Receipt(message_id=None)
        assert draft.attachment is not None
        assert uploads.files[f"media-{len(uploads.files)}"] == draft.attachment.file.read_bytes()
    to = {"chatid": "wrkFamily", "chat_type": 2}
    assert bodies(gateway) == [
        {**to, "msgtype": "image", "image": {"media_id": "media-1"}},
        {**to, "msgtype": "video", "video": {"media_id": "media-2", "title": "video.bin"}},
        {**to, "msgtype": "file", "file": {"media_id": "media-3"}},
    ]
    assert len(gateway.sent(INIT)) == 3
    assert not uploads.violations


async def test_a_file_that_was_not_prepared_is_uploaded_first(gateway, sender, uploads, tmp_path: Path):
    await sender.send(file_draft(tmp_path, b"hello"))
    assert [request["cmd"] for request in gateway.requests] == [
        INIT,
        PIECE,
        "aibot_upload_media_finish",
        SEND,
    ]


async def test_a_picture_that_is_refused_goes_as_a_file(gateway, sender, uploads, tmp_path: Path):
    uploads.faults[SEND].append(93018)
    draft = file_draft(tmp_path, b"picture", Kind.IMAGE)
    await sender.send(draft)
    await sender.send(draft)
    assert [body["msgtype"] for body in bodies(gateway)] == ["image", "file", "file"]
    assert len(uploads.files) == 2


async def test_a_picture_for_a_chat_that_is_none_is_not_tried_as_a_file(
    gateway, sender, uploads, tmp_path: Path
):
    uploads.faults[SEND].append(93006)
    raised = await refusal(sender, file_draft(tmp_path, b"picture", Kind.IMAGE))
    assert isinstance(raised, Rejected)
    assert raised.code == "no_chat"
    assert len(bodies(gateway)) == 1


async def test_an_upload_with_which_a_message_was_refused_is_made_anew(
    gateway, sender, uploads, tmp_path: Path
):
    uploads.faults[SEND].append(40007)
    draft = file_draft(tmp_path, b"hello")
    await refusal(sender, draft)
    await sender.send(draft)
    assert [body["file"]["media_id"] for body in bodies(gateway)] == ["media-1", "media-2"]


@pytest.mark.parametrize(
    ("size", "kind", "mime", "code"),
    [
        (4, Kind.FILE, "text/plain", "bad_file"),
        (0, Kind.FILE, "text/plain", "empty"),
        (20 * 1024 * 1024 + 1, Kind.FILE, "text/plain", "too_large"),
        (5, Kind.IMAGE, "image/webp", "unsupported"),
        (5, Kind.STICKER, "image/gif", "unsupported"),
    ],
)
async def test_the_upload_of_a_file_that_wecom_never_takes_is_not_begun(
    gateway, sender, tmp_path: Path, size: int, kind: Kind, mime: str, code: str
):
    for call in (sender.prepare, sender.send):
        with pytest.raises(Rejected) as refused:
            await call(file_draft(tmp_path, bytes(size), kind, mime=mime))
        assert refused.value.code == code
    assert not gateway.requests


# Questions


async def test_a_question_is_a_card(gateway, sender):
    draft = text_draft("Open the garage?", buttons=BUTTONS, card_id="q1")
    assert await sender.send(draft) == Receipt(message_id=None)
    (body,) = bodies(gateway)
    assert (body["chatid"], body["chat_type"], body["msgtype"]) == ("Anna", 1, "template_card")
    card = body["template_card"]
    assert (card["card_type"], card["task_id"]) == ("button_interaction", "q1")
    assert card["main_title"] == {"title": "Open the garage?"}
    assert [(button["text"], button["key"]) for button in card["button_list"]] == [("Yes", "y"), ("No", "n")]


@pytest.mark.parametrize(("text", "markdown"), [(LONG_TEXT, False), ("**Open?**", True)])
async def test_a_text_that_no_card_can_show_is_sent_before_the_card(
    gateway, sender, text: str, markdown: bool
):
    await sender.send(text_draft(text, buttons=BUTTONS, card_id="q1", markdown=markdown))
    first, second = bodies(gateway)
    assert first["markdown"]["content"] == (text if markdown else text.strip())
    assert len(second["template_card"]["main_title"]["title"]) <= 26


async def test_a_text_that_was_sent_is_not_sent_again_with_its_card(gateway, sender, uploads):
    uploads.faults[SEND].extend([0, 45009])
    draft = text_draft(LONG_TEXT, buttons=BUTTONS, card_id="q1")
    assert isinstance(await refusal(sender, draft), Throttled)
    await sender.send(draft)
    await sender.send(text_draft(LONG_TEXT, buttons=BUTTONS, card_id="q2"))
    assert [body["msgtype"] for body in bodies(gateway)] == [
        *("markdown", "template_card", "template_card"),
        *("markdown", "template_card"),
    ]


def press(connection: str, **more: Any) -> ButtonPress:
    private = {"connection": connection, "request_id": "r1"}
    return ButtonPress(
        key="e1", chat=ANNA, sender=ANNA, card_id="q1", button="y", time=1, private=private, **more
    )


@pytest.mark.parametrize(("chosen", "words"), [("Yes", "✓ Yes"), ("", "answered already, or too late")])
async def test_the_answer_is_shown_on_the_card(gateway, client, sender, chosen: str, words: str):
    await sender.update_card(press(client.connection.id), LONG_TEXT, chosen)
    (request,) = gateway.sent("aibot_respond_update_msg")
    assert request["headers"]["req_id"] == "r1"
    assert request["body"]["response_type"] == "update_template_card"
    card = request["body"]["template_card"]
    assert (card["card_type"], card["task_id"]) == ("text_notice", "q1")
    assert card["card_action"]["type"] == 1
    assert words in str(card)


async def test_a_press_of_another_connection_is_not_answered(gateway, client, sender):
    earlier_connection = client.connection.id
    await client.subscribe()
    with pytest.raises(Unreachable):
        await sender.update_card(press(earlier_connection), "Open?", "Yes")
    assert not gateway.sent("aibot_respond_update_msg")


async def test_a_refused_update_of_a_card_is_an_error(gateway, client, sender):
    gateway.behave = refusing(42045, "aibot_respond_update_msg")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        with pytest.raises(Rejected, match="42045"):
            await sender.update_card(press(client.connection.id), "Open?", "Yes")
