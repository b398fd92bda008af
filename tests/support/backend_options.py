"""The options of a backend, for tests that need only some of them."""

from __future__ import annotations

from typing import Any

from tests.unit.wechat.marks import FakeMarks
from wx2mqtt.model import Handle
from wx2mqtt.wechat.backend_options import BackendOptions


async def know_no_quotes(_message_id: str, _chat: Handle) -> None:
    """Looks up quoted messages, and finds none."""


def backend_options(**options: Any) -> BackendOptions:
    """Returns options of which the test names some; nobody observes the calls."""
    unnamed: dict[str, Any] = {
        "observe": lambda _call, _outcome, _seconds: None,
        "quote_lookup": know_no_quotes,
        "marks": FakeMarks(),
    }
    return BackendOptions(**{**unnamed, **options})
