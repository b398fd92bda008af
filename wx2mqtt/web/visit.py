"""What the gate knows about a request, for those who answer it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from wx2mqtt.web.visitors import Visitor
from wx2mqtt.words import Language

LANGUAGE = "wx2mqtt_language"
"""The cookie with the language that somebody chose here."""

_KEY = "wx2mqtt.visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asks, in which language to answer, and the key of the browser's session (empty: none).

    `welcome` is false for a stranger, who may see little of what is open to everybody.
    """

    visitor: Visitor
    language: Language
    session: str
    welcome: bool = False


def put(scope: Scope, visit: Visit) -> None:
    """Let those who answer know."""
    scope[_KEY] = visit


def visit_of(scope: Scope) -> Visit:
    """What was put there."""
    visit = scope[_KEY]
    assert isinstance(visit, Visit)
    return visit
