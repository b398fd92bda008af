"""A server that sends too slowly is given up, a slow disk is not the server's fault, and bad redirects are refused.

`tests/scenarios/test_outside.py` runs the fetcher itself.
"""

from __future__ import annotations

import pytest

from wx2mqtt.errors import BadCommand
from wx2mqtt.external.url_fetch import MinimumRate, parse_url, redirect_target

RATE = MinimumRate(window_seconds=10.0, min_bytes=1000).start(0.0)


def test_a_window_with_too_little_ends_when_it_began():
    rate = RATE
    for second in range(1, 10):
        rate = rate.received(99, float(second))
    assert rate.deadline == 10.0


def test_enough_begins_another_window():
    assert RATE.received(600, 1.0).received(400, 7.0).deadline == 17.0


def test_what_the_disk_takes_does_not_count():
    assert RATE.received(10, 1.0).extended(30.0).deadline == 40.0


@pytest.mark.parametrize("location", ["http://////u@[", "http://////user:pw@evil.example/"])
def test_a_redirect_whose_path_would_become_a_host_with_a_password_is_no_url(location: str) -> None:
    with pytest.raises(BadCommand):
        redirect_target(parse_url("https://example.org/a"), location)
