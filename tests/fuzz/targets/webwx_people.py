"""Web WeChat: contacts, the topics that they get, and who is trusted."""

from __future__ import annotations

import json
from typing import Any

from tests.fuzz.mutators import (
    grown_json,
    mutated_json,
)
from tests.fuzz.oracles import JSON_MEMORY_FACTOR, require_json, require_safe_level
from tests.fuzz.target import Target
from tests.fuzz.targets.webwx_samples import CONTACT_PAGES, FIELD_WORDS, NOW_MS, names
from tests.unit.wechat.webwx.entries import ME, OWNER
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import (
    ChatKind,
    Handle,
)
from wx2mqtt.store.people import person_from_json, person_to_json
from wx2mqtt.wechat.json_reader import UnreadableJson, parse_json, read_objects
from wx2mqtt.wechat.webwx.protocol import (
    contacts,
)

# Contacts: names to levels, and no trust without a pin


_PINS = {
    "wife": ContactPin(remark="老婆"),
    "lil": ContactPin(nickname="Lily"),
    "boss": ContactPin(alias="boss_1"),
}


def _run_contacts(data: bytes) -> None:
    """Applies two directories, the second by a new login, to a registry with pins and to one without."""
    try:
        answer = parse_json(data)
    except UnreadableJson:
        return
    books = [
        [contact for fields in read_objects(answer, key)[0]
         if (contact := contacts.read_contact(fields, ME)) is not None]
        for key in ("before", "after")
    ]  # fmt: skip
    for pins in ({}, _PINS):
        registry = PeopleRegistry((), {}, pins)
        for number, book in enumerate(books):
            handles = {contact.handle for contact in book}
            registry.apply_directory(book, f"login-{number}", OWNER, NOW_MS + number)
            registry.apply_update(book[:3], [*handles][:1], NOW_MS)
            registry.add_unlisted(
                Handle(f"@stranger{number}"), ChatKind.FRIEND, data[:40].decode("utf-8", "replace"), NOW_MS
            )
            check_people(registry, pins)


def check_people(registry: PeopleRegistry, pins: dict[str, ContactPin]) -> None:
    """Fails unless levels are safe and unique, people can be stored, and trust has a strong pin."""
    entries = registry.directory()
    levels = [entry.user for entry in entries]
    assert len(set(levels)) == len(levels)
    for level in levels:
        require_safe_level(level)
        person = registry.by_topic_name(level)
        assert person is not None
        saved = person_to_json(person)
        require_json(saved)
        assert person_from_json(json.loads(json.dumps(saved))) == person
        if person.trusted:
            _require_pin(person.topic_name, person, pins)


def _require_pin(level: str, person: Any, pins: dict[str, ContactPin]) -> None:
    """Fails unless a trusted person is the owner's own account, or has a pin that no stranger can choose."""
    if person.kind is ChatKind.SELF:
        return
    strong = [pin for pin in pins.values() if pin.is_strong]
    reasons = [
        (pin.remark and person.remark == pin.remark) or (pin.alias and person.alias == pin.alias)
        for pin in strong
    ]
    assert any(reasons), f"{level} is trusted without a pin"


TARGETS = (
    Target(
        name="webwx.contacts",
        run=_run_contacts,
        parsers=(
            *names("contacts", "read_contact"),
            *("bridge.people.topic_names:unique_topic_name", "bridge.people.topic_names:base_topic_name"),
            *("bridge.people.topic_names:numbered_topic_name", "bridge.people.topic_names:clean_topic_name"),
            *("bridge.people.topic_names:cut_topic_name", "bridge.people.evidence:normalize_text"),
            "store.people:person_from_json",
        ),
        seeds=CONTACT_PAGES,
        generate=mutated_json(CONTACT_PAGES, (*FIELD_WORDS, "老婆", "wife", "Lily", "boss_1", "晓梅")),
        grow=grown_json(CONTACT_PAGES, FIELD_WORDS),
        cost_factor=8.0,  # two registries take two directories each
        memory_factor=JSON_MEMORY_FACTOR,
    ),
)
