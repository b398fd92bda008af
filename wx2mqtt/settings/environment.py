"""What lies over the file: systemd credentials, and over them the environment.

`WX2MQTT_MQTT__URL` sets `mqtt.url`. A text is taken as it is; a list may be one item or a YAML list
(`[a, b]`), a whole section a YAML mapping (`{a: 1}`). An empty variable counts as not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from wx2mqtt.errors import Problem
from wx2mqtt.settings.key_tree import (
    BRANCH_KINDS,
    LIST_KINDS,
    ConfigKey,
    KeyKind,
    dotted,
    entry_key,
    keys_of,
    suggest,
    walk,
)
from wx2mqtt.settings.problems import SettingsReport
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, Section, Settings
from wx2mqtt.settings.yaml_tree import SourcePosition, YamlTree, YamlValue, parse_value

ENVIRONMENT_PREFIX = "WX2MQTT_"
FROM_ENVIRONMENT = "environment"
FROM_CREDENTIAL = "credential"
FILE_SUFFIX = "_file"


def paths_of(tree: YamlTree, *kinds: KeyKind) -> Iterator[tuple[str, ...]]:
    """Where this configuration can have values of these kinds, the names of its accounts filled in."""
    accounts = tree.data.get("accounts")
    names = list(accounts) if isinstance(accounts, dict) and accounts else [DEFAULT_ACCOUNT]
    for path, key in walk():
        if key.kind in kinds:
            for name in names if "*" in path else [""]:
                yield tuple(name if part == "*" else part for part in path)


def secret_paths(tree: YamlTree) -> Iterator[tuple[str, ...]]:
    """Every secret that this configuration can have."""
    return paths_of(tree, KeyKind.SECRET, KeyKind.SECRETS)


def add_credentials(tree: YamlTree, folder: Path) -> None:
    """Every file in systemd's folder that bears the name of a secret is that secret."""
    for path in list(secret_paths(tree)):
        file = folder / dotted(path)
        if file.exists():
            place = SourcePosition(FROM_CREDENTIAL, 0, name=dotted(path))
            _put(tree, (*path[:-1], path[-1] + FILE_SUFFIX), str(file), place)


def add_environment(tree: YamlTree, env: Mapping[str, str], report: SettingsReport) -> None:
    """Set what the environment says."""
    for name in sorted(env):
        if not name.startswith(ENVIRONMENT_PREFIX) or not env[name]:
            continue
        found = _path(tree, name.removeprefix(ENVIRONMENT_PREFIX))
        if found is not None:
            report.problems += _set(tree, name, *found, env[name])
        else:  # without __ it may be another program's, such as the names that container links make
            (report.problems if "__" in name else report.warnings).append(_unknown(name))


def _set(tree: YamlTree, name: str, path: tuple[str, ...], key: ConfigKey, text: str) -> list[Problem]:
    try:
        value = _value(key, text)
    except ValueError as error:
        return [Problem(FROM_ENVIRONMENT, 0, f"{name} ({dotted(path)})", str(error))]
    _put(tree, path, value, SourcePosition(FROM_ENVIRONMENT, 0, name=name))
    return []


def _value(key: ConfigKey, text: str) -> YamlValue:
    if key.kind in LIST_KINDS:
        return parse_value(text) if text.startswith("[") else [text]
    if key.kind in BRANCH_KINDS:
        value = parse_value(text)
        if not isinstance(value, dict):
            raise ValueError("this is a section: write {key: value, …}, or name the key (…__KEY)")
        return value
    return text


def _put(tree: YamlTree, path: tuple[str, ...], value: YamlValue, position: SourcePosition) -> None:
    """Set a value; a secret from a higher layer replaces the lower one in either of its two ways."""
    twin = _twin(path)
    if tree.get(twin) is not None and tree.position_of(twin).file != position.file:
        tree.remove(twin)
        tree.remove_positions(twin)
    tree.set(path, value, position)


def _twin(path: tuple[str, ...]) -> tuple[str, ...]:
    last = path[-1]
    twin = last.removesuffix(FILE_SUFFIX) if last.endswith(FILE_SUFFIX) else last + FILE_SUFFIX
    return (*path[:-1], twin)


def _path(tree: YamlTree, rest: str) -> tuple[tuple[str, ...], ConfigKey] | None:
    """The path that the rest of a variable's name means, and its key."""
    path: tuple[str, ...] = ()
    model: type[Section] | None = Settings
    while model is not None:
        name, rest = _take(keys_of(model), rest)
        key = keys_of(model).get(name)
        if key is None:
            return None
        path = (*path, name)
        if not rest:
            return path, key
        if key.kind is KeyKind.MAP:
            known = tree.get(path)
            name, rest = _take(known if isinstance(known, dict) else {}, rest)
            path = (*path, name)
            if not rest:
                return path, entry_key(key, name)
        model = key.model
    return None


def _take(known_names: Mapping[str, object], rest: str) -> tuple[str, str]:
    """One name off the front; a known name wins, since a name may hold `__` itself."""
    for name in sorted(known_names, key=len, reverse=True):
        if rest.upper() == name.upper() or rest.upper().startswith(f"{name.upper()}__"):
            return name, rest[len(name) + 2 :]
    name, _, rest = rest.partition("__")
    return name.lower(), rest


def _unknown(name: str) -> Problem:
    path = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
    guesses = [f"{ENVIRONMENT_PREFIX}{'__'.join(map(str, guess)).upper()}" for guess in suggest(path)]
    hint = f"did you mean {' or '.join(guesses)}?" if guesses else "take it away"
    return Problem(FROM_ENVIRONMENT, 0, name, f"no key of the configuration has this name; {hint}")
