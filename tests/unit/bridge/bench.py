"""A judge on a bench: deliveries in, rows out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.unit.bridge.outgoing import CAPABILITIES, PEOPLE, RULES
from wx2mqtt.bridge.judge import Judge, Rules
from wx2mqtt.bridge.people.identity import Identity, Pin
from wx2mqtt.bridge.results import Results
from wx2mqtt.model import Result
from wx2mqtt.mqtt.link import Delivery
from wx2mqtt.mqtt.payloads import RESULT_CODES
from wx2mqtt.mqtt.topics import RequestTo, Topics
from wx2mqtt.store.journal import NewCommand
from wx2mqtt.store.people import Person
from wx2mqtt.wechat.gateway import Capabilities

TOPICS = Topics("wx")


class Bench:
    """A judge; `full` and `people_known` are what it is told of the rest of the house.

    `chat` is to whom the messages went that are to be recalled.
    """

    def __init__(
        self,
        rules: Rules = RULES,
        people: Iterable[Person] = PEOPLE,
        pins: Mapping[str, Pin] | None = None,
        capabilities: Capabilities = CAPABILITIES,
    ) -> None:
        self.full, self.people_known, self.chat = False, True, ""
        people = tuple(people)
        identity = Identity(people, {one.level: one.id for one in people}, pins or {})
        self.judge = Judge(
            topics=TOPICS,
            identity=identity,
            results=Results("home", TOPICS),
            capabilities=capabilities,
            rules=rules,
            store_full=lambda: self.full,
            people_known=lambda: self.people_known,
        )

    def new(self, payload: str | bytes, topic: str = "wx/out/wife", **more: Any) -> NewCommand:
        """The row for a delivery."""
        values: dict[str, Any] = {"mid": 1, "dup": False, "retain": False, "connection": 1}
        data = payload if isinstance(payload, bytes) else payload.encode()
        delivery = Delivery(topic=topic, payload=data, **{**values, **more})
        incoming = TOPICS.parse(topic)
        assert incoming is not None
        if isinstance(incoming, RequestTo):
            return self.judge.request(incoming.name, delivery, 1, self.chat)
        return self.judge.command(delivery, incoming, 1)

    def refused(self, payload: str | bytes, topic: str = "wx/out/wife", **more: Any) -> Result:
        """The result of a refusal, as it is published."""
        new = self.new(payload, topic, **more)
        assert new.result is not None
        assert new.result.code in RESULT_CODES
        assert new.result.message
        return new.result

    def ask(self, name: str = "send", **body: Any) -> NewCommand:
        """The row for a request to send, or to recall."""
        return self.new(json.dumps(body), f"wx/bridge/request/{name}")
