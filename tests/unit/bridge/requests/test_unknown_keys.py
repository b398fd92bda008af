"""A key that a request does not know is refused by its name, and nothing is done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import PEOPLE
from tests.unit.bridge.contexts import context, shared
from tests.unit.bridge.session_harness import FakeBackend
from tests.unit.bridge.validation_harness import ValidationHarness
from wx2mqtt.app.application import RunEnvironment, open_application
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.requests.dispatcher import ActionHandler, Handler, SizedHandler
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n import Language
from wx2mqtt.model import Action, Json
from wx2mqtt.settings.loader import load
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.registry import BACKENDS

ACCOUNT_REQUESTS: dict[str, dict[str, Json]] = {
    "login": {},
    "logout": {},
    "contacts": {},
    "assign": {"user": "lost", "to": "mom"},
    "health": {},
    "history": {},
    "owner": {"user": "wife"},
    "questions": {"close": "lock"},
    "media": {"message_id": "1"},
    "mark_read": {"user": "wife"},
    "set_remark": {"user": "wife", "remark": "x"},
    "accept_friend": {"id": "1"},
    "group": {"user": "family"},
}
"""Every request that an account carries out by itself, with the fields of a complete one."""

PROCESS_REQUESTS: dict[str, dict[str, Json]] = {"log_level": {"level": "info"}, "reload": {}}

COMMAND_REQUESTS: dict[str, dict[str, Json]] = {
    "send": {"user": "wife", "text": "hello"},
    "recall": {"user": "wife", "message_id": "1"},
}


class CapableBackend(FakeBackend):
    """A backend that offers every action."""

    capabilities = replace(FakeBackend.capabilities, actions=frozenset(Action.__args__))

    def set_language(self, language: Language) -> None:
        """Does nothing."""


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    """An account that does not run."""
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    journal = Journal(database, "home")
    await journal.open()
    yield Account(
        context(
            broker=FakeBroker(acknowledges_at_once=True),
            backend=CapableBackend(),
            journal=journal,
            registry=PeopleRegistry(PEOPLE, {person.topic_name: person.id for person in PEOPLE}, {}),
            shared=shared(blobs=Blobs(tmp_path)),
        )
    )
    await database.close()


async def call(handler: Handler, fields: dict[str, Json]) -> Json:
    match handler:
        case SizedHandler(work):
            return await work(fields, None)
        case ActionHandler(work):
            request: Any = SimpleNamespace(fields=fields, in_doubt=False)
            return await work(request)
        case plain:
            return await plain(fields)


def test_the_table_has_every_request_of_an_account(account: Account):
    assert account.components.request_handlers().keys() == ACCOUNT_REQUESTS.keys()


@pytest.mark.parametrize("name", ACCOUNT_REQUESTS)
@pytest.mark.parametrize("complete", [False, True], ids=["alone", "beside the others"])
async def test_a_request_refuses_an_unknown_key(
    account: Account, monkeypatch: pytest.MonkeyPatch, name: str, complete: bool
):
    done: list[str] = []

    async def log_out() -> None:
        done.append("logout")

    monkeypatch.setattr(account.ctx.login_requests, "request_login", lambda: done.append("login"))
    monkeypatch.setattr(account.ctx.login_requests, "request_logout", log_out)
    monkeypatch.setattr(account.ctx.registry, "assign", lambda *_: done.append("assign"))
    fields: dict[str, Json] = {**(ACCOUNT_REQUESTS[name] if complete else {}), "bogus": 1}
    with pytest.raises(BadCommand) as refused:
        await call(account.components.request_handlers()[name], fields)
    assert (refused.value.code, refused.value.facts["key"], done) == ("bad_request", "bogus", [])


@pytest.mark.parametrize("name", PROCESS_REQUESTS)
@pytest.mark.parametrize("complete", [False, True], ids=["alone", "beside the others"])
async def test_a_request_to_the_process_refuses_an_unknown_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complete: bool
):
    done: list[str] = []
    monkeypatch.setattr("wx2mqtt.app.logs.set_level", done.append)
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"mqtt: {{url: mqtt://127.0.0.1}}\nstorage: {{path: {tmp_path / 'store'}}}\n")
    loaded = load(file, {}, BACKENDS)
    environment = RunEnvironment(env={})
    async with open_application(loaded, environment, serve=False) as app:
        requests = app.process_requests()
        assert requests.keys() == PROCESS_REQUESTS.keys()
        monkeypatch.setattr(app, "reload", lambda: done.append("reload"))
        with pytest.raises(BadCommand) as refused:
            await requests[name]({**(PROCESS_REQUESTS[name] if complete else {}), "bogus": 1})
    assert (refused.value.code, refused.value.facts["key"], done) == ("bad_request", "bogus", [])


@every_row("name", COMMAND_REQUESTS)
@every_row("complete", [False, True])
def test_a_command_as_request_refuses_an_unknown_key(name: str, complete: bool):
    fields = COMMAND_REQUESTS[name] if complete else {}
    new = ValidationHarness().ask(name, **fields, id="a", bogus=1, transaction=7)
    assert new.result is not None
    (publication,) = new.publications
    answer = json.loads(publication.payload)
    assert publication.topic == f"wx/bridge/response/{name}"
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "bad_request", 7)
    assert "'bogus'" in answer["error"]
    assert new.command_id == "a"


def test_what_a_backend_cannot_do_is_unsupported_whatever_else_a_request_says():
    able = replace(FakeBackend.capabilities, actions=frozenset())
    new = ValidationHarness(capabilities=able).ask("recall", message_id="1", bogus=1)
    assert new.result is not None
    assert new.result.code == "unsupported"
