"""The configuration that follows from the answers means just these, and explains every other key."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.docs.derived import example_text
from tests.support.rows import every_row
from wx2mqtt.bridge.people import topic_names
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.names_and_topics import topic_name_fault
from wx2mqtt.settings.schema import Settings
from wx2mqtt.settings.writer import LINE_WIDTH, compose
from wx2mqtt.setup.written_files import (
    FALLBACK_FILE_NAME,
    PASSWORD_FILE_NAME,
    BrokerAnswers,
    SetupAnswers,
    config_text,
)
from wx2mqtt.wechat.registry import BACKENDS

EMBEDDED = SetupAnswers(broker=BrokerAnswers(), language="en", home_assistant=False, backend="webwx")


def loaded(folder: Path, answers: SetupAnswers) -> Settings:
    (folder / PASSWORD_FILE_NAME).write_text("geheim\n")
    (folder / PASSWORD_FILE_NAME).chmod(0o600)
    file = folder / "wx2mqtt.yaml"
    file.write_text(config_text(answers))
    result = load(file, {}, BACKENDS)
    assert result.warnings == ()
    return result.settings


def answers(**more) -> SetupAnswers:
    broker = BrokerAnswers(host="broker.lan", username="bridge", password="geheim")
    defaults = {
        "broker": broker,
        "language": "zh",
        "home_assistant": True,
        "backend": "webwx",
        "people": {"wife": "老婆"},
    }
    return SetupAnswers(**{**defaults, **more})


def test_all_answers_are_in_the_configuration(tmp_path):
    settings = loaded(tmp_path, answers())
    assert settings.mqtt.url == ("mqtt://broker.lan:1883",)
    assert settings.mqtt.username == "bridge"
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.get_secret_value() == "geheim"
    assert settings.accounts["home"].contacts["wife"].remark == "老婆"
    assert (settings.homeassistant.enabled, settings.homeassistant.expose) == (True, ("wife",))
    assert settings.language == "zh"


@pytest.mark.parametrize(("name", "topic"), [("me", "me"), ("", topic_names.OWNER_TOPIC_NAME)])
def test_on_ilink_the_owner_alone_is_known(tmp_path, name, topic):
    settings = loaded(tmp_path, answers(backend="ilink", people={}, owner=name))
    account = settings.accounts["home"]
    assert account.backend == "ilink"
    assert {user: pin.owner for user, pin in account.contacts.items()} == ({name: True} if name else {})
    assert settings.homeassistant.expose == (topic,)


@pytest.mark.parametrize(("remind", "before"), [(True, 7200.0), (False, None)])
def test_an_owner_who_wants_it_is_reminded_two_hours_before(tmp_path, remind, before):
    settings = loaded(tmp_path, answers(backend="ilink", people={}, owner="me", remind=remind))
    assert settings.accounts["home"].ilink.remind.before == before


@pytest.mark.parametrize(("renew", "after"), [(True, 25 * 86_400.0), (False, None)])
def test_an_owner_who_wants_it_gets_the_code_of_the_next_login(tmp_path, renew, after):
    settings = loaded(tmp_path, answers(backend="ilink", people={}, owner="me", renew=renew))
    assert settings.accounts["home"].ilink.renew.after == after


def test_the_address_of_a_fallback_is_in_a_file_of_its_own(tmp_path):
    (tmp_path / FALLBACK_FILE_NAME).write_text("json://localhost\n")
    (tmp_path / FALLBACK_FILE_NAME).chmod(0o600)
    chosen = answers(fallback_url="json://localhost")
    assert "json://" not in config_text(chosen) + repr(chosen)
    (url,) = loaded(tmp_path, chosen).accounts["home"].fallback.urls
    assert url.get_secret_value() == "json://localhost"


def test_an_existing_file_of_fallback_addresses_stays_where_it_is(tmp_path):
    (file := tmp_path / "mine").write_text("json://localhost\njson://other\n")
    file.chmod(0o600)
    assert len(loaded(tmp_path, answers(fallback_file=file)).accounts["home"].fallback.urls) == 2


def test_hosts_whose_pictures_may_be_sent_are_allowed(tmp_path):
    hosts = ("homeassistant.local", "192.168.1.20", "[fd00::1]")
    assert loaded(tmp_path, answers(allow_hosts=hosts)).accounts["home"].media.allow_hosts == hosts


def test_the_password_is_not_in_the_configuration():
    assert "geheim" not in config_text(answers())
    assert "geheim" not in repr(answers())


def test_without_any_answer_the_configuration_means_the_defaults_with_an_embedded_broker(tmp_path):
    settings = loaded(tmp_path, EMBEDDED)
    assert settings.mqtt.url == ("embedded",)
    assert settings.model_copy(update={"mqtt": Settings().mqtt}) == Settings()


@pytest.mark.parametrize(
    ("broker", "url"),
    [
        (BrokerAnswers(host="broker.lan", port=8883, tls=True), "mqtts://broker.lan:8883"),
        (BrokerAnswers(host="::1"), "mqtt://[::1]:1883"),
        (BrokerAnswers(), "embedded"),
    ],
)
def test_a_broker_has_its_url(tmp_path, broker, url):
    assert loaded(tmp_path, answers(broker=broker)).mqtt.url == (url,)


def test_an_authority_and_a_password_file_that_exist_are_named_where_they_are(tmp_path):
    (ca := tmp_path / "ca.pem").write_text("")
    (secret := tmp_path / "secret").write_text("other\n")
    secret.chmod(0o600)
    broker = BrokerAnswers(host="b", port=8883, tls=True, ca_file=ca, username="me")
    settings = loaded(tmp_path, answers(broker=broker, password_file=secret))
    assert settings.mqtt.tls.ca_file == ca
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.get_secret_value() == "other"


def test_every_key_is_in_the_configuration_once_with_its_explanation():
    def without_comment_marks(text):
        return [" ".join(line.replace("#", " ").split()) for line in text.splitlines() if line.strip()]

    head = sum(line.startswith("#") for line in example_text().splitlines())
    expected, written = (
        without_comment_marks(example_text())[head:],
        without_comment_marks(config_text(replace(EMBEDDED, backend="ilink"))),
    )
    assert [line for line in expected if line not in written] == ["url: mqtt://localhost:1883"]


def test_the_chosen_backend_is_in_the_configuration():
    data = yaml.safe_load(config_text(EMBEDDED))
    assert data["accounts"] == {"home": {"backend": "webwx"}}


@pytest.mark.parametrize("chosen", [EMBEDDED, answers()])
def test_no_line_is_too_long(chosen):
    assert all(len(line) <= LINE_WIDTH for line in config_text(chosen).splitlines())


def test_a_commented_key_counts_when_its_comment_mark_is_removed(tmp_path):
    text = config_text(EMBEDDED)
    for line in ("# web:", "  # listen: 127.0.0.1:8099"):
        assert line in text
        text = text.replace(line, line.replace("# ", "", 1))
    file = tmp_path / "c.yaml"
    file.write_text(text.replace("127.0.0.1:8099", "127.0.0.1:8100"))
    assert load(file, {}, BACKENDS).settings.web.listen == "127.0.0.1:8100"


LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30)


@given(
    name=LINES.filter(lambda name: not topic_name_fault(name)),
    remark=LINES.filter(lambda text: bool(text.strip())),
    user=LINES.filter(lambda text: bool(text.strip())),
)
def test_any_name_of_a_person_is_read_as_it_was_written(name, remark, user):
    text = config_text(answers(broker=BrokerAnswers(host="b", username=user), people={name: remark}))
    data = yaml.safe_load(text)
    assert data["mqtt"]["username"] == user
    assert data["accounts"]["home"]["contacts"] == {name: {"remark": remark}}
    assert data["homeassistant"]["expose"] == [name]


@every_row("value", ["yes", "1", "a, b", "a: b", "# x", "[x]", "{x", '"', "'", "- x", "null", "~"])
def test_a_text_that_yaml_would_read_otherwise_is_quoted(value):
    text = compose({("mqtt", "username"): value, ("homeassistant", "expose"): [value]}, "", "en")
    data = yaml.safe_load(text)
    assert data == {"mqtt": {"username": value}, "homeassistant": {"expose": [value]}}


def test_the_comments_are_in_the_language_of_the_answers():
    comments = [line.partition("# ")[2] for line in config_text(answers()).splitlines() if "# " in line]
    chinese = [comment for comment in comments if re.search(r"[\u4e00-\u9fff]", comment)]
    assert len(chinese) > 60
    others = [comment for comment in comments if comment not in chinese]
    assert [comment for comment in others if re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", comment)] == []
    assert "the name of an account" in config_text(EMBEDDED)
