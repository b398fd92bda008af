"""Calls the callbacks of others so that an exception in one of them ends neither paho nor the connection."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import ParamSpec

import structlog

log = structlog.get_logger(__name__)

P = ParamSpec("P")


def notify(callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Calls a listener; an exception that it raises is its own fault and is only logged (mqtt 0.4.2)."""
    try:
        callback(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - see the docstring
        log.error("listener failed", error=type(error).__name__, at=raised_at(error))


def raised_at(error: BaseException) -> str:
    """Returns `file:line` of the origin: neither the message nor the variables, which may hold a text."""
    origin = traceback.extract_tb(error.__traceback__)[-1]
    return f"{origin.filename}:{origin.lineno}"
