"""Whether the clock can be trusted with what is old enough to go."""

from __future__ import annotations

import sqlite3

from wx2mqtt.store.queries import queries

_SQL = queries("age")


def clock_has_passed(connection: sqlite3.Connection, now: int) -> bool:
    """Whether `now` (ms) lies behind the newest row of the store.

    A clock that was set back would make all look young, one that was wrong before would make all look old.
    """
    (newest,) = connection.execute(_SQL["newest"]).fetchone()
    return newest is None or now > newest
