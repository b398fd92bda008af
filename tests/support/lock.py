"""Reads lock files, and checks that they have everything that their packages need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

Environment = Mapping[str, str]
"""Values of the marker variables that differ from those of this Python."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """One package of a lock. `hashes` are the SHA-256 of the files that pip accepts for it, in hex."""

    requirement: Requirement
    version: str
    hashes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """An installed package."""

    version: str
    requires: tuple[Requirement, ...]


Lookup = Callable[[str], Package | None]


@cache
def installed(name: str) -> Package | None:
    """Returns the package in this Python, or None."""
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Package(version=distribution.version, requires=parsed(distribution.requires or ()))


def parsed(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """Returns requirements from lines of package metadata."""
    return tuple(Requirement(line) for line in lines)


@cache
def read_lock(path: Path) -> dict[str, Pin]:
    """Returns the pins of a lock by name. Raises ValueError for a requirement without one exact version."""
    pins: dict[str, Pin] = {}
    for block in re.split(r"(?m)^(?=[^\s#])", path.read_text(encoding="utf-8")):
        line = block.partition("\\\n")[0].strip()
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        if specifier.operator != "==":
            raise ValueError(f"{path}: {requirement} is not pinned")
        pins[canonicalize_name(requirement.name)] = Pin(
            requirement=requirement,
            version=specifier.version,
            hashes=tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block)),
        )
    return pins


def applies(requirement: Requirement, environment: Environment, extras: Iterable[str] = ()) -> bool:
    """Returns whether the marker holds with any of the extras, or without one."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


class Closure:
    """Everything that `roots` need in an environment.

    `reached` holds the names, `problems` what the lock lacks or has in a version that does not fit.
    """

    def __init__(
        self,
        pins: Mapping[str, Pin],
        roots: Iterable[Requirement],
        environment: Environment | None = None,
        lookup: Lookup = installed,
    ) -> None:
        self.reached: set[str] = set()
        self.problems: list[str] = []
        self._pins = pins
        self._environment = environment or {}
        self._lookup = lookup
        self._seen: set[tuple[str, str]] = set()
        for root in roots:
            self._follow(root, "pyproject.toml", ())

    def _follow(self, requirement: Requirement, asked_by: str, extras: Iterable[str]) -> None:
        if not applies(requirement, self._environment, extras):
            return
        name = canonicalize_name(requirement.name)
        pin = self._pins.get(name)
        if pin is None or not applies(pin.requirement, self._environment):
            self.problems.append(f"{name} is not locked: {asked_by} needs {requirement}")
            return
        if not fits(requirement.specifier, pin.version):
            self.problems.append(f"{name} {pin.version} is locked: {asked_by} needs {requirement}")
        self.reached.add(name)
        for dependency, wanted in self._dependencies(name, pin, requirement.extras):
            self._follow(dependency, name, wanted)

    def _dependencies(
        self, name: str, pin: Pin, extras: Iterable[str]
    ) -> Iterator[tuple[Requirement, tuple[str, ...]]]:
        package = self._lookup(name)
        if package is None:
            if applies(pin.requirement, {}):
                self.problems.append(f"{name} is locked but not installed")
            return
        if package.version != pin.version:
            self.problems.append(f"{name} {package.version} is installed, but {pin.version} is locked")
            return
        for extra in ("", *extras):
            if (name, extra) not in self._seen:
                self._seen.add((name, extra))
                yield from ((dependency, (extra,)) for dependency in package.requires)


def fits(specifier: SpecifierSet, version: str) -> bool:
    """Returns whether a version is in the range; a pre-release that is locked counts as wanted."""
    return specifier.contains(version, prereleases=True)
