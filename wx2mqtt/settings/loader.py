"""Builds `Settings` from the configuration file, systemd's credentials, the environment and secret files.

`load` reports all problems at once, each with its file and line:
    1. `yaml_tree.parse` reads the file into a tree of texts; each value knows its line
    2. `environment` sets the values of credentials and of variables in it, which take precedence
    3. relative paths are made absolute, and the content of each `…_file` becomes the secret itself
    4. `validate` makes `Settings` of the tree; a value that has a problem is left out
    5. `rule_findings` compares the values that are left with each other

`load_valid_settings` does the same and raises nothing: the values that have a problem are missing.
`load_web_settings` and `load_storage_settings` are for what needs only some sections.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.limits import MAX_CONFIG_BYTES, MAX_SECRET_BYTES
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.cross_key_rules import BackendRules, rule_findings
from wx2mqtt.settings.environment import (
    FROM_CREDENTIAL,
    add_credentials,
    add_environment,
    file_key_path,
    paths_of,
    secret_paths,
)
from wx2mqtt.settings.key_tree import KeyKind, KeyPath, SettingsFinding, locate
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, FIRST_BACKEND, Settings
from wx2mqtt.settings.validation_errors import validate
from wx2mqtt.settings.yaml_tree import SourcePosition, YamlTree, YamlValue, key_text, parse
from wx2mqtt.values import frozen

LOCAL_CONFIG = Path("wx2mqtt.yaml")
SYSTEM_CONFIG = Path("/etc/wx2mqtt/wx2mqtt.yaml")

# Where the values of a run without a file come from.
_DEFAULTS_SOURCE = SourcePosition("defaults", 0)

_NO_BACKENDS: Mapping[str, str] = MappingProxyType({})

# The path of a problem that concerns the file as a whole, such as a syntax error.
_WHOLE_FILE: KeyPath = ()

# Sections without which the page cannot show the problems of the others.
_PAGE_SECTIONS = frozenset({"web", "language"})

# Sections that a backup needs nothing of.
_SECTIONS_BESIDE_STORE = frozenset({"mqtt", "accounts", "homeassistant", "web", "cluster"})

# What the rules for a section compare beside its own keys.
_ALSO_COMPARED: Mapping[KeyPath, tuple[KeyPath, ...]] = MappingProxyType(
    {
        ("homeassistant",): (("accounts",),),
        ("web",): (("accounts",),),  # whom `web.senders` may send to
        ("cluster",): (("storage",),),
    }
)


@frozen
class LoadedSettings:
    """Settings, the file that they came from (None without a file), and warnings for the owner."""

    settings: Settings
    path: Path | None
    warnings: tuple[Problem, ...] = ()
    #: The problems of values that were left out; `load` raises in place of it.
    problems: tuple[Problem, ...] = ()


def find_config(folder: Path = Path(), system: Path | None = None) -> Path | None:
    """Returns the file to use when none is named: the one in `folder`, else the system's, else None.

    A folder that this user may not enter has none: a command of root may have become the service's user. A
    system's file that this user cannot see is there: whoever reads it is told so.
    """
    local, system = folder / LOCAL_CONFIG, system or SYSTEM_CONFIG
    if os.path.exists(local):  # noqa: PTH110 - Path.exists raises where the folder may not be entered
        return local.absolute()
    return None if is_missing(system) else system


def is_missing(path: Path) -> bool:
    """Returns whether there is no such file; False for one that this user cannot see."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # whoever reads the file is told why
        return False
    return False


def load(
    path: Path | None,
    env: Mapping[str, str],
    backends: BackendRules,
    usual_backends: Mapping[str, str] = _NO_BACKENDS,
) -> LoadedSettings:
    """Reads all sources of the settings; raises `SettingsError` with all problems and warnings.

    Without a file: one account, the embedded broker, and the keys that `env` sets; an account whose backend
    `env` does not name has that of `usual_backends`, else iLink. Secrets are read from their files; relative
    paths count from the folder of the file that names them. `env` holds `WX2MQTT_…` variables and systemd's
    `CREDENTIALS_DIRECTORY`. `backends` says which keys each backend has.
    """
    loaded = _evaluate(_read_sources(path, env, usual_backends), path, backends)
    if loaded.problems:
        raise SettingsError(loaded.problems, loaded.warnings)
    return loaded


def load_valid_settings(path: Path | None, env: Mapping[str, str], backends: BackendRules) -> LoadedSettings:
    """Returns the settings without the values that have a problem; the defaults for an unreadable file.

    For what only asks a running bridge, which may have refused this file.
    """
    try:
        tree = _read_sources(path, env)
    except SettingsError as error:
        return LoadedSettings(settings=Settings(), path=path, problems=error.problems)
    return _evaluate(tree, path, backends)


def load_web_settings(path: Path | None, env: Mapping[str, str], backends: BackendRules) -> Settings | None:
    """Returns settings for the page that shows the problems of the file; only `web` and `language` are used.

    None if no page can be shown: `web` or `language` has a problem itself, or the page is disabled. A file
    that cannot be read at all gives the defaults, which listen on loopback.
    """
    loaded = load_valid_settings(path, env, backends)
    if any(problem.path and problem.path[0] in _PAGE_SECTIONS for problem in loaded.problems):
        return None
    return loaded.settings if loaded.settings.web.enabled else None


def load_storage_settings(
    path: Path | None, env: Mapping[str, str], backends: BackendRules
) -> LoadedSettings:
    """Returns settings for what only reads the store; only `storage`, `language` and `log` are used.

    Whatever is wrong elsewhere does not matter: a backup needs neither the password of the broker nor that of
    the page. Raises `SettingsError` with the problems of these three sections, of the file as a whole, and of
    sections that are unknown: such a name may be meant as one of the three.
    """
    loaded = _evaluate(_read_sources(path, env), path, backends)
    problems = tuple(problem for problem in loaded.problems if _concerns_store(problem))
    if problems:
        raise SettingsError(problems)
    return LoadedSettings(settings=loaded.settings, path=path)


def _concerns_store(problem: Problem) -> bool:
    return not problem.path or problem.path[0] not in _SECTIONS_BESIDE_STORE


def _read_sources(
    path: Path | None, env: Mapping[str, str], usual_backends: Mapping[str, str] = _NO_BACKENDS
) -> YamlTree:
    """Merges all sources (steps 1 to 3). Raises `SettingsError` for a file that cannot be read at all."""
    if path is None:
        tree = YamlTree(_DEFAULTS_SOURCE.file, first_line=0)
        tree.set(("mqtt", "url"), EMBEDDED, _DEFAULTS_SOURCE)
    else:
        try:
            tree = parse(read_text(path, MAX_CONFIG_BYTES), str(path))
        except UnreadableError as error:
            raise SettingsError((Problem(str(path), 1, key_text(_WHOLE_FILE), str(error)),)) from None
        _warn_of_readable_secrets(tree, path)
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        add_credentials(tree, Path(folder))
    add_environment(tree, env)
    if path is None:
        _add_default_backends(tree, usual_backends)
    _anchor_paths(tree)
    _read_secrets(tree)
    return tree


def _evaluate(tree: YamlTree, path: Path | None, backends: BackendRules) -> LoadedSettings:
    """Makes the settings (steps 4 and 5); values that have a problem are left out, so the rest is checked."""
    settings = validate(tree, backends)
    incomplete = _incomplete_sections(tree.problems)
    for finding in rule_findings(settings, backends):
        if not finding.is_warning:
            tree.add_problem(finding.path, finding.message)
        elif not _may_be_wrong(finding, incomplete):
            tree.warnings.append(tree.problem(finding.path, finding.message))
    for name, file in settings.mqtt.tls:
        if isinstance(file, Path) and (fault := check_readable(file)):
            tree.add_problem(("mqtt", "tls", name), fault)
    warnings, problems = _in_order(tree.warnings), _in_order(tree.problems)
    return LoadedSettings(settings=settings, path=path, warnings=warnings, problems=problems)


def _incomplete_sections(problems: Iterable[Problem]) -> set[KeyPath]:
    """Returns the sections from which a value is left out: `accounts` and `accounts.home`."""
    paths = [problem.path for problem in problems if problem.path is not None]
    return {path[:length] for path in paths for length in (1, 2)}


def _may_be_wrong(finding: SettingsFinding, incomplete: set[KeyPath]) -> bool:
    """Returns whether a warning may depend on a value that is left out.

    "No mqtt.url is mqtts" is wrong if that URL has a problem.
    """
    is_of_account = finding.path[:1] == ("accounts",)
    section = finding.path[:2] if is_of_account else finding.path[:1]
    compared = {_WHOLE_FILE, section, *_ALSO_COMPARED.get(section, ())}
    return not compared.isdisjoint(incomplete)


def _add_default_backends(tree: YamlTree, usual_backends: Mapping[str, str]) -> None:
    """Names the backend of each account that has none, for a run without a file."""
    accounts = tree.get(("accounts",)) or {DEFAULT_ACCOUNT: {}}
    if not isinstance(accounts, dict):
        return  # `validate` reports it
    for name, account in list(accounts.items()):
        if isinstance(account, dict) and account.get("backend") is None:
            backend = usual_backends.get(name, FIRST_BACKEND)
            tree.set(("accounts", name, "backend"), backend, _DEFAULTS_SOURCE)


def _anchor_paths(tree: YamlTree) -> None:
    """Makes the paths of a file absolute from the file's folder: the working folder must not matter."""
    for path in paths_of(tree, KeyKind.PATH, KeyKind.PATHS):
        position, value = tree.position_of(path), tree.get(path)
        base = Path(position.file).absolute().parent if position.line else working_folder()
        if isinstance(value, list):
            tree.replace(path, [_anchored(base, item) for item in value])
        elif isinstance(value, str) and position.tag != "bool":
            tree.replace(path, _anchored(base, value))


def working_folder() -> Path:
    """Returns the folder that the paths of variables count from; / if somebody has deleted that folder."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _anchored(base: Path, path: YamlValue) -> YamlValue:
    """Returns the absolute path; anything but a text that is not empty stays, for `validate` to judge."""
    if not isinstance(path, str) or not path:
        return path
    return str(base / os.path.expanduser(path))  # noqa: PTH111  # Path.expanduser raises without a home folder


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Returns the problems by file and line, without duplicates."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line)))


# secrets


def _read_secrets(tree: YamlTree) -> None:
    """Reads each file that holds a secret: `password_file` becomes `password`."""
    for path in list(secret_paths(tree)):
        file_path = file_key_path(path)
        file_name = tree.get(file_path)
        if not isinstance(file_name, str) or not file_name:
            continue
        if tree.get(path) is not None:
            tree.add_problem(path, f"is given here and in {file_path[-1]}; remove one of the two")
            continue
        file, position = Path(file_name), tree.position_of(file_path)
        try:
            secret = _secret_in(path, file)
        except UnreadableError as error:
            tree.add_problem(file_path, str(error))
            continue
        tree.set(path, secret, SourcePosition(position.file, position.line, name=position.name))
        if _is_world_readable(file) and position.file != FROM_CREDENTIAL:
            advice = f"every user of this machine may read {file}: chmod o-r {shlex.quote(file_name)}"
            tree.warnings.append(tree.problem(file_path, advice))


def _secret_in(path: KeyPath, file: Path) -> YamlValue:
    """Returns the content of a secret's file: the text without its line end, or a list of lines."""
    text = read_text(file, MAX_SECRET_BYTES)
    key = locate(path)
    if key is not None and key.kind is KeyKind.SECRETS:
        lines: list[YamlValue] = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise UnreadableError(f"{file} is empty; write one URL a line into it")
        return lines
    secret = text.rstrip("\r\n")
    if not secret.strip():
        raise UnreadableError(f"{file} is empty; write the secret into it")
    return secret


def _warn_of_readable_secrets(tree: YamlTree, file: Path) -> None:
    """Adds a warning for each secret in a configuration file that every user of the machine may read."""
    if not _is_world_readable(file):
        return
    quoted = shlex.quote(str(file))
    advice = f"is a secret, and every user of this machine may read {file}: chmod o-r {quoted}"
    for path in secret_paths(tree):
        if tree.get(path) and tree.position_of(path).file == tree.file:
            tree.warnings.append(tree.problem(path, advice))


# files that the configuration names


class UnreadableError(Exception):
    """A file cannot be used; the message names the file and says why and how to fix it."""


def read_text(path: Path, limit: int) -> str:
    """Returns the text of a regular UTF-8 file of at most `limit` bytes; raises `UnreadableError`."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableError(f"{path} is a folder; name the file in it")
        if not stat.S_ISREG(mode):
            raise UnreadableError(f"{path} is no regular file; write the content into one")
        with path.open("rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise UnreadableError(f"{path} is larger than {limit} bytes; is it the right file?")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"{path} is not UTF-8 (line {line}); save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise UnreadableError(_open_fault(path, error)) from None


def check_readable(path: Path) -> str:
    """Returns why a file cannot be opened, or the empty text; does not look at its content."""
    try:
        with path.open("rb"):
            return ""
    except (OSError, ValueError) as error:
        return _open_fault(path, error)


def _open_fault(path: Path, error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return f"there is no file {path}; create it, or correct the path"
        case PermissionError():
            return (
                f"{path} may not be read by user {os.geteuid()}; change its owner or mode"
                " (under systemd, hand secrets over with LoadCredential)"
            )
        case OSError():
            return f"{path} cannot be read: {error.strerror}; correct the path"
    return f"{path} cannot be the name of a file; correct the path"


def _is_world_readable(path: Path) -> bool:
    """Returns whether every user of this machine may read the file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
