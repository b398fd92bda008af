"""A command validator for tests: deliveries in, rows out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from tests.unit.bridge.commands_harness import CAPABILITIES, PEOPLE
from tests.unit.bridge.contexts import NO_LIMITS, FakeQuota, context, settings, shared
from wx2mqtt.aio import MAX_BYTES_ON_LOOP
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.i18n import Language
from wx2mqtt.model import Result
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.payloads import RESULT_CODES
from wx2mqtt.mqtt.topics import RequestTopic, Topics
from wx2mqtt.settings.schema import Send
from wx2mqtt.store.command_records import NewCommand
from wx2mqtt.store.person_records import Person
from wx2mqtt.wechat.backend import Capabilities

TOPICS = Topics("wx")


class ValidationHarness:
    """A validator of commands.

    `contacts_known` says whether the contacts of the login are loaded. `chat` is the user to whom every
    message that is to be recalled was sent.
    """

    def __init__(
        self,
        rules: Send = NO_LIMITS,
        people: Iterable[Person] = PEOPLE,
        pins: Mapping[str, ContactPin] | None = None,
        capabilities: Capabilities = CAPABILITIES,
        language: Language = "en",
    ) -> None:
        self.contacts_known, self.chat = True, ""
        people = tuple(people)
        registry = PeopleRegistry(people, {person.topic_name: person.id for person in people}, pins or {})
        self.quota = FakeQuota()
        self.ctx = context(
            topics=TOPICS,
            registry=registry,
            backend=SimpleNamespace(capabilities=capabilities),
            settings=settings(send=rules, language=language),
            shared=shared(quota=self.quota),
            journal=SimpleNamespace(commands=SimpleNamespace(sent_message_target=self._sent_message_target)),
        )
        session: Any = self  # of the session only `contacts_known` counts
        self.validator = CommandValidator(
            self.ctx, session, Recipients(self.ctx), ResultPublications("home", TOPICS)
        )

    def new(self, payload: str | bytes, topic: str = "wx/out/wife", **more: Any) -> NewCommand:
        """Returns the command that a delivery becomes."""
        values: dict[str, Any] = {"mid": 1, "dup": False, "retain": False, "connection_number": 1}
        data = payload if isinstance(payload, bytes) else payload.encode()
        delivery = Delivery(topic=topic, payload=data, **{**values, **more})
        incoming = TOPICS.parse(topic)
        assert incoming is not None
        if isinstance(incoming, RequestTopic):
            return _result_of(self.validator.validate_request(incoming.name, delivery, 1), len(data))
        return _result_of(self.validator.validate_command(delivery, incoming, 1), len(data))

    async def _sent_message_target(self, _message_id: str) -> tuple[str, int] | None:
        return (self.chat, 0) if self.chat else None

    def refused(self, payload: str | bytes, topic: str = "wx/out/wife", **more: Any) -> Result:
        """Returns the result with which a delivery is refused."""
        new = self.new(payload, topic, **more)
        assert new.result is not None
        assert new.result.code in RESULT_CODES
        assert new.result.message
        return new.result

    def ask(self, name: str = "send", **body: Any) -> NewCommand:
        """Returns the command that a request to send, or to recall, becomes."""
        return self.new(json.dumps(body), f"wx/bridge/request/{name}")


def _result_of(work: Coroutine[Any, Any, NewCommand], size: int) -> NewCommand:
    """Runs a coroutine that waits for nothing, unless its payload is so large that it uses a thread."""
    if size > MAX_BYTES_ON_LOOP:
        return asyncio.run(work)
    try:
        while work.send(None) is None:
            pass
    except StopIteration as end:
        new: NewCommand = end.value
        return new
    raise AssertionError("the coroutine waits for something")
