"""Quiet hours: the part of a day without reminders, such as `22:00-07:00` (`ilink.remind.quiet`). Pure.

`bridge/reminder.py` moves a reminder out of them. Nothing else has quiet hours.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, tzinfo

_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_QUIET_HOURS = re.compile(rf"({_CLOCK})-({_CLOCK})", re.ASCII)  # 22:00-07:00


def parse_quiet_hours(value: str) -> tuple[time, time]:
    """Returns begin and end of a text such as `22:00-07:00`; an end that is not later is on the next day.

    Raises `ValueError` with a sentence.
    """
    match = _QUIET_HOURS.fullmatch(value)
    if match is None or match[1] == match[2]:
        raise ValueError('is no span of the day; write "22:00-07:00"')
    return time.fromisoformat(match[1]), time.fromisoformat(match[2])


def quiet_hours_around(at: int, value: str, zone: tzinfo | None) -> tuple[int, int] | None:
    """Returns begin and end of the quiet hours in which a time lies; None if it lies in none.

    All times are milliseconds since 1970. The hours go by the clock on the wall of `zone`, None: of this
    machine.
    """
    first, last = parse_quiet_hours(value)
    today = datetime.fromtimestamp(at / 1000, zone).date()
    # Quiet hours as 22:00-07:00 end on the next day, so that those of yesterday may not be over.
    for first_day in (today - timedelta(days=1), today):
        last_day = first_day + timedelta(days=1) if last <= first else first_day
        begin = int(datetime.combine(first_day, first, zone).timestamp() * 1000)
        end = int(datetime.combine(last_day, last, zone).timestamp() * 1000)
        if begin <= at < end:
            return begin, end
    return None
