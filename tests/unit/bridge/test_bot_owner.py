"""The owner of a bot, whom the operator names: the login, the requests and what they are for trust."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from tests.unit.bridge.session_harness import CODE, FakeGateway, SessionHarness, message, run_story
from wx2mqtt.bridge.account_owner import AccountOwner, OwnerNeed
from wx2mqtt.bridge.bot_owner import BotOwner
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand, LoggedOut, StoreError
from wx2mqtt.model import ChatKind, Contact, Cursor, Handle, Json, Needs, Owner
from wx2mqtt.model import LoginState as S
from wx2mqtt.settings.schema import Expect, Pin
from wx2mqtt.store.remembered_owners import NamedOwner
from wx2mqtt.wechat.backend import Batch, Capabilities, LoggedIn, OnProgress

BOT, OTHER_BOT = Owner(handle=Handle("aib1"), nickname="Butler"), Owner(handle=Handle("aib2"), nickname="")
LI, WANG, FAMILY = Handle("user:li"), Handle("user:wang"), Handle("group:wrk1")


class BotGateway(FakeGateway):
    """A bot: no login says who its owner is, and ids say how to write to somebody."""

    capabilities = Capabilities(
        backend="wecom",
        has_contacts=False,
        has_groups=True,
        can_start_chat=False,
        handles_change_at_login=False,
        text_limit=100,
        owner_is_named=True,
    )

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        nobody: tuple[Contact, ...] = ()
        yield nobody

    def contact_of_id(self, permanent_id: str, kind: ChatKind | None = None) -> Contact:
        is_group = permanent_id.startswith("wrk") if kind is None else kind is ChatKind.GROUP
        handle = Handle(f"{'group' if is_group else 'user'}:{permanent_id}")
        return Contact(
            handle=handle,
            kind=ChatKind.GROUP if is_group else ChatKind.FRIEND,
            nickname=permanent_id,
            permanent_id=handle,
        )


def login(bot: Owner = BOT, *, is_configured: bool = False) -> LoggedIn:
    return LoggedIn(
        owner=bot, login_id=bot.handle, resumed=False, cursor=Cursor(""), is_configured=is_configured
    )


def naming(here: SessionHarness) -> BotOwner:
    return BotOwner(here.ctx, here.owner, here.session, here.inbound)


def writes(here: SessionHarness, *handles: Handle) -> None:
    """Each of them writes to the bot."""
    for number, handle in enumerate(handles):
        kind, _, chat_id = handle.partition(":")
        contact = here.gateway.contact_of_id(chat_id, ChatKind.GROUP if kind == "group" else ChatKind.FRIEND)  # type: ignore[attr-defined]
        item = message(f"{handle}-{number}", chat=handle, chat_kind=contact.kind, sender=handle)
        here.gateway.answers.append(Batch(cursor=Cursor(f"{number}"), items=(item,), contacts=(contact,)))


def trusted(here: SessionHarness) -> list[bool]:
    """Whether each message that is stored is trusted."""
    return [stored.body["trusted"] is True for stored in here.journal.messages()]


async def log_in(here: SessionHarness, *, is_configured: bool = False) -> None:
    here.gateway.logins.append([CODE, login(is_configured=is_configured)])
    writes(here, LI, WANG, FAMILY)
    await here.after(5)
    assert here.session.login.state is S.ONLINE


async def refused(naming_call: object) -> str:
    """Returns the code and the sentence with which a call is refused."""
    with pytest.raises(BadCommand) as caught:
        await naming_call  # type: ignore[misc]
    return f"{caught.value.code} {caught.value.message_key}"


def test_a_scanned_bot_asks_first_whether_it_is_the_right_one_and_then_who_its_owner_is():
    async def story(here: SessionHarness) -> None:
        await log_in(here)
        assert (here.session.login.needs, here.owner.need) == (Needs.OWNER, OwnerNeed.BOT)
        assert trusted(here) == [False, False, False]
        assert await refused(naming(here).confirm("aib2")) == "bad_request other_bot"
        await naming(here).confirm("aib1")
        assert (here.session.login.needs, here.owner.need) == (Needs.OWNER, OwnerNeed.PERSON)
        await naming(here).name("li")
        assert (here.session.login.needs, here.owner.need) == (Needs.NOTHING, OwnerNeed.NOTHING)
        assert here.journal.said[-1] == NamedOwner(is_confirmed=True, person="user:li")
        person = here.identity.by_handle(LI)
        assert person is not None
        assert person.trusted
        assert [event["user"] for event in here.own_events("owner_named")] == ["li"]

    run_story(story, gateway=BotGateway())


def test_a_bot_of_the_configuration_needs_no_confirmation():
    async def story(here: SessionHarness) -> None:
        await log_in(here, is_configured=True)
        assert here.owner.need is OwnerNeed.PERSON
        answer = await naming(here).answer_request({"user": "wang"})
        assert answer == {"user": "wang", "bot": "aib1", "confirmed": True, "trusted": True}
        writes(here, WANG, LI, FAMILY)
        here.journal.items.clear()
        here.ctx.login_requests.on_logged_out(LoggedOut("over"))
        here.gateway.logins.append([login(is_configured=True)])
        await here.after(5)
        assert trusted(here) == [True, False, False]

    run_story(story, gateway=BotGateway())


def test_a_request_names_the_owner_and_confirms_nothing():
    async def story(here: SessionHarness) -> None:
        await log_in(here)
        answer = await naming(here).answer_request({"user": "li"})
        assert answer == {"user": "li", "bot": "aib1", "confirmed": False, "trusted": False}
        before = here.session.login.needs
        await naming(here).confirm("aib1")
        assert (before, here.session.login.needs) == (Needs.OWNER, Needs.NOTHING)
        state = naming(here).state
        assert state is not None
        assert (state.user, {entry.user for entry in state.people}) == ("li", {"li", "wang"})

    run_story(story, gateway=BotGateway())


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"user": "nobody"}, "unknown_user unknown_user"),
        ({"user": "wrk1"}, "bad_request owner_no_person"),
        ({"user": "li", "new_owner": True}, "bad_request unknown_key"),
        ({}, "bad_request"),
    ],
)
def test_who_cannot_be_the_owner(fields: dict[str, Json], refusal: str):
    async def story(here: SessionHarness) -> None:
        await log_in(here, is_configured=True)
        assert (await refused(naming(here).answer_request(dict(fields)))).startswith(refusal)
        assert here.owner.need is OwnerNeed.PERSON

    run_story(story, gateway=BotGateway())


def test_there_is_one_owner_until_a_login_of_a_new_one_which_keeps_the_people_of_the_same_bot():
    async def story(here: SessionHarness) -> None:
        await log_in(here, is_configured=True)
        await naming(here).name("li")
        assert await refused(naming(here).name("wang")) == "bad_request owner_named"
        here.gateway.logins.append([login(is_configured=True)])
        here.ctx.login_requests.request_login(new_owner=True)
        await here.after(5)
        assert here.owner.need is OwnerNeed.PERSON
        assert (here.sender.owner_changes, here.sender.forgotten) == (["aib1"], 0)
        person = here.identity.by_topic_name("li")
        assert person is not None
        assert not person.trusted
        await naming(here).name("wang")
        assert here.journal.said[-1] == NamedOwner(is_confirmed=True, person="user:wang")

    run_story(story, gateway=BotGateway())


def test_another_bot_is_refused_and_as_a_new_owner_finds_nobody_of_the_one_before():
    async def story(here: SessionHarness) -> None:
        await log_in(here)
        await naming(here).confirm("aib1")
        await naming(here).name("li")
        here.gateway.logins.append([login(OTHER_BOT)])
        here.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await here.after(5)
        assert (here.session.login.state, here.session.login.needs) == (S.REFUSED, Needs.RELOGIN)
        here.gateway.logins.append([CODE, login(OTHER_BOT)])
        here.ctx.login_requests.request_login(new_owner=True)
        await here.after(5)
        assert (here.sender.owner_changes, here.sender.forgotten) == (["aib2"], 1)
        assert here.journal.said[-1] == NamedOwner()
        assert here.owner.need is OwnerNeed.BOT
        assert here.identity.count == 0

    run_story(story, gateway=BotGateway())


def test_the_configuration_names_the_owner_and_whom_it_names_is_there_before_they_write():
    async def story(here: SessionHarness) -> None:
        here.gateway.logins.append([login(is_configured=True)])
        await here.after(5)
        assert here.session.login.needs is Needs.NOTHING
        names = {entry.user: (str(entry.kind), entry.trusted) for entry in here.identity.directory()}
        assert names == {"me": ("friend", True), "wife": ("friend", True), "family": ("group", False)}
        assert await refused(naming(here).name("wife")) == "bad_request owner_named"

    pins = {"me": {"owner": True}, "wife": {"wecom": "wang"}, "family": {"wecom": "wrk1"}}
    registry = PeopleRegistry(
        [],
        {},
        {name: ContactPin(**pin) for name, pin in pins.items()},  # type: ignore[arg-type]
    )

    async def with_pins(here: SessionHarness) -> None:
        contacts = {name: Pin(**pin) for name, pin in pins.items()}  # type: ignore[arg-type]
        account = here.ctx.settings.account.model_copy(update={"contacts": contacts})
        here.ctx.settings = replace(here.ctx.settings, account=account)
        await story(here)

    run_story(with_pins, gateway=BotGateway(), expected=Expect(wecom="li"), identity=registry)


def test_what_was_said_outlives_a_restart_and_counts_before_the_login():
    async def story(here: SessionHarness) -> None:
        here.ctx.saved_state = replace(
            here.ctx.saved_state,
            owner_ids={"wecom": "aib1"},
            named_owners={"wecom": NamedOwner(is_confirmed=True, person="user:li")},
        )
        owner = AccountOwner(here.ctx, here.sender)
        assert (owner.need, owner.person, owner.bot_id) == (OwnerNeed.NOTHING, LI, "aib1")
        await here.after(0)

    run_story(story, gateway=BotGateway())


def test_a_store_that_fails_changes_nothing():
    async def story(here: SessionHarness) -> None:
        await log_in(here, is_configured=True)
        here.journal.owner_troubles.append(StoreError("the disk is away"))
        with pytest.raises(StoreError):
            await naming(here).name("li")
        assert here.owner.need is OwnerNeed.PERSON
        person = here.identity.by_handle(LI)
        assert person is not None
        assert not person.trusted

    run_story(story, gateway=BotGateway())


def test_before_the_first_login_and_on_other_backends_nobody_can_be_named():
    async def story(here: SessionHarness) -> None:
        assert await refused(naming(here).name("li")) == "logged_out not_logged_in"
        assert naming(here).state is None
        await here.after(0)

    async def on_web_wechat(here: SessionHarness) -> None:
        assert await refused(naming(here).name("li")) == "unsupported unsupported_action"
        assert naming(here).state is None
        await here.after(0)

    run_story(story, gateway=BotGateway())
    run_story(on_web_wechat)
