"""The questions, in order; what is given by options is not asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wx2mqtt.settings.addresses import broker as broker_url
from wx2mqtt.settings.addresses import host_name
from wx2mqtt.settings.files import check_readable
from wx2mqtt.settings.names import level_fault
from wx2mqtt.setup.answers import Answers, Backend, Broker
from wx2mqtt.setup.asking import Asker
from wx2mqtt.setup.finding import Found
from wx2mqtt.setup.words import say
from wx2mqtt.words import Language

PLAIN_PORT, TLS_PORT = 1883, 8883

Try = Callable[[Answers], bool]
"""Tries the broker and tells what is found; whether one can go on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
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
    backend: Backend | None = None
    people: Mapping[str, str] | None = None
    owner: str | None = None
    language: Language | None = None
    tries: bool = True

    @property
    def implied(self) -> Backend | None:
        """The backend that is named, or that alone has what is given."""
        if self.backend is None and self.people is not None:
            return "webwx"
        return "ilink" if self.backend is None and self.owner is not None else self.backend

    @property
    def missing(self) -> list[str]:
        """The options of questions for which nobody can be asked."""
        asked = {
            "--backend": self.implied is None,
            "--host": self.host is None and not self.embedded,
            "--home-assistant": self.home_assistant is None,
            "--language": self.language is None,
        }
        return [option for option, missing in asked.items() if missing]


class Talk:
    """Asks for what is not given. `language` is that of the questions until another one is chosen."""

    def __init__(
        self, given: Given, asker: Asker, language: Language, found: Sequence[Found], tries: Try
    ) -> None:
        self._given = given
        self._asker = asker
        self._language = language
        self._found = found
        self._tries = tries

    def answers(self) -> Answers | None:
        """All of them; None when the broker cannot be used and the owner gives up."""
        self._language = self._given.language or self._which_language()
        backend = self._given.implied or self._which_backend()
        answers = Answers(
            broker=self._broker(),
            language=self._language,
            home_assistant=False,
            backend=backend,
            password_file=self._given.password_file,
        )
        while self._given.tries and answers.broker.host and not self._tries(answers):
            if not self._asker.agrees(self._say("again"), proposal=False):
                return None
            answers = replace(answers, broker=self._corrected(answers.broker))
        answers = replace(answers, home_assistant=self._home_assistant(answers.broker))
        if backend == "ilink":
            return replace(answers, owner=self._owner())
        return replace(answers, people=self._people())

    def _say(self, word: str, /, **facts: object) -> str:
        return say(self._language, word, **facts)

    def _which_language(self) -> Language:
        languages: list[Language] = ["zh", "en"] if self._language == "zh" else ["en", "zh"]
        names = [say(one, "this_language") for one in languages]
        return languages[self._asker.choose(self._say("which_language"), names)]

    def _which_backend(self) -> Backend:
        backends: list[Backend] = ["webwx", "ilink"]
        self._asker.tell(self._say("backends"))
        names = [self._say(f"is_{one}") for one in backends]
        return backends[self._asker.choose(self._say("which_backend"), names)]

    # the broker

    def _broker(self) -> Broker:
        given = self._given
        if given.embedded:
            return Broker()
        if given.host is not None:
            return self._named(Broker(host=given.host))
        choices = [one.broker for one in self._found]
        words = [self._described(one) for one in self._found]
        place = self._asker.choose(
            self._say("which_broker"), [*words, self._say("other_broker"), self._say("no_broker")]
        )
        if place < len(choices):
            chosen = choices[place]
            known = chosen.username and self._given.username is None
            return chosen if known else self._credentials(chosen)
        return self._asked(Broker(host="localhost")) if place == len(choices) else Broker()

    def _described(self, found: Found) -> str:
        return self._say(f"found_{found.by}", host=found.broker.host, port=found.broker.port)

    def _named(self, broker: Broker) -> Broker:
        """By options; of what they do not say only the user is asked for."""
        given = self._given
        port = given.port or (TLS_PORT if given.tls else PLAIN_PORT)
        return self._credentials(replace(broker, tls=given.tls, port=port, ca_file=given.ca_file))

    def _asked(self, before: Broker) -> Broker:
        """Every part, what was said before proposed."""
        asker = self._asker
        host = asker.text(self._say("host"), before.host, self._host_fault)
        tls = asker.agrees(self._say("tls"), proposal=before.tls)
        usual = before.port if before.tls == tls else TLS_PORT if tls else PLAIN_PORT
        port = int(asker.text(self._say("port"), str(usual), self._port_fault))
        ca_file = before.ca_file
        if tls:
            written = asker.text(self._say("ca_file"), str(ca_file or ""), _file_fault)
            ca_file = Path(written).absolute() if written else None
        return self._credentials(replace(before, host=host, tls=tls, port=port, ca_file=ca_file))

    def _credentials(self, broker: Broker) -> Broker:
        """Options count here too, for a broker that was found."""
        given = self._given
        if given.username is not None:
            return replace(broker, username=given.username, password=given.password or "")
        username = self._asker.text(self._say("user"), broker.username)
        if not username:
            return replace(broker, username="", password="")
        return replace(broker, username=username, password=self._asker.secret(self._say("password")))

    def _corrected(self, broker: Broker) -> Broker:
        self._given = replace(self._given, username=None)  # the option was wrong, perhaps
        return self._asked(broker)

    def _host_fault(self, host: str) -> str:
        try:
            host_name(host)
            broker_url(Broker(host=host).url)
        except ValueError:
            return self._say("no_host")
        return ""

    def _port_fault(self, port: str) -> str:
        right = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
        return "" if right else self._say("no_port")

    # what else

    def _home_assistant(self, broker: Broker) -> bool:
        if self._given.home_assistant is not None:
            return self._given.home_assistant
        likely = any(one.by == "supervisor" and one.broker.host == broker.host for one in self._found)
        return self._asker.agrees(self._say("home_assistant"), proposal=likely)

    def _owner(self) -> str:
        """iLink knows nobody else."""
        if self._given.owner is not None:
            return self._given.owner
        return self._asker.text(self._say("owner"), "", lambda one: one and level_fault(one))

    def _people(self) -> Mapping[str, str]:
        if self._given.people is not None:
            return self._given.people
        people: dict[str, str] = {}
        self._asker.tell(self._say("people"))
        while name := self._asker.text(self._say("person"), "", lambda one: one and level_fault(one)):
            people[name] = self._asker.text(self._say("remark", name=name), name)
        return people


def _file_fault(path: str) -> str:
    return check_readable(Path(path)) if path else ""
