"""Sending over HTTP on the whole bridge: every body and answer, the result of a command, and attacks."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS
from tests.support.home import Home
from tests.support.web_client import system_trust
from wx2mqtt.web.senders.sender_rights import BURST

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = {name: f"{name}-" + "0123456789abcdef" * 3 for name in ("grafana", "nas", "slow", "flood")}
SENDERS: list[dict[str, Any]] = [
    {
        "name": "grafana",
        "token": TOKENS["grafana"],
        "to": "wife",
        "users": ["wife", "family", "n*"],
        "rate": 0,
    },
    {"name": "nas", "token": TOKENS["nas"], "to": "family", "rate": 0},
    {"name": "slow", "token": TOKENS["slow"], "to": "wife", "rate": 1},
    {"name": "flood", "token": TOKENS["flood"], "to": "wife", "rate": 0},
]
KEYS = {"id", "account", "user"}
# A picture of one pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class SenderClient:
    """A client with the token of a sender."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            trust_env=False,
            timeout=MAX_REQUEST_SECONDS,
            verify=system_trust(),
            limits=httpx.Limits(max_connections=20),  # one address may have 40
        )

    async def post(
        self, path: str, content: Any = b"", *, sender: str = "grafana", **more: Any
    ) -> httpx.Response:
        token = more.pop("token", TOKENS.get(sender, ""))
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        if "type" in more:
            headers["content-type"] = more.pop("type")
        return await self._http.post(path, content=content or None, headers=headers, **more)

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(path)

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def sender_client_of(home: Home) -> AsyncIterator[SenderClient]:
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    sender_client = SenderClient(str(json.loads(line)["url"]))
    try:
        yield sender_client
    finally:
        await sender_client.close()


async def reload_senders(home: Home, senders: list[dict[str, Any]]) -> dict[str, Any]:
    """Changes the senders of the running bridge; returns the answer of the reload."""
    settings = home.settings(web={"senders": senders})
    await home.in_thread(home.bridge.configure, settings)
    return await home.send_request("reload")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sender_client(shared_home: Home) -> AsyncIterator[SenderClient]:
    answer = await reload_senders(shared_home, SENDERS)
    assert answer["data"]["applied"] == ["web.senders"]  # a reload opens them
    async with sender_client_of(shared_home) as sender_client:
        yield sender_client


async def sent_texts(home: Home) -> list[str]:
    return [line["text"] for line in await home.control.get("sent")]


# bodies


async def test_a_text_is_accepted_sent_and_has_the_same_result_as_from_mqtt(shared_home, sender_client):
    answer = await sender_client.post("/send/wife", "回家 ☀", type="text/plain")
    assert (answer.status_code, answer.json().keys()) == (202, KEYS)
    body = await shared_home.body("wx/result/wife", id=answer.json()["id"])
    assert (body["status"], body["sender"]) == ("sent", "grafana")
    assert "回家 ☀" in await sent_texts(shared_home)


async def test_with_a_wait_the_result_is_the_answer(shared_home, sender_client):
    answer = await sender_client.post("/send/home/wife?wait=30&id=w1", "wait for it", type="text/plain")
    assert answer.status_code == 200
    assert answer.json() == await shared_home.body("wx/result/wife", id="w1")


async def test_a_command_a_picture_a_file_and_a_form(shared_home, sender_client):
    picture = PICTURE
    answers = [
        await sender_client.post("/send/wife?wait=30", b'{"text": "as json"}', type="application/json"),
        await sender_client.post("/send/wife?wait=30", picture, type="image/png"),
        await sender_client.post(
            "/send/wife?wait=30&name=plan.txt", b"plan", type="application/octet-stream"
        ),
        await sender_client.post("/send/wife?wait=30", files={"file": ("door.png", picture, "image/png")}),
        await sender_client.post("/send/wife?wait=30", files={"text": (None, "a form"), "ttl": (None, "60")}),
    ]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "sent")] * 5
    kinds = [line["kind"] for line in await shared_home.control.get("sent")]
    assert kinds.count("image") == 2
    assert "file" in kinds


async def test_an_empty_body_is_refused_with_how_to_send_a_text(sender_client):
    form = await sender_client.post("/send/wife", "a=b", type="application/x-www-form-urlencoded")
    octets = await sender_client.post("/send/wife", b"a", type="application/octet-stream")
    empty = await sender_client.post("/send/wife", b" ", type="text/plain")
    assert [answer.status_code for answer in (form, octets, empty)] == [400] * 3
    assert "text/plain" in form.json()["error"]
    assert "?name=" in octets.json()["error"]
    assert empty.json()["code"] == "empty"


# who may what


@pytest.mark.parametrize(
    ("sender", "token", "path", "status", "code"),
    [
        ("none", "", "/send/wife", 401, "unauthorized"),
        ("grafana", TOKENS["grafana"], "/send/nobody", 404, "unknown_user"),
        ("nas", TOKENS["nas"], "/send/wife", 403, "forbidden"),
        ("nas", TOKENS["nas"], "/send/nobody", 403, "forbidden"),
        ("nas", TOKENS["nas"], "/send/office/family", 403, "forbidden"),
        ("grafana", TOKENS["grafana"], "/send/a/b/c", 404, None),
    ],
)
async def test_a_call_without_the_rights_is_refused_with_the_reason(
    sender_client, sender, token, path, status, code
):
    answer = await sender_client.post(path, "x", type="text/plain", sender=sender, token=token)
    assert answer.status_code == status
    if code is not None:
        assert answer.json()["code"] == code


async def test_an_id_belongs_to_its_caller_and_a_replay_is_not_sent_again(shared_home, sender_client):
    key = {"idempotency-key": "k-1"}
    first = await sender_client.post("/send/family?wait=30", "once", type="text/plain", headers=key)
    again = await sender_client.post("/send/family?wait=30", "once", type="text/plain", headers=key)
    assert (first.status_code, again.json()) == (200, first.json())
    assert (await sent_texts(shared_home)).count("once") == 1
    other_text = await sender_client.post("/send/family", "twice", type="text/plain", headers=key)
    other_sender = await sender_client.post(
        "/send/family", "once", type="text/plain", headers=key, sender="nas"
    )
    assert [answer.status_code for answer in (other_text, other_sender)] == [409, 409]
    assert first.json()["message_id"] not in other_sender.text
    with_two_keys = await sender_client.post(
        "/send/family", b'{"text": "a", "id": "b"}', type="application/json", headers=key
    )
    assert with_two_keys.status_code == 400


async def test_a_refused_call_is_no_command(shared_home, sender_client):
    since = shared_home.subscriber.count
    for path, text in (("/send/nobody?id=refused-1", "x"), ("/send/wife?id=refused-2", "")):
        assert (await sender_client.post(path, text, type="text/plain")).status_code in {400, 404}
    # The ids of refused calls are not used up: over MQTT they are new.
    for number in (1, 2):
        result = await shared_home.send_command("wife", {"text": f"free {number}", "id": f"refused-{number}"})
        assert (result["status"], result["sender"]) == ("sent", None)
    results = [
        message.body for message in shared_home.subscriber.received[since:] if "/result/" in message.topic
    ]
    assert [result["id"] for result in results] == ["refused-1", "refused-2"]


# floods


async def test_a_call_above_the_rate_is_429_with_retry_after(sender_client):
    answers = [
        await sender_client.post("/send/wife", f"r{n}", type="text/plain", sender="slow")
        for n in range(BURST + 2)
    ]
    assert [answer.status_code for answer in answers[:BURST]] == [202] * BURST
    retry = answers[-1]
    assert retry.status_code == 429
    assert int(retry.headers["retry-after"]) >= 1


async def test_wrong_tokens_block_their_address_and_a_right_one_passes(sender_client):
    wrong = [await sender_client.post("/send/wife", "x", type="text/plain", token="w" * 40) for _ in range(8)]
    assert wrong[0].status_code == 401
    assert wrong[-1].status_code == 429
    assert "retry-after" in wrong[-1].headers
    right = await sender_client.post("/send/wife", "still here", type="text/plain")
    assert right.status_code == 202


async def test_commands_from_mqtt_are_sent_while_a_sender_floods(shared_home, sender_client):
    async def post(number: int) -> int:
        answer = await sender_client.post("/send/wife", f"flood {number}", type="text/plain", sender="flood")
        return int(answer.status_code)

    flood = [asyncio.ensure_future(post(number)) for number in range(200)]
    result = await shared_home.send_command("family", {"text": "in between", "id": "in-between"})
    assert result["status"] == "sent"
    assert await asyncio.gather(*flood) == [202] * 200
    last = await shared_home.body("wx/result/wife", sender="flood")
    assert last["status"] == "sent"


# attacks


def address(sender_client: SenderClient) -> tuple[str, int]:
    url = httpx.URL(sender_client.url)
    assert url.port is not None
    return url.host, url.port


async def send_raw(sender_client: SenderClient, data: bytes) -> bytes:
    """Sends bytes as they are; returns all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection(*address(sender_client))
    try:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
            with suppress(ConnectionError):
                return await reader.read()
            return b""
    finally:
        writer.close()


def request_head(*lines: str, path: str = "/send/wife") -> bytes:
    usual = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKENS['grafana']}")
    return "\r\n".join((*usual, *lines, "", "")).encode()


async def test_an_oversized_body_is_refused_before_it_is_sent(sender_client):
    answer = await send_raw(
        sender_client,
        request_head("Content-Type: text/plain", "Content-Length: 5000000", "Connection: close"),
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"4194304" in answer  # the words name the limit


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/send/wife", "image/png"),
        ("/send/wife?name=a.bin", "application/octet-stream"),
        ("/send/wife", "multipart/form-data; boundary=x"),
        ("/gotify/message", "multipart/form-data; boundary=x"),
        ("/gotify/message", "application/json"),
        ("/ntfy/wife", "text/plain"),
        ("/ntfy/wife?filename=a.bin", "text/plain"),
        ("/ntfy", "application/json"),
        ("/hook/alertmanager", "application/json"),
    ],
)
async def test_30_gb_are_refused_when_they_are_announced(sender_client, path, media_type):
    """The client waits for 100 Continue, as curl does. It gets none, and sends nothing."""
    head = request_head(
        f"Content-Type: {media_type}",
        "Content-Length: 30000000000",
        "Expect: 100-continue",
        "Connection: close",
        path=path,
    )
    answer = await send_raw(sender_client, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"at most" in answer or b"larger than" in answer, answer  # the words name the limit


async def test_an_endless_body_is_refused_at_its_limit(sender_client):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    try:
        answer = await sender_client.post("/send/wife", endless(), type="text/plain")
    except httpx.TransportError:  # it was closed while the client still sent
        return
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "data",
    [
        request_head("Transfer-Encoding: chunked", "Content-Length: 3", "Content-Type: text/plain")
        + b"3\r\nabc\r\n0\r\n\r\n",
        request_head("Transfer-Encoding: chunked", "Content-Type: text/plain") + b"zz\r\nabc\r\n0\r\n\r\n",
        request_head("Transfer-Encoding: chunked", "Content-Type: text/plain") + b"fffffffffffffffff\r\nabc",
        request_head("Transfer-Encoding: gzip, chunked, x", "Content-Type: text/plain")
        + b"3\r\nabc\r\n0\r\n\r\n",
        request_head("Content-Length: 3", "Content-Length: 4", "Content-Type: text/plain") + b"abcd",
        request_head("Content-Length: -3", "Content-Type: text/plain") + b"abc",
    ],
    ids=["both lengths", "no number", "overflow", "unknown coding", "two lengths", "negative"],
)
async def test_a_length_that_can_be_read_in_two_ways_is_no_command(shared_home, sender_client, data):
    answer = await send_raw(sender_client, data)
    assert b" 202 " not in answer.split(b"\r\n")[0]
    assert (await shared_home.send_command("wife", {"text": "after", "id": f"after-{len(data)}"}))[
        "status"
    ] == "sent"
    assert not [text for text in await sent_texts(shared_home) if text.startswith("abc")]


async def test_a_form_of_ten_thousand_parts_is_refused(sender_client):
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="p%d"\r\n\r\nv\r\n' % n for n in range(10_000)
    )
    answer = await sender_client.post(
        "/send/wife", parts + b"--x--\r\n", type="multipart/form-data; boundary=x"
    )
    assert answer.status_code == 400
    assert "100" in answer.json()["error"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.png", "a\\\\b.png", "x\u202egnp.exe", "a\x00.png"])
async def test_a_name_that_is_a_path_is_refused(sender_client, name):
    picture = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\n'
    body = picture + PICTURE + b"\r\n--x--\r\n"
    answer = await sender_client.post("/send/wife", body, type="multipart/form-data; boundary=x")
    assert answer.status_code == 400, answer.text


async def test_a_header_cannot_be_split(sender_client):
    key = "a%0d%0aSet-Cookie: x=1"
    answer = await sender_client.post(
        "/send/wife?id=a%0d%0aX-Evil:%201", "x", type="text/plain", headers={"idempotency-key": key}
    )
    assert answer.status_code == 400
    assert "x-evil" not in answer.headers
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"text": "a", "ttl": ' + b"9" * 5000 + b"}",
        b'{"text": "\xff\xfe"}',
        b'{"text": "a", "text2": 1}',
        b'["text"]',
        b'{"kind": "image", "path": "/etc/passwd"}',
        b'{"kind": "image", "data": "%%%"}',
        b"",
    ],
    ids=["deep", "long", "no utf-8", "unknown", "list", "path", "base64", "empty"],
)
async def test_hostile_json_is_refused_with_a_reason(sender_client, body):
    answer = await sender_client.post("/send/wife", body, type="application/json")
    assert answer.status_code in {400, 403}
    assert answer.json()["error"]


async def test_a_picture_from_a_local_address_is_not_fetched(sender_client):
    body = json.dumps({"kind": "image", "url": f"{sender_client.url}/healthz"}).encode()
    answer = await sender_client.post("/send/wife?wait=30", body, type="application/json")
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")


async def test_no_token_is_in_a_log_a_metric_or_a_result(shared_home, sender_client):
    await sender_client.post(f"/send/wife?auth={TOKENS['nas']}", "x", type="text/plain")
    await sender_client.post(f"/send/wife?token={TOKENS['nas']}", "x", type="text/plain", token="")
    metrics = (await sender_client.get("/metrics")).text
    assert 'wx2mqtt_sender_calls_total{code="accepted",sender="grafana"}' in metrics
    published = [str(message.payload) for message in shared_home.subscriber.received]
    logged = [*shared_home.bridge.log, metrics, *published]
    for token in TOKENS.values():
        encoded = base64.b64encode(token.encode()).decode()
        assert [line for line in logged if token in line or encoded in line] == []
    assert not any("auth=" in line or "token=" in line for line in shared_home.bridge.log)


async def test_a_reload_closes_senders(shared_home, sender_client):
    await reload_senders(shared_home, SENDERS[1:])
    assert (await sender_client.post("/send/wife", "x", type="text/plain")).status_code == 401
    await reload_senders(shared_home, [])
    assert (await sender_client.post("/send/family", "x", type="text/plain", sender="nas")).status_code == 404
