"""Published clients of ntfy and Gotify send through the running bridge.

They get its address as that of their server, and its sender's token; nothing of them is changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.scenarios.test_sender_services import PICTURE, TOKEN, Services
from tests.support.broker import DURABLE, free_port
from tests.support.client_program import PROGRAMS, installed_client
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import at_home

pytestmark = [pytest.mark.client, pytest.mark.asyncio(loop_scope="module")]

# The statuses for a wrong token: after a few of them its address must wait.
REFUSED = {401, 429}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    sender = {"name": "clients", "token": TOKEN, "to": "wife", "rate": 0}
    web = {"listen": addresses[0], "ntfy_listen": addresses[1], "senders": [sender]}
    folder = tmp_path_factory.mktemp("clients")
    async with at_home(folder, DURABLE) as home:
        (folder / "door.png").write_bytes(PICTURE)
        home.bridge.configure(home.settings(web=web))
        await home.log_in()
        harness = Services(home, *(f"http://{address}" for address in addresses))
        yield harness
        await harness.http.aclose()


async def run_client(services: Services, *command: str, **environment: str) -> list[dict[str, Any]]:
    """Runs a client until it ends; returns the JSON lines that it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        str(services.home.folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "no_proxy": "*", **environment},
    )
    output, errors = await asyncio.wait_for(process.communicate(), MAX_WAIT_SECONDS)
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]


async def run_python_client(services: Services, name: str, url: str) -> list[dict[str, Any]]:
    folder = installed_client("senders-python")
    program = str(PROGRAMS / "senders_example.py")
    return await run_client(services, sys.executable, program, name, url, TOKEN, PYTHONPATH=str(folder))


async def run_node_client(services: Services, name: str, url: str) -> list[dict[str, Any]]:
    folder = installed_client("senders-node")
    program = str(PROGRAMS / "senders_example.mjs")
    return await run_client(services, "node", "--no-warnings", program, str(folder), name, url, TOKEN)


async def new_messages(services: Services, before: int, count: int) -> list[dict[str, Any]]:
    """Waits for `count` further messages to WeChat; returns them."""
    return (await services.home.control.sent(before + count))[before:]


def is_picture(line: dict[str, Any]) -> bool:
    return (line["kind"], line["sha256"]) == ("image", hashlib.sha256(PICTURE).hexdigest())


async def test_ntfy_api(services: Services):
    before = len(await services.sent())
    *answers, refused = await run_python_client(services, "ntfy_api", services.root_url)
    assert [answer["answer"]["event"] for answer in answers] == ["message"] * 3
    assert refused["refused"] in REFUSED
    assert refused["answer"]["code"] in {40101, 42901}
    text, *rest = await new_messages(services, before, 4)
    assert text["text"] == "⚠️ NAS\ndisk full\n95 %\n[disk]\nhttp://nas/"
    # The last call has priority 4, so it does not wait until the picture before it is uploaded.
    (plain,) = (line for line in rest if line["text"] == "磁盘\n满了")
    caption, picture = (line for line in rest if line is not plain)
    assert (caption["text"], is_picture(picture)) == ("somebody rang", True)


async def test_aiontfy_decodes_each_answer(services: Services):
    before = len(await services.sent())
    *answers, refused = await run_python_client(services, "aiontfy", services.root_url)
    text, bare, file = (answer["answer"] for answer in answers)
    assert all(answer["id"] and answer["time"] for answer in (text, bare, file))
    always = {"event": "message", "topic": "wife"}
    assert_has(text, **always, message="磁盘满了", title="NAS", priority=4, tags=["warning", "disk"])
    assert_has(text, click="http://nas/")
    assert_has(bare, **always, message="only a text")
    assert not {"title", "priority", "tags"} & bare.keys()
    assert_has(file, **always, message="You received a file: door.png", title="Door")
    assert (refused["refused"] in REFUSED, bool(refused["error"])) == (True, True)
    assert len(await new_messages(services, before, 4)) == 4


def assert_has(answer: dict[str, Any], **fields: Any) -> None:
    assert {name: answer.get(name) for name in fields} == fields


async def test_python_ntfy(services: Services):
    before = len(await services.sent())
    *answers, refused = await run_python_client(services, "python_ntfy", services.root_url)
    assert [answer["answer"]["event"] for answer in answers] == ["message"] * 3
    assert refused["refused"] in REFUSED
    text, button, caption, picture = await new_messages(services, before, 4)
    assert text["text"] == "⚠️ NAS\n磁盘满了"
    assert button["text"].startswith("with a button")
    assert (caption["text"], is_picture(picture)) == ("Door", True)


async def test_ntfpy(services: Services):
    before = len(await services.sent())
    *answers, refused = await run_python_client(services, "ntfpy", services.root_url)
    assert [answer["answer"]["topic"] for answer in answers] == ["wife"] * 2
    assert refused["refused"] in REFUSED
    text, button = await new_messages(services, before, 2)
    assert text["text"] == "⚠️ NAS ⚠\n磁盘满了\nhttp://nas/"
    assert button["text"].startswith("with a button")


async def test_gotify_for_python(services: Services):
    before = len(await services.sent())
    *answers, refused = await run_python_client(services, "gotify", f"{services.url}/gotify")
    ids = [answer["answer"]["id"] for answer in answers]
    assert (len({*ids}), all(isinstance(number, int) for number in ids)) == (3, True)
    full, bare, _ = answers
    assert (full["is_typed"], bare["is_typed"]) == (True, True), "as the client declares the fields"
    extras = {"a::b": {"c": 1.5}}
    assert_has(full["answer"], appid=1, message="磁盘满了", title="NAS", priority=8, extras=extras)
    assert_has(bare["answer"], appid=1, message="磁盘满了", title="clients", priority=0)
    assert refused["refused"] in REFUSED
    texts = [line["text"] for line in await new_messages(services, before, 3)]
    assert texts == ["NAS\n磁盘满了", "磁盘满了", "NAS\nlater"]


async def test_gotipy(services: Services):
    before = len(await services.sent())
    answer, refused = await run_python_client(services, "gotipy", f"{services.url}/gotify")
    assert isinstance(answer["answer"]["id"], int)
    assert refused["refused"] in REFUSED
    [line] = await new_messages(services, before, 1)
    assert line["text"] == "NAS\n磁盘满了"


async def test_ntfy_for_node(services: Services):
    before = len(await services.sent())
    *answers, refused = await run_node_client(services, "ntfy", services.root_url)
    assert [answer["answer"]["event"] for answer in answers] == ["message"] * 2
    assert refused["refused"].endswith(("Unauthorized", "Too Many Requests"))
    text, caption, picture = await new_messages(services, before, 3)
    assert text["text"].startswith("⚠️ NAS\n磁盘满了")
    assert (caption["text"], is_picture(picture)) == ("Door", True)


@pytest.mark.parametrize("name", ["gotify", "gotify-client"])
async def test_gotify_for_node(services: Services, name: str):
    before = len(await services.sent())
    answer, refused = await run_node_client(services, name, f"{services.url}/gotify")
    assert isinstance(answer["answer"]["id"], int)
    assert refused["refused"] in REFUSED
    [line] = await new_messages(services, before, 1)
    assert line["text"] == "NAS\n磁盘满了"
