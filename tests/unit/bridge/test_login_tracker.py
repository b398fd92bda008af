"""The state of the login: what it says, when others hear of it, and what follows from temporary errors."""

from __future__ import annotations

from wx2mqtt.bridge.login_tracker import retry_delay
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import Throttled, Unreachable


def test_a_backend_with_a_schedule_of_its_own_says_when_it_is_tried_again():
    failing = Backoff(failures=20)
    assert retry_delay(Unreachable("x", retry_after=2.0), failing, 1.0) == 2.0
    assert retry_delay(Unreachable("x"), failing, 1.0) == 60.0
    assert retry_delay(Throttled("x", retry_after=900.0), failing, 1.0) == 900.0
