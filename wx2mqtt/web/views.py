"""What the web server knows of the bridge: a `View` of each account and a few facts of the whole process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wx2mqtt.bridge.bell import Bell
from wx2mqtt.bridge.calls import Calls
from wx2mqtt.bridge.health import Seen
from wx2mqtt.bridge.state import Login
from wx2mqtt.bridge.view import Found, Line
from wx2mqtt.errors import Problem
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.rows import CommandRow


class View(Protocol):
    """One account (see `bridge/view.py`). What reads the store raises `StoreError`."""

    @property
    def name(self) -> str: ...
    @property
    def topics(self) -> Topics: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def login(self) -> Login: ...
    @property
    def owner(self) -> str: ...
    @property
    def oneself(self) -> str: ...
    @property
    def code(self) -> bytes: ...

    async def seen(self) -> Seen: ...
    async def lines(self, limit: int) -> list[Line]: ...
    async def commands(self, limit: int) -> list[CommandRow]: ...
    def people(self, query: str, offset: int, limit: int) -> Found: ...
    async def send(self, user: str, text: str, command_id: str) -> None: ...
    def log_in(self) -> None: ...
    def give_number(self, number: str) -> bool: ...
    async def log_out(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The bridge as the web server sees it.

    `accounts` may be others after a while. `bell` rings when something may be different. `stuck` are loops
    that do not move. `problems` are those of the file as it is now: of a reload that was refused, or, without
    any account, why the bridge does not run.
    """

    accounts: Callable[[], Sequence[View]] = tuple
    bell: Bell = field(default_factory=Bell)
    stuck: Callable[[], tuple[str, ...]] = tuple
    problems: Callable[[], tuple[Problem, ...]] = tuple

    @property
    def views(self) -> Sequence[View]:
        """The accounts as of now."""
        return self.accounts()

    @property
    def by_name(self) -> Mapping[str, View]:
        """The same by name."""
        return {view.name: view for view in self.views}
