"""The demo uses no service and no account of a file of one's own, and all that the bridge does with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wx2mqtt.demo.configuration import (
    DEMO_CLIENT_ID,
    DEMO_PINS,
    SAMPLE_PICTURE,
    BrokerLogin,
    DemoBackend,
    DemoParts,
    demo_settings,
    own_settings,
    write_control_file,
)
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Expect, Settings
from wx2mqtt.wechat.registry import BACKENDS

OWN: dict[str, Any] = {
    "mqtt": {"url": "mqtts://broker.lan", "username": "me", "password": "geheim", "client_id": "own"},
    "accounts": {
        "work": {
            "backend": "wecom",
            "endpoint": "https://wecom.example.org",
            "expect": {"wecom": "boss"},
            "wecom": {"bot_id": "aib1", "secret": "geheim"},
            "contacts": {"boss": {"wecom": "userid:boss"}},
            "fallback": {"urls": ["bark://geheim"], "after": "5s"},
            "media": {"allow_hosts": ["camera.lan"]},
        },
        "club": {"backend": "ilink"},
    },
    "web": {"listen": "0.0.0.0:80", "password": "p4ssword", "senders_listen": "0.0.0.0:81"},
    "storage": {"path": "/srv/wx2mqtt", "max_size": "1GB"},
    "language": "zh",
}


def parts(folder: Path, **changes: Any) -> DemoParts:
    defaults: dict[str, Any] = {
        "phones": {name: f"http://127.0.0.1:8070/{name}" for name in ("home", "work", "club")},
        "broker": BrokerLogin(url="mqtt://127.0.0.1:1883"),
        "is_shared": False,
        "web": "127.0.0.1:8099",
        "service": "json://127.0.0.1:9000/",
        "folder": folder,
        "language": "en",
    }
    return DemoParts(**{**defaults, **changes})


def own(folder: Path, file: dict[str, Any], **changes: Any) -> Settings:
    loaded = LoadedSettings(settings=Settings.model_validate(file), path=Path("/etc/wx2mqtt.yaml"))
    demo = own_settings(loaded, parts(folder, **changes))
    assert demo.path is None, "a reload would use the services of the file"
    return demo.settings


def test_nothing_that_is_outside_of_the_machine_stays(tmp_path: Path) -> None:
    settings = own(tmp_path, OWN)
    account = settings.accounts["work"]
    assert account.endpoint == "http://127.0.0.1:8070/work"
    assert [url.get_secret_value() for url in account.fallback.urls] == ["json://127.0.0.1:9000/"]
    assert (account.wecom.bot_id, account.wecom.secret, account.expect) == (None, None, Expect())
    assert settings.mqtt.url == ("mqtt://127.0.0.1:1883",)
    assert (settings.mqtt.username, settings.mqtt.password, settings.mqtt.client_id) == (None, None, None)
    assert (settings.web.listen, settings.web.senders_listen) == ("127.0.0.1:8099", None)
    assert str(settings.storage.path) == str(tmp_path / "store")


def test_what_the_bridge_does_stays_as_in_the_file(tmp_path: Path) -> None:
    settings = own(tmp_path, OWN)
    account = settings.accounts["work"]
    assert (account.backend, account.contacts["boss"].wecom) == ("wecom", "userid:boss")
    assert account.fallback.after == 5.0
    assert "camera.lan" in account.media.allow_hosts
    assert settings.language == "zh"
    assert settings.storage.max_size == Settings.model_validate(OWN).storage.max_size


def test_an_account_without_a_fallback_gets_none(tmp_path: Path) -> None:
    assert own(tmp_path, OWN).accounts["club"].fallback.urls == ()


def test_a_file_without_accounts_gets_the_account_of_the_demo(tmp_path: Path) -> None:
    accounts = own(tmp_path, {"language": "zh"}).accounts
    assert accounts == demo_settings("ilink", parts(tmp_path)).settings.accounts


def test_at_a_shared_broker_the_demo_has_its_own_client_id_and_the_given_login(tmp_path: Path) -> None:
    broker = BrokerLogin(url="mqtt://broker.lan", username="demo", password="geheim")
    mqtt = own(tmp_path, OWN, broker=broker, is_shared=True).mqtt
    assert (mqtt.url, mqtt.username, mqtt.client_id) == (("mqtt://broker.lan",), "demo", DEMO_CLIENT_ID)
    assert mqtt.password is not None
    assert mqtt.password.get_secret_value() == "geheim"


@pytest.mark.parametrize("backend", BACKENDS)
def test_on_every_backend_the_demo_has_people_and_a_fallback(tmp_path: Path, backend: DemoBackend) -> None:
    settings = demo_settings(backend, parts(tmp_path)).settings
    account = settings.accounts["home"]
    assert (account.backend, account.contacts) == (backend, DEMO_PINS[backend])
    assert account.fallback.urls
    assert set(settings.homeassistant.expose) <= account.contacts.keys()


def test_a_picture_of_the_owner_is_not_replaced_by_the_sample(tmp_path: Path) -> None:
    demo_settings("ilink", parts(tmp_path))
    sample = tmp_path / "files" / SAMPLE_PICTURE
    assert sample.read_bytes().startswith(b"\xff\xd8")
    sample.write_bytes(b"own")
    demo_settings("ilink", parts(tmp_path))
    assert sample.read_bytes() == b"own"


def test_commands_find_the_demo_by_a_file_without_secrets(tmp_path: Path) -> None:
    demo_parts = parts(tmp_path)
    write_control_file(own(tmp_path, OWN), demo_parts)
    assert json.loads(demo_parts.control_file.read_text()) == {
        "language": "zh",
        "storage": {"path": str(tmp_path / "store")},
        "accounts": {"work": {"backend": "wecom"}, "club": {"backend": "ilink"}},
    }
