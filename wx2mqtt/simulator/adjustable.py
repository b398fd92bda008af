"""Settings that can be changed while servers run: `change` and `values` for a dataclass of plain values."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args, get_type_hints


class BadSetting(ValueError):
    """A setting that does not exist, or a value that it cannot have."""


class Adjustable:
    """What the settings of each half of the simulator can do."""

    __slots__ = ()

    def change(self, values: dict[str, object]) -> None:
        """Set some; nothing is changed when one of them is wrong."""
        kinds = get_type_hints(type(self))
        checked = {key: _checked(kinds, key, value) for key, value in values.items()}
        for key, value in checked.items():
            setattr(self, key, value)

    def values(self) -> dict[str, object]:
        """All of them."""
        itself: Any = self
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(itself)}


def _checked(kinds: dict[str, Any], key: str, value: object) -> object:
    kind = kinds.get(key)
    if kind is None:
        raise BadSetting(f"no setting is named {key!r}; there are: {', '.join(kinds)}")
    if kind is float and type(value) is int:
        value = float(value)
    choices = get_args(kind)
    if value not in choices if choices else type(value) is not kind:
        wanted = " or ".join(map(repr, choices)) if choices else kind.__name__
        raise BadSetting(f"{key} must be {wanted}, not {value!r}")
    return value
