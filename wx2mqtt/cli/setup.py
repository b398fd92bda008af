"""`wx2mqtt setup`: its options, and who is asked for the rest. Heavy parts are imported when it is used."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wx2mqtt.service.redaction import one_line
from wx2mqtt.words import Language

if TYPE_CHECKING:
    from wx2mqtt.setup.asking import Asker
    from wx2mqtt.setup.house import Place
    from wx2mqtt.setup.talk import Given

HERE, SYSTEM = Path("wx2mqtt.yaml"), Path("/etc/wx2mqtt/wx2mqtt.yaml")
STDIN = Path("-")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help=f"The file to write; else ./{HERE}, as root {SYSTEM}."),
]
Host = Annotated[str | None, typer.Option(help="The broker's name or address.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Else 1883, with TLS 8883.")]
Tls = Annotated[bool, typer.Option("--tls", help="The broker speaks TLS.")]
CaFile = Annotated[Path | None, typer.Option(help="Who signs the broker's certificate.")]
User = Annotated[str | None, typer.Option(help="The user at the broker.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="A file with the password, which stays where it is; - reads one and writes a file."),
]
Embedded = Annotated[bool, typer.Option("--embedded", help="No broker: the bridge brings one along.")]
HomeAssistant = Annotated[
    bool | None, typer.Option("--home-assistant/--no-home-assistant", help="Show the account there.")
]
Backend = Annotated[
    Literal["webwx", "ilink"] | None,
    typer.Option(help="webwx: web WeChat, everybody; ilink: Tencent's bot API, yourself alone."),
]
Owner = Annotated[str | None, typer.Option(help="iLink: your own topic name; empty, it is owner.")]
Persons = Annotated[
    list[str] | None,
    typer.Option(
        "--person", help="webwx: NAME=REMARK, a topic name for whoever has this remark. May be repeated."
    ),
]
Spoken = Annotated[Literal["en", "zh"] | None, typer.Option(help="The language of the words for people.")]
Unit = Annotated[Path | None, typer.Option(help="Write the systemd service there, unasked.")]
NoUnit = Annotated[bool, typer.Option("--no-unit", help="Write no systemd service.")]
Untried = Annotated[bool, typer.Option("--no-try", help="Write without trying the broker.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there; the old file stays beside it.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing: what is found, else what is usual.")]


def setup(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    config: Config = None,
    host: Host = None,
    port: Port = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    user: User = None,
    password_file: PasswordFile = None,
    embedded: Embedded = False,
    home_assistant: HomeAssistant = None,
    backend: Backend = None,
    person: Persons = None,
    owner: Owner = None,
    language: Spoken = None,
    unit: Unit = None,
    no_unit: NoUnit = False,
    no_try: Untried = False,
    overwrite: Overwrite = False,
    yes: Yes = False,
) -> None:
    """Write a first configuration: the backend, the broker (found, tried), the people, the service."""
    from wx2mqtt.setup.talk import Given  # noqa: PLC0415

    if host is not None and embedded:
        raise typer.BadParameter("take one of --host and --embedded")
    _one_backend(backend, person or (), owner)
    given = Given(
        host=None if host is None else _host(host),
        port=port,
        tls=tls,
        ca_file=None if ca_file is None else _readable("--ca-file", ca_file),
        username=user,
        password=_from_stdin() if password_file == STDIN else None,
        password_file=None if password_file in (None, STDIN) else _readable("--password-file", password_file),
        embedded=embedded,
        home_assistant=home_assistant,
        backend=backend,
        people=people_of(person or ()),
        owner=None if owner is None else _owner(owner),
        language=language,
        tries=not no_try,
    )
    wanted = None if no_unit else unit or _usual_unit()
    _set_up(given, _place(config, wanted, overwrite=overwrite, asks=unit is None), yes=yes)


def _place(config: Path | None, unit: Path | None, *, overwrite: bool, asks: bool) -> Place:
    from wx2mqtt.setup.house import Place  # noqa: PLC0415

    return Place(config=(config or _usual()).absolute(), unit=unit, overwrite=overwrite, asks=asks)


def _set_up(given: Given, place: Place, *, yes: bool) -> None:
    from wx2mqtt.service import logs  # noqa: PLC0415
    from wx2mqtt.setup import words  # noqa: PLC0415
    from wx2mqtt.setup.finding import find_brokers  # noqa: PLC0415
    from wx2mqtt.setup.house import House  # noqa: PLC0415

    logs.configure(level="error", format="auto", stream=sys.stderr, message_text=False)
    language = given.language or spoken(os.environ)
    asker = _asker(given, yes=yes, language=language)
    found = asyncio.run(find_brokers(os.environ))
    if yes and given.host is None and not given.embedded and not found:
        raise typer.BadParameter(words.say(language, "no_broker_found"))
    House(place, asker, language).set_up(given, found)


def spoken(env: Mapping[str, str]) -> Language:
    """The language of the terminal."""
    named = env.get("LC_ALL") or env.get("LC_MESSAGES") or env.get("LANG") or ""
    return "zh" if named.lower().startswith("zh") else "en"


def people_of(written: Sequence[str]) -> dict[str, str] | None:
    """`NAME=REMARK` each; None without any. Raises `typer.BadParameter`."""
    from wx2mqtt.settings.names import level_fault  # noqa: PLC0415

    people = {}
    for one in written:
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
    if people and (backend == "ilink" or owner is not None):
        raise typer.BadParameter("--person needs the backend webwx: iLink knows its owner alone (--owner)")
    if owner is not None and backend == "webwx":
        raise typer.BadParameter("--owner needs the backend ilink: on webwx name people by --person")


def _owner(name: str) -> str:
    from wx2mqtt.settings.names import level_fault  # noqa: PLC0415

    if name and (fault := level_fault(name)):
        raise typer.BadParameter(f"--owner {name!r}: {fault}")
    return name


def _host(written: str) -> str:
    from wx2mqtt.settings.addresses import host_name  # noqa: PLC0415

    try:
        return host_name(written).strip("[]")
    except ValueError as fault:
        raise typer.BadParameter(f"--host: {written!r} {fault} (--port)") from None


def _readable(option: str, path: Path) -> Path:
    from wx2mqtt.settings.files import check_readable  # noqa: PLC0415

    if fault := check_readable(path):
        raise typer.BadParameter(f"{option}: {fault}")
    return path.absolute()


def _from_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise typer.BadParameter("--password-file -: the standard input is empty; write the password into it")
    return password


def _asker(given: Given, *, yes: bool, language: Language) -> Asker:
    from wx2mqtt.setup import words  # noqa: PLC0415
    from wx2mqtt.setup.asking import Nobody  # noqa: PLC0415

    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        return Person()
    if given.missing and not yes:
        raise typer.BadParameter(words.say(language, "missing", options=", ".join(given.missing)))
    return Nobody(_print)


def _usual() -> Path:
    return SYSTEM if os.geteuid() == 0 else HERE


def _usual_unit() -> Path | None:
    from wx2mqtt.setup.unit import PLACE, SYSTEMD  # noqa: PLC0415

    return PLACE if os.geteuid() == 0 and SYSTEMD.is_dir() else None


def _print(line: str) -> None:
    print(one_line(line), flush=True)


class Person:
    """Somebody at a terminal; an `Asker`."""

    def text(self, question: str, proposal: str, fault: Callable[[str], str] = lambda _: "") -> str:
        while True:
            answer = str(typer.prompt(question, default=proposal, show_default=bool(proposal))).strip()
            wrong = fault(answer)
            if not wrong:
                return answer
            _print(f"  {wrong}")

    def secret(self, question: str) -> str:
        return str(typer.prompt(question, hide_input=True, default="", show_default=False))

    def agrees(self, question: str, *, proposal: bool) -> bool:
        return typer.confirm(question, default=proposal)

    def choose(self, question: str, choices: Sequence[str]) -> int:
        for number, choice in enumerate(choices, 1):
            _print(f"  {number}. {choice}")
        numbers = [str(number) for number in range(1, len(choices) + 1)]
        return int(self.text(question, "1", lambda one: "" if one in numbers else ", ".join(numbers))) - 1

    def tell(self, line: str) -> None:
        _print(line)
