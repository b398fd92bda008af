"""`wx2mqtt setup`: its options, and the prompts at the terminal. Imports heavy modules only when it runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wx2mqtt.cli.terminal import preferred_language, show
from wx2mqtt.settings.addresses import validate_host_name
from wx2mqtt.settings.loader import LOCAL_CONFIG, SYSTEM_CONFIG, check_readable, working_folder
from wx2mqtt.settings.names_and_topics import topic_name_fault
from wx2mqtt.settings.schema import BackendName
from wx2mqtt.wechat.registry import BACKENDS, SetupContacts

if TYPE_CHECKING:
    from wx2mqtt.setup.questions import SetupOptions
    from wx2mqtt.setup.wizard import SetupPaths

STDIN_PATH = Path("-")


ConfigPathOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help=f"The file to write; by default ./{LOCAL_CONFIG}, as root {SYSTEM_CONFIG}."
    ),
]
HostOption = Annotated[str | None, typer.Option(help="The broker's host name or address.")]
PortOption = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The broker's port; by default 1883, with --tls 8883.")
]
TlsOption = Annotated[bool, typer.Option("--tls", help="Connect to the broker with TLS.")]
CaFileOption = Annotated[
    Path | None, typer.Option(help="The certificate of the authority that signed the broker's certificate.")
]
UserOption = Annotated[str | None, typer.Option(help="The user name at the broker.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        help="A file with the password; it stays where it is. With - the password is read from standard"
        " input and written into a file."
    ),
]
EmbeddedOption = Annotated[
    bool, typer.Option("--embedded", help="Use the broker that comes with the bridge, not one of yours.")
]
HomeAssistantOption = Annotated[
    bool | None,
    typer.Option("--home-assistant/--no-home-assistant", help="Show the account in Home Assistant."),
]
BackendOption = Annotated[
    BackendName | None,
    typer.Option(
        help="ilink: Tencent's bot API, yourself alone; wecom: a bot in WeCom; webwx: web WeChat, everybody."
    ),
]
OwnerOption = Annotated[
    str | None, typer.Option(help="ilink, wecom: the topic name for yourself; 'me' if not given.")
]
PersonOption = Annotated[
    list[str] | None,
    typer.Option(
        "--person", help="webwx: NAME=REMARK, a topic name for the contact with this remark. May be repeated."
    ),
]
RemindOption = Annotated[
    bool | None,
    typer.Option("--remind/--no-remind", help="ilink: remind the owner 2 hours before the window closes."),
]
RenewOption = Annotated[
    bool | None,
    typer.Option(
        "--renew/--no-renew", help="ilink: show the code of the next login when this one is 25 days old."
    ),
]
FallbackFileOption = Annotated[
    Path | None,
    typer.Option(help="A file with apprise URLs, one a line, for urgent commands that WeChat does not take."),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        help="A host of your network from which pictures may be sent by url; by default Home Assistant's, if"
        " the account is shown there. May be repeated.",
    ),
]
BotIdOption = Annotated[
    str | None, typer.Option(help="wecom: the Bot ID of a bot of yours; if empty, a scan makes one.")
]
SecretFileOption = Annotated[
    Path | None, typer.Option(help="wecom: a file with the Secret of that bot; it stays where it is.")
]
UseridOption = Annotated[
    str | None, typer.Option(help="wecom: the userid of the owner; if empty, they are named later.")
]
LanguageOption = Annotated[
    Literal["en", "zh"] | None,
    typer.Option(help="The language of messages for people, else that of the terminal."),
]
UnitOption = Annotated[
    Path | None, typer.Option(help="Write the systemd service to this file, without asking.")
]
NoUnitOption = Annotated[bool, typer.Option("--no-unit", help="Write no systemd service.")]
NoTryOption = Annotated[
    bool, typer.Option("--no-try", help="Write the configuration without testing the broker.")
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing files; the old configuration is kept beside the new."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Ask nothing: use what is found, else the defaults.")]


def setup(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    config: ConfigPathOption = None,
    host: HostOption = None,
    port: PortOption = None,
    tls: TlsOption = False,
    ca_file: CaFileOption = None,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    embedded: EmbeddedOption = False,
    home_assistant: HomeAssistantOption = None,
    backend: BackendOption = None,
    person: PersonOption = None,
    owner: OwnerOption = None,
    remind: RemindOption = None,
    renew: RenewOption = None,
    fallback_file: FallbackFileOption = None,
    allow_host: AllowHostOption = None,
    bot_id: BotIdOption = None,
    secret_file: SecretFileOption = None,
    userid: UseridOption = None,
    language: LanguageOption = None,
    unit: UnitOption = None,
    no_unit: NoUnitOption = False,
    no_try: NoTryOption = False,
    overwrite: OverwriteOption = False,
    yes: YesOption = False,
) -> None:
    """Write a first configuration: backend, broker (found and tested), people and systemd service."""
    from wx2mqtt.setup.questions import SetupOptions  # noqa: PLC0415

    _check_options(host, backend, person or (), owner, embedded=embedded, wants_window=bool(remind or renew))
    options = SetupOptions(
        host=_bare_host(host),
        port=port,
        tls=tls,
        **_login_options(user, password_file, ca_file),
        **_bot_options(backend, bot_id, secret_file, userid),
        embedded=embedded,
        home_assistant=home_assistant,
        backend=backend,
        people=parse_people(person or ()),
        owner=owner,
        remind=remind,
        renew=renew,
        fallback_file=_readable_file("--fallback-file", fallback_file),
        allow_hosts=tuple(_checked_host("--allow-host", name) for name in allow_host) if allow_host else None,
        language=language,
        try_broker=not no_try,
    )
    _run_wizard(options, _paths(config, unit, no_unit=no_unit, overwrite=overwrite), yes=yes)


def _paths(config: Path | None, unit: Path | None, *, no_unit: bool, overwrite: bool) -> SetupPaths:
    from wx2mqtt.setup.wizard import SetupPaths  # noqa: PLC0415
    from wx2mqtt.setup.written_files import SYSTEMD_RUNTIME, UNIT_PATH  # noqa: PLC0415

    is_root = os.geteuid() == 0
    has_systemd = SYSTEMD_RUNTIME.is_dir()
    usual_unit = UNIT_PATH if is_root and has_systemd else None
    return SetupPaths(
        config=working_folder() / (config or (SYSTEM_CONFIG if is_root else LOCAL_CONFIG)),
        unit=None if no_unit else unit or usual_unit,
        overwrite=overwrite,
        ask_before_unit=unit is None,
        is_without_systemd=is_root and not no_unit and not has_systemd,
    )


def _run_wizard(options: SetupOptions, paths: SetupPaths, *, yes: bool) -> None:
    """Asks a person at a terminal, else takes every default.

    Raises `typer.BadParameter` if a question has no answer and cannot be asked.
    """
    from wx2mqtt.app import logs  # noqa: PLC0415
    from wx2mqtt.i18n.setup import setup_text  # noqa: PLC0415
    from wx2mqtt.setup.find_brokers import find_brokers  # noqa: PLC0415
    from wx2mqtt.setup.questions import Prompt, TerminalPrompt  # noqa: PLC0415
    from wx2mqtt.setup.wizard import SetupWizard  # noqa: PLC0415

    logs.configure(level="error", format="auto", stream=sys.stderr, message_text=False)
    language = options.language or preferred_language(os.environ)
    prompt = Prompt(show)
    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        prompt = TerminalPrompt(show)
    elif options.bot_id and options.secret_file is None:
        raise typer.BadParameter("--bot-id needs --secret-file: they belong together")
    elif options.missing_options and not yes:
        missing = ", ".join(options.missing_options)
        raise typer.BadParameter(setup_text(language, "missing", options=missing))
    found_brokers = asyncio.run(find_brokers(os.environ))
    if yes and options.host is None and not options.embedded and not found_brokers:
        raise typer.BadParameter(setup_text(language, "no_broker_found"))
    answers = SetupWizard(paths, prompt, language).run(options, found_brokers)
    if isinstance(prompt, TerminalPrompt) and BACKENDS[answers.backend].capabilities.owner_is_named:
        question = setup_text(answers.language, "log_in_now")
        if prompt.confirm(question, default=True):
            _log_in(paths.config)


def _log_in(config: Path) -> None:
    """Logs the new account in at this terminal, and asks who its owner is."""
    from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
    from wx2mqtt.cli.login import login  # noqa: PLC0415
    from wx2mqtt.cli.run import load_settings  # noqa: PLC0415

    asyncio.run(login(load_settings(config), RunEnvironment(env=os.environ), None))


def parse_people(pairs: Sequence[str]) -> dict[str, str] | None:
    """Returns remarks by topic name from `NAME=REMARK` texts; None if there are none.

    Raises `typer.BadParameter`.
    """
    people = {}
    for pair in pairs:
        name, _, remark = pair.partition("=")
        if not remark.strip():
            raise typer.BadParameter(f"{pair!r}: write NAME=REMARK, such as --person wife=老婆")
        if fault := topic_name_fault(name):
            raise typer.BadParameter(f"{pair!r}: {fault}")
        if name in people:
            raise typer.BadParameter(f"{pair!r}: {name} is given twice; keep one of the two")
        people[name] = remark.strip()
    return people or None


def _check_options(
    host: str | None,
    backend: str | None,
    people: Sequence[str],
    owner: str | None,
    *,
    embedded: bool,
    wants_window: bool,
) -> None:
    """Raises `typer.BadParameter` for options that exclude each other.

    Without `--backend` the option `--person` means web WeChat, which has people and no window.
    """
    if host is not None and embedded:
        raise typer.BadParameter("give only one of --host and --embedded")
    contacts = None if backend is None else BACKENDS[backend].setup_contacts
    if people and (contacts is SetupContacts.OWNER or owner is not None):
        raise typer.BadParameter("--person needs the backend webwx: iLink knows its owner alone (--owner)")
    if owner is not None and contacts is SetupContacts.PEOPLE:
        raise typer.BadParameter("--owner needs the backend ilink or wecom: on webwx name people by --person")
    has_window = not people if backend is None else BACKENDS[backend].has_reply_window
    if owner and (fault := topic_name_fault(owner)):
        raise typer.BadParameter(f"--owner {owner!r}: {fault}")
    if wants_window and not has_window:
        raise typer.BadParameter("--remind and --renew need the backend ilink: web WeChat has no window")


def _login_options(user: str | None, password_file: Path | None, ca_file: Path | None) -> dict[str, Any]:
    """Returns the login at the broker; the password comes from standard input where the file is `-`."""
    login = {"username": user, "ca_file": _readable_file("--ca-file", ca_file)}
    if password_file == STDIN_PATH:
        return {**login, "password": _password_from_stdin()}
    return {**login, "password_file": _readable_file("--password-file", password_file)}


def _bot_options(
    backend: str | None, bot_id: str | None, secret_file: Path | None, userid: str | None
) -> dict[str, Any]:
    """Returns the bot of WeCom and its owner.

    Raises `typer.BadParameter` for options that do not go together, or with the backend.
    """
    is_bot = backend is not None and BACKENDS[backend].capabilities.owner_is_named
    if not is_bot and (bot_id is not None or secret_file is not None or userid is not None):
        raise typer.BadParameter("--bot-id, --secret-file and --userid need --backend wecom")
    if secret_file is not None and not bot_id:
        raise typer.BadParameter("--secret-file needs --bot-id: they belong together")
    return {
        "bot_id": bot_id,
        "secret_file": _readable_file("--secret-file", secret_file),
        "userid": userid,
    }


def _checked_host(option: str, host: str, cure: str = "") -> str:
    try:
        return validate_host_name(host)
    except ValueError as fault:
        raise typer.BadParameter(f"{option}: {host!r} {fault}{cure}") from None


def _bare_host(host: str | None) -> str | None:
    """Returns the host without brackets; raises `typer.BadParameter` if it is none."""
    return None if host is None else _checked_host("--host", host, "; the port goes into --port").strip("[]")


def _readable_file(option: str, path: Path | None) -> Path | None:
    """Returns the absolute path; raises `typer.BadParameter` if the file cannot be read."""
    if path is None:
        return None
    if fault := check_readable(path):
        raise typer.BadParameter(f"{option}: {fault}")
    return path.absolute()


def _password_from_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise typer.BadParameter("--password-file -: standard input is empty; pass the password through it")
    return password
