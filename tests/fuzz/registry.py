"""All fuzz targets."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    bridge,
    ilink,
    mqtt,
    settings,
    store,
    web,
    webwx_login,
    webwx_messages,
    webwx_people,
)

TARGETS: tuple[Target, ...] = (
    *webwx_messages.TARGETS,
    *webwx_people.TARGETS,
    *webwx_login.TARGETS,
    *ilink.TARGETS,
    *mqtt.TARGETS,
    *bridge.TARGETS,
    *store.TARGETS,
    *settings.TARGETS,
    *web.TARGETS,
)

KNOWN_HOLES: Mapping[str, str] = {
    "app.control_socket": "JSON of the control socket is not bounded before it is parsed",
    "app.redaction": "patterns are quadratic",
    "bridge.commands": "`kind` may be a list; JSON is not bounded before it is parsed",
    "bridge.text_split": "a long text without a border is cut slowly",
    "ilink.answers": "JSON of servers is not bounded before it is parsed",
    "ilink.updates": "JSON of servers is not bounded before it is parsed",
    "mqtt.commands": "JSON is not bounded before it is parsed",
    "mqtt.requests": "JSON is not bounded before it is parsed",
    "store.archives": "what an archive unpacks to is not bounded",
    "store.restores": "the kinds of values in a header are not checked",
    "webwx.messages": "JSON of servers is not bounded before it is parsed",
    "webwx.answers": "JSON of servers is not bounded before it is parsed",
    "webwx.contacts": "JSON of servers is not bounded before it is parsed",
    "webwx.content": "a template may fill to a multiple of its size",
    "webwx.scripts": "patterns are quadratic",
    "webwx.system_texts": "patterns have adjacent unbounded parts",
}
"""Targets with a hole that is being closed. `make test` replays only their seeds and corpus."""


def target_named(name: str) -> Target:
    """Returns the target of this name. Raises `KeyError`."""
    return {target.name: target for target in TARGETS}[name]
