"""Log lines of the parsers are dropped while inputs run: each malformed one may be logged."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog


def _drop(_logger: object, _method: str, _event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent


@contextmanager
def silent_logs() -> Iterator[None]:
    """Drops all lines of structlog within the block."""
    configuration = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**configuration)
