"""`frozen` makes what `dataclass(frozen=True, slots=True, kw_only=True)` makes, without compiling every method."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest

from wx2mqtt.values import changed, frozen


@frozen
class Point:
    x: int
    y: int = 2
    note: str = field(default="", compare=False, repr=False)


@frozen(kw_only=False)
class Pair:
    """Two words."""

    first: str
    second: str


@frozen
class Empty:
    """Nothing."""


@frozen(repr=False)
class Secret:
    word: str


@frozen
class Named:
    name: str

    def __repr__(self) -> str:
        return self.name


@frozen
class Point3(Point):
    z: int = 0


def test_equality_and_hash_are_those_of_the_compared_fields() -> None:
    assert Point(x=1) == Point(x=1, note="a") != Point(x=2)
    assert len({Point(x=1), Point(x=1, note="b"), Point(x=1, y=3)}) == 2
    assert Point(x=1) != Point3(x=1)
    assert Point3(x=1) == Point3(x=1) != Point3(x=1, z=1)
    assert Empty() == Empty()
    assert Point(x=1).__eq__((1, 2)) is NotImplemented
    with pytest.raises(TypeError, match="unhashable"):
        hash(Pair([], "b"))  # type: ignore[arg-type]


def test_it_is_shown_with_its_fields_unless_they_are_secret() -> None:
    assert repr(Point(x=1, note="n")) == "Point(x=1, y=2)"
    assert repr(Pair("a", "b")) == "Pair(first='a', second='b')"
    assert "hidden" not in repr(Secret(word="hidden"))
    assert repr(Named(name="own")) == "own"


def test_fields_are_keywords_unless_they_may_be_positional() -> None:
    point: Any = Point
    with pytest.raises(TypeError):
        point(1)
    assert Pair("a", "b") == Pair(first="a", second="b")
    match Pair("a", "b"):
        case Pair(first, second):
            assert (first, second) == ("a", "b")


def test_the_functions_of_dataclasses_work_with_it() -> None:
    assert replace(Point(x=1), y=5) == Point(x=1, y=5)
    assert asdict(Pair("a", "b")) == {"first": "a", "second": "b"}
    assert [item.name for item in fields(Point3)] == ["x", "y", "note", "z"]
    assert copy.copy(Point(x=1)) == pickle.loads(pickle.dumps(Point(x=1))) == Point(x=1)


def test_a_changed_instance_is_that_of_replace() -> None:
    for value in (Point(x=1), Point3(x=1, z=2)):
        assert changed(value, y=5) == replace(value, y=5)
        assert changed(value) == value


def test_an_instance_cannot_be_changed_and_has_slots_only() -> None:
    with pytest.raises(FrozenInstanceError):
        Point(x=1).x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del Point(x=1).x
    with pytest.raises((AttributeError, TypeError)):
        Point(x=1).other = 1  # type: ignore[attr-defined]
    assert not hasattr(Point3(x=1), "__dict__")


def test_only_the_initialiser_is_compiled_for_each_class() -> None:
    for name in ("__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__"):
        assert getattr(Point, name) is getattr(Pair, name)
