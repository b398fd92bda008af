"""Sending media and mentions: the calls, refusals before a call, and the meaning of each answer (webwx 2.12)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.wechat.rig import body, query, refused
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, OWNER, WIFE
from tests.unit.wechat.webwx.file_host import FileHost
from tests.unit.wechat.webwx.server import WebWxRig, answer, text
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind, Receipt, SendKey
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient

KEY = SendKey("17000000000001234")
SORTS = [
    (Kind.IMAGE, "image/jpeg", "webwxsendmsgimg", 3),
    (Kind.VIDEO, "video/mp4", "webwxsendvideomsg", 43),
    (Kind.STICKER, "image/gif", "webwxsendemoticon", 47),
    (Kind.FILE, "text/plain", "webwxsendappmsg", 6),
]


def draft(folder: Path, kind: Kind, mime: str, *, size: int = 3) -> Draft:
    file = folder / "blob"
    file.write_bytes(b"abc")
    blob = Blob(sha256="5e", size=size, mime=mime, path="blob")
    return Draft(chat=WIFE, kind=kind, attachment=Attachment(file=file, name="a", blob=blob))


@pytest.fixture
def file_host(online: WebWxRig) -> FileHost:
    made = FileHost()
    online.put("webwxuploadmedia", made)
    return made


@pytest.mark.parametrize(("kind", "mime", "call", "number"), SORTS)
async def test_each_kind_goes_its_own_way(
    rig: WebWxRig,
    file_host: FileHost,
    tmp_path: Path,
    kind: Kind,
    mime: str,
    call: str,
    number: int,
) -> None:
    rig.put(call, answer(MsgID=7615282929538795099))
    sent = await rig.send(draft(tmp_path, kind, mime))
    assert sent == Receipt(message_id="7615282929538795099")
    assert rig.calls()[-2:] == ["webwxuploadmedia", call]
    message = body(rig.asked(call)[0])["Msg"]
    assert (message["Type"], message["ToUserName"], message["ClientMsgId"]) == (number, WIFE, KEY)
    assert "@crypt_SECRET0" in str(message)


@pytest.mark.parametrize(("kind", "mime", "call", "number"), SORTS)
@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (answer(1204), Rejected),
        (answer(1), Rejected),
        (answer(-1), Unreachable),
        (answer(1205), Throttled),
        (answer(1101), LoggedOut),
        (text("", 503), Unreachable),
        (text("<html>"), OutcomeUnknown),
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ReadTimeout("x"), OutcomeUnknown),
    ],
)
async def test_what_an_answer_means(
    rig: WebWxRig,
    file_host: FileHost,
    tmp_path: Path,
    kind: Kind,
    mime: str,
    call: str,
    number: int,
    answered: Any,
    error: type[BackendError],
) -> None:
    rig.put(call, answered)
    with pytest.raises(error):
        await rig.send(draft(tmp_path, kind, mime))
    assert len(rig.asked(call)) == 1


@pytest.mark.parametrize(
    ("kind", "mime", "size", "code"),
    [
        (Kind.IMAGE, "image/webp", 3, "unsupported"),
        (Kind.IMAGE, "image/gif", 3, "unsupported"),
        (Kind.VIDEO, "video/quicktime", 3, "unsupported"),
        (Kind.STICKER, "image/png", 3, "unsupported"),
        (Kind.VOICE, "audio/mpeg", 3, "unsupported"),
        (Kind.IMAGE, "image/png", 20 << 20, "too_large"),
        (Kind.VIDEO, "video/mp4", 20 << 20, "too_large"),
        (Kind.FILE, "a/b", (100 << 20) + 1, "too_large"),
        (Kind.FILE, "a/b", 0, "empty"),
    ],
)
async def test_what_wechat_would_refuse_is_not_uploaded(
    rig: WebWxRig, file_host: FileHost, tmp_path: Path, kind: Kind, mime: str, size: int, code: str
) -> None:
    before = len(rig.requests)
    with refused(code):
        await rig.send(draft(tmp_path, kind, mime, size=size))
    assert len(rig.requests) == before


async def test_desktop_mode_is_said_with_a_file(tmp_path: Path) -> None:
    rig = WebWxRig(desktop=DesktopClient(client_version="2.0.0", extspam="x"))
    assert [step async for step in rig.backend.login(resume=False)]
    rig.put("webwxuploadmedia", FileHost())
    rig.put("webwxsendappmsg", answer(MsgID="7"))
    await rig.send(draft(tmp_path, Kind.FILE, "a/b"))
    (sent,) = rig.asked("webwxsendappmsg")
    assert query(sent)["mod"] == "desktop"
    assert "appid=''" in body(sent)["Msg"]["Content"]


# mentions


def member(handle: str, nickname: str, display_name: str = "") -> dict[str, str]:
    return {"UserName": handle, "NickName": nickname, "DisplayName": display_name}


def family(*members: dict[str, str]) -> httpx.Response:
    listed = [member(ME, OWNER.nickname), *members]
    return answer(
        ContactList=[{"UserName": FAMILY, "NickName": "家", "MemberCount": len(listed), "MemberList": listed}]
    )


@pytest.fixture
async def grouped(online: WebWxRig) -> WebWxRig:
    """The world's address book holds a group of two others."""
    online.put("webwxgetcontact", answer(MemberList=[{"UserName": FAMILY, "NickName": "家"}], Seq=0))
    online.put("webwxbatchgetcontact", family(member(WIFE, "晓梅", "老婆 🌸"), member(BOB, "Bob")))
    await online.load_contacts()
    return online


async def test_those_mentioned_stand_before_the_text_as_the_group_shows_them(grouped: WebWxRig) -> None:
    asked = len(grouped.requests)
    draft_with_mentions = Draft(chat=FAMILY, kind=Kind.TEXT, text="吃饭了", mention=(WIFE, BOB, WIFE))
    await grouped.send(draft_with_mentions)
    assert grouped.calls()[asked:] == ["webwxsendmsg"]
    message = body(grouped.requests[-1])["Msg"]
    assert message["Content"] == "@老婆 🌸\u2005@Bob\u2005吃饭了"
    assert message["MsgSource"] == (
        f"<msgsource><atusername>{WIFE},{BOB}</atusername>"
        f"<atchatroomname>{FAMILY}</atchatroomname></msgsource>"
    )


async def test_a_text_without_mentions_names_nobody(grouped: WebWxRig) -> None:
    await grouped.send(Draft(chat=FAMILY, kind=Kind.TEXT, text="吃饭了"))
    assert "MsgSource" not in body(grouped.requests[-1])["Msg"]


async def test_who_joined_since_is_found_by_asking_again(grouped: WebWxRig) -> None:
    fresh = Handle("@" + "c" * 64)
    grouped.put("webwxbatchgetcontact", family(member(fresh, "新\n来"), member(BOB, "Bob")))
    draft_with_mentions = Draft(chat=FAMILY, kind=Kind.TEXT, text="hi", mention=(fresh, BOB))
    await grouped.send(draft_with_mentions)
    assert body(grouped.requests[-1])["Msg"]["Content"] == "@新 来\u2005@Bob\u2005hi"


@pytest.mark.parametrize(
    ("chat", "mention"), [(FAMILY, Handle("@nobody")), (WIFE, WIFE), (Handle("@@unknown"), BOB)]
)
async def test_who_cannot_be_mentioned_there(grouped: WebWxRig, chat: Handle, mention: Handle) -> None:
    with refused("bad_command"):
        await grouped.send(Draft(chat=chat, kind=Kind.TEXT, text="x", mention=(mention,)))
    assert grouped.asked("webwxsendmsg") == []


async def test_a_group_that_cannot_be_asked_is_tried_later(grouped: WebWxRig) -> None:
    grouped.put("webwxbatchgetcontact", httpx.ReadError("x"))
    with pytest.raises(Unreachable):
        await grouped.send(Draft(chat=FAMILY, kind=Kind.TEXT, text="x", mention=(Handle("@new"),)), KEY)


async def test_names_count_for_the_length_of_a_text(grouped: WebWxRig) -> None:
    name = len("@Bob\u2005".encode())
    fits = Draft(chat=FAMILY, kind=Kind.TEXT, text="x" * (CAPABILITIES.text_limit - name), mention=(BOB,))
    await grouped.send(fits)
    with refused("too_long"):
        await grouped.send(Draft(chat=FAMILY, kind=Kind.TEXT, text=fits.text + "x", mention=(BOB,)))
    assert len(grouped.asked("webwxsendmsg")) == 1


async def test_characters_that_are_none_are_refused_with_mentions_too(grouped: WebWxRig) -> None:
    with refused("bad_command"):
        await grouped.send(Draft(chat=FAMILY, kind=Kind.TEXT, text="\udc00", mention=(BOB,)))
