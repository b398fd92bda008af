"""`wx2mqtt setup`: its options, and who is asked for the rest. Heavy parts are imported when it is used."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from wx2mqtt.app.redaction import one_line
from wx2mqtt.i18n.bridge import Language
from wx2mqtt.settings.schema import BackendName
from wx2mqtt.setup.questions import Prompt, SetupOptions
from wx2mqtt.setup.wizard import SetupPaths
from wx2mqtt.wechat.registry import BACKENDS, SetupContacts

LOCAL_CONFIG, SYSTEM_CONFIG = Path("wx2mqtt.yaml"), Path("/etc/wx2mqtt/wx2mqtt.yaml")
STDIN_PATH = Path("-")

ConfigPathOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help=f"The file to write; else ./{LOCAL_CONFIG}, as root {SYSTEM_CONFIG}."
    ),
]
HostOption = Annotated[str | None, typer.Option(help="The broker's name or address.")]
PortOption = Annotated[int | None, typer.Option(min=1, max=65535, help="Else 1883, with TLS 8883.")]
TlsOption = Annotated[bool, typer.Option("--tls", help="The broker speaks TLS.")]
CaFileOption = Annotated[Path | None, typer.Option(help="Who signs the broker's certificate.")]
UserOption = Annotated[str | None, typer.Option(help="The user at the broker.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(help="A file with the password, which stays where it is; - reads one and writes a file."),
]
EmbeddedOption = Annotated[bool, typer.Option("--embedded", help="No broker: the bridge brings one along.")]
HomeAssistantOption = Annotated[
    bool | None, typer.Option("--home-assistant/--no-home-assistant", help="Show the account there.")
]
BackendOption = Annotated[
    BackendName | None,
    typer.Option(help="webwx: web WeChat, everybody; ilink: Tencent's bot API, yourself alone."),
]
OwnerOption = Annotated[str | None, typer.Option(help="iLink: your own topic name; empty, it is owner.")]
PersonOption = Annotated[
    list[str] | None,
    typer.Option(
        "--person", help="webwx: NAME=REMARK, a topic name for whoever has this remark. May be repeated."
    ),
]
LanguageOption = Annotated[
    Literal["en", "zh"] | None, typer.Option(help="The language of the words for people.")
]
UnitOption = Annotated[Path | None, typer.Option(help="Write the systemd service there, unasked.")]
NoUnitOption = Annotated[bool, typer.Option("--no-unit", help="Write no systemd service.")]
NoTryOption = Annotated[bool, typer.Option("--no-try", help="Write without trying the broker.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there; the old file stays beside it.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Ask nothing: what is found, else what is usual.")]


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
    language: LanguageOption = None,
    unit: UnitOption = None,
    no_unit: NoUnitOption = False,
    no_try: NoTryOption = False,
    overwrite: OverwriteOption = False,
    yes: YesOption = False,
) -> None:
    """Write a first configuration: the backend, the broker (found, tried), the people, the service."""
    from wx2mqtt.setup.questions import SetupOptions  # noqa: PLC0415

    if host is not None and embedded:
        raise typer.BadParameter("take one of --host and --embedded")
    _one_backend(backend, person or (), owner)
    given = SetupOptions(
        host=None if host is None else _host(host),
        port=port,
        tls=tls,
        ca_file=None if ca_file is None else _readable("--ca-file", ca_file),
        username=user,
        password=_from_stdin() if password_file == STDIN_PATH else None,
        password_file=None
        if password_file in (None, STDIN_PATH)
        else _readable("--password-file", password_file),
        embedded=embedded,
        home_assistant=home_assistant,
        backend=backend,
        people=parse_people(person or ()),
        owner=None if owner is None else _owner(owner),
        language=language,
        try_broker=not no_try,
    )
    wanted = None if no_unit else unit or _usual_unit()
    _set_up(given, _place(config, wanted, overwrite=overwrite, ask_before_unit=unit is None), yes=yes)


def _place(config: Path | None, unit: Path | None, *, overwrite: bool, ask_before_unit: bool) -> SetupPaths:
    from wx2mqtt.setup.wizard import SetupPaths  # noqa: PLC0415

    return SetupPaths(
        config=(config or _usual()).absolute(),
        unit=unit,
        overwrite=overwrite,
        ask_before_unit=ask_before_unit,
    )


def _set_up(options: SetupOptions, paths: SetupPaths, *, yes: bool) -> None:
    from wx2mqtt.app import logs  # noqa: PLC0415
    from wx2mqtt.i18n.setup import setup_text  # noqa: PLC0415
    from wx2mqtt.setup.discover import find_brokers  # noqa: PLC0415
    from wx2mqtt.setup.wizard import SetupWizard  # noqa: PLC0415

    logs.configure(level="error", format="auto", stream=sys.stderr, message_text=False)
    language = options.language or preferred_language(os.environ)
    asker = _asker(options, yes=yes, language=language)
    found = asyncio.run(find_brokers(os.environ))
    if yes and options.host is None and not options.embedded and not found:
        raise typer.BadParameter(setup_text(language, "no_broker_found"))
    SetupWizard(paths, asker, language).run(options, found)


def preferred_language(env: Mapping[str, str]) -> Language:
    """The language of the terminal."""
    named = env.get("LC_ALL") or env.get("LC_MESSAGES") or env.get("LANG") or ""
    return "zh" if named.lower().startswith("zh") else "en"


def parse_people(pairs: Sequence[str]) -> dict[str, str] | None:
    """`NAME=REMARK` each; None without any. Raises `typer.BadParameter`."""
    from wx2mqtt.settings.formats import level_fault  # noqa: PLC0415

    people = {}
    for one in pairs:
        name, _, remark = one.partition("=")
        if not remark.strip():
            raise typer.BadParameter(f"{one!r}: write NAME=REMARK, such as --person wife=老婆")
        if fault := level_fault(name):
            raise typer.BadParameter(f"{one!r}: {fault}")
        if name in people:
            raise typer.BadParameter(f"{one!r}: {name} is named twice; take one of them out")
        people[name] = remark.strip()
    return people or None


def _one_backend(backend: str | None, people: Sequence[str], owner: str | None) -> None:
    """Raises `typer.BadParameter` for what belongs to different ones."""
    contacts = None if backend is None else BACKENDS[backend].setup_contacts
    if people and (contacts is SetupContacts.OWNER or owner is not None):
        raise typer.BadParameter("--person needs the backend webwx: iLink knows its owner alone (--owner)")
    if owner is not None and contacts is SetupContacts.PEOPLE:
        raise typer.BadParameter("--owner needs the backend ilink: on webwx name people by --person")


def _owner(name: str) -> str:
    from wx2mqtt.settings.formats import level_fault  # noqa: PLC0415

    if name and (fault := level_fault(name)):
        raise typer.BadParameter(f"--owner {name!r}: {fault}")
    return name


def _host(written: str) -> str:
    from wx2mqtt.settings.addresses import validate_host_name  # noqa: PLC0415

    try:
        return validate_host_name(written).strip("[]")
    except ValueError as fault:
        raise typer.BadParameter(f"--host: {written!r} {fault} (--port)") from None


def _readable(option: str, path: Path) -> Path:
    from wx2mqtt.settings.problems import check_readable  # noqa: PLC0415

    if fault := check_readable(path):
        raise typer.BadParameter(f"{option}: {fault}")
    return path.absolute()


def _from_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise typer.BadParameter("--password-file -: the standard input is empty; write the password into it")
    return password


def _asker(options: SetupOptions, *, yes: bool, language: Language) -> Prompt:
    from wx2mqtt.i18n.setup import setup_text  # noqa: PLC0415
    from wx2mqtt.setup.questions import NonInteractive  # noqa: PLC0415

    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        return TerminalPrompt()
    if options.missing_options and not yes:
        raise typer.BadParameter(setup_text(language, "missing", options=", ".join(options.missing_options)))
    return NonInteractive(_print)


def _usual() -> Path:
    return SYSTEM_CONFIG if os.geteuid() == 0 else LOCAL_CONFIG


def _usual_unit() -> Path | None:
    from wx2mqtt.setup.output import SYSTEMD_RUNTIME, UNIT_PATH  # noqa: PLC0415

    return UNIT_PATH if os.geteuid() == 0 and SYSTEMD_RUNTIME.is_dir() else None


def _print(line: str) -> None:
    print(one_line(line), flush=True)


class TerminalPrompt:
    """Somebody at a terminal; an `Prompt`."""

    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:
        while True:
            answer = str(typer.prompt(question, default=default, show_default=bool(default))).strip()
            wrong = validate(answer)
            if not wrong:
                return answer
            _print(f"  {wrong}")

    def ask_secret(self, question: str) -> str:
        return str(typer.prompt(question, hide_input=True, default="", show_default=False))

    def confirm(self, question: str, *, default: bool) -> bool:
        return typer.confirm(question, default=default)

    def choose(self, question: str, choices: Sequence[str]) -> int:
        for number, choice in enumerate(choices, 1):
            _print(f"  {number}. {choice}")
        numbers = [str(number) for number in range(1, len(choices) + 1)]
        return int(self.ask_text(question, "1", lambda one: "" if one in numbers else ", ".join(numbers))) - 1

    def show_line(self, line: str) -> None:
        _print(line)
