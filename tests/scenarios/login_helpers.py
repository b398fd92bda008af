"""Helpers for tests of the login: its topics, requests, and calls of WeChat's endpoints."""

from __future__ import annotations

from typing import Any

from tests.support.home import Home
from tests.support.subscriber import ReceivedMessage, Subscriber

STATE, QR, URL = "wx/login/state", "wx/login/qr", "wx/login/url"


async def calls(home: Home, endpoint: str) -> int:
    """Returns how often an endpoint of WeChat was called."""
    state = await home.control.get("state")
    return int(state["calls"].get(endpoint, 0))


async def url_after(home: Home, since: int) -> str:
    """Waits for the next URL of a QR code after message number `since`; returns it."""
    received = await home.in_thread(
        home.subscriber.wait, URL, lambda message: bool(message.payload), since=since
    )
    return str(received.payload.decode())


async def ask(home: Home, name: str, **fields: Any) -> dict[str, Any]:
    """Sends a request; returns its answer."""
    since = home.subscriber.count
    await home.in_thread(home.subscriber.say, f"wx/bridge/request/{name}", fields)
    return await home.body(f"wx/bridge/response/{name}", since=since)


async def states_since(home: Home, since: int) -> list[str]:
    """Returns the states of the login that were published since, without repetitions in a row."""
    states = [message.body["state"] for message in home.subscriber.received[since:] if message.topic == STATE]
    return [state for index, state in enumerate(states) if not index or states[index - 1] != state]


async def assert_no_further_call(home: Home, endpoint: str, seconds: float = 2.5) -> None:
    """Asserts that an endpoint is not called again within some seconds."""
    count = await calls(home, endpoint)
    ready = await home.control.get("wait", **{"for": f"calls:{endpoint}:{count + 1}", "seconds": seconds})
    assert not ready["ready"], f"{endpoint} was called again"


async def retained(home: Home) -> dict[str, ReceivedMessage]:
    """Returns the retained messages that a new subscriber receives, by topic."""

    def subscribe() -> dict[str, ReceivedMessage]:
        with Subscriber(home.broker.port, "wx/#") as newcomer:
            newcomer.wait("wx/bridge/state")
            newcomer.wait(STATE)
            newcomer.wait(QR)
            return {message.topic: message for message in newcomer.received}

    return await home.in_thread(subscribe)
