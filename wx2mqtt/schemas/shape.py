"""The words of which the schemas are made: JSON Schema 2020-12, each with what it means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from wx2mqtt.model import Json

Schema = dict[str, Json]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


def text(meaning: str = "", **more: Json) -> Schema:
    """Any text."""
    return _piece("string", meaning, more)


def filled(meaning: str = "") -> Schema:
    """A text that is not empty."""
    return text(meaning, minLength=1)


def moment(meaning: str) -> Schema:
    """RFC 3339, UTC, milliseconds (DESIGN 4.1)."""
    return text(meaning, format="date-time", pattern=_MOMENT)


def whole(meaning: str, least: int = 0) -> Schema:
    """A whole number."""
    return _piece("integer", meaning, {"minimum": least})


def number(meaning: str, **more: Json) -> Schema:
    """A number, whole or not."""
    return _piece("number", meaning, more)


def flag(meaning: str) -> Schema:
    """True or false."""
    return _piece("boolean", meaning, {})


def always(value: Json, meaning: str = "") -> Schema:
    """Just this value."""
    return {**({"description": meaning} if meaning else {}), "const": value}


def one_of(values: Iterable[str], meaning: str = "") -> Schema:
    """One of these words."""
    return _piece("string", meaning, {"enum": [*values]})


def many(item: Schema, meaning: str = "", **more: Json) -> Schema:
    """A list."""
    return _piece("array", meaning, {"items": item, **more})


def counts(meaning: str) -> Schema:
    """How many, by name."""
    return _piece("object", meaning, {"additionalProperties": whole("")})


def anything(meaning: str) -> Schema:
    """Whatever JSON can hold."""
    return {"description": meaning}


def nothing_known(schema: Schema) -> Schema:
    """The same, or null: only results have that."""
    return {"anyOf": [schema, {"type": "null"}]}


def either(*choices: Schema, meaning: str = "") -> Schema:
    """One of several shapes."""
    return {**({"description": meaning} if meaning else {}), "anyOf": [*choices]}


def to(name: str) -> Schema:
    """What stands under this name in `$defs`."""
    return {"$ref": f"#/$defs/{name}"}


def thing(meaning: str, must: Mapping[str, Schema], may: Mapping[str, Schema] | None = None) -> Schema:
    """An object: keys that are always there, and keys that are there when they are known."""
    properties = cast("Schema", {**must, **(may or {})})
    needed: Schema = {"required": [*must]} if must else {}
    return _piece("object", meaning, {"properties": properties, **needed})


def strict(schema: Json) -> Json:
    """The same, but nothing is allowed that is not described: for requests, and for tests of what we publish.

    Whoever reads must ignore keys that they do not know (DESIGN 4.1), so the published schemas are open.
    """
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        inner["additionalProperties"] = False
    return inner


def _piece(kind: str, meaning: str, more: Mapping[str, Json]) -> Schema:
    return {**({"description": meaning} if meaning else {}), "type": kind, **more}
