"""The shipped broker configuration on a real mosquitto: what each user may publish and hear, by doing it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto, free_port, wait_until_saved
from tests.support.broker_user import BrokerUser
from tests.support.home import at_home
from wx2mqtt.mqtt.topics import TOPIC_TABLE

DEPLOY = Path(__file__).parents[2] / "deploy"
USERS = ("bridge", "homeassistant", "node-red", "reader", "device")
NOT_AUTHORIZED = 135
DISCOVERY = "homeassistant/device/wx2mqtt_home/config"
HOUSE_TOPIC = "home/doorbell"

REQUESTS = {"login", "logout", "contacts", "history", "send", "recall", "media", "mark_read", "health"}
"""What an automation may ask for; the others change whom the bridge trusts, or itself."""
OWNER_REQUESTS = {"set_remark", "accept_friend", "group", "assign", "log_level", "reload", "no_such"}


def topics(base: str) -> dict[str, str]:
    """Returns one topic for each row of the table, by the pattern of the row."""
    return {
        row.pattern: f"{base}/{row.pattern}".replace("<user>", "老婆")
        .replace("<kind>", "recall")
        .replace("<name>", "login")
        for row in TOPIC_TABLE
    }


BRIDGE_TOPICS = {row.pattern for row in TOPIC_TABLE if row.by_bridge}
COMMAND_TOPICS = {row.pattern for row in TOPIC_TABLE if not row.by_bridge}
READER_TOPICS = {
    *("in/<user>", "text/<user>", "event/<kind>", "last", "contacts", "login/state"),
    *("bridge/state", "bridge/info", "bridge/health"),
}

MAY_WRITE = {
    "bridge": {*BRIDGE_TOPICS, *COMMAND_TOPICS},
    "homeassistant": COMMAND_TOPICS,
    "node-red": COMMAND_TOPICS,
    "reader": set(),
    "device": set(),
}
MAY_READ = {
    "bridge": {*BRIDGE_TOPICS, *COMMAND_TOPICS},
    "homeassistant": BRIDGE_TOPICS,
    "node-red": BRIDGE_TOPICS,
    "reader": READER_TOPICS,
    "device": set(),
}
OTHER_TOPICS = {
    # topic: who may write there, who may read there
    DISCOVERY: ({"bridge", "homeassistant"}, {"bridge", "homeassistant"}),
    "homeassistant/sensor/other/config": ({"homeassistant"}, {"homeassistant"}),
    "homeassistant/status": ({"homeassistant"}, {"bridge", "homeassistant"}),
    "reply/homeassistant/a/b": ({"bridge", "homeassistant"}, {"homeassistant"}),
    "reply/node-red/a": ({"bridge", "node-red"}, {"node-red"}),
    "reply/reader/a": ({"bridge"}, set()),
    "node-red/wx/picture": ({"bridge", "node-red"}, {"node-red"}),
    "node-red/other": ({"node-red"}, {"node-red"}),
    HOUSE_TOPIC: ({"homeassistant", "node-red"}, {"homeassistant", "node-red"}),
    "zigbee2mqtt/lamp/set": (set(), set()),
    "other/wx/in/wife": (set(), set()),
    "wx/out/me": ({"bridge", "homeassistant", "node-red", "device"}, {"bridge"}),
    "wx/out/me/urgent": ({"bridge", "homeassistant", "node-red", "device"}, {"bridge"}),
    "wx/out/me/high": ({"bridge", "homeassistant", "node-red", "device"}, {"bridge"}),
    "wx/out/me/image": ({"bridge", "homeassistant", "node-red"}, {"bridge"}),
    "wx/out/men": ({"bridge", "homeassistant", "node-red"}, {"bridge"}),
    "wx/text/me": ({"bridge"}, {"bridge", "homeassistant", "node-red", "reader"}),
    "wxx/in/wife": (set(), set()),
}


def password(user: str) -> str:
    return f"secret of {user}"


def broker(
    folder: Path, base: str = "wx", discovery: str = "homeassistant", uncommented: str = ""
) -> Mosquitto:
    """Returns a broker with the shipped files, installed as the README says; only the paths and the port differ."""
    folder.mkdir(parents=True, exist_ok=True)
    rights = (DEPLOY / "mosquitto" / "acl").read_text()
    assert f"#{uncommented}" in rights
    rights = rights.replace(f"#{uncommented}", uncommented) if uncommented else rights
    (folder / "wx2mqtt.acl").write_text(rights.replace("@BASE@", base).replace("@DISCOVERY@", discovery))
    passwords = folder / "wx2mqtt.passwd"
    passwords.touch()
    for user in USERS:
        subprocess.run(
            ["mosquitto_passwd", "-b", passwords, user, password(user)], check=True, capture_output=True
        )
    for file in ("wx2mqtt.acl", "wx2mqtt.passwd"):
        (folder / file).chmod(0o600)
    port = free_port()
    config = (DEPLOY / "mosquitto" / "wx2mqtt.conf").read_text()
    config = config.replace("listener 1883\n", f"listener {port} 127.0.0.1\n")
    config = config.replace("/etc/mosquitto/", f"{folder}/") + f"persistence_location {folder}/\n"
    return Mosquitto(folder, config, port=port, listener=False)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    shipped = broker(tmp_path_factory.mktemp("mosquitto")).start()
    yield shipped
    shipped.stop()


def connect_as(running: Mosquitto, user: str, **more: object) -> BrokerUser:
    return BrokerUser(running.port, user, password(user), **more)  # type: ignore[arg-type]


def received_topics(running: Mosquitto, user: str, filters: list[str], wanted: list[str]) -> set[str]:
    """Publishes to each wanted topic as a user who may; returns the topics on which `user` hears it."""
    own = HOUSE_TOPIC if user in {"homeassistant", "node-red"} else "wx/in/end"
    with connect_as(running, user) as listener:
        listener.subscribe(*filters, own)
        for topic in wanted:
            for publishing_user in USERS:
                with connect_as(running, publishing_user) as client:
                    if client.publish(topic, f"of {publishing_user}".encode()) != NOT_AUTHORIZED:
                        break
        with connect_as(running, "homeassistant" if own == HOUSE_TOPIC else "bridge") as client:
            assert client.publish(own, b"end of all") in {0, 16}
        if user == "device":
            listener.subscribe(own)  # it may read nothing: what mosquitto sent it came before this answer
        else:
            listener.wait(own, b"end of all")
        return {topic for topic, payload, _ in listener.received if payload != b"end of all"}


@pytest.mark.parametrize("user", USERS)
def test_each_user_may_publish_to_its_topics_and_to_no_other(running, user):
    with connect_as(running, user) as client:
        may = {pattern for pattern, topic in topics("wx").items() if client.publish(topic) != NOT_AUTHORIZED}
        assert may == MAY_WRITE[user]
        elsewhere = {topic for topic in OTHER_TOPICS if client.publish(topic) != NOT_AUTHORIZED}
        assert elsewhere == {topic for topic, (writers, _) in OTHER_TOPICS.items() if user in writers}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("filters", ["each", "all"])
def test_each_user_hears_its_topics_and_no_other_by_whatever_filter(running, user, filters):
    """Mosquitto grants every subscription, so the test looks at the messages that arrive."""
    by_pattern = topics("wx")
    wanted = [*by_pattern.values(), *(topic for topic, (writers, _) in OTHER_TOPICS.items() if writers)]
    found = received_topics(running, user, ["#"] if filters == "all" else wanted, wanted)
    readers = {topic for topic, (writers, may) in OTHER_TOPICS.items() if writers and user in may}
    assert found - {HOUSE_TOPIC} == {by_pattern[pattern] for pattern in MAY_READ[user]} | readers - {
        HOUSE_TOPIC
    }


@pytest.mark.parametrize("user", ["homeassistant", "node-red"])
def test_automations_may_make_every_request_that_does_not_change_whom_the_bridge_trusts(running, user):
    with connect_as(running, user) as client:
        may = {
            name
            for name in REQUESTS | OWNER_REQUESTS
            if client.publish(f"wx/bridge/request/{name}") != NOT_AUTHORIZED
        }
    assert may == REQUESTS


@pytest.mark.parametrize("topic", ["wx/out/wife/image", "wx/out/wife/file/a.pdf"])
def test_files_can_be_sent(running, topic):
    with connect_as(running, "homeassistant") as client:
        assert client.publish(topic) != NOT_AUTHORIZED


def test_a_device_may_read_with_the_line_that_is_commented_out(tmp_path):
    running = broker(tmp_path, uncommented="topic read @BASE@/text/me").start()
    try:
        assert received_topics(running, "device", ["#"], ["wx/text/me", "wx/text/wife", "wx/in/me"]) == {
            "wx/text/me"
        }
    finally:
        running.stop()


@pytest.mark.parametrize(("user", "secret"), [("", ""), ("bridge", ""), ("bridge", "wrong"), ("nobody", "x")])
def test_nobody_connects_without_the_right_password(running, user, secret):
    with BrokerUser(running.port, user, secret) as client:
        assert client.refusal


def test_retained_messages_are_as_hidden_as_others(running):
    """The QR code gives access to the account: a user that may only read does not get it after connecting either."""
    with connect_as(running, "bridge") as client:
        for topic in ("wx/login/qr", "wx/login/url", "wx/login/state"):
            client.publish(topic, topic.encode(), retain=True)
    with connect_as(running, "reader") as client:
        client.subscribe("wx/#")
        client.wait("wx/login/state", b"wx/login/state")
        assert {topic for topic, *_ in client.received if topic.startswith("wx/login/")} == {"wx/login/state"}


def test_another_base_and_prefix_take_the_place_of_the_placeholders(tmp_path):
    running = broker(tmp_path, "house/微信", "ha").start()
    try:
        with connect_as(running, "bridge") as client:
            assert {client.publish(topic) for topic in topics("house/微信").values()} <= {0, 16}
            assert client.publish("wx/in/wife") == NOT_AUTHORIZED
            assert client.publish("ha/device/wx2mqtt_home/config") != NOT_AUTHORIZED
            assert client.publish(DISCOVERY) == NOT_AUTHORIZED
    finally:
        running.stop()


def test_no_line_of_the_rights_is_without_effect():
    """The README explains every placeholder, and every user exists."""
    text = (DEPLOY / "mosquitto" / "acl").read_text()
    assert set(re.findall(r"@\w+@", text)) == {"@BASE@", "@DISCOVERY@"}
    assert tuple(re.findall(r"(?m)^user (\S+)", text)) == USERS
    readme = (DEPLOY / "mosquitto" / "README.md").read_text()
    chinese = (DEPLOY / "mosquitto" / "README.zh.md").read_text()
    for word in ("@BASE@", "@DISCOVERY@", *USERS):
        assert word in readme
        assert word in chinese


@pytest.mark.parametrize(
    ("page", "reads", "writes"), [("README.md", "reads", "writes"), ("README.zh.md", "读", "写")]
)
def test_the_table_of_the_page_has_the_rights_that_the_broker_gives(page, reads, writes):
    """Compares the table of rights with what the tests above find on a real mosquitto."""
    text = (DEPLOY / "mosquitto" / page).read_text()
    table = [line[1:-1].split("|") for line in text.splitlines() if line.count("|") == len(USERS) + 2]
    assert [cell.strip(" `") for cell in table[0][1:]] == list(USERS)
    named = set()
    for topics_cell, *cells in table[2:]:
        of_row = {
            row.pattern
            for row in TOPIC_TABLE
            for topic in re.findall(r"`([^`…]+)`", topics_cell)
            if f"{row.pattern}/".startswith(f"{topic}/")
        }
        named |= of_row
        for user, cell in zip(USERS, cells, strict=True):
            if of_row and user != "device":  # its rights are for one person's topics
                assert (reads in cell) == bool(of_row & MAY_READ[user]), (topics_cell, user)
                assert (writes in cell) == bool(of_row & MAY_WRITE[user]), (topics_cell, user)
                assert of_row <= MAY_READ[user] or not of_row & MAY_READ[user], (topics_cell, user)
    assert named == {row.pattern for row in TOPIC_TABLE}


def test_the_topics_of_the_flows_are_allowed_to_node_red(running):
    nodes = [
        node
        for file in (DEPLOY / "node-red").glob("*.json")
        for node in json.loads(file.read_text())
        if node.get("type") in {"mqtt in", "mqtt out"} and node.get("topic")
    ]
    assert len(nodes) > 5
    with connect_as(running, "node-red") as client:
        for node in nodes:
            topic = node["topic"].replace("+", "wife")
            if node["type"] == "mqtt out":
                assert client.publish(topic) != NOT_AUTHORIZED, topic
    read = [node["topic"].replace("+", "wife") for node in nodes if node["type"] == "mqtt in"]
    assert set(read) <= received_topics(running, "node-red", read, read) | {HOUSE_TOPIC}


def test_a_message_acknowledged_two_seconds_ago_survives_a_power_cut(tmp_path):
    running = broker(tmp_path).start()
    try:
        with connect_as(running, "homeassistant", client_id="ha", keeps_session=True) as client:
            client.subscribe("wx/in/+")
        with connect_as(running, "bridge") as client:
            client.publish("wx/last", b"kept", retain=True)
            for number in range(1500):  # more than mosquitto keeps by default
                client.publish("wx/in/wife", str(number).encode())
        wait_until_saved_on_disk(running)
        running.kill()
        running.start()
        with connect_as(running, "homeassistant", client_id="ha", keeps_session=True) as client:
            assert client.session_present
            client.wait("wx/in/wife", b"1499")
            assert [int(payload) for topic, payload, _ in client.received if topic == "wx/in/wife"] == list(
                range(1500)
            )
            client.subscribe("wx/last")
            client.wait("wx/last", b"kept")
    finally:
        running.stop()


def wait_until_saved_on_disk(running: Mosquitto) -> None:
    """Waits until mosquitto has saved all changes, which it does up to two seconds after it acknowledged:
    when the last change is saved, the earlier ones are, too.
    """
    with connect_as(running, "bridge") as client:
        client.publish("wx/bridge/state", b"later than all others", retain=True)
    wait_until_saved(running.folder / "mosquitto.db", b"later than all others")


def test_the_configuration_works_beside_that_of_debian(tmp_path):
    """Uses the mosquitto.conf of Debian 12 and 13, which includes conf.d."""
    shipped = broker(tmp_path)
    (tmp_path / "conf.d").mkdir()
    text = (tmp_path / "mosquitto.conf").read_text().replace(f"persistence_location {tmp_path}/\n", "")
    shipped_part = text[text.index("# Mosquitto for wx2mqtt") :]
    (tmp_path / "conf.d" / "wx2mqtt.conf").write_text(shipped_part)
    debian = f"persistence true\npersistence_location {tmp_path}/\nlog_dest stderr\ninclude_dir {tmp_path}/conf.d\n"
    shipped.configure(debian)
    shipped.start()
    try:
        with connect_as(shipped, "bridge") as client:
            assert client.publish("wx/in/wife") in {0, 16}
        with BrokerUser(shipped.port) as client:
            assert client.refusal
    finally:
        shipped.stop()


async def test_the_bridge_needs_no_more_than_its_rights(tmp_path):
    """Runs the bridge over the shipped broker, each program with its own user."""
    shipped = broker(tmp_path / "shipped").start()
    try:
        async with at_home(tmp_path) as home:
            mqtt = {"url": shipped.url, "username": "bridge", "password": password("bridge")}
            home.bridge.configure(
                {
                    **home.settings({"plain": True}),
                    "mqtt": mqtt,
                    "homeassistant": {"enabled": True, "expose": ["wife"]},
                }
            )
            await home.control.post("settings", autoscan=True)
            with connect_as(shipped, "homeassistant") as ha, connect_as(shipped, "reader") as reader:
                ha.subscribe("#")
                reader.subscribe("#")
                home.bridge.start()
                await home.control.wait("polling")
                await home.control.say("wife", "开灯")
                await home.in_thread(reader.wait, "wx/text/wife", "开灯".encode())
                assert await home.in_thread(ha.publish, "wx/out/wife", "好") in {0, 16}
                await home.control.sent(1)
                assert await home.in_thread(ha.publish, "wx/out/wife", "with -r", retain=True) in {0, 16}
                await home.control.sent(2)
                assert not any("retained" in line for line in home.bridge.log)
                topics_heard = {topic for topic, *_ in ha.received}
                assert {"wx/in/wife", "wx/login/qr", "wx/contacts", DISCOVERY} <= topics_heard
            await home.in_thread(home.bridge.stop)
            assert not [line for line in home.bridge.log if "refuse" in line.lower()]
    finally:
        shipped.stop()
