"""Whose account a store belongs to, as the session decides it; time is virtual."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.bridge.contexts import changed
from tests.unit.bridge.session_harness import (
    OWNER,
    QR_CODE,
    FakeBackend,
    SessionHarness,
    logged_in,
    run_scenario,
)
from wx2mqtt.bridge.login_requests import LoginRequests
from wx2mqtt.errors import LoggedOut, StoreError
from wx2mqtt.model import Handle, Needs
from wx2mqtt.model import LoginState as S
from wx2mqtt.settings.schema import Expect

OTHER = replace(OWNER, nickname=OWNER.nickname, uin="42")
"""Another account that took the owner's nickname."""


def scans(session_harness: SessionHarness, *owners: object) -> None:
    for number, owner in enumerate(owners, len(session_harness.backend.logins)):
        session_harness.backend.logins.append([QR_CODE, logged_in(f"login-{number}", owner=owner)])  # type: ignore[arg-type]


def refusals(session_harness: SessionHarness) -> list[str]:
    """Returns the names of the accounts that were refused since the last call."""
    return [event.get("name", "") for event in session_harness.own_events("other_account")]


def test_the_first_account_is_remembered_and_another_one_refused_under_its_name():
    async def scenario(session_harness: SessionHarness) -> None:
        scans(session_harness, OWNER)
        await session_harness.run_for(5)
        assert session_harness.journal.owners == [OWNER.uin]
        scans(session_harness, OTHER)
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.run_for(5)
        status = session_harness.session.login
        assert (status.state, status.needs) == (S.REFUSED, Needs.RELOGIN)
        assert (
            refusals(session_harness),
            session_harness.backend.logouts,
            session_harness.journal.owners,
        ) == (
            [OTHER.nickname],
            1,
            [OWNER.uin],
        )
        assert not session_harness.session.logged_in
        assert not session_harness.sender.is_online
        scans(session_harness, OWNER)
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(5)
        assert session_harness.session.login.state is S.ONLINE
        assert session_harness.sender.owner_changes == []

    run_scenario(scenario)


@pytest.mark.parametrize("uin", ["", "0", "00"])
def test_a_login_without_an_account_is_refused_before_anybody_is_remembered(uin: str):
    async def scenario(session_harness: SessionHarness) -> None:
        scans(session_harness, replace(OWNER, uin=uin))
        await session_harness.run_for(5)
        assert (session_harness.session.login.state, session_harness.journal.owners) == (S.REFUSED, [])

    run_scenario(scenario)


def test_who_is_asked_for_as_a_new_owner_becomes_it_in_one_commit():
    async def scenario(session_harness: SessionHarness) -> None:
        scans(session_harness, OWNER, OTHER)
        await session_harness.run_for(5)
        session_harness.ctx.login_requests.request_login(new_owner=True)
        await session_harness.run_for(5)
        assert session_harness.session.login.state is S.ONLINE
        assert session_harness.sender.owner_changes == [OTHER.uin]
        assert session_harness.backend.logouts == 1  # of the owner before, at once
        assert session_harness.backend.resume_flags == [True, False]
        session_harness.ctx.login_requests.request_login()  # without effect: a login stands
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        scans(session_harness, OWNER)
        await session_harness.run_for(5)
        assert session_harness.state == "refused"

    run_scenario(scenario)


def test_the_permission_for_another_account_is_used_up_by_a_login():
    async def scenario(session_harness: SessionHarness) -> None:
        scans(session_harness, OWNER, OWNER, OTHER)
        await session_harness.run_for(5)
        session_harness.ctx.login_requests.request_login(new_owner=True)
        await session_harness.run_for(5)
        assert session_harness.sender.owner_changes == []
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.run_for(5)
        assert session_harness.session.login.state is S.REFUSED

    run_scenario(scenario)


def test_a_store_that_fails_makes_the_change_wait_and_nobody_is_online_before():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.journal.owner_errors.append(StoreError("the disk is away"))
        scans(session_harness, OWNER)
        await session_harness.run_for(0.05)
        assert session_harness.session.login.state is S.INTERRUPTED
        await session_harness.run_for(60)
        assert (session_harness.session.login.state, session_harness.journal.owners) == (
            S.ONLINE,
            [OWNER.uin],
        )

    run_scenario(scenario)


def test_the_account_of_a_saved_login_is_the_owner_where_none_is_remembered():
    async def scenario(session_harness: SessionHarness) -> None:
        scans(session_harness, OTHER)
        await session_harness.run_for(5)
        assert (session_harness.session.login.state, session_harness.journal.owners) == (
            S.REFUSED,
            [OWNER.uin],
        )

    backend = FakeBackend()
    backend.saved_login_owner = OWNER
    run_scenario(scenario, backend=backend)


def test_a_saved_login_that_the_file_does_not_expect_is_nobodys():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.ctx.settings = changed(session_harness.ctx.settings, expect=Expect(uin=OTHER.uin))
        scans(session_harness, OTHER)
        await session_harness.run_for(5)
        assert (session_harness.session.login.state, session_harness.journal.owners) == (
            S.ONLINE,
            [OTHER.uin],
        )

    backend = FakeBackend()
    backend.saved_login_owner = OWNER
    run_scenario(scenario, backend=backend)


@pytest.mark.parametrize(
    ("expected", "state"),
    [
        (Expect(uin=OTHER.uin), S.ONLINE),
        (Expect(nickname=OTHER.nickname), S.REFUSED),  # everybody can take a nickname
    ],
)
def test_the_file_names_another_owner_by_a_number_and_not_by_a_nickname(expected: Expect, state: S):
    async def scenario(session_harness: SessionHarness) -> None:
        scans(session_harness, OWNER, OTHER)
        await session_harness.run_for(5)
        session_harness.ctx.settings = changed(session_harness.ctx.settings, expect=expected)
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.run_for(5)
        assert session_harness.session.login.state is state
        assert session_harness.sender.owner_changes == ([OTHER.uin] if state is S.ONLINE else [])

    run_scenario(scenario)


def test_on_ilink_the_person_who_scans_counts():
    async def scenario(session_harness: SessionHarness) -> None:
        me, wife = (replace(OWNER, nickname="", uin="", handle=Handle(name)) for name in ("me@im", "wife@im"))
        scans(session_harness, me, wife)
        await session_harness.run_for(5)
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.run_for(5)
        assert (session_harness.session.login.state, session_harness.journal.owners) == (S.REFUSED, ["me@im"])

    backend = FakeBackend()
    backend.capabilities = replace(backend.capabilities, handles_change_at_login=False)
    run_scenario(scenario, backend=backend)


def test_saved_logins_are_used_of_the_owner_only_or_of_anybody_else():
    async def scenario(session_harness: SessionHarness) -> None:
        assert session_harness.owner.may_resume(OWNER, new_owner=False)
        assert session_harness.owner.may_resume(OTHER, new_owner=True)
        scans(session_harness, OWNER)
        await session_harness.run_for(5)
        allowed = [
            session_harness.owner.may_resume(account, new_owner=new_owner)
            for account in (OWNER, OTHER)
            for new_owner in (False, True)
        ]
        assert allowed == [True, False, False, True]
        session_harness.ctx.settings = changed(session_harness.ctx.settings, expect=Expect(uin=OTHER.uin))
        assert session_harness.owner.may_resume(OTHER, new_owner=False)
        assert not session_harness.owner.may_resume(OWNER, new_owner=False)

    run_scenario(scenario)


def test_of_several_requests_the_last_one_says_whether_another_account_may_come():
    requests = LoginRequests()
    for new_owner in (True, False, True):
        requests.request_login(new_owner=new_owner)
    requests.discard_outdated()
    assert requests.new_owner
    requests.request_login()
    requests.discard_outdated()
    assert not requests.new_owner
