"""What WeCom has handed over: P1 of a service that acknowledges nothing and keeps nothing. Pure.

A message is handed over once the bridge has stored it. Of the others a run owes an explanation:

    written while no program was connected   ->  it lies in a gap that was told (`event/gap`)
    came on a connection that has ended      ->  it lies in a gap, and no later one of that connection is stored
    came on the connection that is open      ->  it must be stored
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.chaos.evidence import JsonBody

SLACK_SECONDS = 4.0
"""A slow line, or a process that stands still, delays what came first: the gap seems to begin after what is behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message of a person, and when (seconds since 1970). `lost`: no program was connected."""

    id: str
    at: float
    lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLog:
    """The ids of the messages that went to one connection, in order, and of those with a finished answer."""

    active: bool
    messages: Sequence[str]
    answered: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time without a connection that was told, in seconds since 1970."""

    since: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A message that is not stored though it should be, and why it should."""

    id: str
    why: str


def gap_in(body: JsonBody) -> Gap:
    """Reads an `event/gap`."""
    since, until = (datetime.fromisoformat(str(body[name])).timestamp() for name in ("since", "until"))
    return Gap(since=since, until=until)


def left_out(
    said: Sequence[Said],
    logs: Sequence[ConnectionLog],
    gaps: Sequence[Gap],
    stored: Collection[str],
    *,
    clock_moved: bool,
) -> Iterator[LeftOut]:
    """Yields the messages that are not stored and lie in no gap.

    `clock_moved`: the times of the bridge say nothing, so any gap excuses what was lost.
    """
    times = {one.id: one.at for one in said}

    def is_told(message_id: str) -> bool:
        at = times.get(message_id, 0.0)
        if clock_moved:
            return bool(gaps)
        return any(gap.since - SLACK_SECONDS <= at <= gap.until + SLACK_SECONDS for gap in gaps)

    for one in said:
        if one.lost and not is_told(one.id):
            yield LeftOut(id=one.id, why="was written while no program was connected, and lies in no gap")
    for log in logs:
        places = [place for place, message_id in enumerate(log.messages) if message_id in stored]
        last_stored = max(places, default=-1)
        for place, message_id in enumerate(log.messages):
            if message_id in stored:
                continue
            if place < last_stored:
                yield LeftOut(id=message_id, why="was left out: a later one of its connection is stored")
            elif log.active:
                yield LeftOut(id=message_id, why="came on a connection that is open")
            elif not is_told(message_id):
                yield LeftOut(id=message_id, why="came on a connection that has ended, and lies in no gap")


def answered_too_early(logs: Sequence[ConnectionLog], stored: Collection[str]) -> Iterator[str]:
    """Yields the ids of messages that were answered and are not stored."""
    for log in logs:
        yield from (message_id for message_id in log.answered if message_id not in stored)
