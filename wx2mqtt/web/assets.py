"""The files that our pages use, each under a name that changes with what is in it: to be kept for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    data: bytes
    content_type: str


class Assets:
    """Those of `static/`. `name` says under which one a file is served now."""

    def __init__(self) -> None:
        folder = files("wx2mqtt.web").joinpath("static")
        found = {one.name: one.read_bytes() for one in folder.iterdir() if _suffix(one.name) in TYPES}
        self._names = {name: _with_hash(name, data) for name, data in found.items()}
        self.served: Mapping[str, Asset] = {
            self._names[name]: Asset(data, TYPES[_suffix(name)]) for name, data in found.items()
        }

    def name(self, file: str) -> str:
        """`page.css` is `page.0f3a….css`."""
        return self._names[file]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix


def _with_hash(name: str, data: bytes) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(data).hexdigest()[:12]}{path.suffix}"
