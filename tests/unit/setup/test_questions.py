"""The questions of `wx2mqtt setup`: which are asked, which are left out, and what the answers mean."""

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
LOCAL = FoundBroker(source="here", broker=BrokerAnswers(host="localhost"))


class FakePrompt:
    """Answers a question by the message that it begins with; for all others it takes the proposal.

    `script` has the answers by key of `SETUP_MESSAGES`; several answers in turn are joined with `|`.
    """

    def __init__(self, **script: str) -> None:
        self._script: dict[str, list[str]] = {
            SETUP_MESSAGES[key][0].partition("{")[0]: value.split("|") for key, value in script.items()
        }
        self.questions: list[str] = []
        self.shown_lines: list[str] = []

    def ask_text(self, question: str, default: str, validate: Callable[[str], str] = lambda _: "") -> str:
        while True:
            answer = self._answer(question, default)
            problem = validate(answer)
            if not problem:
                return answer
            self.shown_lines.append(problem)

    def ask_secret(self, question: str) -> str:
        return self._answer(question, "")

    def confirm(self, question: str, *, default: bool) -> bool:
        return self._answer(question, "yes" if default else "no") == "yes"

    def choose(self, question: str, choices: Sequence[str]) -> int:
        answer = self._answer(question, choices[0])
        return next(index for index, choice in enumerate(choices) if choice.startswith(answer))

    def show_line(self, line: str) -> None:
        self.shown_lines.append(line)

    def _answer(self, question: str, proposal: str) -> str:
        self.questions.append(question)
        remaining: list[str] = next(
            (rest for start, rest in self._script.items() if question.startswith(start)), []
        )
        return remaining.pop(0) if remaining else proposal


def ask_all(
    prompt, *found_brokers: FoundBroker, broker_results: Sequence[bool] = (True,), **given
) -> SetupAnswers | None:
    """Asks all questions; `broker_results` says for each test of the broker whether it can be used."""
    results = iter(broker_results)

    def try_broker(_answers: SetupAnswers) -> bool:
        return next(results)

    return Questions(SetupOptions(**given), prompt, "en", found_brokers, try_broker).ask_all()


def test_the_broker_of_home_assistant_is_proposed_first_with_all_that_is_known_of_it():
    prompt = FakePrompt()
    answers = ask_all(prompt, SUPERVISOR, LOCAL)
    assert answers is not None
    assert answers.broker == SUPERVISOR.broker
    assert answers.home_assistant, "who has a Supervisor wants it in Home Assistant"
    assert setup_text("en", "user") not in prompt.questions


def test_of_a_broker_on_this_machine_only_the_user_is_asked():
    prompt = FakePrompt(which_broker="the one on this machine", user="me", password="geheim")
    answers = ask_all(prompt, LOCAL)
    assert answers is not None
    assert answers.broker == BrokerAnswers(host="localhost", username="me", password="geheim")
    assert setup_text("en", "host") not in prompt.questions


def test_a_user_without_a_password_is_asked_for_it_before_the_broker_is_tested():
    prompt = FakePrompt(password="geheim")
    answers = ask_all(prompt, host="broker.lan", username="wx2mqtt")
    assert answers is not None
    assert (answers.broker.username, answers.broker.password) == ("wx2mqtt", "geheim")
    assert setup_text("en", "user") not in prompt.questions


@pytest.mark.parametrize("given", [{"password_file": Path("/a")}, {"password": "geheim"}, {"username": ""}])
def test_a_password_is_not_asked_for_where_there_is_one_or_no_user(given: dict[str, Any]):
    prompt = FakePrompt()
    assert ask_all(prompt, host="broker.lan", **{"username": "wx2mqtt", **given}) is not None
    assert setup_text("en", "password") not in prompt.questions


def test_another_broker_is_asked_for_part_by_part_and_a_wrong_answer_is_asked_again():
    prompt = FakePrompt(
        which_broker="another", host="a b|broker.lan", tls="yes", port="x|0|70000|8884", ca_file=""
    )
    answers = ask_all(prompt, LOCAL)
    assert answers is not None
    assert (answers.broker.host, answers.broker.port, answers.broker.tls) == ("broker.lan", 8884, True)
    assert prompt.shown_lines.count(setup_text("en", "no_port")) == 3
    assert setup_text("en", "no_host") in prompt.shown_lines


def test_with_tls_its_usual_port_is_proposed_and_a_file_that_is_not_there_refused(tmp_path):
    (ca := tmp_path / "ca.pem").write_text("")
    prompt = FakePrompt(which_broker="another", host="b", tls="yes", ca_file=f"/nowhere/ca.pem|{ca}")
    answers = ask_all(prompt)
    assert answers is not None
    assert (answers.broker.port, answers.broker.ca_file) == (8883, ca)
    assert any("/nowhere/ca.pem" in line for line in prompt.shown_lines)


def test_without_a_broker_the_embedded_one_is_configured_and_nothing_is_tested():
    answers = ask_all(FakePrompt(which_broker="none"), broker_results=())
    assert answers is not None
    assert answers.broker.url == "embedded"


def test_a_broker_that_cannot_be_used_is_corrected_or_given_up():
    prompt = FakePrompt(which_broker="another", host="wrong|right", again="yes")
    answers = ask_all(prompt, broker_results=(False, True))
    assert answers is not None
    assert answers.broker.host == "right"
    assert ask_all(FakePrompt(which_broker="another", host="wrong"), broker_results=(False,)) is None


def test_people_are_asked_for_until_an_empty_answer_and_their_names_are_topic_levels():
    prompt = FakePrompt(
        which_backend="webwx", which_broker="none", person="a/b|wife|son|", remark="老婆|儿子"
    )
    answers = ask_all(prompt)
    assert answers is not None
    assert answers.people == {"wife": "老婆", "son": "儿子"}
    assert any("topic level" in line for line in prompt.shown_lines)


def test_of_ilink_only_the_owner_is_asked_for_a_name():
    prompt = FakePrompt(which_backend="ilink", which_broker="none", owner="a/b|me")
    answers = ask_all(prompt)
    assert answers is not None
    assert (answers.backend, answers.owner, answers.people) == ("ilink", "me", {})
    assert setup_text("en", "backends") in prompt.shown_lines, "which to choose is said before"
    assert setup_text("en", "person") not in prompt.questions
    assert any("topic level" in line for line in prompt.shown_lines)


@pytest.mark.parametrize("key", ["remind", "renew"])
def test_on_ilink_each_safeguard_is_asked_for_and_is_off_unless_it_is_wanted(key):
    for answer, is_on in (("yes", True), ("no", False), (None, False)):
        script = {} if answer is None else {key: answer}
        answers = ask_all(FakePrompt(which_backend="ilink", which_broker="none", **script))
        assert answers is not None
        assert getattr(answers, key) is is_on
    prompt = FakePrompt(which_broker="none")
    given: dict[str, Any] = {"backend": "ilink", "owner": "me", key: True}
    answers = ask_all(prompt, **given)
    assert answers is not None
    assert getattr(answers, key) is True
    assert setup_text("en", key) not in prompt.questions
    prompt = FakePrompt(which_backend="webwx", which_broker="none")
    ask_all(prompt)
    assert setup_text("en", key) not in prompt.questions


@pytest.mark.parametrize("backend", ["ilink", "webwx"])
def test_a_fallback_for_urgent_messages_is_asked_for_on_every_backend(backend):
    prompt = FakePrompt(which_backend=backend, which_broker="none", fallback="yes", fallback_url="x|json://y")
    answers = ask_all(prompt)
    assert answers is not None
    assert answers.fallback_url == "json://y"
    assert setup_text("en", "no_fallback_url") in prompt.shown_lines
    default = ask_all(FakePrompt(which_backend=backend, which_broker="none"))
    assert default is not None
    assert default.fallback_url == ""
    file = Path("/etc/urls")
    prompt = FakePrompt(which_broker="none")
    given = ask_all(prompt, backend=backend, fallback_file=file)
    assert given is not None
    assert (given.fallback_file, given.fallback_url) == (file, "")
    assert setup_text("en", "fallback") not in prompt.questions


@every_row(
    ("found_brokers", "given", "hosts"),
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
def test_hosts_of_home_assistant_are_proposed_for_pictures(found_brokers, given, hosts):
    answers = ask_all(Prompt(print), *found_brokers, **given)
    assert answers is not None
    assert answers.allow_hosts == hosts


@every_row(
    ("language", "sentence"),
    [
        ("en", "if you open it by an IP address: by that, too"),
        ("zh", "用 IP 打开 Home Assistant 的，要把这个 IP 也填进去"),
    ],
)
def test_the_question_for_hosts_says_that_an_ip_address_is_a_host_of_its_own(language, sentence):
    assert sentence in setup_text(language, "allow_hosts")


def test_hosts_of_cameras_can_be_added_and_a_wrong_host_is_asked_again():
    prompt = FakePrompt(
        which_broker="none", home_assistant="yes", allow_hosts="http://x|192.168.1.20 door.lan"
    )
    answers = ask_all(prompt)
    assert answers is not None
    assert answers.allow_hosts == ("192.168.1.20", "door.lan")
    assert setup_text("en", "no_host") in prompt.shown_lines
    without_hosts = ask_all(FakePrompt(which_broker="none", home_assistant="yes", allow_hosts="-"))
    assert without_hosts is not None
    assert without_hosts.allow_hosts == ()


def test_ilink_is_proposed_first_with_a_name_and_on_webwx_the_owner_is_not_asked_for_one():
    proposed = ask_all(FakePrompt(which_broker="none"))
    assert proposed is not None
    assert (proposed.backend, proposed.owner) == ("ilink", "me")
    prompt = FakePrompt(which_backend="webwx", which_broker="none")
    answers = ask_all(prompt)
    assert answers is not None
    assert answers.backend == "webwx"
    assert setup_text("en", "owner") not in prompt.questions


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
def test_the_backend_is_not_asked_for_where_the_options_decide_it(given, backend):
    prompt = FakePrompt(which_broker="none")
    answers = ask_all(prompt, **given)
    assert answers is not None
    assert answers.backend == backend
    assert setup_text("en", "which_backend") not in prompt.questions


def test_the_questions_after_the_choice_of_a_language_are_in_it():
    prompt = FakePrompt(which_language="中文")
    prompt._script["使用哪个"] = ["没有"]
    answers = ask_all(prompt)
    assert answers is not None
    assert answers.language == "zh"
    assert setup_text("zh", "home_assistant") in prompt.questions


def test_what_the_options_say_is_not_asked_for():
    prompt = FakePrompt()
    answers = ask_all(
        prompt,
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
    assert prompt.questions == []
    assert answers == SetupAnswers(
        broker=BrokerAnswers(host="b", username="me", password="geheim"),
        language="zh",
        home_assistant=False,
        backend="webwx",
        people={"wife": "老婆"},
        fallback_file=Path("/etc/urls"),
        allow_hosts=("door.lan",),
    )


def test_a_wrong_user_of_an_option_can_be_corrected():
    prompt = FakePrompt(again="yes", user="other", password="richtig")
    answers = ask_all(prompt, host="b", username="me", password="falsch", broker_results=(False, True))
    assert answers is not None
    assert (answers.broker.username, answers.broker.password) == ("other", "richtig")


def test_a_password_file_is_kept_where_it_is():
    answers = ask_all(Prompt(print), host="b", username="me", password_file=Path("/etc/secret"))
    assert answers is not None
    assert (answers.password_file, answers.broker.password) == (Path("/etc/secret"), "")


def test_without_a_terminal_the_found_broker_and_the_defaults_are_taken():
    shown_lines: list[str] = []
    answers = ask_all(Prompt(shown_lines.append), SUPERVISOR, LOCAL)
    assert answers == SetupAnswers(
        broker=SUPERVISOR.broker,
        language="en",
        home_assistant=True,
        backend="ilink",
        owner="me",
        allow_hosts=("homeassistant", "homeassistant.local"),
    )
    assert ask_all(Prompt(shown_lines.append), SUPERVISOR, broker_results=(False,)) is None


def test_the_broker_is_not_tested_where_the_options_say_so():
    def never(_answers: SetupAnswers) -> bool:
        pytest.fail("the broker was tested")

    given = SetupOptions(host="away", try_broker=False)
    answers = Questions(given, Prompt(print), "en", (), never).ask_all()
    assert answers is not None
    assert answers.broker.host == "away"


@every_row(
    ("given", "missing"),
    [
        ({}, ["--backend", "--host", "--home-assistant", "--language"]),
        ({"backend": "ilink", "embedded": True, "language": "en"}, ["--home-assistant"]),
        ({"owner": "me", "host": "b", "home_assistant": False, "language": "zh"}, []),
        ({"people": {"wife": "老婆"}, "host": "b", "home_assistant": False, "language": "zh"}, []),
    ],
)
def test_where_nobody_can_be_asked_the_missing_options_are_named(given, missing):
    assert SetupOptions(**given).missing_options == missing


def test_no_password_is_in_the_text_of_an_object():
    assert "geheim" not in repr(SUPERVISOR) + repr(SetupOptions(password="geheim"))


def test_every_message_is_used():
    folder = Path(__file__).parents[3] / "wx2mqtt"
    code = "".join(
        path.read_text()
        for path in [*folder.glob("setup/*.py"), folder / "cli" / "setup.py", folder / "i18n" / "setup.py"]
    )
    for word in SETUP_MESSAGES:
        assert code.count(f'"{word}"') > 1 or word.startswith(("found_", "is_")), word


def test_a_table_of_the_backends_is_shown_before_one_is_chosen():
    prompt = FakePrompt(which_backend="ilink", which_broker="none")
    ask_all(prompt)
    table = backend_table("en")
    assert [line for line in prompt.shown_lines if line in table] == table
    assert table[0].split() == ["ilink", "wecom", "webwx"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_of_backends_fits_into_a_terminal(language: Language):
    assert max(map(text_width, backend_table(language))) <= 80


BOT_OPTIONS: dict[str, Any] = {"backend": "wecom", "owner": "me", "embedded": True}


def ask_about_bot(prompt: FakePrompt, **given: Any) -> SetupAnswers:
    answers = ask_all(prompt, **{**BOT_OPTIONS, **given})
    assert answers is not None
    return answers


def test_without_a_bot_id_the_bot_is_made_by_a_scan():
    answers = ask_about_bot(FakePrompt())
    assert (answers.bot_id, answers.bot_secret, answers.bot_secret_file, answers.userid) == ("", "", None, "")


def test_the_secret_of_a_bot_is_asked_for_until_it_is_given():
    prompt = FakePrompt(bot_id="aib1", bot_secret="|geheim", userid="ZhangSan")
    answers = ask_about_bot(prompt)
    assert (answers.bot_id, answers.bot_secret, answers.userid) == ("aib1", "geheim", "ZhangSan")
    assert setup_text("en", "no_bot_secret") in prompt.shown_lines


def test_of_a_bot_only_what_no_option_says_is_asked():
    prompt = FakePrompt()
    answers = ask_about_bot(prompt, bot_id="aib1", secret_file=Path("/etc/w/secret"), userid="")
    assert (answers.bot_id, answers.bot_secret, answers.bot_secret_file) == (
        "aib1",
        "",
        Path("/etc/w/secret"),
    )
    assert not {setup_text("en", key) for key in ("bot_id", "bot_secret", "userid")} & {*prompt.questions}


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
    remaining = list(answers)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: remaining.pop(0))
    assert confirm("sure?", default=default) is expected
    assert not remaining
