"""The JSON of a file in a message, in its event, in an answer and in the history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.account_rig import account_settings
from tests.support.memory_backend import WIFE, MemoryBackend
from tests.support.rows import every_row
from tests.unit.bridge.media.rows import BLOB, NOW, REF, row
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.media.media_payloads import (
    THUMBNAIL_DELAY_MS,
    media_answer,
    media_event,
    media_in_message,
    media_jobs,
    waits_for_file,
    with_current_media,
)
from wx2mqtt.model import Kind, MediaRef, Message
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.store.records import MediaPart, MediaState

SETTINGS = account_settings()
SMALL = MediaRef(locator={"call": "thumbnail", "msgid": "77"})


def media_object(received: Message, given: AccountSettings = SETTINGS) -> Any:
    return media_in_message(received, media_jobs(received, given, NOW), given)


def picture(**more: Any) -> Message:
    return MemoryBackend().message(
        WIFE, "[图片]", **{"id": "77", "kind": Kind.IMAGE, "media": REF, "thumbnail": SMALL, **more}
    )


def test_a_picture_says_from_the_start_where_its_bytes_will_be():
    picture_message = picture()
    whole, small = media_jobs(picture_message, SETTINGS, NOW)
    assert media_in_message(picture_message, (whole, small), SETTINGS) == {
        "mime": "image/jpeg",
        "size": 5,
        "name": "a.jpg",
        "state": "pending",
        "url": f"/media/{whole.id}",
        "thumbnail": {"state": "pending", "url": f"/media/{small.id}"},
    }


def test_ids_cannot_be_guessed_and_fit_into_a_url():
    ids = {job.id for _ in range(100) for job in media_jobs(picture(), SETTINGS, NOW)}
    assert len(ids) == 200
    assert all(len(media_id) >= 20 and media_id.isalnum() for media_id in ids)


def test_small_pictures_come_after_the_things_themselves():
    whole, small = media_jobs(picture(), SETTINGS, NOW)
    assert (whole.part, whole.due, whole.kind) == (MediaPart.WHOLE, NOW, "image")
    assert (small.part, small.due) == (MediaPart.THUMBNAIL, NOW + THUMBNAIL_DELAY_MS)


def test_where_nothing_is_to_be_downloaded_it_waits_to_be_asked_for():
    given = account_settings(media={"download": False})
    assert [job.due for job in media_jobs(picture(), given, NOW)] == [None, None]


def test_the_url_is_whole_where_our_address_from_outside_is_known_and_absent_without_a_server():
    outside = replace(SETTINGS, media_base_url="https://home.example/wx")
    assert media_object(picture(), outside)["url"].startswith("https://home.example/wx/media/")
    nowhere = media_object(picture(), replace(SETTINGS, media_base_url=None))
    assert "url" not in nowhere
    assert nowhere["thumbnail"] == {"state": "pending"}


def test_what_is_not_known_is_absent():
    assert set(media_object(picture(media=SMALL, thumbnail=None))) == {"state", "url"}


def test_a_link_has_only_the_small_picture():
    assert set(media_object(picture(kind=Kind.LINK, media=None))) == {"thumbnail"}


def test_a_sticker_without_any_bytes_has_no_url():
    assert media_object(picture(kind=Kind.STICKER, media=None, thumbnail=None)) == {"state": "gone"}


@every_row(
    ("rules", "media", "waits"),
    [
        ({"inline_below": 100}, REF, True),
        ({"inline_below": 1}, replace(REF, size=10**9), True),  # what was announced is not looked at
        ({}, REF, False),
        ({"inline_below": 100, "download": False}, REF, False),
        ({"inline_below": 100}, None, False),
    ],
)
def test_a_message_waits_for_its_file_only_where_small_files_are_put_into_messages(rules, media, waits):
    given = account_settings(media=rules)
    assert waits_for_file(media_jobs(picture(media=media), given, NOW), given) is waits


# the event


def test_the_event_of_a_stored_file_has_all_its_facts():
    ready = row(state=MediaState.READY, blob=BLOB)
    assert media_event(ready, SETTINGS, "home", NOW) == {
        "schema": 1,
        "event": "media",
        "id": "media:m1",
        "account": "home",
        "user": "wife",
        "time": "2026-11-25T09:46:40.000Z",
        "message_id": "77",
        "media_id": "m1",
        "url": "/media/m1",
        "state": "ready",
        "name": "a.jpg",
        "path": "media/ab/ab12.png",
        "mime": "image/png",
        "size": 1234,
        "sha256": "ab12",
        "width": 640,
        "height": 480,
    }


def test_the_event_of_a_failed_download_has_the_reason():
    gone: Any = media_event(row(state=MediaState.GONE, reason="WeChat lost it"), SETTINGS, "home", NOW)
    assert (gone["state"], gone["reason"], gone["url"]) == ("gone", "WeChat lost it", "/media/m1")
    assert not gone.keys() & {"path", "size", "sha256"}


# answers


def test_an_answer_names_no_message_where_there_is_none():
    answer = media_answer(
        row(message_id="", part=MediaPart.AVATAR), replace(BLOB, width=None, height=None), SETTINGS
    )
    assert answer == {
        "url": "/media/m1",
        "name": "a.jpg",
        "path": "media/ab/ab12.png",
        "mime": "image/png",
        "size": 1234,
        "sha256": "ab12",
        "media_id": "m1",
    }


# history


def stored_payload(**shown: Any) -> bytes:
    return encode({"id": "77", "kind": "image", "text": "[图片]", "image": shown})


def test_a_message_of_the_history_says_what_is_known_of_its_bytes_by_now():
    payload = stored_payload(mime="image/jpeg", size=5, name="a.jpg", state="pending", url="/media/m1",
                   thumbnail={"state": "pending", "url": "/media/m2"})  # fmt: skip
    small = row(id="m2", part=MediaPart.THUMBNAIL, state=MediaState.GONE)
    body: Any = with_current_media(payload, [row(state=MediaState.READY, blob=BLOB), small])
    assert body["text"] == "[图片]"
    assert body["image"] == {
        "mime": "image/png",
        "size": 1234,
        "name": "a.jpg",
        "state": "ready",
        "url": "/media/m1",
        "path": "media/ab/ab12.png",
        "sha256": "ab12",
        "width": 640,
        "height": 480,
        "thumbnail": {"state": "gone", "url": "/media/m2"},
    }


def test_a_file_that_is_there_no_longer_has_no_path_any_more():
    body: Any = with_current_media(
        stored_payload(state="ready", url="/media/m1", path="media/ab/x"), [row(state=MediaState.GONE)]
    )
    assert body["image"] == {"state": "gone", "url": "/media/m1"}


@every_row("body", [{"kind": "text", "text": "x"}, {"kind": "image"}, {"kind": "image", "image": 5}, {}])
def test_a_message_without_such_an_object_stays_as_it_is(body):
    assert with_current_media(encode(body), [row()]) == body


def test_without_rows_nothing_is_known():
    assert with_current_media(stored_payload(state="pending"), [])["image"] == {"state": "pending"}
