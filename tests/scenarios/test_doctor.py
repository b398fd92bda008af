"""`check --connect`: what the doctor finds on real brokers, odd ones, hanging ones, and at WeChat."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion

from tests.scenarios.conftest import StartMosquitto
from tests.scenarios.test_mosquitto_rights import broker as shipped
from tests.scenarios.test_mosquitto_rights import password
from tests.support.broker import Mosquitto, free_port
from tests.support.deadlines import allowed
from tests.support.deviating_broker import Deviations, deviating_broker
from tests.support.doctor_checks import examine, row, silent_server, statuses, wechat_server
from tests.support.home import Home
from tests.support.process import BridgeProcess
from tests.support.scripted_broker import Peer, packet_limit, receive_maximum, scripted_broker
from tests.support.subscriber import Subscriber
from tests.support.terminal import Terminal
from wx2mqtt.diagnostics import broker_connection
from wx2mqtt.mqtt.topics import TOPIC_TABLE

RIGHTS = ("publish", "receive")

LEAST = """\
topic write wx/in/#
topic write wx/result/#
topic write wx/event/#
topic write wx/login/#
topic write wx/contacts
topic write wx/last
topic write wx/bridge/state
topic write wx/bridge/info
topic write wx/bridge/health
topic write wx/bridge/response/#
topic read wx/out/#
topic read wx/bridge/request/#
"""


def allowing(start_mosquitto: StartMosquitto, folder: Path, rules: str) -> Mosquitto:
    """A broker with these rights for everybody."""
    (folder / "acl").write_text(rules)
    (folder / "acl").chmod(0o600)
    return start_mosquitto(f"acl_file {folder}/acl\n")


# --- a broker on which all is well ---


async def test_where_all_is_well_nothing_fails_and_nothing_stays_unknown(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint)
    assert set(statuses(chart).values()) == {"ok"}
    assert chart.is_passed
    checks = {one.check for one in chart.results}
    assert checks >= {"tcp", "login", "version", "in_flight", "packet", "delay", "rewriting"}
    assert checks >= {"retained", "wildcard", "session", "wechat", "clock", *RIGHTS}


async def test_every_class_of_topics_is_tried(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint, account={"plain": True})
    tried = {one.subject.removesuffix("/#") for one in chart.results if one.check in RIGHTS}
    for topic in TOPIC_TABLE:
        if topic.pattern == "window/<user>":  # of iLink
            continue
        whole = f"wx/{topic.pattern}"
        assert any(whole == one or whole.startswith(f"{one}/") for one in tried), whole


async def test_others_hear_nothing_but_empty_messages_that_are_nobodys_and_nothing_stays(
    mosquitto: Mosquitto, tmp_path
):
    with Subscriber(mosquitto.port) as subscriber:
        async with wechat_server() as endpoint:
            await examine(tmp_path, mosquitto.url, endpoint)
        subscriber.publish("the/end", b"")
        subscriber.wait("the/end")
        nonce = subscriber.received[0].topic.split("/")[3]
        for received in subscriber.on("wx/#"):
            assert f"/wx2mqtt-probe/{nonce}" in received.topic
            assert not received.topic.startswith("wx/out/")
            own = received.topic.startswith(f"wx/in/wx2mqtt-probe/{nonce}/")
            assert received.payload == b"" or (own and received.payload == b"{}")
    with Subscriber(mosquitto.port) as later:
        later.publish("the/end", b"")
        assert later.wait("#").topic == "the/end", "nothing is retained"
    for ending in ("", "-2"):
        assert not await asyncio.to_thread(
            has_session, mosquitto.port, f"wx2mqtt-home-doctor-{nonce}{ending}"
        )


def has_session(port: int, client_id: str) -> bool:
    """Whether the broker keeps something of this client."""
    found: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.on_connect = lambda _c, _u, flags, *_: found.append(flags.session_present)
    client.connect("127.0.0.1", port)
    while not found:
        client.loop(0.1)
    client.disconnect()
    return found[0]


async def test_one_publish_for_each_class(mosquitto: Mosquitto, tmp_path):
    with Subscriber(mosquitto.port) as subscriber:
        async with wechat_server() as endpoint:
            await examine(tmp_path, mosquitto.url, endpoint)
        subscriber.publish("the/end", b"")
        subscriber.wait("the/end")
    outside = [
        received.topic
        for received in subscriber.received
        if not received.topic.startswith(("wx/in/", "the/"))
    ]
    assert len(outside) == len(set(outside))


async def test_several_accounts_are_tried_each_on_its_own_topics(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        accounts = {"home": {"endpoint": endpoint}, "office": {"endpoint": endpoint}}
        chart = await examine(tmp_path, mosquitto.url, endpoint, accounts=accounts)
    found = statuses(chart)
    assert found["receive wx/out/#"] == found["receive wx/office/out/#"] == "ok"
    assert found["publish wx/office/in/#"] == "ok"
    assert len([one for one in chart.results if one.check == "wechat"]) == 1, "each host once"


async def test_home_assistants_topics_are_tried_where_it_is_enabled(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint, homeassistant={"enabled": True})
    found = statuses(chart)
    assert found["publish homeassistant/device/wx2mqtt_home/config"] == "ok"
    assert found["receive homeassistant/status"] == "ok"


async def test_each_broker_of_a_cluster_is_looked_at_and_one_that_is_away_is_told(
    mosquitto: Mosquitto, tmp_path
):
    away = free_port()
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, [f"mqtt://127.0.0.1:{away}", mosquitto.url], endpoint)
    assert row(chart, "tcp", f"127.0.0.1:{away}").status == "failed"
    assert row(chart, "tcp", f"127.0.0.1:{mosquitto.port}").status == "ok"
    assert row(chart, "session").status == "ok"
    assert not chart.is_passed


async def test_what_is_found_is_said_in_the_owners_language(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint, language="zh")
    assert row(chart, "retained").finding == "已保留并送达"


# --- a bridge that runs ---


async def test_a_running_bridge_is_not_disturbed_and_tells_what_it_knows(home: Home):
    await home.log_in()
    await home.send_command("wife", "hello")
    before = await home.send_request("health")
    terminal = Terminal(home.folder)
    done = await home.in_thread(terminal.run, "check", "-c", home.bridge.config, "--connect", "--json")
    found = json.loads(done.out)
    assert done.code == 0, done.out
    after = await home.send_request("health")
    assert after["data"]["broker"]["connects"] == before["data"]["broker"]["connects"] == 1
    assert after["data"]["commands"] == before["data"]["commands"]
    assert after["data"]["healthy"]
    ours = ("wx/result/", "wx/event/", "wx/bridge/response/", "wx/login/state", "wx/bridge/state")
    topics = [
        delivery.topic for delivery in home.subscriber.received if "wx2mqtt-probe" not in delivery.topic
    ]
    first, *_, last = (n for n, topic in enumerate(topics) if topic == "wx/bridge/response/health")
    assert [topic for topic in topics[first + 1 : last] if topic.startswith(ours)] == []
    said = {(one["check"], one["subject"]): one["found"] for one in found["rows"]}
    assert said["receive", "wx/out/#"] == "commands have come in"


async def test_the_running_bridge_knows_what_no_probe_can_tell(with_mosquitto, tmp_path, start_mosquitto):
    """A rule that names the retained topics one by one: below them nothing is taken."""
    broker = allowing(start_mosquitto, tmp_path, LEAST.replace("login/#", "login/state"))
    async with wechat_server() as endpoint:
        alone = await examine(tmp_path, broker.url, endpoint)
        assert row(alone, "publish", "wx/login/#").status == "not_known"
        settings = {"mqtt": {"url": broker.url}, "accounts": {"home": {"endpoint": endpoint}}}
        settings["storage"] = {"path": str(tmp_path / "store")}
        bridge = BridgeProcess(tmp_path / "bridge", settings)
        with bridge:
            await asyncio.to_thread(bridge.wait_for_log, "wx/login/url")
            beside = await examine(tmp_path, broker.url, endpoint)
    assert row(beside, "publish", "wx/login/qr").status == "failed"
    assert "wx/login/qr" in row(beside, "publish", "wx/login/qr").remedy
    assert row(beside, "publish", "wx/contacts").status == "ok"


# --- rights ---


async def test_with_the_least_rights_nothing_fails_and_what_cannot_be_known_is_said(
    start_mosquitto, tmp_path
):
    broker = allowing(start_mosquitto, tmp_path, LEAST)
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    found = statuses(chart)
    assert chart.is_passed
    for levels in ("in", "result", "event", "login", "bridge/response"):
        assert found[f"publish wx/{levels}/#"] == "ok"
    assert found["publish wx/contacts"] == "not_known", "the probe lies below"
    assert found["receive wx/out/#"] == "not_known", "mosquitto grants every subscription"
    for rule, trial in (
        ("wx/out/#", "wx/out/filehelper"),
        ("wx/bridge/request/#", "wx/bridge/request/health"),
    ):
        assert f"may read {rule}: what is published to {trial} must" in row(chart, "receive", rule).remedy
    assert {found[one] for one in ("rewriting", "retained", "wildcard")} == {"not_known"}
    assert (found["session"], found["delay"]) == ("ok", "ok")
    assert "wx2mqtt-probe" in row(chart, "retained").remedy


@pytest.mark.parametrize("user", ["bridge", "homeassistant"])
async def test_on_the_shipped_broker_all_is_known_of_the_bridge_and_of_others_that_they_are_not_it(
    tmp_path, user
):
    broker = shipped(tmp_path / "mosquitto").start()
    try:
        (secret := tmp_path / "password").write_text(password(user))
        secret.chmod(0o600)
        mqtt = {"username": user, "password_file": str(secret)}
        more = {"homeassistant": {"enabled": True}, "mqtt": mqtt}
        async with wechat_server() as endpoint:
            chart = await examine(tmp_path, broker.url, endpoint, **more)
    finally:
        broker.stop()
    unknown = {one.subject for one in chart.results if one.status == "not_known"}
    failed = {one.subject for one in chart.results if one.status == "failed"}
    if user == "bridge":
        assert failed == set()
        assert unknown == {"homeassistant/device/wx2mqtt_home/config", "homeassistant/status"}
    else:
        assert failed >= {"wx/in/#", "wx/result/#", "wx/event/#", "wx/bridge/response/#"}


@pytest.mark.parametrize("missing", ["in", "bridge/response"])
async def test_a_right_to_publish_that_is_missing_is_named_with_its_cure(start_mosquitto, tmp_path, missing):
    rules = "\n".join(line for line in LEAST.splitlines() if f"wx/{missing}/" not in line)
    broker = allowing(start_mosquitto, tmp_path, rules + "\n")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    found = row(chart, "publish", f"wx/{missing}/#")
    assert (found.status, chart.is_passed) == ("failed", False)
    assert f"topic write wx/{missing}/#" in found.remedy
    assert [one.subject for one in chart.results if one.status == "failed"] == [f"wx/{missing}/#"]


async def test_home_assistants_prefix_without_rights_is_told(start_mosquitto, tmp_path):
    broker = allowing(start_mosquitto, tmp_path, "topic readwrite wx/#\n")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint, homeassistant={"enabled": True})
    found = row(chart, "publish", "homeassistant/device/wx2mqtt_home/config")
    assert found.status == "not_known", "a rule may name just that topic"
    assert row(chart, "receive", "wx/out/#").status == "ok", "everything else below wx comes back"
    birth = row(chart, "receive", "homeassistant/status")
    assert birth.status == "not_known"
    assert "topic read homeassistant/status" in birth.remedy
    assert "wx/" not in birth.remedy, "that is another topic"


async def test_a_broker_that_refuses_subscriptions_says_so_and_is_believed(tmp_path):
    """Such as mosquitto's dynamic security, EMQX, HiveMQ."""
    allowed = ("wx/bridge/request/#", "wx/in/")
    deviations = Deviations(rejects_filter=lambda name: not name.startswith(allowed))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "receive", "wx/out/#").status == "failed"
    assert "topic read wx/out/#" in row(chart, "receive", "wx/out/#").remedy
    assert row(chart, "receive", "wx/bridge/request/#").status == "ok"


async def test_a_broker_that_hangs_up_at_what_it_forbids_is_examined_to_the_end(tmp_path):
    """Such as AWS IoT."""
    deviations = Deviations(
        refuses=lambda topic: topic.startswith(("wx/result", "wx/event")), disconnects=True
    )
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    found = statuses(chart)
    assert found["publish wx/result/#"] == found["publish wx/event/#"] == "failed"
    assert found["publish wx/in/#"] == found["publish wx/bridge/response/#"] == "ok"
    assert found["session"] == found["retained"] == "ok"


async def test_a_broker_that_hangs_up_after_a_refused_filter_has_not_refused_the_next_one(tmp_path):
    """Such as RabbitMQ, which also answers the filter that it refuses."""
    deviations = Deviations(rejects_filter=lambda name: not name.startswith("wx/"), ends_after_refusal=True)
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    found = statuses(chart)
    assert found["receive wx/out/#"] == found["receive wx/bridge/request/#"] == "ok"


async def test_each_probe_is_published_once_never_on_out_and_never_retained_elsewhere(tmp_path):
    deviations = Deviations()
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        await examine(tmp_path, broker.url, endpoint, homeassistant={"enabled": True})
    for topic, payload, retain in deviations.publications:
        assert "/wx2mqtt-probe/" in topic
        assert not topic.startswith("wx/out")
        assert topic.startswith("wx/in/wx2mqtt-probe/") or (payload, retain) == (b"", False)
    assert deviations.retained == {}
    assert deviations.sessions == {}
    assert all("-doctor-" in name for name in deviations.clients)


# --- what a broker keeps ---


async def test_topics_that_the_broker_changes_are_told(tmp_path):
    """RabbitMQ: routing keys (mqtt 5.1)."""
    deviations = Deviations(rewrites=lambda topic: topic.replace(".", "/").replace("*", "+"))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    found = row(chart, "rewriting")
    assert found.status == "warning"
    assert "a/b+c" in found.finding
    assert "RabbitMQ" in found.remedy
    assert chart.is_passed


async def test_retained_messages_that_are_lost_or_not_found_by_wildcard_are_told(tmp_path):
    async with deviating_broker(Deviations(retains=False)) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "retained").status == "failed"
    async with (
        deviating_broker(Deviations(retains_for_wildcards=False)) as broker,
        wechat_server() as endpoint,
    ):
        chart = await examine(tmp_path, broker.url, endpoint)
    assert (row(chart, "retained").status, row(chart, "wildcard").status) == ("ok", "warning")


async def test_a_broker_that_keeps_no_retained_messages_is_told(start_mosquitto, tmp_path):
    broker = start_mosquitto("retain_available false\n")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "retained").status == "failed"
    assert "retain_available" in row(chart, "retained").remedy


async def test_a_session_that_is_not_kept_or_kept_empty_is_told(tmp_path):
    for deviations in (Deviations(keeps_sessions=False), Deviations(keeps_messages=False)):
        async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
            chart = await examine(tmp_path, broker.url, endpoint)
        assert row(chart, "session").status == "failed"
        assert not chart.is_passed


async def test_a_session_that_is_kept_for_minutes_is_told(tmp_path):
    deviations = Deviations(properties=b"\x11" + (600).to_bytes(4, "big"))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "session").status == "warning"
    assert "10 minutes" in row(chart, "session").finding


async def test_small_limits_are_told(tmp_path):
    deviations = Deviations(properties=receive_maximum(1) + packet_limit(100_000))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert (row(chart, "in_flight").status, row(chart, "packet").status) == ("warning", "warning")
    assert "100000 bytes" in row(chart, "packet").finding


async def test_a_broker_of_qos_0_only_is_of_no_use(tmp_path):
    async with deviating_broker(Deviations(properties=b"\x24\0")) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "qos").status == "failed"


# --- MQTT 3.1.1 ---


AMQTT = """
import asyncio, sys
from pathlib import Path
from wx2mqtt.mqtt import embedded
embedded.find_mosquitto = lambda: None

async def main():
    async with embedded.EmbeddedBroker(Path(sys.argv[1]), port=0) as broker:
        print(f"at {broker.url}", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def amqtt(tmp_path: Path) -> Iterator[str]:
    """The URL of an amqtt in a process of its own: it leaves things open."""
    (folder := tmp_path / "amqtt").mkdir()
    with Terminal(folder, (sys.executable, "-c", AMQTT)).running(folder) as running:
        yield running.until("at mqtt://").removeprefix("at ")


async def test_a_broker_that_speaks_only_3_1_1_is_examined_by_reading_back(tmp_path, amqtt):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, amqtt, endpoint)
    found = statuses(chart)
    assert found["version"] == "warning"
    assert found["in_flight"] == found["packet"] == "not_known"
    assert found["publish wx/in/#"] == found["retained"] == "ok"


async def test_where_5_is_wanted_3_1_1_is_a_failure(tmp_path, amqtt):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, amqtt, endpoint, mqtt={"protocol": "5"})
    assert row(chart, "version").status == "failed"
    assert "mqtt.protocol" in row(chart, "version").remedy


async def test_on_3_1_1_a_refusal_is_not_known_since_nobody_says_it(start_mosquitto, tmp_path):
    broker = allowing(start_mosquitto, tmp_path, "topic readwrite wx/in/#\ntopic write wx/event/#\n")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint, mqtt={"protocol": "3.1.1"})
    found = statuses(chart)
    assert found["publish wx/in/#"] == "ok"
    assert found["publish wx/result/#"] == found["publish wx/event/#"] == "not_known"
    assert found["session"] == found["retained"] == "ok"
    assert "MQTT 5" in row(chart, "publish", "wx/result/#").remedy


# --- the way there ---


def with_passwords(start_mosquitto: StartMosquitto, folder: Path) -> Mosquitto:
    (folder / "passwords").write_text("")
    config = f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
    return start_mosquitto(config, listener=False)


async def test_a_password_that_is_not_accepted_is_told_and_not_shown(start_mosquitto, tmp_path):
    broker = with_passwords(start_mosquitto, tmp_path)
    (secret := tmp_path / "password").write_text("geheim")
    secret.chmod(0o600)
    mqtt = {"username": "bob", "password_file": str(secret)}
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint, mqtt=mqtt)
        nobody = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "login").status == "failed"
    assert row(chart, "login").finding == "user name or password are not accepted"
    assert row(nobody, "login").finding == "refused without a user name"
    assert "password_file" in row(chart, "login").remedy
    assert "geheim" not in str(chart.results)
    assert "requires a user" in row(nobody, "login").remedy
    assert not [one for one in chart.results if one.check in RIGHTS]


async def test_a_name_that_nobody_knows_ends_at_the_name(tmp_path):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, "mqtt://no-such-host.invalid", endpoint)
    assert statuses(chart, "wechat", "clock") == {"name": "failed"}


async def test_a_name_is_resolved_and_shown(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, f"mqtt://localhost:{mosquitto.port}", endpoint)
    assert "127.0.0.1" in row(chart, "name").finding


async def test_the_embedded_broker_is_there_only_while_the_bridge_is(tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.check_target.EMBEDDED_BROKER_URL", "mqtt://127.0.0.1")
    monkeypatch.setattr("wx2mqtt.diagnostics.check_target.EMBEDDED_PORT", 0)
    port = free_port()
    monkeypatch.setattr("wx2mqtt.diagnostics.check_target.diagnostic_target.__defaults__", (port,))
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, "embedded", endpoint)
    assert row(chart, "tcp").status == "not_known"
    assert chart.is_passed


async def test_a_unix_socket_is_examined_too(start_mosquitto, tmp_path):
    path = tmp_path / "m.sock"
    start_mosquitto(f"listener 0 {path}\nallow_anonymous true\n", listener=False)
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, f"unix://{path}", endpoint)
        assert chart.is_passed, chart.results
        gone = await examine(tmp_path, f"unix://{path}.not", endpoint)
    assert row(gone, "tcp").status == "failed"


async def test_a_websocket_is_examined_too(start_mosquitto, tmp_path):
    config = "listener {port} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"
    broker = start_mosquitto(config, listener=False)
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, f"ws://127.0.0.1:{broker.port}/mqtt", endpoint)
    assert chart.is_passed, chart.results


# --- TLS ---


class Authority:
    """Certificates of every sort, and a broker that shows one."""

    def __init__(self, folder: Path, start_mosquitto: StartMosquitto) -> None:
        self._folder = folder
        self._start = start_mosquitto
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def broker(self, *names: str, more: str = "", **dates) -> str:
        """Its URL by the name localhost."""
        issued = self._ca.issue_cert(*names, **dates)
        issued.private_key_pem.write_to_path(str(self._folder / "broker.key"))
        issued.cert_chain_pems[0].write_to_path(str(self._folder / "broker.pem"))
        config = (
            "listener {port} 127.0.0.1\nallow_anonymous true\n"
            f"cafile {self.file}\ncertfile {self._folder}/broker.pem\nkeyfile {self._folder}/broker.key\n"
        )
        return f"mqtts://localhost:{self._start(config + more, listener=False).port}"

    @property
    def trusted(self) -> dict[str, object]:
        return {"tls": {"ca_file": str(self.file)}}


@pytest.fixture
def authority(tmp_path: Path, start_mosquitto: StartMosquitto) -> Authority:
    return Authority(tmp_path, start_mosquitto)


TLS = ("tls", "dates", "names", "authority")


def tls_verdicts(chart) -> dict[str, str]:
    return {one.check: str(one.status) for one in chart.results if one.check in TLS}


async def test_a_certificate_in_order_is_told_by_dates_names_and_authority(authority, tmp_path):
    url = authority.broker("localhost")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert tls_verdicts(chart) == dict.fromkeys(TLS, "ok")
    assert chart.is_passed, chart.results


async def test_an_expired_certificate_is_told_apart_from_who_signed_it(authority, tmp_path):
    past = datetime.now(UTC) - timedelta(days=3)
    url = authority.broker("localhost", not_after=past)
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert tls_verdicts(chart) == {"tls": "ok", "dates": "failed", "names": "ok", "authority": "ok"}
    assert past.strftime("%Y-%m-%d") in row(chart, "dates").finding
    assert not [one for one in chart.results if one.check == "login"]


async def test_a_certificate_that_ends_soon_or_begins_later_is_told(authority, tmp_path):
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (3, 30))
    async with wechat_server() as endpoint:
        url = authority.broker("localhost", not_after=soon)
        chart = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
        assert row(chart, "dates").status == "warning"
        assert chart.is_passed
        url = authority.broker("localhost", not_before=later)
        chart = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert row(chart, "dates").status == "failed"
    assert "clock" in row(chart, "dates").remedy


async def test_a_certificate_for_another_name_is_told_with_its_names(authority, tmp_path):
    url = authority.broker("broker.example.org", "192.0.2.7")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert tls_verdicts(chart) == {"tls": "ok", "dates": "ok", "names": "failed", "authority": "ok"}
    assert "broker.example.org, 192.0.2.7" in row(chart, "names").finding


async def test_an_authority_that_nobody_knows_is_told_with_its_cure(authority, tmp_path):
    url = authority.broker("localhost")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, url, endpoint)
    assert tls_verdicts(chart) == {"tls": "ok", "dates": "ok", "names": "ok", "authority": "failed"}
    assert "mqtt.tls.ca_file" in row(chart, "authority").remedy


async def test_no_tls_where_it_is_expected_and_tls_where_none_is(authority, mosquitto: Mosquitto, tmp_path):
    url = authority.broker("localhost")
    async with wechat_server() as endpoint:
        plain = await examine(tmp_path, f"mqtts://localhost:{mosquitto.port}", endpoint)
        secured = await examine(tmp_path, url.replace("mqtts", "mqtt"), endpoint)
    assert row(plain, "tls").status == "failed"
    assert row(secured, "login").status == "failed"
    assert "TLS" in row(secured, "login").finding


async def test_a_broker_that_wants_a_certificate_of_ours_is_told(authority, tmp_path):
    url = authority.broker("localhost", more="require_certificate true\n")
    async with wechat_server() as endpoint:
        chart = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert row(chart, "login").status == "failed" or row(chart, "tls").status == "failed"


# --- what hangs ---


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts"])
async def test_a_broker_that_says_nothing_ends_its_row_in_time(tmp_path, scheme):
    async with silent_server() as port, wechat_server() as endpoint:
        began = time.monotonic()
        chart = await examine(tmp_path, f"{scheme}://127.0.0.1:{port}", endpoint)
        took = time.monotonic() - began
    check = "tls" if scheme == "mqtts" else "login"
    assert row(chart, check).status == "failed"
    assert took < allowed(15)
    assert row(chart, "wechat").status == "ok", "the rest is examined all the same"


async def test_a_broker_that_acknowledges_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.broker_probe.PROBE_ANSWER_TIMEOUT_SECONDS", 1.5)
    deviations = Deviations(silent_on=lambda _: True)
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        began = time.monotonic()
        chart = await examine(tmp_path, broker.url, endpoint)
        took = time.monotonic() - began
    found = statuses(chart)
    assert found["delay"] == "failed"
    assert found["publish wx/in/#"] == "failed"
    assert "not_known" in found["publish wx/last"]
    assert took < allowed(20)


async def test_a_broker_that_hangs_after_the_greeting_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.broker_probe.PROBE_ANSWER_TIMEOUT_SECONDS", 1.5)

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.until_closed()

    async with scripted_broker(script) as broker, wechat_server() as endpoint:
        began = time.monotonic()
        chart = await examine(tmp_path, broker.url, endpoint)
        assert time.monotonic() - began < allowed(10)
    assert not chart.is_passed
    assert statuses(chart)["publish wx/in/#"] == "not_known"


async def test_a_broker_that_goes_away_meanwhile_fails_what_was_looked_at(tmp_path):
    async def good(peer: Peer) -> None:
        await peer.accept()
        await peer.until_closed()

    async def bad(peer: Peer) -> None:
        await peer.accept()
        await peer.read()

    async with scripted_broker(good, bad) as broker, wechat_server() as endpoint:
        chart = await examine(tmp_path, broker.url, endpoint)
    assert row(chart, "delay").status == "failed"
    assert row(chart, "session").status == "failed"


async def test_a_host_that_never_answers_ends_its_row_in_time(mosquitto: Mosquitto, tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.wechat_hosts.HOST_CHECK_TIMEOUT_SECONDS", 1.0)
    async with silent_server() as port:
        chart = await examine(tmp_path, mosquitto.url, f"http://127.0.0.1:{port}")
    assert row(chart, "wechat").status == "failed"
    assert row(chart, "wechat").finding == "no answer"
    assert row(chart, "clock").status == "not_known"


# --- WeChat ---


@pytest.mark.parametrize(
    ("ahead", "verdict", "word"),
    [(0, "ok", "correct"), (20, "warning", "behind"), (-20, "warning", "ahead"), (3600, "failed", "behind")],
)
async def test_our_clock_is_compared_with_theirs(mosquitto: Mosquitto, tmp_path, ahead, verdict, word):
    async with wechat_server(ahead) as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint)
    assert row(chart, "clock").status == verdict
    assert word in row(chart, "clock").finding


async def test_a_host_without_a_clock_or_without_http_is_told(mosquitto: Mosquitto, tmp_path):
    async with wechat_server(None) as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint)
    assert (row(chart, "wechat").status, row(chart, "clock").status) == ("ok", "not_known")
    async with wechat_server(answer=b"SSH-2.0-x\r\n") as endpoint:
        chart = await examine(tmp_path, mosquitto.url, endpoint)
    assert row(chart, "wechat").status == "failed"


async def test_without_an_endpoint_each_host_of_the_cluster_is_tried(
    mosquitto: Mosquitto, tmp_path, monkeypatch
):
    """Of the cluster where the saved login lives; nothing here reaches the real ones."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    sessions = tmp_path / "store" / "sessions"
    sessions.mkdir(parents=True)
    saved = dict.fromkeys(("login_id", "uin", "sid", "skey", "handle"), "x") | {"base": "wx2.qq.com"}
    (sessions / "home.json").write_text(json.dumps({**saved, "version": 1, "endpoint": None}))
    chart = await examine(tmp_path, mosquitto.url, "http://127.0.0.1:1", account={"endpoint": None})
    hosts = {one.subject: str(one.status) for one in chart.results if one.check == "wechat"}
    assert hosts == dict.fromkeys(
        ["login.wx2.qq.com", "wx2.qq.com", "webpush.wx2.qq.com", "file.wx2.qq.com"], "failed"
    )
    assert "HTTPS_PROXY" in row(chart, "wechat", "wx2.qq.com").remedy


# --- the command ---


def configuration(terminal: Terminal, broker: Mosquitto, endpoint: str) -> None:
    terminal.file(
        f"mqtt: {{url: {broker.url}}}\naccounts: {{home: {{endpoint: '{endpoint}'}}}}\nstorage: {{path: s}}\n"
    )


async def test_the_command_prints_each_row_and_ends_with_0(mosquitto: Mosquitto, tmp_path):
    terminal = Terminal(tmp_path)
    async with wechat_server() as endpoint:
        configuration(terminal, mosquitto, endpoint)
        done = await asyncio.to_thread(terminal.run, "check", "--connect")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0].endswith("no problems")
    assert lines[-1] == "nothing failed"
    assert any(line.startswith("✓ ok: may publish wx/in/#") for line in lines)


async def test_the_command_ends_with_1_where_something_failed_and_says_the_cure_below(tmp_path):
    terminal = Terminal(tmp_path)
    terminal.file(
        f"mqtt: {{url: mqtt://127.0.0.1:{free_port()}}}\naccounts: {{home: {{endpoint: 'http://127.0.0.1:1'}}}}\n"
    )
    done = await asyncio.to_thread(terminal.run, "check", "--connect")
    assert done.code == 1
    lines = done.out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("✗ failed: connection"))
    assert lines[place + 1].startswith("  → start the broker")
    assert lines[-1] == "failed: 2"


async def test_the_command_speaks_json(mosquitto: Mosquitto, tmp_path):
    terminal = Terminal(tmp_path)
    async with wechat_server() as endpoint:
        configuration(terminal, mosquitto, endpoint)
        done = await asyncio.to_thread(terminal.run, "check", "--connect", "--json")
    found = json.loads(done.out)
    assert (done.code, found["ok"]) == (0, True)
    assert all(set(one) <= {"check", "subject", "verdict", "found", "cure"} for one in found["rows"])


def test_a_bad_file_ends_with_78_and_nothing_is_tried(tmp_path):
    terminal = Terminal(tmp_path)
    terminal.file("mqtt: {url: foo://broker}\n")
    done = terminal.run("check", "--connect")
    assert (done.code, done.out) == (78, "")


def test_json_without_connect_is_a_wrong_line(tmp_path):
    done = Terminal(tmp_path).run("check", "--json")
    assert done.code == 2
    assert "--connect" in done.err


def test_way_is_patient_with_days_that_nobody_can_write():
    assert broker_connection._format_day(-1) == "1970-01-01"
