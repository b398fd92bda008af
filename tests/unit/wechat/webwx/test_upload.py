"""Uploads: parts in order from the disk, and no second upload of the same file (webwx 2.13, 2.14)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tracemalloc
from collections.abc import Callable
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
from tests.unit.wechat.webwx.server import WebWxRig, answer, check, synced, text
from wx2mqtt.errors import BackendError, LoggedOut, Rejected, Throttled, Unreachable
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind, SendKey

KEY = SendKey("17000000000001234")
MEGABYTE = 1 << 20
MakeDraft = Callable[..., Draft]


@pytest.fixture
def file_host(online: WebWxRig) -> FileHost:
    """Returns a file host that accepts every file; the backend is logged in."""
    made = FileHost()
    online.put("webwxuploadmedia", made)
    for call in ("webwxsendmsgimg", "webwxsendvideomsg", "webwxsendappmsg", "webwxsendemoticon"):
        online.put(call, answer(MsgID="7"))
    return made


@pytest.fixture
def make_draft(tmp_path: Path) -> MakeDraft:
    """Returns a function that writes a file and makes a draft of it."""

    def make(
        content: bytes,
        kind: Kind = Kind.FILE,
        mime: str = "application/pdf",
        name: str = "季度报告.pdf",
        to: Handle = WIFE,
        size: int | None = None,
    ) -> Draft:
        sha256 = hashlib.sha256(content).hexdigest()
        file = tmp_path / sha256
        file.write_bytes(content)
        blob = Blob(sha256=sha256, size=len(content) if size is None else size, mime=mime, path=sha256)
        return Draft(chat=to, kind=kind, attachment=Attachment(file=file, name=name, blob=blob))

    return make


def sparse_draft(make_draft: MakeDraft, size: int) -> Draft:
    """Returns a draft of a file of zeros, which takes no space on the disk."""
    draft = make_draft(b"", size=size)
    assert draft.attachment is not None
    with draft.attachment.file.open("wb") as file:
        file.truncate(size)
    return draft


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(size=st.one_of(st.integers(1, 3 * PART), st.sampled_from([PART - 1, PART, PART + 1, 2 * PART])))
async def test_every_size_arrives_whole_and_in_order(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft, size: int
) -> None:
    content = bytes(number % 251 for number in range(1000)) * (size // 1000 + 1)
    file_host.forms.clear()
    await rig.send(make_draft(content[:size]), KEY)
    assert content[:size] in file_host.files.values()


async def test_all_parts_of_a_file_say_the_same(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    await rig.send(make_draft(b"x" * (2 * PART + 5)), KEY)
    assert [form.pop("chunk") for form in file_host.forms] == ["0", "1", "2"]
    assert file_host.forms[0] == file_host.forms[1] == file_host.forms[2]
    assert set(file_host.names) == {"季度报告.pdf"}


async def test_each_upload_has_its_own_number(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    for content in (b"1", b"2"):
        await rig.send(make_draft(content), KEY)
    assert [form["id"] for form in file_host.forms] == ["WU_FILE_0", "WU_FILE_1"]


async def test_a_file_that_wechat_has_is_not_uploaded_again(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    for to in (WIFE, BOB):
        await rig.send(make_draft(b"same", to=to, name=f"{to[1]}.pdf"), KEY)
    assert len(file_host.forms) == 1
    sent = [body(request)["Msg"] for request in rig.asked("webwxsendappmsg")]
    assert [message["ToUserName"] for message in sent] == [WIFE, BOB]
    assert all("@crypt_SECRET0" in message["Content"] for message in sent)
    await rig.send(make_draft(b"same", Kind.IMAGE, "image/png", "a.png"), KEY)
    assert [form["mediatype"] for form in file_host.forms] == ["doc", "pic"]


async def test_two_drafts_at_once_upload_the_same_file_once(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    drafts = [make_draft(b"x" * (PART + 1), to=to) for to in (WIFE, BOB)]
    await asyncio.gather(*(rig.send(draft, KEY) for draft in drafts))
    assert len(file_host.forms) == 2


async def test_uploads_side_by_side_do_not_get_mixed_up(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    """Begun in the same millisecond: WeChat knows the parts of a file by ClientMediaId."""
    files = [bytes([number]) * (PART + 1) for number in range(3)]
    await asyncio.gather(*(rig.send(make_draft(content), KEY) for content in files))
    assert sorted(file_host.files.values()) == files


async def test_who_waited_for_an_upload_that_was_cancelled_makes_it(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    begun, never_set = asyncio.Event(), asyncio.Event()

    async def hanging(_request: httpx.Request) -> httpx.Response:
        begun.set()
        await never_set.wait()
        raise AssertionError

    rig.put("webwxuploadmedia", hanging, file_host)
    first = asyncio.create_task(rig.send(make_draft(b"same"), KEY))
    await begun.wait()
    second = asyncio.create_task(rig.send(make_draft(b"same", to=BOB), KEY))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).message_id == "7"
    assert len(file_host.files) == 1


async def test_a_new_login_uploads_again(rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft) -> None:
    await rig.send(make_draft(b"same"), KEY)
    assert [step async for step in rig.backend.login(resume=False)]
    await rig.send(make_draft(b"same"), KEY)
    assert len(file_host.files) == 2


# refusals


async def test_an_upload_that_is_used_again_and_refused_is_forgotten(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    await rig.send(make_draft(b"same"), KEY)
    rig.put("webwxsendappmsg", answer(1), answer(MsgID="8"))
    with pytest.raises(Unreachable, match="no longer"):
        await rig.send(make_draft(b"same"), KEY)
    assert (await rig.send(make_draft(b"same"), KEY)).message_id == "8"
    assert len(file_host.files) == 2


async def test_a_fresh_upload_that_is_refused_is_a_refusal(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    rig.put("webwxsendappmsg", answer(1))
    for _ in range(2):
        with pytest.raises(Rejected):
            await rig.send(make_draft(b"same"), KEY)
    assert len(file_host.files) == 2


# prepared before the send


async def test_what_was_prepared_is_sent_without_its_bytes(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    for _ in range(2):
        await rig.backend.prepare(make_draft(b"same"))
    assert len(file_host.files) == 1
    assert not rig.asked("webwxsendappmsg")
    await rig.send(make_draft(b"same"), KEY)
    assert len(file_host.files) == 1


async def test_a_text_needs_no_preparation(rig: WebWxRig, file_host: FileHost) -> None:
    await rig.backend.prepare(Draft(chat=WIFE, kind=Kind.TEXT, text="x"))
    assert not file_host.files


async def test_what_wechat_would_refuse_is_refused_before(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    with pytest.raises(Rejected):
        await rig.backend.prepare(make_draft(b""))
    assert not file_host.files


async def test_a_fresh_upload_that_was_prepared_and_is_refused_is_a_refusal(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    rig.put("webwxsendappmsg", answer(1))
    await rig.backend.prepare(make_draft(b"same"))
    with pytest.raises(Rejected):
        await rig.send(make_draft(b"same"), KEY)
    assert len(file_host.files) == 1


async def test_an_old_upload_that_is_refused_is_repeated_once(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    await rig.send(make_draft(b"same"), KEY)
    rig.put("webwxsendappmsg", answer(1), answer(1))
    await rig.backend.prepare(make_draft(b"same"))
    with pytest.raises(Unreachable, match="no longer"):
        await rig.send(make_draft(b"same"), KEY)
    await rig.backend.prepare(make_draft(b"same"))
    with pytest.raises(Rejected):
        await rig.send(make_draft(b"same"), KEY)
    assert len(file_host.files) == 2


async def test_a_refusal_by_a_stranger_keeps_the_upload(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    rig.put("webwxsendappmsg", answer(1204), answer(1204), answer(MsgID="7"))
    for _ in range(2):
        with pytest.raises(Rejected, match="1204"):
            await rig.send(make_draft(b"same"), KEY)
    await rig.send(make_draft(b"same", to=BOB), KEY)
    assert len(file_host.files) == 1


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
    rig: WebWxRig,
    file_host: FileHost,
    make_draft: MakeDraft,
    accepted_parts: int,
    answered: Any,
    error: type[BackendError],
) -> None:
    draft = make_draft(b"x" * (PART + 1))
    rig.put("webwxuploadmedia", *[file_host] * accepted_parts, answered)
    with pytest.raises(error) as failure:
        await rig.send(draft, KEY)
    assert "SECRET" not in str(failure.value)
    assert rig.asked("webwxsendappmsg") == []
    rig.put("webwxuploadmedia", file_host)
    await rig.send(draft, KEY)
    assert [form["chunk"] for form in file_host.forms][accepted_parts:] == ["0", "1"]  # all of it, again


def form_of(request: httpx.Request) -> dict[str, str]:
    fields = read_form(request.headers["content-type"], request.content)
    return {field.name: field.text for field in fields}


async def test_the_keys_of_a_part_are_those_of_its_moment(
    online: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    """A sync during a long upload renews skey and tickets (webwx 2.4.2.6); old ones would end in a logout."""

    async def renewing(_request: httpx.Request) -> httpx.Response:
        fresh = ("webwx_data_ticket=NEWdt; Domain=.qq.com; Path=/",)
        online.put("synccheck", check(selector=2))
        online.put("webwxsync", synced(cookies=fresh, SKey="@crypt_NEW"))
        await online.poll()
        return answer(MediaId="")

    online.put("webwxuploadmedia", renewing, answer(MediaId="@crypt_M"))
    await online.send(make_draft(b"x" * (PART + 1)), KEY)
    before, after = map(form_of, online.asked("webwxuploadmedia"))
    assert (before["webwx_data_ticket"], after["webwx_data_ticket"]) == ("SECRETdt", "NEWdt")
    asked = [json.loads(form["uploadmediarequest"]) for form in (before, after)]
    assert [upload["BaseRequest"]["Skey"] for upload in asked] == ["@crypt_SECRET", "@crypt_NEW"]
    assert asked[0]["ClientMediaId"] == asked[1]["ClientMediaId"]


async def test_an_upload_refused_with_old_keys_is_no_logout(
    online: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    async def change_login(_request: httpx.Request) -> httpx.Response:
        online.put("synccheck", check(selector=2))
        online.put("webwxsync", synced(SKey="@crypt_NEW"))
        await online.poll()
        return answer(1102)

    online.put("webwxuploadmedia", change_login)
    with pytest.raises(Unreachable):
        await online.send(make_draft(b"x"), KEY)


async def test_an_upload_that_outlives_its_login_is_not_sent_in_the_next_one(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    """The handle of the draft and the MediaId are of the old login."""

    async def change_login(request: httpx.Request) -> httpx.Response:
        await rig.backend.logout()
        assert [step async for step in rig.backend.login(resume=False)]
        return file_host(request)

    rig.put("webwxuploadmedia", change_login)
    for content in (b"x", b"x" * (PART + 1)):
        with pytest.raises(Unreachable, match="another login"):
            await rig.send(make_draft(content), KEY)
    assert rig.asked("webwxsendappmsg") == []
    assert len(rig.asked("webwxuploadmedia")) == 2  # and no further part of the second one


async def test_an_upload_that_outlives_the_last_login_is_logged_out(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    async def change_login(request: httpx.Request) -> httpx.Response:
        await rig.backend.logout()
        return file_host(request)

    rig.put("webwxuploadmedia", change_login)
    with pytest.raises(LoggedOut):
        await rig.send(make_draft(b"x"), KEY)


@pytest.mark.parametrize("fault", ["gone", "shorter", "folder"])
async def test_a_file_that_cannot_be_read_is_a_refusal_without_its_place(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft, fault: str
) -> None:
    draft = make_draft(b"x" * 10, size=11 if fault == "shorter" else None)
    assert draft.attachment is not None
    file = draft.attachment.file
    if fault != "shorter":
        file.unlink()
    if fault == "folder":
        file.mkdir()
    with refused("bad_file") as refusal:
        await rig.send(draft, KEY)
    assert str(file) not in str(refusal.value)
    assert file_host.forms == []


# above 25 MB


async def test_a_large_file_is_announced_and_signed(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    draft = sparse_draft(make_draft, 25 * MEGABYTE + 1)
    checked = answer(MediaId="", AESKey="AES", Signature="SIG", EncryFileName="x")
    rig.put("webwxcheckupload", checked)
    await rig.send(draft, KEY)
    (announced,) = rig.asked("webwxcheckupload")
    assert body(announced)["FileSize"] == 25 * MEGABYTE + 1
    assert len(file_host.forms) == 51
    asked = json.loads(file_host.forms[-1]["uploadmediarequest"])
    assert (asked["AESKey"], asked["Signature"]) == ("AES", "SIG")
    assert asked["FileMd5"] == body(announced)["FileMd5"]
    (sent,) = rig.asked("webwxsendappmsg")
    assert body(sent)["Msg"]["Signature"] == "SIG"


async def test_25_megabytes_need_no_announcement(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    await rig.send(sparse_draft(make_draft, 25 * MEGABYTE), KEY)
    assert rig.asked("webwxcheckupload") == []
    assert "Signature" not in body(rig.asked("webwxsendappmsg")[0])["Msg"]


async def test_a_large_file_that_wechat_knows_is_not_uploaded(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    rig.put("webwxcheckupload", answer(MediaId="@crypt_known", Signature="SIG"))
    for _ in range(2):
        await rig.send(sparse_draft(make_draft, 25 * MEGABYTE + 1), KEY)
    assert file_host.forms == []
    assert len(rig.asked("webwxcheckupload")) == 1
    sent = body(rig.asked("webwxsendappmsg")[1])["Msg"]
    assert "@crypt_known" in sent["Content"]
    assert sent["Signature"] == "SIG"


async def test_a_large_file_is_never_whole_in_memory(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft
) -> None:
    def taken(request: httpx.Request) -> httpx.Response:
        rig.requests.clear()  # the record of what was asked would hold all parts
        assert len(request.content) < PART + 4096
        return answer(MediaId="@crypt_M")

    rig.put("webwxcheckupload", answer(MediaId="", AESKey="AES", Signature="SIG"))
    rig.put("webwxuploadmedia", taken)
    draft = sparse_draft(make_draft, 100 * MEGABYTE)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await rig.send(draft, KEY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 5 * MEGABYTE


@pytest.mark.parametrize(
    ("answered", "error"),
    [(answer(1205), Throttled), (answer(1), Rejected), (httpx.ReadError("x"), Unreachable)],
)
async def test_an_announcement_that_fails_was_certainly_not_delivered(
    rig: WebWxRig,
    file_host: FileHost,
    make_draft: MakeDraft,
    answered: Any,
    error: type[BackendError],
) -> None:
    rig.put("webwxcheckupload", answered)
    with pytest.raises(error):
        await rig.send(sparse_draft(make_draft, 25 * MEGABYTE + 1), KEY)
    assert file_host.forms == []


async def test_no_log_holds_a_name_or_a_secret(
    rig: WebWxRig, file_host: FileHost, make_draft: MakeDraft, capsys: pytest.CaptureFixture[str]
) -> None:
    await rig.send(make_draft(b"same"), KEY)
    rig.put("webwxsendappmsg", text("SECRET"))
    with pytest.raises(BackendError) as failure:
        await rig.send(make_draft(b"same"), KEY)
    printed = capsys.readouterr()
    output = printed.out + printed.err + str(failure.value)
    assert "SECRET" not in output
    assert "季度" not in output
