"""The shipped broker configuration on a real mosquitto: what each may and may not do, by doing it."""

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
OF_HOUSE = "home/doorbell"

REQUESTS = {"login", "logout", "contacts", "history", "send", "recall", "media", "mark_read", "health"}
"""What an automation may ask for; the others change whom the bridge trusts, or itself."""
OWNERS = {"set_remark", "accept_friend", "group", "assign", "log_level", "reload", "no_such"}


def topics(base: str) -> dict[str, str]:
    """One topic for each row of the table: its pattern, and a name that fits it."""
    return {
        one.pattern: f"{base}/{one.pattern}".replace("<user>", "老婆")
        .replace("<kind>", "recall")
        .replace("<name>", "login")
        for one in TOPIC_TABLE
    }


BRIDGE_SAYS = {one.pattern for one in TOPIC_TABLE if one.by_bridge}
PEOPLE_SAY = {one.pattern for one in TOPIC_TABLE if not one.by_bridge}
LOOKS = {
    *("in/<user>", "text/<user>", "event/<kind>", "last", "contacts", "login/state"),
    *("bridge/state", "bridge/info", "bridge/health"),
}

MAY_WRITE = {
    "bridge": {*BRIDGE_SAYS, *PEOPLE_SAY},
    "homeassistant": PEOPLE_SAY,
    "node-red": PEOPLE_SAY,
    "reader": set(),
    "device": set(),
}
MAY_READ = {
    "bridge": {*BRIDGE_SAYS, *PEOPLE_SAY},
    "homeassistant": BRIDGE_SAYS,
    "node-red": BRIDGE_SAYS,
    "reader": LOOKS,
    "device": set(),
}
ELSEWHERE = {
    # topic: who may write there, who may read there
    DISCOVERY: ({"bridge", "homeassistant"}, {"bridge", "homeassistant"}),
    "homeassistant/sensor/other/config": ({"homeassistant"}, {"homeassistant"}),
    "homeassistant/status": ({"homeassistant"}, {"bridge", "homeassistant"}),
    "reply/homeassistant/a/b": ({"bridge", "homeassistant"}, {"homeassistant"}),
    "reply/node-red/a": ({"bridge", "node-red"}, {"node-red"}),
    "reply/reader/a": ({"bridge"}, set()),
    "node-red/wx/picture": ({"bridge", "node-red"}, {"node-red"}),
    "node-red/other": ({"node-red"}, {"node-red"}),
    OF_HOUSE: ({"homeassistant", "node-red"}, {"homeassistant", "node-red"}),
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
    """The shipped files in their places, as README says; only the places are the test's."""
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


def broker_user(running: Mosquitto, user: str, **more: object) -> BrokerUser:
    return BrokerUser(running.port, user, password(user), **more)  # type: ignore[arg-type]


def received(running: Mosquitto, user: str, filters: list[str], wanted: list[str]) -> set[str]:
    """On which of the wanted topics this user hears what somebody publishes who may publish everywhere."""
    own = OF_HOUSE if user in {"homeassistant", "node-red"} else "wx/in/end"
    with broker_user(running, user) as listener:
        listener.subscribe(*filters, own)
        for topic in wanted:
            for speaker in USERS:
                with broker_user(running, speaker) as one:
                    if one.publish(topic, f"of {speaker}".encode()) != NOT_AUTHORIZED:
                        break
        with broker_user(running, "homeassistant" if own == OF_HOUSE else "bridge") as one:
            assert one.publish(own, b"end of all") in {0, 16}
        if user == "device":
            listener.subscribe(own)  # it may read nothing: what mosquitto sent it came before this answer
        else:
            listener.wait(own, b"end of all")
        return {topic for topic, payload, _ in listener.received if payload != b"end of all"}


@pytest.mark.parametrize("user", USERS)
def test_each_may_publish_what_is_theirs_to_say_and_nothing_else(running, user):
    with broker_user(running, user) as one:
        may = {pattern for pattern, topic in topics("wx").items() if one.publish(topic) != NOT_AUTHORIZED}
        assert may == MAY_WRITE[user]
        elsewhere = {topic for topic in ELSEWHERE if one.publish(topic) != NOT_AUTHORIZED}
        assert elsewhere == {topic for topic, (writers, _) in ELSEWHERE.items() if user in writers}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("filters", ["each", "all"])
def test_each_hears_what_is_meant_for_them_and_nothing_else_however_they_ask(running, user, filters):
    """Mosquitto grants every subscription; what counts is what comes."""
    by_pattern = topics("wx")
    wanted = [*by_pattern.values(), *(topic for topic, (writers, _) in ELSEWHERE.items() if writers)]
    found = received(running, user, ["#"] if filters == "all" else wanted, wanted)
    readers = {topic for topic, (writers, may) in ELSEWHERE.items() if writers and user in may}
    assert found - {OF_HOUSE} == {by_pattern[pattern] for pattern in MAY_READ[user]} | readers - {OF_HOUSE}


@pytest.mark.parametrize("user", ["homeassistant", "node-red"])
def test_automations_may_ask_for_what_does_not_change_whom_the_bridge_trusts(running, user):
    with broker_user(running, user) as one:
        may = {
            name for name in REQUESTS | OWNERS if one.publish(f"wx/bridge/request/{name}") != NOT_AUTHORIZED
        }
    assert may == REQUESTS


@pytest.mark.parametrize("topic", ["wx/out/wife/image", "wx/out/wife/file/a.pdf"])
def test_files_can_be_sent(running, topic):
    with broker_user(running, "homeassistant") as one:
        assert one.publish(topic) != NOT_AUTHORIZED


def test_a_device_that_is_to_hear_needs_the_line_that_is_commented_out(tmp_path):
    running = broker(tmp_path, uncommented="topic read @BASE@/text/me").start()
    try:
        assert received(running, "device", ["#"], ["wx/text/me", "wx/text/wife", "wx/in/me"]) == {
            "wx/text/me"
        }
    finally:
        running.stop()


@pytest.mark.parametrize(("user", "secret"), [("", ""), ("bridge", ""), ("bridge", "wrong"), ("nobody", "x")])
def test_nobody_comes_in_without_a_password(running, user, secret):
    with BrokerUser(running.port, user, secret) as one:
        assert one.refusal


def test_retained_messages_are_as_hidden_as_others(running):
    """The QR code is a key to the account: who only looks does not get it at their start either."""
    with broker_user(running, "bridge") as one:
        for topic in ("wx/login/qr", "wx/login/url", "wx/login/state"):
            one.publish(topic, topic.encode(), retain=True)
    with broker_user(running, "reader") as one:
        one.subscribe("wx/#")
        one.wait("wx/login/state", b"wx/login/state")
        assert {topic for topic, *_ in one.received if topic.startswith("wx/login/")} == {"wx/login/state"}


def test_another_base_and_prefix_take_the_place_of_the_placeholders(tmp_path):
    running = broker(tmp_path, "house/微信", "ha").start()
    try:
        with broker_user(running, "bridge") as one:
            assert {one.publish(topic) for topic in topics("house/微信").values()} <= {0, 16}
            assert one.publish("wx/in/wife") == NOT_AUTHORIZED
            assert one.publish("ha/device/wx2mqtt_home/config") != NOT_AUTHORIZED
            assert one.publish(DISCOVERY) == NOT_AUTHORIZED
    finally:
        running.stop()


def test_no_line_of_the_rights_is_without_effect():
    """Every placeholder is one that README explains, every user one of ours."""
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
def test_the_table_of_the_page_says_what_is_true(page, reads, writes):
    """The table of rights, row by row, beside what the tests above find on a real mosquitto."""
    text = (DEPLOY / "mosquitto" / page).read_text()
    table = [line[1:-1].split("|") for line in text.splitlines() if line.count("|") == len(USERS) + 2]
    assert [cell.strip(" `") for cell in table[0][1:]] == list(USERS)
    named = set()
    for what, *cells in table[2:]:
        of_row = {
            one.pattern
            for one in TOPIC_TABLE
            for topic in re.findall(r"`([^`…]+)`", what)
            if f"{one.pattern}/".startswith(f"{topic}/")
        }
        named |= of_row
        for user, cell in zip(USERS, cells, strict=True):
            if of_row and user != "device":  # its rights are for one person's topics
                assert (reads in cell) == bool(of_row & MAY_READ[user]), (what, user)
                assert (writes in cell) == bool(of_row & MAY_WRITE[user]), (what, user)
                assert of_row <= MAY_READ[user] or not of_row & MAY_READ[user], (what, user)
    assert named == {one.pattern for one in TOPIC_TABLE}


def test_the_topics_of_the_flows_are_allowed_to_node_red(running):
    nodes = [
        node
        for file in (DEPLOY / "node-red").glob("*.json")
        for node in json.loads(file.read_text())
        if node.get("type") in {"mqtt in", "mqtt out"} and node.get("topic")
    ]
    assert len(nodes) > 5
    with broker_user(running, "node-red") as one:
        for node in nodes:
            topic = node["topic"].replace("+", "wife")
            if node["type"] == "mqtt out":
                assert one.publish(topic) != NOT_AUTHORIZED, topic
    read = [node["topic"].replace("+", "wife") for node in nodes if node["type"] == "mqtt in"]
    assert set(read) <= received(running, "node-red", read, read) | {OF_HOUSE}


def test_what_was_acknowledged_two_seconds_ago_survives_a_power_cut(tmp_path):
    running = broker(tmp_path).start()
    try:
        with broker_user(running, "homeassistant", client_id="ha", keeps_session=True) as one:
            one.subscribe("wx/in/+")
        with broker_user(running, "bridge") as one:
            one.publish("wx/last", b"kept", retain=True)
            for number in range(1500):  # more than mosquitto keeps by default
                one.publish("wx/in/wife", str(number).encode())
        settle(running)
        running.kill()
        running.start()
        with broker_user(running, "homeassistant", client_id="ha", keeps_session=True) as one:
            assert one.session_present
            one.wait("wx/in/wife", b"1499")
            assert [int(payload) for topic, payload, _ in one.received if topic == "wx/in/wife"] == list(
                range(1500)
            )
            one.subscribe("wx/last")
            one.wait("wx/last", b"kept")
    finally:
        running.stop()


def settle(running: Mosquitto) -> None:
    """Mosquitto writes up to two seconds after it acknowledged: when a change later than all others was written,
    the others were, too.
    """
    with broker_user(running, "bridge") as one:
        one.publish("wx/bridge/state", b"later than all others", retain=True)
    wait_until_saved(running.folder / "mosquitto.db", b"later than all others")


def test_it_goes_beside_debians_own_configuration(tmp_path):
    """As /etc/mosquitto/mosquitto.conf of Debian 12 and 13 is, which includes conf.d."""
    shipped = broker(tmp_path)
    (tmp_path / "conf.d").mkdir()
    text = (tmp_path / "mosquitto.conf").read_text().replace(f"persistence_location {tmp_path}/\n", "")
    ours = text[text.index("# Mosquitto for wx2mqtt") :]
    (tmp_path / "conf.d" / "wx2mqtt.conf").write_text(ours)
    debian = f"persistence true\npersistence_location {tmp_path}/\nlog_dest stderr\ninclude_dir {tmp_path}/conf.d\n"
    shipped.configure(debian)
    shipped.start()
    try:
        with broker_user(shipped, "bridge") as one:
            assert one.publish("wx/in/wife") in {0, 16}
        with BrokerUser(shipped.port) as one:
            assert one.refusal
    finally:
        shipped.stop()


async def test_the_bridge_needs_no_more_than_its_rights(tmp_path):
    """A whole conversation over the shipped broker, each with the user that is theirs."""
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
            with broker_user(shipped, "homeassistant") as ha, broker_user(shipped, "reader") as reader:
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
