"""The table of backends, with all that the rest of the program needs to know about each.

To add one: a package beside this file with a class that derives from `Backend`, an entry in `BACKENDS`, and
in `settings/schema.py` its name and its section (and keys of `Pin` and `Expect`, if it has its own).
Another package brings one by an entry point of the group `wx2mqtt.backends`, whose name is that of the
backend and whose value leads to a `BackendEntry`:

    [project.entry-points."wx2mqtt.backends"]
    example = "wx2mqtt_example:ENTRY"

Settings and mqtt must not import this file; they get what they need of an entry as parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from string import ascii_lowercase, digits

from wx2mqtt.errors import Problem, SettingsError, UnknownBackend
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import Backend, Capabilities
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink_endpoints
from wx2mqtt.wechat.ilink.protocol import requests as ilink_requests
from wx2mqtt.wechat.ilink.protocol import session as ilink_session
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx_endpoints
from wx2mqtt.wechat.webwx.protocol import session as webwx_session
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient
from wx2mqtt.wechat.wecom.protocol import endpoints as wecom_endpoints
from wx2mqtt.wechat.wecom.protocol import session as wecom_session

# The group of entry points by which other packages bring backends.
ENTRY_POINT_GROUP = "wx2mqtt.backends"


class SetupContacts(StrEnum):
    """The contacts for which `wx2mqtt setup` asks: those that the backend knows before anybody wrote."""

    PEOPLE = "people"
    OWNER = "owner"


@frozen
class BackendEntry:
    """What the rest of the program knows of a backend without importing it."""

    #: The value of `accounts.<account>.backend`, and the name of its section of the configuration.
    name: str
    #: The name of the backend in sentences.
    title: str
    capabilities: Capabilities
    #: Imports the backend, which loads its HTTP client.
    create: Callable[[BackendOptions], Backend]
    #: Returns the origins that `wx2mqtt check --connect` requests, by the `endpoint` and the saved login.
    host_origins: Callable[[str | None, Mapping[str, object]], Iterable[str]]
    #: The headers of those requests.
    http_headers: Mapping[str, str]
    #: The keys below `contacts.<user>` that can match a contact.
    pin_keys: frozenset[str]
    #: The warning about any other key; `{kind}` in it becomes that key.
    foreign_pin: str
    #: The keys below `expect` that the backend can check.
    expect_keys: frozenset[str]
    #: Returns whether a saved session is a login of this backend.
    is_saved_login: Callable[[Mapping[str, object]], bool]
    #: The contacts for which `wx2mqtt setup` asks.
    setup_contacts: SetupContacts = SetupContacts.PEOPLE
    #: The line that offers it in `wx2mqtt setup`, in English and Chinese; empty for one of another package.
    setup_choice: tuple[str, str] = ("", "")
    #: What `accounts.<account>.options` may name, for a backend of another package.
    option_names: frozenset[str] = frozenset()
    #: The version of Tencent's client that requests name unless its section says another; empty without one.
    client_version: str = ""

    @property
    def has_reply_window(self) -> bool:
        return self.capabilities.has_reply_window


class BackendTable(dict[str, BackendEntry]):
    """The backends by name: those of this program, and those of other packages that were asked for.

    `BACKENDS[name]` imports the backend of another package when it is first asked for; `in` and loops over
    the table do not. It raises `UnknownBackend` where no package brings it, or it cannot be used.
    """

    def __missing__(self, name: str) -> BackendEntry:
        for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
            package = entry_point.dist.name if entry_point.dist else entry_point.value
            try:
                entry = _import(entry_point)
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
                raise UnknownBackend(self.names(), package, fault) from error
            self[name] = entry
            return entry
        raise UnknownBackend(self.names())

    def names(self) -> tuple[str, ...]:
        """Returns the names of all, also of those that nobody has asked for."""
        installed = sorted(entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP))
        return tuple(dict.fromkeys((*self, *filter(_is_name, installed))))


def backend_entry(name: str, *, key: str = "backend") -> BackendEntry:
    """Returns the entry with this name, which an installed package may bring.

    Raises `SettingsError` that names the `key` of the configuration.
    """
    try:
        return BACKENDS[name]
    except UnknownBackend as why:
        if why.fault:
            text = f"'{name}' cannot be loaded from {why.package}: {why.fault}"
        else:
            text = f"'{name}' is no backend of this program; it has {', '.join(why.names)}"
        raise SettingsError((Problem("the settings", 0, key, text),)) from None


_NAME_SIGNS = frozenset(f"{ascii_lowercase}{digits}_")
_NAME_LENGTHS = range(1, 33)


def _is_name(text: str) -> bool:
    return len(text) in _NAME_LENGTHS and _NAME_SIGNS.issuperset(text)


def _import(entry_point: EntryPoint) -> BackendEntry:
    """Imports what an entry point names. Raises anything, since that is foreign code."""
    entry = entry_point.load()
    if not isinstance(entry, BackendEntry):
        raise TypeError(f"{entry_point.value} is no BackendEntry")
    if not entry.name == entry.capabilities.backend == entry_point.name:
        raise ValueError("the entry point, the entry and its capabilities differ in the name of the backend")
    if not _is_name(entry.name):
        raise ValueError("the name of a backend is 1 to 32 characters of a-z, 0-9 and _")
    return entry


# Web WeChat


def _create_webwx(options: BackendOptions) -> Backend:
    from wx2mqtt.wechat.webwx.backend import WebWxBackend  # noqa: PLC0415 - loads no other backend
    from wx2mqtt.wechat.webwx.client import WebWxHttp  # noqa: PLC0415

    desktop = options.section["desktop"]
    version, extspam = desktop["client_version"], desktop["extspam"]
    is_desktop = version and extspam
    client = DesktopClient(client_version=version, extspam=extspam) if is_desktop else None
    return WebWxBackend(options, WebWxHttp(options), desktop=client)


_WEBWX = BackendEntry(
    name="webwx",
    title="web WeChat",
    capabilities=webwx_endpoints.CAPABILITIES,
    create=_create_webwx,
    host_origins=webwx_session.host_origins,
    http_headers=webwx_endpoints.WEBWX_HEADERS,
    pin_keys=frozenset({"remark", "alias", "nickname", "group"}),
    foreign_pin="webwx tells no {kind}: nobody will match",
    expect_keys=frozenset({"uin", "nickname"}),
    setup_contacts=SetupContacts.PEOPLE,
    setup_choice=("webwx: web WeChat, your own account", "webwx：网页版微信，你自己的账号"),
    is_saved_login=webwx_session.is_saved_login,
)


# iLink


def _create_ilink(options: BackendOptions) -> Backend:
    from wx2mqtt.wechat.ilink.backend import ILinkBackend  # noqa: PLC0415 - loads no other backend
    from wx2mqtt.wechat.ilink.ilink_http import ILinkHttp  # noqa: PLC0415

    section = options.section
    http = ILinkHttp(options)
    return ILinkBackend(
        options,
        http,
        hosts=section["hosts"],
        show_typing=section["typing"],
        client_version=section["client_version"],
    )


_ILINK = BackendEntry(
    name="ilink",
    title="iLink",
    capabilities=ilink_endpoints.CAPABILITIES,
    create=_create_ilink,
    host_origins=ilink_session.host_origins,
    http_headers=ilink_endpoints.ILINK_HEADERS,
    pin_keys=frozenset({"ilink", "owner"}),
    foreign_pin="iLink tells no {kind}; write owner: true, or ilink: <id>",
    expect_keys=frozenset({"ilink"}),
    setup_contacts=SetupContacts.OWNER,
    setup_choice=("ilink: Tencent's bot API, a bot of your own", "ilink：腾讯的机器人接口，你自己的机器人"),
    is_saved_login=ilink_session.is_saved_login,
    client_version=ilink_requests.UPSTREAM_VERSION,
)

# WeCom


def _create_wecom(options: BackendOptions) -> Backend:
    from wx2mqtt.wechat.wecom.backend import WeComBackend  # noqa: PLC0415 - loads no other backend
    from wx2mqtt.wechat.wecom.wecom_http import WeComHttp  # noqa: PLC0415

    section = options.section
    return WeComBackend(
        options,
        WeComHttp(options),
        bot_id=section["bot_id"] or "",
        secret=section["secret"] or "",
        source=section["source"],
        receipt=section["receipt"] or "",
        bot_name=section["bot_name"] or "",
    )


_WECOM = BackendEntry(
    name="wecom",
    title="WeCom",
    capabilities=wecom_endpoints.CAPABILITIES,
    create=_create_wecom,
    host_origins=lambda endpoint, _saved: wecom_endpoints.host_origins(endpoint),
    http_headers=wecom_endpoints.WECOM_HEADERS,
    pin_keys=frozenset({"wecom", "owner"}),
    foreign_pin="WeCom tells no {kind}; write wecom: <userid or chatid>, or owner: true",
    expect_keys=frozenset({"wecom"}),
    setup_contacts=SetupContacts.OWNER,
    setup_choice=("wecom: a bot in the WeCom app, for an enterprise", "wecom：企业微信中的机器人，需要企业"),
    is_saved_login=wecom_session.is_saved_login,
)

# The backends of this program by name. The first one is the default of the configuration.
BACKENDS = BackendTable({entry.name: entry for entry in (_WEBWX, _ILINK, _WECOM)})
