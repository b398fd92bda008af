"""A thousand posts from ten senders beside commands over MQTT: each has one result, and no sender waits for all
others.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from tests.scenarios.test_senders import SenderClient, sender_client_of
from tests.support.home import Home
from wx2mqtt.web.senders.sender_rights import BURST

NAMES = [f"s{number}" for number in range(10)]
POSTS = 100
TOKENS = {name: f"{name}-" + "0123456789abcdef" * 3 for name in (*NAMES, "usual")}
SENDERS: list[dict[str, Any]] = [
    *(
        {"name": name, "token": TOKENS[name], "to": "wife", "users": ["wife", "family"], "rate": 0}
        for name in NAMES
    ),
    {"name": "usual", "token": TOKENS["usual"], "to": "wife"},
]
COMMANDS = 100


async def post_as(sender_client: SenderClient, name: str) -> None:
    """Posts one command after the other as one sender, to both chats in turn."""
    for number in range(POSTS):
        user = ("wife", "family")[number % 2]
        answer = await sender_client.post(
            f"/send/{user}?id={name}-{number}", f"{name} {number}", type="text/plain", token=TOKENS[name]
        )
        assert answer.status_code == 202, answer.text


async def commands_over_mqtt(home: Home) -> None:
    """Sends commands over MQTT and waits for each result, in a chat of its own beside the full queues of the
    senders.
    """
    for number in range(COMMANDS):
        result = await home.send_command("filehelper", {"text": f"mqtt {number}", "id": f"mqtt-{number}"})
        assert result["status"] == "sent"


async def post_too_often(sender_client: SenderClient) -> tuple[list[int], float]:
    """Posts at once, with the default rate, what may be posted in two minutes; returns statuses and seconds."""
    statuses = []
    started_at = time.monotonic()
    for number in range(2 * 60):
        answer = await sender_client.post(
            "/send/wife", f"usual {number}", type="text/plain", token=TOKENS["usual"]
        )
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
    return statuses, time.monotonic() - started_at


async def test_a_thousand_posts_of_ten_senders_beside_mqtt(home: Home):
    home.bridge.configure(home.settings(web={"senders": SENDERS}))
    await home.log_in()
    since = home.subscriber.count
    async with sender_client_of(home) as sender_client, asyncio.TaskGroup() as tasks:
        for name in NAMES:
            tasks.create_task(post_as(sender_client, name))
        tasks.create_task(commands_over_mqtt(home))
        rate_limited = tasks.create_task(post_too_often(sender_client))
    wanted = {f"{name}-{number}" for name in NAMES for number in range(POSTS)}
    wanted |= {f"mqtt-{number}" for number in range(COMMANDS)}
    for command_id in sorted(wanted):
        await home.body("wx/result/#", id=command_id, since=since)
    results = [message.body for message in home.subscriber.received[since:] if "/result/" in message.topic]
    assert_one_result_each(results, wanted)
    assert_nobody_starved([result for result in results if result["id"] in wanted])
    texts = Counter(line["text"] for line in await home.control.get("sent"))
    assert all(texts[command_id.replace("-", " ")] == 1 for command_id in wanted)
    # The eleventh sender gets its burst, then 429 at once, while the others are served.
    statuses, seconds = rate_limited.result()
    assert set(statuses) == {202, 429}
    assert statuses[:BURST] == [202] * BURST
    assert statuses.count(202) <= BURST + seconds + 1  # one a second more


def assert_one_result_each(results: list[dict[str, Any]], wanted: set[str]) -> None:
    counts = Counter(result["id"] for result in results)
    assert {command_id: count for command_id, count in counts.items() if count > 1} == {}
    assert wanted <= counts.keys()
    assert {result["status"] for result in results} == {"sent"}


def assert_nobody_starved(results: list[dict[str, Any]]) -> None:
    """Checks that each sender has a fifth of its results when half of all commands have theirs."""
    half = Counter(result["sender"] for result in results[: len(results) // 2])
    assert {name: count for name in (*NAMES, None) if (count := half[name]) < POSTS // 5} == {}
