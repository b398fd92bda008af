"""The answers of the owner, and the files that setup writes from them: configuration and systemd unit.

A file is written completely or not at all, with the right mode, and an old file is kept. The systemd unit is
the shipped one with the paths of this installation.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from importlib.resources import files
from pathlib import Path

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.key_tree import KeyPath
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, PROGRAM, BackendName
from wx2mqtt.settings.writer import compose
from wx2mqtt.store.folder_owner import ROOT, listed_user
from wx2mqtt.values import frozen
from wx2mqtt.wechat.registry import BACKENDS, SetupContacts

REMIND_BEFORE = "2h"
"""How long before the end of a window an owner is reminded who wants that."""

RENEW_AFTER = "25d"
"""The age at which a login is renewed of an owner who wants that."""

DEFAULT_OWNER_TOPIC_NAME = "owner"
"""The topic name of an owner who chose none."""

PASSWORD_FILE_NAME = "mqtt.password"  # noqa: S105 - the name of a file
"""The file beside the configuration; it is also the name of the systemd credential."""

FALLBACK_FILE_NAME = "fallback.urls"
"""The file beside the configuration with the address of another service for urgent commands."""

BOT_SECRET_FILE_NAME = "wecom.secret"  # noqa: S105 - the name of a file
"""The file beside the configuration with the secret of a bot of WeCom."""

CONFIG_HEADERS: Mapping[Language, str] = {
    "en": """\
#
# The configuration of wx2mqtt, written by `wx2mqtt setup`: the answers, and every other key as a comment
# with its default. To set one of those, remove its # and that of the section above it.
#
# Any key can also come from the environment: mqtt.url is WX2MQTT_MQTT__URL. Sizes: 256kB, 25MB, 1GiB.
# Durations: 30s, 10m, 24h, 7d. `wx2mqtt check` finds every problem at once, with --connect the broker's too.
""",
    "zh": """\
#
# wx2mqtt 的配置，由 `wx2mqtt setup` 写出：你的回答，其余每个键以注释形式列出，并带有默认值。
# 要设置其中一个，请去掉它和它上面的段前面的 #。
#
# 每个键也可以来自环境变量：mqtt.url 为 WX2MQTT_MQTT__URL。大小：256kB、25MB、1GiB。
# 时长：30s、10m、24h、7d。`wx2mqtt check` 一次找出所有问题，加上 --connect 还会检查 MQTT 服务器。
""",
}

PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
PUBLIC_FOLDER_MODE = 0o755

UNIT_PATH = Path("/etc/systemd/system/wx2mqtt.service")
SYSTEMD_RUNTIME = Path("/run/systemd/system")
"""Exists while systemd runs."""
HIDDEN_FOLDERS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - only compared
"""Folders that the sandbox of the service hides."""

PROGRAM_NAME = "wx2mqtt"
SHIPPED_PROGRAM = "/opt/wx2mqtt/bin/wx2mqtt"
SHIPPED_CONFIG = "/etc/wx2mqtt/wx2mqtt.yaml"
SHIPPED_CREDENTIAL_LINE = "#LoadCredential=mqtt.password:/etc/wx2mqtt/mqtt.password"
FALLBACK_CREDENTIAL = f"accounts.{DEFAULT_ACCOUNT}.fallback.urls"
BOT_SECRET_CREDENTIAL = f"accounts.{DEFAULT_ACCOUNT}.wecom.secret"


@frozen
class BrokerAnswers:
    """Address and login of the broker. An empty host means the embedded broker."""

    host: str = ""
    port: int = 1883
    tls: bool = False
    ca_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        if not self.host:
            return EMBEDDED
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@frozen
class SetupAnswers:
    broker: BrokerAnswers
    language: Language
    home_assistant: bool
    backend: BackendName
    #: For web WeChat: remarks by topic name.
    people: Mapping[str, str] = field(default_factory=dict)
    #: For iLink: the topic name of the owner; empty for the usual one.
    owner: str = ""
    #: For iLink: whether the owner is reminded before the window closes.
    remind: bool = False
    #: For iLink: whether a login is renewed before it ends.
    renew: bool = False
    #: A secret, which goes into a file.
    fallback_url: str = field(default="", repr=False)
    #: A file that exists already; so is `password_file`.
    fallback_file: Path | None = None
    #: Hosts of the own network from which files may be sent by `url`.
    allow_hosts: Sequence[str] = ()
    password_file: Path | None = None
    #: For WeCom: the bot; empty where a scan makes one.
    bot_id: str = ""
    #: A secret, which goes into a file, unless there is one already.
    bot_secret: str = field(default="", repr=False)
    bot_secret_file: Path | None = None
    #: For WeCom: the userid of the owner; empty where they are named later.
    userid: str = ""


def config_text(answers: SetupAnswers) -> str:
    """Returns the text of the configuration file; the password goes into a file beside it."""
    broker, account = answers.broker, ("accounts", DEFAULT_ACCOUNT)
    typed_password_file = PASSWORD_FILE_NAME if broker.password else None
    typed_fallback_file = FALLBACK_FILE_NAME if answers.fallback_url else None
    typed_secret_file = BOT_SECRET_FILE_NAME if answers.bot_secret else None
    known_names = [*answers.people]  # before the first login
    if BACKENDS[answers.backend].setup_contacts is SetupContacts.OWNER:
        known_names = [answers.owner or DEFAULT_OWNER_TOPIC_NAME]
    values: dict[KeyPath, object] = {
        ("mqtt", "url"): broker.url,
        ("mqtt", "username"): broker.username or None,
        ("mqtt", "password_file"): answers.password_file or typed_password_file,
        ("mqtt", "tls", "ca_file"): broker.ca_file if broker.tls else None,
        ("language",): answers.language,
        (*account, "backend"): answers.backend,
        **{(*account, "contacts", name, "remark"): remark for name, remark in answers.people.items()},
        (*account, "contacts", answers.owner, "owner"): True if answers.owner else None,
        (*account, "ilink", "remind", "before"): REMIND_BEFORE if answers.remind else None,
        (*account, "ilink", "renew", "after"): RENEW_AFTER if answers.renew else None,
        (*account, "expect", "wecom"): answers.userid or None,
        (*account, "wecom", "bot_id"): answers.bot_id or None,
        (*account, "wecom", "secret_file"): answers.bot_secret_file or typed_secret_file,
        (*account, "fallback", "urls_file"): answers.fallback_file or typed_fallback_file,
        (*account, "media", "allow_hosts"): answers.allow_hosts or None,
        ("homeassistant", "enabled"): answers.home_assistant,
        ("homeassistant", "expose"): (known_names or None) if answers.home_assistant else None,
    }
    texts = {path: str(value) if isinstance(value, Path) else value for path, value in values.items()}
    chosen = {path: value for path, value in texts.items() if value is not None}
    return compose(chosen, CONFIG_HEADERS[answers.language], answers.language)


class CannotWrite(Wx2MqttError):
    """A file cannot be written."""


def write_file(path: Path, text: str, mode: int, *, keep_old: bool = True) -> Path | None:
    """Writes a file; returns the new name of the file that was there, or None. Raises `CannotWrite`.

    A secret that root writes is also for the group of the service, where its user stays. The user of a unit
    with `DynamicUser=` is in no list: it goes at the stop, and its group is another one's later.
    """
    is_root = os.geteuid() == ROOT
    service_user = listed_user(PROGRAM) if is_root and mode == PRIVATE_MODE else None
    kept_file = None
    try:
        for folder in reversed([path.parent, *path.parent.parents]):
            if not folder.exists():
                folder.mkdir()
                if is_root:  # the service is another user, which must enter it whatever the umask
                    folder.chmod(PUBLIC_FOLDER_MODE)
        if keep_old and path.exists():
            kept_file = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            os.link(path, kept_file)
        descriptor, temporary_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            if service_user is not None:
                os.fchown(file.fileno(), ROOT, service_user.gid)
                os.fchmod(file.fileno(), mode | stat.S_IRGRP)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary_name).replace(path)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CannotWrite(f"{path} cannot be written: {reason}; name another file with -c") from None
    return kept_file


@frozen
class SecretFiles:
    """The files with secrets that a service gets as credentials; None for those that there are not."""

    password: Path | None = None
    fallback: Path | None = None
    bot_secret: Path | None = None


def unit_text(config: Path, secrets: SecretFiles, command: str) -> str:
    """Returns the text of the systemd unit for these paths.

    systemd creates the service's user at each start, so that user could not read the files with secrets:
    systemd passes them on as credentials.
    """
    text = files("wx2mqtt.setup").joinpath("wx2mqtt.service").read_text(encoding="utf-8")
    text = text.replace(SHIPPED_PROGRAM, command).replace(SHIPPED_CONFIG, str(config))
    if secrets.bot_secret is not None:
        line = f"LoadCredential={BOT_SECRET_CREDENTIAL}:{secrets.bot_secret}"
        text = text.replace(SHIPPED_CREDENTIAL_LINE, f"{SHIPPED_CREDENTIAL_LINE}\n{line}")
    if secrets.password is not None:
        text = text.replace(SHIPPED_CREDENTIAL_LINE, f"LoadCredential=mqtt.password:{secrets.password}")
    if secrets.fallback is not None:
        (shipped_line,) = (line for line in text.splitlines() if f"={FALLBACK_CREDENTIAL}:" in line)
        text = text.replace(shipped_line, f"LoadCredential={FALLBACK_CREDENTIAL}:{secrets.fallback}")
    return text


def program_path() -> str:
    """Returns the command that started this program, with absolute paths."""
    program = Path(sys.argv[0]).absolute()
    return f"{sys.executable} -m wx2mqtt" if program.name == "__main__.py" else str(program)


def interpreter_path() -> Path:
    """Returns the Python behind the links of a virtual environment."""
    return Path(sys.executable).resolve()


def printed_program() -> str:
    """Returns this program as a person types it: by name where their shell finds it, else by its path."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {PROGRAM_NAME}"
    path_of_name = shutil.which(PROGRAM_NAME)
    is_on_path = path_of_name is not None and Path(path_of_name).absolute() == program
    return PROGRAM_NAME if is_on_path else shlex.quote(str(program))


def hidden_path(*paths: Path) -> Path | None:
    """Returns the first path that the sandbox of the service hides, or None."""
    folders = tuple(f"{folder}/" for folder in HIDDEN_FOLDERS)
    return next((path for path in paths if f"{path}/".startswith(folders)), None)
