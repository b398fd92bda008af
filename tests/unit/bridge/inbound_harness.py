"""The receiver of messages with a login session, whose people are known."""

from __future__ import annotations

from typing import Any

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.session_harness import OWNER, WIFE, FakeJournal, SessionHarness
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import (
    ChatKind,
    Contact,
    Cursor,
    Event,
    Handle,
    Kind,
    MediaRef,
    Member,
)
from wx2mqtt.settings.schema import Receive
from wx2mqtt.wechat.backend import Batch

MOM = Contact(handle=Handle("@mom"), kind=ChatKind.FRIEND, nickname="平安是福", remark="妈妈")


FAMILY = Contact(
    handle=Handle("@@family"),
    kind=ChatKind.GROUP,
    nickname="一家人",
    members=(Member(handle=WIFE.handle, nickname="晓梅"), Member(handle=Handle("@eve"), nickname="老婆")),
)


FILE_HELPER = Contact(handle=Handle("filehelper"), kind=ChatKind.SELF, permanent_id="filehelper")


PINS = {"wife": ContactPin(remark="老婆"), "family": ContactPin(group="一家人")}


IN_FAMILY: dict[str, Any] = {"chat": FAMILY.handle, "chat_kind": ChatKind.GROUP}


class InboundHarness:
    """The receiver of messages of an account whose people are known."""

    def __init__(self, filters: Receive | None = None) -> None:
        self.session_harness = SessionHarness(
            registry=PeopleRegistry([], {}, PINS), filters=filters or Receive()
        )
        self.inbound: InboundMessages = self.session_harness.inbound
        self.inbound.owner = OWNER
        self.journal: FakeJournal = self.session_harness.journal

    async def add_contacts(self, *contacts: Contact) -> None:
        people = contacts or (WIFE, MOM, FAMILY, FILE_HELPER)
        changes = self.session_harness.registry.apply_directory(people, "login-1", OWNER, 1, complete=True)
        await self.inbound.apply_people(changes)

    async def process(self, *items: object, **more: object) -> None:
        values: dict[str, Any] = {"cursor": Cursor("c"), "items": items, **more}
        await self.inbound.store(Batch(**values), "login-1")

    async def body(self, item: object) -> dict[str, Any]:
        before = len(self.journal.items)
        await self.process(item)
        assert len(self.journal.items) == before + 1
        return dict(self.journal.items[-1].body)


def run_scenario(scenario, filters: Receive | None = None) -> None:
    async def run_with_harness() -> None:
        harness = InboundHarness(filters)
        await harness.add_contacts()
        await scenario(harness)

    run_without_pauses(run_with_harness())


IN_GROUP = Event(key="e2", name="recall", time=1, chat=FAMILY.handle, actor=WIFE.handle)


PICTURE: dict[str, Any] = {"kind": Kind.IMAGE, "media": MediaRef(locator={"msgid": "7"}, name="a.jpg")}
