"""What the gate knows about a request, for those who answer it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from wx2mqtt.web.visitors import Visitor
from wx2mqtt.words import Language

_KEY = "wx2mqtt.visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asks, in which language to answer, and the key of the browser's session (empty: none)."""

    visitor: Visitor
    language: Language
    session: str


def put(scope: Scope, visit: Visit) -> None:
    """Let those who answer know."""
    scope[_KEY] = visit


def visit_of(scope: Scope) -> Visit:
    """What was put there."""
    visit = scope[_KEY]
    assert isinstance(visit, Visit)
    return visit
