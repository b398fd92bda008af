"""A small MQTT 5 broker with the oddities of others (RabbitMQ, AWS IoT, EMQX …), for whoever must notice them.

Like `scripted`, on which it stands, it shares no code with the client. One reader per client, no wills.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.support.scripted import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Packet,
    Peer,
    Scripted,
    counted,
    number,
    scripted,
)

NOT_AUTHORIZED = 0x87


@dataclass
class Odd:
    """What it does that others do not; `seen` is every publish (topic, payload, retain) that it took or refused.

    `refuses` and `judges` say which topics may not be published and which filters not be subscribed.
    """

    properties: bytes = b""
    refuses: Callable[[str], bool] = lambda _topic: False
    judges: Callable[[str], bool] = lambda _filter: False
    hangs_up: bool = False  # instead of saying no
    ends_after_refusal: bool = False  # of a filter: at the next packet, which may be on its way already
    silent_on: Callable[[str], bool] = lambda _topic: False
    rewrites: Callable[[str], str] = lambda topic: topic
    retains: bool = True
    retains_for_wildcards: bool = True
    keeps_sessions: bool = True
    keeps_messages: bool = True
    seen: list[tuple[str, bytes, bool]] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)


@dataclass
class Session:
    """What is kept of one client."""

    filters: set[str] = field(default_factory=set)
    waiting: list[tuple[str, bytes, bool]] = field(default_factory=list)
    peer: Peer | None = None
    lasting: bool = False
    mid: int = 0


@contextlib.asynccontextmanager
async def odd_broker(odd: Odd) -> AsyncIterator[Scripted]:
    """It runs for the length of the `with`."""

    async def serve(peer: Peer) -> None:
        await _serve(odd, peer)

    async with scripted(serve) as broker:
        yield broker


async def _serve(odd: Odd, peer: Peer) -> None:
    session, name = await _greet(odd, peer)
    ended = False
    try:
        while (packet := await peer.read()).kind != DISCONNECT:
            if ended:
                return
            if packet.kind == SUBSCRIBE:
                ended = not _subscribe(odd, session, packet) and odd.ends_after_refusal
            elif packet.kind == PUBLISH and not _publish(odd, session, packet):
                return
    finally:
        session.peer = None
        if not session.lasting and odd.sessions.get(name) is session:
            del odd.sessions[name]


async def _greet(odd: Odd, peer: Peer) -> tuple[Session, str]:
    connect = await peer.read(CONNECT)
    clean, lasting = bool(connect.body[7] & 2), b"\x11\0\0\0\0" not in connect.body[10:20]
    length = connect.body[10]  # of the properties; ours need one byte for it
    name = _text(connect.body, 11 + length)
    known = None if clean else odd.sessions.get(name)
    session = known or Session()
    session.peer, session.lasting = peer, lasting and odd.keeps_sessions
    odd.sessions[name] = session
    odd.clients.append(name)
    peer.send(CONNACK, bytes((known is not None, 0)) + number(len(odd.properties)) + odd.properties)
    waiting, session.waiting = session.waiting, []
    for topic, payload, retain in waiting:
        _deliver(session, topic, payload, retain=retain)
    return session, name


def _subscribe(odd: Odd, session: Session, packet: Packet) -> bool:
    """False where it refuses."""
    assert session.peer is not None
    name = _text(packet.body, 3)  # no properties
    allowed = not odd.judges(name)
    session.peer.send(SUBACK, packet.body[:2] + b"\0" + bytes((1 if allowed else NOT_AUTHORIZED,)))
    if not allowed:
        return False
    session.filters.add(name)
    if any(sign in name for sign in "+#") and not odd.retains_for_wildcards:
        return True
    for topic, payload in odd.retained.items():
        if _fits(name, topic):
            _deliver(session, topic, payload, retain=True)
    return True


def _publish(odd: Odd, session: Session, packet: Packet) -> bool:
    """False where it hangs up."""
    assert session.peer is not None
    topic, retain = packet.topic, bool(packet.flags & 1)
    at = 2 + len(topic.encode()) + 2
    payload = packet.body[at + 1 + packet.body[at] :]
    odd.seen.append((topic, payload, retain))
    if odd.silent_on(topic):
        return True
    if odd.refuses(topic):
        if not odd.hangs_up:
            session.peer.send(PUBACK, packet.publish_mid.to_bytes(2, "big") + bytes((NOT_AUTHORIZED,)))
        return not odd.hangs_up
    session.peer.acknowledge(packet)
    topic = odd.rewrites(topic)
    if retain and odd.retains:
        odd.retained[topic] = payload
        if not payload:
            del odd.retained[topic]
    for other in odd.sessions.values():
        if any(_fits(name, topic) for name in other.filters):
            if other.peer is not None:
                _deliver(other, topic, payload, retain=False)
            elif odd.keeps_messages:
                other.waiting.append((topic, payload, False))
    return True


def _deliver(session: Session, topic: str, payload: bytes, *, retain: bool) -> None:
    assert session.peer is not None
    session.mid += 1
    body = counted(topic) + session.mid.to_bytes(2, "big") + b"\0" + payload
    session.peer.send(PUBLISH, body, flags=2 | retain)


def _fits(name: str, topic: str) -> bool:
    """A filter and a topic, as MQTT 4.7 has it."""
    wanted, levels = name.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return len(levels) >= place
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


def _text(data: bytes, at: int) -> str:
    size = int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : at + 2 + size].decode()
