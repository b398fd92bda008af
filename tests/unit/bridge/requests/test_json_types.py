"""Any JSON type in any key of a command or request is accepted or refused by its name, and never `internal`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.fake_broker import FakeBroker
from tests.support.repetitions import repetitions
from tests.unit.bridge.commands_harness import CAPABILITIES, PEOPLE
from tests.unit.bridge.contexts import context, shared
from tests.unit.bridge.requests.test_unknown_keys import ACCOUNT_REQUESTS, COMMAND_REQUESTS
from tests.unit.bridge.session_harness import FakeBackend
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.i18n import Language
from wx2mqtt.model import Action, ActionResult
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.commands import COMMAND_KEYS
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.sqlite_database import SqliteDatabase

OUT = "wx/out/wife"
COMPLETE: dict[str, dict[str, Any]] = {
    f"{OUT}": {"text": "hello"},
    f"{OUT} file": {"kind": "file", "data": "QUJD", "name": "a.txt"},
    f"{OUT} path": {"kind": "file", "path": "/nowhere/a"},
    f"{OUT} url": {"kind": "file", "url": "http://127.0.0.1:9/a"},
    f"{OUT} recall": {"kind": "recall", "message_id": "1"},
    **{name: fields for name, fields in ACCOUNT_REQUESTS.items() if name != "logout"},
    "group create": {"action": "create", "members": ["wife", "mom"], "name": "x"},
    "group add": {"action": "add", "user": "family", "members": ["wife"]},
    "group rename": {"action": "rename", "user": "family", "name": "x"},
    **COMMAND_REQUESTS,
}
KEYS: dict[str, tuple[str, ...]] = {
    OUT: COMMAND_KEYS,
    "login": ("code",),
    "contacts": ("query", "kind", "limit", "offset"),
    "assign": ("user", "to"),
    "health": (),
    "owner": ("user",),
    "questions": ("close",),
    "history": ("since", "before", "user", "kind", "text", "limit", "stream"),
    "media": ("message_id", "id", "avatar", "thumbnail", "inline"),
    "mark_read": ("user",),
    "set_remark": ("user", "remark"),
    "accept_friend": ("id",),
    "group": ("user", "action", "members", "name", "limit", "offset"),
    "send": ("user", *COMMAND_KEYS),
    "recall": ("user", *COMMAND_KEYS),
}
CASES = [
    (name, key)
    for name in COMPLETE
    for key in (*KEYS[name.split()[0]], *([] if OUT in name else ["transaction"]))
]
SAMPLES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e300, 10**30, -(10**30), "", "x", "x" * 5000, "\ud800", "\0", "wife"),
    *([], [""], ["x", 1], [[]], {}, {"": []}, {"a": {"b": None}}),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


NAMED = {key for keys in KEYS.values() for key in keys} | {"transaction"}


class CapableBackend(FakeBackend):
    """A backend that offers everything that a command or request may ask for."""

    capabilities = replace(
        FakeBackend.capabilities,
        actions=frozenset(Action.__args__),
        media=CAPABILITIES.media,
        has_groups=True,
    )

    def set_language(self, language: Language) -> None:
        """Does nothing."""


class AccountHarness:
    """A whole account with a fake broker and a fake backend, not logged in; it accepts deliveries."""

    def __init__(self, account: Account, broker: FakeBroker) -> None:
        self._account = account
        self._broker = broker
        self._acknowledged: set[int] = set()
        self._mid = 0
        broker.acknowledge = self._on_acknowledged  # type: ignore[method-assign]

    def _on_acknowledged(self, delivery: Delivery) -> None:
        self._acknowledged.add(delivery.mid)
        self._broker.notify()

    async def outcomes(self, bodies: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Delivers these bodies, and returns all results and answers with a code."""
        before = len(self._broker.sent)
        for name, body in bodies:
            self._mid += 1
            topic = OUT if name.startswith(OUT) else f"wx/bridge/request/{name.split()[0]}"
            payload = json.dumps(body).encode()
            delivery = Delivery(
                topic=topic, payload=payload, mid=self._mid, dup=False, retain=False, connection_number=1
            )
            self._account.components.intake.on_delivery(delivery)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await self._broker.wait_until(lambda: len(self._acknowledged) == self._mid)
        received = [
            json.loads(sent.payload)
            for sent in self._broker.sent[before:]
            if "/result/" in sent.topic or "/response/" in sent.topic
        ]
        return [body for body in received if body.get("code")]


@asynccontextmanager
async def open_account(folder: Path) -> AsyncIterator[AccountHarness]:
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    journal = Journal(database, "home")
    await journal.open()
    broker, blobs = FakeBroker(acknowledges_at_once=True), Blobs(folder)
    account = Account(
        context(
            broker=broker,
            backend=CapableBackend(),
            journal=journal,
            registry=PeopleRegistry(PEOPLE, {person.topic_name: person.id for person in PEOPLE}, {}),
            shared=shared(blobs=blobs, media_retention=MediaRetention(database, blobs)),
        )
    )
    runner: Any = account.components.actions.runner  # WeChat does all that passes the checks
    runner.run = AsyncMock(return_value=ActionResult())
    runner.query = AsyncMock(return_value=())
    account.on_connected(broker.connect())
    tasks = [
        asyncio.create_task(part.run()) for part in (account.components.intake, account.components.publisher)
    ]
    try:
        yield AccountHarness(account, broker)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


def case_body(name: str, key: str, value: Any) -> tuple[str, dict[str, Any]]:
    return name, {**COMPLETE[name], key: value}


def check(outcome: dict[str, Any], case: str, *, wrong_type: bool) -> None:
    """Asserts that an outcome is no fault of the bridge, and that the refusal of a wrong type names a key."""
    assert outcome["code"] != "internal", case
    if wrong_type and outcome["code"] in ("bad_command", "bad_request"):
        sentence = outcome.get("message") or outcome["error"]
        assert any(key in sentence for key in NAMED), (case, sentence)


@pytest.mark.parametrize("value", SAMPLES, ids=lambda value: repr(value)[:20])
async def test_any_type_in_any_key_is_accepted_or_refused_by_name(tmp_path, value):
    async with open_account(tmp_path) as account:
        for name, key in CASES:
            for outcome in await account.outcomes([case_body(name, key, value)]):
                check(outcome, f"{name} {key}={value!r:.50}", wrong_type=not isinstance(value, str))


@settings(max_examples=repetitions(5, 200))
@given(drawn=st.lists(st.tuples(st.sampled_from(CASES), VALUES), min_size=20, max_size=100))
def test_no_value_in_any_key_is_a_fault_of_the_bridge(drawn):
    async def deliver(folder: str) -> None:
        async with open_account(Path(folder)) as account:
            bodies = [case_body(name, key, value) for (name, key), value in drawn]
            for outcome in await account.outcomes(bodies):
                check(outcome, repr(drawn), wrong_type=False)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(deliver(folder))
