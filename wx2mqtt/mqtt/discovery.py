"""Builds the payload of Home Assistant's MQTT device discovery, one for each account (mqtt 2). Pure.

    {"device": {"name": "WeChat home", …}, "origin": {…}, "availability": […],
     "components": {"login": {"platform": "sensor", "state_topic": "wx/login/state", …},
                    "to_wife": {"platform": "notify", "command_topic": "wx/out/wife", …}, …}}

`discovery_config` gathers the components (entities) of a `Device`: those of every account, three for each
reply window, and one for each person to whom Home Assistant may send. If the payload is too large, people are
left out. The id of an entity comes from the topic name, which means the same person for ever; names may
change. Only keys are used that Home Assistant 2024.11 and every later version accept without a warning.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import islice
from typing import NamedTuple

from wx2mqtt.i18n import Language
from wx2mqtt.model import Json, Kind, LoginState, Status
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import DEFAULT_QOS, Topics, is_publishable
from wx2mqtt.values import frozen

ORIGIN_NAME = "wx2mqtt"

# Characters of a text in an attribute: the recorder drops the attributes of an entity above 16 kB.
MAX_ATTRIBUTE_CHARACTERS = 2000

# Results in an attribute, and characters of the words of each, within the same 16 kB.
MAX_RECENT_RESULTS = 16
MAX_RESULT_CHARACTERS = 200

# Seconds for which a message from Home Assistant to a person may wait at the broker.
DEFAULT_EXPIRY_SECONDS = 600

MAX_DISPLAY_NAME_CHARACTERS = 100

# Characters of a topic name in Latin letters, without its digest.
MAX_ENTITY_ID_CHARACTERS = 40

DIGEST_CHARACTERS = 8

_PLAIN_ID = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_WITH_DIGEST = re.compile(r"(?:.*_)?[0-9a-f]{8,}")
_DIGEST = re.compile(r"_[0-9a-f]{8,}$")
_NOT_IN_AN_ID = re.compile(r"[^a-z0-9]+")
_SYLLABLE = re.compile(r"(?<=[a-z])(?=[A-Z])")  # anyascii writes 老婆 as LaoPo, Home Assistant as lao_po

# Unicode categories of characters that a name does not show.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# The details of a message stand in an object that is named like its kind; `url` is that of the attachment.
_DETAILS = "(value_json.get(value_json.kind) if value_json.kind != 'text' else None) or {}"
_SENDER = "(value_json.get('sender') or {})"
_ATTRIBUTES = (
    f"'user': value_json.user, 'name': {_SENDER}.get('name') or value_json.chat.name, "
    f"'text': (value_json.get('text') or '')[:{MAX_ATTRIBUTE_CHARACTERS}], 'kind': value_json.kind, "
    "'trusted': value_json.trusted, 'id': value_json.id, 'seq': value_json.seq, "
    f"'url': ({_DETAILS}).get('url'), 'chat': value_json.chat.kind, "
    f"'sender': {_SENDER}.get('user'), 'self': {_SENDER}.get('self', false), 'time': value_json.time"
)
_EVENT = "{{ {'event_type': value_json.kind, " + _ATTRIBUTES + "} | to_json }}"
_LAST = "{{ {" + _ATTRIBUTES + "} | to_json }}"

# The newest results stand in an attribute as well: whoever waits for several at once misses none of them.
# A result that is published again replaces itself.
_RESULT = (
    "{% set result = {'id': value_json.id, 'user': value_json.user, 'status': value_json.status, "
    "'code': value_json.code, 'message': (value_json.message or '')"
    f"[:{MAX_RESULT_CHARACTERS}], 'fallback': value_json.get('fallback')}} %}}"
    "{% set earlier = this.attributes.get('recent', []) | rejectattr('id', 'eq', result.id) | list %}"
    "{{ dict(result, event_type=result.status, recent=([result] + earlier)"
    f"[:{MAX_RECENT_RESULTS}]) | to_json }}}}"
)


class _EntityName(NamedTuple):
    english: str
    chinese: str

    def text(self, language: Language) -> str:
        return self.chinese if language == "zh" else self.english

    @property
    def object_id(self) -> str:
        return self.english.lower().replace(" ", "_")


_UNNAMED = _EntityName("", "")
_NAMES = {
    "qr": _EntityName("Login QR", "登录二维码"),
    "login": _EntityName("Login state", "登录状态"),
    "connected": _EntityName("Connected", "已连接"),
    "message": _EntityName("Message", "消息"),
    "last": _EntityName("Last message", "最新消息"),
    "result": _EntityName("Result", "发送结果"),
    "log_in": _EntityName("Log in", "登录"),
    "log_out": _EntityName("Log out", "退出登录"),
    "queue": _EntityName("Queue depth", "排队数量"),
    "failed": _EntityName("Failures today", "今日失败"),
    "problem": _EntityName("Problem", "问题"),
    "login_age": _EntityName("Login age", "登录时长"),
    "login_left": _EntityName("Login days left", "登录剩余天数"),
    "age": _EntityName("Last answer of WeChat", "微信上次应答"),
    "window": _EntityName("Would take a message", "现在可发送"),
    "left": _EntityName("Messages left", "剩余条数"),
    "until": _EntityName("Window until", "可发送至"),
}


class Component(NamedTuple):
    """An entity: its key within its device, and its configuration."""

    key: str
    config: dict[str, Json]


@frozen
class NotifyTarget:
    """A recipient of messages from Home Assistant: topic name, id at Home Assistant, displayed name."""

    user: str
    id: str
    name: str


@frozen
class Device:
    """One account, a device of Home Assistant.

    - `model`: the product name of the backend.
    - `targets`: people who get an entity for notifications, the most important first.
    - `has_login_age`: logins end after some time (iLink).
    - `windows`: people who can get messages only for some time after they have written (iLink).
    - `url`: the address of the page, empty without one.
    - `expiry`: seconds for which a message to a person may wait at the broker.
    - `previous_components`: the platforms of the components that were published before, by key.
    """

    account: str
    topics: Topics
    model: str
    version: str
    language: Language
    targets: Sequence[NotifyTarget] = ()
    has_login_age: bool = False
    windows: Sequence[NotifyTarget] = ()
    url: str = ""
    expiry: int = DEFAULT_EXPIRY_SECONDS
    previous_components: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return _device_id(self.account)


@frozen
class DiscoveryConfig:
    """The payload, the platform of each component by key, and the users who were left out for its size."""

    payload: bytes
    components: Mapping[str, str]
    omitted: tuple[str, ...] = ()


def _device_id(account: str) -> str:
    return f"{ORIGIN_NAME}_{account}"


def config_topic(prefix: str, account: str) -> str:
    return f"{prefix}/device/{_device_id(account)}/config"


def is_config_topic(account: str, topic: str) -> bool:
    """Returns whether an account announces itself on this topic, with whatever prefix."""
    end = config_topic("", account)
    return topic.endswith(end) and len(topic) > len(end) and is_publishable(topic)


def birth_topic(prefix: str) -> str:
    """The topic on which Home Assistant publishes `online` when it has started."""
    return f"{prefix}/status"


def entity_id(level: str, used_ids: Collection[str] = ()) -> str:
    """Returns the id of a person in Home Assistant: `[a-z0-9_]`, none of `used_ids`.

    A plain level is its own id. Any other level becomes Latin letters with a digest, since two may have the
    same letters; so does a level that looks as if it had a digest already.
    """
    if _PLAIN_ID.fullmatch(level) and not _WITH_DIGEST.fullmatch(level) and level not in used_ids:
        return level
    digest = hashlib.sha256(level.encode("utf-8", "replace")).hexdigest()
    latin = _latin(level)
    candidates = (f"{latin}_{digest[:length]}" for length in range(DIGEST_CHARACTERS, len(digest) + 1))
    return next(candidate for candidate in candidates if candidate not in used_ids)


def display_names(names: Mapping[str, str]) -> dict[str, str]:
    """Returns the displayed names by level: one line each, with the level where two names are equal."""
    lines = {level: _one_line(name) or level for level, name in names.items()}
    counts = Counter(lines.values())
    return {level: line if counts[line] == 1 else f"{line} ({level})" for level, line in lines.items()}


def discovery_config(device: Device, max_bytes: int | None = None) -> DiscoveryConfig:
    """Builds the payload, of at most `max_bytes`; the last of `targets` are left out first.

    A component that was published before and is no longer present stands with its platform alone, which
    removes it; to leave it out does not (measured on 2026.2).
    """
    notify = dict(_notify(device, target) for target in device.targets)
    fixed = dict(_fixed_components(device))
    present = fixed | notify
    platforms = {**device.previous_components, **_platforms(present)}
    removed = {key: {"platform": platform} for key, platform in platforms.items() if key not in present}
    payload = _payload(device, {**present, **removed})
    if max_bytes is None or len(payload) <= max_bytes:
        return DiscoveryConfig(payload=payload, components=platforms)
    kept_count = _count_fitting(notify, max_bytes - len(_payload(device, fixed)))
    kept = dict(islice(notify.items(), kept_count))
    return DiscoveryConfig(
        payload=_payload(device, fixed | kept),
        components=platforms,
        omitted=tuple(target.user for target in device.targets[kept_count:]),
    )


def _fixed_components(device: Device) -> Iterator[Component]:
    """Yields the components that are never left out."""
    yield from _login(device)
    yield from _messages(device)
    yield from _buttons(device)
    yield from _diagnostics(device)
    for target in device.windows:
        yield from _window(device, target)


def _platforms(components: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
    return {key: str(config["platform"]) for key, config in components.items()}


def _count_fitting(components: Mapping[str, dict[str, Json]], max_bytes: int) -> int:
    """Returns how many of the components fit, each with a comma before it."""
    for count, (key, body) in enumerate(components.items()):
        max_bytes -= len(encode({key: body})) - 1
        if max_bytes < 0:
            return count
    return len(components)


def _payload(device: Device, components: Mapping[str, Mapping[str, Json]]) -> bytes:
    description: dict[str, Json] = {
        "identifiers": [device.id],
        "name": f"{'微信' if device.language == 'zh' else 'WeChat'} {device.account}",
        "manufacturer": ORIGIN_NAME,
        "model": device.model,
        "sw_version": device.version,
    }
    return encode(
        {
            "device": {**description, "configuration_url": device.url} if device.url else description,
            "origin": {"name": ORIGIN_NAME, "sw_version": device.version},
            "availability": [_bridge_availability(device)],
            "availability_mode": "all",
            "components": {key: dict(config) for key, config in components.items()},
        }
    )


def _login(device: Device) -> Iterator[Component]:
    state = device.topics.login_state
    qr: dict[str, Json] = {"image_topic": device.topics.login_qr, "content_type": "image/png"}
    yield _component(device, "qr", "image", qr, "mdi:qrcode-scan")
    login: dict[str, Json] = {
        "state_topic": state,
        "value_template": "{{ value_json.state }}",
        "device_class": "enum",
        "options": [str(state) for state in LoginState],
        "json_attributes_topic": state,
    }
    yield _component(device, "login", "sensor", login, "mdi:login-variant")
    connected: dict[str, Json] = {
        "state_topic": state,
        "value_template": "{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
    }
    yield _component(device, "connected", "binary_sensor", connected)


def _messages(device: Device) -> Iterator[Component]:
    message: dict[str, Json] = {
        "state_topic": device.topics.message("+"),
        "event_types": [str(kind) for kind in Kind],
        "value_template": _EVENT,
    }
    yield _component(device, "message", "event", message, "mdi:wechat")
    last: dict[str, Json] = {
        "state_topic": device.topics.last,
        "value_template": "{{ value_json.time }}",
        "device_class": "timestamp",
        "json_attributes_topic": device.topics.last,
        "json_attributes_template": _LAST,
    }
    yield _component(device, "last", "sensor", last, "mdi:message-text-clock")
    result: dict[str, Json] = {
        "state_topic": device.topics.result("+"),
        "event_types": [str(status) for status in Status],
        "value_template": _RESULT,
    }
    yield _component(device, "result", "event", result, "mdi:message-reply-text")


def _buttons(device: Device) -> Iterator[Component]:
    log_out_needs = (_wechat_availability(device),)
    for key, request, needs in (("log_in", "login", ()), ("log_out", "logout", log_out_needs)):
        config: dict[str, Json] = {
            "command_topic": device.topics.request(request),
            "payload_press": "{}",
            "entity_category": "config",
            "availability": [_bridge_availability(device), *needs],
        }
        yield _component(device, key, "button", config, f"mdi:{request}")


def _diagnostics(device: Device) -> Iterator[Component]:
    depth = "{{ value_json.queues.to_mqtt.depth + value_json.queues.to_wechat.depth }}"
    yield _measurement(device, "queue", depth, {"icon": "mdi:tray-full"})
    failed = "{{ value_json.commands.failed_today }}"
    yield _measurement(device, "failed", failed, {"icon": "mdi:message-alert"})
    problem: dict[str, Json] = {
        "state_topic": device.topics.health,
        "value_template": "{{ 'OFF' if value_json.healthy else 'ON' }}",
        "json_attributes_topic": device.topics.health,
        "json_attributes_template": (
            "{{ {'problems': value_json.problems, 'failing': value_json.commands.failing} | to_json }}"
        ),
        "device_class": "problem",
        "entity_category": "diagnostic",
    }
    yield _component(device, "problem", "binary_sensor", problem)
    # Its value changes with every update, so it is disabled until somebody enables it.
    age = "{{ value_json.wechat.get('last_answer_age') }}"
    seconds: dict[str, Json] = {
        "device_class": "duration",
        "unit_of_measurement": "s",
        "suggested_display_precision": 0,
        "enabled_by_default": False,
    }
    yield _measurement(device, "age", age, seconds)
    if device.has_login_age:
        days: dict[str, Json] = {"device_class": "duration", "unit_of_measurement": "d"}
        login_age = "{{ (value_json.login.age / 86400) | round(1) if value_json.get('login') else None }}"
        yield _measurement(device, "login_age", login_age, days)
        login_left = "{{ value_json.login.days_left if value_json.get('login') else None }}"
        yield _measurement(device, "login_left", login_left, days)


def _measurement(device: Device, key: str, template: str, extra: Mapping[str, Json]) -> Component:
    config: dict[str, Json] = {
        "state_topic": device.topics.health,
        "value_template": template,
        "state_class": "measurement",
        "entity_category": "diagnostic",
        **extra,
    }
    return _component(device, key, "sensor", config)


def _window(device: Device, target: NotifyTarget) -> Iterator[Component]:
    """Three entities: whether WeChat takes a message to a person now, how many are left, and until when."""
    topic = device.topics.window(target.user)
    is_open: dict[str, Json] = {
        "value_template": "{{ 'ON' if value_json.open else 'OFF' }}",
        "json_attributes_topic": topic,
    }
    yield _window_component(device, target, "window", "binary_sensor", is_open, "mdi:message-arrow-right")
    left: dict[str, Json] = {
        "value_template": "{{ value_json.get('left') }}",
        "state_class": "measurement",
    }
    yield _window_component(device, target, "left", "sensor", left, "mdi:counter")
    until: dict[str, Json] = {
        "value_template": "{{ value_json.get('until') }}",
        "device_class": "timestamp",
    }
    yield _window_component(device, target, "until", "sensor", until, "mdi:timer-sand")


def _window_component(
    device: Device, target: NotifyTarget, key: str, platform: str, config: Mapping[str, Json], icon: str
) -> Component:
    entity_name = _NAMES[key]
    name = entity_name.text(device.language)
    has_several = len(device.windows) > 1
    object_id = f"{entity_name.object_id}_{_DIGEST.sub('', target.id)}"
    body: dict[str, Json] = {
        "name": f"{name} ({target.name})" if has_several else name,
        "default_entity_id": f"{platform}.wechat_{device.account}_{object_id}",
        "state_topic": device.topics.window(target.user),
        **config,
    }
    return _component(device, f"{key}_{target.id}", platform, body, icon)


def _notify(device: Device, target: NotifyTarget) -> Component:
    config: dict[str, Json] = {
        "name": target.name,
        "default_entity_id": f"notify.wechat_{device.account}_{_DIGEST.sub('', target.id)}",
        "command_topic": device.topics.out(target.user),
        # A JSON object: a text that begins with a brace would else be parsed as a command.
        "command_template": "{{ {'text': value} | to_json }}",
        "message_expiry_interval": device.expiry,
        "availability": [_bridge_availability(device), _wechat_availability(device)],
    }
    return _component(device, f"to_{target.id}", "notify", config, "mdi:wechat")


def _component(
    device: Device, key: str, platform: str, config: Mapping[str, Json], icon: str | None = None
) -> Component:
    """Adds the ids. Home Assistant before 2025.10 ignores `default_entity_id` and makes the same one from the
    English names, so automations work with both.
    """
    name = _NAMES.get(key, _UNNAMED)
    body: dict[str, Json] = {
        "platform": platform,
        "unique_id": f"{device.id}_{key}",
        "default_entity_id": f"{platform}.wechat_{device.account}_{name.object_id}",
        "name": name.text(device.language),
        "qos": DEFAULT_QOS,
        **config,
    }
    return Component(key, body if icon is None else {**body, "icon": icon})


def _bridge_availability(device: Device) -> dict[str, Json]:
    return {"topic": device.topics.state}


def _wechat_availability(device: Device) -> dict[str, Json]:
    """Available also during a start or an interruption: they end by themselves, and messages wait."""
    available = "{{ 'online' if value_json.state in ('online', 'interrupted', 'starting') else 'offline' }}"
    return {"topic": device.topics.login_state, "value_template": available}


def _latin(level: str) -> str:
    from anyascii import anyascii  # noqa: PLC0415 - loaded only for names that are not ASCII

    latin = level.lower() if level.isascii() else _SYLLABLE.sub("_", anyascii(level)).lower()
    return _NOT_IN_AN_ID.sub("_", latin)[:MAX_ENTITY_ID_CHARACTERS].strip("_") or "user"


def _one_line(name: str) -> str:
    """Returns a name on one line without invisible characters."""
    with_spaces = (" " if sign.isspace() else sign for sign in name)
    visible = "".join(sign for sign in with_spaces if unicodedata.category(sign) not in _INVISIBLE)
    return " ".join(visible.split())[:MAX_DISPLAY_NAME_CHARACTERS]
