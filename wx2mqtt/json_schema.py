"""Building blocks of JSON Schema 2020-12, each with a description. Pure.

    object_of("a person", {"user": string("the topic name")}, {"count": integer("of messages")})

The argument after the description holds the keys that are always there, the last one those that may be
absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from wx2mqtt.model import Json

Schema = dict[str, Json]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TIMESTAMP_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


def string(description: str = "", **extra: Json) -> Schema:
    return _typed("string", description, extra)


def nonempty_string(description: str = "") -> Schema:
    return string(description, minLength=1)


def timestamp(description: str) -> Schema:
    """RFC 3339, UTC, milliseconds."""
    return string(description, format="date-time", pattern=_TIMESTAMP_PATTERN)


def integer(description: str, minimum: int = 0) -> Schema:
    return _typed("integer", description, {"minimum": minimum})


def number(description: str, **extra: Json) -> Schema:
    """Any number; an integer is one, too."""
    return _typed("number", description, extra)


def boolean(description: str) -> Schema:
    return _typed("boolean", description, {})


def constant(value: Json, description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "const": value}


def enumeration(values: Iterable[str], description: str = "") -> Schema:
    return _typed("string", description, {"enum": [*values]})


def array(item: Schema, description: str = "", **extra: Json) -> Schema:
    return _typed("array", description, {"items": item, **extra})


def counts_by_name(description: str) -> Schema:
    """An object whose values are counts."""
    return _typed("object", description, {"additionalProperties": integer("")})


def any_value(description: str) -> Schema:
    return {"description": description}


def nullable(schema: Schema) -> Schema:
    """The same or null, as for some keys of results; elsewhere a key without a value is left out."""
    return {"anyOf": [schema, {"type": "null"}]}


def any_of(*choices: Schema, description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "anyOf": [*choices]}


def ref(name: str) -> Schema:
    """A reference to the schema of that name in `$defs`."""
    return {"$ref": f"#/$defs/{name}"}


def object_of(
    description: str, required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None
) -> Schema:
    """An object with `required` keys, and `optional` ones that are there if their values are known."""
    properties = cast("Schema", {**required, **(optional or {})})
    required_names: Schema = {"required": [*required]} if required else {}
    return _typed("object", description, {"properties": properties, **required_names})


def strict(schema: Json) -> Json:
    """Returns the schema without undescribed keys, for requests and for tests of our payloads.

    The published schemas of payloads allow further keys, since readers must ignore unknown ones.
    """
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def _typed(kind: str, description: str, extra: Mapping[str, Json]) -> Schema:
    return {**({"description": description} if description else {}), "type": kind, **extra}
