"""Whose account a store belongs to, and on WeCom who the owner of a bot is, as the operator says it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.bridge.logins import QR_CODE, started
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import CAPABILITIES, OWNER, MemoryBackend
from wx2mqtt.bridge.account_owner import mismatched_key
from wx2mqtt.bridge.bot_owner import OwnerNeed
from wx2mqtt.errors import BadCommand, LoggedOut, StoreFull, Unreachable
from wx2mqtt.model import ChatKind, Contact, Handle, Owner
from wx2mqtt.settings.schema import Expect
from wx2mqtt.store.remembered_owners import read_owners
from wx2mqtt.wechat.backend import LoggedIn, LoginStep
from wx2mqtt.wechat.backend_options import LoginFilter, OnProgress, any_login

OTHER = replace(OWNER, nickname=OWNER.nickname, uin="42")
"""Another account that took the owner's nickname."""

UNCONFIRMED = ("owner", "owner_unconfirmed")
UNNAMED = ("owner", "owner_unnamed")


class OwnersBackend(MemoryBackend):
    """A backend that keeps the question which saved logins are usable."""

    usable: LoginFilter = staticmethod(any_login)

    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        self.usable = usable
        async for step in super().login(resume=resume, usable=usable):
            yield step


def scan(owner: Owner, login_id: str = "") -> list[Any]:
    return [QR_CODE, MemoryBackend().logged_in(owner=owner, login_id=login_id or f"login of {owner.uin}")]


async def owner_after(
    bridge: BridgedAccount, *steps: list[Any], new_owner: bool = False
) -> tuple[str, list[Any]]:
    """Ends the login; returns the state after the next one, and the remembered owners."""
    bridge.backend.logins.extend(steps)
    if new_owner:
        await bridge.request("login", new_owner=True)
    else:
        bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(5)
    return bridge.state, await owners(bridge)


async def owners(bridge: BridgedAccount) -> list[str]:
    ((column,),) = await bridge.rows("SELECT owner FROM account")
    owner = read_owners(column).ids.get(bridge.backend.capabilities.backend)
    return [owner] if owner else []


async def test_the_first_account_is_remembered_and_another_one_refused_under_its_name(bridge: BridgedAccount):
    assert await owner_after(bridge, scan(OTHER)) == ("refused", [OWNER.uin])
    login = bridge.last("wx/login/state")
    assert (login["needs"], bridge.backend.logouts) == ("relogin", 1)
    assert [event["name"] for event in bridge.published("wx/event/other_account")] == [OTHER.nickname]
    bridge.deliver("wx/out/老婆", "waits")
    bridge.backend.logins.append(scan(OWNER))
    await bridge.request("login")
    assert (await bridge.result("老婆"))["status"] == "sent", "the same owner's commands go on"
    await bridge.kill()
    bridge.backend.logins.append(scan(OTHER))
    await bridge.restart(online=False)
    await bridge.pass_time(5)
    assert bridge.state == "refused"


@pytest.mark.parametrize("uin", ["", "0", "00"])
async def test_a_login_without_an_account_is_refused_before_anybody_is_remembered(
    open_bridge: OpenBridge, uin: str
):
    bridge = await started(open_bridge, scan(replace(OWNER, uin=uin)))
    assert (bridge.state, await owners(bridge)) == ("refused", [])


async def test_who_is_asked_for_as_a_new_owner_becomes_it_and_the_commands_that_waited_end(
    open_bridge: OpenBridge,
):
    bridge = await started(open_bridge, scan(OWNER))
    bridge.fail_store("change_owner")
    bridge.backend.outcomes.append(Unreachable())
    bridge.deliver("wx/out/老婆", "waits")
    await bridge.wait_until(lambda: bridge.backend.sent)
    assert await owner_after(bridge, scan(OTHER), new_owner=True) == ("online", [OTHER.uin])
    assert (await bridge.result("老婆"))["status"] == "failed"
    assert (bridge.backend.logouts, bridge.backend.resume_flags) == (1, [True, False])
    await bridge.request("login")  # without effect: a login stands
    assert await owner_after(bridge, scan(OWNER)) == ("refused", [OTHER.uin])


async def test_the_permission_for_another_account_is_used_up_by_a_login(bridge: BridgedAccount):
    assert await owner_after(bridge, scan(OWNER, "2"), new_owner=True) == ("online", [OWNER.uin])
    assert await owner_after(bridge, scan(OTHER)) == ("refused", [OWNER.uin])


@pytest.mark.parametrize(("flags", "state"), [((True, False, True), "online"), ((True, False), "refused")])
async def test_of_several_requests_the_last_one_says_whether_another_account_may_come(
    bridge: BridgedAccount, flags: tuple[bool, ...], state: str
):
    bridge.backend.logins.extend([[QR_CODE], scan(OTHER)])
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    for new_owner in flags:
        bridge.deliver("wx/bridge/request/login", {"new_owner": new_owner})
    await bridge.pass_time(5)
    assert bridge.state == state


async def test_a_store_that_fails_makes_the_change_wait_and_nobody_is_online_before(open_bridge: OpenBridge):
    backend = MemoryBackend()
    backend.logins.append(scan(OWNER))
    bridge = await open_bridge(backend, start=False)
    bridge.fail_store("owner", error=StoreFull)
    await bridge.start(online=False)
    assert bridge.state == "interrupted"
    await bridge.pass_time(60)
    assert (bridge.state, await owners(bridge)) == ("online", [OWNER.uin])


@pytest.mark.parametrize(
    ("expect", "state", "owner"),
    [({}, "refused", OWNER.uin), ({"uin": OTHER.uin}, "online", OTHER.uin)],
    ids=["remembered", "not expected by the file"],
)
async def test_the_account_of_a_saved_login_is_the_owner_where_none_is_remembered(
    open_bridge: OpenBridge, expect: dict[str, str], state: str, owner: str
):
    backend = MemoryBackend(saved=OWNER)
    bridge = await started(open_bridge, scan(OTHER), backend=backend, expect=expect, seconds=5)
    assert (bridge.state, await owners(bridge)) == (state, [owner])


@pytest.mark.parametrize(
    ("expect", "state"),
    [
        ({"uin": OTHER.uin}, "online"),
        ({"nickname": OTHER.nickname}, "refused"),  # everybody can take a nickname
    ],
)
async def test_the_file_names_another_owner_by_a_number_and_not_by_a_nickname(
    open_bridge: OpenBridge, expect: dict[str, str], state: str
):
    bridge = await open_bridge()
    await bridge.reload(expect=expect)
    expected = [OTHER.uin] if state == "online" else [OWNER.uin]
    assert await owner_after(bridge, scan(OTHER)) == (state, expected)


async def test_on_ilink_the_person_who_scans_counts(open_bridge: OpenBridge):
    me, wife = (replace(OWNER, nickname="", uin="", handle=Handle(name)) for name in ("me@im", "wife@im"))
    backend = MemoryBackend(capabilities=replace(CAPABILITIES, handles_change_at_login=False))
    bridge = await started(open_bridge, scan(me, "1"), backend=backend)
    assert await owner_after(bridge, scan(wife, "2")) == ("refused", ["me@im"])
    await bridge.reload(expect={"ilink": "wife@im"})
    bridge.backend.logins.append(scan(wife, "2"))
    await bridge.request("login")
    await bridge.pass_time(5)
    assert (bridge.state, await owners(bridge)) == ("online", ["wife@im"])


async def test_only_the_account_that_the_file_names_may_log_in_and_no_number_is_published(
    open_bridge: OpenBridge,
):
    stranger = Owner(handle=Handle("o9cq80me@im.wechat"), nickname="Eve", uin="666")
    bridge = await started(open_bridge, scan(stranger), expect={"uin": OWNER.uin})
    login = bridge.last("wx/login/state")
    assert (login["state"], login["needs"], bridge.backend.logouts) == ("refused", "relogin", 1)
    assert "Eve" in login["reason"]
    assert "expect.uin" in login["reason"]
    assert not any(number in str(login) for number in ("666", OWNER.uin, "o9cq80"))
    assert mismatched_key(Expect(ilink="o9cq80other@im.wechat"), stranger) == "ilink"
    assert mismatched_key(Expect(ilink="o9cq80me@im.wechat"), stranger) == ""


async def test_saved_logins_are_used_of_the_owner_only_or_of_anybody_else(open_bridge: OpenBridge):
    backend = OwnersBackend()
    bridge = await started(open_bridge, [QR_CODE], backend=backend)
    assert (backend.usable(OWNER), backend.usable(OTHER)) == (True, True)
    backend.logins.extend([scan(OWNER), [QR_CODE], [QR_CODE], [QR_CODE]])
    await bridge.request("login")
    await bridge.pass_time(5)
    backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    assert (backend.usable(OWNER), backend.usable(OTHER)) == (True, False)
    await bridge.request("login", new_owner=True)
    await bridge.pass_time(1)
    assert (backend.usable(OWNER), backend.usable(OTHER)) == (False, True)
    await bridge.reload(expect={"uin": OTHER.uin})
    await bridge.request("login")
    await bridge.pass_time(1)
    assert (backend.usable(OWNER), backend.usable(OTHER)) == (False, True)


# bots

BOT, OTHER_BOT = Owner(handle=Handle("aib1"), nickname="Butler"), Owner(handle=Handle("aib2"), nickname="")


class BotBackend(MemoryBackend):
    """A backend of a bot: no login says who its owner is, and a contact is made from an id."""

    def __init__(self) -> None:
        bot = replace(
            CAPABILITIES,
            backend="wecom",
            has_contacts=False,
            can_start_chat=False,
            handles_change_at_login=False,
            owner_is_named=True,
        )
        super().__init__(capabilities=bot)

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        nobody: tuple[Contact, ...] = ()
        yield nobody

    def contact_of_id(self, permanent_id: str, kind: ChatKind | None = None) -> Contact:
        is_group = permanent_id.startswith("wrk") if kind is None else kind is ChatKind.GROUP
        handle = Handle(f"{'group' if is_group else 'user'}:{permanent_id}")
        chat_kind = ChatKind.GROUP if is_group else ChatKind.FRIEND
        return Contact(handle=handle, kind=chat_kind, nickname=permanent_id, permanent_id=handle)


def bot_login(bot: Owner = BOT, *, is_configured: bool = False) -> list[Any]:
    return [
        QR_CODE,
        LoggedIn(
            owner=bot, login_id=bot.handle, resumed=False, cursor=OWNER_CURSOR, is_configured=is_configured
        ),
    ]


OWNER_CURSOR = MemoryBackend().logged_in().cursor


async def bot_bridge(open_bridge: OpenBridge, *, is_configured: bool = False, **more: Any) -> BridgedAccount:
    """Returns the bridge of a bot to which two people and a group have written."""
    logins = [bot_login(is_configured=is_configured)]
    bridge = await started(open_bridge, *logins, backend=BotBackend(), **more)
    assert bridge.state == "online"
    assert await trust_of(bridge, "li", "wang", "wrk1") == [False, False, False]
    return bridge


async def trust_of(bridge: BridgedAccount, *users: str) -> list[bool]:
    """Lets each of them write; returns whether the messages are trusted."""
    trust = []
    for user in users:
        backend = bridge.backend
        assert isinstance(backend, BotBackend)
        contact = backend.contact_of_id(user)
        sender = replace(contact, kind=ChatKind.FRIEND)
        message = backend.message(sender, chat_kind=contact.kind)
        backend.deliver(message, contacts=(contact,))
        trust.append((await bridge.next(f"wx/in/{user}"))["trusted"])
    return trust


async def refused(call: Any) -> str:
    with pytest.raises(BadCommand) as caught:
        await call
    return f"{caught.value.code} {caught.value.message_key}"


def needs(bridge: BridgedAccount) -> tuple[str, str]:
    """Returns what `login/state` needs, and of whom the operator must say something."""
    bot_owner = bridge.account.components.bot_owner
    return bridge.last("wx/login/state")["needs"], str(bot_owner.need)


async def test_a_scanned_bot_asks_first_whether_it_is_the_right_one_and_then_who_its_owner_is(
    open_bridge: OpenBridge,
):
    bridge = await bot_bridge(open_bridge)
    bot_owner = bridge.account.components.bot_owner
    assert needs(bridge) == UNCONFIRMED
    assert await refused(bot_owner.confirm("aib2")) == "bad_request other_bot"
    await bot_owner.confirm("aib1")
    await bridge.pass_time(1)
    assert needs(bridge) == UNNAMED
    bridge.fail_store("owner")
    with pytest.raises(StoreFull):
        await bot_owner.name("li")
    assert (needs(bridge), await trust_of(bridge, "li")) == (UNNAMED, [False])
    answer = await bridge.request("owner", user="li")
    assert answer["data"] == {"user": "li", "bot": "aib1", "confirmed": True, "trusted": True}
    await bridge.pass_time(1)
    assert (needs(bridge)[0], await trust_of(bridge, "li", "wang", "wrk1")) == (
        "nothing",
        [True, False, False],
    )
    assert [event["user"] for event in bridge.published("wx/event/owner_named")] == ["li"]
    await bridge.kill()
    bridge.backend.logins.append([QR_CODE])
    await bridge.restart(online=False)
    restarted = bridge.account.components.bot_owner
    assert (str(restarted.need), restarted.owner, restarted.bot_id) == (
        str(bot_owner.need),
        "user:li",
        "aib1",
    )


async def test_a_request_names_the_owner_and_confirms_nothing(open_bridge: OpenBridge):
    bridge = await bot_bridge(open_bridge)
    answer = await bridge.request("owner", user="li")
    assert answer["data"] == {"user": "li", "bot": "aib1", "confirmed": False, "trusted": False}
    assert needs(bridge)[0] == "owner"
    bot_owner = bridge.account.components.bot_owner
    await bot_owner.confirm("aib1")
    await bridge.pass_time(1)
    assert needs(bridge)[0] == "nothing"
    assert bot_owner.state is not None
    assert (bot_owner.state.user, {entry.user for entry in bot_owner.state.people}) == ("li", {"li", "wang"})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"user": "nobody"}, "unknown_user"),
        ({"user": "wrk1"}, "bad_request"),
        ({"user": "li", "new_owner": True}, "bad_request"),
        ({}, "bad_request"),
    ],
)
async def test_who_cannot_be_the_owner(open_bridge: OpenBridge, fields: dict[str, Any], code: str):
    bridge = await bot_bridge(open_bridge, is_configured=True)
    assert (await bridge.request("owner", **fields))["code"] == code
    assert needs(bridge) == UNNAMED


async def test_there_is_one_owner_until_a_login_of_a_new_one_which_keeps_the_people_of_the_same_bot(
    open_bridge: OpenBridge,
):
    bridge = await bot_bridge(open_bridge, is_configured=True)
    await bridge.request("owner", user="li")
    assert (await bridge.request("owner", user="wang"))["code"] == "bad_request"
    state, _ = await owner_after(bridge, bot_login(is_configured=True), new_owner=True)
    assert (state, needs(bridge)) == ("online", UNNAMED)
    assert await trust_of(bridge, "li") == [False]
    assert (await bridge.request("owner", user="wang"))["data"]["trusted"] is True
    assert await trust_of(bridge, "wang") == [True]


async def test_another_bot_is_refused_and_as_a_new_owner_finds_nobody_of_the_one_before(
    open_bridge: OpenBridge,
):
    bridge = await bot_bridge(open_bridge, is_configured=True)
    await bridge.request("owner", user="li")
    assert await owner_after(bridge, bot_login(OTHER_BOT)) == ("refused", ["aib1"])
    assert needs(bridge)[0] == "relogin"
    assert await owner_after(bridge, bot_login(OTHER_BOT), new_owner=True) == ("online", ["aib2"])
    assert needs(bridge) == UNCONFIRMED
    assert bridge.last("wx/contacts")["contacts"] == []


async def test_the_configuration_names_the_owner_and_whom_it_names_is_there_before_they_write(
    open_bridge: OpenBridge,
):
    contacts = {"me": {"owner": True}, "wife": {"wecom": "wang"}, "family": {"wecom": "wrk1"}}
    logins = [bot_login(is_configured=True)]
    backend = BotBackend()
    bridge = await started(
        open_bridge, *logins, backend=backend, expect={"wecom": "li"}, contacts=contacts, seconds=5
    )
    assert needs(bridge)[0] == "nothing"
    directory = bridge.last("wx/contacts")["contacts"]
    assert {entry["user"]: (entry["kind"], entry["trusted"]) for entry in directory} == {
        "me": ("friend", True),
        "wife": ("friend", True),
        "family": ("group", False),
    }
    assert (await bridge.request("owner", user="wife"))["code"] == "bad_request"


async def test_before_the_first_login_and_on_other_backends_nobody_can_be_named(open_bridge: OpenBridge):
    bridge = await open_bridge()
    assert (await bridge.request("owner", user="老婆"))["code"] == "unsupported"
    bot_owner = bridge.account.components.bot_owner
    assert (bot_owner.state, bot_owner.need) == (None, OwnerNeed.NOTHING)
    await bridge.kill()
    bridge.backend = BotBackend()
    bridge.backend.logins.append([QR_CODE])
    await bridge.restart(online=False)
    assert (await bridge.request("owner", user="li"))["code"] == "logged_out"
    assert bridge.account.components.bot_owner.state is None
