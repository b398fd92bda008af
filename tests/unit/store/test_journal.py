"""The journal of an account moves its waiting publications when its base topic changes."""

from __future__ import annotations

from tests.unit.store.make import publication
from wx2mqtt.store.journal import Journal


async def test_waiting_publications_move_to_a_new_base_topic(journal: Journal) -> None:
    await journal.set_base_topic("old")
    await journal.outbox.add([publication("old/result/wife"), publication("older/result/wife")])
    await journal.set_base_topic("new/base")
    waiting = await journal.outbox.list_waiting(0, 10, [])
    assert [row.topic for row in waiting] == ["new/base/result/wife", "older/result/wife"]
