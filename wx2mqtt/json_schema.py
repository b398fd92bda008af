"""The words of which the schemas are made: JSON Schema 2020-12, each with what it means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from wx2mqtt.model import Json

Schema = dict[str, Json]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


def string(description: str = "", **extra: Json) -> Schema:
    """Any text."""
    return _piece("string", description, extra)


def nonempty_string(description: str = "") -> Schema:
    """A text that is not empty."""
    return string(description, minLength=1)


def timestamp(description: str) -> Schema:
    """RFC 3339, UTC, milliseconds."""
    return string(description, format="date-time", pattern=_MOMENT)


def integer(description: str, minimum: int = 0) -> Schema:
    """A whole number."""
    return _piece("integer", description, {"minimum": minimum})


def number(description: str, **extra: Json) -> Schema:
    """A number, whole or not."""
    return _piece("number", description, extra)


def boolean(description: str) -> Schema:
    """True or false."""
    return _piece("boolean", description, {})


def constant(value: Json, description: str = "") -> Schema:
    """Just this value."""
    return {**({"description": description} if description else {}), "const": value}


def enumeration(values: Iterable[str], description: str = "") -> Schema:
    """One of these words."""
    return _piece("string", description, {"enum": [*values]})


def array(item: Schema, description: str = "", **extra: Json) -> Schema:
    """A list."""
    return _piece("array", description, {"items": item, **extra})


def counts_by_name(description: str) -> Schema:
    """How many, by name."""
    return _piece("object", description, {"additionalProperties": integer("")})


def any_value(description: str) -> Schema:
    """Whatever JSON can hold."""
    return {"description": description}


def nullable(schema: Schema) -> Schema:
    """The same, or null: only results have that."""
    return {"anyOf": [schema, {"type": "null"}]}


def any_of(*choices: Schema, description: str = "") -> Schema:
    """One of several shapes."""
    return {**({"description": description} if description else {}), "anyOf": [*choices]}


def ref(name: str) -> Schema:
    """What stands under this name in `$defs`."""
    return {"$ref": f"#/$defs/{name}"}


def object_of(
    description: str, required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None
) -> Schema:
    """An object: keys that are always there, and keys that are there when they are known."""
    properties = cast("Schema", {**required, **(optional or {})})
    needed: Schema = {"required": [*required]} if required else {}
    return _piece("object", description, {"properties": properties, **needed})


def strict(schema: Json) -> Json:
    """The same, but nothing is allowed that is not described: for requests, and for tests of what we publish.

    Whoever reads must ignore keys that they do not know, so the published schemas are open.
    """
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        inner["additionalProperties"] = False
    return inner


def _piece(kind: str, description: str, extra: Mapping[str, Json]) -> Schema:
    return {**({"description": description} if description else {}), "type": kind, **extra}
