"""Somebody says something: a friend, a group's member, the owner's phone, a web client, WeChat itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator import media, message_kinds, messages
from wx2mqtt.simulator.media import ByteSource, MessageMedia
from wx2mqtt.simulator.message_spec import MessageDetails
from wx2mqtt.simulator.messages import Route, render
from wx2mqtt.simulator.phone import Via
from wx2mqtt.simulator.session import EntryKind, SimulatedSession
from wx2mqtt.simulator.wechat import FriendRequest, WeChat
from wx2mqtt.simulator.world import OWNER, WorldContact, WorldGroup, WorldPerson

Fields = dict[str, object]


class CannotSay(ValueError):
    """Nobody can say this to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOrder:
    """`sender` and `to` are ids of the world. `{n}` in the text counts from 1 when `count` is above 1.

    `detail` feeds the kind (`lat`, `title`, …); `raw` overrides fields of the finished entry. `data` are the
    bytes of a picture, file, …; `bytes_of` makes so many up, different for each message; without both there
    is a small file of that kind.
    """

    sender: str
    to: str
    text: str = ""
    kind: str = "text"
    count: int = 1
    detail: Mapping[str, object] = field(default_factory=dict)
    raw: Fields = field(default_factory=dict)
    data: ByteSource | None = None
    bytes_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChatAndAuthor:
    chat: WorldContact
    author: WorldContact
    via: Via

    @property
    def side(self) -> str:
        """Who stands as FromUserName."""
        return OWNER if self.via == "phone" else self.chat.id


@dataclass(frozen=True, slots=True, kw_only=True)
class _SpokenMessage:
    """One of the messages of a order."""

    msg_id: int
    text: str
    media: MessageMedia | None


def say(wechat: WeChat, order: SpeechOrder) -> list[str]:
    """Say it; returns the message ids. Without a living login only the phone knows (webwx 2.11.10)."""
    message_kinds.check(order.kind)
    if (order.data or order.bytes_of is not None) and not media.has_bytes(order.kind):
        raise CannotSay(f"a message of kind {order.kind} brings no bytes")
    place = _place(wechat, order)
    injected = [_one(wechat, order, place, n) for n in range(1, order.count + 1)]
    _show(wechat, order, place, injected)
    if wechat.session is not None:
        _put(wechat, wechat.session, order, place, injected)
    wechat.phone.notify_changed()
    return [str(one.msg_id) for one in injected]


def _one(wechat: WeChat, order: SpeechOrder, participants: _ChatAndAuthor, number: int) -> _SpokenMessage:
    msg_id, content = wechat.ids.next(), order.data
    if content is None and order.bytes_of is not None:
        content = media.made_up(order.kind, str(msg_id), order.bytes_of)
    attachment = media.attach(order.kind, str(msg_id), participants.side, content)
    text = _numbered(order, number)
    if attachment is not None:
        attachment.name = message_kinds.file_name(order.kind, text)
        wechat.media.put(str(msg_id), attachment)
    return _SpokenMessage(msg_id=msg_id, text=text, media=attachment)


def _show(
    wechat: WeChat, order: SpeechOrder, participants: _ChatAndAuthor, injected: list[_SpokenMessage]
) -> None:
    if order.kind == "recall":
        take_back(wechat, str(order.detail.get("msg_id", "")))
    asked = MessageDetails(language=wechat.settings.language, values=_detail(order, participants))
    now = time.time()
    for one in injected:
        wechat.phone.show(
            chat=participants.chat.id,
            sender=participants.author.id,
            via=participants.via,
            kind=order.kind,
            text=message_kinds.on_the_phone(order.kind, one.text, participants.author, asked),
            msg_id=str(one.msg_id),
            time=now,
            media=media.shown(one.media),
        )


def take_back(wechat: WeChat, msg_id: str) -> None:
    """A message is shown as taken back, and its bytes are gone."""
    wechat.phone.recall(msg_id)
    attachment = wechat.media.find(msg_id)
    if attachment is not None:
        attachment.gone = "empty"


def _detail(order: SpeechOrder, participants: _ChatAndAuthor) -> Mapping[str, object]:
    """WeChat's own words (`a`) call a member as the group does."""
    if not isinstance(participants.chat, WorldGroup) or not participants.chat.display_names.get(
        participants.author.id
    ):
        return order.detail
    return {"a": participants.chat.display_names[participants.author.id], **order.detail}


def _numbered(order: SpeechOrder, number: int) -> str:
    return order.text.replace("{n}", str(number)) if order.count > 1 else order.text


def _place(wechat: WeChat, order: SpeechOrder) -> _ChatAndAuthor:
    author, target = wechat.world.find(order.sender), wechat.world.find(order.to)
    via: Via = "system" if message_kinds.is_system(order.kind) or isinstance(author, WorldGroup) else "friend"
    if isinstance(author, WorldGroup):
        return _ChatAndAuthor(chat=author, author=author, via=via)
    if author.id == OWNER:
        return _ChatAndAuthor(chat=target, author=author, via="phone" if via == "friend" else via)
    if isinstance(target, WorldGroup):
        if author.id not in target.members:
            raise CannotSay(f"{author.id} is not in {target.id}")
        return _ChatAndAuthor(chat=target, author=author, via=via)
    if target.id != OWNER:
        raise CannotSay("a person writes to me, to a group that they are in, or is me")
    return _ChatAndAuthor(chat=author, author=author, via=via)


def _put(
    wechat: WeChat,
    session: SimulatedSession,
    order: SpeechOrder,
    participants: _ChatAndAuthor,
    injected: list[_SpokenMessage],
) -> None:
    route = _route(wechat, session, participants)
    asked = MessageDetails(
        language=wechat.settings.language,
        values=_detail(order, participants),
        user_name_of=lambda contact_id: session.user_name(wechat.world.find(contact_id)),
    )
    built = [
        message_kinds.build(order.kind, one.text, one.msg_id, participants.author, asked, media=one.media)
        for one in injected
    ]
    _remember_requests(wechat, session, participants, built)
    entries = [
        render(one.msg_id, route, {**fields, **order.raw})
        for one, fields in zip(injected, built, strict=True)
    ]
    session.log.append(EntryKind.MESSAGE, *entries)


def _remember_requests(
    wechat: WeChat, session: SimulatedSession, participants: _ChatAndAuthor, built: list[Fields]
) -> None:
    """The ticket of a friend request must come back when it is accepted (webwx 2.17.2)."""
    for fields in built:
        ticket = str(fields.get("Ticket", ""))
        if ticket:
            wechat.friend_requests[ticket] = FriendRequest(
                person=participants.author.id, sid=session.sid, time=time.time()
            )


def _route(wechat: WeChat, session: SimulatedSession, participants: _ChatAndAuthor) -> Route:
    me = session.user_name(wechat.world.owner)
    chat = session.user_name(participants.chat)
    if participants.via == "phone":
        return Route(sender=me, receiver=chat)
    if isinstance(participants.chat, WorldGroup) and participants.via == "friend":
        return Route(sender=chat, receiver=me, member=session.user_name(participants.author))
    return Route(sender=chat, receiver=me)


def put_raw(wechat: WeChat, lists: dict[str, list[object]]) -> None:
    """Put exactly these entries into the living login's next sync; raises `CannotSay` when there is none."""
    session = wechat.session
    if session is None:
        raise CannotSay("nobody is logged in")
    places = {
        "AddMsgList": EntryKind.MESSAGE,
        "ModContactList": EntryKind.CHANGED,
        "DelContactList": EntryKind.DELETED,
    }
    for name, entries in lists.items():
        if name not in places:
            raise CannotSay(f"no list is named {name!r}; there are: {', '.join(places)}")
        session.log.append(places[name], *map(messages.dump, entries))


def echo(
    wechat: WeChat, session: SimulatedSession, to: WorldContact, msg_id: int, kind: str, text: str
) -> None:
    """What a web client sent comes back to it (webwx 2.12.5)."""
    route = Route(sender=session.user_name(wechat.world.owner), receiver=session.user_name(to))
    if kind == "location":  # sent as it came: its XML is all there is (webwx 2.12.6)
        values: Fields = {"MsgType": 48, "Content": messages.xml(text)}
    else:
        asked = MessageDetails(language=wechat.settings.language)
        attachment = wechat.media.find(str(msg_id))
        values = message_kinds.build(kind, text, msg_id, wechat.world.owner, asked, media=attachment)
    session.log.append(EntryKind.MESSAGE, render(msg_id, route, values))


def answer_for(wechat: WeChat, person: WorldPerson) -> None:
    """What WeChat itself says after a message that did not arrive (webwx 2.12.11, 3.10.5)."""
    kind = "system:not_friends" if person.deleted_me else "system:blocked"
    say(wechat, SpeechOrder(sender=person.id, to=OWNER, kind=kind))
