"""GET /livez and /healthz."""

from __future__ import annotations

import pytest

from tests.support.page import FakeAccountView, bridge, health_snapshot, login, wait_forever
from tests.support.web import application_client, options
from wx2mqtt.errors import Problem
from wx2mqtt.model import LoginState
from wx2mqtt.web import health_endpoint as module

GUARDED = options(host="0.0.0.0", password="geheim", token="t0ken")
BEARER = {"authorization": "Bearer t0ken"}


async def test_a_healthy_bridge_answers_200():
    async with application_client([], bridge=bridge(FakeAccountView())) as http:
        answer = await http.get("/healthz")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["healthy"] is True
    assert answer.json()["accounts"] == {"home": {"healthy": True, "problems": [], "state": "online"}}


async def test_a_bridge_that_waits_for_a_scan_is_alive_and_not_healthy():
    view = FakeAccountView()
    view.login = login(LoginState.WAITING_FOR_SCAN)
    async with application_client([], bridge=bridge(view)) as http:
        liveness, health = await http.get("/livez"), await http.get("/healthz")
    assert (liveness.status_code, liveness.json()) == (200, {"alive": True, "stuck": []})
    assert health.status_code == 503
    assert health.json()["reasons"] == ["home: login_waiting_for_scan"]


async def test_a_single_account_with_problems_is_enough_for_503():
    good, bad = FakeAccountView("home"), FakeAccountView("work", "wx/work")
    bad.health = health_snapshot(broker="", stats={"set_aside": 1})
    async with application_client([], bridge=bridge(good, bad)) as http:
        answer = await http.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["work: broker_away", "work: messages_set_aside"]
    assert answer.json()["accounts"]["home"]["healthy"] is True


async def test_commands_that_were_not_sent_are_no_reason():
    view = FakeAccountView()
    view.health = health_snapshot(failing=("wife",), stats={"failed_today": 25})
    async with application_client([], bridge=bridge(view)) as http:
        liveness, health = await http.get("/livez"), await http.get("/healthz")
    assert (liveness.status_code, health.status_code) == (200, 200)
    assert health.json()["accounts"] == {"home": {"healthy": True, "problems": [], "state": "online"}}


async def test_a_loop_that_does_not_move_is_no_life():
    async with application_client(
        [], bridge=bridge(FakeAccountView(), overdue=lambda: ("receive:home",))
    ) as http:
        answer = await http.get("/livez")
    assert answer.status_code == 503
    assert answer.json() == {"alive": False, "stuck": ["receive:home"]}


async def test_a_store_that_does_not_answer_is_a_reason(monkeypatch):
    monkeypatch.setattr(module, "HEALTH_TIMEOUT_SECONDS", 0.01)
    broken, hanging = FakeAccountView("home"), FakeAccountView("work")
    broken.break_store()
    hanging.before_read = wait_forever
    async with application_client([], bridge=bridge(broken, hanging)) as http:
        answer = await http.get("/healthz")
        liveness = await http.get("/livez")
    assert answer.json()["reasons"] == ["home: store_trouble", "work: store_trouble"]
    assert liveness.status_code == 200


async def test_a_bridge_that_does_not_run_for_its_file_lives_and_is_not_well():
    problem = Problem("wx2mqtt.yaml", 1, "mqtt", "is wrong")
    async with application_client([], bridge=bridge(problems=lambda: (problem,))) as http:
        assert (await http.get("/livez")).status_code == 200
        answer = await http.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["configuration"]


async def test_a_reload_that_was_refused_makes_nobody_ill():
    problem = Problem("wx2mqtt.yaml", 1, "mqtt", "is wrong")
    async with application_client([], bridge=bridge(FakeAccountView(), problems=lambda: (problem,))) as http:
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize(("state", "status"), [(LoginState.ONLINE, 200), (LoginState.REFUSED, 503)])
async def test_a_stranger_learns_only_whether_it_is_well(state, status):
    view = FakeAccountView()
    view.login = login(state)
    async with application_client([], GUARDED, bridge=bridge(view)) as http:
        anonymous = await http.get("/healthz")
        authenticated = await http.get("/healthz", headers=BEARER)
    assert (anonymous.status_code, authenticated.status_code) == (status, status)
    assert anonymous.json() == {"healthy": status == 200}
    assert "accounts" in authenticated.json()


async def test_head_is_enough_for_a_watcher():
    async with application_client([], bridge=bridge(FakeAccountView())) as http:
        for path in ("/livez", "/healthz"):
            answer = await http.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
