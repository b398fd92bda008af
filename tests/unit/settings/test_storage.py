"""The keys of a store in a database, and of the instances that share it."""

from __future__ import annotations

import base64
import importlib.util

import pytest

from wx2mqtt.cli.main import run_command_line
from wx2mqtt.settings import cross_key_rules
from wx2mqtt.settings.field_types import parse_login_keys

KEY = base64.b64encode(bytes(range(32))).decode()
URL = "postgresql://wx2mqtt@db/wx2mqtt"


def private(path, content):
    path.touch(mode=0o600)
    path.write_text(content)
    return path


def test_a_database_is_named_by_its_url_a_password_and_a_key(loaded, tmp_path):
    private(tmp_path / "password", "geheim\n")
    private(tmp_path / "key", f"{KEY}\n")
    result = loaded(
        f"""
        storage: {{url: "{URL}", password_file: password, key_file: key}}
        cluster: {{instance: east-1, max_accounts: 20}}
        """
    )
    storage = result.settings.storage
    assert result.warnings == ()
    assert storage.url == URL
    assert storage.password.get_secret_value() == "geheim"
    assert parse_login_keys(storage.key.get_secret_value()) == (bytes(range(32)),)
    assert (result.settings.cluster.instance, result.settings.cluster.max_accounts) == ("east-1", 20)
    assert KEY not in repr(result)
    assert "geheim" not in repr(result)


def test_password_and_key_also_come_from_the_environment_and_from_credentials(loaded, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    private(credentials / "storage.password", "geheim")
    private(credentials / "storage.key", KEY)
    by_credential = loaded(WX2MQTT_STORAGE__URL=URL, CREDENTIALS_DIRECTORY=str(credentials))
    by_variable = loaded(
        WX2MQTT_STORAGE__URL=URL, WX2MQTT_STORAGE__PASSWORD="geheim", WX2MQTT_STORAGE__KEY=KEY
    )
    for result in (by_credential.settings.storage, by_variable.settings.storage):
        assert (result.password.get_secret_value(), result.key.get_secret_value()) == ("geheim", KEY)


def test_a_database_without_a_key_is_refused_with_the_command_that_makes_one(faults):
    (problem,) = faults(f'storage: {{url: "{URL}"}}')
    assert problem.startswith("wx2mqtt.yaml:1: storage.url: needs storage.key_file: ")
    assert "wx2mqtt cluster new-key > storage.key" in problem


def test_a_key_file_that_is_not_there_is_one_problem(faults):
    (problem,) = faults(f'storage: {{url: "{URL}", key_file: nowhere}}')
    assert problem == (
        "wx2mqtt.yaml:1: storage.key_file: there is no file nowhere; create it, or correct the path"
    )


@pytest.mark.parametrize("text", ["x", "!" * 44, base64.b64encode(b"x" * 31).decode(), "钥匙"])
def test_a_file_with_another_content_than_a_key_is_one_problem(faults, tmp_path, text):
    private(tmp_path / "key", text)
    (problem,) = faults(f'storage: {{url: "{URL}", key_file: key}}')
    assert problem.startswith("wx2mqtt.yaml:1: storage.key: ")
    assert problem.endswith("make one with: wx2mqtt cluster new-key")


OTHER = base64.b64encode(bytes(range(1, 33))).decode()


@pytest.mark.parametrize("text", [f"{OTHER}\n{KEY}\n", f"{OTHER}\r\n{KEY}\r\n", f"\n{OTHER}\n\n{KEY}"])
def test_a_key_file_may_have_the_new_key_and_then_the_one_before_it(loaded, tmp_path, text):
    private(tmp_path / "key", text)
    result = loaded(f'storage: {{url: "{URL}", key_file: key}}')
    keys = parse_login_keys(result.settings.storage.key.get_secret_value())
    assert keys == (bytes(range(1, 33)), bytes(range(32)))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([KEY, OTHER, "A" * 43 + "="], "has more than two lines"), ([KEY, KEY], "has the same key twice")],
)
def test_more_keys_or_one_key_twice_is_one_problem(faults, tmp_path, lines, expected):
    private(tmp_path / "key", "\n".join(lines))
    (problem,) = faults(f'storage: {{url: "{URL}", key_file: key}}')
    assert problem.startswith(f"wx2mqtt.yaml:1: storage.key: {expected}")
    assert KEY not in problem


def test_without_psycopg_a_database_is_refused_with_the_command_that_installs_it(faults, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        cross_key_rules, "find_spec", lambda name: None if name == "psycopg" else find_spec(name)
    )
    (problem,) = faults(f'storage: {{url: "{URL}", key: {KEY}}}')
    assert problem.endswith("-r deploy/postgresql.lock")


def test_keys_that_need_a_database_are_warned_of_without_one(loaded):
    result = loaded(
        f"""
        storage: {{password: x, key: {KEY}}}
        cluster: {{max_accounts: 2}}
        """
    )
    assert [
        (warning.key, "has no effect without storage.url" in warning.message) for warning in result.warnings
    ] == [
        ("storage.password", True),
        ("storage.key", True),
        ("cluster", True),
    ]


@pytest.mark.parametrize("name", ["''", "a b", "x" * 65, "a/b", "猫"])
def test_a_bad_name_of_an_instance_is_refused(faults, name):
    (problem,) = faults(f'storage: {{url: "{URL}", key: {KEY}}}\ncluster: {{instance: {name}}}')
    assert problem.startswith("wx2mqtt.yaml:2: cluster.instance: must have 1 to 64 characters of ")


def test_a_new_key_is_one_line_and_each_is_another_one(capsys):
    keys = set()
    for _ in range(2):
        assert run_command_line(["cluster", "new-key"]) == 0
        keys.add(capsys.readouterr().out)
    assert len(keys) == 2
    assert all(len(key.splitlines()) == 1 and len(parse_login_keys(key)[0]) == 32 for key in keys)
