"""An internal error in one component ends the account in order, so that it is logged and started again."""

from __future__ import annotations

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.memory_backend import with_capabilities
from wx2mqtt.bridge.account import AccountFailed


async def test_an_internal_error_of_a_renewal_is_not_swallowed(open_bridge: OpenBridge):
    backend = with_capabilities(login_seconds=86_400.0)
    bridge = await open_bridge(backend)
    backend.renewal_steps.append([ValueError("a bug")])
    bridge.deliver("wx/bridge/request/login", {"renew": True})
    with pytest.raises(AccountFailed) as failure:
        await bridge.wait_until_failed()
    assert isinstance(failure.value.__cause__, ValueError)
    assert bridge.last("wx/login/state")["state"] == "stopped"
