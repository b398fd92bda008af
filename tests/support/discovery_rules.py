"""What Home Assistant demands of a device discovery payload, as measured on the real one (mqtt 2).

Stricter than it where it would only drop a key in silence: here such a key is a fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

TOP = {"device", "origin", "components", "availability", "availability_mode"}
DEVICE = {"identifiers", "connections", "name", "manufacturer", "model", "sw_version", "configuration_url"}
ORIGIN = {"name", "sw_version", "support_url"}
COMMON = {
    *("platform", "unique_id", "default_entity_id", "name", "qos", "icon", "entity_category"),
    *("enabled_by_default", "availability", "availability_mode"),
}
AVAILABILITY = {"topic", "value_template", "payload_available", "payload_not_available"}
STATE = {"state_topic", "value_template"}
ATTRIBUTES = {"json_attributes_topic", "json_attributes_template"}
FIGURE = {"device_class", "state_class", "unit_of_measurement", "suggested_display_precision", "options"}
KEYS: dict[str, tuple[set[str], set[str]]] = {  # (needed, further ones) of each platform
    "image": ({"image_topic"}, {"content_type"}),
    "sensor": ({"state_topic"}, STATE | ATTRIBUTES | FIGURE),
    "binary_sensor": ({"state_topic"}, STATE | ATTRIBUTES | {"device_class", "payload_on", "payload_off"}),
    "event": ({"state_topic", "event_types"}, STATE),
    "notify": ({"command_topic"}, {"command_template", "message_expiry_interval"}),
    "button": ({"command_topic"}, {"payload_press"}),
}
CLASSES = {"sensor": {"enum", "timestamp", "duration"}, "binary_sensor": {"connectivity", "problem"}}
TOPIC = re.compile(r"[^/]+(/[^/]+)*/device/[a-zA-Z0-9_-]+/config")
ID = re.compile(r"[a-z0-9_]+")
URL = re.compile(r"https?://[^/\s]+(/\S*)?")


def faults(topic: str, payload: bytes) -> list[str]:
    """Every rule that is broken; none for what Home Assistant takes without a word."""
    body = json.loads(payload.decode())
    return [*_topic(topic), *_whole(body), *_ids(body["components"])] + [
        f"{key}: {fault}" for key, one in body["components"].items() for fault in _component(one)
    ]


def _topic(topic: str) -> Iterator[str]:
    if not TOPIC.fullmatch(topic):
        yield f"{topic} is no discovery topic"


def _whole(body: dict[str, Any]) -> Iterator[str]:
    yield from _only(body, TOP, {"device", "origin", "components"})
    yield from _only(body["device"], DEVICE, {"identifiers", "name"})
    yield from _only(body["origin"], ORIGIN, {"name"})
    if not all(isinstance(one, str) and one for one in body["device"]["identifiers"]):
        yield "identifiers must be texts"
    if not URL.fullmatch(body["device"].get("configuration_url", "http://x")):
        yield "configuration_url is no URL"
    yield from _availability(body)


def _ids(components: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name in ("unique_id", "default_entity_id"):
        ids = [one[name] for one in components.values() if name in one]
        if name == "unique_id" and len(ids) > len(set(ids)):
            yield f"two components have the same {name}"
    for key in components:
        if not ID.fullmatch(key):
            yield f"the key {key!r} is no id"


def _component(one: dict[str, Any]) -> Iterator[str]:
    platform = one.get("platform")
    if platform not in KEYS:
        yield f"platform {platform!r} is not known"
        return
    if set(one) == {"platform"}:  # taken back
        return
    needed, further = KEYS[platform]
    yield from _only(one, COMMON | needed | further, needed | {"unique_id", "name", "default_entity_id"})
    yield from _naming(one, platform)
    yield from _values(one, platform)
    yield from _availability(one)


def _naming(one: dict[str, Any], platform: str) -> Iterator[str]:
    domain, _, rest = one["default_entity_id"].partition(".")
    if domain != platform or not ID.fullmatch(rest):
        yield f"{one['default_entity_id']} is no id of a {platform}"
    if not ID.fullmatch(one["unique_id"]):
        yield f"unique_id {one['unique_id']!r}"
    if not one["name"].strip() or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", one["name"]):
        yield f"name {one['name']!r}"


def _values(one: dict[str, Any], platform: str) -> Iterator[str]:
    if one.get("qos") not in {0, 1, 2}:
        yield "qos must be 0, 1 or 2"
    if not re.fullmatch(r"mdi:[a-z0-9-]+", one.get("icon", "mdi:x")):
        yield f"icon {one['icon']}"
    if "device_class" in one and one["device_class"] not in CLASSES.get(platform, set()):
        yield f"device_class {one['device_class']}"
    if ("options" in one) != (one.get("device_class") == "enum") or one.get("options") == []:
        yield "options belong to device_class enum, and to nothing else"
    if "options" in one and ("state_class" in one or "unit_of_measurement" in one):
        yield "an enum has no unit and no state_class"
    if one.get("entity_category") not in {None, "diagnostic"} and platform in {"sensor", "binary_sensor"}:
        yield "a sensor is diagnostic or nothing"
    if not isinstance(one.get("payload_press", ""), str):
        yield "payload_press must be a text"
    expiry = one.get("message_expiry_interval", 1)
    if not isinstance(expiry, int) or expiry < 1:
        yield "message_expiry_interval must be whole seconds"
    yield from _topics(one, platform)


def _topics(one: dict[str, Any], platform: str) -> Iterator[str]:
    for key, topic in one.items():
        if not key.endswith("_topic"):
            continue
        plain = topic.replace("/+", "") if platform == "event" else topic
        if not topic or any(sign in plain for sign in "+#\0") or len(topic.encode()) > 65535:
            yield f"{key} {topic!r}"


def _availability(one: dict[str, Any]) -> Iterator[str]:
    for entry in one.get("availability", []):
        yield from _only(entry, AVAILABILITY, {"topic"})
    if one.get("availability_mode", "all") not in {"all", "any", "latest"}:
        yield "availability_mode"


def _only(one: dict[str, Any], known: set[str], needed: set[str]) -> Iterator[str]:
    yield from (f"{key} is not known" for key in one.keys() - known)
    yield from (f"{key} is missing" for key in needed - one.keys())
