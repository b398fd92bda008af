"""A command is resolved in the current login: its chat, the texts of its messages and their keys."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import CAPABILITIES, OWNER, PEOPLE, person
from tests.unit.bridge.contexts import context
from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.resolver import (
    CommandResolver,
    has_file,
    is_caption_next,
    is_simple,
    message_texts,
    needs_fetch,
)
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob, Button, ChatKind, Command, Contact, Draft, Handle, Kind
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.wechat.backend import Capabilities

FAMILY = person(9, "family", kind=ChatKind.GROUP)
BLOB = Blob(sha256="ab12", size=3, mime="image/png", path="media/ab/ab12.png")
SPLITTING = replace(CAPABILITIES, part_limit=20)
BUTTONS = (Button(text="Yes", key="yes"), Button(text="No", key="no"))


def resolver_with(capabilities: Capabilities = CAPABILITIES) -> CommandResolver:
    """A resolver that knows `PEOPLE` and a group; wife has the earlier topic name 老婆."""
    people = (*PEOPLE, FAMILY)
    topic_names = {known.topic_name: known.id for known in people} | {"老婆": PEOPLE[0].id}
    attachments: Any = SimpleNamespace(kind_of=lambda _command, _blob: Kind.IMAGE)
    return CommandResolver(
        context(
            backend=SimpleNamespace(capabilities=capabilities),
            registry=PeopleRegistry(people, topic_names, {}),
        ),
        attachments,
    )


def command_row(
    user: str = "wife", *, blob: Blob | None = None, parts_sent: int = 0, **fields: Any
) -> CommandRow:
    """Returns the row of a command to a user who was not known when it was accepted."""
    row = row_of(1, user, fields.pop("text", "hi"))
    return replace(row, command=replace(row.command, **fields), blob=blob, parts_sent=parts_sent)


def test_all_names_of_a_person_are_one_chat_and_an_unknown_name_is_a_chat_of_its_own():
    resolver = resolver_with()
    keys = [resolver.chat_key(command_row(user)) for user in ("wife", "老婆", "mom", "nobody")]
    assert keys == [PEOPLE[0].id, PEOPLE[0].id, PEOPLE[1].id, "nobody"]
    named = replace(command_row("a name of before"), person=PEOPLE[0].id)
    assert resolver.chat_key(named) == PEOPLE[0].id


@every_row(("user", "chat"), [("wife", "@wife"), ("lost", None), ("nobody", None)])
def test_only_somebody_who_is_certain_has_a_chat(user: str, chat: str | None):
    assert resolver_with().chat_of(command_row(user)) == chat


def test_a_recipient_may_be_among_contacts_that_are_not_loaded_yet():
    resolver = resolver_with()
    pending = {user: resolver.is_person_pending(command_row(user)) for user in ("wife", "nobody", "lost")}
    assert pending == {"wife": False, "nobody": True, "lost": False}
    friend = Contact(handle=Handle("@wife"), kind=ChatKind.FRIEND, nickname="wife", remark="wife")
    resolver._registry.apply_directory([friend], "login", OWNER, 0, complete=True)
    assert not resolver.is_person_pending(command_row("nobody"))


async def test_a_text_becomes_a_draft_for_the_chat_and_an_uncertain_recipient_is_refused():
    resolver = resolver_with()
    assert await resolver.resolve(command_row()) == Draft(chat=Handle("@wife"), kind=Kind.TEXT, text="hi")
    with pytest.raises(BadCommand) as refused:
        await resolver.resolve(command_row("lost"))
    assert refused.value.code == "unresolved_user"


async def test_each_part_of_a_long_text_has_a_key_of_its_own():
    resolver = resolver_with(SPLITTING)
    text = "The bell rang. Somebody is there."
    drafts, keys = [], []
    for parts_sent in range(2):
        row = command_row(text=text, parts_sent=parts_sent)
        drafts.append(await resolver.resolve(row))
        keys.append(resolver.send_key(row).removeprefix(row.key))
    assert [draft.text for draft in drafts if isinstance(draft, Draft)] == [
        "The bell rang.",
        "Somebody is there.",
    ]
    assert keys == ["01", "02"]
    short = command_row()
    assert resolver.send_key(short) == short.key


def test_a_file_is_sent_after_its_caption_and_needs_the_messages_of_both():
    resolver = resolver_with(SPLITTING)
    row = command_row(kind="image", text="The bell rang. Somebody is there.", blob=BLOB)
    assert resolver.parts_of(row) == ("The bell rang.", "Somebody is there.", "")
    assert resolver.messages_needed(row) == 3
    assert is_caption_next(replace(row, parts_sent=1), SPLITTING)
    assert not is_caption_next(replace(row, parts_sent=2), SPLITTING)
    assert resolver.messages_needed(replace(row, parts_sent=2)) == 1
    assert message_texts(Command(user="wife", kind="image", text=" \n"), SPLITTING) == ("",)


@every_row(
    ("fields", "echo"),
    [
        ({"text": "hi"}, (Kind.TEXT, "hi")),
        ({"kind": "recall", "message_id": "1"}, None),
        ({"kind": "image", "url": "http://h/a.png", "text": ""}, None),
        ({"kind": "image", "text": "", "blob": BLOB}, (Kind.IMAGE, "")),
        ({"kind": "image", "text": "door", "blob": BLOB}, (Kind.TEXT, "door")),
        ({"kind": "image", "text": "door", "blob": BLOB, "parts_sent": 1}, (Kind.IMAGE, "")),
        ({"text": "lock?", "buttons": BUTTONS}, (Kind.TEXT, "lock?\n1 Yes\n2 No")),
    ],
)
def test_the_echo_of_a_command_has_the_kind_and_text_of_its_next_message(
    fields: dict[str, Any], echo: tuple[Kind, str] | None
):
    assert resolver_with().expected_echo(command_row(**fields)) == echo


async def test_buttons_are_a_card_for_one_person_and_numbered_lines_for_a_group():
    resolver = resolver_with(replace(CAPABILITIES, has_button_cards=True))
    card = await resolver.resolve(command_row(text="lock?", buttons=BUTTONS))
    lines = await resolver.resolve(command_row("family", text="lock?", buttons=BUTTONS))
    assert isinstance(card, Draft)
    assert isinstance(lines, Draft)
    assert (card.text, card.buttons, bool(card.card_id)) == ("lock?", BUTTONS, True)
    assert (lines.text, lines.buttons, lines.card_id) == ("lock?\n1 Yes\n2 No", (), "")


@every_row(
    ("fields", "simple"),
    [({}, True), ({"mention": ("mom",)}, False), ({"buttons": BUTTONS}, False), ({"kind": "image"}, False)],
)
def test_only_a_text_without_mentions_and_buttons_can_be_resolved_without_wechat_and_journal(
    fields: dict[str, Any], simple: bool
):
    assert is_simple(command_row(**fields)) is simple


def test_a_file_at_a_url_is_to_be_fetched_until_it_is_stored():
    row = command_row(kind="file", url="http://h/a")
    assert (has_file(row), needs_fetch(row)) == (True, True)
    assert not needs_fetch(replace(row, blob=BLOB))
    assert not has_file(command_row())
