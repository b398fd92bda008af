"""What the doctor finds out about a bot without ending anybody's connection, and what it tries when it may."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wx2mqtt.app import control_socket
from wx2mqtt.diagnostics import wecom_bots as module
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import diagnostic_target
from wx2mqtt.diagnostics.wecom_bots import check_bots
from wx2mqtt.errors import LoginRefused, Unreachable, Wx2MqttError
from wx2mqtt.model import Cursor, Handle, Json, Owner
from wx2mqtt.settings.schema import Settings
from wx2mqtt.wechat.backend import (
    LoggedIn,
    LoginStep,
    QrExpired,
    ShowQr,
)
from wx2mqtt.wechat.backend_options import BackendOptions

SAVED: Mapping[str, object] = {"backend": "wecom", "bot_id": "aib1", "secret": "s"}
LOGGED_IN = LoggedIn(
    owner=Owner(handle=Handle("aib1"), nickname=""), login_id="wecom:aib1", resumed=True, cursor=Cursor("")
)


class ScriptedBackend:
    """A backend whose login yields or raises `steps`; `options` are those that it was created with."""

    def __init__(self) -> None:
        self.steps: list[LoginStep | Exception] = []
        self.options: BackendOptions | None = None
        self.is_closed = False

    def create(self, options: BackendOptions) -> ScriptedBackend:
        self.options = options
        return self

    async def login(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        assert resume
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ScriptedBackend:
    backend = ScriptedBackend()
    entry = SimpleNamespace(capabilities=SimpleNamespace(owner_is_named=True), create=backend.create)
    monkeypatch.setattr(module, "backend_entry", lambda _name: entry)

    async def no_bridge(*_: object) -> Json:
        raise control_socket.BridgeNotRunning

    monkeypatch.setattr(control_socket, "ask_bridge", no_bridge)
    return backend


async def check_bot(
    folder: Path,
    *,
    saved: Mapping[str, object] | None = SAVED,
    take_over: bool = False,
    settings: Settings | None = None,
) -> list[tuple[str, str]]:
    """Returns status and finding of each result."""
    settings = settings or Settings()
    report = CheckReport("en")
    loaded: Any = SimpleNamespace(settings=settings)
    target = diagnostic_target(settings, {} if saved is None else {"home": saved})
    await check_bots(loaded, target, report, folder, take_over=take_over)
    assert all(result.remedy for result in report.results if result.status != "ok")
    return [(str(result.status), result.finding) for result in report.results]


async def check_beside_bridge(
    monkeypatch: pytest.MonkeyPatch, folder: Path, answers: Mapping[str, Json]
) -> list[tuple[str, str]]:
    """Returns status and finding of each result while a bridge runs that answers so."""

    async def ask_bridge(asked_folder: Path, name: str, fields: Mapping[str, Json]) -> Json:
        assert (asked_folder, fields) == (folder, {"account": "home"})
        if name not in answers:
            raise Wx2MqttError("this bridge does not know it")
        return answers[name]

    monkeypatch.setattr(control_socket, "ask_bridge", ask_bridge)
    return await check_bot(folder, take_over=True)


ONLINE: Json = {"state": "online", "reason": "logged in"}


@pytest.mark.parametrize(
    ("login", "owner", "findings"),
    [
        (ONLINE, {"need": "", "people": ["li"]}, [("ok", "the bridge is connected with it")]),
        (ONLINE, {}, [("ok", "the bridge is connected with it")]),
        (
            ONLINE,
            {"need": "owner_unconfirmed", "people": []},
            [
                ("ok", "the bridge is connected with it"),
                ("warning", "nobody has written to it yet"),
                ("warning", "a scan made it, and nobody is trusted yet"),
            ],
        ),
        (
            ONLINE,
            {"need": "owner_unnamed", "people": ["li"]},
            [("ok", "the bridge is connected with it"), ("warning", "it has no owner yet")],
        ),
        (
            {"state": "refused", "reason": "wrong secret"},
            {},
            [("failed", "WeCom refuses it: wrong secret")],
        ),
        (
            {"state": "logged_out", "reason": "another program uses the bot"},
            {},
            [("failed", "its use has ended: another program uses the bot")],
        ),
        ({"state": "waiting_for_scan", "reason": "scan"}, {}, [("warning", "there is no bot yet")]),
        ({"state": "interrupted", "reason": "40001"}, {}, [("warning", "no connection: 40001")]),
    ],
)
async def test_a_running_bridge_is_asked_and_nothing_is_tried(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: ScriptedBackend,
    login: Json,
    owner: Json,
    findings: list[tuple[str, str]],
):
    assert (
        await check_beside_bridge(monkeypatch, tmp_path, {"login.state": login, "owner.show": owner})
        == findings
    )
    assert backend.options is None


async def test_a_bridge_that_does_not_answer_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: ScriptedBackend
):
    ((status, finding),) = await check_beside_bridge(monkeypatch, tmp_path, {})
    assert status == "not_known"
    assert "does not know it" in finding
    assert backend.options is None


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ("pi2", ("not_known", "the instance pi2 runs it, so it was not tried")),
        (
            Wx2MqttError("no server"),
            ("not_known", "the instance ? (no server) runs it, so it was not tried"),
        ),
        ("", ("ok", "WeCom takes its Bot ID and Secret")),
    ],
)
async def test_a_bot_that_another_instance_may_use_is_left_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: ScriptedBackend,
    answer: str | Wx2MqttError,
    finding: tuple[str, str],
):
    async def cluster_report(_loaded: object) -> Json:
        if isinstance(answer, Wx2MqttError):
            raise answer
        return {
            "accounts": [{"account": "other", "instance": "pi1"}, {"account": "home", "instance": answer}]
        }

    monkeypatch.setattr("wx2mqtt.app.cluster_operations.cluster_report", cluster_report)
    backend.steps = [LOGGED_IN]
    shared = Settings.model_validate({"storage": {"url": "postgresql://db/wx2mqtt"}})
    ((status, text),) = await check_bot(tmp_path, take_over=True, settings=shared)
    assert (status, text.partition(";")[0]) == finding
    assert (backend.options is not None) == (status == "ok")


@pytest.mark.parametrize(
    ("saved", "finding"),
    [
        (None, ("not_known", "no bridge uses it now, and it was not tried")),
        (SAVED, ("not_known", "no bridge uses it now, and it was not tried")),
        (
            {**SAVED, "ended": "refused", "reason": "invalid secret"},
            ("failed", "WeCom refuses it: invalid secret"),
        ),
        ({**SAVED, "ended": "taken_over", "reason": "kicked"}, ("failed", "its use has ended: kicked")),
    ],
)
async def test_without_a_bridge_what_happened_is_said_and_nothing_is_tried(
    tmp_path: Path, backend: ScriptedBackend, saved: Mapping[str, object] | None, finding: tuple[str, str]
):
    ((status, text),) = await check_bot(tmp_path, saved=saved)
    assert status == finding[0]
    assert text.startswith(finding[1])
    assert backend.options is None


@pytest.mark.parametrize(
    ("steps", "finding"),
    [
        ([LOGGED_IN], ("ok", "WeCom takes its Bot ID and Secret")),
        ([QrExpired(), ShowQr(url="u", lifetime=60.0)], ("warning", "there is no bot yet")),
        ([LoginRefused("40001: invalid secret")], ("failed", "WeCom refuses it: 40001: invalid secret")),
        ([Unreachable("846600: callback mode")], ("failed", "no connection: 846600: callback mode")),
    ],
)
async def test_a_trial_says_what_wecom_answers(
    tmp_path: Path, backend: ScriptedBackend, steps: list[LoginStep | Exception], finding: tuple[str, str]
):
    backend.steps = steps
    ((status, text),) = await check_bot(tmp_path, take_over=True)
    assert status == finding[0]
    assert text.startswith(finding[1])
    assert backend.is_closed


async def test_a_trial_forgets_that_the_use_has_ended_and_changes_nothing_saved(
    tmp_path: Path, backend: ScriptedBackend
):
    saved = {**SAVED, "ended": "taken_over", "reason": "kicked"}
    backend.steps = [LOGGED_IN]
    await check_bot(tmp_path, saved=saved, take_over=True)
    assert backend.options is not None
    credentials = backend.options.credentials
    assert await credentials.load() == {**SAVED, "ended": "", "reason": ""}
    await credentials.save({})
    await credentials.clear()
    assert await credentials.load() == {**SAVED, "ended": "", "reason": ""}


async def test_other_backends_have_no_bot(tmp_path: Path):
    assert await check_bot(tmp_path, saved=None) == []
