"""Loads SQL that has names: each statement of `sql/*.sql` begins with `-- name --` and a sentence of why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def queries(topic: str) -> Mapping[str, str]:
    """The statements of one file by name."""
    text = (files("wx2mqtt.store") / "sql" / f"{topic}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)[1:]
    return {name: _statement(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _statement(body: str) -> str:
    lines = (line for line in body.splitlines() if line and not line.startswith("--"))
    return "\n".join(lines).rstrip(";")
