"""A small MQTT 5 broker with the deviations of real ones (RabbitMQ, AWS IoT, EMQX …) that the doctor must notice.

Like `scripted_broker`, on which it is built, it shares no code with the client. It has no wills.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.support.scripted_broker import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Packet,
    Peer,
    ScriptedBroker,
    length_prefixed,
    number,
    scripted_broker,
)

NOT_AUTHORIZED = 0x87


@dataclass
class Deviations:
    """How the broker deviates; `publications` has each (topic, payload, retain) that it accepted or refused.

    `refuses` says which topics may not be published, `rejects_filter` which filters may not be subscribed.
    """

    properties: bytes = b""
    refuses: Callable[[str], bool] = lambda _topic: False
    rejects_filter: Callable[[str], bool] = lambda _filter: False
    disconnects: bool = False  # instead of an error code
    ends_after_refusal: bool = False  # of a filter: at the next packet, which may be on its way already
    silent_on: Callable[[str], bool] = lambda _topic: False
    rewrites: Callable[[str], str] = lambda topic: topic
    retains: bool = True
    retains_for_wildcards: bool = True
    keeps_sessions: bool = True
    keeps_messages: bool = True
    publications: list[tuple[str, bytes, bool]] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)


@dataclass
class Session:
    """The session of one client."""

    filters: set[str] = field(default_factory=set)
    waiting: list[tuple[str, bytes, bool]] = field(default_factory=list)
    peer: Peer | None = None
    lasting: bool = False
    mid: int = 0


@contextlib.asynccontextmanager
async def deviating_broker(deviations: Deviations) -> AsyncIterator[ScriptedBroker]:
    """Runs the broker inside of the block."""

    async def serve(peer: Peer) -> None:
        await _serve(deviations, peer)

    async with scripted_broker(serve) as broker:
        yield broker


async def _serve(deviations: Deviations, peer: Peer) -> None:
    session, name = await _accept(deviations, peer)
    ended = False
    try:
        while (packet := await peer.read()).kind != DISCONNECT:
            if ended:
                return
            if packet.kind == SUBSCRIBE:
                ended = not _subscribe(deviations, session, packet) and deviations.ends_after_refusal
            elif packet.kind == PUBLISH and not _publish(deviations, session, packet):
                return
    finally:
        session.peer = None
        if not session.lasting and deviations.sessions.get(name) is session:
            del deviations.sessions[name]


async def _accept(deviations: Deviations, peer: Peer) -> tuple[Session, str]:
    connect = await peer.read(CONNECT)
    clean, lasting = bool(connect.body[7] & 2), b"\x11\0\0\0\0" not in connect.body[10:20]
    length = connect.body[10]  # of the properties; ours need one byte for it
    name = _text(connect.body, 11 + length)
    known = None if clean else deviations.sessions.get(name)
    session = known or Session()
    session.peer, session.lasting = peer, lasting and deviations.keeps_sessions
    deviations.sessions[name] = session
    deviations.clients.append(name)
    peer.send(
        CONNACK, bytes((known is not None, 0)) + number(len(deviations.properties)) + deviations.properties
    )
    waiting, session.waiting = session.waiting, []
    for topic, payload, retain in waiting:
        _deliver(session, topic, payload, retain=retain)
    return session, name


def _subscribe(deviations: Deviations, session: Session, packet: Packet) -> bool:
    """Returns False when the filter was refused."""
    assert session.peer is not None
    name = _text(packet.body, 3)  # no properties
    allowed = not deviations.rejects_filter(name)
    session.peer.send(SUBACK, packet.body[:2] + b"\0" + bytes((1 if allowed else NOT_AUTHORIZED,)))
    if not allowed:
        return False
    session.filters.add(name)
    if any(sign in name for sign in "+#") and not deviations.retains_for_wildcards:
        return True
    for topic, payload in deviations.retained.items():
        if _fits(name, topic):
            _deliver(session, topic, payload, retain=True)
    return True


def _publish(deviations: Deviations, session: Session, packet: Packet) -> bool:
    """Returns False when the connection is to be closed."""
    assert session.peer is not None
    topic, retain = packet.topic, bool(packet.flags & 1)
    at = 2 + len(topic.encode()) + 2
    payload = packet.body[at + 1 + packet.body[at] :]
    deviations.publications.append((topic, payload, retain))
    if deviations.silent_on(topic):
        return True
    if deviations.refuses(topic):
        if not deviations.disconnects:
            session.peer.send(PUBACK, packet.publish_mid.to_bytes(2, "big") + bytes((NOT_AUTHORIZED,)))
        return not deviations.disconnects
    session.peer.acknowledge(packet)
    topic = deviations.rewrites(topic)
    if retain and deviations.retains:
        deviations.retained[topic] = payload
        if not payload:
            del deviations.retained[topic]
    for other in deviations.sessions.values():
        if any(_fits(name, topic) for name in other.filters):
            if other.peer is not None:
                _deliver(other, topic, payload, retain=False)
            elif deviations.keeps_messages:
                other.waiting.append((topic, payload, False))
    return True


def _deliver(session: Session, topic: str, payload: bytes, *, retain: bool) -> None:
    assert session.peer is not None
    session.mid += 1
    body = length_prefixed(topic) + session.mid.to_bytes(2, "big") + b"\0" + payload
    session.peer.send(PUBLISH, body, flags=2 | retain)


def _fits(name: str, topic: str) -> bool:
    """Returns whether a filter matches a topic (MQTT 4.7)."""
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
