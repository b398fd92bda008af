"""The pages of alarms do what they say: their blocks and their tables of fields, on the whole bridge with
simulated iLink.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
import yaml
from jsonschema import Draft202012Validator

from tests.docs.markdown import ROOT, Block, blocks, links
from tests.scenarios.test_sender_services import grafana
from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import DURABLE, free_port
from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS
from tests.support.ilink_home import ILinkHome, at_ilink_home
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

LANGUAGES = ("en", "zh")
MAX_PAGE_LINES = 42  # a screen, without empty lines
BRIDGE, NTFY = "192.168.1.10:8098", "192.168.1.10:8097"
EXTERNAL_URL = "https://wechat.example.org"
PICTURE = (ROOT / "docs" / "images" / "phone.png").read_bytes()
both_languages = pytest.mark.parametrize("language", LANGUAGES)

# A receiver of a contact point as grafana/alerting reads it (receivers/webhook/config.go).
GRAFANA_RECEIVER = {
    "type": "object",
    "required": ["uid", "type", "settings"],
    "additionalProperties": False,
    "properties": {
        "uid": {"type": "string", "maxLength": 40},
        "type": {"const": "webhook"},
        "settings": {
            "type": "object",
            "required": ["url"],
            "additionalProperties": False,
            "properties": {
                name: {"type": "string"}
                for name in ("url", "httpMethod", "authorization_scheme", "authorization_credentials")
            },
        },
    },
}

# The messages that each shell block sends, by page and position: texts or their first words, and kinds of files.
EXPECTED_MESSAGES: dict[str, list[dict[str, list[str]]]] = {
    "start/alarms": [{"en": ["It works"], "zh": ["通了"]}],
    "examples/ntfy": [
        {"en": ["Disk\n95 % full"], "zh": ["磁盘\n已用 95 %"]},
        {
            "en": ["⚠️ Cellar\nWater on the floor", "At the door", "image"],
            "zh": ["⚠️ 地下室\n地上有水", "有人在门口", "image"],
        },
        {"en": ["Water on the floor"], "zh": ["地上有水"]},
    ],
    "examples/gotify": [
        {"en": ["Disk\n95 % full"], "zh": ["磁盘\n已用 95 %"]},
        {"en": ["Backup\nThe disk is full"], "zh": ["备份\n磁盘已满"]},
    ],
    "examples/curl": [
        {
            "en": ["Somebody is at the door", "image", "file", "Filesystem"],
            "zh": ["有人在门口", "image", "file", "Filesystem"],
        },
        {"en": ["The backup failed"], "zh": ["备份失败"]},
    ],
}
BLOCKS = [(page, index) for page, expected in EXPECTED_MESSAGES.items() for index in range(len(expected))]


class AlarmHome:
    """A home with the sender and the fallback of the page, and a folder with the token and two files."""

    def __init__(self, home: ILinkHome, service: AlarmReceiver, ports: dict[str, str]) -> None:
        self.home = home
        self.service = service
        self.folder = home.bridge.folder
        self.http = httpx.AsyncClient(trust_env=False, timeout=MAX_REQUEST_SECONDS)
        self._ports = ports
        self._sent_before = 0

    @property
    def token(self) -> str:
        return (self.folder / "alarms.token").read_text().strip()

    def fill_in(self, text: str) -> str:
        """Returns a text of a page with the addresses and the token of this home."""
        for address, local_address in self._ports.items():
            text = text.replace(address, local_address)
        return re.sub(r"\bTOKEN\b(?!:)", self.token, text)

    async def renew_quota(self) -> None:
        """Lets the person write, so that WeChat takes ten messages again."""
        since = self.home.subscriber.count
        await self.home.bot.write("hello")
        await self.home.body("wx/in/me", since=since, text="hello")
        self._sent_before = len(await self.home.bot.get("ilink/sent"))

    async def run(self, script: str) -> tuple[int, str]:
        """Runs a block of shell as it is written; returns its exit status and its output."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
        process = await asyncio.create_subprocess_exec(
            *("bash", "-eu", "-o", "pipefail", "-c", script),
            cwd=self.folder,
            env=environment,
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), MAX_WAIT_SECONDS)
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def wait_for_messages(self, *texts: str, urgent: bool = True) -> None:
        """Waits until WeChat has these texts (or kinds of files), the first one as an alarm if `urgent`, else not."""
        missing, seen = set(texts), self._sent_before
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while missing:
                lines = await self.home.bot.get("ilink/sent", after=seen, wait=MAX_REQUEST_SECONDS)
                missing -= {line["text"] if line["kind"] == "text" else line["kind"] for line in lines}
                missing -= {line["text"].partition(" ")[0] for line in lines}
                seen += len(lines)
        command = next(fields for fields in self._commands() if fields.get("text") == texts[0])
        assert (command["urgent"], command["priority"] == "high") == (urgent, urgent)

    def _commands(self) -> list[dict[str, Any]]:
        """Returns the commands in the store, the newest first."""
        database = f"{(self.home.bridge.store / 'wx2mqtt.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(database, uri=True)) as connection:
            rows = connection.execute("SELECT command FROM command ORDER BY rowid DESC").fetchall()
        return [json.loads(text) for (text,) in rows]


def blocks_of(page: str, language: str, language_of_block: str) -> list[Block]:
    path = ROOT / "docs" / language / f"{page}.md"
    return [
        block for block in blocks(path) if block.check == "tested" and block.language == language_of_block
    ]


def tables(page: str, language: str) -> list[list[list[str]]]:
    """Returns the rows of each table of a page without its head. Of a cell it keeps the code."""
    found: list[list[list[str]]] = []
    is_inside = False
    for line in (ROOT / "docs" / language / f"{page}.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            is_inside = False
        elif line.startswith("|---"):
            found.append([])
            is_inside = True
        elif is_inside:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[-1].append(cells)
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def run_setup(folder: Path, language: str) -> dict[str, Any]:
    """Makes the token as the page says; returns the `web` of the configuration that it shows."""
    (token_block,) = (block for block in blocks_of("start/alarms", language, "sh") if "openssl" in block.text)
    subprocess.run(["bash", "-eu", "-c", token_block.text], cwd=folder, check=True)
    (settings_block,) = blocks_of("start/alarms", language, "yaml")
    return dict(yaml.safe_load(settings_block.text)["web"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alarm_home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AlarmHome]:
    folder = tmp_path_factory.mktemp("alarms")
    ports = {address: f"127.0.0.1:{free_port()}" for address in (BRIDGE, NTFY)}
    async with at_ilink_home(folder, DURABLE) as home:
        with AlarmReceiver() as service:
            alarms = AlarmHome(home, service, ports)
            (home.bridge.folder / "door.jpg").write_bytes(PICTURE)
            (home.bridge.folder / "report.csv").write_text("one,two\n")
            web = run_setup(home.bridge.folder, "en")
            (ntfy,) = blocks_of("examples/ntfy", "en", "yaml")
            web |= yaml.safe_load(ntfy.text)["web"]
            web = {
                **web,
                "senders": [{**web["senders"][0], "rate": 0}],
            }  # more calls a minute than people make
            for key, address in {"senders_listen": BRIDGE, "ntfy_listen": NTFY}.items():
                assert web[key].startswith("0.0.0.0:")
                web[key] = f"0.0.0.0:{ports[address].rpartition(':')[2]}"
            account = {"fallback": {"after": "200ms", "urls": [service.url]}}
            home.bridge.configure(home.settings(account, web=web))
            await home.log_in()
            yield alarms
            await alarms.http.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def alarms(alarm_home: AlarmHome) -> AlarmHome:
    await alarm_home.renew_quota()
    return alarm_home


@both_languages
async def test_the_sender_is_made_as_the_page_says(language, tmp_path):
    web = run_setup(tmp_path, language)
    token = tmp_path / "alarms.token"
    assert (token.stat().st_mode & 0o777, len(token.read_text().strip())) == (0o600, 64)
    settings = {
        "mqtt": {"url": "mqtt://127.0.0.1:1883"},
        "accounts": {"home": {"backend": "ilink", "contacts": {"me": {"owner": True}}}},
        "web": web,
    }
    (file := tmp_path / "wx2mqtt.yaml").write_text(yaml.safe_dump(settings))
    (finding,) = load(file, {}, BACKENDS).warnings
    assert "unencrypted" in str(finding)
    assert BRIDGE.rpartition(":")[2] == web["senders_listen"].rpartition(":")[2]


@both_languages
async def test_each_page_is_short_sets_urgent_and_says_how_one_sees_that_it_failed(language):
    overview = ROOT / "docs" / language / "start" / "alarms.md"
    pages = {target.partition("#")[0] for target in links(overview) if "examples/" in target} - {
        "../examples/alarms.md"
    }
    assert len(pages) > 10
    for target in pages:
        page = (overview.parent / target).resolve()
        text = page.read_text(encoding="utf-8")
        assert re.search(r"urgent|紧急", text), page
        if page.stem != "tasmota":  # it says so in a sentence of its own
            assert {"en": "**How you see that it failed:**", "zh": "**怎样看出没有送达：**"}[
                language
            ] in text, page
        lines = [line for line in text.splitlines() if line]
        assert len(lines) <= MAX_PAGE_LINES or page.stem == "esphome", page  # the file of a device is longer


@both_languages
@pytest.mark.parametrize(("page", "index"), BLOCKS, ids=[f"{page}-{index}" for page, index in BLOCKS])
async def test_the_shell_blocks_run_as_written(alarms, page, index, language):
    run = [
        block
        for block in blocks_of(page, language, "sh")
        if block.reason == "test_the_shell_blocks_run_as_written"
    ]
    assert len(run) == len(EXPECTED_MESSAGES[page])
    # A reader follows one language: the blocks of the other one use another key.
    script = alarms.fill_in(run[index].text).replace("backup-", f"backup-{language}-")
    status, output = await alarms.run(script)
    assert status == 0, output
    await alarms.wait_for_messages(*EXPECTED_MESSAGES[page][index][language])


@both_languages
async def test_the_exit_status_of_the_shell_block_says_whether_the_alarm_arrived(alarms, language):
    (block,) = (block for block in blocks_of("examples/curl", language, "sh") if "alarm()" in block.text)
    script = alarms.fill_in(block.text)
    status_sent, status_failed = re.findall(r'echo "([^"$：:]+)', script)
    status, output = await alarms.run(script)
    assert (status, output.strip()) == (0, status_sent)
    await alarms.home.bot.post("ilink/window", ago=25 * 3600)
    taken_address = len(alarms.service.bodies)
    status, output = await alarms.run(script)
    assert (status, output.strip()) == (0, status_sent)
    assert len(alarms.service.bodies) == taken_address + 1
    alarms.service.status = 500
    try:
        status, output = await alarms.run(script)
    finally:
        alarms.service.status = 200
    assert status == 1
    assert output.startswith(status_failed)
    assert '"code": "window_closed"' in output
    status, output = await alarms.run(
        script.replace("urgent=1&", "")
    )  # without a fallback nothing can be sent
    assert status == 1
    assert '"status": "failed"' in output
    unreachable = script.replace("http://127.0.0.1", "http://127.0.0.2")
    status, output = await alarms.run(unreachable.replace("/send/me", "/nowhere/me"))
    assert status == 1
    assert status_failed in output


@both_languages
async def test_ntfy_has_an_address_of_its_own(alarms, language):
    ((server, topic, token, priority),) = [
        [code(row[1]) for row in rows] for rows in tables("examples/ntfy", language)
    ]
    (local_address,) = blocks_of("examples/ntfy", language, "yaml")
    assert yaml.safe_load(local_address.text)["web"]["ntfy_listen"] == "0.0.0.0:8097"
    for base in (server[0], f"http://{NTFY}"):
        answer = await alarms.http.post(
            alarms.fill_in(f"{base}/{topic[0]}"),
            content=f"at {base}",
            headers={"authorization": f"Bearer {alarms.fill_in(token[0])}", "priority": priority[-1]},
        )
        assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages(f"at {server[0]}", f"at http://{NTFY}")


@both_languages
async def test_the_python_block_of_gotify(alarms, language):
    (block,) = blocks_of("examples/gotify", language, "python")
    (alarms.folder / "push.py").write_text(alarms.fill_in(block.text))
    status, output = await alarms.run(f"'{sys.executable}' push.py")
    assert status == 0, output
    assert int(output) > 0
    await alarms.wait_for_messages(
        "\n".join(EXPECTED_MESSAGES["examples/gotify"][1][language][0].splitlines())
    )


@both_languages
async def test_the_webhook_of_grafana(alarms, language):
    """Version 12 posts this to a contact point with these settings."""
    (block,) = blocks_of("examples/grafana", language, "yaml")
    ((receiver,),) = (point["receivers"] for point in yaml.safe_load(block.text)["contactPoints"])
    assert [error.message for error in Draft202012Validator(GRAFANA_RECEIVER).iter_errors(receiver)] == []
    settings = receiver["settings"]
    ((_, url, scheme, credentials),) = tables("examples/grafana", language)
    typed = [code(row[1])[0] for row in (url, scheme, credentials)]
    assert typed == [settings["url"], settings["authorization_scheme"], settings["authorization_credentials"]]
    body = grafana(started_at=f"2026-11-30T0{LANGUAGES.index(language)}:00:00Z")
    body["alerts"][0]["fingerprint"] = language
    answer = await alarms.http.post(
        alarms.fill_in(settings["url"]),
        json=body,
        headers={"authorization": f"{settings['authorization_scheme']} {alarms.token}"},
    )
    assert answer.status_code == 202, answer.text
    await alarms.wait_for_messages(
        "FIRING: Disk (critical)\nnas: 95 % full\nhttp://grafana/d/abc?viewPanel=2"
    )


@both_languages
async def test_the_fields_of_uptime_kuma(alarms, language):
    """Versions 2 and 1 post this with these fields (server/notification-providers/ntfy.js and gotify.js)."""
    ntfy, gotify = tables("examples/uptime-kuma", language)
    topic, server, token = (code(ntfy[row][1])[0] for row in (2, 3, 6))
    priority = int(ntfy[4][1][0])
    down = {
        "topic": topic,
        "message": "timeout",
        "priority": priority + 1,
        "title": "Router Down [Uptime-Kuma]",
    }
    tags = {"tags": ["red_circle"], "actions": [{"action": "view", "label": "Open", "url": "http://router/"}]}
    bearer = {"authorization": f"Bearer {alarms.fill_in(token)}"}
    answer = await alarms.http.post(alarms.fill_in(server), json={**down, **tags}, headers=bearer)
    assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages("🔴 Router Down [Uptime-Kuma]\ntimeout")
    token, server = (code(gotify[row][1])[0] for row in (0, 1))
    old = {"message": "[Router] down", "priority": int(gotify[2][1]), "title": "Uptime-Kuma"}
    answer = await alarms.http.post(alarms.fill_in(f"{server}/message?token={token}"), json=old)
    assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages("Uptime-Kuma\n[Router] down")


@both_languages
async def test_the_fields_of_synology(alarms, language):
    """What DSM 7 posts with these fields.

    The headers and the body of a custom provider are as people show them who read DSM's own file of it
    (/usr/syno/etc/synowebhook.conf: `req_header`, `req_param`), which github.com/corytodd/DSM-Webhook and
    github.com/lexhouk/notification receive; the fields are also those of Synology's page on webhooks (DSM 7,
    system_notification_webhook).
    """
    rows = tables("examples/nas", language)[0]
    url = code(rows[1][1])[0]
    headers = dict(code(row[1]) for row in rows[3:5])
    message, (priority, level) = code(rows[5][1])[0], code(rows[6][1])
    expected_text = "Volume 1 on nas has degraded.\nFrom nas"
    answer = await alarms.http.post(
        alarms.fill_in(url),
        content=json.dumps({message: expected_text, priority: level}),
        headers={name: alarms.fill_in(value) for name, value in headers.items()},
    )
    assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages(expected_text)


@both_languages
async def test_the_fields_of_qnap(alarms, language):
    """Notification Center sends this with the template: a custom SMSC is called with GET, its `@@…@@` filled in.

    github.com/pedropombeiro/qnapexporter and others that stand in for an SMS service are called in this way.
    """
    (template,) = code(tables("examples/nas", language)[1][2][1])
    auth = base64.urlsafe_b64encode(f"Bearer {alarms.token}".encode()).decode().rstrip("=")
    expected_text = "[Storage] 磁盘 2: & failed"
    url = (
        alarms.fill_in(template)
        .replace("@@Text@@", quote(expected_text))
        .replace("@@PhoneNumber@@", "%2B8613800000000")
    )
    answer = await alarms.http.get(url.replace("CODE", auth))
    assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages(expected_text)


async def test_only_a_get_request_with_the_token_sends(alarms):
    """HEAD, with which programs look at an address, sends nothing, nor does a page of another site; no body is read."""
    auth = base64.urlsafe_b64encode(f"Bearer {alarms.token}".encode()).decode().rstrip("=")
    url = alarms.fill_in(f"http://{BRIDGE}/ntfy/me/send?message=nobody&auth=")
    answers = [
        await alarms.http.head(url + auth),
        await alarms.http.get(url + auth, headers={"sec-fetch-site": "cross-site"}),
        await alarms.http.get(url + auth, headers={"origin": "https://elsewhere.example"}),
        await alarms.http.get(url + "QQ"),
        await alarms.http.request("GET", url + auth, content="a body"),
        await alarms.http.get(alarms.fill_in(f"http://{BRIDGE}/ntfy/me?message=nobody&auth={auth}")),
    ]
    assert [answer.status_code for answer in answers] == [405, 403, 403, 401, 413, 405]
    answer = await alarms.http.get(alarms.fill_in(f"http://{NTFY}/me/trigger?auth={auth}"))
    assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages("triggered", urgent=False)
    assert "nobody" not in {line["text"] for line in await alarms.home.bot.get("ilink/sent")}


def variables(block: Block) -> dict[str, str]:
    return dict(re.findall(r'^export (\w+)="([^"]*)"$', block.text, re.MULTILINE))


@both_languages
async def test_qinglong_sends_what_its_variables_say(alarms, language):
    """`sample/notify.py` of github.com/whyour/qinglong (July 2026) posts this with these variables, and so does the
    panel.
    """
    gotify, ntfy, robot = (
        {name: alarms.fill_in(value) for name, value in variables(block).items()}
        for block in blocks_of("examples/qinglong", language, "sh")
    )
    assert gotify["HITOKOTO"] == "false"
    url = f"{gotify['GOTIFY_URL']}/message?token={gotify['GOTIFY_TOKEN']}"
    data = {"title": "签到", "message": "失败", "priority": gotify["GOTIFY_PRIORITY"]}
    answer = await alarms.http.post(url, data=data)
    assert answer.json()["id"]
    await alarms.wait_for_messages("签到\n失败")
    headers = {
        "Title": f"=?utf-8?B?{base64.b64encode('任务'.encode()).decode()}?=",
        "Priority": ntfy["NTFY_PRIORITY"],
        "Icon": "https://qn.whyour.cn/logo.png",
        "Authorization": f"Bearer {ntfy['NTFY_TOKEN']}",
    }
    url = f"{ntfy['NTFY_URL']}/{ntfy['NTFY_TOPIC']}"
    answer = await alarms.http.post(url, content="出错".encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    await alarms.wait_for_messages("任务\n出错")
    url = f"{robot['QYWX_ORIGIN']}/cgi-bin/webhook/send?key={robot['QYWX_KEY']}"
    text = {"msgtype": "text", "text": {"content": "机器人\n\n完成"}}
    answer = await alarms.http.post(url, content=json.dumps(text))
    assert answer.json()["errcode"] == 0
    await alarms.wait_for_messages("机器人\n\n完成", urgent=False)
    (rows,) = tables("examples/qinglong", language)
    server, token = (alarms.fill_in(code(row[1])[0]) for row in rows[1:3])
    form = f"title={quote('面板')}&message={quote('登录')}&priority={rows[3][1]}"
    answer = await alarms.http.post(
        f"{server}/message?token={token}",
        content=form,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert isinstance(answer.json()["id"], int)
    await alarms.wait_for_messages("面板\n登录")


@both_languages
async def test_the_step_of_a_workflow(alarms, language):
    """A runner replaces each `${{ … }}`, and runs the step with `bash -e`."""
    (block,) = blocks_of("examples/actions", language, "yaml")
    _, step = yaml.safe_load(block.text)["jobs"]["build"]["steps"]
    assert step["if"] == "failure()"
    assert "${{" not in step["run"]
    values = {
        "secrets.WECHAT_TOKEN": alarms.token,
        "github.repository": "me/house",
        "github.workflow": "build",
        "github.ref_name": 'main; rm -rf "$HOME" \'`',
        "github.server_url": "https://github.com",
        "github.run_id": "17",
    }
    env = {
        name: re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda match: values[match[1]], value)
        for name, value in step["env"].items()
    }
    env |= {
        "GITHUB_REPOSITORY": "me/house",
        "GITHUB_RUN_ID": language,
        "GITHUB_RUN_ATTEMPT": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-c", step["run"].replace(EXTERNAL_URL, alarms.fill_in(f"http://{BRIDGE}"))),
        cwd=alarms.folder,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*", **env},
        stdout=PIPE,
        stderr=STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), MAX_WAIT_SECONDS)
    assert process.returncode == 0, output.decode()
    await alarms.wait_for_messages(env["TEXT"])
