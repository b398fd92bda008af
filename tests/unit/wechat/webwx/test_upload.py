"""Uploads: parts in order from the disk, and no second upload of the same file (webwx 2.13, 2.14)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.wechat.rig import body, refused
from tests.unit.wechat.webwx.entries import BOB, WIFE
from tests.unit.wechat.webwx.file_host import PART, FileHost
from tests.unit.wechat.webwx.forms import read_form
from tests.unit.wechat.webwx.server import WebWxRig, answer, renewing, text
from wx2mqtt.errors import BackendError, LoggedOut, Rejected, Throttled, Unreachable
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind, Receipt

MEGABYTE = 1 << 20


class Uploads(FileHost):
    """A file host that accepts every file, and a backend that is logged in and sends them."""

    def __init__(self, rig: WebWxRig, folder: Path) -> None:
        super().__init__()
        self.rig, self._folder = rig, folder
        rig.put("webwxuploadmedia", self)
        for call in ("webwxsendmsgimg", "webwxsendvideomsg", "webwxsendappmsg", "webwxsendemoticon"):
            rig.put(call, answer(MsgID="7"))

    def draft(
        self,
        content: bytes,
        kind: Kind = Kind.FILE,
        mime: str = "application/pdf",
        name: str = "季度报告.pdf",
        to: Handle = WIFE,
        size: int | None = None,
    ) -> Draft:
        sha256 = hashlib.sha256(content).hexdigest()
        file = self._folder / sha256
        file.write_bytes(content)
        blob = Blob(sha256=sha256, size=len(content) if size is None else size, mime=mime, path=sha256)
        return Draft(chat=to, kind=kind, attachment=Attachment(file=file, name=name, blob=blob))

    def sparse_draft(self, size: int) -> Draft:
        """Returns a draft of a file of zeros, which takes no space on the disk."""
        draft = self.draft(b"", size=size)
        assert draft.attachment is not None
        with draft.attachment.file.open("wb") as file:
            file.truncate(size)
        return draft

    async def send(self, *args: Any, **more: Any) -> Receipt:
        return await self.rig.send(self.draft(*args, **more))

    async def prepare(self, content: bytes) -> None:
        await self.rig.backend.prepare(self.draft(content))


@pytest.fixture
def uploads(online: WebWxRig, tmp_path: Path) -> Uploads:
    return Uploads(online, tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(size=st.one_of(st.integers(1, 3 * PART), st.sampled_from([PART - 1, PART, PART + 1, 2 * PART])))
async def test_every_size_arrives_whole_and_in_order(uploads: Uploads, size: int) -> None:
    content = bytes(number % 251 for number in range(1000)) * (size // 1000 + 1)
    uploads.forms.clear()
    await uploads.send(content[:size])
    assert content[:size] in uploads.files.values()


async def test_all_parts_of_a_file_say_the_same(uploads: Uploads) -> None:
    await uploads.send(b"x" * (2 * PART + 5))
    assert [form.pop("chunk") for form in uploads.forms] == ["0", "1", "2"]
    assert uploads.forms[0] == uploads.forms[1] == uploads.forms[2]
    assert set(uploads.names) == {"季度报告.pdf"}


async def test_each_upload_has_its_own_number(uploads: Uploads) -> None:
    for content in (b"1", b"2"):
        await uploads.send(content)
    assert [form["id"] for form in uploads.forms] == ["WU_FILE_0", "WU_FILE_1"]


async def test_a_file_that_wechat_has_is_not_uploaded_again(uploads: Uploads) -> None:
    for to in (WIFE, BOB):
        await uploads.send(b"same", to=to, name=f"{to[1]}.pdf")
    assert len(uploads.forms) == 1
    sent = [body(request)["Msg"] for request in uploads.rig.asked("webwxsendappmsg")]
    assert [message["ToUserName"] for message in sent] == [WIFE, BOB]
    assert all("@crypt_SECRET0" in message["Content"] for message in sent)
    await uploads.send(b"same", Kind.IMAGE, "image/png", "a.png")
    assert [form["mediatype"] for form in uploads.forms] == ["doc", "pic"]


async def test_two_drafts_at_once_upload_the_same_file_once(uploads: Uploads) -> None:
    drafts = [uploads.draft(b"x" * (PART + 1), to=to) for to in (WIFE, BOB)]
    await asyncio.gather(*(uploads.rig.send(draft) for draft in drafts))
    assert len(uploads.forms) == 2


async def test_uploads_side_by_side_do_not_get_mixed_up(uploads: Uploads) -> None:
    """Begun in the same millisecond: WeChat knows the parts of a file by ClientMediaId."""
    files = [bytes([number]) * (PART + 1) for number in range(3)]
    await asyncio.gather(*(uploads.send(content) for content in files))
    assert sorted(uploads.files.values()) == files


async def test_who_waited_for_an_upload_that_was_cancelled_makes_it(uploads: Uploads) -> None:
    begun, never_set = asyncio.Event(), asyncio.Event()

    async def hanging(_request: httpx.Request) -> httpx.Response:
        begun.set()
        await never_set.wait()
        raise AssertionError

    uploads.rig.put("webwxuploadmedia", hanging, uploads)
    first = asyncio.create_task(uploads.send(b"same"))
    await begun.wait()
    second = asyncio.create_task(uploads.send(b"same", to=BOB))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).message_id == "7"
    assert len(uploads.files) == 1


async def test_a_new_login_uploads_again(uploads: Uploads) -> None:
    await uploads.send(b"same")
    assert [step async for step in uploads.rig.backend.login(resume=False)]
    await uploads.send(b"same")
    assert len(uploads.files) == 2


# refusals


async def test_an_upload_that_is_used_again_and_refused_is_forgotten(uploads: Uploads) -> None:
    await uploads.send(b"same")
    uploads.rig.put("webwxsendappmsg", answer(1), answer(MsgID="8"))
    with pytest.raises(Unreachable, match="no longer"):
        await uploads.send(b"same")
    assert (await uploads.send(b"same")).message_id == "8"
    assert len(uploads.files) == 2


async def test_a_fresh_upload_that_is_refused_is_a_refusal(uploads: Uploads) -> None:
    uploads.rig.put("webwxsendappmsg", answer(1))
    for _ in range(2):
        with pytest.raises(Rejected):
            await uploads.send(b"same")
    assert len(uploads.files) == 2


# prepared before the send


async def test_what_was_prepared_is_sent_without_its_bytes(uploads: Uploads) -> None:
    for _ in range(2):
        await uploads.prepare(b"same")
    assert len(uploads.files) == 1
    assert not uploads.rig.asked("webwxsendappmsg")
    await uploads.send(b"same")
    assert len(uploads.files) == 1


async def test_a_text_needs_no_preparation(uploads: Uploads) -> None:
    await uploads.rig.backend.prepare(Draft(chat=WIFE, kind=Kind.TEXT, text="x"))
    assert not uploads.files


async def test_what_wechat_would_refuse_is_refused_before(uploads: Uploads) -> None:
    with pytest.raises(Rejected):
        await uploads.prepare(b"")
    assert not uploads.files


async def test_a_fresh_upload_that_was_prepared_and_is_refused_is_a_refusal(uploads: Uploads) -> None:
    uploads.rig.put("webwxsendappmsg", answer(1))
    await uploads.prepare(b"same")
    with pytest.raises(Rejected):
        await uploads.send(b"same")
    assert len(uploads.files) == 1


async def test_an_old_upload_that_is_refused_is_repeated_once(uploads: Uploads) -> None:
    await uploads.send(b"same")
    uploads.rig.put("webwxsendappmsg", answer(1), answer(1))
    await uploads.prepare(b"same")
    with pytest.raises(Unreachable, match="no longer"):
        await uploads.send(b"same")
    await uploads.prepare(b"same")
    with pytest.raises(Rejected):
        await uploads.send(b"same")
    assert len(uploads.files) == 2


async def test_a_refusal_by_a_stranger_keeps_the_upload(uploads: Uploads) -> None:
    uploads.rig.put("webwxsendappmsg", answer(1204), answer(1204), answer(MsgID="7"))
    for _ in range(2):
        with pytest.raises(Rejected, match="1204"):
            await uploads.send(b"same")
    await uploads.send(b"same", to=BOB)
    assert len(uploads.files) == 1


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (answer(1), Rejected),
        (answer(-14), Rejected),
        (answer(-1), Unreachable),
        (answer(1205), Throttled),
        (answer(1102), LoggedOut),
        (answer(MediaId=""), Unreachable),
        (text("", 402), Unreachable),
        (text("", 502), Unreachable),
        (text("<html>"), Unreachable),
        (text('{"BaseResponse": {"Ret"'), Unreachable),
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ReadError("x"), Unreachable),
        (httpx.WriteTimeout("x"), Unreachable),
    ],
)
@pytest.mark.parametrize("accepted_parts", [0, 1])
async def test_a_part_that_fails_was_certainly_not_delivered(
    uploads: Uploads,
    accepted_parts: int,
    answered: Any,
    error: type[BackendError],
) -> None:
    draft = uploads.draft(b"x" * (PART + 1))
    uploads.rig.put("webwxuploadmedia", *[uploads] * accepted_parts, answered)
    with pytest.raises(error) as failure:
        await uploads.rig.send(draft)
    assert "SECRET" not in str(failure.value)
    assert uploads.rig.asked("webwxsendappmsg") == []
    uploads.rig.put("webwxuploadmedia", uploads)
    await uploads.rig.send(draft)
    assert [form["chunk"] for form in uploads.forms][accepted_parts:] == ["0", "1"]  # all of it, again


def form_of(request: httpx.Request) -> dict[str, str]:
    fields = read_form(request.headers["content-type"], request.content)
    return {field.name: field.text for field in fields}


async def test_the_keys_of_a_part_are_those_of_its_moment(uploads: Uploads) -> None:
    """A sync during a long upload renews skey and tickets (webwx 2.4.2.6); old ones would end in a logout."""
    fresh = ("webwx_data_ticket=NEWdt; Domain=.qq.com; Path=/",)
    overtaken = renewing(uploads.rig, answer(MediaId=""), cookies=fresh, SKey="@crypt_NEW")
    uploads.rig.put("webwxuploadmedia", overtaken, answer(MediaId="@crypt_M"))
    await uploads.send(b"x" * (PART + 1))
    before, after = map(form_of, uploads.rig.asked("webwxuploadmedia"))
    assert (before["webwx_data_ticket"], after["webwx_data_ticket"]) == ("SECRETdt", "NEWdt")
    asked = [json.loads(form["uploadmediarequest"]) for form in (before, after)]
    assert [upload["BaseRequest"]["Skey"] for upload in asked] == ["@crypt_SECRET", "@crypt_NEW"]
    assert asked[0]["ClientMediaId"] == asked[1]["ClientMediaId"]


async def test_an_upload_refused_with_old_keys_is_no_logout(uploads: Uploads) -> None:
    uploads.rig.put("webwxuploadmedia", renewing(uploads.rig, answer(1102), SKey="@crypt_NEW"))
    with pytest.raises(Unreachable):
        await uploads.send(b"x")


async def test_an_upload_that_outlives_its_login_is_not_sent_in_the_next_one(uploads: Uploads) -> None:
    """The handle of the draft and the MediaId are of the old login."""

    async def change_login(request: httpx.Request) -> httpx.Response:
        await uploads.rig.backend.logout()
        assert [step async for step in uploads.rig.backend.login(resume=False)]
        return uploads(request)

    uploads.rig.put("webwxuploadmedia", change_login)
    for content in (b"x", b"x" * (PART + 1)):
        with pytest.raises(Unreachable, match="another login"):
            await uploads.send(content)
    assert uploads.rig.asked("webwxsendappmsg") == []
    assert len(uploads.rig.asked("webwxuploadmedia")) == 2  # and no further part of the second one


async def test_an_upload_that_outlives_the_last_login_is_logged_out(uploads: Uploads) -> None:
    async def change_login(request: httpx.Request) -> httpx.Response:
        await uploads.rig.backend.logout()
        return uploads(request)

    uploads.rig.put("webwxuploadmedia", change_login)
    with pytest.raises(LoggedOut):
        await uploads.send(b"x")


@pytest.mark.parametrize("fault", ["gone", "shorter", "folder"])
async def test_a_file_that_cannot_be_read_is_a_refusal_without_its_place(
    uploads: Uploads, fault: str
) -> None:
    draft = uploads.draft(b"x" * 10, size=11 if fault == "shorter" else None)
    assert draft.attachment is not None
    file = draft.attachment.file
    if fault != "shorter":
        file.unlink()
    if fault == "folder":
        file.mkdir()
    with refused("bad_file") as refusal:
        await uploads.rig.send(draft)
    assert str(file) not in str(refusal.value)
    assert uploads.forms == []


# above 25 MB


async def test_a_large_file_is_announced_and_signed(uploads: Uploads) -> None:
    draft = uploads.sparse_draft(25 * MEGABYTE + 1)
    checked = answer(MediaId="", AESKey="AES", Signature="SIG", EncryFileName="x")
    uploads.rig.put("webwxcheckupload", checked)
    await uploads.rig.send(draft)
    (announced,) = uploads.rig.asked("webwxcheckupload")
    assert body(announced)["FileSize"] == 25 * MEGABYTE + 1
    assert len(uploads.forms) == 51
    asked = json.loads(uploads.forms[-1]["uploadmediarequest"])
    assert (asked["AESKey"], asked["Signature"]) == ("AES", "SIG")
    assert asked["FileMd5"] == body(announced)["FileMd5"]
    (sent,) = uploads.rig.asked("webwxsendappmsg")
    assert body(sent)["Msg"]["Signature"] == "SIG"


async def test_25_megabytes_need_no_announcement(uploads: Uploads) -> None:
    await uploads.rig.send(uploads.sparse_draft(25 * MEGABYTE))
    assert uploads.rig.asked("webwxcheckupload") == []
    assert "Signature" not in body(uploads.rig.asked("webwxsendappmsg")[0])["Msg"]


async def test_a_large_file_that_wechat_knows_is_not_uploaded(uploads: Uploads) -> None:
    uploads.rig.put("webwxcheckupload", answer(MediaId="@crypt_known", Signature="SIG"))
    for _ in range(2):
        await uploads.rig.send(uploads.sparse_draft(25 * MEGABYTE + 1))
    assert uploads.forms == []
    assert len(uploads.rig.asked("webwxcheckupload")) == 1
    sent = body(uploads.rig.asked("webwxsendappmsg")[1])["Msg"]
    assert "@crypt_known" in sent["Content"]
    assert sent["Signature"] == "SIG"


async def test_a_large_file_is_never_whole_in_memory(uploads: Uploads) -> None:
    def taken(request: httpx.Request) -> httpx.Response:
        uploads.rig.requests.clear()  # the record of what was asked would hold all parts
        assert len(request.content) < PART + 4096
        return answer(MediaId="@crypt_M")

    uploads.rig.put("webwxcheckupload", answer(MediaId="", AESKey="AES", Signature="SIG"))
    uploads.rig.put("webwxuploadmedia", taken)
    draft = uploads.sparse_draft(100 * MEGABYTE)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await uploads.rig.send(draft)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 5 * MEGABYTE


@pytest.mark.parametrize(
    ("answered", "error"),
    [(answer(1205), Throttled), (answer(1), Rejected), (httpx.ReadError("x"), Unreachable)],
)
async def test_an_announcement_that_fails_was_certainly_not_delivered(
    uploads: Uploads,
    answered: Any,
    error: type[BackendError],
) -> None:
    uploads.rig.put("webwxcheckupload", answered)
    with pytest.raises(error):
        await uploads.rig.send(uploads.sparse_draft(25 * MEGABYTE + 1))
    assert uploads.forms == []


async def test_no_log_holds_a_name_or_a_secret(uploads: Uploads, capsys: pytest.CaptureFixture[str]) -> None:
    await uploads.send(b"same")
    uploads.rig.put("webwxsendappmsg", text("SECRET"))
    with pytest.raises(BackendError) as failure:
        await uploads.send(b"same")
    printed = capsys.readouterr()
    output = printed.out + printed.err + str(failure.value)
    assert "SECRET" not in output
    assert "季度" not in output
