"""Uploads: every variant of ilink 8.2, and no file whole in memory."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.wechat.ilink.entries import ME
from tests.unit.wechat.ilink.files import draft, opened
from tests.unit.wechat.ilink.server import DEAD, ENDPOINT, ILinkRig, answer, raw
from tests.unit.wechat.rig import query, refused
from wx2mqtt.errors import BackendError, LoggedOut, Rejected, Throttled, Unreachable
from wx2mqtt.model import Kind, SendKey
from wx2mqtt.wechat.http_client import BadAnswer

pytestmark = pytest.mark.usefixtures("online")
TAKEN = raw(b"", x_encrypted_param="PARAM=")


async def send(rig: ILinkRig, folder: Path, *args: Any, key: str = "1", **more: Any) -> None:
    await rig.send(draft(folder, *args, **more), SendKey(key))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 131_071, 131_072, 131_073, 400_000])
async def test_what_arrives_is_the_file_encrypted(rig: ILinkRig, tmp_path: Path, size: int) -> None:
    plain = bytes(number % 251 for number in range(size))
    await send(rig, tmp_path, plain)
    (place,), (upload,) = rig.bodies("getuploadurl"), rig.asked("upload")
    assert len(upload.content) == place["filesize"] == int(upload.headers["Content-Length"])
    assert opened(upload.content, bytes.fromhex(place["aeskey"])) == plain
    assert (place["rawsize"], place["rawfilemd5"]) == (size, hashlib.md5(plain).hexdigest())
    assert upload.headers["Content-Type"] == "application/octet-stream"
    assert upload.method == "POST"
    assert "Authorization" not in upload.headers
    assert "Transfer-Encoding" not in upload.headers
    (item,) = rig.bodies("sendmessage")[0]["msg"]["item_list"]
    key = base64.b64encode(place["aeskey"].encode()).decode()
    assert item["file_item"]["media"] == {"encrypt_query_param": "PARAM=", "aes_key": key, "encrypt_type": 1}


@pytest.mark.parametrize(
    ("kind", "number", "item"), [(Kind.IMAGE, 1, 2), (Kind.VIDEO, 2, 5), (Kind.FILE, 3, 4)]
)
async def test_each_kind_has_its_numbers(
    rig: ILinkRig, tmp_path: Path, kind: Kind, number: int, item: int
) -> None:
    await send(rig, tmp_path, kind=kind)
    assert rig.bodies("getuploadurl")[0]["media_type"] == number
    assert rig.bodies("getuploadurl")[0]["to_user_id"] == ME
    assert rig.bodies("sendmessage")[0]["msg"]["item_list"][0]["type"] == item


async def test_every_file_has_a_key_of_its_own(rig: ILinkRig, tmp_path: Path) -> None:
    await send(rig, tmp_path, b"one")
    await send(rig, tmp_path, b"two")
    first, second = rig.bodies("getuploadurl")
    assert first["aeskey"] != second["aeskey"]
    assert first["filekey"] != second["filekey"]


async def test_the_whole_address_goes_before_one_of_our_own(rig: ILinkRig, tmp_path: Path) -> None:
    rig.put("getuploadurl", answer(upload_full_url=f"{ENDPOINT}/c2c/upload?taskid=1", upload_param="P+/"))
    await send(rig, tmp_path)
    assert query(rig.asked("upload")[0]) == {"taskid": "1"}


async def test_with_a_parameter_alone_the_address_is_made(rig: ILinkRig, tmp_path: Path) -> None:
    rig.put("getuploadurl", answer(ret=0, upload_param="P+/= &"))
    await send(rig, tmp_path)
    (upload,) = rig.asked("upload")
    assert str(upload.url).startswith(f"{ENDPOINT}/c2c/upload?")
    filekey = rig.bodies("getuploadurl")[0]["filekey"]
    assert query(upload) == {"encrypted_query_param": "P+/= &", "filekey": filekey}


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(ret=0), BadAnswer),
        (answer(ret=-1), Unreachable),
        (answer(ret=-2, errmsg="no"), Rejected),
        (answer(ret=-12), Throttled),
        (answer(**DEAD), LoggedOut),
        (raw(b"", 500), Unreachable),
        (raw(b"<html>"), Unreachable),
        (httpx.ReadTimeout("x"), Unreachable),
    ],
)
async def test_without_a_place_nothing_was_delivered(
    rig: ILinkRig, tmp_path: Path, response: Any, error: type[BackendError]
) -> None:
    rig.put("getuploadurl", response)
    with pytest.raises(error):
        await send(rig, tmp_path)
    assert rig.asked("sendmessage") == []


@pytest.mark.parametrize(
    "failure",
    [
        raw(b"", 500),
        raw(b"", 503),
        raw(b"", 302),
        raw(b""),
        raw(b"", 206),
        httpx.ReadError("x"),
        httpx.WriteTimeout("x"),
    ],
)
async def test_what_the_cdn_cannot_take_now_it_gets_again(
    rig: ILinkRig, tmp_path: Path, failure: Any
) -> None:
    rig.put("upload", failure, failure, TAKEN)
    await send(rig, tmp_path, b"x" * 300_000)
    uploads = rig.asked("upload")
    assert len({upload.content for upload in uploads}) == 1
    assert len(uploads) == 3


async def test_a_file_that_the_cdn_cannot_take_three_times_was_not_delivered(
    rig: ILinkRig, tmp_path: Path
) -> None:
    rig.put("upload", raw(b"", 500))
    with pytest.raises(Unreachable):
        await send(rig, tmp_path)
    assert len(rig.asked("upload")) == 3
    assert rig.asked("sendmessage") == []


async def test_what_the_cdn_refuses_it_gets_once(rig: ILinkRig, tmp_path: Path) -> None:
    rig.put("upload", raw(b"", 400, x_error_message="bad\tdata"))
    with pytest.raises(Rejected, match=r"\(400\): bad data"):
        await send(rig, tmp_path)
    assert len(rig.asked("upload")) == 1


async def test_an_address_that_is_not_wechat_s_gets_no_file(tmp_path: Path) -> None:
    rig = ILinkRig(endpoint=None)
    await rig.log_in()
    rig.put("getuploadurl", answer(upload_full_url="https://evil.example/c2c/upload"))
    with pytest.raises(BadAnswer, match="no address"):
        await send(rig, tmp_path)
    rig.put("getuploadurl", answer(upload_full_url="https://evil.example/c2c/upload", upload_param="P"))
    await send(rig, tmp_path)
    assert rig.asked("upload")[0].url.host == "novac2c.cdn.weixin.qq.com"


async def test_another_attempt_uploads_nothing(rig: ILinkRig, tmp_path: Path) -> None:
    rig.put("sendmessage", raw(b"", 502), answer(ret=0, message_id=5))
    with pytest.raises(Unreachable):
        await send(rig, tmp_path)
    await send(rig, tmp_path)
    assert len(rig.asked("upload")) == 1
    await send(rig, tmp_path, name="b.pdf")
    assert len(rig.asked("upload")) == 2


async def test_a_place_at_the_cdn_is_not_trusted_for_long(rig: ILinkRig, tmp_path: Path) -> None:
    await send(rig, tmp_path)
    rig.clock.time += 601
    await send(rig, tmp_path)
    assert len(rig.asked("upload")) == 2


async def test_a_file_that_was_refused_is_brought_anew(rig: ILinkRig, tmp_path: Path) -> None:
    rig.put("sendmessage", answer(ret=-3), answer(ret=0))
    with pytest.raises(Rejected):
        await send(rig, tmp_path)
    await send(rig, tmp_path)
    assert len(rig.asked("upload")) == 2


async def test_only_so_many_places_are_remembered(rig: ILinkRig, tmp_path: Path) -> None:
    for number in range(34):
        await send(rig, tmp_path, bytes([1, number]))
    await send(rig, tmp_path, bytes([1, 0]))
    assert len(rig.asked("upload")) == 35


async def test_a_file_that_cannot_be_read_is_refused_as_bad(rig: ILinkRig, tmp_path: Path) -> None:
    removed_file = draft(tmp_path)
    (tmp_path / "file").unlink()
    with refused("bad_file"):
        await rig.send(removed_file, SendKey("1"))


async def test_a_file_that_became_shorter_is_refused_as_bad(rig: ILinkRig, tmp_path: Path) -> None:
    shorter = draft(tmp_path, b"x" * 300_000)
    (tmp_path / "file").write_bytes(b"x" * 200_000)
    with refused("bad_file"):
        await rig.send(shorter, SendKey("1"))
    assert rig.asked("sendmessage") == []


async def test_no_key_and_no_address_is_logged(
    online: ILinkRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    online.put("upload", raw(b"", 500), TAKEN)
    await send(online, tmp_path)
    place = online.bodies("getuploadurl")[0]
    shown = "".join(capsys.readouterr())
    assert "file uploaded" in shown
    for secret in ("SECRET", place["aeskey"], place["filekey"], "PARAM", online.cursor):
        assert secret not in shown
