"""Home Assistant's MQTT device discovery: one retained payload per account (mqtt 2). Pure.

Ids are made once from the topic level, which means the same person for ever; names may change. Only keys that
Home Assistant 2024.11 and every later version take without a warning.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wx2mqtt.i18n.bridge import Language
from wx2mqtt.model import Json, Kind, LoginState
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import Topics

ORIGIN_NAME = "wx2mqtt"
MAX_ATTRIBUTE_CHARACTERS = (
    2000  # characters of a message in an attribute; the recorder drops sets above 16 kB
)
MAX_DISPLAY_NAME_CHARACTERS = 100  # characters of a person's name
MAX_ENTITY_ID_CHARACTERS = 40  # characters of a spelled level

_PLAIN = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_MADE = re.compile(r"(?:.*_)?[0-9a-f]{8,}")  # looks as if it were made of another level
_DIGITS = re.compile(r"_[0-9a-f]{8,}$")
_NO_ID = re.compile(r"[^a-z0-9]+")
_SYLLABLE = re.compile(r"(?<=[a-z])(?=[A-Z])")  # anyascii writes 老婆 as LaoPo, Home Assistant as lao_po
_NO_NAME = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# A message's `url` is that of its bytes, where it has any; the object is named like the kind.
_OBJECT = "(value_json.get(value_json.kind) if value_json.kind != 'text' else None) or {}"
_SENDER = "(value_json.get('sender') or {})"
_ATTRIBUTES = (
    f"'user': value_json.user, 'name': {_SENDER}.get('name') or value_json.chat.name, "
    f"'text': (value_json.get('text') or '')[:{MAX_ATTRIBUTE_CHARACTERS}], 'kind': value_json.kind, "
    "'trusted': value_json.trusted, 'id': value_json.id, 'seq': value_json.seq, "
    f"'url': ({_OBJECT}).get('url'), 'chat': value_json.chat.kind, "
    f"'sender': {_SENDER}.get('user'), 'self': {_SENDER}.get('self', false)"
)
_EVENT = "{{ {'event_type': value_json.kind, " + _ATTRIBUTES + "} | to_json }}"
_LAST = "{{ {" + _ATTRIBUTES + "} | to_json }}"

_NAMES: dict[str, tuple[str, str]] = {
    "qr": ("Login QR", "登录二维码"),
    "login": ("Login state", "登录状态"),
    "connected": ("Connected", "已连接"),
    "message": ("Message", "消息"),
    "last": ("Last message", "最新消息"),
    "log_in": ("Log in", "登录"),
    "log_out": ("Log out", "退出登录"),
    "queue": ("Queue depth", "排队数量"),
    "failed": ("Failures today", "今日失败"),
    "age": ("Last answer of WeChat", "微信上次应答"),
    "window": ("Would take a message", "现在可发送"),
    "left": ("Messages left", "剩余条数"),
    "until": ("Window until", "可发送至"),
}

Component = tuple[str, dict[str, Json]]
"""The key of an entity within its device, and what Home Assistant is told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyTarget:
    """Somebody to whom Home Assistant may send: topic level, id at Home Assistant, and the name to show."""

    user: str
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One account as Home Assistant is to see it.

    `model` is the product behind it. `url` is the address of the page from outside, empty without one.
    `expiry` is how many seconds a message may wait at the broker. `windows` are those to whom WeChat takes
    messages only for a while. `previous_components` has the platforms of components that were announced
    earlier, by key.
    """

    account: str
    topics: Topics
    model: str
    version: str
    language: Language
    targets: Sequence[NotifyTarget] = ()
    windows: Sequence[NotifyTarget] = ()
    url: str = ""
    expiry: int = 600
    previous_components: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """What is to stand, the platform of each component by its key, and the users for whom no room was."""

    payload: bytes
    components: Mapping[str, str]
    omitted: tuple[str, ...] = ()


def config_topic(prefix: str, account: str) -> str:
    """Where the payload stands, retained."""
    return f"{prefix}/device/{ORIGIN_NAME}_{account}/config"


def birth_topic(prefix: str) -> str:
    """Where Home Assistant says `online` when it has started."""
    return f"{prefix}/status"


def entity_id(level: str, used_ids: Collection[str] = ()) -> str:
    """The id of a person in Home Assistant: `[a-z0-9_]`, none of `taken`.

    A plain level is its own id. Any other one is spelled in Latin letters and gets digits of its own, since
    two may be spelled alike; and so does a level that looks as if it were made in this way.
    """
    if _PLAIN.fullmatch(level) and not _MADE.fullmatch(level) and level not in used_ids:
        return level
    digest, spelled = hashlib.sha256(level.encode("utf-8", "replace")).hexdigest(), _spelled(level)
    ids = (f"{spelled}_{digest[:length]}" for length in range(8, len(digest) + 1))
    return next(one for one in ids if one not in used_ids)


def display_names(names: Mapping[str, str]) -> dict[str, str]:
    """What to call people (by level): one line each, and the level beside it where two are called alike."""
    lines = {level: _line(name) or level for level, name in names.items()}
    times = Counter(lines.values())
    return {level: line if times[line] == 1 else f"{line} ({level})" for level, line in lines.items()}


def discovery_config(device: Device, max_bytes: int | None = None) -> DiscoveryConfig:
    """What to announce in at most `room` bytes; of `targets` the last are left out first.

    A component that was announced before and is no longer wanted is named with its platform alone, which
    removes it; leaving it out would not (measured on 2026.2).
    """
    windows = (one for target in device.windows for one in _window(device, target))
    fixed = dict((*_login(device), *_messages(device), *_buttons(device), *_diagnostics(device), *windows))
    notify = dict(_notify(device, target) for target in device.targets)
    wanted = {**fixed, **notify}
    platforms = {**device.previous_components, **{key: str(body["platform"]) for key, body in wanted.items()}}
    gone: dict[str, Json] = {key: {"platform": one} for key, one in platforms.items() if key not in wanted}
    payload = _payload(device, {**wanted, **gone})
    if max_bytes is None or len(payload) <= max_bytes:
        return DiscoveryConfig(payload=payload, components=platforms)
    kept = _fitting(notify, max_bytes - len(_payload(device, fixed)))
    return DiscoveryConfig(
        payload=_payload(device, {**fixed, **dict(list(notify.items())[:kept])}),
        components=platforms,
        omitted=tuple(target.user for target in device.targets[kept:]),
    )


def _fitting(notify: Mapping[str, dict[str, Json]], max_bytes: int) -> int:
    """How many of these fit, each with a comma before it."""
    for count, (key, body) in enumerate(notify.items()):
        max_bytes -= len(encode({key: body})) - 1
        if max_bytes < 0:
            return count
    return len(notify)


def _payload(device: Device, components: Mapping[str, Json]) -> bytes:
    about: dict[str, Json] = {
        "identifiers": [f"{ORIGIN_NAME}_{device.account}"],
        "name": f"{'微信' if device.language == 'zh' else 'WeChat'} {device.account}",
        "manufacturer": ORIGIN_NAME,
        "model": device.model,
        "sw_version": device.version,
    }
    return encode(
        {
            "device": {**about, "configuration_url": device.url} if device.url else about,
            "origin": {"name": ORIGIN_NAME, "sw_version": device.version},
            "availability": [_bridge(device)],
            "availability_mode": "all",
            "components": dict(components),
        }
    )


def _login(device: Device) -> Iterable[Component]:
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


def _messages(device: Device) -> Iterable[Component]:
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


def _buttons(device: Device) -> Iterable[Component]:
    for key, request, needs in (("log_in", "login", ()), ("log_out", "logout", (_wechat(device),))):
        what: dict[str, Json] = {
            "command_topic": device.topics.request(request),
            "payload_press": "{}",
            "entity_category": "config",
            "availability": [_bridge(device), *needs],
        }
        yield _component(device, key, "button", what, f"mdi:{request}")


def _diagnostics(device: Device) -> Iterable[Component]:
    depth = "{{ value_json.queues.to_mqtt.depth + value_json.queues.to_wechat.depth }}"
    yield _figure(device, "queue", depth, {"icon": "mdi:tray-full"})
    failed = "{{ value_json.commands.failed_today }}"
    yield _figure(device, "failed", failed, {"icon": "mdi:message-alert"})
    # Its value is another one at each look, so it is off until somebody wants it.
    age = "{{ value_json.wechat.get('last_answer_age') }}"
    seconds: dict[str, Json] = {
        "device_class": "duration",
        "unit_of_measurement": "s",
        "suggested_display_precision": 0,
        "enabled_by_default": False,
    }
    yield _figure(device, "age", age, seconds)


def _figure(device: Device, key: str, template: str, more: Mapping[str, Json]) -> Component:
    what: dict[str, Json] = {
        "state_topic": device.topics.health,
        "value_template": template,
        "state_class": "measurement",
        "entity_category": "diagnostic",
        **more,
    }
    return _component(device, key, "sensor", what)


def _window(device: Device, target: NotifyTarget) -> Iterable[Component]:
    """Whether WeChat would take the next message to somebody. While it is not logged in it takes none."""
    topic = device.topics.window(target.user)
    is_open: dict[str, Json] = {
        "value_template": "{{ 'ON' if value_json.open else 'OFF' }}",
        "json_attributes_topic": topic,
    }
    yield _of_window(device, target, "window", "binary_sensor", is_open, "mdi:message-arrow-right")
    left: dict[str, Json] = {
        "value_template": "{{ value_json.get('left') }}",
        "state_class": "measurement",
    }
    yield _of_window(device, target, "left", "sensor", left, "mdi:counter")
    until: dict[str, Json] = {
        "value_template": "{{ value_json.get('until') }}",
        "device_class": "timestamp",
    }
    yield _of_window(device, target, "until", "sensor", until, "mdi:timer-sand")


def _of_window(
    device: Device, target: NotifyTarget, key: str, platform: str, what: Mapping[str, Json], icon: str
) -> Component:
    english, chinese = _NAMES[key]
    name = chinese if device.language == "zh" else english
    several = len(device.windows) > 1
    spelled = f"{english.lower().replace(' ', '_')}_{_DIGITS.sub('', target.id)}"
    body: dict[str, Json] = {
        "name": f"{name} ({target.name})" if several else name,
        "default_entity_id": f"{platform}.wechat_{device.account}_{spelled}",
        "state_topic": device.topics.window(target.user),
        **what,
    }
    return _component(device, f"{key}_{target.id}", platform, body, icon)


def _notify(device: Device, target: NotifyTarget) -> Component:
    what: dict[str, Json] = {
        "name": target.name,
        "default_entity_id": f"notify.wechat_{device.account}_{_DIGITS.sub('', target.id)}",
        "command_topic": device.topics.out(target.user),
        # As a command: else a text that begins with a brace would be taken for one.
        "command_template": "{{ {'text': value} | to_json }}",
        "message_expiry_interval": device.expiry,
        "availability": [_bridge(device), _wechat(device)],
    }
    return _component(device, f"to_{target.id}", "notify", what, "mdi:wechat")


def _component(
    device: Device, key: str, platform: str, what: Mapping[str, Json], icon: str | None = None
) -> Component:
    """A component with its ids. Before 2025.10 Home Assistant knows no `default_entity_id` and makes the same
    one of the English names, so that what is written for one holds for the other.
    """
    english, chinese = _NAMES.get(key, ("", ""))
    body: dict[str, Json] = {
        "platform": platform,
        "unique_id": f"{ORIGIN_NAME}_{device.account}_{key}",
        "default_entity_id": f"{platform}.wechat_{device.account}_{english.lower().replace(' ', '_')}",
        "name": chinese if device.language == "zh" else english,
        "qos": 1,
        **what,
    }
    return key, body if icon is None else {**body, "icon": icon}


def _bridge(device: Device) -> dict[str, Json]:
    return {"topic": device.topics.state}


def _wechat(device: Device) -> dict[str, Json]:
    """A start and an interruption end by themselves, and what is sent meanwhile waits: one may send."""
    able = "{{ 'online' if value_json.state in ('online', 'interrupted', 'starting') else 'offline' }}"
    return {"topic": device.topics.login_state, "value_template": able}


def _spelled(level: str) -> str:
    from anyascii import anyascii  # noqa: PLC0415 - loaded only where somebody has such a name

    latin = level.lower() if level.isascii() else _SYLLABLE.sub("_", anyascii(level)).lower()
    return _NO_ID.sub("_", latin)[:MAX_ENTITY_ID_CHARACTERS].strip("_") or "user"


def _line(name: str) -> str:
    """A name on one line; what nobody can see goes."""
    seen = "".join(" " if sign.isspace() else sign for sign in name)
    return " ".join("".join(sign for sign in seen if unicodedata.category(sign) not in _NO_NAME).split())[
        :MAX_DISPLAY_NAME_CHARACTERS
    ]
