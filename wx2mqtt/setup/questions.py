"""Who is asked: a person at a terminal, or nobody, who takes what is proposed.

The questions, in order; what is given by options is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, get_args

from wx2mqtt.i18n.bridge import Language
from wx2mqtt.i18n.setup import setup_text
from wx2mqtt.settings.addresses import validate_broker_url as broker_url
from wx2mqtt.settings.addresses import validate_host_name
from wx2mqtt.settings.formats import level_fault
from wx2mqtt.settings.problems import check_readable
from wx2mqtt.settings.schema import BackendName
from wx2mqtt.setup.config_text import BrokerAnswers, SetupAnswers
from wx2mqtt.setup.discover import FoundBroker
from wx2mqtt.wechat.registry import BACKENDS, SetupContacts


class Prompt(Protocol):
    """Each question has a proposal. `fault` says what is wrong with an answer, empty where nothing is."""

    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:
        """One line; empty where that is right."""

    def ask_secret(self, question: str) -> str:
        """One line that is not shown."""

    def confirm(self, question: str, *, default: bool) -> bool:
        """Yes or no."""

    def choose(self, question: str, choices: Sequence[str]) -> int:
        """The place of one; the first is proposed."""

    def show_line(self, line: str) -> None:
        """Something to know."""


class NonInteractive:
    """Takes every proposal; tells what there is to know."""

    def __init__(self, show_line: Callable[[str], None]) -> None:
        self.show_line = show_line

    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:  # noqa: ARG002
        return default

    def ask_secret(self, question: str) -> str:  # noqa: ARG002
        return ""

    def confirm(self, question: str, *, default: bool) -> bool:  # noqa: ARG002
        return default

    def choose(self, question: str, choices: Sequence[str]) -> int:  # noqa: ARG002
        return 0


DEFAULT_PORT, DEFAULT_TLS_PORT = 1883, 8883


TryBroker = Callable[[SetupAnswers], bool]
"""Tries the broker and tells what is found; whether one can go on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupOptions:
    """What the options say; None is not said. `tries` is false where the broker is not to be tried."""

    host: str | None = None
    port: int | None = None
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    embedded: bool = False
    home_assistant: bool | None = None
    backend: BackendName | None = None
    people: Mapping[str, str] | None = None
    owner: str | None = None
    language: Language | None = None
    try_broker: bool = True

    @property
    def implied_backend(self) -> BackendName | None:
        """The backend that is named, or that alone has what is given."""
        if self.backend is not None:
            return self.backend
        if self.people is not None:
            return _first_asking_for(SetupContacts.PEOPLE)
        return None if self.owner is None else _first_asking_for(SetupContacts.OWNER)

    @property
    def missing_options(self) -> list[str]:
        """The options of questions for which nobody can be asked."""
        asked = {
            "--backend": self.implied_backend is None,
            "--host": self.host is None and not self.embedded,
            "--home-assistant": self.home_assistant is None,
            "--language": self.language is None,
        }
        return [option for option, missing in asked.items() if missing]


def _first_asking_for(contacts: SetupContacts) -> BackendName:
    names: tuple[BackendName, ...] = get_args(BackendName)
    return next(name for name in names if BACKENDS[name].setup_contacts is contacts)


class Questions:
    """Asks for what is not given. `language` is that of the questions until another one is chosen."""

    def __init__(
        self,
        options: SetupOptions,
        prompt: Prompt,
        language: Language,
        found_brokers: Sequence[FoundBroker],
        try_broker: TryBroker,
    ) -> None:
        self._options = options
        self._prompt = prompt
        self._language = language
        self._found_brokers = found_brokers
        self._try_broker = try_broker

    def ask_all(self) -> SetupAnswers | None:
        """All of them; None when the broker cannot be used and the owner gives up."""
        self._language = self._options.language or self._choose_language()
        backend = self._options.implied_backend or self._choose_backend()
        answers = SetupAnswers(
            broker=self._choose_broker(),
            language=self._language,
            home_assistant=False,
            backend=backend,
            password_file=self._options.password_file,
        )
        while self._options.try_broker and answers.broker.host and not self._try_broker(answers):
            if not self._prompt.confirm(self._text("again"), default=False):
                return None
            answers = replace(answers, broker=self._correct_broker(answers.broker))
        answers = replace(answers, home_assistant=self._ask_home_assistant(answers.broker))
        if BACKENDS[backend].setup_contacts is SetupContacts.OWNER:
            return replace(answers, owner=self._ask_owner())
        return replace(answers, people=self._ask_people())

    def _text(self, message_key: str, /, **facts: object) -> str:
        return setup_text(self._language, message_key, **facts)

    def _choose_language(self) -> Language:
        languages: list[Language] = ["zh", "en"] if self._language == "zh" else ["en", "zh"]
        names = [setup_text(one, "this_language") for one in languages]
        return languages[self._prompt.choose(self._text("which_language"), names)]

    def _choose_backend(self) -> BackendName:
        backends = get_args(BackendName)
        self._prompt.show_line(self._text("backends"))
        names = [BACKENDS[name].setup_choice[self._language == "zh"] for name in backends]
        chosen: BackendName = backends[self._prompt.choose(self._text("which_backend"), names)]
        return chosen

    # the broker

    def _choose_broker(self) -> BrokerAnswers:
        given = self._options
        if given.embedded:
            return BrokerAnswers()
        if given.host is not None:
            return self._broker_from_options(BrokerAnswers(host=given.host))
        choices = [one.broker for one in self._found_brokers]
        words = [self._broker_label(one) for one in self._found_brokers]
        place = self._prompt.choose(
            self._text("which_broker"), [*words, self._text("other_broker"), self._text("no_broker")]
        )
        if place < len(choices):
            chosen = choices[place]
            known = chosen.username and self._options.username is None
            return chosen if known else self._with_credentials(chosen)
        return self._ask_broker(BrokerAnswers(host="localhost")) if place == len(choices) else BrokerAnswers()

    def _broker_label(self, found_broker: FoundBroker) -> str:
        return self._text(
            f"found_{found_broker.source}", host=found_broker.broker.host, port=found_broker.broker.port
        )

    def _broker_from_options(self, broker: BrokerAnswers) -> BrokerAnswers:
        """By options; of what they do not say only the user is asked for."""
        given = self._options
        port = given.port or (DEFAULT_TLS_PORT if given.tls else DEFAULT_PORT)
        return self._with_credentials(replace(broker, tls=given.tls, port=port, ca_file=given.ca_file))

    def _ask_broker(self, defaults: BrokerAnswers) -> BrokerAnswers:
        """Every part, what was said before proposed."""
        asker = self._prompt
        host = asker.ask_text(self._text("host"), defaults.host, self._host_fault)
        tls = asker.confirm(self._text("tls"), default=defaults.tls)
        usual = defaults.port if defaults.tls == tls else DEFAULT_TLS_PORT if tls else DEFAULT_PORT
        port = int(asker.ask_text(self._text("port"), str(usual), self._port_fault))
        ca_file = defaults.ca_file
        if tls:
            written = asker.ask_text(self._text("ca_file"), str(ca_file or ""), _file_fault)
            ca_file = Path(written).absolute() if written else None
        return self._with_credentials(replace(defaults, host=host, tls=tls, port=port, ca_file=ca_file))

    def _with_credentials(self, broker: BrokerAnswers) -> BrokerAnswers:
        """Options count here too, for a broker that was found."""
        given = self._options
        if given.username is not None:
            return replace(broker, username=given.username, password=given.password or "")
        username = self._prompt.ask_text(self._text("user"), broker.username)
        if not username:
            return replace(broker, username="", password="")
        return replace(broker, username=username, password=self._prompt.ask_secret(self._text("password")))

    def _correct_broker(self, broker: BrokerAnswers) -> BrokerAnswers:
        self._options = replace(self._options, username=None)  # the option was wrong, perhaps
        return self._ask_broker(broker)

    def _host_fault(self, host: str) -> str:
        try:
            validate_host_name(host)
            broker_url(BrokerAnswers(host=host).url)
        except ValueError:
            return self._text("no_host")
        return ""

    def _port_fault(self, port: str) -> str:
        right = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
        return "" if right else self._text("no_port")

    # what else

    def _ask_home_assistant(self, broker: BrokerAnswers) -> bool:
        if self._options.home_assistant is not None:
            return self._options.home_assistant
        likely = any(
            one.source == "supervisor" and one.broker.host == broker.host for one in self._found_brokers
        )
        return self._prompt.confirm(self._text("home_assistant"), default=likely)

    def _ask_owner(self) -> str:
        """iLink knows nobody else."""
        if self._options.owner is not None:
            return self._options.owner
        return self._prompt.ask_text(self._text("owner"), "", lambda one: one and level_fault(one))

    def _ask_people(self) -> Mapping[str, str]:
        if self._options.people is not None:
            return self._options.people
        people: dict[str, str] = {}
        self._prompt.show_line(self._text("people"))
        while name := self._prompt.ask_text(self._text("person"), "", lambda one: one and level_fault(one)):
            people[name] = self._prompt.ask_text(self._text("remark", name=name), name)
        return people


def _file_fault(path: str) -> str:
    return check_readable(Path(path)) if path else ""
