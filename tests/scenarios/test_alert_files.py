"""Sends alerts with files through apprise, to services that take files, refuse them or know none."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.alarm_receiver import AlarmReceiver
from wx2mqtt.external.alerts import Alert, AlertOutcome, send_alert
from wx2mqtt.model import Attachment, Blob

# Apprise raises deprecation warnings of its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PICTURE = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
def receiver() -> Iterator[AlarmReceiver]:
    with AlarmReceiver() as receiver:
        yield receiver


def with_picture(folder: Path, mime: str = "image/jpeg") -> Alert:
    """Returns an alert with a picture, which the store calls by its digest."""
    digest = "5" * 64
    (folder / digest).write_bytes(PICTURE)
    blob = Blob(sha256=digest, size=len(PICTURE), mime=mime, path=digest)
    attachment = Attachment(file=folder / digest, name="door.jpg", blob=blob)
    return Alert(title="a", body="[image] door.jpg", attachment=attachment)


@pytest.mark.parametrize("mime", ["image/jpeg", "image/x-nobody-knows-it"])
async def test_a_file_is_sent_under_its_name(receiver: AlarmReceiver, tmp_path: Path, mime: str) -> None:
    assert await send_alert([receiver.url], with_picture(tmp_path, mime)) is AlertOutcome.SENT
    (delivered,) = receiver.bodies
    assert delivered["message"] == "[image] door.jpg"
    (file,) = delivered["attachments"]
    assert (file["filename"], file["mimetype"]) == ("door.jpg", "image/jpeg")
    assert base64.b64decode(file["base64"]) == PICTURE


async def test_a_service_that_refuses_the_file_gets_the_text(receiver: AlarmReceiver, tmp_path: Path) -> None:
    receiver.refuses_files = True
    assert await send_alert([receiver.url], with_picture(tmp_path)) is AlertOutcome.SENT
    assert [len(delivered["attachments"]) for delivered in receiver.bodies] == [1, 0]
    assert receiver.bodies[1]["message"] == "[image] door.jpg"


async def test_the_text_is_sent_where_the_file_is_gone(receiver: AlarmReceiver, tmp_path: Path) -> None:
    alert = with_picture(tmp_path)
    assert alert.attachment
    alert.attachment.file.unlink()
    assert await send_alert([receiver.url], alert) is AlertOutcome.SENT
    (delivered,) = receiver.bodies
    assert (delivered["message"], delivered["attachments"]) == ("[image] door.jpg", [])


async def test_a_service_that_takes_no_files_gets_the_text_once(
    receiver: AlarmReceiver, tmp_path: Path
) -> None:
    receiver.status = 500
    gotify = receiver.url.replace("json://", "gotify://").replace("/hook-s3cr3t-path", "/t0k3n-of-gotify")
    assert await send_alert([gotify], with_picture(tmp_path)) is AlertOutcome.FAILED
    (delivered,) = receiver.bodies
    assert delivered["message"] == "[image] door.jpg"
