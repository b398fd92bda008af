"""Everything that uses a secret, at the most detailed log level, and then a search for every secret in all output."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.scenarios.login_helpers import STATE, ask, url_after
from tests.support.broker import password_file
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home
from tests.support.scanner import codes_in

MQTT_PASSWORD, WEB_PASSWORD = "mqtt-Geheimnis-4711", "web-Geheimnis-4711"
SECRET_TEXT = "niemand-darf-das-im-Log-lesen"
MAY_SHOW_CODES = ("wx/login/qr", "wx/login/url")


def secrets_of(home: Home) -> dict[str, str]:
    """Returns all secrets that the simulated WeChat handed out, and the passwords, by names."""
    wechat = home.simulator.wechat
    found = {"mqtt password": MQTT_PASSWORD, "web password": WEB_PASSWORD}
    for number, session in enumerate(wechat.sessions.values()):
        secrets = {
            "sid": session.sid,
            "pass_ticket": session.pass_ticket,
            "pass_ticket in the XML": session.pass_ticket_in_xml,
            "auth_ticket": session.auth_ticket,
            "uvid": session.uvid,
            "uin": str(session.uin),
            **{f"skey {n}": skey for n, skey in enumerate(session.skeys)},
            **{f"data_ticket {n}": ticket for n, ticket in enumerate(session.data_tickets)},
        }
        found |= {f"login {number}: {name}": value for name, value in secrets.items()}
    for number, code in enumerate(wechat.codes):
        found |= {f"code {number}": code.uuid, f"ticket {number}": code.ticket}
    return found


def user_names(home: Home) -> list[str]:
    """Returns the UserNames of all logins; they are useless outside of a login, and never published."""
    sessions = home.simulator.wechat.sessions.values()
    return [name for session in sessions for name in session._ids if name.startswith("@")]


def forms_of(secret: str) -> set[bytes]:
    """Returns a secret as it is, and as it may stand in a URL."""
    return {secret.encode(), quote(secret, safe="").encode()}


def found_in(data: bytes, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if any(form in data for form in forms_of(secret))]


def files_of(store: Path) -> Iterator[tuple[str, bytes]]:
    """Yields every file but the saved logins, which are secrets themselves and for that reason 0600."""
    for file in sorted(store.rglob("*")):
        if file.is_file() and file.parent.name != "sessions":
            yield str(file.relative_to(store)), file.read_bytes()


def modes_of(store: Path) -> dict[str, int]:
    return {str(file.relative_to(store)): file.stat().st_mode & 0o777 for file in store.rglob("*")}


def run_commands(home: Home) -> str:
    """Returns what commands print beside the running bridge."""
    output = ""
    for command in (["healthcheck"], ["people", "list"], ["journal", "list", "--all"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "wx2mqtt", *command, "-c", str(home.bridge.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=MAX_WAIT_SECONDS,
        )
        output += done.stdout + done.stderr
    return output


async def do_everything_with_secrets(home: Home) -> str:
    """Does everything that uses a secret once, with its failures; returns what the commands printed."""
    await home.control.post("settings", rotate_tickets=True, sync_skey=True)
    await home.log_in()
    saved = (home.bridge.store / "sessions" / "home.json").read_bytes()
    assert len(found_in(saved, secrets_of(home))) >= 4, "the search finds what is there"
    await home.control.say("wife", SECRET_TEXT)
    await home.body("wx/in/wife", text=SECRET_TEXT)
    await home.control.say("uncle", "hello", kind="friend_request")
    await home.body("wx/event/friend_request")
    for fault in ("garbage", "html", "truncate", "status", "reset", "bad_status_line"):
        await home.control.post("fault", endpoint="webwxsendmsg", kind=fault)
        await home.in_thread(home.subscriber.say, "wx/out/wife", {"text": SECRET_TEXT, "id": fault})
        await home.body("wx/result/wife", id=fault)
    await fetch_files_with_faults(home)
    await home.in_thread(
        home.subscriber.publish, "wx/out/wife", f'{{"text": "{SECRET_TEXT}", "nonsense": 1}}'
    )
    for name in ("contacts", "health", "reload"):
        await ask(home, name)
    output = await home.in_thread(run_commands, home)
    for fault in ("garbage", "html", "truncate"):
        await home.control.post("fault", endpoint="webwxsync", kind=fault)
        await home.control.say("wife", f"after {fault}")
        await home.body("wx/in/wife", text=f"after {fault}")
    await fail_logins(home)
    return output


async def fetch_files_with_faults(home: Home) -> None:
    """Downloads files, each with a failure first; the URL of a download has every key of the session."""
    for fault in ("garbage", "html", "truncate", "status", "reset", "bad_status_line"):
        for kind, endpoint in (("file", "webwxgetmedia"), ("image", "webwxgetmsgimg")):
            await home.control.post("fault", endpoint=endpoint, kind=fault)
            (message_id,) = await home.control.say("wife", kind=kind)
            await home.body("wx/event/media", message_id=message_id)
    await home.send_request("media", {"avatar": "wife", "inline": True})


async def fail_logins(home: Home) -> None:
    since = home.subscriber.count
    await home.control.post("logout", retcode=1102)
    await url_after(home, since)
    await home.control.post("fault", endpoint="webwxnewloginpage", kind="html")
    await home.control.wait("code")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="refused", since=since)
    await ask(home, "login")
    await home.control.wait("code")
    await home.control.post("fault", endpoint="webwxinit", kind="garbage")
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body(STATE, state="online", since=home.subscriber.count - 1)
    await home.control.wait("polling")
    await home.in_thread(home.bridge.stop)
    await home.control.post("logout", retcode=1101)
    since = home.subscriber.count
    home.bridge.start()
    await home.body(STATE, state="waiting_for_confirm", since=since)
    await home.control.post("cancel")
    await url_after(home, since)


@pytest.mark.in_folder
async def test_no_secret_is_in_a_message_a_log_or_a_readable_file(home: Home):
    passwords = password_file(home.folder / "passwords", "bridge", MQTT_PASSWORD)
    home.broker.configure(f"allow_anonymous true\npassword_file {passwords}")
    home.broker.restart()
    settings = home.settings(web={"password": WEB_PASSWORD})
    settings["mqtt"] |= {"username": "bridge", "password": MQTT_PASSWORD}
    home.bridge.configure(settings)
    output = await do_everything_with_secrets(home)
    secrets = secrets_of(home)
    assert len(secrets) > 40
    assert sum(name.startswith("code") for name in secrets) >= 4

    log = "\n".join(home.bridge.log).encode()
    assert b'"level": "debug"' in log or b'"level": "info"' in log
    assert found_in(log, secrets) == []
    assert SECRET_TEXT.encode() not in log, "what people write to each other is nobody's business"
    assert b"login.weixin.qq.com" not in log
    assert found_in(output.encode(), secrets) == []

    codes = {name for name in secrets if name.startswith("code")}
    for received in home.subscriber.received:
        found = found_in(received.topic.encode() + b" " + received.payload, secrets)
        allowed = codes if received.topic in MAY_SHOW_CODES else set()
        assert set(found) <= allowed, received.topic
    for picture in home.subscriber.on("wx/login/qr"):
        found = [name for text in codes_in(picture.payload) for name in found_in(text.encode(), secrets)]
        assert set(found) <= codes

    names = user_names(home)
    assert len(names) > 20
    for received in home.subscriber.received:
        assert not any(name.encode() in received.payload for name in names), received.topic
        assert b"@stranger" not in received.payload, "the ticket of a friend request is not published"

    await home.in_thread(home.bridge.stop)
    for name, data in files_of(home.bridge.store):
        # The uin of the owner is stored to recognize the owner; it gives no access by itself.
        secrets_found = [name for name in found_in(data, secrets) if not name.endswith(": uin")]
        assert secrets_found == [], name
    for name, mode in modes_of(home.bridge.store).items():
        assert mode & 0o077 == 0, f"{name} can be read by others"
