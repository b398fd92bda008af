"""Settings as a flat list of keys and values."""

from __future__ import annotations

from collections.abc import Iterator

from wx2mqtt.settings.schema import Section
from wx2mqtt.settings.shape import Key, Kind, keys


def flatten(section: Section, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key, object]]:
    """Every key that holds a value, with its path; sections and entries of maps are gone into."""
    for name, key in keys(type(section)).items():
        value = getattr(section, key.attribute)
        path = (*above, name)
        if key.kind is Kind.SECTION:
            yield from flatten(value, path)
        elif key.kind is Kind.MAP:
            for entry, content in value.items():
                yield from flatten(content, (*path, entry))
        else:
            yield path, key, value
