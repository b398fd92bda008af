"""Checks a device discovery payload by the rules of Home Assistant, as measured on the real one (mqtt 2).

It is stricter in one point: Home Assistant ignores unknown keys, which are faults here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

TOP_LEVEL_KEYS = {"device", "origin", "components", "availability", "availability_mode"}
DEVICE_KEYS = {
    "identifiers",
    "connections",
    "name",
    "manufacturer",
    "model",
    "sw_version",
    "configuration_url",
}
ORIGIN_KEYS = {"name", "sw_version", "support_url"}
COMMON_KEYS = {
    *("platform", "unique_id", "default_entity_id", "name", "qos", "icon", "entity_category"),
    *("enabled_by_default", "availability", "availability_mode"),
}
AVAILABILITY_KEYS = {"topic", "value_template", "payload_available", "payload_not_available"}
STATE_KEYS = {"state_topic", "value_template"}
ATTRIBUTES_KEYS = {"json_attributes_topic", "json_attributes_template"}
SENSOR_KEYS = {"device_class", "state_class", "unit_of_measurement", "suggested_display_precision", "options"}
KEYS: dict[str, tuple[set[str], set[str]]] = {  # (needed, further ones) of each platform
    "image": ({"image_topic"}, {"content_type"}),
    "sensor": ({"state_topic"}, STATE_KEYS | ATTRIBUTES_KEYS | SENSOR_KEYS),
    "binary_sensor": (
        {"state_topic"},
        STATE_KEYS | ATTRIBUTES_KEYS | {"device_class", "payload_on", "payload_off"},
    ),
    "event": ({"state_topic", "event_types"}, STATE_KEYS),
    "notify": ({"command_topic"}, {"command_template", "message_expiry_interval"}),
    "button": ({"command_topic"}, {"payload_press"}),
}
CLASSES = {"sensor": {"enum", "timestamp", "duration"}, "binary_sensor": {"connectivity", "problem"}}
TOPIC = re.compile(r"[^/]+(/[^/]+)*/device/[a-zA-Z0-9_-]+/config")
ID = re.compile(r"[a-z0-9_]+")
URL = re.compile(r"https?://[^/\s]+(/\S*)?")


def faults(topic: str, payload: bytes) -> list[str]:
    """Returns the rules that a payload breaks; none for one that Home Assistant accepts without a warning."""
    body = json.loads(payload.decode())
    return [*_topic(topic), *_device(body), *_ids(body["components"])] + [
        f"{key}: {fault}" for key, component in body["components"].items() for fault in _component(component)
    ]


def _topic(topic: str) -> Iterator[str]:
    if not TOPIC.fullmatch(topic):
        yield f"{topic} is no discovery topic"


def _device(body: dict[str, Any]) -> Iterator[str]:
    yield from _wrong_keys(body, TOP_LEVEL_KEYS, {"device", "origin", "components"})
    yield from _wrong_keys(body["device"], DEVICE_KEYS, {"identifiers", "name"})
    yield from _wrong_keys(body["origin"], ORIGIN_KEYS, {"name"})
    if not all(isinstance(component, str) and component for component in body["device"]["identifiers"]):
        yield "identifiers must be texts"
    if not URL.fullmatch(body["device"].get("configuration_url", "http://x")):
        yield "configuration_url is no URL"
    yield from _availability(body)


def _ids(components: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name in ("unique_id", "default_entity_id"):
        ids = [component[name] for component in components.values() if name in component]
        if name == "unique_id" and len(ids) > len(set(ids)):
            yield f"two components have the same {name}"
    for key in components:
        if not ID.fullmatch(key):
            yield f"the key {key!r} is no id"


def _component(component: dict[str, Any]) -> Iterator[str]:
    platform = component.get("platform")
    if platform not in KEYS:
        yield f"platform {platform!r} is not known"
        return
    if set(component) == {"platform"}:  # the component is removed
        return
    needed, further = KEYS[platform]
    yield from _wrong_keys(
        component, COMMON_KEYS | needed | further, needed | {"unique_id", "name", "default_entity_id"}
    )
    yield from _naming(component, platform)
    yield from _values(component, platform)
    yield from _availability(component)


def _naming(component: dict[str, Any], platform: str) -> Iterator[str]:
    domain, _, rest = component["default_entity_id"].partition(".")
    if domain != platform or not ID.fullmatch(rest):
        yield f"{component['default_entity_id']} is no id of a {platform}"
    if not ID.fullmatch(component["unique_id"]):
        yield f"unique_id {component['unique_id']!r}"
    if not component["name"].strip() or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", component["name"]):
        yield f"name {component['name']!r}"


def _values(component: dict[str, Any], platform: str) -> Iterator[str]:
    if component.get("qos") not in {0, 1, 2}:
        yield "qos must be 0, 1 or 2"
    if not re.fullmatch(r"mdi:[a-z0-9-]+", component.get("icon", "mdi:x")):
        yield f"icon {component['icon']}"
    if "device_class" in component and component["device_class"] not in CLASSES.get(platform, set()):
        yield f"device_class {component['device_class']}"
    if ("options" in component) != (component.get("device_class") == "enum") or component.get(
        "options"
    ) == []:
        yield "options belong to device_class enum, and to nothing else"
    if "options" in component and ("state_class" in component or "unit_of_measurement" in component):
        yield "an enum has no unit and no state_class"
    if component.get("entity_category") not in {None, "diagnostic"} and platform in {
        "sensor",
        "binary_sensor",
    }:
        yield "a sensor is diagnostic or nothing"
    if not isinstance(component.get("payload_press", ""), str):
        yield "payload_press must be a text"
    expiry = component.get("message_expiry_interval", 1)
    if not isinstance(expiry, int) or expiry < 1:
        yield "message_expiry_interval must be whole seconds"
    yield from _topics(component, platform)


def _topics(component: dict[str, Any], platform: str) -> Iterator[str]:
    for key, topic in component.items():
        if not key.endswith("_topic"):
            continue
        plain = topic.replace("/+", "") if platform == "event" else topic
        if not topic or any(sign in plain for sign in "+#\0") or len(topic.encode()) > 65535:
            yield f"{key} {topic!r}"


def _availability(component: dict[str, Any]) -> Iterator[str]:
    for entry in component.get("availability", []):
        yield from _wrong_keys(entry, AVAILABILITY_KEYS, {"topic"})
    if component.get("availability_mode", "all") not in {"all", "any", "latest"}:
        yield "availability_mode"


def _wrong_keys(component: dict[str, Any], known: set[str], needed: set[str]) -> Iterator[str]:
    yield from (f"{key} is not known" for key in component.keys() - known)
    yield from (f"{key} is missing" for key in needed - component.keys())
