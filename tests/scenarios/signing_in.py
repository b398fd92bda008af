"""What tests of the login look at and do."""

from __future__ import annotations

from typing import Any

from tests.support.home import Home
from tests.support.subscriber import ReceivedMessage, Subscriber

STATE, QR, URL = "wx/login/state", "wx/login/qr", "wx/login/url"


async def calls(home: Home, endpoint: str) -> int:
    state = await home.control.get("state")
    return int(state["calls"].get(endpoint, 0))


async def url_after(home: Home, since: int) -> str:
    received = await home.in_thread(home.subscriber.wait, URL, lambda one: bool(one.payload), since=since)
    return str(received.payload.decode())


async def ask(home: Home, name: str, **fields: Any) -> dict[str, Any]:
    """The answer to a request."""
    since = home.subscriber.count
    await home.in_thread(home.subscriber.say, f"wx/bridge/request/{name}", fields)
    return await home.body(f"wx/bridge/response/{name}", since=since)


async def states_since(home: Home, since: int) -> list[str]:
    found = [one.body["state"] for one in home.subscriber.received[since:] if one.topic == STATE]
    return [state for at, state in enumerate(found) if not at or found[at - 1] != state]


async def nobody_calls(home: Home, endpoint: str, seconds: float = 2.5) -> None:
    """No further call comes within some seconds in which a hasty client would have tried again."""
    seen = await calls(home, endpoint)
    ready = await home.control.get("wait", **{"for": f"calls:{endpoint}:{seen + 1}", "seconds": seconds})
    assert not ready["ready"], f"{endpoint} was called again"


async def retained(home: Home) -> dict[str, ReceivedMessage]:
    """What somebody who comes now is told."""

    def look() -> dict[str, ReceivedMessage]:
        with Subscriber(home.broker.port, "wx/#") as newcomer:
            newcomer.wait("wx/bridge/state")
            newcomer.wait(STATE)
            newcomer.wait(QR)
            return {one.topic: one for one in newcomer.received}

    return await home.in_thread(look)
