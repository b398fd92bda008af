"""Files, mentions and actions of the web WeChat backend over real HTTP, on a strict simulator."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_webwx import AccountHarness, account_at
from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    Attachment,
    Blob,
    ChatKind,
    Contact,
    CreateGroup,
    Draft,
    Event,
    Kind,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator

PART = 524_288
MEGABYTE = 1 << 20
MIMES = {
    "image.jpg": "image/jpeg",
    "image.png": "image/png",
    "video.mp4": "video/mp4",
    "sticker.gif": "image/gif",
    "file.pdf": "application/pdf",
}
MakeAttachment = Callable[..., Attachment]


@pytest.fixture
async def online() -> AsyncIterator[AccountHarness]:
    """Yields an account that is logged in, with all contacts known; checks that there was no violation."""
    async with Simulator(seed=3) as sim:
        sim.wechat.settings.change({"strict": True, "hold_login": 0.5, "hold_sync": 0.5, "notify_lists": 0})
        async with account_at(sim) as account:
            await account.log_in()
            await account.people()
            yield account


@pytest.fixture
def make_attachment(tmp_path: Path) -> MakeAttachment:
    """Returns a function that writes bytes to a file, as the store does, and makes an attachment of them."""

    def make(content: bytes, name: str = "file.pdf", mime: str = "application/octet-stream") -> Attachment:
        sha256 = hashlib.sha256(content).hexdigest()
        file = tmp_path / sha256
        file.write_bytes(content)
        blob = Blob(sha256=sha256, size=len(content), mime=mime, path=sha256)
        return Attachment(file=file, name=name, blob=blob)

    return make


def sparse_attachment(folder: Path, size: int) -> Attachment:
    """Returns an attachment of zeros, which uses no space on disk."""
    file = folder / "sparse"
    with file.open("wb") as opened:
        opened.truncate(size)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    blob = Blob(sha256=sha256, size=size, mime="application/zip", path="sparse")
    return Attachment(file=file, name="大文件.zip", blob=blob)


async def send(
    account: AccountHarness, attachment: Attachment, kind: Kind = Kind.FILE, *, to: str = "wife", key: int = 1
) -> str:
    chat = (await account.names())[to]
    draft = Draft(chat=chat, kind=kind, attachment=attachment)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        receipt = await account.backend.send(draft, SendKey(f"1700000000000{key:04d}"))
    return receipt.message_id or ""


async def count_calls(account: AccountHarness, endpoint: str) -> int:
    state = await account.control.get("state")
    return int(state["calls"].get(endpoint, 0))


# files


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image.jpg", Kind.IMAGE),
        ("image.png", Kind.IMAGE),
        ("video.mp4", Kind.VIDEO),
        ("sticker.gif", Kind.STICKER),
        ("file.pdf", Kind.FILE),
        ("image.png", Kind.FILE),
    ],
)
@pytest.mark.parametrize("to", ["wife", "family", "filehelper"])
async def test_each_kind_arrives_byte_for_byte(
    online: AccountHarness, make_attachment: MakeAttachment, name: str, kind: Kind, to: str
) -> None:
    content = sample(name)
    message_id = await send(
        online, make_attachment(content, f"季度 报告 & <1>.{name[-3:]}", MIMES[name]), kind, to=to
    )
    (line,) = await online.control.sent(1)
    assert (line["msg_id"], line["to"], line["kind"]) == (message_id, to, str(kind))
    assert line["sha256"] == hashlib.sha256(content).hexdigest()
    if kind is Kind.FILE:
        assert line["text"] == f"季度 报告 & <1>.{name[-3:]}"


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7])
async def test_every_size_arrives_whole(
    online: AccountHarness, make_attachment: MakeAttachment, size: int
) -> None:
    content = bytes(number % 251 for number in range(size))
    await send(online, make_attachment(content))
    (line,) = await online.control.sent(1)
    assert line["sha256"] == hashlib.sha256(content).hexdigest()
    assert line["media"]["size"] == size


@pytest.mark.parametrize(
    "name",
    [
        "报" * 60 + ".docx",
        "x" * 300 + ".pdf",
        "../../etc/passwd",
        "no extension",
        "a.报告",
        "q\"u'o<t>e & \\ /.txt",
        "\u202egnp.exe\u200f",
        "👨‍👩‍👧 🇨🇳.zip",
        "a\r\nb: c.txt",
    ],
)
async def test_every_file_name_is_accepted(
    online: AccountHarness, make_attachment: MakeAttachment, name: str
) -> None:
    await send(online, make_attachment(b"x", name))
    (line,) = await online.control.sent(1)
    assert line["text"]


async def test_a_file_name_that_is_long_for_an_upload_is_accepted(
    online: AccountHarness, make_attachment: MakeAttachment
) -> None:
    """Names of 17 Chinese characters were refused (webwx 2.14.9)."""
    await online.control.post("settings", name_limit=16 * 3 + 4)
    await send(online, make_attachment(b"x", "报" * 40 + ".doc"))
    (line,) = await online.control.sent(1)
    assert line["text"] == "报" * 40 + ".doc"


async def test_a_file_that_was_uploaded_is_sent_again_without_its_bytes(
    online: AccountHarness, make_attachment: MakeAttachment
) -> None:
    picture = make_attachment(sample("image.jpg"), "a.jpg", "image/jpeg")
    for number, to in enumerate(("wife", "mom", "family")):
        await send(online, picture, Kind.IMAGE, to=to, key=number)
    assert [line["to"] for line in await online.control.sent(3)] == ["wife", "mom", "family"]
    assert await count_calls(online, "webwxuploadmedia") == 1


async def test_a_new_login_uploads_anew(online: AccountHarness, make_attachment: MakeAttachment) -> None:
    picture = make_attachment(sample("image.jpg"), "a.jpg", "image/jpeg")
    await send(online, picture, Kind.IMAGE)
    await online.log_in()
    await send(online, picture, Kind.IMAGE, key=2)
    assert len(await online.control.sent(2)) == 2
    assert await count_calls(online, "webwxuploadmedia") == 2


async def test_a_large_file_is_announced_uploaded_and_known_the_next_time(
    online: AccountHarness, tmp_path: Path
) -> None:
    large = sparse_attachment(tmp_path, 25 * MEGABYTE + 1)
    await send(online, large)
    await online.log_in()
    await send(online, large, key=2)
    lines = await online.control.sent(2)
    assert {line["sha256"] for line in lines} == {large.blob.sha256}
    assert {line["text"] for line in lines} == {"大文件.zip"}
    assert await count_calls(online, "webwxcheckupload") == 2
    assert await count_calls(online, "webwxuploadmedia") == 51


async def test_uploads_side_by_side_arrive(online: AccountHarness, make_attachment: MakeAttachment) -> None:
    files = [make_attachment(bytes([number]) * (2 * PART + number)) for number in range(4)]
    chats = ("wife", "mom", "family", "filehelper")
    await asyncio.gather(
        *(send(online, file, to=to, key=n) for n, (file, to) in enumerate(zip(files, chats, strict=True)))
    )
    lines = await online.control.sent(4)
    assert {line["sha256"] for line in lines} == {file.blob.sha256 for file in files}


async def test_keys_may_be_renewed_during_an_upload(
    online: AccountHarness, make_attachment: MakeAttachment
) -> None:
    """Each sync renews skey and tickets, and those of the first part are invalid before the last (webwx 2.4.2)."""
    await online.control.post("settings", rotate_tickets=True, sync_skey=True)
    await online.control.post("say", text="take new keys")
    await online.next()
    await online.control.post("settings", ticket_life=3)
    await online.control.post("fault", endpoint="webwxuploadmedia", kind="late", value=0.6, times=6)
    sending = asyncio.create_task(send(online, make_attachment(b"x" * (6 * PART))))
    while not sending.done():
        await online.control.post("say", text="meanwhile")
        await online.next()
    await sending
    assert len(await online.control.sent(1)) == 1


@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "value": 502}, Unreachable),
        ({"kind": "ret", "value": -1}, Unreachable),
        ({"kind": "ret", "value": 1205}, Throttled),
        ({"kind": "ret", "value": 1}, Rejected),
        ({"kind": "ret", "value": 1102}, LoggedOut),
        ({"kind": "reset"}, Unreachable),
        ({"kind": "garbage"}, Unreachable),
        ({"kind": "empty"}, Unreachable),
        ({"kind": "drop_answer"}, Unreachable),
        ({"kind": "truncate"}, Unreachable),
    ],
    ids=lambda value: f"{value['kind']}{value.get('value', '')}" if isinstance(value, dict) else "",
)
async def test_a_fault_before_the_message_means_not_delivered(
    online: AccountHarness,
    make_attachment: MakeAttachment,
    skip: int,
    fault: dict[str, Any],
    error: type[BackendError],
) -> None:
    """The whole upload is made again at the next attempt."""
    file = make_attachment(b"x" * (2 * PART + 1))
    await online.control.post("fault", endpoint="webwxuploadmedia", skip=skip, **fault)
    with pytest.raises(error):
        await send(online, file)
    assert await online.control.get("sent") == []
    await send(online, file)
    assert len(await online.control.sent(1)) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "value": 503}, Unreachable),
        ({"kind": "ret", "value": 1204}, Rejected),
        ({"kind": "ret", "value": 1205}, Throttled),
        ({"kind": "reset"}, OutcomeUnknown),
        ({"kind": "drop_answer"}, OutcomeUnknown),
        ({"kind": "truncate"}, OutcomeUnknown),
        ({"kind": "garbage"}, OutcomeUnknown),
    ],
    ids=lambda value: f"{value['kind']}{value.get('value', '')}" if isinstance(value, dict) else "",
)
async def test_a_fault_of_the_message_says_whether_it_may_be_delivered(
    online: AccountHarness, make_attachment: MakeAttachment, fault: dict[str, Any], error: type[BackendError]
) -> None:
    picture = make_attachment(sample("image.jpg"), "a.jpg", "image/jpeg")
    await online.control.post("fault", endpoint="webwxsendmsgimg", **fault)
    with pytest.raises(error):
        await send(online, picture, Kind.IMAGE)
    await send(online, picture, Kind.IMAGE)
    lines = await online.control.sent(1)
    assert len([line for line in lines if line["delivered"]]) == 1
    assert await count_calls(online, "webwxuploadmedia") == 1


# mentions


async def test_a_mention_is_written_as_the_group_shows_the_person(online: AccountHarness) -> None:
    names = await online.names()
    draft = Draft(chat=names["family"], kind=Kind.TEXT, text="吃饭了", mention=(names["mom"], names["aunt"]))
    await online.backend.send(draft, SendKey("17000000000000001"))
    (line,) = await online.control.sent(1)
    assert line["text"] == "@老妈\u2005@三姨🌼\u2005吃饭了"


async def test_somebody_who_is_not_in_the_group_is_not_mentioned(online: AccountHarness) -> None:
    names = await online.names()
    draft = Draft(chat=names["family"], kind=Kind.TEXT, text="x", mention=(names["lilei"],))
    with pytest.raises(Rejected):
        await online.backend.send(draft, SendKey("17000000000000001"))
    assert await online.control.get("sent") == []


# actions


def key(number: int = 9) -> SendKey:
    return SendKey(f"1700000000000{number:04d}")


async def take_violations(account: AccountHarness) -> list[str]:
    """Returns the endpoints of the expected violations, and clears them."""
    found = [violation["endpoint"] for violation in await account.control.get("violations")]
    await account.control.post("violations/clear")
    return found


async def test_an_own_message_is_withdrawn(online: AccountHarness, make_attachment: MakeAttachment) -> None:
    wife = (await online.names())["wife"]
    for number, message_id in enumerate(
        (await online.send("oh"), await send(online, make_attachment(b"x"), key=2))
    ):
        await online.backend.perform(Recall(chat=wife, message_id=message_id), key(number))
    lines = (await online.control.get("feed"))["lines"]
    assert [line["recalled"] for line in lines[-2:]] == [True, True]


async def test_a_message_of_somebody_else_is_not_withdrawn(online: AccountHarness) -> None:
    wife = (await online.names())["wife"]
    (message_id,) = await online.control.say("wife", "hello")
    with pytest.raises(Rejected):
        await online.backend.perform(Recall(chat=wife, message_id=message_id), key())
    assert await take_violations(online) == ["webwxrevokemsg"]


async def test_a_recall_whose_answer_is_lost_may_have_been_done(online: AccountHarness) -> None:
    wife = (await online.names())["wife"]
    message_id = await online.send("oh")
    await online.control.post("fault", endpoint="webwxrevokemsg", kind="drop_answer")
    with pytest.raises(OutcomeUnknown):
        await online.backend.perform(Recall(chat=wife, message_id=message_id), key())


async def test_a_message_that_is_too_old_is_not_withdrawn(online: AccountHarness) -> None:
    wife = (await online.names())["wife"]
    message_id = await online.send("oh")
    await online.control.post("settings", recall_within=0.0)
    with pytest.raises(Rejected):
        await online.backend.perform(Recall(chat=wife, message_id=message_id), key())
    assert not (await online.control.get("feed"))["lines"][-1]["recalled"]


async def test_a_chat_is_marked_as_read(online: AccountHarness) -> None:
    await online.control.say("wife", "hello")
    await online.backend.perform(MarkRead(chat=(await online.names())["wife"]), key())
    assert await count_calls(online, "webwxstatusnotify") == 2  # one belongs to the login


async def test_a_remark_is_set_and_comes_back_as_a_change(online: AccountHarness) -> None:
    mom = (await online.names())["mom"]
    await online.backend.perform(SetRemark(person=mom, remark="老妈 🌸"), key())
    changed: list[Contact] = []
    while mom not in {contact.handle for contact in changed}:
        changed += (await online.next()).contacts
    assert next(contact.remark for contact in changed if contact.handle == mom) == "老妈 🌸"


async def test_a_friend_request_is_accepted_with_what_its_event_holds(online: AccountHarness) -> None:
    await online.control.post("say", **{"from": "uncle", "kind": "friend_request", "text": "it's me"})
    (event,) = await online.items()
    assert isinstance(event, Event)
    await online.backend.perform(AcceptFriend(request=event.private), key())
    changed: list[Contact] = []
    while "Uncle Bob" not in {contact.nickname for contact in changed}:
        changed += (await online.next()).contacts


async def test_a_friend_request_of_another_login_is_refused(online: AccountHarness) -> None:
    await online.control.post("say", **{"from": "uncle", "kind": "friend_request", "text": "it's me"})
    (event,) = await online.items()
    assert isinstance(event, Event)
    await online.log_in()
    with pytest.raises(Rejected) as refused:
        await online.backend.perform(AcceptFriend(request=event.private), key())
    assert refused.value.code == "unknown_id"


async def test_too_many_remarks_raise_the_rate_limit(online: AccountHarness) -> None:
    mom = (await online.names())["mom"]
    await online.control.post("fault", endpoint="webwxoplog", kind="ret", value=1205, times=2)
    pauses = []
    for number in range(2):
        with pytest.raises(Throttled) as slow:
            await online.backend.perform(SetRemark(person=mom, remark="x"), key(number))
        pauses.append(slow.value.retry_after)
    assert pauses == [60, 120]
    await online.backend.perform(SetRemark(person=mom, remark="x"), key())


# groups


async def members(account: AccountHarness, group: str) -> set[str]:
    """Returns the members of a group by their names in the simulator."""
    names = {handle: name for name, handle in (await account.names()).items()}
    return {
        names[member.handle] for member in await account.backend.list_members((await account.names())[group])
    }


async def test_a_group_is_made_and_comes_with_its_members(online: AccountHarness) -> None:
    await online.control.post("people", set={"id": "lilei", "deleted_me": True})
    names = await online.names()
    wanted = tuple(names[name] for name in ("wife", "mom", "lilei"))
    done = await online.backend.perform(CreateGroup(members=wanted, name="周末 <3"), key())
    assert done.refused_members == (names["lilei"],)
    assert done.group is not None
    assert (done.group.kind, done.group.nickname) == (ChatKind.GROUP, "周末 <3")
    assert {member.handle for member in done.group.members or ()} >= {names["wife"], names["mom"]}
    draft = Draft(chat=done.group.handle, kind=Kind.TEXT, text="hi")
    await online.backend.send(draft, key(1))
    assert len(await online.control.sent(1)) == 1


async def test_a_group_is_changed(online: AccountHarness) -> None:
    names = await online.names()
    made = await online.backend.perform(CreateGroup(members=(names["wife"], names["mom"]), name="a"), key())
    assert made.group is not None
    group = made.group.handle
    done = await online.backend.perform(AddMembers(group=group, members=(names["lilei"],)), key(1))
    assert done.refused_members == ()
    await online.backend.perform(RemoveMembers(group=group, members=(names["mom"],)), key(2))
    await online.backend.perform(RenameGroup(group=group, name="新名字"), key(3))
    level = next(name for name, handle in (await online.names()).items() if handle == group)
    assert await members(online, level) == {"me", "wife", "lilei"}
    changed: list[Contact] = []
    while "新名字" not in {contact.nickname for contact in changed}:
        changed += (await online.next()).contacts


async def test_people_are_invited_into_a_large_group(online: AccountHarness) -> None:
    await online.control.post("people", groups=1, members=45)
    await online.people()
    names = await online.names()
    group = next(name for name in names if name not in {"family", "work"} and names[name].startswith("@@"))
    before = await members(online, group)
    await online.backend.perform(AddMembers(group=names[group], members=(names["lilei"],)), key())
    assert await members(online, group) == before


async def test_only_the_owner_of_a_group_takes_people_out(online: AccountHarness) -> None:
    names = await online.names()
    with pytest.raises(Rejected):
        await online.backend.perform(RemoveMembers(group=names["work"], members=(names["lilei"],)), key())
    assert await take_violations(online) == ["webwxupdatechatroom"]


async def test_groups_may_be_switched_off(online: AccountHarness) -> None:
    """Tencent did so on 2018-06-27 (webwx 2.19.5)."""
    await online.control.post("settings", allow_groups=False)
    names = await online.names()
    with pytest.raises(Rejected):
        await online.backend.perform(CreateGroup(members=(names["wife"], names["mom"])), key())
    with pytest.raises(Rejected):
        await online.backend.perform(AddMembers(group=names["family"], members=(names["lilei"],)), key(1))
