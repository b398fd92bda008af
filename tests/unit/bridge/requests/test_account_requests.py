"""The requests that an account answers without changing anything at WeChat."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.bridge.commands_harness import CAPABILITIES, PEOPLE, person
from tests.unit.bridge.contexts import context
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.bridge.requests.account_requests import AccountRequests
from wx2mqtt.bridge.requests.dispatcher import ActionHandler, SizedHandler
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_LISTED_QUESTIONS
from wx2mqtt.model import AskingCommand, Button, Json, LoginState, PersonId
from wx2mqtt.store.question_records import AskedQuestion

QUESTION = AskedQuestion(
    id=1,
    account="home",
    command=1,
    command_id="lock",
    user="wife",
    person=PersonId(1),
    text="Lock?",
    buttons=(Button(text="Yes", key="yes"),),
    anyone=False,
    asked=1_795_600_000_000,
    until=None,
    closed=None,
    answer="",
)


class FakeQuestions:
    """The open questions of a journal, the newest first."""

    def __init__(self, *questions: AskedQuestion) -> None:
        self.questions = list(questions)

    async def list_open(self, _now: int, limit: int) -> list[AskedQuestion]:
        return self.questions[:limit]

    async def close(self, command_id: str, _now: int) -> bool:
        before = len(self.questions)
        self.questions = [question for question in self.questions if question.command_id != command_id]
        return len(self.questions) < before


class AccountRequestsHarness:
    """The requests of an account, with a login session that keeps what it is asked for."""

    def __init__(self, *, login_seconds: float | None = None, is_code_required: bool = False) -> None:
        self.calls: list[object] = []
        self.stored: list[PeopleUpdate] = []
        self.questions = FakeQuestions(QUESTION)
        self.registry = PeopleRegistry(PEOPLE, {known.topic_name: known.id for known in PEOPLE}, {})
        self.is_code_required = is_code_required
        self.login = LoginStatus(state=LoginState.WAITING_FOR_SCAN, since=1)
        capabilities = replace(CAPABILITIES, login_seconds=login_seconds)
        self.ctx = context(
            backend=SimpleNamespace(capabilities=capabilities),
            registry=self.registry,
            journal=SimpleNamespace(questions=self.questions, stream="k3v9qa"),
        )
        self.ctx.login_requests.request_login = self.request_login  # type: ignore[method-assign]
        self.ctx.login_requests.request_logout = self.request_logout  # type: ignore[method-assign]
        self.ctx.signals.renewal_requested.connect(lambda: self.calls.append("renew"))
        session: Any = self
        inbound: Any = SimpleNamespace(apply_people=self.apply_people)
        windows: Any = SimpleNamespace(
            publish_changes=lambda: self.calls.append("windows"), directory_entries=self.registry.directory
        )
        reporter: Any = SimpleNamespace(health=self.health)
        self.handlers = AccountRequests(self.ctx, session, inbound, windows, reporter).handlers()

    def request_login(self, *, new_owner: bool = False) -> None:
        self.calls.append("new_owner" if new_owner else "login")

    async def request_logout(self) -> None:
        self.calls.append("logout")

    def enter_verification_code(self, code: str) -> bool:
        self.calls.append(code)
        return self.is_code_required

    async def apply_people(self, changes: PeopleUpdate) -> None:
        self.stored.append(changes)

    async def health(self) -> Json:
        return {"healthy": True}

    async def ask(self, name: str, **fields: Json) -> Any:
        """Returns the answer to a request."""
        handler = self.handlers[name]
        assert not isinstance(handler, (SizedHandler, ActionHandler))
        return await handler(fields)

    async def refusal(self, name: str, **fields: Json) -> str:
        """Returns code and message key with which a request is refused."""
        with pytest.raises(BadCommand) as refused:
            await self.ask(name, **fields)
        return f"{refused.value.code} {refused.value.message_key}"


@pytest.mark.parametrize(
    ("fields", "call"), [({}, "login"), ({"new_owner": True}, "new_owner"), ({"code": "0123"}, "0123")]
)
async def test_a_login_request_begins_a_login_or_enters_a_code_and_answers_with_the_state(
    fields: dict[str, Json], call: str
):
    harness = AccountRequestsHarness(is_code_required=True)
    answer = await harness.ask("login", **fields)
    assert harness.calls == [call]
    assert (answer["state"], answer["account"]) == ("waiting_for_scan", "home")


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"renew": True, "new_owner": True}, "bad_request renew_alone"),
        ({"renew": True, "code": "1"}, "bad_request renew_alone"),
        ({"code": "1", "new_owner": True}, "bad_request code_or_new_owner"),
    ],
)
async def test_a_login_request_asks_for_one_thing_only(fields: dict[str, Json], refusal: str):
    harness = AccountRequestsHarness(login_seconds=86_400.0, is_code_required=True)
    assert await harness.refusal("login", **fields) == refusal
    assert harness.calls == []


async def test_a_code_is_refused_while_the_phone_asks_for_none():
    assert await AccountRequestsHarness().refusal("login", code="1") == "bad_request no_code_asked"


async def test_only_a_backend_whose_logins_end_can_renew_them():
    harness = AccountRequestsHarness(login_seconds=86_400.0)
    await harness.ask("login", renew=True)
    assert harness.calls == ["renew"]
    assert (await AccountRequestsHarness().refusal("login", renew=True)).startswith("unsupported ")


async def test_a_logout_request_is_answered_when_the_login_has_ended():
    harness = AccountRequestsHarness()
    answer = await harness.ask("logout")
    assert (harness.calls, answer["account"]) == (["logout"], "home")


async def test_a_search_publishes_changed_windows_first_so_that_answer_and_topics_agree():
    harness = AccountRequestsHarness()
    answer = await harness.ask("contacts", query="wife")
    assert harness.calls == ["windows"]
    assert [entry["user"] for entry in answer["contacts"]] == ["wife"]


async def test_an_assignment_is_stored_and_names_the_people_that_it_has_changed():
    harness = AccountRequestsHarness()
    newcomer = person(9, "newcomer", matched_by="unsure")
    harness.registry._table.add(newcomer)
    harness.registry._table.assign_topic_name("newcomer", newcomer.id)
    harness.registry.collect_changes()
    answer = await harness.ask("assign", user="lost", to="newcomer")
    assert answer == {"user": "lost", "changed": ["lost"]}
    assert [stored.people.removed for stored in harness.stored] == [(newcomer.id,)]
    assert (await harness.refusal("assign", user="wife", to="nobody")).startswith("unknown_user ")


async def test_the_health_is_that_of_the_reporter():
    assert await AccountRequestsHarness().ask("health") == {"healthy": True}


# questions


async def test_open_questions_are_listed_with_who_may_answer_and_until_when():
    harness = AccountRequestsHarness()
    asked_by = AskingCommand(account="home", row_id=7, command_id="heat", user="me")
    of_another_account = replace(
        QUESTION, account="office", user="boss", anyone=True, until=1_795_600_060_000, asked_by=asked_by
    )
    harness.questions.questions.append(of_another_account)
    answer = await harness.ask("questions")
    assert answer == {
        "questions": [
            {
                "command_id": "lock",
                "user": "wife",
                "text": "Lock?",
                "buttons": [{"text": "Yes", "key": "yes"}],
                "buttons_from": "trusted",
                "asked": "2026-11-25T09:46:40.000Z",
            },
            {
                "command_id": "heat",
                "user": "me",
                "text": "Lock?",
                "buttons": [{"text": "Yes", "key": "yes"}],
                "buttons_from": "anyone",
                "asked": "2026-11-25T09:46:40.000Z",
                "until": "2026-11-25T09:47:40.000Z",
                "fallback_account": "office/boss",
            },
        ],
        "more": False,
    }


@pytest.mark.parametrize(("count", "more"), [(MAX_LISTED_QUESTIONS, False), (MAX_LISTED_QUESTIONS + 1, True)])
async def test_the_list_of_questions_is_bounded_and_says_whether_there_are_more(count: int, more: bool):
    harness = AccountRequestsHarness()
    harness.questions.questions = [replace(QUESTION, command_id=f"c{number}") for number in range(count)]
    answer = await harness.ask("questions")
    assert (len(answer["questions"]), answer["more"]) == (MAX_LISTED_QUESTIONS, more)


async def test_a_question_is_closed_once():
    harness = AccountRequestsHarness()
    assert await harness.ask("questions", close="lock") == {"closed": "lock"}
    assert await harness.refusal("questions", close="lock") == "unknown_id no_open_question"
