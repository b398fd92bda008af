"""The user of the service, and what its unit gives it: `wx2mqtt check --as NAME` reads the settings as it.

    sudo wx2mqtt check --as wx2mqtt     as the user `wx2mqtt`, with what wx2mqtt.service hands over

systemd makes the user of a unit with `DynamicUser=` at its start. Where there is none now, a user without any
rights stands for it. Not here: the sandbox of the unit, which hides folders such as /home besides.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import setup_text
from wx2mqtt.store.folder_owner import DYNAMIC_IDS, ROOT, become
from wx2mqtt.store.owner_access import User, make_reachable, user_of
from wx2mqtt.values import frozen

UNIT_FOLDERS = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
)
CREDENTIAL_STORES = (Path("/etc/credstore"), Path("/run/credstore"), Path("/usr/lib/credstore"))

# Where systemd makes the folders of `StateDirectory=`.
STATE_FOLDER = Path("/var/lib")

_TRUE = frozenset({"1", "yes", "true", "on"})


@frozen
class ServiceUnit:
    """The settings of the section [Service] of a unit and its drop-ins, in their order."""

    name: str
    settings: Sequence[tuple[str, str]]

    def values(self, key: str) -> list[str]:
        """Returns all values of a key; an empty one takes back those before it."""
        values: list[str] = []
        for name, value in self.settings:
            if name == key:
                values = [*values, value] if value else []
        return values

    def last(self, key: str) -> str:
        """Returns the value that counts; empty without one."""
        return next(reversed(self.values(key)), "")


def become_service(name: str, env: MutableMapping[str, str], language: Language) -> None:
    """Makes this process the user of a service, as far as files are concerned. Raises `Wx2MqttError`.

    It is in the folder /, where systemd starts a service. Returns in a new process; the one that called it
    waits, deletes the credentials, and exits as that does.
    """
    if os.geteuid() != ROOT:
        raise Wx2MqttError(setup_text(language, "as_needs_root", name=name))
    unit = find_unit(name)
    user = _user(name, unit, language)
    if unit is not None:
        _try_program(unit, user, language)
    _leave_folders_of_root(user, env)
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-credentials-"))
    try:
        if unit is not None:
            _apply(unit, user, folder, env, language)
        os.chown(folder, user.uid, user.gid)
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            raise SystemExit(abs(os.waitstatus_to_exitcode(status)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    make_reachable(user, _state_folder(env))
    become(user)
    # Where systemd starts a service. The folder of root may be out of reach now, and then it has no path.
    os.chdir("/")


def _leave_folders_of_root(user: User, env: MutableMapping[str, str]) -> None:
    """Makes the home that of the service's user, and takes the folders of this root away."""
    try:
        home = pwd.getpwuid(user.uid).pw_dir
    except KeyError:  # as systemd does for a user that it makes
        home = "/"
    env["HOME"] = home
    for name in ("STATE_DIRECTORY", "XDG_DATA_HOME", "CREDENTIALS_DIRECTORY"):
        env.pop(name, None)


def _state_folder(env: Mapping[str, str]) -> Path | None:
    folder = env.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder else None


def find_unit(name: str) -> ServiceUnit | None:
    """Returns the unit `NAME.service`, of a template as well; None if none is installed."""
    names = [f"{name}.service"]
    if "@" in name:
        names.append(f"{name.partition('@')[0]}@.service")
    files = [folder / file for file in names for folder in UNIT_FOLDERS if (folder / file).is_file()]
    if not files:
        return None
    drop_ins = {
        path.name: path
        for folder in reversed(UNIT_FOLDERS)
        for file in names
        for path in sorted((folder / f"{file}.d").glob("*.conf"))
    }
    paths = [files[0], *(drop_ins[file] for file in sorted(drop_ins))]
    return ServiceUnit(name=name, settings=[pair for path in paths for pair in _settings(path)])


def _settings(path: Path) -> Iterable[tuple[str, str]]:
    """Yields the keys and values of the section [Service]."""
    section = ""
    for line in path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text
        elif section == "[Service]" and "=" in text and text[0] not in "#;":
            key, _, value = text.partition("=")
            yield key.strip(), value.strip()


def _user(name: str, unit: ServiceUnit | None, language: Language) -> User:
    is_dynamic = unit is not None and unit.last("DynamicUser").lower() in _TRUE
    user_name = (unit.last("User") if unit is not None else "") or name
    try:
        user = user_of(pwd.getpwnam(user_name))
    except KeyError:
        if not is_dynamic:
            raise Wx2MqttError(setup_text(language, "as_unknown", name=user_name)) from None
        taken = {entry.pw_uid for entry in pwd.getpwall()}
        uid = next(uid for uid in DYNAMIC_IDS if uid not in taken)
        user = User(uid=uid, gid=uid, groups=(uid,), name=user_name)
    if unit is None:
        return user
    further = " ".join(unit.values("SupplementaryGroups")).split()
    groups = (*user.groups, *(_group(group, language) for group in further))
    gid = _group(unit.last("Group"), language) if unit.last("Group") else user.gid
    return replace(user, gid=gid, groups=groups)


def _try_program(unit: ServiceUnit, user: User, language: Language) -> None:
    """Raises `Wx2MqttError` if this user cannot run the program of the unit, or its Python.

    `make_reachable` would hide that: it shows the user a Python in the home of root, and systemd does not.
    """
    words = shlex.split(unit.last("ExecStart"))
    if "run" not in words[1:]:
        return  # not the bridge
    program = words[: words.index("run", 1)]
    try:
        subprocess.run(  # noqa: S603 - no shell
            [*program, "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "strerror", "") or f"exit code {getattr(error, 'returncode', 1)}"
        facts = {"program": shlex.join(program), "user": user, "why": why}
        raise Wx2MqttError(setup_text(language, "as_no_program", **facts)) from None


def _group(name: str, language: Language) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise Wx2MqttError(setup_text(language, "as_unknown_group", name=name)) from None


def _apply(
    unit: ServiceUnit, user: User, folder: Path, env: MutableMapping[str, str], language: Language
) -> None:
    """Sets the variables of the unit and its store, and writes its credentials into a folder."""
    instance = unit.name.partition("@")[2]

    def filled(text: str) -> str:
        parts = [part.replace("%i", instance).replace("%d", str(folder)) for part in text.split("%%")]
        return "%".join(parts)

    for line in unit.values("Environment"):
        for pair in filled(line).split():
            key, _, value = pair.strip("\"'").partition("=")
            env[key] = value
    names = [name.partition(":")[0] for name in filled(" ".join(unit.values("StateDirectory"))).split()]
    if names:
        env["STATE_DIRECTORY"] = ":".join(str(STATE_FOLDER / name) for name in names)
    for key in ("LoadCredential", "LoadCredentialEncrypted", "SetCredential"):
        for text in unit.values(key):
            credential, _, source = filled(text).partition(":")
            content = _credential(key, credential, source, language)
            path = folder / credential
            path.write_bytes(content)
            path.chmod(0o400)
            os.chown(path, user.uid, user.gid)
            env["CREDENTIALS_DIRECTORY"] = str(folder)


def _credential(key: str, name: str, source: str, language: Language) -> bytes:
    """Returns a secret as systemd would hand it over. Raises `Wx2MqttError`."""
    if key == "SetCredential":
        return source.encode()
    path = Path(source or name)
    stores = CREDENTIAL_STORES
    if not path.is_absolute():
        path = next((store / path for store in stores if (store / path).is_file()), stores[0] / path)
    try:
        if key == "LoadCredential":
            return path.read_bytes()
        command = ["systemd-creds", "decrypt", f"--name={name}", str(path), "-"]
        return subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - no shell
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "strerror", "") or type(error).__name__
        raise Wx2MqttError(setup_text(language, "as_no_credential", name=name, path=path, why=why)) from None
