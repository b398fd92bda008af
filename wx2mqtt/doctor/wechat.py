"""WeChat's side: can its hosts be reached, and is our clock right by theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from wx2mqtt.doctor.chart import Chart
from wx2mqtt.doctor.patient import Account, Patient
from wx2mqtt.wechat.gateway import Knock
from wx2mqtt.wechat.ilink.knocking import knock as knock_at_ilink
from wx2mqtt.wechat.webwx.knocking import knock as knock_at_webwx

Knocking = Callable[[str | None, Mapping[str, object] | None], Awaitable[Sequence[Knock]]]

BACKENDS: Mapping[str, Knocking] = {"webwx": knock_at_webwx, "ilink": knock_at_ilink}
"""Who knows the hosts of a backend."""
TOLERANCE = 5.0
"""Seconds between two clocks that are taken for right."""
WRONG = 60.0
"""Seconds from which on things go wrong: how long commands count, certificates, times of messages."""
CURES = {"certificate": "host_certificate_cure", "no_name": "name_cure"}


async def examine_wechat(patient: Patient, chart: Chart) -> None:
    """A row for each host, each once however many accounts go there, and one for the clock."""
    found: dict[str, Knock] = {}
    for account in patient.accounts:
        for one in await _knocks(account):
            found.setdefault(one.host, one)
    for one in found.values():
        _host(one, chart)
    if found:
        _clock(found.values(), chart)


async def _knocks(account: Account) -> Sequence[Knock]:
    knocking = BACKENDS.get(account.backend)
    if knocking is None:
        return ()
    return await knocking(account.endpoint, account.saved)


def _host(one: Knock, chart: Chart) -> None:
    if one.outcome == "ok":
        chart.ok("wechat", one.host, "host_ok", ms=max(1, round(one.seconds * 1000)))
        return
    facts = {"why": f": {one.why}" if one.why else "", "host": one.host}
    chart.failed("wechat", one.host, f"host_{one.outcome}", CURES.get(one.outcome, "host_cure"), **facts)


def _clock(found: Iterable[Knock], chart: Chart) -> None:
    """By the host that is nearest to us: one whose own clock is wrong must not make ours wrong."""
    known = [(abs(one.ahead), one) for one in found if one.ahead is not None]
    if not known:
        chart.not_known("clock", "", "clock_unknown", "clock_cure")
        return
    off, nearest = min(known, key=lambda pair: pair[0])
    facts = {"seconds": round(off), "host": nearest.host}
    word = "clock_ahead" if (nearest.ahead or 0) > 0 else "clock_behind"
    if off <= TOLERANCE:
        chart.ok("clock", nearest.host, "clock_ok")
    elif off < WRONG:
        chart.warning("clock", nearest.host, word, "clock_cure", **facts)
    else:
        chart.failed("clock", nearest.host, word, "clock_cure", **facts)
