"""`frozen`: the dataclasses of this program, whose instances never change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform, overload

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
    """As `dataclass(frozen=True, slots=True, kw_only=True)`."""

    def decorate(decorated: type[T]) -> type[T]:
        decorated.__doc__ = decorated.__doc__ or decorated.__name__  # else `dataclass` inspects a signature
        return dataclass(frozen=True, slots=True, kw_only=kw_only, repr=repr)(decorated)

    return decorate if cls is None else decorate(cls)
