"""Builds the payload of Home Assistant's MQTT device discovery, one for each account (mqtt 2). Pure.

    {"device": {"name": "WeChat home", …}, "origin": {…}, "availability": […],
     "components": {"login": {"platform": "sensor", "state_topic": "wx/login/state", …},
                    "to_wife": {"platform": "notify", "command_topic": "wx/out/wife", …}, …}}

A component is an entity of Home Assistant; `_Components` has all of them. Only keys are used that Home
Assistant 2024.11 and every later version accept without a warning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from itertools import islice

from wx2mqtt.i18n import Language, Translations, translation
from wx2mqtt.model import Json, Kind, LoginState, Needs, Status
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import ORIGIN_NAME, QOS, Topics, device_id
from wx2mqtt.values import frozen

# Home Assistant's recorder drops the attributes of an entity above 16 kB.
MAX_ATTRIBUTE_CHARACTERS = 2000  # of the text of a message
MAX_RECENT_RESULTS = 16
MAX_RESULT_CHARACTERS = 200  # of the sentence of each of these results
# After a kill at most 20 messages are published again.
MAX_RECENT_MESSAGES = 32

# How long a message from Home Assistant to a person may wait at the broker.
DEFAULT_EXPIRY_SECONDS = 600

MAX_ENTITY_ID_CHARACTERS = 40  # of a topic name in Latin letters, without its digest
DIGEST_CHARACTERS = 8

Component = dict[str, Json]


@frozen
class NotifyTarget:
    """A person to whom Home Assistant sends messages: topic name, `entity_id`, displayed name."""

    user: str
    id: str
    name: str


@frozen
class Device:
    account: str
    topics: Topics
    #: The product name of the backend.
    model: str
    version: str
    language: Language
    #: People who get an entity for notifications, the most important first.
    targets: Sequence[NotifyTarget] = ()
    #: Whether a login ends after some time (iLink).
    has_login_age: bool = False
    #: People who can get messages only for some time after they have written (iLink).
    windows: Sequence[NotifyTarget] = ()
    #: The address of the page, empty without one.
    url: str = ""
    #: Seconds for which a message to a person may wait at the broker.
    expiry: int = DEFAULT_EXPIRY_SECONDS
    #: The platform of each component that was published before, by its key.
    previous_components: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return device_id(self.account)


@frozen
class DiscoveryConfig:
    payload: bytes
    #: The platform of each component, by its key: `Device.previous_components` of the next payload.
    components: Mapping[str, str]
    #: The users who were left out, since the payload would have been too large.
    omitted: tuple[str, ...] = ()


def discovery_config(device: Device, max_bytes: int | None = None) -> DiscoveryConfig:
    """Builds the payload, of at most `max_bytes`; the last of `targets` are left out first.

    A component that was published before and is no longer present stands with its platform alone, which
    removes it. To leave it out does not remove it (measured on 2026.2).
    """
    fixed = _fixed_components(device)
    notify_components = _Components(device)
    for target in device.targets:
        notify_components.add_notify(target)
    notify = notify_components.by_key
    present = fixed | notify
    previous = device.previous_components
    removed: dict[str, Component] = {
        key: {"platform": platform} for key, platform in previous.items() if key not in present
    }
    whole = present | removed
    platforms = {key: str(component["platform"]) for key, component in whole.items()}
    payload = _payload(device, whole)
    if max_bytes is None or len(payload) <= max_bytes:
        return DiscoveryConfig(payload=payload, components=platforms)
    kept_count = _count_fitting(notify, max_bytes - len(_payload(device, fixed)))
    kept = dict(islice(notify.items(), kept_count))
    omitted = tuple(target.user for target in device.targets[kept_count:])
    return DiscoveryConfig(payload=_payload(device, fixed | kept), components=platforms, omitted=omitted)


def _fixed_components(device: Device) -> dict[str, Component]:
    components = _Components(device)
    components.add_login()
    components.add_messages()
    components.add_buttons()
    components.add_diagnostics()
    for target in device.windows:
        components.add_window(target)
    return components.by_key


# Home Assistant may fail to fill in these two defaults of a component's availability (mqtt 2.3.8).
_ONLINE = {"payload_available": "online", "payload_not_available": "offline"}


def _payload(device: Device, components: Mapping[str, Component]) -> bytes:
    description: dict[str, Json] = {
        "identifiers": [device.id],
        "connections": [],  # also a default that Home Assistant may fail to fill in
        "name": f"{'微信' if device.language == 'zh' else 'WeChat'} {device.account}",
        "manufacturer": ORIGIN_NAME,
        "model": device.model,
        "sw_version": device.version,
    }
    if device.url:
        description["configuration_url"] = device.url
    return encode(
        {
            "device": description,
            "origin": {"name": ORIGIN_NAME, "sw_version": device.version},
            "availability": [{"topic": device.topics.state, **_ONLINE}],
            "availability_mode": "all",
            "components": dict(components),
        }
    )


def _count_fitting(components: Mapping[str, Component], max_bytes: int) -> int:
    left = max_bytes
    for count, (key, component) in enumerate(components.items()):
        left -= len(encode({key: component})) - 1  # without its two braces, and with a comma before it
        if left < 0:
            return count
    return len(components)


# Templates, which Home Assistant renders with the payload of a topic as `value_json`

# The details of a message stand in an object with the name of its kind; `url` is that of the attachment.
_DETAILS = "(value_json.get(value_json.kind) if value_json.kind != 'text' else None) or {}"
_SENDER = "(value_json.get('sender') or {})"
_ATTRIBUTES = (
    f"'user': value_json.user, 'name': {_SENDER}.get('name') or value_json.chat.name, "
    f"'text': (value_json.get('text') or '')[:{MAX_ATTRIBUTE_CHARACTERS}], 'kind': value_json.kind, "
    "'trusted': value_json.trusted, 'id': value_json.id, 'seq': value_json.seq, "
    f"'url': ({_DETAILS}).get('url'), 'chat': value_json.chat.kind, "
    f"'sender': {_SENDER}.get('user'), 'self': {_SENDER}.get('self', false), 'time': value_json.time, "
    f"'transcript': ({_DETAILS}).get('transcript', false), 'mentioned': value_json.get('mentioned', false), "
    "'button': value_json.get('button'), 'account': value_json.get('account'), "
    "'stream': value_json.get('stream')"
)
_LAST = "{{ {" + _ATTRIBUTES + "} | to_json }}"

# The newest messages, as `<stream>-<seq>`, stand in an attribute, too: an automation sees which message was
# published again, also when messages of other chats came between.
_EVENT = (
    "{% set key = value_json.get('stream') ~ '-' ~ value_json.seq %}"
    "{% set earlier = this.attributes.get('recent', []) | reject('eq', key) | list %}"
    "{{ {'event_type': value_json.kind, "
    + _ATTRIBUTES
    + f", 'recent': ([key] + earlier)[:{MAX_RECENT_MESSAGES}]"
    + "} | to_json }}"
)

# The newest results stand in an attribute, too: an automation that waits for several of them misses none. A
# result that is published again replaces itself.
_RESULT = (
    "{% set result = {'id': value_json.id, 'user': value_json.user, 'status': value_json.status, "
    "'code': value_json.code, 'message': (value_json.message or '')"
    f"[:{MAX_RESULT_CHARACTERS}], 'fallback': value_json.get('fallback')}} %}}"
    "{% set earlier = this.attributes.get('recent', []) | rejectattr('id', 'eq', result.id) | list %}"
    "{{ dict(result, event_type=result.status, recent=([result] + earlier)"
    f"[:{MAX_RECENT_RESULTS}]) | to_json }}}}"
)

# Home Assistant knows a fixed list of event types only, and a question may have any buttons: so the type is
# always `answered`, and the button is an attribute.
_ANSWER = (
    "{{ {'event_type': 'answered', 'command_id': value_json.command_id, 'key': value_json.key, "
    "'button': value_json.text, 'user': value_json.user, 'sender': value_json.sender.get('user'), "
    "'name': value_json.sender.name, 'trusted': value_json.trusted, 'id': value_json.id, "
    "'time': value_json.time, 'pressed_on': value_json.get('pressed_on')} | to_json }}"
)

# WeChat counts as available during a start or an interruption, which end by themselves: messages wait then.
_WECHAT_IS_AVAILABLE = (
    "{{ 'online' if value_json.state in ('online', 'interrupted', 'starting') else 'offline' }}"
)


class _Components:
    """Collects the components of a device, each with the name and the ids that Home Assistant shows.

    Home Assistant before 2025.10 ignores `default_entity_id` and makes the same one from the English names,
    so automations work with both.
    """

    def __init__(self, device: Device) -> None:
        self.by_key: dict[str, Component] = {}
        self._device = device
        self._topics = device.topics
        self._bridge_availability: Json = {"topic": device.topics.state}
        self._wechat_availability: Json = {
            "topic": device.topics.login_state,
            "value_template": _WECHAT_IS_AVAILABLE,
        }

    def add_login(self) -> None:
        state = self._topics.login_state
        qr: Component = {
            "image_topic": self._topics.login_qr,
            "content_type": "image/png",
            "icon": "mdi:qrcode-scan",
        }
        self._add("qr", "image", ("Login QR", "登录二维码"), qr)
        login: Component = {
            "state_topic": state,
            "value_template": "{{ value_json.state }}",
            "device_class": "enum",
            "options": [str(state) for state in LoginState],
            "json_attributes_topic": state,
            "icon": "mdi:login-variant",
        }
        self._add("login", "sensor", ("Login state", "登录状态"), login)
        needs: Component = {
            "state_topic": state,
            "value_template": "{{ value_json.needs }}",
            "device_class": "enum",
            "options": [str(needs) for needs in Needs],
            "icon": "mdi:account-alert",
        }
        self._add("needs", "sensor", ("Login needs", "登录所需操作"), needs)
        connected: Component = {
            "state_topic": state,
            "value_template": "{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
        }
        self._add("connected", "binary_sensor", ("Connected", "已连接"), connected)

    def add_messages(self) -> None:
        message: Component = {
            "state_topic": self._topics.message("+"),
            "event_types": [str(kind) for kind in Kind],
            "value_template": _EVENT,
            "icon": "mdi:wechat",
        }
        self._add("message", "event", ("Message", "消息"), message)
        last: Component = {
            "state_topic": self._topics.last,
            "value_template": "{{ value_json.time }}",
            "device_class": "timestamp",
            "json_attributes_topic": self._topics.last,
            "json_attributes_template": _LAST,
            "icon": "mdi:message-text-clock",
        }
        self._add("last", "sensor", ("Last message", "最新消息"), last)
        result: Component = {
            "state_topic": self._topics.result("+"),
            "event_types": [str(status) for status in Status],
            "value_template": _RESULT,
            "icon": "mdi:message-reply-text",
        }
        self._add("result", "event", ("Result", "发送结果"), result)
        answer: Component = {
            "state_topic": self._topics.event("button"),
            "event_types": ["answered"],
            "value_template": _ANSWER,
            "icon": "mdi:comment-check",
        }
        self._add("answer", "event", ("Answer", "提问的回答"), answer)

    def add_buttons(self) -> None:
        bridge, wechat = self._bridge_availability, self._wechat_availability
        self._add_button("log_in", ("Log in", "登录"), "login", [bridge])
        self._add_button("log_out", ("Log out", "退出登录"), "logout", [bridge, wechat])

    def _add_button(self, key: str, names: Translations, request: str, availability: list[Json]) -> None:
        button: Component = {
            "command_topic": self._topics.request(request),
            "payload_press": "{}",
            "entity_category": "config",
            "availability": availability,
            "icon": f"mdi:{request}",
        }
        self._add(key, "button", names, button)

    def add_diagnostics(self) -> None:
        depth = "{{ value_json.queues.to_mqtt.depth + value_json.queues.to_wechat.depth }}"
        self._add_figure("queue", ("Queue depth", "排队数量"), depth, {"icon": "mdi:tray-full"})
        failed = "{{ value_json.commands.failed_today }}"
        self._add_figure("failed", ("Failures today", "今日失败"), failed, {"icon": "mdi:message-alert"})
        problem: Component = {
            "state_topic": self._topics.health,
            "value_template": "{{ 'OFF' if value_json.healthy else 'ON' }}",
            "json_attributes_topic": self._topics.health,
            "json_attributes_template": (
                "{{ {'problems': value_json.problems, 'failing': value_json.commands.failing} | to_json }}"
            ),
            "device_class": "problem",
            "entity_category": "diagnostic",
        }
        self._add("problem", "binary_sensor", ("Problem", "问题"), problem)
        # This value changes with every update: the entity is disabled until somebody enables it.
        answered = "{{ value_json.wechat.get('last_answer_age') }}"
        seconds: Component = {
            "device_class": "duration",
            "unit_of_measurement": "s",
            "suggested_display_precision": 0,
            "enabled_by_default": False,
        }
        self._add_figure("age", ("Last answer of WeChat", "微信上次应答"), answered, seconds)
        if self._device.has_login_age:
            days: Component = {"device_class": "duration", "unit_of_measurement": "d"}
            age = "{{ (value_json.login.age / 86400) | round(1) if value_json.get('login') else None }}"
            self._add_figure("login_age", ("Login age", "登录时长"), age, days)
            left = "{{ value_json.login.days_left if value_json.get('login') else None }}"
            self._add_figure("login_left", ("Login days left", "登录剩余天数"), left, days)

    def _add_figure(self, key: str, names: Translations, template: str, config: Component) -> None:
        """Adds a sensor for a figure of `bridge/health`."""
        figure: Component = {
            "state_topic": self._topics.health,
            "value_template": template,
            "state_class": "measurement",
            "entity_category": "diagnostic",
        }
        self._add(key, "sensor", names, figure | config)

    def add_window(self, target: NotifyTarget) -> None:
        """Adds three entities: whether WeChat takes a message now, how many are left, and until when."""
        is_open: Component = {
            "value_template": "{{ 'ON' if value_json.open else 'OFF' }}",
            "json_attributes_topic": self._topics.window(target.user),
            "icon": "mdi:message-arrow-right",
        }
        names = ("Would take a message", "现在可发送")
        self._add_window_entity("window", "binary_sensor", names, is_open, target)
        left: Component = {
            "value_template": "{{ value_json.get('left') }}",
            "state_class": "measurement",
            "icon": "mdi:counter",
        }
        self._add_window_entity("left", "sensor", ("Messages left", "剩余条数"), left, target)
        until: Component = {
            "value_template": "{{ value_json.get('until') }}",
            "device_class": "timestamp",
            "icon": "mdi:timer-sand",
        }
        self._add_window_entity("until", "sensor", ("Window until", "可发送至"), until, target)

    def _add_window_entity(
        self, key: str, platform: str, names: Translations, config: Component, target: NotifyTarget
    ) -> None:
        name = translation(names, self._device.language)
        has_several = len(self._device.windows) > 1
        english_id = f"{names[0]} {_DIGEST.sub('', target.id)}"
        common: Component = {
            "name": f"{name} ({target.name})" if has_several else name,
            "default_entity_id": self._entity_id(platform, english_id),
            "state_topic": self._topics.window(target.user),
        }
        self._add(f"{key}_{target.id}", platform, names, common | config)

    def add_notify(self, target: NotifyTarget) -> None:
        notify: Component = {
            "name": target.name,
            "default_entity_id": self._entity_id("notify", _DIGEST.sub("", target.id)),
            "command_topic": self._topics.out(target.user),
            # A JSON object: a text that begins with a brace would else be parsed as a command.
            "command_template": "{{ {'text': value} | to_json }}",
            "message_expiry_interval": self._device.expiry,
            "availability": [self._bridge_availability, self._wechat_availability],
            "icon": "mdi:wechat",
        }
        self._add(f"to_{target.id}", "notify", (target.name, target.name), notify)

    def _add(self, key: str, platform: str, names: Translations, config: Component) -> None:
        """Adds a component; `config` may have another name and id."""
        common: Component = {
            "platform": platform,
            "unique_id": f"{self._device.id}_{key}",
            "default_entity_id": self._entity_id(platform, names[0]),
            "name": translation(names, self._device.language),
            "qos": QOS,
        }
        self.by_key[key] = common | config

    def _entity_id(self, platform: str, english_name: str) -> str:
        return f"{platform}.wechat_{self._device.account}_{english_name.lower().replace(' ', '_')}"


# ids of people

_PLAIN_ID = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")  # li_ming
_WITH_DIGEST = re.compile(r"(?:.*_)?[0-9a-f]{8,}")  # li_ming_1a2b3c4d
_DIGEST = re.compile(r"_[0-9a-f]{8,}$")  # the end of that
_NOT_IN_AN_ID = re.compile(r"[^a-z0-9]+")
_SYLLABLE = re.compile(r"(?<=[a-z])(?=[A-Z])")  # anyascii writes 老婆 as LaoPo, Home Assistant as lao_po


def entity_id(user: str, used_ids: Collection[str] = ()) -> str:
    """Returns the id of a person in Home Assistant: `[a-z0-9_]`, none of `used_ids`.

    It comes from the topic name, which means the same person for ever. A plain topic name is its own id. Any
    other becomes Latin letters with a digest, since two may have the same letters; so does one that looks as
    if it had a digest already.
    """
    if _PLAIN_ID.fullmatch(user) and not _WITH_DIGEST.fullmatch(user) and user not in used_ids:
        return user
    digest = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
    latin = _latin(user)
    candidates = (f"{latin}_{digest[:length]}" for length in range(DIGEST_CHARACTERS, len(digest) + 1))
    return next(candidate for candidate in candidates if candidate not in used_ids)


def _latin(user: str) -> str:
    from anyascii import anyascii  # noqa: PLC0415 - loaded only for names that are not ASCII

    latin = user.lower() if user.isascii() else _SYLLABLE.sub("_", anyascii(user)).lower()
    return _NOT_IN_AN_ID.sub("_", latin)[:MAX_ENTITY_ID_CHARACTERS].strip("_") or "user"
