"""All fuzz targets."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    bridge,
    ilink,
    mqtt,
    sender_calls,
    senders,
    settings,
    store,
    web,
    webwx_login,
    webwx_messages,
    webwx_people,
    wecom,
)

TARGETS: tuple[Target, ...] = (
    *webwx_messages.TARGETS,
    *webwx_people.TARGETS,
    *webwx_login.TARGETS,
    *ilink.TARGETS,
    *wecom.TARGETS,
    *mqtt.TARGETS,
    *bridge.TARGETS,
    *store.TARGETS,
    *settings.TARGETS,
    *web.TARGETS,
    *senders.TARGETS,
    *sender_calls.TARGETS,
)

KNOWN_HOLES: Mapping[str, str] = {}
"""Targets with a hole that is being closed. `make test-robustness` replays only their seeds and corpus."""


def target_named(name: str) -> Target:
    """Returns the target of this name. Raises `KeyError`."""
    return {target.name: target for target in TARGETS}[name]
