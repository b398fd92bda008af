"""What lies over the file: systemd credentials, and over them the environment.

`WX2MQTT_MQTT__URL` sets `mqtt.url`. A text is taken as it is; a list may be one item or a YAML list
(`[a, b]`), a whole section a YAML mapping (`{a: 1}`). An empty variable counts as not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from wx2mqtt.errors import Problem
from wx2mqtt.settings.finding import Report
from wx2mqtt.settings.schema import FIRST_ACCOUNT, Section, Settings
from wx2mqtt.settings.shape import BRANCHES, LISTS, Key, Kind, dotted, entry, keys, walk
from wx2mqtt.settings.suggest import suggest
from wx2mqtt.settings.tree import Place, Tree, Value, parse_value

PREFIX = "WX2MQTT_"
ENVIRONMENT = "environment"
CREDENTIAL = "credential"
FILE_SUFFIX = "_file"


def paths_of(tree: Tree, *kinds: Kind) -> Iterator[tuple[str, ...]]:
    """Where this configuration can have values of these kinds, the names of its accounts filled in."""
    accounts = tree.data.get("accounts")
    names = list(accounts) if isinstance(accounts, dict) and accounts else [FIRST_ACCOUNT]
    for path, key in walk():
        if key.kind in kinds:
            for name in names if "*" in path else [""]:
                yield tuple(name if part == "*" else part for part in path)


def secret_paths(tree: Tree) -> Iterator[tuple[str, ...]]:
    """Every secret that this configuration can have."""
    return paths_of(tree, Kind.SECRET, Kind.SECRETS)


def add_credentials(tree: Tree, folder: Path) -> None:
    """Every file in systemd's folder that bears the name of a secret is that secret."""
    for path in list(secret_paths(tree)):
        file = folder / dotted(path)
        if file.exists():
            place = Place(CREDENTIAL, 0, name=dotted(path))
            _put(tree, (*path[:-1], path[-1] + FILE_SUFFIX), str(file), place)


def add_environment(tree: Tree, env: Mapping[str, str], report: Report) -> None:
    """Set what the environment says."""
    for name in sorted(env):
        if not name.startswith(PREFIX) or not env[name]:
            continue
        found = _path(tree, name.removeprefix(PREFIX))
        if found is not None:
            report.problems += _set(tree, name, *found, env[name])
        else:  # without __ it may be another program's, such as the names that container links make
            (report.problems if "__" in name else report.warnings).append(_unknown(name))


def _set(tree: Tree, name: str, path: tuple[str, ...], key: Key, text: str) -> list[Problem]:
    try:
        value = _value(key, text)
    except ValueError as error:
        return [Problem(ENVIRONMENT, 0, f"{name} ({dotted(path)})", str(error))]
    _put(tree, path, value, Place(ENVIRONMENT, 0, name=name))
    return []


def _value(key: Key, text: str) -> Value:
    if key.kind in LISTS:
        return parse_value(text) if text.startswith("[") else [text]
    if key.kind in BRANCHES:
        value = parse_value(text)
        if not isinstance(value, dict):
            raise ValueError("this is a section: write {key: value, …}, or name the key (…__KEY)")
        return value
    return text


def _put(tree: Tree, path: tuple[str, ...], value: Value, place: Place) -> None:
    """Set a value; a secret from a higher layer replaces the lower one in either of its two ways."""
    twin = _twin(path)
    if tree.get(twin) is not None and tree.place(twin).file != place.file:
        tree.remove(twin)
        tree.forget_places(twin)
    tree.put(path, value, place)


def _twin(path: tuple[str, ...]) -> tuple[str, ...]:
    last = path[-1]
    twin = last.removesuffix(FILE_SUFFIX) if last.endswith(FILE_SUFFIX) else last + FILE_SUFFIX
    return (*path[:-1], twin)


def _path(tree: Tree, rest: str) -> tuple[tuple[str, ...], Key] | None:
    """The path that the rest of a variable's name means, and its key."""
    path: tuple[str, ...] = ()
    model: type[Section] | None = Settings
    while model is not None:
        name, rest = _take(keys(model), rest)
        key = keys(model).get(name)
        if key is None:
            return None
        path = (*path, name)
        if not rest:
            return path, key
        if key.kind is Kind.MAP:
            known = tree.get(path)
            name, rest = _take(known if isinstance(known, dict) else {}, rest)
            path = (*path, name)
            if not rest:
                return path, entry(key, name)
        model = key.model
    return None


def _take(known: Mapping[str, object], rest: str) -> tuple[str, str]:
    """One name off the front; a known name wins, since a name may hold `__` itself."""
    for name in sorted(known, key=len, reverse=True):
        if rest.upper() == name.upper() or rest.upper().startswith(f"{name.upper()}__"):
            return name, rest[len(name) + 2 :]
    name, _, rest = rest.partition("__")
    return name.lower(), rest


def _unknown(name: str) -> Problem:
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    guesses = [f"{PREFIX}{'__'.join(map(str, guess)).upper()}" for guess in suggest(path)]
    hint = f"did you mean {' or '.join(guesses)}?" if guesses else "take it away"
    return Problem(ENVIRONMENT, 0, name, f"no key of the configuration has this name; {hint}")
