"""The web WeChat backend over real HTTP, on a strict simulator: no scenario may end with a violation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_options import backend_options
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import SimulatorControl
from tests.support.pauseless_loop import PauseClock
from wx2mqtt.errors import (
    BackendError,
    LoggedOut,
    LoginRefused,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unreachable,
)
from wx2mqtt.i18n import Language
from wx2mqtt.model import (
    Attachment,
    Blob,
    ChatKind,
    Contact,
    Cursor,
    Draft,
    Event,
    Handle,
    Kind,
    Message,
    SendKey,
)
from wx2mqtt.simulator.message_injection import MessageOrder, inject
from wx2mqtt.simulator.message_kinds import all_kinds
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.wechat.backend import (
    Batch,
    ConfirmOnPhone,
    LoggedIn,
    LoginStep,
    PollFailing,
    PollRecovered,
    QrExpired,
    Scanned,
    ShowQr,
)
from wx2mqtt.wechat.qr_login import MIN_POLL_INTERVAL_SECONDS
from wx2mqtt.wechat.webwx.backend import WebWxBackend
from wx2mqtt.wechat.webwx.client import WebWxHttp

PROGRESS_STEPS = (
    QrExpired,
    PollFailing,
    PollRecovered,
)  # steps that tell how it goes, and have tests of their own
TEXT_TO_FILEHELPER = Draft(chat=Handle("filehelper"), kind=Kind.TEXT, text="too late")
SHORT_TIMEOUTS = {
    "login": 3.0,
    "synccheck": 3.0,
    "webwxsync": 1.0,
    "webwxsendmsg": 1.0,
    "webwxbatchgetcontact": 3.0,
}


class FakeCredentialStore:
    """Keeps the saved login as JSON in memory."""

    def __init__(self) -> None:
        self.json: str | None = None

    async def load(self) -> Mapping[str, object] | None:
        return None if self.json is None else json.loads(self.json)

    async def save(self, session: Mapping[str, object]) -> None:
        self.json = json.dumps(session)

    async def clear(self) -> None:
        self.json = None


class AccountHarness:
    """A backend with its saved login, and the control of the simulated phone."""

    def __init__(self, sim: Simulator, control: SimulatorControl) -> None:
        self.sim = sim
        self.control = control
        self.credentials = FakeCredentialStore()
        self.cursor = Cursor("")
        self.login: LoggedIn | None = None
        self.backends: list[WebWxBackend] = []
        self.pauses = PauseClock()
        self.backend = self.restart()

    def restart(self, language: Language = "en") -> WebWxBackend:
        """Makes a new backend with the saved login, and leaves the old one as a kill would."""
        options = backend_options(
            credentials=self.credentials, endpoint=self.sim.url, language=language, clock=self.pauses.clock
        )
        self.backend = WebWxBackend(options, WebWxHttp(options, timeouts=SHORT_TIMEOUTS))
        self.backends.append(self.backend)
        return self.backend

    async def log_in(self, *, resume: bool = False) -> list[LoginStep]:
        """Logs in to the end, as a person who confirms everything; returns the steps."""
        steps: list[LoginStep] = []
        await self.control.post("settings", autoscan=True)
        async with (
            asyncio.timeout(MAX_WAIT_SECONDS),
            aclosing(self.backend.login(resume=resume)) as login_steps,
        ):
            steps += [step async for step in login_steps if not isinstance(step, PROGRESS_STEPS)]
        self.keep_login(steps[-1])
        return steps

    def keep_login(self, step: LoginStep) -> None:
        assert isinstance(step, LoggedIn)
        self.login, self.cursor = step, step.cursor

    async def people(self) -> dict[str, Contact]:
        """Returns all contacts by their names in the simulator."""
        contacts = {
            contact.handle: contact
            async for page in self.backend.list_contacts(lambda _: None)
            for contact in page
        }
        return {name: contacts[handle] for name, handle in (await self.names()).items() if handle in contacts}

    async def names(self) -> dict[str, Handle]:
        names = await self.control.get("names")
        assert isinstance(names, dict)
        return names

    async def next(self) -> Batch:
        """Receives one batch and advances the cursor."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            batch = await self.backend.receive(self.cursor)
        self.cursor = batch.cursor
        return batch

    async def items(self, count: int = 1) -> list[Message | Event]:
        """Receives until there are `count` messages and events; retries while WeChat is unreachable."""
        found: list[Message | Event] = []
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while len(found) < count:
                try:
                    batch = await self.backend.receive(self.cursor)
                except Unreachable:
                    continue
                self.cursor = batch.cursor
                assert batch.unreadable_count == 0
                found += (item for item in batch.items if isinstance(item, Message | Event))
        return found

    async def texts(self, count: int = 1) -> list[str]:
        return [item.text for item in await self.items(count) if isinstance(item, Message)]

    async def send(self, text: str, key: int = 1, to: str = "wife") -> str:
        chat = (await self.names())[to]
        receipt = await self.backend.send(
            Draft(chat=chat, kind=Kind.TEXT, text=text), SendKey(f"1700000000000{key:04d}")
        )
        return receipt.message_id or ""


@asynccontextmanager
async def account_at(sim: Simulator) -> AsyncIterator[AccountHarness]:
    control = SimulatorControl(sim.url)
    account = AccountHarness(sim, control)
    try:
        yield account
    finally:
        for backend in account.backends:
            await backend.close()
        violations = await control.get("violations")
        await control.close()
    assert violations == []


@pytest.fixture
async def account() -> AsyncIterator[AccountHarness]:
    """Yields an account that is not logged in."""
    async with Simulator(seed=3) as sim:
        sim.wechat.settings.change({"strict": True, "hold_login": 0.5, "hold_sync": 0.5, "notify_lists": 0})
        async with account_at(sim) as account:
            yield account


@pytest.fixture
async def online(account: AccountHarness) -> AccountHarness:
    """Returns an account that is logged in, with all contacts known and nothing to receive."""
    await account.log_in()
    await account.people()
    return account


async def steps_while(
    login: AsyncGenerator[LoginStep, None], control: SimulatorControl, *login_actions: str
) -> AsyncGenerator[LoginStep, None]:
    """Yields the steps of a login; after each one the phone does the next action."""
    waiting = list(login_actions)
    async with aclosing(login) as steps:
        async for step in steps:
            if isinstance(step, PROGRESS_STEPS):
                continue
            yield step
            if waiting:
                await control.post(waiting.pop(0))


async def kinds_of(account: AccountHarness, *login_actions: str) -> list[type[LoginStep]]:
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        found = [
            step
            async for step in steps_while(
                account.backend.login(resume=False), account.control, *login_actions
            )
        ]
    account.keep_login(found[-1])
    return [type(step) for step in found]


# login


async def test_scan_and_confirm(account: AccountHarness) -> None:
    assert await kinds_of(account, "scan", "confirm") == [ShowQr, Scanned, LoggedIn]


async def test_a_cancel_on_the_phone_brings_a_new_code(account: AccountHarness) -> None:
    kinds = await kinds_of(account, "scan", "cancel", "scan", "confirm")
    assert kinds == [ShowQr, Scanned, ShowQr, Scanned, LoggedIn]


async def test_a_cancel_that_leaves_the_code_valid(account: AccountHarness) -> None:
    await account.control.post("settings", cancel_code="408")

    async def change_of_mind() -> None:
        await account.control.wait("calls:login:3")  # the second poll was told of the cancel
        await account.control.post("scan")
        await account.control.post("confirm")

    changing = asyncio.create_task(change_of_mind())
    assert await kinds_of(account, "scan", "cancel") == [ShowQr, Scanned, LoggedIn]
    await changing


async def test_an_expired_code_is_renewed(account: AccountHarness) -> None:
    assert await kinds_of(account, "expire", "scan", "confirm") == [ShowQr, ShowQr, Scanned, LoggedIn]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "value": 503},
        {"kind": "reset"},
        {"kind": "hang", "value": 30},
        {"kind": "garbage"},
        {"kind": "html"},
        {"kind": "empty"},
        {"kind": "bad_status_line"},
        {"kind": "drop_answer"},
        {"kind": "truncate"},
    ],
    ids=lambda fault: fault["kind"],
)
async def test_a_failing_poll_does_not_lose_the_code(account: AccountHarness, fault: dict[str, Any]) -> None:
    await account.control.post("fault", endpoint="login", **fault)

    async def person() -> None:
        await account.control.wait("code")
        await account.control.post("scan")
        await account.control.wait("calls:login:3")
        await account.control.post("confirm")

    scanning = asyncio.create_task(person())
    kinds = await kinds_of(account)
    assert kinds in ([ShowQr, Scanned, LoggedIn], [ShowQr, LoggedIn])
    await scanning


@pytest.mark.parametrize("code", [400, 402, 500, 0, 666])
async def test_codes_that_end_a_qr_code(account: AccountHarness, code: int) -> None:
    await account.control.post("fault", endpoint="login", kind="code", value=code)
    assert [type(step) for step in await account.log_in()][:2] == [ShowQr, ShowQr]


@pytest.mark.parametrize("shape", ["answer_301", "cookies_only", "rotate_tickets", "sync_skey"])
async def test_every_shape_of_a_login_works_to_the_end(account: AccountHarness, shape: str) -> None:
    await account.control.post("settings", **{shape: True})
    await account.log_in()
    await account.people()
    await account.control.post("say", text="hello {n}", count=3)
    assert await account.texts(3) == ["hello 1", "hello 2", "hello 3"]
    await account.send("there")
    assert [line["text"] for line in await account.control.sent(1)] == ["there"]


@pytest.mark.parametrize("setting", [{"refuse_login": "为了你的帐号安全"}, {"html_login": True}])
async def test_a_refusal_ends_the_login_with_its_reason(
    account: AccountHarness, setting: dict[str, Any]
) -> None:
    await account.control.post("settings", **setting)
    with pytest.raises(LoginRefused, match=str(setting.get("refuse_login", "web page"))):
        await account.log_in()
    assert account.credentials.json is None


@pytest.mark.parametrize("endpoint", ["webwxnewloginpage", "webwxinit", "webwxstatusnotify"])
@pytest.mark.parametrize("kind", ["status", "reset", "truncate", "empty", "html"])
async def test_a_fault_during_a_login_is_retried(account: AccountHarness, endpoint: str, kind: str) -> None:
    if (endpoint, kind) == ("webwxinit", "truncate"):
        # The lost answer had a new skey, which the next attempt does not know.
        await account.control.post("settings", strict=False)
    await account.control.post("fault", endpoint=endpoint, kind=kind)
    if (endpoint, kind) == ("webwxnewloginpage", "html"):
        with pytest.raises(LoginRefused, match="web page"):
            await account.log_in()
    else:
        assert isinstance((await account.log_in())[-1], LoggedIn)


# resuming


async def test_a_killed_bridge_goes_on_without_a_scan_and_without_loss(online: AccountHarness) -> None:
    await online.control.post("settings", rotate_tickets=True, sync_skey=True)
    await online.control.post("say", text="one")
    assert await online.texts() == ["one"]
    before = online.login
    online.restart()
    await online.control.post("say", text="two")
    old_cursor = online.cursor
    steps = await online.log_in(resume=True)
    assert [type(step) for step in steps] == [LoggedIn]
    assert before is not None
    assert online.login is not None
    assert (online.login.resumed, online.login.login_id) == (True, before.login_id)
    online.cursor = old_cursor
    assert await online.texts() == ["two"]


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103])
async def test_a_login_that_ended_meanwhile_is_asked_for_on_the_phone(
    online: AccountHarness, retcode: int
) -> None:
    await online.control.post("logout", retcode=retcode)
    online.restart()
    steps = await online.log_in(resume=True)
    assert [type(step) for step in steps] in ([ConfirmOnPhone, LoggedIn], [ConfirmOnPhone, Scanned, LoggedIn])
    assert await online.texts(0) == []


@pytest.mark.parametrize("offer", ["args", "antispam", "invalid"])
async def test_a_code_is_shown_where_the_phone_cannot_be_asked(online: AccountHarness, offer: str) -> None:
    await online.control.post("logout", retcode=1101)
    await online.control.post("settings", push_login=offer)
    online.restart()
    assert isinstance((await online.log_in(resume=True))[0], ShowQr)


async def test_logging_out_leaves_nothing_to_resume(online: AccountHarness) -> None:
    await online.backend.logout()
    await online.control.wait("offline")
    assert online.credentials.json is None
    online.restart()
    assert isinstance((await online.log_in(resume=True))[0], ShowQr)


# people


async def test_each_contact_comes_once_with_the_right_kind(account: AccountHarness) -> None:
    await account.control.post("people", friends=120, groups=70, members=12)
    await account.control.post("settings", page_size=50, empty_contacts=1)
    await account.log_in()
    counts: list[int] = []
    pages = [page async for page in account.backend.list_contacts(counts.append)]
    contacts = [contact for page in pages for contact in page]
    handles = [contact.handle for contact in contacts]
    assert len(handles) == len(set(handles)) == counts[-1]
    assert counts == sorted(counts)
    people = await account.people()
    assert people["wife"].remark == "老婆"
    assert people["wife"].nickname == "晓梅🌸"
    assert people["wife"].profile == {"sex": "2", "province": "北京", "city": "朝阳", "attributes": "111719"}
    assert people["hanmeimei"].nickname == "Han Meimei & Co <3"
    assert people["lilei"].alias == "lilei_1986"
    assert people["news"].kind is ChatKind.OFFICIAL
    assert people["filehelper"].kind is ChatKind.SELF
    assert all(contact.members for contact in contacts if contact.kind is ChatKind.GROUP)


@pytest.mark.parametrize("kind", ["status", "reset", "truncate", "html", "ret"])
async def test_a_page_of_contacts_that_fails_is_fetched_again(account: AccountHarness, kind: str) -> None:
    await account.log_in()
    value = {"value": 1 if kind == "ret" else 500} if kind in {"ret", "status"} else {}
    await account.control.post("fault", endpoint="webwxbatchgetcontact", kind=kind, **value)
    try:
        people = await account.people()
    except Unreachable:  # the connection broke: the caller tries again
        people = await account.people()
    assert people["family"].members


async def test_the_recent_chats_of_the_phone_are_learned(account: AccountHarness) -> None:
    await account.control.post("settings", notify_lists=3)
    await account.control.post("people", groups=60, members=5)
    await account.log_in()
    contacts: list[Contact] = []
    while len({contact.handle for contact in contacts if contact.kind is ChatKind.GROUP}) < 60:
        batch = await account.next()
        assert batch.items == ()
        contacts += batch.contacts
    assert all(contact.members for contact in contacts if contact.kind is ChatKind.GROUP)


# receiving


async def test_a_thousand_messages_come_whole_and_in_order(online: AccountHarness) -> None:
    await online.control.post("say", text="n{n}", count=1000)
    assert await online.texts(1000) == [f"n{n}" for n in range(1, 1001)]


async def test_a_thousand_messages_with_continue_flag(online: AccountHarness) -> None:
    await online.control.post("settings", continue_flag=True, check_key=False)
    await online.control.post("say", text="n{n}", count=1000)
    assert await online.texts(1000) == [f"n{n}" for n in range(1, 1001)]


async def test_the_same_cursor_brings_the_same_again(online: AccountHarness) -> None:
    await online.control.post("say", text="once")
    old_cursor = online.cursor
    first = await online.next()
    online.cursor = old_cursor
    assert await online.next() == first


@pytest.mark.parametrize("endpoint", ["synccheck", "webwxsync"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "value": 502},
        {"kind": "ret", "value": -1},
        {"kind": "ret", "value": 3},
        {"kind": "hang"},
        {"kind": "reset"},
        {"kind": "garbage"},
        {"kind": "html"},
        {"kind": "empty"},
        {"kind": "bad_status_line"},
        {"kind": "drop_answer"},
        {"kind": "truncate"},
        {"kind": "delay", "value": 0.2},
    ],
    ids=lambda fault: fault["kind"],
)
async def test_no_fault_loses_a_message(online: AccountHarness, endpoint: str, fault: dict[str, Any]) -> None:
    await online.control.post("fault", endpoint=endpoint, times=2, **fault)
    await online.control.post("say", text="n{n}", count=60)
    assert await online.texts(60) == [f"n{n}" for n in range(1, 61)]


async def test_an_answer_in_another_charset_loses_no_message(online: AccountHarness) -> None:
    await online.control.post("fault", endpoint="webwxsync", kind="charset")
    await online.control.post("say", text="hello")
    assert await online.texts() == ["hello"]


@pytest.mark.parametrize("selector", [1, 3, 5, 6, 7])
async def test_selectors_without_messages_cause_no_busy_loop(online: AccountHarness, selector: int) -> None:
    await online.control.post(
        "settings", poll_limit=0
    )  # it sees how long the pauses are, not how long they should be
    await online.control.post("fault", endpoint="synccheck", kind="selector", value=selector, times=3)
    started_at = online.pauses.monotonic()
    for _ in range(3):
        assert (await online.next()).items == ()
    await online.control.post("say", text="hello")
    assert await online.texts() == ["hello"]
    assert online.pauses.monotonic() - started_at >= 3 * MIN_POLL_INTERVAL_SECONDS


@pytest.mark.parametrize("retcode", [1100, 1101, 1102, 1103])
async def test_the_end_of_a_login_is_noticed_while_waiting(online: AccountHarness, retcode: int) -> None:
    await online.control.post("settings", hold_sync=25)
    waiting = asyncio.create_task(online.next())
    await online.control.wait("polling")
    await online.control.post("logout", retcode=retcode)
    with pytest.raises(LoggedOut, match=str(retcode)):
        await waiting
    with pytest.raises(LoggedOut):
        await online.backend.send(TEXT_TO_FILEHELPER, SendKey("17000000000000001"))


async def test_a_poll_that_hangs_is_given_up(online: AccountHarness) -> None:
    await online.control.post("fault", endpoint="synccheck", kind="hang")
    with pytest.raises(Unreachable) as cut:
        await online.next()
    assert cut.value.poll_timed_out


async def test_groups_senders_and_mentions(online: AccountHarness) -> None:
    owner = (await online.control.get("state"))["owner"]["nickname"]
    await online.control.post(
        "say", **{"from": "mom", "to": "family", "text": f"@{owner}\u2005吃饭了 <3 & 🍚"}
    )
    await online.control.post("say", **{"from": "mom", "to": "family", "text": "line\nline"})
    first, second = await online.items(2)
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    names = await online.names()
    assert (first.chat, first.chat_kind, first.sender) == (names["family"], ChatKind.GROUP, names["mom"])
    assert (first.text, first.mentioned) == (f"@{owner}\u2005吃饭了 <3 & 🍚", True)
    assert first.sender_name
    assert (second.text, second.mentioned) == ("line\nline", False)


async def test_messages_from_the_phone_of_the_owner_are_own(online: AccountHarness) -> None:
    await online.control.post("say", **{"from": "me", "to": "filehelper", "text": "note"})
    await online.control.post("say", **{"from": "me", "to": "wife", "text": "hi"})
    note, message = await online.items(2)
    assert isinstance(note, Message)
    assert isinstance(message, Message)
    assert (note.chat, note.chat_kind, note.from_self) == ("filehelper", ChatKind.SELF, True)
    assert (message.chat, message.from_self) == ((await online.names())["wife"], True)


async def test_a_new_contact_has_a_name(online: AccountHarness) -> None:
    await online.control.post("people", add={"id": "new", "nickname": "小新"})
    await online.control.post("say", **{"from": "new", "to": "me", "text": "hi"})
    contacts: list[Contact] = []
    texts: list[str] = []
    while not texts:
        batch = await online.next()
        contacts += batch.contacts
        texts += [item.text for item in batch.items if isinstance(item, Message)]
    assert "小新" in {contact.nickname for contact in contacts}


# the kind or event that each message becomes; None: it is not published
LINK_KINDS = ("articles", "channels", "coupon", "link", "live", "music", "open_app", "product", "reader")
KINDS: dict[str, Kind | str | None] = {
    **dict.fromkeys(("text", "html", "private_text", "private_html", "app_text", "group_note"), Kind.TEXT),
    **dict.fromkeys(("image", "image_token", "private_image", "app_image"), Kind.IMAGE),
    **dict.fromkeys(("video", "iphone_video", "micro_video"), Kind.VIDEO),
    **dict.fromkeys(("sticker", "store_sticker", "app_sticker"), Kind.STICKER),
    **dict.fromkeys(("location", "location_48", "live_location"), Kind.LOCATION),
    **dict.fromkeys((*LINK_KINDS, "scanned_product", "sticker_set", "video_link"), Kind.LINK),
    **dict.fromkeys(("mini_program", "mini_program_36"), Kind.MINI_PROGRAM),
    **dict.fromkeys(("chat_history", "note"), Kind.CHAT_HISTORY),
    **dict.fromkeys(("app_red_packet", "system:red_packet", "system:red_packet_sent"), Kind.RED_PACKET),
    **dict.fromkeys(("unsupported", "voice_reminder"), Kind.UNSUPPORTED),
    **dict.fromkeys(("call", "call_end", "call_invite"), "call"),
    **dict.fromkeys(
        ("mail", "qq", "push_system", "qq_image", "possible_friend", "status", "notice"),
    ),
    **dict.fromkeys(("pat", "member_joined", "member_removed", "group_todo", "system"), Kind.SYSTEM),
    "announcement": Kind.TEXT,
    "gift": Kind.LINK,
    "app_transfer": Kind.TRANSFER,
    "system:transfer": Kind.TRANSFER,
    "card": Kind.CARD,
    "file": Kind.FILE,
    "friend_request": "friend_request",
    "quote": Kind.QUOTE,
    "recall": "recall",
    "voice": Kind.VOICE,
}


@pytest.mark.parametrize("language", ["zh_CN", "en_US"])
async def test_every_kind_of_message_arrives_as_what_it_is(online: AccountHarness, language: str) -> None:
    await online.control.post("settings", language=language)
    kinds = all_kinds()
    found: dict[str, Kind | str | None] = {}
    for kind in kinds:
        await online.control.post("say", kind=kind, text="" if kind.startswith("system:") else "words")
        await online.control.post("say", text=f"after {kind}")
        items: list[Message | Event] = []
        while not items or getattr(items[-1], "text", "") != f"after {kind}":
            items += await online.items()
        found[kind] = next(
            (item.kind if isinstance(item, Message) else item.name for item in items[:-1]), None
        )
    wanted = {kind: KINDS.get(kind, Kind.SYSTEM) for kind in kinds}
    assert found == wanted


# sending


@pytest.mark.parametrize(
    "text", ["好的 ☀", "a\nb", "<b>&amp;</b> \"q\" 'a' \\ /", "\\u4f60 \\/", "👨‍👩‍👧 🇨🇳 #️⃣", " ", "x" * 16_384]
)
async def test_texts_arrive_as_they_were_written(online: AccountHarness, text: str) -> None:
    message_id = await online.send(text)
    (line,) = await online.control.sent(1)
    assert (line["text"], line["msg_id"], line["to"]) == (text, message_id, "wife")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "value": 503}, Unreachable),
        ({"kind": "ret", "value": -1}, Unreachable),
        ({"kind": "ret", "value": 1204}, Rejected),
        ({"kind": "ret", "value": 1205}, Throttled),
        ({"kind": "ret", "value": 1}, Rejected),
        ({"kind": "hang"}, OutcomeUnknown),
        ({"kind": "reset"}, OutcomeUnknown),
        ({"kind": "garbage"}, OutcomeUnknown),
        ({"kind": "html"}, OutcomeUnknown),
        ({"kind": "empty"}, OutcomeUnknown),
        ({"kind": "bad_status_line"}, OutcomeUnknown),
        ({"kind": "drop_answer"}, OutcomeUnknown),
        ({"kind": "truncate"}, OutcomeUnknown),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else value.__name__,
)
async def test_each_fault_of_a_send_raises_its_error(
    online: AccountHarness, fault: dict[str, Any], error: type[BackendError]
) -> None:
    await online.control.post("fault", endpoint="webwxsendmsg", **fault)
    with pytest.raises(error):
        await online.send("hello")
    await online.send("hello")
    lines = await online.control.sent(1)
    assert [line["text"] for line in lines if line["delivered"]] == ["hello"]


async def test_the_rate_limit_of_wechat(online: AccountHarness) -> None:
    await online.control.post("settings", rate_limit=2)
    await online.send("1", 1)
    await online.send("2", 2)
    with pytest.raises(Throttled) as slow:
        await online.send("3", 3)
    assert slow.value.retry_after == 60


async def test_sends_go_on_beside_a_poll(online: AccountHarness) -> None:
    await online.control.post("settings", hold_sync=25)
    waiting = asyncio.create_task(online.next())
    await online.control.wait("polling")
    await asyncio.gather(*(online.send(f"n{n}", n) for n in range(40)))
    assert not waiting.done()
    assert sorted(line["text"] for line in await online.control.sent(40)) == sorted(
        f"n{n}" for n in range(40)
    )
    await online.control.post("say", text="hello")
    assert len((await waiting).items) == 1


async def test_a_refused_connection_is_unreachable(tmp_path: Path, unused_tcp_port: int) -> None:
    options = backend_options(
        credentials=FakeCredentialStore(), endpoint=f"http://127.0.0.1:{unused_tcp_port}"
    )
    backend = WebWxBackend(options, WebWxHttp(options))
    with pytest.raises(Unreachable, match="no connection"):
        async for _ in backend.login(resume=True):
            pass
    await backend.close()


# with WeChat's own names


@asynccontextmanager
async def http_proxy_to(port: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Runs an HTTP proxy whose tunnels all lead to `port`; yields its URL, and the list of the requested names."""
    asked: list[str] = []
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split()[1].decode())
        server_writer, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for coroutine in (pipe(reader, back), pipe(server_writer, writer)):
            pipes.add(asyncio.create_task(coroutine))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for task in pipes:
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        await asyncio.sleep(0)  # lets the closed transports go


def picture_in(folder: Path) -> Draft:
    """Returns a draft of a picture for the file helper."""
    content = sample("image.jpg")
    (folder / "picture").write_bytes(content)
    blob = Blob(sha256="5e", size=len(content), mime="image/jpeg", path="picture")
    attachment = Attachment(file=folder / "picture", name="a.jpg", blob=blob)
    return Draft(chat=Handle("filehelper"), kind=Kind.IMAGE, attachment=attachment)


@pytest.mark.parametrize("base", ["wx.qq.com", "wx2.qq.com", "web2.wechat.com"])
async def test_wechats_own_names_are_reached_through_the_environments_proxy_and_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    async with Simulator(seed=3, tls=tmp_path) as sim, http_proxy_to(sim.port) as (proxy, asked):
        sim.wechat.settings.change({"strict": True, "hold_sync": 0.5, "notify_lists": 0, "base_host": base})
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        sim.wechat.settings.change({"autoscan": True})
        options = backend_options(credentials=FakeCredentialStore())
        backend = WebWxBackend(options, WebWxHttp(options, timeouts=SHORT_TIMEOUTS))
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            (*_, login) = [step async for step in backend.login(resume=False)]
            assert isinstance(login, LoggedIn)
            assert [page async for page in backend.list_contacts(lambda _: None)]
            inject(sim.wechat, MessageOrder(sender="wife", to="me", text="hello"))
            batch = await backend.receive(login.cursor)
            await backend.send(TEXT_TO_FILEHELPER, SendKey("17000000000000001"))
            await backend.send(picture_in(tmp_path), SendKey("17000000000000002"))
            await backend.logout()
        await backend.close()
        assert [item.text for item in batch.items if isinstance(item, Message)] == ["hello"]
        assert {f"{base}:443", f"webpush.{base}:443", f"file.{base}:443"} <= set(asked)
        assert "login.wx.qq.com:443" in asked
        assert sim.wechat.violations.list() == []
