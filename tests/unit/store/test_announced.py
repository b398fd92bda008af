"""What was announced to Home Assistant is known after a restart, of each account by itself."""

from __future__ import annotations

from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Announced, Journal

SAID = Announced(
    topics=("homeassistant/device/wx2mqtt_home/config", "ha/device/wx2mqtt_home/config"),
    components={"qr": "image", "to_wife": "notify"},
    ids={"wife": "wife", "老婆": "lao_po_0123ab", "\ud83d": "half"},
)


async def test_nothing_was_announced_before_the_first_time(journal: Journal) -> None:
    assert await journal.announced() == Announced()


async def test_an_account_that_nobody_opened_announced_nothing(database: Database) -> None:
    assert await Journal(database, "nobody").announced() == Announced()


async def test_what_was_announced_last_is_kept_for_each_account(database: Database, journal: Journal) -> None:
    other = Journal(database, "work")
    await other.open()
    await journal.announce(Announced(topics=("a",)))
    await journal.announce(SAID)
    kept = await journal.announced()
    assert (kept.topics, kept.components) == (SAID.topics, SAID.components)
    assert kept.ids["老婆"] == "lao_po_0123ab"
    assert await other.announced() == Announced()
