"""Adds to the file's values those of systemd credentials and, with precedence, of the environment.

    WX2MQTT_MQTT__URL=embedded                        mqtt.url: embedded
    WX2MQTT_ACCOUNTS__HOME__SEND__ALLOW=[me, wife]    accounts.home.send.allow: [me, wife]
    credentials/mqtt.password                         mqtt.password_file: credentials/mqtt.password

A text is used as it is. A list may be one item or a YAML list, a whole section a YAML mapping (`{a: 1}`), a
list of sections `[{a: 1}]`. An empty variable counts as not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from wx2mqtt.bounded_json import is_encodable
from wx2mqtt.errors import Problem
from wx2mqtt.names import printable
from wx2mqtt.settings.key_tree import (
    ANY_ITEM,
    ANY_NAME,
    BRANCH_KINDS,
    LIST_KINDS,
    ConfigKey,
    KeyKind,
    KeyPath,
    dotted,
    entry_key,
    keys_of,
    locate,
    suggest,
    walk,
)
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, Plain, Section, Settings
from wx2mqtt.settings.yaml_tree import SourcePosition, YamlTree, YamlValue, parse_value

ENVIRONMENT_PREFIX = "WX2MQTT_"
FROM_ENVIRONMENT = "environment"
FROM_CREDENTIAL = "credential"
FILE_SUFFIX = "_file"


def paths_of(tree: YamlTree, *kinds: KeyKind) -> Iterator[KeyPath]:
    """Yields the paths of all keys of these kinds, once for each account and item of the configuration."""
    accounts = tree.data.get("accounts")
    account_names = list(accounts) if isinstance(accounts, dict) and accounts else [DEFAULT_ACCOUNT]
    for path, key in walk():
        if key.kind in kinds:
            for account in account_names if ANY_NAME in path else [""]:
                named_path = tuple(account if part == ANY_NAME else part for part in path)
                yield from _paths_of_items(tree, named_path)


def _paths_of_items(tree: YamlTree, path: tuple[str, ...]) -> Iterator[KeyPath]:
    """Yields the path once for each item of the configuration, with its index in place of `ANY_ITEM`."""
    if ANY_ITEM not in path:
        yield path
        return
    position = path.index(ANY_ITEM)
    items = tree.get(path[:position])
    for index in range(len(items) if isinstance(items, list) else 0):
        yield (*path[:position], index, *path[position + 1 :])


def secret_paths(tree: YamlTree) -> Iterator[KeyPath]:
    """Yields the path of every secret that this configuration can have."""
    return paths_of(tree, KeyKind.SECRET, KeyKind.SECRETS)


def add_credentials(tree: YamlTree, folder: Path) -> None:
    """Uses each file in systemd's credentials folder that has the key of a secret as its name."""
    for path in list(secret_paths(tree)):
        file = folder / dotted(path)
        if file.exists():
            position = SourcePosition(FROM_CREDENTIAL, 0, name=dotted(path))
            _override(tree, file_key_path(path), str(file), position)


def file_key_path(path: KeyPath) -> KeyPath:
    """Returns the path of the key that names the file of a secret."""
    return (*path[:-1], f"{path[-1]}{FILE_SUFFIX}")


def add_environment(tree: YamlTree, env: Mapping[str, str]) -> None:
    """Sets the keys that `WX2MQTT_` variables name."""
    for name in sorted(env):
        if not name.startswith(ENVIRONMENT_PREFIX) or not env[name]:
            continue
        located = _locate_variable(tree, name.removeprefix(ENVIRONMENT_PREFIX))
        if located is None:
            if "__" in name:
                tree.problems.append(_unknown_variable(name))
            else:  # it may be another program's, such as the names that container links make
                tree.warnings.append(_unknown_variable(name))
            continue
        path, key = located
        try:
            value = _parse_variable(key, env[name])
        except ValueError as error:
            source = f"{name} ({dotted(path)})"
            tree.problems.append(Problem(FROM_ENVIRONMENT, 0, source, str(error), path=path))
        else:
            _override(tree, path, value, SourcePosition(FROM_ENVIRONMENT, 0, name=name))


def _parse_variable(key: ConfigKey, text: str) -> YamlValue:
    if key.kind in LIST_KINDS:
        return parse_value(text) if text.startswith("[") else [text]
    if key.kind is KeyKind.SECTIONS:
        if not text.startswith("["):
            raise ValueError("this is a list of sections: write [{key: value}]")
        return parse_value(text)
    if key.kind in BRANCH_KINDS:
        value = parse_value(text)
        if key.model is Plain and isinstance(value, str):  # true or false
            return value
        if not isinstance(value, dict):
            raise ValueError("this is a section: write {key: value, …}, or name the key (…__KEY)")
        return value
    return text


def _override(tree: YamlTree, path: KeyPath, value: YamlValue, position: SourcePosition) -> None:
    """Sets a value; a secret also removes its other key where another source has set that.

    `password` and `password_file` are the two keys of one secret: a variable for one of them counts, and not
    the other one of the file.
    """
    last = str(path[-1])
    other = last.removesuffix(FILE_SUFFIX) if last.endswith(FILE_SUFFIX) else last + FILE_SUFFIX
    other_path = (*path[:-1], other)
    other_value = tree.get(other_path)
    if other_value is not None and tree.position_of(other_path).file != position.file:
        tree.remove(other_path)
        tree.remove_positions(other_path, other_value)
    section = locate(path[:-1])
    if section is not None and section.model is Plain and not isinstance(tree.get(path[:-1]), dict):
        tree.remove(path[:-1])  # `plain: true`, which the key below `plain` replaces by a section
    tree.set(path, value, position)


def _locate_variable(tree: YamlTree, rest: str) -> tuple[tuple[str, ...], ConfigKey] | None:
    """Returns the path and the key for a variable's name without its prefix; None if there is no such key.

    `ACCOUNTS__HOME__PLAIN` is `accounts.home.plain`: `home` is a name that the owner chose.
    """
    if not is_encodable(rest):  # no key has a name with other bytes
        return None
    path: tuple[str, ...] = ()
    model: type[Section] | None = Settings
    while model is not None:
        name, rest = _split_name(keys_of(model), rest)
        key = keys_of(model).get(name)
        if key is None:
            return None
        path = (*path, name)
        if not rest:
            return path, key
        if key.kind is KeyKind.MAP:
            entries = tree.get(path)
            name, rest = _split_name(entries if isinstance(entries, dict) else {}, rest)
            path = (*path, name)
            if not rest:
                return path, entry_key(key, name)
        if key.kind is KeyKind.SECTIONS:  # its items have no names
            return None
        model = key.model
    return None


def _split_name(known_names: Mapping[str, object], rest: str) -> tuple[str, str]:
    """Splits the first name off; prefers known names, which may contain `__` themselves."""
    for name in sorted(known_names, key=len, reverse=True):
        if rest.upper() == name.upper() or rest.upper().startswith(f"{name.upper()}__"):
            return name, rest[len(f"{name}__") :]
    name, _, rest = rest.partition("__")
    return name.lower(), rest


def _unknown_variable(name: str) -> Problem:
    if not is_encodable(name):  # Python reads bytes that are not UTF-8 as surrogates
        message = "the name has bytes that are not UTF-8, and no key has such a name; remove it"
        return Problem(FROM_ENVIRONMENT, 0, printable(name), message)
    path = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
    guesses = [f"{ENVIRONMENT_PREFIX}{'__'.join(map(str, guess)).upper()}" for guess in suggest(path)]
    hint = f"did you mean {' or '.join(guesses)}?" if guesses else "remove it"
    return Problem(FROM_ENVIRONMENT, 0, name, f"no key of the configuration has this name; {hint}")
