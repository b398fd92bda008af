"""What is asked and what is not, by somebody who answers from a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.rows import every_row
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import SETUP_MESSAGES, backend_table, setup_text, text_width
from wx2mqtt.setup.find_brokers import FoundBroker
from wx2mqtt.setup.questions import Prompt, Questions, SetupOptions, confirm
from wx2mqtt.setup.written_files import BrokerAnswers, SetupAnswers

SUPERVISOR = FoundBroker(
    source="supervisor", broker=BrokerAnswers(host="core-mosquitto", username="addons", password="geheim")
)
HERE = FoundBroker(source="here", broker=BrokerAnswers(host="localhost"))


class Scripted:
    """Answers by the beginning of a question; what is not in the script takes the proposal."""

    def __init__(self, **script: str) -> None:
        self._script: dict[str, list[str]] = {
            SETUP_MESSAGES[key][0].partition("{")[0]: value.split("|") for key, value in script.items()
        }
        self.asked: list[str] = []
        self.told: list[str] = []

    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:
        while True:
            answer = self._answer(question, default)
            wrong = validate(answer)
            if not wrong:
                return answer
            self.told.append(wrong)

    def ask_secret(self, question: str) -> str:
        return self._answer(question, "")

    def confirm(self, question: str, *, default: bool) -> bool:
        return self._answer(question, "yes" if default else "no") == "yes"

    def choose(self, question: str, choices: Sequence[str]) -> int:
        wanted = self._answer(question, choices[0])
        return next(place for place, choice in enumerate(choices) if choice.startswith(wanted))

    def show_line(self, line: str) -> None:
        self.told.append(line)

    def _answer(self, question: str, proposal: str) -> str:
        self.asked.append(question)
        waiting: list[str] = next(
            (rest for start, rest in self._script.items() if question.startswith(start)), []
        )
        return waiting.pop(0) if waiting else proposal


def talk(asker, *found: FoundBroker, tries: Sequence[bool] = (True,), **given) -> SetupAnswers | None:
    verdicts = iter(tries)

    def tried(_answers: SetupAnswers) -> bool:
        return next(verdicts)

    return Questions(SetupOptions(**given), asker, "en", found, tried).ask_all()


def test_home_assistants_broker_is_proposed_first_with_all_that_is_known_of_it():
    asker = Scripted()
    found = talk(asker, SUPERVISOR, HERE)
    assert found is not None
    assert found.broker == SUPERVISOR.broker
    assert found.home_assistant, "who has a Supervisor wants it in Home Assistant"
    assert setup_text("en", "user") not in asker.asked


def test_of_a_broker_on_this_machine_only_the_user_is_asked():
    asker = Scripted(which_broker="the one on this machine", user="me", password="geheim")
    found = talk(asker, HERE)
    assert found is not None
    assert found.broker == BrokerAnswers(host="localhost", username="me", password="geheim")
    assert setup_text("en", "host") not in asker.asked


def test_a_user_without_a_password_is_asked_for_it_before_the_broker_is_tested():
    asker = Scripted(password="geheim")
    found = talk(asker, host="broker.lan", username="wx2mqtt")
    assert found is not None
    assert (found.broker.username, found.broker.password) == ("wx2mqtt", "geheim")
    assert setup_text("en", "user") not in asker.asked


@pytest.mark.parametrize("given", [{"password_file": Path("/a")}, {"password": "geheim"}, {"username": ""}])
def test_a_password_is_not_asked_for_where_there_is_one_or_no_user(given: dict[str, Any]):
    asker = Scripted()
    assert talk(asker, host="broker.lan", **{"username": "wx2mqtt", **given}) is not None
    assert setup_text("en", "password") not in asker.asked


def test_another_one_is_asked_for_part_by_part_and_nonsense_is_asked_again():
    asker = Scripted(
        which_broker="another", host="a b|broker.lan", tls="yes", port="x|0|70000|8884", ca_file=""
    )
    found = talk(asker, HERE)
    assert found is not None
    assert (found.broker.host, found.broker.port, found.broker.tls) == ("broker.lan", 8884, True)
    assert asker.told.count(setup_text("en", "no_port")) == 3
    assert setup_text("en", "no_host") in asker.told


def test_with_tls_its_usual_port_is_proposed_and_a_file_that_is_not_there_refused(tmp_path):
    (ca := tmp_path / "ca.pem").write_text("")
    asker = Scripted(which_broker="another", host="b", tls="yes", ca_file=f"/nowhere/ca.pem|{ca}")
    found = talk(asker)
    assert found is not None
    assert (found.broker.port, found.broker.ca_file) == (8883, ca)
    assert any("/nowhere/ca.pem" in line for line in asker.told)


def test_no_broker_at_all_is_an_answer_and_needs_no_try():
    found = talk(Scripted(which_broker="none"), tries=())
    assert found is not None
    assert found.broker.url == "embedded"


def test_a_broker_that_cannot_be_used_is_corrected_or_given_up():
    asker = Scripted(which_broker="another", host="wrong|right", again="yes")
    found = talk(asker, tries=(False, True))
    assert found is not None
    assert found.broker.host == "right"
    assert talk(Scripted(which_broker="another", host="wrong"), tries=(False,)) is None


def test_people_are_named_until_it_is_enough_and_their_names_are_topic_levels():
    asker = Scripted(which_backend="webwx", which_broker="none", person="a/b|wife|son|", remark="老婆|儿子")
    found = talk(asker)
    assert found is not None
    assert found.people == {"wife": "老婆", "son": "儿子"}
    assert any("topic level" in line for line in asker.told)


def test_of_ilink_only_the_owner_is_asked_for_a_name():
    asker = Scripted(which_backend="ilink", which_broker="none", owner="a/b|me")
    found = talk(asker)
    assert found is not None
    assert (found.backend, found.owner, found.people) == ("ilink", "me", {})
    assert setup_text("en", "backends") in asker.told, "which to choose is said before"
    assert setup_text("en", "person") not in asker.asked
    assert any("topic level" in line for line in asker.told)


@pytest.mark.parametrize("key", ["remind", "renew"])
def test_on_ilink_each_safeguard_is_asked_for_and_is_off_unless_it_is_wanted(key):
    for answer, is_on in (("yes", True), ("no", False), (None, False)):
        script = {} if answer is None else {key: answer}
        found = talk(Scripted(which_backend="ilink", which_broker="none", **script))
        assert found is not None
        assert getattr(found, key) is is_on
    asker = Scripted(which_broker="none")
    given: dict[str, Any] = {"backend": "ilink", "owner": "me", key: True}
    found = talk(asker, **given)
    assert found is not None
    assert getattr(found, key) is True
    assert setup_text("en", key) not in asker.asked
    asker = Scripted(which_backend="webwx", which_broker="none")
    talk(asker)
    assert setup_text("en", key) not in asker.asked


@pytest.mark.parametrize("backend", ["ilink", "webwx"])
def test_another_way_for_urgent_alarms_is_asked_for_on_every_backend(backend):
    asker = Scripted(which_backend=backend, which_broker="none", fallback="yes", fallback_url="x|json://y")
    found = talk(asker)
    assert found is not None
    assert found.fallback_url == "json://y"
    assert setup_text("en", "no_fallback_url") in asker.told
    silent = talk(Scripted(which_backend=backend, which_broker="none"))
    assert silent is not None
    assert silent.fallback_url == ""
    file = Path("/etc/urls")
    asker = Scripted(which_broker="none")
    given = talk(asker, backend=backend, fallback_file=file)
    assert given is not None
    assert (given.fallback_file, given.fallback_url) == (file, "")
    assert setup_text("en", "fallback") not in asker.asked


@every_row(
    ("found", "given", "hosts"),
    [
        ((SUPERVISOR,), {}, ("homeassistant", "homeassistant.local")),
        (
            (),
            {"host": "192.168.1.10", "username": "", "home_assistant": True},
            ("homeassistant.local", "192.168.1.10"),
        ),
        (
            (),
            {"host": "homeassistant.local", "username": "", "home_assistant": True},
            ("homeassistant.local",),
        ),
        ((), {"host": "localhost", "username": "", "home_assistant": True}, ("homeassistant.local",)),
        ((), {"embedded": True, "home_assistant": True}, ("homeassistant.local",)),
        ((), {"host": "192.168.1.10", "username": "", "home_assistant": False}, ()),
    ],
)
def test_hosts_of_home_assistant_are_proposed_for_pictures(found, given, hosts):
    answers = talk(Prompt(print), *found, **given)
    assert answers is not None
    assert answers.allow_hosts == hosts


@every_row(
    ("language", "said"),
    [
        ("en", "if you open it by an IP address: by that, too"),
        ("zh", "用 IP 打开 Home Assistant 的，要把这个 IP 也填进去"),
    ],
)
def test_who_opens_home_assistant_by_its_address_learns_that_it_is_a_host_of_its_own(language, said):
    assert said in setup_text(language, "allow_hosts")


def test_cameras_are_added_by_who_knows_them_and_nonsense_is_asked_again():
    asker = Scripted(which_broker="none", home_assistant="yes", allow_hosts="http://x|192.168.1.20 door.lan")
    answers = talk(asker)
    assert answers is not None
    assert answers.allow_hosts == ("192.168.1.20", "door.lan")
    assert setup_text("en", "no_host") in asker.told
    none = talk(Scripted(which_broker="none", home_assistant="yes", allow_hosts="-"))
    assert none is not None
    assert none.allow_hosts == ()


def test_ilink_is_proposed_first_with_a_name_and_on_webwx_the_owner_is_not_asked_for_one():
    proposed = talk(Scripted(which_broker="none"))
    assert proposed is not None
    assert (proposed.backend, proposed.owner) == ("ilink", "me")
    asker = Scripted(which_backend="webwx", which_broker="none")
    found = talk(asker)
    assert found is not None
    assert found.backend == "webwx"
    assert setup_text("en", "owner") not in asker.asked


@every_row(
    ("given", "backend"),
    [
        ({"people": {"wife": "老婆"}}, "webwx"),
        ({"owner": "me"}, "ilink"),
        ({"owner": ""}, "ilink"),
        ({"backend": "ilink"}, "ilink"),
        ({"backend": "webwx"}, "webwx"),
    ],
)
def test_the_backend_is_not_asked_where_the_options_tell_it(given, backend):
    asker = Scripted(which_broker="none")
    found = talk(asker, **given)
    assert found is not None
    assert found.backend == backend
    assert setup_text("en", "which_backend") not in asker.asked


def test_after_the_language_is_chosen_it_is_spoken():
    asker = Scripted(which_language="中文")
    asker._script["使用哪个"] = ["没有"]
    found = talk(asker)
    assert found is not None
    assert found.language == "zh"
    assert setup_text("zh", "home_assistant") in asker.asked


def test_what_options_say_is_not_asked():
    asker = Scripted()
    found = talk(
        asker,
        SUPERVISOR,
        host="b",
        username="me",
        password="geheim",
        home_assistant=False,
        people={"wife": "老婆"},
        fallback_file=Path("/etc/urls"),
        allow_hosts=("door.lan",),
        language="zh",
    )
    assert asker.asked == []
    assert found == SetupAnswers(
        broker=BrokerAnswers(host="b", username="me", password="geheim"),
        language="zh",
        home_assistant=False,
        backend="webwx",
        people={"wife": "老婆"},
        fallback_file=Path("/etc/urls"),
        allow_hosts=("door.lan",),
    )


def test_a_wrong_user_of_an_option_can_be_corrected():
    asker = Scripted(again="yes", user="other", password="richtig")
    found = talk(asker, host="b", username="me", password="falsch", tries=(False, True))
    assert found is not None
    assert (found.broker.username, found.broker.password) == ("other", "richtig")


def test_a_password_file_is_kept_where_it_is():
    found = talk(Prompt(print), host="b", username="me", password_file=Path("/etc/secret"))
    assert found is not None
    assert (found.password_file, found.broker.password) == (Path("/etc/secret"), "")


def test_nobody_takes_what_is_found_and_what_is_usual():
    told: list[str] = []
    found = talk(Prompt(told.append), SUPERVISOR, HERE)
    assert found == SetupAnswers(
        broker=SUPERVISOR.broker,
        language="en",
        home_assistant=True,
        backend="ilink",
        owner="me",
        allow_hosts=("homeassistant", "homeassistant.local"),
    )
    assert talk(Prompt(told.append), SUPERVISOR, tries=(False,)) is None


def test_it_is_written_untried_where_that_is_wanted():
    def never(_answers: SetupAnswers) -> bool:
        pytest.fail("it was tried")

    given = SetupOptions(host="away", try_broker=False)
    found = Questions(given, Prompt(print), "en", (), never).ask_all()
    assert found is not None
    assert found.broker.host == "away"


@every_row(
    ("given", "missing"),
    [
        ({}, ["--backend", "--host", "--home-assistant", "--language"]),
        ({"backend": "ilink", "embedded": True, "language": "en"}, ["--home-assistant"]),
        ({"owner": "me", "host": "b", "home_assistant": False, "language": "zh"}, []),
        ({"people": {"wife": "老婆"}, "host": "b", "home_assistant": False, "language": "zh"}, []),
    ],
)
def test_what_cannot_be_asked_is_named_by_its_option(given, missing):
    assert SetupOptions(**given).missing_options == missing


def test_no_password_is_in_what_is_shown():
    assert "geheim" not in repr(SUPERVISOR) + repr(SetupOptions(password="geheim"))


def test_every_word_is_used():
    folder = Path(__file__).parents[3] / "wx2mqtt"
    code = "".join(
        path.read_text()
        for path in [*folder.glob("setup/*.py"), folder / "cli" / "setup.py", folder / "i18n" / "setup.py"]
    )
    for word in SETUP_MESSAGES:
        assert code.count(f'"{word}"') > 1 or word.startswith(("found_", "is_")), word


def test_before_a_backend_is_chosen_a_table_tells_them_apart():
    asker = Scripted(which_backend="ilink", which_broker="none")
    talk(asker)
    table = backend_table("en")
    assert [line for line in asker.told if line in table] == table
    assert table[0].split() == ["ilink", "wecom", "webwx"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_of_backends_fits_into_a_terminal(language: Language):
    assert max(map(text_width, backend_table(language))) <= 80


BOT: dict[str, Any] = {"backend": "wecom", "owner": "me", "embedded": True}


def of_a_bot(asker: Scripted, **given: Any) -> SetupAnswers:
    found = talk(asker, **{**BOT, **given})
    assert found is not None
    return found


def test_a_bot_comes_from_a_scan_where_no_id_is_given():
    found = of_a_bot(Scripted())
    assert (found.bot_id, found.bot_secret, found.bot_secret_file, found.userid) == ("", "", None, "")


def test_a_bot_has_a_secret_which_is_asked_for_until_it_is_there():
    asker = Scripted(bot_id="aib1", bot_secret="|geheim", userid="ZhangSan")
    found = of_a_bot(asker)
    assert (found.bot_id, found.bot_secret, found.userid) == ("aib1", "geheim", "ZhangSan")
    assert setup_text("en", "no_bot_secret") in asker.told


def test_of_a_bot_nothing_is_asked_that_an_option_says():
    asker = Scripted()
    found = of_a_bot(asker, bot_id="aib1", secret_file=Path("/etc/w/secret"), userid="")
    assert (found.bot_id, found.bot_secret, found.bot_secret_file) == ("aib1", "", Path("/etc/w/secret"))
    assert not {setup_text("en", key) for key in ("bot_id", "bot_secret", "userid")} & {*asker.asked}


@pytest.mark.parametrize(
    ("answers", "default", "expected"),
    [
        ([""], True, True),
        ([""], False, False),
        (["是"], False, True),
        ([" Y "], False, True),
        (["否"], True, False),
        (["what?", "no"], True, False),
    ],
)
def test_yes_and_no_are_understood_in_both_languages(monkeypatch, answers, default, expected):
    left = list(answers)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: left.pop(0))
    assert confirm("sure?", default=default) is expected
    assert not left
