"""The doctor compares the clock with those of WeChat's hosts, and asks the hosts that an account uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.wechat.ilink.entries import BOT, ME, TOKEN
from wx2mqtt.diagnostics import wechat_hosts
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import diagnostic_target
from wx2mqtt.model import Handle
from wx2mqtt.settings.schema import Account, ILink, Settings
from wx2mqtt.wechat.backend import HostCheck
from wx2mqtt.wechat.ilink.protocol.session import Bot, bots_to_saved, host_origins
from wx2mqtt.wechat.registry import BACKENDS


async def report_of(monkeypatch, *checks: HostCheck) -> CheckReport:
    async def check_hosts(_origins, **_more):
        return checks

    monkeypatch.setattr(wechat_hosts, "check_hosts", check_hosts)
    report = CheckReport("en")
    await wechat_hosts.check_wechat(diagnostic_target(Settings(), {}), report)
    return report


def host(ahead: float | None, name: str = "wx.qq.com", outcome: str = "ok") -> HostCheck:
    return HostCheck(host=name, outcome=outcome, seconds=0.1, clock_ahead_seconds=ahead)


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0.0, "ok"), (-4.9, "ok"), (5.1, "warning"), (-59.0, "warning"), (60.5, "failed"), (None, "not_known")],
)
async def test_a_clock_is_right_off_or_wrong(monkeypatch, ahead, verdict):
    assert (await report_of(monkeypatch, host(ahead))).results[-1].status == verdict


async def test_one_host_with_a_wrong_clock_does_not_make_ours_wrong(monkeypatch):
    report = await report_of(monkeypatch, host(-9000.0, "a"), host(1.0, "b"), host(None, "c"))
    assert (report.results[-1].status, report.results[-1].subject) == ("ok", "b")


@pytest.mark.parametrize(
    "outcome", ["no_name", "no_connection", "certificate", "no_tls", "no_answer", "broken_answer"]
)
async def test_each_way_to_fail_has_its_words_and_cure(monkeypatch, outcome):
    first, clock = (await report_of(monkeypatch, host(None, outcome=outcome))).results
    assert (first.status, clock.status) == ("failed", "not_known")
    assert first.remedy


async def test_a_backend_without_hosts_gives_no_rows(monkeypatch):
    webwx = replace(BACKENDS["webwx"], host_origins=lambda _endpoint, _saved: ())
    monkeypatch.setitem(BACKENDS, "webwx", webwx)
    report = CheckReport("en")
    await wechat_hosts.check_wechat(diagnostic_target(Settings(), {}), report)
    assert report.results == []


OWN = "http://127.0.0.1:8070/p"


LOGIN, CDN = "https://ilinkai.weixin.qq.com", "https://novac2c.cdn.weixin.qq.com"


def saved(*endpoints: str | None, **more: Any) -> dict[str, object]:
    return bots_to_saved(
        Bot(id=BOT, token=TOKEN, user=Handle(ME), base="https://b.weixin.qq.com/x", endpoint=endpoint, **more)
        for endpoint in endpoints
    )


def test_where_logins_begin_where_one_lives_and_where_bytes_are() -> None:
    assert list(host_origins(None, saved(None))) == [LOGIN, "https://b.weixin.qq.com", CDN]
    assert list(host_origins(None, {})) == [LOGIN, CDN]


def test_what_is_over_or_of_another_endpoint_is_not_asked() -> None:
    assert list(host_origins(None, saved(OWN))) == [LOGIN, CDN]
    assert list(host_origins(None, saved(None, logged_out=True))) == [LOGIN, CDN]


def test_an_endpoint_stands_for_all() -> None:
    assert set(host_origins(OWN, {})) == {"http://127.0.0.1:8070"}


@pytest.mark.parametrize(("configured", "named"), [(None, "2.4.9"), ("2.5.0", "2.5.0")])
async def test_the_version_that_ilink_names_is_told_with_the_cure_for_an_old_one(
    monkeypatch, configured, named
):
    async def check_hosts(_origins, **_more):
        return ()

    monkeypatch.setattr(wechat_hosts, "check_hosts", check_hosts)
    account = Account(backend="ilink", ilink=ILink(client_version=configured))
    report = CheckReport("en")
    await wechat_hosts.check_wechat(diagnostic_target(Settings(accounts={"bot": account}), {}), report)
    (row,) = report.results
    assert (row.status, row.subject) == ("ok", "bot")
    assert f"version {named} " in row.finding
    assert "ilink.client_version" in row.finding
