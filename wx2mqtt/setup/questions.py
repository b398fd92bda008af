"""The questions of setup, in order. Questions that an option of the command line answers are not asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import get_args

import typer
from typing_extensions import override

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.i18n.setup import backend_table, setup_text
from wx2mqtt.settings.addresses import is_loopback, validate_broker_url, validate_host_name
from wx2mqtt.settings.loader import check_readable
from wx2mqtt.settings.names_and_topics import topic_name_fault
from wx2mqtt.settings.schema import FIRST_BACKEND, BackendName
from wx2mqtt.setup.find_brokers import DEFAULT_PORT, FoundBroker
from wx2mqtt.setup.written_files import BrokerAnswers, SetupAnswers
from wx2mqtt.values import frozen
from wx2mqtt.wechat.registry import BACKENDS, SetupContacts

DEFAULT_TLS_PORT = 8883
MAX_PORT = 65535

DEFAULT_OWNER_NAME = "me"

# The name of Home Assistant for its add-ons, and the one under which others in the network find it.
SUPERVISED_HOST = "homeassistant"
USUAL_HOST = "homeassistant.local"

NO_HOSTS = "-"
"""The answer of who wants none of the proposed hosts."""

YES, NO = {"y", "yes", "是"}, {"n", "no", "否"}

TryBroker = Callable[[SetupAnswers], bool]
"""Tests the broker of these answers and shows the results; returns whether setup can go on with it."""


class Prompt:
    """Answers every question with its default. A subclass asks a person."""

    def __init__(self, show_line: Callable[[str], None]) -> None:
        self.show_line = show_line

    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:  # noqa: ARG002
        """Returns one line; `validate` returns what is wrong with an answer, or the empty text."""
        return default

    def ask_secret(self, question: str) -> str:  # noqa: ARG002
        """Returns one line that is not shown while it is typed."""
        return ""

    def confirm(self, question: str, *, default: bool) -> bool:  # noqa: ARG002
        return default

    def choose(self, question: str, choices: Sequence[str]) -> int:  # noqa: ARG002
        """Returns the index of the chosen one; the first is the default."""
        return 0


def confirm(question: str, *, default: bool) -> bool:
    """Asks until the answer is yes or no, in English or Chinese; the empty one is the default."""
    choice = "[Y/n]" if default else "[y/N]"
    while True:
        answer = str(typer.prompt(f"{question} {choice}", default="", show_default=False)).strip().lower()
        if not answer:
            return default
        if answer in YES | NO:
            return answer in YES


class TerminalPrompt(Prompt):
    """Asks a person at a terminal; repeats a question until its answer is valid."""

    @override
    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:
        while True:
            answer = str(typer.prompt(question, default=default, show_default=bool(default))).strip()
            fault = validate(answer)
            if not fault:
                return answer
            self.show_line(f"  {fault}")

    @override
    def ask_secret(self, question: str) -> str:
        return str(typer.prompt(question, hide_input=True, default="", show_default=False))

    @override
    def confirm(self, question: str, *, default: bool) -> bool:
        return confirm(question, default=default)

    @override
    def choose(self, question: str, choices: Sequence[str]) -> int:
        for number, choice in enumerate(choices, 1):
            self.show_line(f"  {number}. {choice}")
        numbers = [str(number) for number in range(1, len(choices) + 1)]
        fault = ", ".join(numbers)
        return int(self.ask_text(question, "1", lambda answer: "" if answer in numbers else fault)) - 1


@frozen
class SetupOptions:
    """The options of the command line; None means not given. `try_broker`: test the broker before writing."""

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
    remind: bool | None = None
    renew: bool | None = None
    fallback_file: Path | None = None
    allow_hosts: Sequence[str] | None = None
    bot_id: str | None = None
    secret_file: Path | None = None
    userid: str | None = None
    language: Language | None = None
    try_broker: bool = True

    @property
    def implied_backend(self) -> BackendName | None:
        """The backend of `--backend`, or the one that the other options are for."""
        if self.backend is not None:
            return self.backend
        if self.people is None and self.owner is None:
            return None
        contacts = SetupContacts.OWNER if self.people is None else SetupContacts.PEOPLE
        names: tuple[BackendName, ...] = get_args(BackendName)
        return next(name for name in names if BACKENDS[name].setup_contacts is contacts)

    @property
    def missing_options(self) -> list[str]:
        """The options without which a question would have to be asked."""
        is_missing = {
            "--backend": self.implied_backend is None,
            "--host": self.host is None and not self.embedded,
            "--home-assistant": self.home_assistant is None,
            "--language": self.language is None,
        }
        return [option for option, missing in is_missing.items() if missing]


class Questions:
    """Asks for everything that no option gives. Asks in `language` until another one is chosen."""

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
        """Returns all answers; None if the broker cannot be used and the owner gives up."""
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
            self._options = replace(self._options, username=None)  # the option may be what was wrong
            answers = replace(answers, broker=self._ask_broker(answers.broker))
        home_assistant = self._ask_option(
            "home_assistant", self._options.home_assistant, default=self._is_supervisors(answers.broker)
        )
        answers = replace(answers, home_assistant=home_assistant)
        answers = replace(answers, allow_hosts=self._ask_allow_hosts(answers))
        if BACKENDS[backend].setup_contacts is SetupContacts.OWNER:
            owner = self._options.owner
            if owner is None:
                owner = self._prompt.ask_text(self._text("owner"), DEFAULT_OWNER_NAME, self._name_fault)
            answers = replace(answers, owner=owner)
            if BACKENDS[backend].capabilities.owner_is_named:
                answers = self._ask_bot(answers)
        else:
            answers = replace(answers, people=self._ask_people())
        if BACKENDS[backend].has_reply_window:
            remind = self._ask_option("remind", self._options.remind)
            renew = self._ask_option("renew", self._options.renew)
            answers = replace(answers, remind=remind, renew=renew)
        if self._options.fallback_file is not None:
            return replace(answers, fallback_file=self._options.fallback_file)
        return replace(answers, fallback_url=self._ask_fallback())

    def _text(self, message_key: str, /, **facts: object) -> str:
        return setup_text(self._language, message_key, **facts)

    def _choose_language(self) -> Language:
        languages: list[Language] = ["zh", "en"] if self._language == "zh" else ["en", "zh"]
        names = [setup_text(language, "this_language") for language in languages]
        # Nobody has said yet which of them the person reads.
        question = " / ".join(setup_text(language, "which_language") for language in languages)
        return languages[self._prompt.choose(question, names)]

    def _choose_backend(self) -> BackendName:
        backends = sorted(get_args(BackendName), key=lambda name: name != FIRST_BACKEND)
        self._prompt.show_line(self._text("backends"))
        for line in backend_table(self._language):
            self._prompt.show_line(line)
        names = [BACKENDS[name].setup_choice[self._language == "zh"] for name in backends]
        chosen: BackendName = backends[self._prompt.choose(self._text("which_backend"), names)]
        return chosen

    # the broker

    def _choose_broker(self) -> BrokerAnswers:
        options = self._options
        if options.embedded:
            return BrokerAnswers()
        if options.host is not None:
            port = options.port or (DEFAULT_TLS_PORT if options.tls else DEFAULT_PORT)
            return self._with_credentials(
                BrokerAnswers(host=options.host, port=port, tls=options.tls, ca_file=options.ca_file)
            )
        brokers = [candidate.broker for candidate in self._found_brokers]
        labels = [
            self._text(f"found_{candidate.source}", host=candidate.broker.host, port=candidate.broker.port)
            for candidate in self._found_brokers
        ]
        choices = [*labels, self._text("other_broker"), self._text("no_broker")]
        index = self._prompt.choose(self._text("which_broker"), choices)
        if index == len(brokers) + 1:
            return BrokerAnswers()
        if index == len(brokers):
            return self._ask_broker(BrokerAnswers(host="localhost"))
        chosen = brokers[index]
        has_login = chosen.username and options.username is None
        return chosen if has_login else self._with_credentials(chosen)

    def _ask_broker(self, defaults: BrokerAnswers) -> BrokerAnswers:
        prompt = self._prompt
        host = prompt.ask_text(self._text("host"), defaults.host, self._host_fault)
        tls = prompt.confirm(self._text("tls"), default=defaults.tls)
        standard_port = DEFAULT_TLS_PORT if tls else DEFAULT_PORT
        default_port = defaults.port if defaults.tls == tls else standard_port
        port = int(prompt.ask_text(self._text("port"), str(default_port), self._port_fault))
        ca_file = defaults.ca_file
        if tls:
            path = prompt.ask_text(self._text("ca_file"), str(ca_file or ""), self._file_fault)
            ca_file = Path(path).absolute() if path else None
        return self._with_credentials(replace(defaults, host=host, tls=tls, port=port, ca_file=ca_file))

    def _with_credentials(self, broker: BrokerAnswers) -> BrokerAnswers:
        """Adds user name and password, from options or by asking."""
        options = self._options
        username = options.username
        if username is None:
            username = self._prompt.ask_text(self._text("user"), broker.username)
        elif options.password is not None or options.password_file is not None:
            return replace(broker, username=username, password=options.password or "")
        if not username:
            return replace(broker, username="", password="")
        return replace(broker, username=username, password=self._prompt.ask_secret(self._text("password")))

    def _host_fault(self, host: str) -> str:
        try:
            validate_broker_url(BrokerAnswers(host=validate_host_name(host)).url)
        except ValueError:
            return self._text("no_host")
        return ""

    def _port_fault(self, port: str) -> str:
        is_valid = port.isascii() and port.isdecimal() and 0 < int(port) <= MAX_PORT
        return "" if is_valid else self._text("no_port")

    # Home Assistant, pictures and people

    def _is_supervisors(self, broker: BrokerAnswers) -> bool:
        return any(
            candidate.source == "supervisor" and candidate.broker.host == broker.host
            for candidate in self._found_brokers
        )

    def _ask_allow_hosts(self, answers: SetupAnswers) -> Sequence[str]:
        """Returns the hosts from which pictures may be sent by address.

        Proposed are the names of Home Assistant's machine: its usual one, and that of a broker elsewhere.
        """
        if self._options.allow_hosts is not None:
            return self._options.allow_hosts
        broker_host = answers.broker.host
        proposed: list[str] = []
        if answers.home_assistant:
            proposed = [USUAL_HOST]
            if self._is_supervisors(answers.broker):
                proposed = [SUPERVISED_HOST, USUAL_HOST]
            elif broker_host not in {"", USUAL_HOST} and not is_loopback(broker_host):
                proposed.append(broker_host)
        hosts = self._prompt.ask_text(
            self._text("allow_hosts"), " ".join(proposed) or NO_HOSTS, self._hosts_fault
        )
        return tuple(host for host in hosts.split() if host != NO_HOSTS)

    def _hosts_fault(self, hosts: str) -> str:
        for host in hosts.split():
            try:
                validate_host_name(host)
            except ValueError:
                if host != NO_HOSTS:
                    return self._text("no_host")
        return ""

    def _ask_option(self, message_key: str, given: bool | None, *, default: bool = False) -> bool:
        """Returns what the option of the command line says, else the answer to the question."""
        return self._prompt.confirm(self._text(message_key), default=default) if given is None else given

    def _ask_fallback(self) -> str:
        """Returns the address of another service for urgent commands; empty if none is wanted."""
        if not self._prompt.confirm(self._text("fallback"), default=False):
            return ""
        while (url := self._prompt.ask_secret(self._text("fallback_url")).strip()) and "://" not in url:
            self._prompt.show_line(self._text("no_fallback_url"))
        return url

    def _ask_bot(self, answers: SetupAnswers) -> SetupAnswers:
        """Asks for the credentials of a bot and who its owner is; both may be left to later."""
        options = self._options
        bot_id = options.bot_id
        if bot_id is None:
            self._prompt.show_line(self._text("bot_ways"))
            bot_id = self._prompt.ask_text(self._text("bot_id"), "").strip()
        secret = ""
        if bot_id and options.secret_file is None:
            while not (secret := self._prompt.ask_secret(self._text("bot_secret")).strip()):
                self._prompt.show_line(self._text("no_bot_secret"))
        userid = options.userid
        if userid is None:
            userid = self._prompt.ask_text(self._text("userid"), "").strip()
        return replace(
            answers,
            bot_id=bot_id,
            bot_secret=secret,
            bot_secret_file=options.secret_file if bot_id else None,
            userid=userid,
        )

    def _ask_people(self) -> Mapping[str, str]:
        if self._options.people is not None:
            return self._options.people
        people: dict[str, str] = {}
        self._prompt.show_line(self._text("people"))
        while name := self._prompt.ask_text(self._text("person"), "", self._name_fault):
            people[name] = self._prompt.ask_text(self._text("remark", name=name), name)
        return people

    def _name_fault(self, name: str) -> str:
        """An empty name is no fault: it ends the questions or means the default."""
        return sentence_text(topic_name_fault(name), self._language) if name else ""

    def _file_fault(self, path: str) -> str:
        return sentence_text(check_readable(Path(path)), self._language) if path else ""
