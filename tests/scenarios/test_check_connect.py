"""`check --connect`: what it finds at real brokers, at brokers that deviate or hang, and at WeChat."""

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

RIGHT_CHECKS = ("publish", "receive")

LEAST_RIGHTS = """\
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


def broker_with_rights(start_mosquitto: StartMosquitto, folder: Path, rules: str) -> Mosquitto:
    """Starts a broker with these rights for everybody."""
    (folder / "acl").write_text(rules)
    (folder / "acl").chmod(0o600)
    return start_mosquitto(f"acl_file {folder}/acl\n")


# --- a broker without faults ---


async def test_without_faults_nothing_fails_and_nothing_stays_unknown(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint)
    assert set(statuses(report).values()) == {"ok"}
    assert report.is_passed
    checks = {result.check for result in report.results}
    assert checks >= {"tcp", "login", "version", "in_flight", "packet", "delay", "rewriting"}
    assert checks >= {"retained", "wildcard", "session", "wechat", "clock", *RIGHT_CHECKS}


async def test_every_class_of_topics_is_tried(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint, account={"plain": True})
    tried = {result.subject.removesuffix("/#") for result in report.results if result.check in RIGHT_CHECKS}
    for topic in TOPIC_TABLE:
        if topic.pattern == "window/<user>":  # only iLink has it
            continue
        topic_name = f"wx/{topic.pattern}"
        assert any(topic_name == subject or topic_name.startswith(f"{subject}/") for subject in tried), (
            topic_name
        )


async def test_other_clients_receive_only_empty_probe_messages_and_nothing_stays_on_the_broker(
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
    """Returns whether the broker keeps a session of this client."""
    found: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.on_connect = lambda _c, _u, flags, *_: found.append(flags.session_present)
    client.connect("127.0.0.1", port)
    while not found:
        client.loop(0.1)
    client.disconnect()
    return found[0]


async def test_one_message_is_published_for_each_class_of_topics(mosquitto: Mosquitto, tmp_path):
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
        report = await examine(tmp_path, mosquitto.url, endpoint, accounts=accounts)
    found = statuses(report)
    assert found["receive wx/out/#"] == found["receive wx/office/out/#"] == "ok"
    assert found["publish wx/office/in/#"] == "ok"
    assert len([result for result in report.results if result.check == "wechat"]) == 1, "each host once"


async def test_home_assistants_topics_are_tried_where_it_is_enabled(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint, homeassistant={"enabled": True})
    found = statuses(report)
    assert found["publish homeassistant/device/wx2mqtt_home/config"] == "ok"
    assert found["receive homeassistant/status"] == "ok"


async def test_each_broker_of_a_cluster_is_examined_and_one_that_is_away_is_reported(
    mosquitto: Mosquitto, tmp_path
):
    closed_port = free_port()
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, [f"mqtt://127.0.0.1:{closed_port}", mosquitto.url], endpoint)
    assert row(report, "tcp", f"127.0.0.1:{closed_port}").status == "failed"
    assert row(report, "tcp", f"127.0.0.1:{mosquitto.port}").status == "ok"
    assert row(report, "session").status == "ok"
    assert not report.is_passed


async def test_findings_are_in_the_configured_language(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint, language="zh")
    assert row(report, "retained").finding == "已保留并送达"


# --- a bridge that runs ---


async def test_a_running_bridge_is_not_disturbed_and_reports_what_it_knows(home: Home):
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
    own_topics = ("wx/result/", "wx/event/", "wx/bridge/response/", "wx/login/state", "wx/bridge/state")
    topics = [
        delivery.topic for delivery in home.subscriber.received if "wx2mqtt-probe" not in delivery.topic
    ]
    first, *_, last = (n for n, topic in enumerate(topics) if topic == "wx/bridge/response/health")
    assert [topic for topic in topics[first + 1 : last] if topic.startswith(own_topics)] == []
    findings = {(row["check"], row["subject"]): row["found"] for row in found["rows"]}
    assert findings["receive", "wx/out/#"] == "commands have come in"


async def test_the_running_bridge_knows_what_no_probe_can_find(with_mosquitto, tmp_path, start_mosquitto):
    """The rule names each retained topic, so the broker refuses a probe below them."""
    broker = broker_with_rights(start_mosquitto, tmp_path, LEAST_RIGHTS.replace("login/#", "login/state"))
    async with wechat_server() as endpoint:
        without_bridge = await examine(tmp_path, broker.url, endpoint)
        assert row(without_bridge, "publish", "wx/login/#").status == "not_known"
        settings = {"mqtt": {"url": broker.url}, "accounts": {"home": {"endpoint": endpoint}}}
        settings["storage"] = {"path": str(tmp_path / "store")}
        bridge = BridgeProcess(tmp_path / "bridge", settings)
        with bridge:
            await asyncio.to_thread(bridge.wait_for_log, "wx/login/url")
            with_bridge = await examine(tmp_path, broker.url, endpoint)
    assert row(with_bridge, "publish", "wx/login/qr").status == "failed"
    assert "wx/login/qr" in row(with_bridge, "publish", "wx/login/qr").remedy
    assert row(with_bridge, "publish", "wx/contacts").status == "ok"


# --- rights ---


async def test_with_the_least_rights_nothing_fails_and_unknown_rights_are_named(start_mosquitto, tmp_path):
    broker = broker_with_rights(start_mosquitto, tmp_path, LEAST_RIGHTS)
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    found = statuses(report)
    assert report.is_passed
    for levels in ("in", "result", "event", "login", "bridge/response"):
        assert found[f"publish wx/{levels}/#"] == "ok"
    assert found["publish wx/contacts"] == "not_known", "the probe lies below"
    assert found["receive wx/out/#"] == "not_known", "mosquitto grants every subscription"
    for rule, trial in (
        ("wx/out/#", "wx/out/filehelper"),
        ("wx/bridge/request/#", "wx/bridge/request/health"),
    ):
        assert f"may read {rule}: what is published to {trial} must" in row(report, "receive", rule).remedy
    assert {found[check] for check in ("rewriting", "retained", "wildcard")} == {"not_known"}
    assert (found["session"], found["delay"]) == ("ok", "ok")
    assert "wx2mqtt-probe" in row(report, "retained").remedy


@pytest.mark.parametrize("user", ["bridge", "homeassistant"])
async def test_on_the_shipped_broker_the_bridge_passes_and_other_users_fail(tmp_path, user):
    broker = shipped(tmp_path / "mosquitto").start()
    try:
        (secret := tmp_path / "password").write_text(password(user))
        secret.chmod(0o600)
        mqtt = {"username": user, "password_file": str(secret)}
        more = {"homeassistant": {"enabled": True}, "mqtt": mqtt}
        async with wechat_server() as endpoint:
            report = await examine(tmp_path, broker.url, endpoint, **more)
    finally:
        broker.stop()
    unknown = {result.subject for result in report.results if result.status == "not_known"}
    failed = {result.subject for result in report.results if result.status == "failed"}
    if user == "bridge":
        assert failed == set()
        assert unknown == {"homeassistant/device/wx2mqtt_home/config", "homeassistant/status"}
    else:
        assert failed >= {"wx/in/#", "wx/result/#", "wx/event/#", "wx/bridge/response/#"}


@pytest.mark.parametrize("missing", ["in", "bridge/response"])
async def test_a_right_to_publish_that_is_missing_is_named_with_its_cure(start_mosquitto, tmp_path, missing):
    rules = "\n".join(line for line in LEAST_RIGHTS.splitlines() if f"wx/{missing}/" not in line)
    broker = broker_with_rights(start_mosquitto, tmp_path, rules + "\n")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    found = row(report, "publish", f"wx/{missing}/#")
    assert (found.status, report.is_passed) == ("failed", False)
    assert f"topic write wx/{missing}/#" in found.remedy
    assert [result.subject for result in report.results if result.status == "failed"] == [f"wx/{missing}/#"]


async def test_missing_rights_on_the_prefix_of_home_assistant_are_reported(start_mosquitto, tmp_path):
    broker = broker_with_rights(start_mosquitto, tmp_path, "topic readwrite wx/#\n")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint, homeassistant={"enabled": True})
    found = row(report, "publish", "homeassistant/device/wx2mqtt_home/config")
    assert found.status == "not_known", "a rule may name just that topic"
    assert row(report, "receive", "wx/out/#").status == "ok", "everything else below wx comes back"
    birth = row(report, "receive", "homeassistant/status")
    assert birth.status == "not_known"
    assert "topic read homeassistant/status" in birth.remedy
    assert "wx/" not in birth.remedy, "that is another topic"


async def test_a_refused_subscription_is_reported_as_failed(tmp_path):
    """The dynamic security of mosquitto, EMQX and HiveMQ do so."""
    granted = ("wx/bridge/request/#", "wx/in/")
    deviations = Deviations(rejects_filter=lambda name: not name.startswith(granted))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "receive", "wx/out/#").status == "failed"
    assert "topic read wx/out/#" in row(report, "receive", "wx/out/#").remedy
    assert row(report, "receive", "wx/bridge/request/#").status == "ok"


async def test_a_broker_that_disconnects_at_forbidden_topics_is_examined_to_the_end(tmp_path):
    """AWS IoT does so."""
    deviations = Deviations(
        refuses=lambda topic: topic.startswith(("wx/result", "wx/event")), disconnects=True
    )
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    found = statuses(report)
    assert found["publish wx/result/#"] == found["publish wx/event/#"] == "failed"
    assert found["publish wx/in/#"] == found["publish wx/bridge/response/#"] == "ok"
    assert found["session"] == found["retained"] == "ok"


async def test_a_broker_that_disconnects_after_a_refused_filter_has_not_refused_the_next_one(tmp_path):
    """RabbitMQ does so, after it has answered the filter that it refuses."""
    deviations = Deviations(rejects_filter=lambda name: not name.startswith("wx/"), ends_after_refusal=True)
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    found = statuses(report)
    assert found["receive wx/out/#"] == found["receive wx/bridge/request/#"] == "ok"


async def test_no_probe_is_published_on_out_and_none_is_retained_outside_of_in(tmp_path):
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


async def test_topics_that_the_broker_changes_are_reported(tmp_path):
    """RabbitMQ does so, since it turns topics into routing keys (mqtt 5.1)."""
    deviations = Deviations(rewrites=lambda topic: topic.replace(".", "/").replace("*", "+"))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    found = row(report, "rewriting")
    assert found.status == "warning"
    assert "a/b+c" in found.finding
    assert "RabbitMQ" in found.remedy
    assert report.is_passed


async def test_retained_messages_that_are_lost_or_not_found_by_wildcard_are_reported(tmp_path):
    async with deviating_broker(Deviations(retains=False)) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "retained").status == "failed"
    async with (
        deviating_broker(Deviations(retains_for_wildcards=False)) as broker,
        wechat_server() as endpoint,
    ):
        report = await examine(tmp_path, broker.url, endpoint)
    assert (row(report, "retained").status, row(report, "wildcard").status) == ("ok", "warning")


async def test_a_broker_that_keeps_no_retained_messages_is_reported(start_mosquitto, tmp_path):
    broker = start_mosquitto("retain_available false\n")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "retained").status == "failed"
    assert "retain_available" in row(report, "retained").remedy


async def test_a_session_that_is_not_kept_or_kept_empty_is_reported(tmp_path):
    for deviations in (Deviations(keeps_sessions=False), Deviations(keeps_messages=False)):
        async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
            report = await examine(tmp_path, broker.url, endpoint)
        assert row(report, "session").status == "failed"
        assert not report.is_passed


async def test_a_session_that_is_kept_for_minutes_only_is_reported(tmp_path):
    deviations = Deviations(properties=b"\x11" + (600).to_bytes(4, "big"))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "session").status == "warning"
    assert "10 minutes" in row(report, "session").finding


async def test_small_limits_are_reported(tmp_path):
    deviations = Deviations(properties=receive_maximum(1) + packet_limit(100_000))
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert (row(report, "in_flight").status, row(report, "packet").status) == ("warning", "warning")
    assert "100000 bytes" in row(report, "packet").finding


async def test_a_broker_of_qos_0_only_fails(tmp_path):
    async with deviating_broker(Deviations(properties=b"\x24\0")) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "qos").status == "failed"


# --- MQTT 3.1.1 ---


AMQTT_PROGRAM = """
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
    """Runs amqtt in a process of its own, since it leaves resources open; gives its URL."""
    (folder := tmp_path / "amqtt").mkdir()
    with Terminal(folder, (sys.executable, "-c", AMQTT_PROGRAM)).running(folder) as running:
        yield running.until("at mqtt://").removeprefix("at ")


async def test_a_broker_that_speaks_only_3_1_1_is_examined_by_reading_back(tmp_path, amqtt):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, amqtt, endpoint)
    found = statuses(report)
    assert found["version"] == "warning"
    assert found["in_flight"] == found["packet"] == "not_known"
    assert found["publish wx/in/#"] == found["retained"] == "ok"


async def test_where_version_5_is_configured_3_1_1_is_a_failure(tmp_path, amqtt):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, amqtt, endpoint, mqtt={"protocol": "5"})
    assert row(report, "version").status == "failed"
    assert "mqtt.protocol" in row(report, "version").remedy


async def test_on_3_1_1_a_refusal_is_not_known_since_the_broker_does_not_report_it(start_mosquitto, tmp_path):
    broker = broker_with_rights(
        start_mosquitto, tmp_path, "topic readwrite wx/in/#\ntopic write wx/event/#\n"
    )
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint, mqtt={"protocol": "3.1.1"})
    found = statuses(report)
    assert found["publish wx/in/#"] == "ok"
    assert found["publish wx/result/#"] == found["publish wx/event/#"] == "not_known"
    assert found["session"] == found["retained"] == "ok"
    assert "MQTT 5" in row(report, "publish", "wx/result/#").remedy


# --- the connection ---


def with_passwords(start_mosquitto: StartMosquitto, folder: Path) -> Mosquitto:
    (folder / "passwords").write_text("")
    config = f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
    return start_mosquitto(config, listener=False)


async def test_a_password_that_is_not_accepted_is_reported_and_not_shown(start_mosquitto, tmp_path):
    broker = with_passwords(start_mosquitto, tmp_path)
    (secret := tmp_path / "password").write_text("geheim")
    secret.chmod(0o600)
    mqtt = {"username": "bob", "password_file": str(secret)}
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint, mqtt=mqtt)
        anonymous = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "login").status == "failed"
    assert row(report, "login").finding == "user name or password are not accepted"
    assert row(anonymous, "login").finding == "refused without a user name"
    assert "password_file" in row(report, "login").remedy
    assert "geheim" not in str(report.results)
    assert "requires a user" in row(anonymous, "login").remedy
    assert not [result for result in report.results if result.check in RIGHT_CHECKS]


async def test_an_unknown_host_name_fails_and_ends_the_examination(tmp_path):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, "mqtt://no-such-host.invalid", endpoint)
    assert statuses(report, "wechat", "clock") == {"name": "failed"}


async def test_a_name_is_resolved_and_shown(mosquitto: Mosquitto, tmp_path):
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, f"mqtt://localhost:{mosquitto.port}", endpoint)
    assert "127.0.0.1" in row(report, "name").finding


async def test_the_embedded_broker_is_not_known_while_no_bridge_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.check_target.EMBEDDED_BROKER_URL", "mqtt://127.0.0.1")
    monkeypatch.setattr("wx2mqtt.diagnostics.check_target.EMBEDDED_PORT", 0)
    port = free_port()
    monkeypatch.setattr("wx2mqtt.diagnostics.check_target.diagnostic_target.__defaults__", (port,))
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, "embedded", endpoint)
    assert row(report, "tcp").status == "not_known"
    assert report.is_passed


async def test_a_unix_socket_is_examined_too(start_mosquitto, tmp_path):
    path = tmp_path / "m.sock"
    start_mosquitto(f"listener 0 {path}\nallow_anonymous true\n", listener=False)
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, f"unix://{path}", endpoint)
        assert report.is_passed, report.results
        without_socket = await examine(tmp_path, f"unix://{path}.not", endpoint)
    assert row(without_socket, "tcp").status == "failed"


async def test_a_websocket_is_examined_too(start_mosquitto, tmp_path):
    config = "listener {port} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"
    broker = start_mosquitto(config, listener=False)
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, f"ws://127.0.0.1:{broker.port}/mqtt", endpoint)
    assert report.is_passed, report.results


# --- TLS ---


class CertificateAuthority:
    """Issues certificates of every sort, and starts a broker that shows one."""

    def __init__(self, folder: Path, start_mosquitto: StartMosquitto) -> None:
        self._folder = folder
        self._start = start_mosquitto
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def broker(self, *names: str, more: str = "", **dates) -> str:
        """Starts a broker with a certificate of these names and dates; returns its URL by the name localhost."""
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
def authority(tmp_path: Path, start_mosquitto: StartMosquitto) -> CertificateAuthority:
    return CertificateAuthority(tmp_path, start_mosquitto)


TLS_CHECKS = ("tls", "dates", "names", "authority")


def tls_verdicts(report) -> dict[str, str]:
    return {result.check: str(result.status) for result in report.results if result.check in TLS_CHECKS}


async def test_a_valid_certificate_passes_the_checks_of_dates_names_and_authority(authority, tmp_path):
    url = authority.broker("localhost")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert tls_verdicts(report) == dict.fromkeys(TLS_CHECKS, "ok")
    assert report.is_passed, report.results


async def test_an_expired_certificate_fails_by_its_dates_and_not_by_its_authority(authority, tmp_path):
    expired_at = datetime.now(UTC) - timedelta(days=3)
    url = authority.broker("localhost", not_after=expired_at)
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert tls_verdicts(report) == {"tls": "ok", "dates": "failed", "names": "ok", "authority": "ok"}
    assert expired_at.strftime("%Y-%m-%d") in row(report, "dates").finding
    assert not [result for result in report.results if result.check == "login"]


async def test_a_certificate_that_ends_soon_or_begins_later_is_reported(authority, tmp_path):
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (3, 30))
    async with wechat_server() as endpoint:
        url = authority.broker("localhost", not_after=soon)
        report = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
        assert row(report, "dates").status == "warning"
        assert report.is_passed
        url = authority.broker("localhost", not_before=later)
        report = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert row(report, "dates").status == "failed"
    assert "clock" in row(report, "dates").remedy


async def test_a_certificate_for_another_name_is_reported_with_its_names(authority, tmp_path):
    url = authority.broker("broker.example.org", "192.0.2.7")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert tls_verdicts(report) == {"tls": "ok", "dates": "ok", "names": "failed", "authority": "ok"}
    assert "broker.example.org, 192.0.2.7" in row(report, "names").finding


async def test_an_unknown_authority_is_reported_with_its_cure(authority, tmp_path):
    url = authority.broker("localhost")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, url, endpoint)
    assert tls_verdicts(report) == {"tls": "ok", "dates": "ok", "names": "ok", "authority": "failed"}
    assert "mqtt.tls.ca_file" in row(report, "authority").remedy


async def test_a_broker_without_tls_where_it_is_configured_and_with_tls_where_it_is_not_fail(
    authority, mosquitto: Mosquitto, tmp_path
):
    url = authority.broker("localhost")
    async with wechat_server() as endpoint:
        plain = await examine(tmp_path, f"mqtts://localhost:{mosquitto.port}", endpoint)
        secured = await examine(tmp_path, url.replace("mqtts", "mqtt"), endpoint)
    assert row(plain, "tls").status == "failed"
    assert row(secured, "login").status == "failed"
    assert "TLS" in row(secured, "login").finding


async def test_a_broker_that_requires_a_client_certificate_is_reported(authority, tmp_path):
    url = authority.broker("localhost", more="require_certificate true\n")
    async with wechat_server() as endpoint:
        report = await examine(tmp_path, url, endpoint, mqtt=authority.trusted)
    assert row(report, "login").status == "failed" or row(report, "tls").status == "failed"


# --- what hangs ---


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts"])
async def test_a_broker_that_does_not_answer_fails_in_time(tmp_path, scheme):
    async with silent_server() as port, wechat_server() as endpoint:
        began = time.monotonic()
        report = await examine(tmp_path, f"{scheme}://127.0.0.1:{port}", endpoint)
        took = time.monotonic() - began
    check = "tls" if scheme == "mqtts" else "login"
    assert row(report, check).status == "failed"
    assert took < allowed(15)
    assert row(report, "wechat").status == "ok", "the rest is examined all the same"


async def test_a_broker_that_acknowledges_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.broker_probe.PROBE_ANSWER_TIMEOUT_SECONDS", 1.5)
    deviations = Deviations(silent_on=lambda _: True)
    async with deviating_broker(deviations) as broker, wechat_server() as endpoint:
        began = time.monotonic()
        report = await examine(tmp_path, broker.url, endpoint)
        took = time.monotonic() - began
    found = statuses(report)
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
        report = await examine(tmp_path, broker.url, endpoint)
        assert time.monotonic() - began < allowed(10)
    assert not report.is_passed
    assert statuses(report)["publish wx/in/#"] == "not_known"


async def test_a_broker_that_disconnects_meanwhile_fails_the_check_under_way(tmp_path):
    async def good(peer: Peer) -> None:
        await peer.accept()
        await peer.until_closed()

    async def bad(peer: Peer) -> None:
        await peer.accept()
        await peer.read()

    async with scripted_broker(good, bad) as broker, wechat_server() as endpoint:
        report = await examine(tmp_path, broker.url, endpoint)
    assert row(report, "delay").status == "failed"
    assert row(report, "session").status == "failed"


async def test_a_host_that_does_not_answer_fails_in_time(mosquitto: Mosquitto, tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.diagnostics.wechat_hosts.HOST_CHECK_TIMEOUT_SECONDS", 1.0)
    async with silent_server() as port:
        report = await examine(tmp_path, mosquitto.url, f"http://127.0.0.1:{port}")
    assert row(report, "wechat").status == "failed"
    assert row(report, "wechat").finding == "no answer"
    assert row(report, "clock").status == "not_known"


# --- WeChat ---


@pytest.mark.parametrize(
    ("ahead", "verdict", "word"),
    [(0, "ok", "correct"), (20, "warning", "behind"), (-20, "warning", "ahead"), (3600, "failed", "behind")],
)
async def test_the_clock_is_compared_with_that_of_wechat(
    mosquitto: Mosquitto, tmp_path, ahead, verdict, word
):
    async with wechat_server(ahead) as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint)
    assert row(report, "clock").status == verdict
    assert word in row(report, "clock").finding


async def test_a_host_without_a_clock_or_without_http_is_reported(mosquitto: Mosquitto, tmp_path):
    async with wechat_server(None) as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint)
    assert (row(report, "wechat").status, row(report, "clock").status) == ("ok", "not_known")
    async with wechat_server(answer=b"SSH-2.0-x\r\n") as endpoint:
        report = await examine(tmp_path, mosquitto.url, endpoint)
    assert row(report, "wechat").status == "failed"


async def test_without_an_endpoint_each_host_of_the_cluster_is_tried(
    mosquitto: Mosquitto, tmp_path, monkeypatch
):
    """It is the cluster of the saved login; a proxy keeps the test from reaching the real hosts."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    sessions = tmp_path / "store" / "sessions"
    sessions.mkdir(parents=True)
    saved = dict.fromkeys(("login_id", "uin", "sid", "skey", "handle"), "x") | {"base": "wx2.qq.com"}
    (sessions / "home.json").write_text(json.dumps({**saved, "version": 1, "endpoint": None}))
    report = await examine(tmp_path, mosquitto.url, "http://127.0.0.1:1", account={"endpoint": None})
    hosts = {result.subject: str(result.status) for result in report.results if result.check == "wechat"}
    assert hosts == dict.fromkeys(
        ["login.wx2.qq.com", "wx2.qq.com", "webpush.wx2.qq.com", "file.wx2.qq.com"], "failed"
    )
    assert "HTTPS_PROXY" in row(report, "wechat", "wx2.qq.com").remedy


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
    index = next(number for number, line in enumerate(lines) if line.startswith("✗ failed: connection"))
    assert lines[index + 1].startswith("  → start the broker")
    assert lines[-1] == "failed: 2"


async def test_the_command_prints_json(mosquitto: Mosquitto, tmp_path):
    terminal = Terminal(tmp_path)
    async with wechat_server() as endpoint:
        configuration(terminal, mosquitto, endpoint)
        done = await asyncio.to_thread(terminal.run, "check", "--connect", "--json")
    found = json.loads(done.out)
    assert (done.code, found["ok"]) == (0, True)
    assert all(set(row) <= {"check", "subject", "verdict", "found", "cure"} for row in found["rows"])


def test_a_bad_file_ends_with_78_and_nothing_is_tried(tmp_path):
    terminal = Terminal(tmp_path)
    terminal.file("mqtt: {url: foo://broker}\n")
    done = terminal.run("check", "--connect")
    assert (done.code, done.out) == (78, "")


def test_json_without_connect_is_a_wrong_line(tmp_path):
    done = Terminal(tmp_path).run("check", "--json")
    assert done.code == 2
    assert "--connect" in done.err


def test_a_date_before_1970_is_formatted_as_the_first_day_of_1970():
    assert broker_connection._format_day(-1) == "1970-01-01"
