"""Somebody says something: a friend, a group's member, the owner's phone, a web client, WeChat itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator import kinds, wire
from wx2mqtt.simulator.messages import Route, render
from wx2mqtt.simulator.phone import Via
from wx2mqtt.simulator.session import Session
from wx2mqtt.simulator.synclog import Entry
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.world import OWNER, Contact, Group, Person

Fields = dict[str, object]


class CannotSay(ValueError):
    """Nobody can say this to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """`sender` and `to` are ids of the world. `{n}` in the text counts from 1 when `count` is above 1.

    `detail` feeds the kind (`lat`, `title`, …); `raw` overrides fields of the finished entry.
    """

    sender: str
    to: str
    text: str = ""
    kind: str = "text"
    count: int = 1
    detail: Mapping[str, object] = field(default_factory=dict)
    raw: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    chat: Contact
    author: Contact
    via: Via


def say(wechat: WeChat, speech: Speech) -> list[str]:
    """Say it; returns the message ids. Without a living login only the phone knows (webwx 2.11)."""
    kinds.check(speech.kind)
    place = _place(wechat, speech)
    said = [(wechat.ids.next(), _numbered(speech, n)) for n in range(1, speech.count + 1)]
    _show(wechat, speech, place, said)
    if wechat.session is not None:
        _put(wechat, wechat.session, speech, place, said)
    wechat.phone.changed()
    return [str(msg_id) for msg_id, _ in said]


def _show(wechat: WeChat, speech: Speech, place: _Place, said: list[tuple[int, str]]) -> None:
    if speech.kind == "recall":
        wechat.phone.recall(str(speech.detail.get("msg_id")))
    asked, now = kinds.Asked(language=wechat.settings.language, detail=speech.detail), time.time()
    for msg_id, text in said:
        wechat.phone.show(
            chat=place.chat.id,
            sender=place.author.id,
            via=place.via,
            kind=speech.kind,
            text=kinds.on_the_phone(speech.kind, text, place.author, asked),
            msg_id=str(msg_id),
            time=now,
        )


def _numbered(speech: Speech, number: int) -> str:
    return speech.text.replace("{n}", str(number)) if speech.count > 1 else speech.text


def _place(wechat: WeChat, speech: Speech) -> _Place:
    author, target = wechat.world.find(speech.sender), wechat.world.find(speech.to)
    via: Via = "system" if kinds.is_system(speech.kind) or isinstance(author, Group) else "friend"
    if isinstance(author, Group):
        return _Place(chat=author, author=author, via=via)
    if author.id == OWNER:
        return _Place(chat=target, author=author, via="phone" if via == "friend" else via)
    if isinstance(target, Group):
        if author.id not in target.members:
            raise CannotSay(f"{author.id} is not in {target.id}")
        return _Place(chat=target, author=author, via=via)
    if target.id != OWNER:
        raise CannotSay("a person writes to me, to a group that they are in, or is me")
    return _Place(chat=author, author=author, via=via)


def _put(
    wechat: WeChat, session: Session, speech: Speech, place: _Place, said: list[tuple[int, str]]
) -> None:
    route = _route(wechat, session, place)
    asked = kinds.Asked(
        language=wechat.settings.language,
        detail=speech.detail,
        name=lambda contact_id: session.user_name(wechat.world.find(contact_id)),
    )
    entries = [
        render(msg_id, route, {**kinds.build(speech.kind, text, msg_id, place.author, asked), **speech.raw})
        for msg_id, text in said
    ]
    session.log.append(Entry.MESSAGE, *entries)


def _route(wechat: WeChat, session: Session, place: _Place) -> Route:
    me = session.user_name(wechat.world.owner)
    chat = session.user_name(place.chat)
    if place.via == "phone":
        return Route(sender=me, receiver=chat)
    if isinstance(place.chat, Group) and place.via == "friend":
        return Route(sender=chat, receiver=me, member=session.user_name(place.author))
    return Route(sender=chat, receiver=me)


def put_raw(wechat: WeChat, lists: dict[str, list[object]]) -> None:
    """Put exactly these entries into the living login's next sync; raises `CannotSay` when there is none."""
    session = wechat.session
    if session is None:
        raise CannotSay("nobody is logged in")
    places = {"AddMsgList": Entry.MESSAGE, "ModContactList": Entry.CHANGED, "DelContactList": Entry.DELETED}
    for name, entries in lists.items():
        if name not in places:
            raise CannotSay(f"no list is named {name!r}; there are: {', '.join(places)}")
        session.log.append(places[name], *map(wire.dump, entries))


def echo(wechat: WeChat, session: Session, to: Contact, msg_id: int, values: Fields) -> None:
    """What a web client sent comes back to it (webwx 3.12)."""
    route = Route(sender=session.user_name(wechat.world.owner), receiver=session.user_name(to))
    session.log.append(Entry.MESSAGE, render(msg_id, route, values))


def answer_for(wechat: WeChat, person: Person) -> None:
    """What WeChat itself says after a message that did not arrive (webwx 2.12, 3.10)."""
    kind = "system:not_friends" if person.deleted_me else "system:blocked"
    say(wechat, Speech(sender=person.id, to=OWNER, kind=kind))
