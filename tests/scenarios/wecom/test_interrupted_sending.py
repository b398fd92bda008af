"""A gateway that fails while the bridge sends to WeCom; the pauses before the reconnects take minutes."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scenarios.outage_helpers import seconds_between
from tests.scenarios.wecom.test_sending import last_sent
from tests.support.broker import DURABLE
from tests.support.deadlines import allowed
from tests.support.wecom_home import WeComHome, at_wecom_home

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WeComHome]:
    async with at_wecom_home(tmp_path_factory.mktemp("home"), DURABLE) as home:
        await home.log_in()
        yield home


@pytest.mark.parametrize(
    "endpoint", ["aibot_upload_media_init", "aibot_upload_media_chunk", "aibot_upload_media_finish"]
)
@pytest.mark.parametrize("kind", ["reset", "drop_answer"])
async def test_an_upload_that_breaks_off_does_not_count_as_an_attempt(
    home: WeComHome, endpoint: str, kind: str
):
    await home.control.post("fault", endpoint=endpoint, kind=kind)
    data = os.urandom(1_200_000)
    command_id = f"{endpoint}-{kind}"
    command = {"kind": "file", "data": base64.b64encode(data).decode(), "name": "a.bin", "id": command_id}
    result = await home.send_command("family", command)
    message = await last_sent(home, result)
    assert not result["duplicate_possible"]
    assert message["sha256"] == hashlib.sha256(data).hexdigest()
    assert (
        sum(
            sent_message["sha256"] == message["sha256"]
            for sent_message in await home.control.get("wecom/sent")
        )
        == 1
    )


async def test_a_lost_subscription_is_not_delivered_and_made_anew(tmp_path: Path, with_mosquitto: None):
    async with at_wecom_home(tmp_path, DURABLE) as home:
        await home.log_in()
        await home.control.post("wecom/lapse")
        since = home.subscriber.count
        for number in range(3):
            await home.publish("wx/out/me", {"text": f"text {number}", "id": f"text-{number}"})
        await home.publish(
            "wx/out/family", {"kind": "file", "data": "eHh4eHh4eHg=", "name": "a.txt", "id": "file"}
        )
        online = await home.body("wx/login/state", state="online", since=since)
        results = [await home.body("wx/result/me", id=f"text-{number}") for number in range(3)]
        results.append(await home.body("wx/result/family", id="file"))
        assert [result["status"] for result in results] == ["sent"] * 4
        assert not any(result["duplicate_possible"] for result in results)
        assert max(seconds_between(online["since"], result["time"]) for result in results) <= allowed(1)
        sent = [message.get("text") or message.get("name") for message in await home.bot.bot_sent(4)]
        assert [text for text in sent if text != "a.txt"] == ["text 0", "text 1", "text 2"]
