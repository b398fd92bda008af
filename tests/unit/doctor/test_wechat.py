"""The clock, by what WeChat's hosts say of theirs."""

from __future__ import annotations

import pytest

from wx2mqtt.doctor import wechat
from wx2mqtt.doctor.chart import Chart
from wx2mqtt.doctor.patient import patient_of
from wx2mqtt.settings.schema import Settings
from wx2mqtt.wechat.gateway import Knock


async def examined(monkeypatch, *knocks: Knock) -> Chart:
    async def knock(_endpoint, _saved):
        return knocks

    monkeypatch.setattr(wechat, "BACKENDS", {"webwx": knock})
    chart = Chart("en")
    await wechat.examine_wechat(patient_of(Settings(), {}), chart)
    return chart


def host(ahead: float | None, name: str = "wx.qq.com", outcome: str = "ok") -> Knock:
    return Knock(host=name, outcome=outcome, seconds=0.1, ahead=ahead)


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0.0, "ok"), (-4.9, "ok"), (5.1, "warning"), (-59.0, "warning"), (60.5, "failed"), (None, "not_known")],
)
async def test_a_clock_is_right_off_or_wrong(monkeypatch, ahead, verdict):
    assert (await examined(monkeypatch, host(ahead))).rows[-1].verdict == verdict


async def test_one_host_with_a_wrong_clock_does_not_make_ours_wrong(monkeypatch):
    chart = await examined(monkeypatch, host(-9000.0, "a"), host(1.0, "b"), host(None, "c"))
    assert (chart.rows[-1].verdict, chart.rows[-1].subject) == ("ok", "b")


@pytest.mark.parametrize(
    "outcome", ["no_name", "no_connection", "certificate", "no_tls", "no_answer", "broken_answer"]
)
async def test_each_way_to_fail_has_its_words_and_cure(monkeypatch, outcome):
    first, clock = (await examined(monkeypatch, host(None, outcome=outcome))).rows
    assert (first.verdict, clock.verdict) == ("failed", "not_known")
    assert first.cure


async def test_a_backend_whose_hosts_nobody_knows_gives_no_rows(monkeypatch):
    monkeypatch.setattr(wechat, "BACKENDS", {})
    chart = Chart("en")
    await wechat.examine_wechat(patient_of(Settings(), {}), chart)
    assert chart.rows == []
