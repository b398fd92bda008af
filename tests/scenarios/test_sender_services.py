"""Unmodified programs that send by Gotify, ntfy, or a webhook, on the whole bridge."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.support.broker import DURABLE, free_port
from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS
from tests.support.home import Home, at_home

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "services-" + "0123456789abcdef" * 3
BASIC = base64.b64encode(f"any:{TOKEN}".encode()).decode()
PAGE = Path(__file__).parents[2] / "docs/en/examples/alertmanager.md"
ALERTMANAGER = shutil.which("prometheus-alertmanager")
# A picture of one pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Services:
    """A logged-in home whose bridge has a sender, and the addresses of its interfaces."""

    def __init__(self, home: Home, url: str, root_url: str) -> None:
        self.home = home
        self.url = url
        self.root_url = root_url
        self.http = httpx.AsyncClient(trust_env=False, timeout=MAX_REQUEST_SECONDS)

    async def sent(self) -> list[dict[str, Any]]:
        return [*await self.home.control.get("sent")]

    async def arrives(self, text: str, kind: str = "text") -> dict[str, Any]:
        """Waits until WeChat has got a text, or a file of this name."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            after = 0
            while True:
                lines = await self.home.control.get("sent", after=after, wait=MAX_REQUEST_SECONDS)
                for line in lines:
                    if line["kind"] == kind and text == (line["text"] or line["media"]["name"]):
                        return dict(line)
                after += len(lines)

    async def run(self, *command: str) -> str:
        """Runs a program that must succeed; returns its output."""
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), MAX_WAIT_SECONDS)
        assert process.returncode == 0, output.decode()
        return output.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    root_port, port = free_port(), free_port()
    web = {
        "listen": f"127.0.0.1:{port}",
        "ntfy_listen": f"127.0.0.1:{root_port}",
        "senders": [{"name": "tools", "token": TOKEN, "to": "wife", "users": ["wife", "family"], "rate": 0}],
    }
    async with at_home(tmp_path_factory.mktemp("services"), DURABLE) as home:
        home.bridge.configure(home.settings(web=web))
        await home.log_in()
        created = Services(home, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{root_port}")
        yield created
        await created.http.aclose()


def authority(url: str) -> str:
    return url.removeprefix("http://")


# apprise


async def test_apprise_as_gotify(services):
    address = f"gotify://{authority(services.url)}/gotify/{TOKEN}?priority=emergency"
    since = services.home.subscriber.count
    await services.run(str(Path(sys.executable).with_name("apprise")), "-t", "Disk", "-b", "full 🔥", address)
    await services.arrives("Disk\nfull 🔥")
    result = await services.home.body("wx/result/wife", since=since)
    assert (result["status"], result["sender"]) == ("sent", "tools")


async def test_apprise_as_ntfy_knows_no_path(services):
    address = f"ntfy://any:{TOKEN}@{authority(services.root_url)}/wife?priority=max&tags=warning"
    await services.run(str(Path(sys.executable).with_name("apprise")), "-t", "Disk", "-b", "full", address)
    await services.arrives("⚠️ Disk\nfull")


async def test_apprise_sends_a_picture_by_ntfy(services, tmp_path):
    picture = tmp_path / "door.png"
    picture.write_bytes(PICTURE)
    address = f"ntfy://any:{TOKEN}@{authority(services.root_url)}/wife"
    apprise = str(Path(sys.executable).with_name("apprise"))
    await services.run(apprise, "-b", "somebody rang", "-a", str(picture), address)
    await services.arrives("door.png", "image")


# curl, as the documentation of each service shows it


async def curl(services, *arguments):
    return await services.run("curl", "-sS", "--noproxy", "*", "--fail-with-body", *arguments)


async def test_curl_as_ntfy(services):
    answer = json.loads(
        await curl(
            services,
            *("-u", f"any:{TOKEN}", "-H", "Title: 门口", "-H", "Priority: urgent", "-H", "Tags: door,camera"),
            *("-d", "somebody rang", f"{services.url}/ntfy/wife"),
        )
    )
    assert (answer["event"], answer["topic"]) == ("message", "wife")
    await services.arrives("🚪 门口\nsomebody rang\n[camera]")


async def test_curl_puts_a_file_by_ntfy(services, tmp_path):
    (tmp_path / "flower.png").write_bytes(PICTURE + b"1")
    await curl(
        services,
        *("-H", f"Authorization: Bearer {TOKEN}", "-H", "Filename: flower.png", "-H", "Message: a flower"),
        *("-T", str(tmp_path / "flower.png"), f"{services.url}/ntfy/wife"),
    )
    await services.arrives("a flower")
    await services.arrives("flower.png", "image")


async def test_curl_as_gotify_with_a_form(services):
    answer = json.loads(
        await curl(
            services,
            *("-F", "title=my title", "-F", "message=my message", "-F", "priority=5"),
            f"{services.url}/gotify/message?token={TOKEN}",
        )
    )
    assert isinstance(answer["id"], int)
    await services.arrives("my title\nmy message")


async def test_curl_as_a_wecom_robot(services):
    url = f"{services.url}/wecom/cgi-bin/webhook/send?key={TOKEN}"
    text = {"msgtype": "text", "text": {"content": "hello world", "mentioned_list": ["@all"]}}
    answer = await curl(services, "-H", "Content-Type: application/json", "-d", json.dumps(text), url)
    assert json.loads(answer) == {"errcode": 0, "errmsg": "ok"}
    await services.arrives("hello world\n@all")
    picture = PICTURE + b"robot"
    image = {
        "base64": base64.b64encode(picture).decode(),
        "md5": hashlib.md5(picture, usedforsecurity=False).hexdigest(),
    }
    answer = await curl(services, "-d", json.dumps({"msgtype": "image", "image": image}), url)
    assert json.loads(answer)["errcode"] == 0
    await services.arrives("image.png", "image")


async def test_each_interface_refuses_in_the_format_of_its_service(services):
    gotify = await services.http.post(f"{services.url}/gotify/message?token=wrong", json={"message": "x"})
    ntfy = await services.http.post(f"{services.root_url}/wife", content="x")
    robot = await services.http.post(f"{services.url}/wecom/cgi-bin/webhook/send?key=x", json={})
    foreign = await services.http.post(
        f"{services.root_url}/",
        json={"topic": "mom", "message": "x"},
        headers={"authorization": f"Basic {BASIC}"},
    )
    assert (gotify.status_code, gotify.json()["errorCode"]) == (401, 401)
    assert (ntfy.status_code, ntfy.json()["code"]) == (401, 40101)
    assert (robot.status_code, robot.json()["errcode"]) == (401, 93000)
    assert foreign.status_code == 403


async def test_uptime_kuma_as_ntfy_and_as_gotify(services):
    """Version 2 posts this (louislam/uptime-kuma: server/notification-providers/ntfy.js and gotify.js)."""
    texts_expected = "[Router] [🔴 Down] timeout of 48000ms exceeded"
    ntfy = {
        "topic": "wife",
        "message": "timeout of 48000ms exceeded",
        "priority": 5,
        "title": "Router Down [Uptime-Kuma]",
        "tags": ["red_circle"],
        "actions": [{"action": "view", "label": "Open Router", "url": "http://router/"}],
    }
    answer = await services.http.post(
        services.root_url, json=ntfy, headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 200
    await services.arrives(f"🔴 {ntfy['title']}\n{ntfy['message']}")
    gotify = {"message": texts_expected, "priority": 8, "title": "Uptime-Kuma"}
    url = f"{services.url}/gotify/message?token={TOKEN}"
    answer = await services.http.post(url, json=gotify)
    assert answer.status_code == 200
    await services.arrives(f"Uptime-Kuma\n{texts_expected}")


# webhooks


def grafana(*, status: str = "firing", started_at: str = "2026-11-30T10:00:00Z") -> dict[str, Any]:
    """Returns what Grafana 12 posts to a webhook (grafana/alerting: receivers/webhook/v1/webhook.go)."""
    alert = {
        "status": status,
        "labels": {"alertname": "Disk", "instance": "nas", "severity": "critical", "grafana_folder": "home"},
        "annotations": {"summary": "95 % full"},
        "startsAt": started_at,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://grafana/alerting/grafana/abc/view?orgId=1",
        "fingerprint": "c6eadffa33fcdf37",
        "silenceURL": "http://grafana/alerting/silence/new",
        "dashboardURL": "",
        "panelURL": "http://grafana/d/abc?viewPanel=2",
        "values": {"A": 95.5},
        "valueString": "[ var='A' labels={instance=nas} value=95.5 ]",
        "orgId": 1,
    }
    return {
        "receiver": "wechat",
        "status": status,
        "alerts": [alert],
        "groupLabels": {"alertname": "Disk"},
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "http://grafana/",
        "version": "1",
        "groupKey": '{}:{alertname="Disk"}',
        "truncatedAlerts": 0,
        "orgId": 1,
        "title": "[FIRING:1] Disk nas (home critical)",
        "state": "alerting",
        "message": "**Firing** …",
    }


async def post_alert(services, body):
    return await services.http.post(
        f"{services.url}/hook/grafana", json=body, headers={"authorization": f"Basic {BASIC}"}
    )


async def test_grafana_fires_repeats_and_resolves_also_after_kill_9(services):
    text = "FIRING: Disk (critical)\nnas: 95 % full\nhttp://grafana/d/abc?viewPanel=2"
    first = await post_alert(services, grafana())
    assert first.status_code == 202
    await services.home.body("wx/result/wife", id=first.json()["id"], status="sent")
    again = await asyncio.gather(*(post_alert(services, grafana()) for _ in range(5)))
    assert {answer.json()["id"] for answer in again} == {first.json()["id"]}
    await services.home.in_thread(services.home.bridge.kill)
    since = services.home.subscriber.count
    await services.home.in_thread(services.home.bridge.start)
    await services.home.body("wx/login/state", state="online", since=since)
    after = await post_alert(services, grafana())
    assert after.json()["id"] == first.json()["id"]
    for body in (grafana(status="resolved"), grafana(started_at="2026-11-30T11:00:00Z")):
        answer = await post_alert(services, body)
        assert answer.json()["id"] != first.json()["id"]
        await services.home.body("wx/result/wife", id=answer.json()["id"], status="sent")
    texts = [line["text"] for line in await services.sent()]
    assert texts.count(text) == 2
    assert texts.count(text.replace("FIRING", "RESOLVED")) == 1


@contextmanager
def alertmanager(folder: Path, url: str) -> Iterator[str]:
    """Runs an Alertmanager that sends to the bridge as the documentation says; yields its address."""
    assert ALERTMANAGER is not None
    (folder / "wechat.token").write_text(TOKEN)
    (text,) = re.findall(r"^```yaml\n(route:.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    text = text.replace("http://192.168.1.10:8098", url)
    text = text.replace("/etc/alertmanager/wechat.token", str(folder / "wechat.token"))
    config = yaml.safe_load(text)
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    file = folder / "alertmanager.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    command = [ALERTMANAGER, f"--config.file={file}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://{address}"
        finally:
            process.kill()
            process.wait()


@pytest.mark.skipif(
    ALERTMANAGER is None,
    reason="prometheus-alertmanager is not installed (Debian: apt-get install prometheus-alertmanager)",
)
async def test_a_real_alertmanager_fires_and_resolves(services, tmp_path):
    now = datetime.now(UTC).isoformat()
    alerts = [
        {
            "labels": {"alertname": "HighLoad", "instance": f"db{number}", "severity": severity},
            "annotations": {"summary": f"load of db{number} is 12"},
            "startsAt": now,
            "generatorURL": "http://prometheus:9090/graph",
        }
        for number, severity in enumerate(("warning", "critical"))
    ]
    with alertmanager(tmp_path, services.url) as url:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while True:
                try:
                    ready = await services.http.get(f"{url}/-/ready")
                except httpx.TransportError:
                    continue
                if ready.is_success:
                    break
        assert (await services.http.post(f"{url}/api/v2/alerts", json=alerts)).is_success
        await wait_for_text_beginning(
            services, "FIRING (2): HighLoad\nload of db1 is 12 (critical)\nload of db0 is 12"
        )
        resolved = [{**alert, "endsAt": now} for alert in alerts]
        assert (await services.http.post(f"{url}/api/v2/alerts", json=resolved)).is_success
        await wait_for_text_beginning(services, "RESOLVED (2): HighLoad\nload of db1 is 12 (critical)\n")
        (test,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        await services.run("bash", "-eu", "-c", test.replace("http://127.0.0.1:9093", url))
        await wait_for_text_beginning(services, "FIRING: Test (critical)\na test")


async def wait_for_text_beginning(services, beginning):
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        after = 0
        while True:
            lines = await services.home.control.get("sent", after=after, wait=MAX_REQUEST_SECONDS)
            if any(line["text"].startswith(beginning) for line in lines):
                return
            after += len(lines)
