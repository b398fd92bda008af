"""After a restore the configuration decides again who is trusted and which topics are used."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgresql import empty_database
from tests.unit.store.test_hostile_backup import forged_backup
from wx2mqtt.app.configuration import restore_rules
from wx2mqtt.errors import BadBackup
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.encrypted_logins import EncryptedLogins
from wx2mqtt.store.folder import DATABASE_NAME
from wx2mqtt.store.folder_backup import RestoreSummary, restore_store
from wx2mqtt.store.postgresql_backup import restore_database
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.restore_rules import DROP_REASON, RestoreRules

Rows = list[tuple[Any, ...]]
Restore = Callable[[bytes, RestoreRules, str], tuple[RestoreSummary, Rows]]

ADD_PUBLICATION = (
    "INSERT INTO publication (account, state, sort, topic, created, payload)"
    " VALUES ('home', {state}, '{category}', '{topic}', 1, CAST('{payload}' AS BLOB))"
)


def rules(**accounts: dict[str, Any]) -> RestoreRules:
    settings = {
        "mqtt": {"url": "mqtt://localhost", "response_topics": ["answers/#"]},
        "accounts": accounts or {"home": {"backend": "webwx"}},
    }
    return restore_rules(Settings.model_validate(settings))


@pytest.fixture(params=["folder", "database"])
def restore(request: pytest.FixtureRequest, tmp_path: Path) -> Restore:
    """Returns a function that restores a backup, and returns its summary and the rows of a query."""

    def into_folder(data: bytes, rules: RestoreRules, query: str) -> tuple[RestoreSummary, Rows]:
        summary = restore_store(tmp_path / "store", io.BytesIO(data), force=False, rules=rules)
        with closing(sqlite3.connect(tmp_path / "store" / DATABASE_NAME)) as database:
            return summary, database.execute(query).fetchall()

    async def restore_into_database(
        data: bytes, rules: RestoreRules, query: str
    ) -> tuple[RestoreSummary, Rows]:
        database = await PostgresqlDatabase.open(empty_database())
        try:
            logins = EncryptedLogins(database, [bytes(32)])
            summary = await restore_database(
                database, logins, tmp_path / "scratch", io.BytesIO(data), force=False, rules=rules
            )
            return summary, await database.read(
                lambda db: [tuple(row) for row in db.execute(query).fetchall()]
            )
        finally:
            await database.close()

    def into_database(data: bytes, rules: RestoreRules, query: str) -> tuple[RestoreSummary, Rows]:
        (tmp_path / "scratch").mkdir()
        return asyncio.run(restore_into_database(data, rules, query))

    return into_folder if request.param == "folder" else into_database


FOREIGN = [
    ("message", "zigbee2mqtt/front_door/set"),
    ("event", "homeassistant/lock/door/config"),
    ("result", "zigbee2mqtt/front_door/set"),
    ("response", "homeassistant/lock/door/config"),
    ("state", "zigbee2mqtt/front_door/set"),
    ("message", "wx/out/wife"),
    ("message", "wx/bridge/request/logout"),
    ("message", "wx/bridge/state"),
    ("message", "wx/in/#"),
    ("message", "wxx/in/wife"),
    ("result", "$SYS/broker"),
    ("plain", "wx/text/wife"),
]
OWN = [
    ("message", "wx/in/wife"),
    ("event", "wx/event/recall"),
    ("result", "wx/result/wife"),
    ("response", "wx/bridge/response/health"),
    ("result", "answers/of/mine"),
]


def replace_publications(
    rows: list[tuple[str, str]], state: int = 0
) -> Callable[[sqlite3.Connection], object]:
    def add(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM publication")
        for category, topic in rows:
            database.execute(
                ADD_PUBLICATION.format(state=state, category=category, topic=topic, payload="{}")
            )

    return add


@pytest.mark.parametrize("state", [0, 2, 4], ids=["waiting", "set aside", "held"])
def test_what_waits_for_a_foreign_topic_is_dropped(tmp_path: Path, restore: Restore, state: int) -> None:
    data = forged_backup(tmp_path, replace_publications([*FOREIGN, *OWN], state))
    summary, rows = restore(
        data, rules(), "SELECT sort, topic, state, coalesce(why, '') FROM publication ORDER BY id"
    )
    assert summary.dropped == len(FOREIGN)
    assert rows == [(*row, 3, DROP_REASON) for row in FOREIGN] + [(*row, state, "") for row in OWN]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"text":"open","trusted":true}',
        b'{"text":"open","trusted": true}',
        b'{"text":"open","tru\\u0073ted":true}',
        b'{"text":"open","trusted":1}',
        b'{"text":"open","trusted":"yes"}',
        b'{"text":"open","trusted":true,"trusted":false}',
        b'{"text":"open","trusted":false,"trusted":true}',
        b'{"text":"\\"trusted\\":false","trusted":true}',
    ],
)
@pytest.mark.parametrize("state", [0, 1])
def test_nobody_is_trusted_because_a_backup_says_so(
    tmp_path: Path, restore: Restore, payload: bytes, state: int
) -> None:
    def forge(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM publication")
        database.execute(
            ADD_PUBLICATION.format(state=state, category="message", topic="wx/in/wife", payload="")
        )
        database.execute("UPDATE publication SET payload = ?", (payload,))
        database.execute("UPDATE person SET trusted = 1")

    query = "SELECT payload, (SELECT max(trusted) FROM person) FROM publication"
    _, [(stored, trusted)] = restore(forged_backup(tmp_path, forge), rules(), query)
    pairs = json.loads(bytes(stored), object_pairs_hook=list)
    assert [value for name, value in pairs if name == "trusted"] == [False]
    assert trusted == 0


def test_the_content_of_messages_stays_as_it_was(tmp_path: Path, restore: Restore) -> None:
    query = "SELECT payload FROM publication ORDER BY id"
    before: list[bytes] = []

    def read_payloads(database: sqlite3.Connection) -> None:
        before.extend(payload for (payload,) in database.execute(query))

    summary, after = restore(forged_backup(tmp_path, read_payloads), rules(), query)
    assert summary.dropped == 0
    assert [bytes(payload) for (payload,) in after] == before
    assert before


@pytest.mark.parametrize("base", ["zigbee2mqtt", "homeassistant/lock", "wx/other", "#"])
def test_a_base_topic_that_the_configuration_does_not_name_is_refused(
    tmp_path: Path, restore: Restore, base: str
) -> None:
    data = forged_backup(tmp_path, lambda db: db.execute("UPDATE account SET base_topic = ?", (base,)))
    with pytest.raises(BadBackup) as caught:
        restore(data, rules(), "SELECT 1")
    assert (caught.value.key, caught.value.facts["base"]) == ("restore_base", base)


@pytest.mark.parametrize("base", ["wx", "wx/home", "house/chat"])
def test_a_base_topic_of_the_configuration_stays_and_an_account_that_is_not_configured_loses_its_own(
    tmp_path: Path, restore: Restore, base: str
) -> None:
    def forge(database: sqlite3.Connection) -> None:
        database.execute("UPDATE account SET base_topic = ?", (base,))
        database.execute("INSERT INTO account (name, base_topic) VALUES ('gone', 'zigbee2mqtt')")

    named = {"base_topic": base} if base == "house/chat" else {}
    query = "SELECT base_topic FROM account ORDER BY name DESC"
    _, rows = restore(forged_backup(tmp_path, forge), rules(home={"backend": "webwx", **named}), query)
    assert rows == [(base,), (None,)]


def test_of_what_was_announced_only_the_own_discovery_stays(tmp_path: Path, restore: Restore) -> None:
    own = ["homeassistant/device/wx2mqtt_home/config", "ha/device/wx2mqtt_home/config"]
    foreign = [
        "zigbee2mqtt/bridge/state",
        "homeassistant/device/wx2mqtt_other/config",
        "/device/wx2mqtt_home/config",
        "+/device/wx2mqtt_home/config",
    ]
    record = {"topics": [*own, *foreign], "components": {}, "ids": {}}

    def forge(database: sqlite3.Connection) -> None:
        database.execute("UPDATE account SET announced = ?", (json.dumps(record),))

    _, [(announced,)] = restore(forged_backup(tmp_path, forge), rules(), "SELECT announced FROM account")
    assert json.loads(announced)["topics"] == own


@pytest.mark.parametrize("topic_name", ["wife/../../zigbee2mqtt", "#", "a+b", "a\0b"])
def test_a_topic_name_that_is_no_topic_level_is_damage(
    tmp_path: Path, restore: Restore, topic_name: str
) -> None:
    data = forged_backup(tmp_path, lambda db: db.execute("UPDATE level SET level = ?", (topic_name,)))
    with pytest.raises(BadBackup) as caught:
        restore(data, rules(), "SELECT 1")
    assert caught.value.key == "backup_damaged"


def test_a_restored_store_has_a_new_stream_and_continues_its_seqs(tmp_path: Path, restore: Restore) -> None:
    def forge(database: sqlite3.Connection) -> None:
        database.execute("UPDATE account SET seq = 41")
        database.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('stream', 'before')")

    query = "SELECT seq, (SELECT value FROM meta WHERE name = 'stream') FROM account"
    summary, rows = restore(forged_backup(tmp_path, forge), rules(), query)
    assert rows == [(41, summary.stream)]
    assert summary.stream != "before"


def test_a_bot_is_not_the_owners_because_a_backup_says_so(tmp_path: Path, restore: Restore) -> None:
    named_owner = {"is_confirmed": True, "person": "user:mallory"}

    def forge(database: sqlite3.Connection) -> None:
        owner = json.dumps({"ilink": "o9", "wecom": "aib1", "named": {"wecom": named_owner}})
        database.execute("UPDATE account SET owner = ?", (owner,))

    _, [(stored,)] = restore(forged_backup(tmp_path, forge), rules(), "SELECT owner FROM account")
    assert json.loads(stored) == {
        "ilink": "o9",
        "wecom": "aib1",
        "named": {"wecom": {**named_owner, "is_confirmed": False}},
    }


ADD_QUESTION = (
    "INSERT INTO question (account, command, command_id, user, person, card, text, buttons, anyone, lasts, asked,"
    " asker, asker_command, asker_command_id, asker_user)"
    " VALUES ('home', ?, ?, 'wife', 1, 'c', 'Lock?', '[]', 1, ?, 1, ?, ?, 'lock', ?)"
)


def test_open_questions_are_for_trusted_people_only_and_invalid_ones_are_deleted(
    tmp_path: Path, restore: Restore
) -> None:
    questions = [
        (1, "own", 60_000, "home", 1, "wife"),
        (2, "of another", 60_000, "office", 7, "me"),
        (3, "endless", 10**15, "home", 3, "wife"),
        (4, "of bytes", 60_000, b"home", 4, "wife"),
        (5, "of no row", 60_000, "home", "five", "wife"),
        (6, "to bytes", 60_000, "home", 6, b"wife"),
    ]

    def add(database: sqlite3.Connection) -> None:
        database.executemany(ADD_QUESTION, questions)

    query = "SELECT command_id, anyone, asker FROM question ORDER BY id"
    _, rows = restore(forged_backup(tmp_path, add), rules(), query)
    assert rows == [("own", 0, "home"), ("of another", 0, "office")]
