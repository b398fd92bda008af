"""Makes h11 read heads and chunks in a time that grows with their size, and not with the square of it.

In two patterns of h11 0.16 two parts can take the same blanks. A line of 32 KB of blanks that ends in what no
header may have takes two seconds of the event loop, and one of 250 KB two minutes: from whichever server a
client asks. h11 has no setting for its patterns, so `external/url_fetch.py` (httpx) and `mqtt/websocket.py`
(wsproto) replace them when they are imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from h11 import _readers

# What a part has taken, no other part gets (`++`, `*+`). h11 matches whole lines: `\A` changes nothing.
_PATTERN_BY_NAME: Mapping[str, re.Pattern[bytes]] = {
    # The line of a header: blanks around the value are no part of it (RFC 9112, 5).
    "header_field_re": re.compile(
        rb"\A(?P<field_name>[-!#$%&'*+.^_`|~0-9a-zA-Z]++):[ \t]*+"
        rb"(?P<field_value>(?:[^\x00\s]++(?:[ \t]++[^\x00\s]++)*+)?+)[ \t]*+"
    ),
    # The line before a chunk, with extensions that h11 does not read (RFC 9112, 7.1).
    "chunk_header_re": re.compile(
        rb"\A(?P<chunk_size>[0-9A-Fa-f]{1,20}+)(?P<chunk_ext>;[^\r\n]*+)?+[ \t]*+\r\n"
    ),
}


def replace_h11_patterns() -> None:
    """Replaces the patterns in the whole process. A version of h11 without them stays as it is."""
    for name, pattern in _PATTERN_BY_NAME.items():
        if hasattr(_readers, name):
            setattr(_readers, name, pattern)
