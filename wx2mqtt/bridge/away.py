"""What it means that WeChat does not answer, or that the store does not take what it answered. Pure."""

from __future__ import annotations

from wx2mqtt.errors import ProtocolViolation, StoreError, Throttled, Unreachable
from wx2mqtt.retry import Backoff

TROUBLE = (Unreachable, Throttled, ProtocolViolation, StoreError)
"""What is tried again by itself."""


def is_news(trouble: Exception) -> bool:
    """Whether it is more than an answer that got lost: a poll was cut at its limit, or the store fails."""
    return isinstance(trouble, StoreError) or (isinstance(trouble, Unreachable) and trouble.hung)


def pause_after(trouble: Exception, backoff: Backoff, chance: float) -> float:
    """Seconds until it is tried again; WeChat may have said that it must be longer."""
    return max(backoff.wait(chance), getattr(trouble, "retry_after", 0.0))
