"""The order of all checks, and what the doctor leaves alone on its way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wx2mqtt.diagnostics import all_checks
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import AccountTarget, DiagnosticTarget
from wx2mqtt.mqtt.options import BrokerAddress
from wx2mqtt.settings.schema import Account, Mqtt, Settings, Storage


class FakeChecks:
    """Takes the place of all checks; `calls` are their names in order, `answering` the brokers that answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answering: str) -> None:
        self.calls: list[str] = []
        self.saved_logins: dict[str, Mapping[str, object] | None] = {}
        self._answering = answering
        for name in ("check_database", "check_wechat", "check_bots"):
            monkeypatch.setattr(all_checks, name, self._check(name))
        monkeypatch.setattr(all_checks, "ConnectionCheck", self._connection_check)
        monkeypatch.setattr(all_checks, "BehaviourCheck", self._behaviour_check)
        monkeypatch.setattr(all_checks, "PermissionCheck", self._permission_check)
        monkeypatch.setattr(all_checks, "running_bridge_status", self._bridge_status)

    def _check(self, name: str) -> Any:
        async def check(*_arguments: object, **_options: object) -> None:
            self.calls.append(name)

        return check

    def _runs(self, call: str, result: object = None) -> Any:
        async def run() -> object:
            self.calls.append(call)
            return result

        return run

    def _connection_check(
        self, target: DiagnosticTarget, address: BrokerAddress, _report: CheckReport
    ) -> Any:
        self.saved_logins = {account.name: account.saved_login for account in target.accounts}
        broker = SimpleNamespace(connect_target=SimpleNamespace(is_mqtt_5=True))
        return SimpleNamespace(
            run=self._runs(f"connect {address.host}", broker if address.host in self._answering else None)
        )

    def _behaviour_check(self, *_: object) -> Any:
        return SimpleNamespace(run_checks=self._runs("behaviour"), is_unresponsive=False)

    def _permission_check(self, _target: DiagnosticTarget, account: AccountTarget, *_: object) -> Any:
        return SimpleNamespace(run_checks=self._runs(f"rights of {account.name}"))

    async def _bridge_status(self, _folder: Path, _account: str) -> None:
        """Returns that no bridge runs."""


def settings(folder: Path, *brokers: str) -> Any:
    accounts = {"home": Account(), "office": Account()}
    urls = tuple(f"mqtt://{broker}" for broker in brokers)
    return SimpleNamespace(
        settings=Settings(mqtt=Mqtt(url=urls), storage=Storage(path=folder), accounts=accounts)
    )


async def test_every_broker_is_tried_and_the_first_that_answers_is_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = FakeChecks(monkeypatch, "b", "c")
    await all_checks.run_checks(settings(tmp_path, "a", "b", "c"), {})
    assert checks.calls == [
        "check_database",
        *("connect a", "connect b", "connect c"),
        *("behaviour", "rights of home", "rights of office"),
        *("check_wechat", "check_bots"),
    ]


async def test_without_a_broker_that_answers_wechat_is_still_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = FakeChecks(monkeypatch)
    await all_checks.run_checks(settings(tmp_path, "a"), {})
    assert checks.calls == ["check_database", "connect a", "check_wechat", "check_bots"]


async def test_a_damaged_saved_login_is_left_alone_and_hides_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sessions").mkdir()
    damaged = tmp_path / "sessions/home.json"
    damaged.write_text("{cut off")
    (tmp_path / "sessions/office.json").write_text(json.dumps({"backend": "webwx"}))
    checks = FakeChecks(monkeypatch)
    await all_checks.run_checks(settings(tmp_path, "a"), {})
    assert checks.saved_logins == {"home": None, "office": {"backend": "webwx"}}
    assert damaged.read_text() == "{cut off"


async def test_setup_checks_the_broker_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = FakeChecks(monkeypatch, "a")
    assert await all_checks.check_broker(settings(tmp_path, "a").settings, CheckReport("en"))
    assert not await all_checks.check_broker(settings(tmp_path, "b").settings, CheckReport("en"))
    assert not {"check_database", "check_wechat", "check_bots"} & {*checks.calls}
