"""The owner of a bot, whom the operator names: the login, the requests and what they are for trust."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.bridge.session_harness import QR_CODE, FakeBackend, SessionHarness, message, run_scenario
from wx2mqtt.bridge.bot_owner import BotOwner, OwnerNeed
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


class FakeBotBackend(FakeBackend):
    """A backend of a bot: no login says who its owner is, and a contact is made from an id."""

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


def receive_from(harness: SessionHarness, *handles: Handle) -> None:
    """Lets the bot receive a message from each handle."""
    for number, handle in enumerate(handles):
        kind, _, chat_id = handle.partition(":")
        chat_kind = ChatKind.GROUP if kind == "group" else ChatKind.FRIEND
        backend: Any = harness.backend
        contact = backend.contact_of_id(chat_id, chat_kind)
        item = message(f"{handle}-{number}", chat=handle, chat_kind=contact.kind, sender=handle)
        harness.backend.answers.append(Batch(cursor=Cursor(f"{number}"), items=(item,), contacts=(contact,)))


def trust_of_messages(harness: SessionHarness) -> list[bool]:
    """Returns for each stored message whether it is trusted."""
    return [stored.body["trusted"] is True for stored in harness.journal.messages()]


async def log_in(harness: SessionHarness, *, is_configured: bool = False) -> None:
    harness.backend.logins.append([QR_CODE, login(is_configured=is_configured)])
    receive_from(harness, LI, WANG, FAMILY)
    await harness.run_for(5)
    assert harness.session.login.state is S.ONLINE


async def refused(call: object) -> str:
    """Returns the code and the sentence with which a call is refused."""
    with pytest.raises(BadCommand) as caught:
        await call  # type: ignore[misc]
    return f"{caught.value.code} {caught.value.message_key}"


def test_a_scanned_bot_asks_first_whether_it_is_the_right_one_and_then_who_its_owner_is():
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness)
        assert (harness.session.login.needs, harness.bot_owner.need) == (Needs.OWNER, OwnerNeed.BOT)
        assert trust_of_messages(harness) == [False, False, False]
        assert await refused(harness.bot_owner.confirm("aib2")) == "bad_request other_bot"
        await harness.bot_owner.confirm("aib1")
        assert (harness.session.login.needs, harness.bot_owner.need) == (Needs.OWNER, OwnerNeed.PERSON)
        await harness.bot_owner.name("li")
        assert (harness.session.login.needs, harness.bot_owner.need) == (Needs.NOTHING, OwnerNeed.NOTHING)
        assert harness.journal.named_owners[-1] == NamedOwner(is_confirmed=True, person="user:li")
        person = harness.registry.by_handle(LI)
        assert person is not None
        assert person.trusted
        assert [event["user"] for event in harness.own_events("owner_named")] == ["li"]

    run_scenario(scenario, backend=FakeBotBackend())


def test_a_bot_of_the_configuration_needs_no_confirmation():
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness, is_configured=True)
        assert harness.bot_owner.need is OwnerNeed.PERSON
        answer = await harness.bot_owner.answer_request({"user": "wang"})
        assert answer == {"user": "wang", "bot": "aib1", "confirmed": True, "trusted": True}
        receive_from(harness, WANG, LI, FAMILY)
        harness.journal.items.clear()
        harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        harness.backend.logins.append([login(is_configured=True)])
        await harness.run_for(5)
        assert trust_of_messages(harness) == [True, False, False]

    run_scenario(scenario, backend=FakeBotBackend())


def test_a_request_names_the_owner_and_confirms_nothing():
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness)
        answer = await harness.bot_owner.answer_request({"user": "li"})
        assert answer == {"user": "li", "bot": "aib1", "confirmed": False, "trusted": False}
        before = harness.session.login.needs
        await harness.bot_owner.confirm("aib1")
        assert (before, harness.session.login.needs) == (Needs.OWNER, Needs.NOTHING)
        state = harness.bot_owner.state
        assert state is not None
        assert (state.user, {entry.user for entry in state.people}) == ("li", {"li", "wang"})

    run_scenario(scenario, backend=FakeBotBackend())


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
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness, is_configured=True)
        assert (await refused(harness.bot_owner.answer_request(dict(fields)))).startswith(refusal)
        assert harness.bot_owner.need is OwnerNeed.PERSON

    run_scenario(scenario, backend=FakeBotBackend())


def test_there_is_one_owner_until_a_login_of_a_new_one_which_keeps_the_people_of_the_same_bot():
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness, is_configured=True)
        await harness.bot_owner.name("li")
        assert await refused(harness.bot_owner.name("wang")) == "bad_request owner_named"
        harness.backend.logins.append([login(is_configured=True)])
        harness.ctx.login_requests.request_login(new_owner=True)
        await harness.run_for(5)
        assert harness.bot_owner.need is OwnerNeed.PERSON
        assert (harness.sender.owner_changes, harness.sender.forgotten) == (["aib1"], 0)
        person = harness.registry.by_topic_name("li")
        assert person is not None
        assert not person.trusted
        await harness.bot_owner.name("wang")
        assert harness.journal.named_owners[-1] == NamedOwner(is_confirmed=True, person="user:wang")

    run_scenario(scenario, backend=FakeBotBackend())


def test_another_bot_is_refused_and_as_a_new_owner_finds_nobody_of_the_one_before():
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness)
        await harness.bot_owner.confirm("aib1")
        await harness.bot_owner.name("li")
        harness.backend.logins.append([login(OTHER_BOT)])
        harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await harness.run_for(5)
        assert (harness.session.login.state, harness.session.login.needs) == (S.REFUSED, Needs.RELOGIN)
        harness.backend.logins.append([QR_CODE, login(OTHER_BOT)])
        harness.ctx.login_requests.request_login(new_owner=True)
        await harness.run_for(5)
        assert (harness.sender.owner_changes, harness.sender.forgotten) == (["aib2"], 1)
        assert harness.journal.named_owners[-1] == NamedOwner()
        assert harness.bot_owner.need is OwnerNeed.BOT
        assert harness.registry.count == 0

    run_scenario(scenario, backend=FakeBotBackend())


def test_the_configuration_names_the_owner_and_whom_it_names_is_there_before_they_write():
    async def scenario(harness: SessionHarness) -> None:
        harness.backend.logins.append([login(is_configured=True)])
        await harness.run_for(5)
        assert harness.session.login.needs is Needs.NOTHING
        names = {entry.user: (str(entry.kind), entry.trusted) for entry in harness.registry.directory()}
        assert names == {"me": ("friend", True), "wife": ("friend", True), "family": ("group", False)}
        assert await refused(harness.bot_owner.name("wife")) == "bad_request owner_named"

    pins = {"me": {"owner": True}, "wife": {"wecom": "wang"}, "family": {"wecom": "wrk1"}}
    registry = PeopleRegistry(
        [],
        {},
        {name: ContactPin(**pin) for name, pin in pins.items()},  # type: ignore[arg-type]
    )

    async def with_pins(harness: SessionHarness) -> None:
        contacts = {name: Pin(**pin) for name, pin in pins.items()}  # type: ignore[arg-type]
        account = harness.ctx.settings.account.model_copy(update={"contacts": contacts})
        harness.ctx.settings = replace(harness.ctx.settings, account=account)
        await scenario(harness)

    run_scenario(with_pins, backend=FakeBotBackend(), expected=Expect(wecom="li"), registry=registry)


def test_a_named_owner_is_kept_over_a_restart_and_counts_before_the_login():
    async def scenario(harness: SessionHarness) -> None:
        harness.ctx.saved_state = replace(
            harness.ctx.saved_state,
            owner_ids={"wecom": "aib1"},
            named_owners={"wecom": NamedOwner(is_confirmed=True, person="user:li")},
        )
        owner = BotOwner(harness.ctx, harness.inbound.apply_people)
        assert (owner.need, owner.owner, owner.bot_id) == (OwnerNeed.NOTHING, LI, "aib1")
        await harness.run_for(0)

    run_scenario(scenario, backend=FakeBotBackend())


def test_a_store_that_fails_changes_nothing():
    async def scenario(harness: SessionHarness) -> None:
        await log_in(harness, is_configured=True)
        harness.journal.owner_errors.append(StoreError("the disk is away"))
        with pytest.raises(StoreError):
            await harness.bot_owner.name("li")
        assert harness.bot_owner.need is OwnerNeed.PERSON
        person = harness.registry.by_handle(LI)
        assert person is not None
        assert not person.trusted

    run_scenario(scenario, backend=FakeBotBackend())


def test_before_the_first_login_and_on_other_backends_nobody_can_be_named():
    async def scenario(harness: SessionHarness) -> None:
        assert await refused(harness.bot_owner.name("li")) == "logged_out not_logged_in"
        assert harness.bot_owner.state is None
        await harness.run_for(0)

    async def on_web_wechat(harness: SessionHarness) -> None:
        assert await refused(harness.bot_owner.name("li")) == "unsupported unsupported_action"
        assert harness.bot_owner.state is None
        await harness.run_for(0)

    run_scenario(scenario, backend=FakeBotBackend())
    run_scenario(on_web_wechat)
