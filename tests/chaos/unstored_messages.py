"""Finds the messages of WeCom that the bridge should have stored (P1): WeCom keeps none and gets no acknowledgement. Pure.

A message may be missing in the store in these cases only:

    written while no program was connected   ->  it lies in a published gap (`event/gap`)
    came on a connection that has ended      ->  it lies in a gap, and no later one of that connection is stored
    came on the connection that is open      ->  never: it must be stored
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.chaos.evidence import JsonBody

TOLERANCE_SECONDS = 4.0
"""A slow network or a stopped process delays messages, so that a gap may seem to begin after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMessage:
    """A message of a person; `at` is in seconds since 1970. `lost`: no program was connected."""

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
    """A time without a connection that the bridge published, in seconds since 1970."""

    since: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnstoredMessage:
    """A message that is not stored though it should be; `reason` says why it should."""

    id: str
    reason: str


def gap_in(body: JsonBody) -> Gap:
    """Reads an `event/gap`."""
    since, until = (datetime.fromisoformat(str(body[name])).timestamp() for name in ("since", "until"))
    return Gap(since=since, until=until)


def unexplained_losses(
    written: Sequence[WrittenMessage],
    logs: Sequence[ConnectionLog],
    gaps: Sequence[Gap],
    stored: Collection[str],
    *,
    clock_moved: bool,
) -> Iterator[UnstoredMessage]:
    """Yields the messages that are not stored and lie in no gap.

    `clock_moved`: the times of the bridge are wrong, so any gap explains a lost message.
    """
    times = {message.id: message.at for message in written}

    def is_reported(message_id: str) -> bool:
        at = times.get(message_id, 0.0)
        if clock_moved:
            return bool(gaps)
        return any(gap.since - TOLERANCE_SECONDS <= at <= gap.until + TOLERANCE_SECONDS for gap in gaps)

    for message in written:
        if message.lost and not is_reported(message.id):
            yield UnstoredMessage(
                id=message.id, reason="was written while no program was connected, and lies in no gap"
            )
    for log in logs:
        positions = [position for position, message_id in enumerate(log.messages) if message_id in stored]
        last_stored = max(positions, default=-1)
        for position, message_id in enumerate(log.messages):
            if message_id in stored:
                continue
            if position < last_stored:
                yield UnstoredMessage(
                    id=message_id, reason="was left out: a later one of its connection is stored"
                )
            elif log.active:
                yield UnstoredMessage(id=message_id, reason="came on a connection that is open")
            elif not is_reported(message_id):
                yield UnstoredMessage(
                    id=message_id, reason="came on a connection that has ended, and lies in no gap"
                )


def answered_before_stored(logs: Sequence[ConnectionLog], stored: Collection[str]) -> Iterator[str]:
    """Yields the ids of messages that were answered and are not stored."""
    for log in logs:
        yield from (message_id for message_id in log.answered if message_id not in stored)
