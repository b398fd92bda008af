"""Injects messages: from a friend, a group member, the owner's phone, a web client or WeChat itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator import media, message_kinds, messages
from wx2mqtt.simulator.media import ByteSource, MessageMedia
from wx2mqtt.simulator.message_spec import MessageDetails
from wx2mqtt.simulator.messages import MessageRoute, render_entry
from wx2mqtt.simulator.phone import Via
from wx2mqtt.simulator.session import EntryKind, SimulatedSession
from wx2mqtt.simulator.wechat import FriendRequest, WeChat
from wx2mqtt.simulator.world import OWNER, WorldContact, WorldGroup, WorldPerson

Fields = dict[str, object]


class CannotSend(ValueError):
    """The sender cannot write to this receiver, or nobody is logged in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOrder:
    """Messages to inject. `sender` and `to` are ids of the world.

    When `count` is above 1, `{n}` in the text is the number of the message, from 1. `detail` has values for
    the kind (`lat`, `title`, …); `raw` overrides fields of the finished entry. `data` are the bytes of a
    file; `bytes_of` generates that many, different for each message. Without both, a file is a small sample.
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
class _Participants:
    chat: WorldContact
    author: WorldContact
    via: Via

    @property
    def from_id(self) -> str:
        """The id behind FromUserName."""
        return OWNER if self.via == "phone" else self.chat.id


@dataclass(frozen=True, slots=True, kw_only=True)
class _InjectedMessage:
    msg_id: int
    text: str
    media: MessageMedia | None


def inject(wechat: WeChat, order: MessageOrder) -> list[str]:
    """Injects the messages and returns their ids.

    Without an active login only the phone shows them (webwx 2.11.10).
    """
    message_kinds.require_known_kind(order.kind)
    if (order.data or order.bytes_of is not None) and not media.has_bytes(order.kind):
        raise CannotSend(f"a message of kind {order.kind} brings no bytes")
    participants = _participants(wechat, order)
    injected = [_prepare_message(wechat, order, participants, n) for n in range(1, order.count + 1)]
    _show_on_phone(wechat, order, participants, injected)
    if wechat.session is not None:
        _append_to_log(wechat, wechat.session, order, participants, injected)
    wechat.phone.notify_changed()
    return [str(message.msg_id) for message in injected]


def _prepare_message(
    wechat: WeChat, order: MessageOrder, participants: _Participants, index: int
) -> _InjectedMessage:
    msg_id = wechat.ids.next()
    content = order.data
    if content is None and order.bytes_of is not None:
        content = media.generate_file(order.kind, str(msg_id), order.bytes_of)
    attachment = media.make_media(order.kind, str(msg_id), participants.from_id, content)
    text = _numbered(order, index)
    if attachment is not None:
        attachment.name = message_kinds.file_name(order.kind, text)
        wechat.media.put(str(msg_id), attachment)
    return _InjectedMessage(msg_id=msg_id, text=text, media=attachment)


def _show_on_phone(
    wechat: WeChat, order: MessageOrder, participants: _Participants, injected: list[_InjectedMessage]
) -> None:
    if order.kind == "recall":
        recall(wechat, str(order.detail.get("msg_id", "")))
    details = MessageDetails(language=wechat.settings.language, values=_details(order, participants))
    now = time.time()
    for message in injected:
        wechat.phone.show(
            chat=participants.chat.id,
            sender=participants.author.id,
            via=participants.via,
            kind=order.kind,
            text=message_kinds.phone_text(order.kind, message.text, participants.author, details),
            msg_id=str(message.msg_id),
            time=now,
            media=media.describe_file(message.media),
        )


def recall(wechat: WeChat, msg_id: str) -> None:
    """Marks a message as recalled on the phone; its file is gone."""
    wechat.phone.recall(msg_id)
    attachment = wechat.media.find(msg_id)
    if attachment is not None:
        attachment.gone = "empty"


def _details(order: MessageOrder, participants: _Participants) -> Mapping[str, object]:
    """Returns the details; `a`, the author in system texts, defaults to their name in the group."""
    if not isinstance(participants.chat, WorldGroup) or not participants.chat.display_names.get(
        participants.author.id
    ):
        return order.detail
    return {"a": participants.chat.display_names[participants.author.id], **order.detail}


def _numbered(order: MessageOrder, index: int) -> str:
    return order.text.replace("{n}", str(index)) if order.count > 1 else order.text


def _participants(wechat: WeChat, order: MessageOrder) -> _Participants:
    author = wechat.world.find(order.sender)
    target = wechat.world.find(order.to)
    via: Via = "system" if message_kinds.is_system(order.kind) or isinstance(author, WorldGroup) else "friend"
    if isinstance(author, WorldGroup):
        return _Participants(chat=author, author=author, via=via)
    if author.id == OWNER:
        return _Participants(chat=target, author=author, via="phone" if via == "friend" else via)
    if isinstance(target, WorldGroup):
        if author.id not in target.members:
            raise CannotSend(f"{author.id} is not in {target.id}")
        return _Participants(chat=target, author=author, via=via)
    if target.id != OWNER:
        raise CannotSend("a person writes to me, to a group that they are in, or is me")
    return _Participants(chat=author, author=author, via=via)


def _append_to_log(
    wechat: WeChat,
    session: SimulatedSession,
    order: MessageOrder,
    participants: _Participants,
    injected: list[_InjectedMessage],
) -> None:
    route = _route(wechat, session, participants)
    details = MessageDetails(
        language=wechat.settings.language,
        values=_details(order, participants),
        user_name_of=lambda contact_id: session.user_name(wechat.world.find(contact_id)),
    )
    built = [
        message_kinds.build(
            order.kind, message.text, message.msg_id, participants.author, details, media=message.media
        )
        for message in injected
    ]
    _store_friend_requests(wechat, session, participants, built)
    entries = [
        render_entry(message.msg_id, route, {**fields, **order.raw})
        for message, fields in zip(injected, built, strict=True)
    ]
    session.log.append(EntryKind.MESSAGE, *entries)


def _store_friend_requests(
    wechat: WeChat, session: SimulatedSession, participants: _Participants, built: list[Fields]
) -> None:
    """Keeps the ticket of a friend request: accepting it sends the ticket back (webwx 2.17.2)."""
    for fields in built:
        ticket = str(fields.get("Ticket", ""))
        if ticket:
            wechat.friend_requests[ticket] = FriendRequest(
                person=participants.author.id, sid=session.sid, time=time.time()
            )


def _route(wechat: WeChat, session: SimulatedSession, participants: _Participants) -> MessageRoute:
    me = session.user_name(wechat.world.owner)
    chat = session.user_name(participants.chat)
    if participants.via == "phone":
        return MessageRoute(sender=me, receiver=chat)
    if isinstance(participants.chat, WorldGroup) and participants.via == "friend":
        return MessageRoute(sender=chat, receiver=me, member=session.user_name(participants.author))
    return MessageRoute(sender=chat, receiver=me)


def inject_raw(wechat: WeChat, lists: dict[str, list[object]]) -> None:
    """Puts exactly these entries into the next webwxsync; raises `CannotSend` without an active login."""
    session = wechat.session
    if session is None:
        raise CannotSend("nobody is logged in")
    entry_kinds = {
        "AddMsgList": EntryKind.MESSAGE,
        "ModContactList": EntryKind.CHANGED,
        "DelContactList": EntryKind.DELETED,
    }
    for name, entries in lists.items():
        if name not in entry_kinds:
            raise CannotSend(f"no list is named {name!r}; there are: {', '.join(entry_kinds)}")
        session.log.append(entry_kinds[name], *map(messages.dump_json, entries))


def inject_echo(
    wechat: WeChat, session: SimulatedSession, to: WorldContact, msg_id: int, kind: str, text: str
) -> None:
    """Returns a message of a web client to that client (webwx 2.12.5)."""
    route = MessageRoute(sender=session.user_name(wechat.world.owner), receiver=session.user_name(to))
    if kind == "location":  # only its XML is known: the client sent it as received (webwx 2.12.6)
        values: Fields = {"MsgType": 48, "Content": messages.encode_xml(text)}
    else:
        details = MessageDetails(language=wechat.settings.language)
        attachment = wechat.media.find(str(msg_id))
        values = message_kinds.build(kind, text, msg_id, wechat.world.owner, details, media=attachment)
    session.log.append(EntryKind.MESSAGE, render_entry(msg_id, route, values))


def inject_refusal_notice(wechat: WeChat, person: WorldPerson) -> None:
    """Injects WeChat's notice for a message that did not arrive (webwx 2.12.11, 3.10.5)."""
    kind = "system:not_friends" if person.deleted_me else "system:blocked"
    inject(wechat, MessageOrder(sender=person.id, to=OWNER, kind=kind))
