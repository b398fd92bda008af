"""One table of kinds: whole, and enough to bring a new kind everywhere."""

from __future__ import annotations

import json
from typing import cast

import pytest

from tests.docs.kind_help import KIND_HELP, KindHelp
from tests.docs.table_texts import TABLE_TEXTS
from tests.docs.tables import kinds
from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import app_of_type, entry, roster
from wx2mqtt.i18n.web_page import KIND_NAMES
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.json_schema import string
from wx2mqtt.message_kinds import MESSAGE_KINDS, MessageKind
from wx2mqtt.model import Kind, Message
from wx2mqtt.mqtt.commands import COMMAND_KINDS
from wx2mqtt.schemas.messages import MEDIA_KEYS, kind_keys, message_definitions
from wx2mqtt.wechat.ilink.protocol.messages import ITEM_READERS
from wx2mqtt.wechat.registry import BACKENDS
from wx2mqtt.wechat.webwx.protocol.app_messages import APP_READERS, AppMessage, AppReader
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts
from wx2mqtt.wechat.webwx.protocol.messages import MESSAGE_READERS, read_message

UNREAD = Kind.UNSUPPORTED
"""What no reader knows."""


def test_every_kind_has_a_row_in_the_order_of_the_enumeration() -> None:
    assert list(MESSAGE_KINDS) == list(KIND_HELP) == list(Kind)


@every_row("kind", Kind)
def test_every_documented_key_has_a_schema(kind: Kind) -> None:
    row = MESSAGE_KINDS[kind]
    assert set(KIND_HELP[kind].keys) <= set(kind_keys(row))
    assert not row.has_media or not set(row.keys) & set(MEDIA_KEYS)


def test_every_kind_is_read_by_a_backend() -> None:
    by_web = {reader.kind for reader in APP_READERS.values()}
    by_web |= {reader.kind for reader in MESSAGE_READERS.values()}
    assert by_web | {UNREAD} == set(Kind)
    assert {read({}, "en").kind for read in ITEM_READERS.values()} < set(Kind)


def test_what_a_command_can_send_is_what_a_backend_takes() -> None:
    taken = {kind for backend in BACKENDS.values() for kind in backend.capabilities.media}
    assert {kind for kind, row in MESSAGE_KINDS.items() if row.is_attachment} <= taken
    assert {kind for kind, row in MESSAGE_KINDS.items() if row.is_attachment} < set(COMMAND_KINDS)
    assert {kind for kind in taken if not KIND_HELP[Kind(kind)].sent_as} == set()


def test_a_new_kind_is_a_row_and_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    poll = cast("Kind", "poll")
    row = MessageKind(page_name=("poll", "投票"), label=("[poll]", "[投票]"), keys={"question": string()})

    def read(app: AppMessage) -> Content:
        return app.to_content(poll, app.title, content_facts(question=app.title))

    monkeypatch.setitem(MESSAGE_KINDS, poll, row)
    monkeypatch.setitem(KIND_HELP, poll, KindHelp(about="a vote"))
    monkeypatch.setitem(APP_READERS, 4711, AppReader(poll, read))

    assert app_of_type(4711).text == "[poll] T"
    assert webwx_placeholder("zh", poll) == "[投票]"
    content = "<msg><appmsg><title>Tea?</title><type>4711</type></appmsg></msg>"
    message = read_message(entry(MsgType=49, Content=content), roster(), "en", 0)
    assert isinstance(message, Message)
    assert (message.kind, message.detail) == ("poll", {"question": "Tea?"})
    schema = message_definitions()["message_poll"]
    assert "Tea?" not in json.dumps(schema)
    assert '"question"' in json.dumps(schema)
    monkeypatch.setattr("tests.docs.tables.TABLE_TEXTS", {**TABLE_TEXTS, "a vote": "投票"})
    assert "| `poll` | a vote |" in kinds("en")
    assert "| `poll` | 投票 |" in kinds("zh")


@every_row("kind", Kind)
def test_the_page_names_every_kind(kind: Kind) -> None:
    assert KIND_NAMES[kind] == MESSAGE_KINDS[kind].page_name
