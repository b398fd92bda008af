"""One table of topics: every topic that is made is in it, and is read back as it was made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.limits import MAX_TOPIC_NAME_BYTES
from wx2mqtt.mqtt.topics import (
    QOS,
    RESERVED_LEVELS,
    TOPIC_TABLE,
    FileTopic,
    RequestTopic,
    TextTopic,
    Topics,
    UnknownTopic,
    is_topic_name,
    response_topic_allowed,
)

BASES = st.sampled_from(["wx", "wx/second", "home/wechat", "微信"])
LEVELS = st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), min_size=1)
TOPICS = st.text(st.sampled_from("wx/out$+#a\0") | st.characters(exclude_categories=["Cs"]))

MADE = {
    "in/<user>": Topics("wx").message("<user>"),
    "result/<user>": Topics("wx").result("<user>"),
    "event/<kind>": Topics("wx").event("<kind>"),
    "text/<user>": Topics("wx").text("<user>"),
    "login/state": Topics("wx").login_state,
    "login/qr": Topics("wx").login_qr,
    "login/url": Topics("wx").login_url,
    "contacts": Topics("wx").contacts,
    "window/<user>": Topics("wx").window("<user>"),
    "last": Topics("wx").last,
    "bridge/state": Topics("wx").state,
    "bridge/info": Topics("wx").info,
    "bridge/health": Topics("wx").health,
    "bridge/response/<name>": Topics("wx").response("<name>"),
}


def test_every_topic_that_is_made_stands_in_the_table():
    assert {pattern: f"wx/{pattern}" for pattern in MADE} == MADE
    assert [topic.pattern for topic in TOPIC_TABLE if topic.by_bridge] == list(MADE)


def test_every_topic_begins_with_a_level_that_no_account_may_have():
    assert {topic.pattern.split("/")[0] for topic in TOPIC_TABLE} <= RESERVED_LEVELS


def test_what_is_retained_is_only_the_bridges_and_has_one_place():
    retained = [topic for topic in TOPIC_TABLE if topic.retained]
    assert all(topic.by_bridge for topic in retained)
    assert {topic.pattern for topic in retained if "<" in topic.pattern} == {"window/<user>"}


def test_all_that_may_be_retained_is_known_by_name():
    names = Topics("wx").retained(["wife", "老婆"])
    fixed = {f"wx/{topic.pattern}" for topic in TOPIC_TABLE if topic.retained and "<" not in topic.pattern}
    assert set(names) == {*fixed, "wx/window/wife", "wx/window/老婆"}
    assert len(names) == len(set(names))


@every_row(
    ("topic", "meant"),
    [
        ("wx/out/wife", TextTopic("wife")),
        ("wx/out/老婆", TextTopic("老婆")),
        ("wx/out/ a b ", TextTopic(" a b ")),
        ("wx/out/", UnknownTopic("")),
        ("wx/out//image", UnknownTopic("")),
        ("wx/out/wife/urgent", TextTopic("wife", "urgent")),
        ("wx/out/wife/high", TextTopic("wife", "high")),
        ("wx/out/urgent", TextTopic("urgent")),
        ("wx/out//urgent", UnknownTopic("")),
        ("wx/out/wife/urgent/image", UnknownTopic("wife")),
        ("wx/out/wife/low", UnknownTopic("wife")),
        ("wx/out/wife/image", FileTopic("wife", "image")),
        ("wx/out/wife/video", FileTopic("wife", "video")),
        ("wx/out/wife/file/plan.pdf", FileTopic("wife", "file", "plan.pdf")),
        ("wx/out/wife/file/..", FileTopic("wife", "file", "..")),
        ("wx/out/wife/file", UnknownTopic("wife")),
        ("wx/out/wife/file/", UnknownTopic("wife")),
        ("wx/out/wife/file/a/b", UnknownTopic("wife")),
        ("wx/out/wife/Image", UnknownTopic("wife")),
        ("wx/out/wife/", UnknownTopic("wife")),
        ("wx/out/image", TextTopic("image")),
        ("wx/bridge/request/login", RequestTopic("login")),
        ("wx/bridge/request/", RequestTopic("")),
        ("wx/bridge/request/a/b", RequestTopic("a/b")),
        ("wx/out", UnknownTopic("")),
        ("wx/bridge/request", RequestTopic("")),
        ("wx/outs", None),
        ("wx/bridge/requests", None),
        ("wx/in/wife", None),
        ("wx2/out/wife", None),
        ("/wx/out/wife", None),
        ("", None),
    ],
)
def test_what_a_topic_asks_for(topic, meant):
    assert Topics("wx").parse(topic) == meant


@given(BASES, LEVELS, LEVELS)
def test_a_user_is_read_as_it_was_written(base, user, name):
    topics = Topics(base)
    assert topics.parse(f"{base}/out/{user}") == TextTopic(user)
    assert topics.parse(f"{base}/out/{user}/file/{name}") == FileTopic(user, "file", name)
    assert topics.parse(f"{base}/bridge/request/{name}") == RequestTopic(name)


@given(BASES, TOPICS)
def test_no_topic_of_anybody_is_a_fault(base, topic):
    Topics(base).parse(topic)


@given(LEVELS)
def test_a_name_of_a_level_is_one_unless_it_is_too_long(name):
    assert is_topic_name(name) is (len(name.encode()) <= MAX_TOPIC_NAME_BYTES)


@every_row("name", ["", "a/b", "+", "a#", "\0", "\ud83d", "x" * (MAX_TOPIC_NAME_BYTES + 1)])
def test_what_can_be_no_level(name):
    assert not is_topic_name(name)


# response topics


@every_row(
    ("topic", "allowed"),
    [
        ("reply/to/me", True),
        ("wxx/in/wife", True),
        ("a/wx/in/wife", True),
        ("/wx/in/wife", True),
        ("homeassistants/x", True),
        ("", False),
        ("$SYS/x", False),
        ("$share/g/t", False),
        ("reply/+", False),
        ("reply/#", False),
        ("reply/a+b", False),
        ("a\0b", False),
        ("wx", False),
        ("wx/in/wife", False),
        ("wx/anything", False),
        ("other/result/mom", False),
        ("homeassistant", False),
        ("homeassistant/sensor/x/config", False),
    ],
)
def test_where_a_result_may_go(topic, allowed):
    assert response_topic_allowed(topic, ("wx", "other"), "homeassistant") is allowed


@given(TOPICS, st.lists(BASES, min_size=1).map(tuple))
def test_wherever_a_result_may_go_a_publisher_could_publish_and_nobody_else_is_meant(topic, bases):
    if response_topic_allowed(topic, bases, "homeassistant"):
        assert topic
        assert not set(topic) & {"+", "#", "\0"}
        assert topic[0] != "$"
        assert not any(topic == base or topic.startswith(f"{base}/") for base in bases)


def test_every_topic_has_qos_1_as_the_readme_promises():
    assert QOS == 1


def test_these_topics_are_retained_and_no_others():
    assert {topic.pattern for topic in TOPIC_TABLE if topic.retained} == {
        "bridge/health",
        "bridge/info",
        "bridge/state",
        "contacts",
        "last",
        "login/qr",
        "login/state",
        "login/url",
        "window/<user>",
    }


@every_row(
    ("topic", "filters", "allowed"),
    [
        ("reply/me", ("#",), True),
        ("reply/me", ("reply/#",), True),
        ("reply", ("reply/#",), True),
        ("reply/me/now", ("reply/+",), False),
        ("reply/me", ("reply/+",), True),
        ("reply/", ("reply/+",), True),
        ("zigbee2mqtt/door/set", ("reply/#", "node-red/+/answer"), False),
        ("node-red/flow1/answer", ("reply/#", "node-red/+/answer"), True),
        ("replying", ("reply/#",), False),
        ("reply/me", (), False),
        ("wx/in/wife", ("wx/#",), False),
        ("homeassistant/status", ("homeassistant/#",), False),
        ("$SYS/x", ("#",), False),
    ],
)
def test_a_result_goes_only_where_the_owner_allows_responses(topic, filters, allowed):
    assert response_topic_allowed(topic, ("wx", "other"), "homeassistant", filters) is allowed


@given(TOPICS)
def test_every_topic_for_responses_matches_the_filter_of_all(topic):
    everywhere = response_topic_allowed(topic, ("wx",), "homeassistant")
    assert response_topic_allowed(topic, ("wx",), "homeassistant", (topic,)) == everywhere
